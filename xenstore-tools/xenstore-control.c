/* SPDX-License-Identifier: MIT */
/*
 * xenstore-control: hands a command to the daemon and prints its answer.
 * Live update is a dialogue of several commands, see live_update().
 */
#include "streams.h"
#include "text.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

enum { DONE, NO_CONTACT, WRONG_USAGE, REFUSED };

/* Parameters of a control command, each with its terminating zero. */
struct params {
	char *data;
	size_t len;
};

static void add_bytes(struct params *p, const void *data, size_t len)
{
	p->data = text_alloc(p->data, p->len + len + 1);
	memcpy(p->data + p->len, data, len);
	p->len += len;
	p->data[p->len++] = '\0';
}

static void add(struct params *p, const char *s)
{
	add_bytes(p, s, strlen(s));
}

static void add_number(struct params *p, unsigned long n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", n);
	add(p, text);
}

static int explain_failure(struct xs_handle *xs)
{
	char *help;

	if (errno != EINVAL) {
		fprintf(stderr, "Error %d when trying to execute command.\n",
			errno);
		return REFUSED;
	}

	help = xs_control_command(xs, "help", NULL, 0);
	if (help) {
		fputs("Command not supported. Valid commands are:\n", stderr);
		text_lines(stderr, help);
		putc('\n', stderr);
	} else {
		fputs("Error when executing command.\n", stderr);
	}
	free(help);
	return REFUSED;
}

/*
 * A list that is longer than an answer ends with a line "more: " and the
 * command for the rest, which is the same one with other arguments. Cuts the
 * line off and returns those; NULL if there is none.
 */
static char *cut_rest(char *answer, const char *command)
{
	static const char mark[] = "\nmore: ";
	size_t len = strlen(answer), words = strlen(command);
	char *line;

	if (!len || answer[--len] != '\n')
		return NULL;
	line = memrchr(answer, '\n', len);
	if (!line || strncmp(line, mark, strlen(mark)) ||
	    strncmp(line + strlen(mark), command, words) ||
	    line[strlen(mark) + words] != ' ')
		return NULL;
	*line = answer[len] = '\0';
	return line + strlen(mark) + words + 1;
}

static int simple_command(struct xs_handle *xs, char **argv)
{
	struct params p = { 0 };
	char *answer, *rest, *word, **arg;

	for (arg = argv + 1; *arg; arg++)
		add(&p, *arg);
	do {
		answer = xs_control_command(xs, argv[0], p.data, p.len);
		free(p.data);
		if (!answer)
			return explain_failure(xs);

		p = (struct params){ 0 };
		rest = cut_rest(answer, argv[0]);
		while ((word = strsep(&rest, " ")))
			add(&p, word);
		if (*answer) {
			text_lines(stdout, answer);
			putchar('\n');
		}
		free(answer);
	} while (p.data);
	return DONE;
}

struct update {
	const char *file;
	const char *cmdline;	/* NULL: the daemon keeps its own */
	const char *version;	/* of the state stream; NULL: the default */
	unsigned int timeout;	/* seconds */
	bool force;
};

/*
 * Sends one step and frees p. The daemon answers OK or tells what is wrong;
 * the answer, never NULL, is the caller's.
 */
static char *step(struct xs_handle *xs, struct params *p)
{
	char *answer = xs_control_command(xs, "live-update", p->data, p->len);

	free(p->data);
	if (!answer)
		answer = strdup(strerror(errno));
	if (!answer)
		err(1, NULL);
	return answer;
}

/* Frees the answer. */
static bool accepted(char *answer, const char *failure)
{
	bool ok = !strcmp(answer, "OK");

	if (!ok) {
		fprintf(stderr, "%s:\n", failure);
		text_lines(stderr, answer);
		putc('\n', stderr);
	}
	free(answer);
	return ok;
}

static void cancel(struct xs_handle *xs)
{
	struct params p = { 0 };

	add(&p, "-a");
	free(step(xs, &p));
}

/* Nothing to cancel if it fails: the daemon may be busy with another update. */
static int set_file(struct xs_handle *xs, const struct update *u)
{
	struct params p = { 0 };

	add(&p, "-f");
	add(&p, u->file);
	return accepted(step(xs, &p), "Setting update binary failed") ?
		DONE : REFUSED;
}

/* Reads the whole file; complains and returns NULL if that is impossible. */
static char *load_image(const char *name, size_t *len)
{
	FILE *f = fopen(name, "re");
	char *data = NULL;
	size_t n;

	*len = 0;
	if (!f) {
		text_warn("%s: %s", name, strerror(errno));
		return NULL;
	}
	do {
		data = text_alloc(data, *len + 65536);
		n = fread(data + *len, 1, 65536, f);
		*len += n;
	} while (n);
	if (ferror(f) || !*len) {
		text_warn("%s: cannot be read or is empty", name);
		free(data);
		data = NULL;
	}
	fclose(f);
	return data;
}

/* A daemon in a domain of its own sees no files: it gets the kernel itself. */
static int send_image(struct xs_handle *xs, const struct update *u)
{
	const size_t chunk = 2048;
	struct params p = { 0 };
	size_t len, off, n;
	char *image = load_image(u->file, &len);
	bool ok;

	if (!image)
		return NO_CONTACT;
	if (len > 2 && !memcmp(image, "\x1f\x8b", 2)) {
		text_warn("%s: is compressed, unpack it first", u->file);
		free(image);
		return NO_CONTACT;
	}

	add(&p, "-b");
	add_number(&p, len);
	ok = accepted(step(xs, &p), "Starting live update failed");
	for (off = 0; ok && off < len; off += n) {
		n = len - off < chunk ? len - off : chunk;
		p = (struct params){ 0 };
		add(&p, "-d");
		add_number(&p, n);
		add_bytes(&p, image + off, n);
		ok = accepted(step(xs, &p), "Transfer of new binary failed");
	}
	free(image);
	if (ok)
		return DONE;
	cancel(xs);
	return REFUSED;
}

static bool set_cmdline(struct xs_handle *xs, const struct update *u)
{
	struct params p = { 0 };

	if (!u->cmdline)
		return true;
	add(&p, "-c");
	add(&p, u->cmdline);
	return accepted(step(xs, &p), "Setting update binary failed");
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* oxenstored says BUSY until it is done, C xenstored answers when it is. */
static bool start(struct xs_handle *xs, const struct update *u)
{
	time_t end = seconds() + u->timeout;
	char *answer = strdup("BUSY");

	if (!answer)
		err(1, NULL);
	while (!strcmp(answer, "BUSY") && seconds() < end) {
		struct params p = { 0 };

		free(answer);
		add(&p, "-s");
		add(&p, "-t");
		add_number(&p, u->timeout);
		if (u->force)
			add(&p, "-F");
		if (u->version) {
			add(&p, "-v");
			add(&p, u->version);
		}
		answer = step(xs, &p);
		if (!strcmp(answer, "BUSY"))
			sleep(1);
	}
	return accepted(answer, "Starting live update failed");
}

static bool parse_timeout(const char *text, unsigned int *out)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*out = value;
	return *text >= '0' && *text <= '9' && !*end && value <= INT_MAX;
}

/* 0, or the exit status after a complaint. Words that are no option: file. */
static int parse_update(struct update *u, char **argv)
{
	const char *timeout = "60";
	char **arg;

	for (arg = argv; *arg; arg++) {
		const char **value, *what;

		if (!strcmp(*arg, "-c")) {
			value = &u->cmdline;
			what = "command line";
		} else if (!strcmp(*arg, "-t")) {
			value = &timeout;
			what = "timeout";
		} else if (!strcmp(*arg, "-v")) {
			value = &u->version;
			what = "version";
		} else {
			if (!strcmp(*arg, "-F"))
				u->force = true;
			else
				u->file = *arg;
			continue;
		}

		if (!arg[1]) {
			fprintf(stderr, "Missing %s value\n", what);
			return WRONG_USAGE;
		}
		*value = *++arg;
	}
	if (!u->file) {
		fputs("Missing binary specification\n", stderr);
		return WRONG_USAGE;
	}
	if (!parse_timeout(timeout, &u->timeout)) {
		fputs("Invalid timeout value\n", stderr);
		return WRONG_USAGE;
	}
	return DONE;
}

static int live_update(struct xs_handle *xs, char **argv)
{
	struct update u = { 0 };
	int ret = parse_update(&u, argv + 1);
	char *domid;

	if (ret)
		return ret;

	domid = xs_read(xs, XBT_NULL, "/tool/xenstored/domid", NULL);
	ret = domid ? send_image(xs, &u) : set_file(xs, &u);
	free(domid);
	if (ret)
		return ret;

	if (set_cmdline(xs, &u) && start(xs, &u))
		return DONE;
	cancel(xs);
	return REFUSED;
}

int main(int argc, char **argv)
{
	struct xs_handle *xs;
	int ret;

	streams_begin();
	if (argc < 2) {
		fprintf(stderr, "Usage:\n%s <command> [<arg>...]\n", argv[0]);
		return WRONG_USAGE;
	}

	xs = xs_open(0);
	if (!xs) {
		fputs("Failed to contact Xenstored.\n", stderr);
		return NO_CONTACT;
	}
	if (!strcmp(argv[1], "live-update"))
		ret = live_update(xs, argv + 1);
	else
		ret = simple_command(xs, argv + 1);
	xs_close(xs);

	if (!streams_end() && !ret)
		ret = REFUSED;
	return ret;
}
