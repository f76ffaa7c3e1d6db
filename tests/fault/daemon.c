/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#define START_MS 20000
#define STOP_MS 15000

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* ---- the watchdog -------------------------------------------------------- */

static void __attribute__((noreturn)) watch_over(int fd)
{
	char byte;

	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	kill(0, SIGKILL);
	_exit(0);
}

static bool watchdog_start(struct daemon *daemon)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return false;
	daemon->group = fork();
	if (daemon->group == 0) {
		setpgid(0, 0);
		close(fds[1]);
		watch_over(fds[0]);
	}
	setpgid(daemon->group, daemon->group);
	close(fds[0]);
	daemon->leash = fds[1];
	return daemon->group > 0;
}

/* Takes with it what is left of the group. */
static void watchdog_end(struct daemon *daemon)
{
	if (!daemon->group)
		return;
	close(daemon->leash);
	waitpid(daemon->group, NULL, 0);
	while (daemon_processes(daemon))
		pause_ms(1);
	daemon->group = 0;
}

/* ---- who is who ---------------------------------------------------------- */

static pid_t group_of(pid_t pid)
{
	char path[64], text[512], state;
	FILE *file;
	size_t n;
	int group;
	char *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	end = strrchr(text, ')');
	if (!end || sscanf(end, ") %c %*d %d", &state, &group) != 2 ||
	    state == 'Z' || state == 'X')
		return 0;
	return group;
}

/* Only a worker has the journal in its memory. */
static bool maps_journal(pid_t pid)
{
	char path[64], line[512];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, "/journal.") ||
			strstr(line, "/memfd:xenstored-journal");
	if (file)
		fclose(file);
	return found;
}

static pid_t find(const struct daemon *daemon, bool worker, int *count)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t pid, found = 0;

	while (dir && (entry = readdir(dir))) {
		pid = atoi(entry->d_name);
		if (pid <= 0 || pid == daemon->group ||
		    group_of(pid) != daemon->group)
			continue;
		if (count)
			++*count;
		if (worker && maps_journal(pid))
			found = pid;
	}
	if (dir)
		closedir(dir);
	return found;
}

int daemon_processes(const struct daemon *daemon)
{
	int count = 0;

	reap();
	find(daemon, false, &count);
	return count;
}

pid_t daemon_worker(const struct daemon *daemon)
{
	return find(daemon, true, NULL);
}

static void pid_path(const struct daemon *daemon, char *path, size_t room)
{
	snprintf(path, room, "%s/pid", daemon->dir);
}

pid_t daemon_keeper(const struct daemon *daemon)
{
	char path[256];
	FILE *file;
	int pid = 0;

	pid_path(daemon, path, sizeof(path));
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%d", &pid) != 1)
			pid = 0;
		fclose(file);
	}
	return pid && group_of(pid) == daemon->group ? pid : 0;
}

/* ---- beginning and end --------------------------------------------------- */

int daemon_init(struct daemon *daemon, const char *program, const char *dir)
{
	static char pid_file[256];

	memset(daemon, 0, sizeof(*daemon));
	daemon->program = program;
	daemon->dir = dir;
	snprintf(daemon->socket, sizeof(daemon->socket), "%s/socket", dir);
	daemon_option(daemon, program);
	daemon_option(daemon, "--no-fork");
	daemon_option(daemon, "--pid-file");
	pid_path(daemon, pid_file, sizeof(pid_file));
	daemon_option(daemon, pid_file);
	return prctl(PR_SET_CHILD_SUBREAPER, 1) ? -errno : 0;
}

void daemon_option(struct daemon *daemon, const char *option)
{
	size_t n = 0;

	while (daemon->argv[n])
		n++;
	daemon->argv[n] = (char *)option;
}

static void __attribute__((noreturn)) become(const struct daemon *daemon)
{
	char path[256];
	int fd;

	setpgid(0, daemon->group);
	snprintf(path, sizeof(path), "%s/log", daemon->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd >= 0) {
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
	}
	setenv("XENSTORED_RUNDIR", daemon->dir, 1);
	unsetenv("XENSTORED_PATH");
	unsetenv("NOTIFY_SOCKET");
	if (daemon->preload)
		setenv("LD_PRELOAD", daemon->preload, 1);
	execv(daemon->program, daemon->argv);
	_exit(127);
}

static bool serves(const struct daemon *daemon)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct {
		struct xsd_sockmsg head;
		char path[2];
	} request = { { .type = XS_READ, .len = 2 }, "/" };
	struct xsd_sockmsg answer;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { 5, 0 };
	bool ok;

	strcpy(addr.sun_path, daemon->socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ok = !connect(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
	     send(fd, &request, sizeof(request.head) + 2, MSG_NOSIGNAL) > 0 &&
	     recv(fd, &answer, sizeof(answer), MSG_WAITALL) == sizeof(answer);
	close(fd);
	return ok;
}

bool daemon_start(struct daemon *daemon)
{
	pid_t pid;
	int ms;

	if (!daemon->group && !watchdog_start(daemon))
		return false;
	pid = fork();
	if (pid == 0)
		become(daemon);
	setpgid(pid, daemon->group);
	for (ms = 0; ms < START_MS; ms += 2) {
		if (serves(daemon))
			return true;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return false;
		pause_ms(2);
	}
	return false;
}

bool daemon_stop(struct daemon *daemon)
{
	pid_t keeper = daemon_keeper(daemon);
	bool orderly = false;
	int ms;

	if (keeper)
		kill(keeper, SIGTERM);
	for (ms = 0; ms < STOP_MS && keeper && !orderly; ms += 5) {
		orderly = !daemon_processes(daemon);
		if (!orderly)
			pause_ms(5);
	}
	watchdog_end(daemon);
	return orderly;
}

void daemon_kill_all(struct daemon *daemon)
{
	if (!daemon->group)
		return;
	kill(-daemon->group, SIGKILL);
	watchdog_end(daemon);
}

bool daemon_kill_worker(struct daemon *daemon)
{
	pid_t pid = daemon_worker(daemon);

	reap();
	return pid && !kill(pid, SIGKILL);
}

bool daemon_kill_keeper(struct daemon *daemon)
{
	pid_t pid = daemon_keeper(daemon);
	int ms;

	if (!pid || kill(pid, SIGKILL))
		return false;
	for (ms = 0; ms < START_MS; ms += 2) {
		pid_t now;

		reap();
		now = daemon_keeper(daemon);
		if (now && now != pid)
			return true;
		pause_ms(2);
	}
	return false;
}
