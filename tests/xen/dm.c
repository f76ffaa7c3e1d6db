/* SPDX-License-Identifier: MIT */
/*
 * The device model of an HVM guest that has no devices: what libxl wants to
 * hear from QEMU, and nothing else. With it hvmloader runs, and hvmloader is
 * what an HVM guest has of xenstore that no other guest has: it polls the ring
 * and leaves it in a state of its own for the system that follows.
 *
 * Started by libxl with QEMU's arguments; writes device-model/DOMID/state and
 * answers every QMP command.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char greeting[] =
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, "
	"\"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n";

/* The value of KEY=... in an argument, up to a comma. */
static const char *option(const char *arg, const char *key)
{
	static char value[108];
	const char *at = strstr(arg, key);

	if (!at)
		return NULL;
	snprintf(value, sizeof(value), "%.*s",
		 (int)strcspn(at + strlen(key), ","), at + strlen(key));
	return value;
}

static int listener(const char *chardev)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *value;
	int fd;

	value = option(chardev, "fd=");
	if (value)
		return atoi(value);
	value = option(chardev, "path=");
	if (!value)
		return -1;
	memcpy(addr.sun_path, value, strlen(value) + 1);
	unlink(value);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 4))
		return -1;
	return fd;
}

static void answer(FILE *to, const char *command)
{
	const char *id = strstr(command, "\"id\":");
	const char *what = "{}";

	if (strstr(command, "query-chardev"))
		what = "[]";
	else if (strstr(command, "query-vnc"))
		what = "{\"enabled\": false}";
	fprintf(to, "{\"return\": %s, \"id\": %d}\r\n", what,
		id ? atoi(id + 5) : 0);
	fflush(to);
}

static void serve(int fd)
{
	char line[4096];
	FILE *in = fdopen(fd, "r");
	FILE *out = fdopen(dup(fd), "w");

	fputs(greeting, out);
	fflush(out);
	while (fgets(line, sizeof(line), in))
		if (strstr(line, "execute"))
			answer(out, line);
	fclose(in);
	fclose(out);
}

int main(int argc, char **argv)
{
	char command[128];
	int i, fd, qmp = -1;

	signal(SIGPIPE, SIG_IGN);
	for (i = 1; i < argc - 1; i++) {
		if (!strcmp(argv[i], "-xen-domid"))
			snprintf(command, sizeof(command),
				 "xenstore-write /local/domain/0/device-model/"
				 "%d/state running",
				 atoi(argv[i + 1]));
		if (!strcmp(argv[i], "-chardev") &&
		    strstr(argv[i + 1], "libxl-cmd"))
			qmp = listener(argv[i + 1]);
	}
	if (qmp < 0 || system(command))
		return 1;
	while ((fd = accept(qmp, NULL, NULL)) >= 0)
		serve(fd);
	return 1;
}
