/* SPDX-License-Identifier: MIT */
/* watch and follow: print paths, and values, as they change. */
#include "text.h"
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool add_watch(struct job *j, const char *path)
{
	bool ok;

	if (j->depth < 0)
		ok = xs_watch(j->xs, path, path);
	else
		ok = xs_watch_depth(j->xs, path, path, j->depth);
	if (ok)
		return true;

	if (j->depth < 0)
		text_warn("Unable to add watch on %s", path);
	else
		text_warn("Unable to add watch on %s with depth %d", path,
			  j->depth);
	putc('\n', stderr);
	return false;
}

static void print_time(struct job *j)
{
	struct timespec now;
	struct tm tm;
	char text[16];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%T", &tm);
	fprintf(j->out, "%s.%03ld ", text, now.tv_nsec / 1000000);
}

/* What it is by now. Where domains come and go there is no value. */
static void print_value(struct job *j, const char *path)
{
	unsigned int len;
	char *val;

	if (*path == '@')
		return;
	val = xs_read(j->xs, XBT_NULL, path, &len);
	if (val) {
		fputs(" = \"", j->out);
		text_value(j->out, val, len);
		putc('"', j->out);
		free(val);
	} else {
		fprintf(j->out, ": %s", errno == ENOENT ? "not there" :
							  strerror(errno));
	}
}

static bool print_event(struct job *j, bool whole)
{
	unsigned int num;
	char **event = xs_read_watch(j->xs, &num);
	const char *path;

	if (!event) {
		text_warn("connection to xenstore lost");
		return false;
	}
	path = event[XS_WATCH_PATH];
	if (whole)
		print_time(j);
	text_name(j->out, path, strlen(path));
	if (whole)
		print_value(j, path);
	putc('\n', j->out);
	fflush(j->out);
	free(event);
	return !ferror(j->out);
}

static int watch(struct job *j, bool whole)
{
	int i;

	for (i = 0; i < j->nargs; i++) {
		if (!add_watch(j, j->args[i]))
			return 1;
	}

	while (j->number) {
		if (!print_event(j, whole))
			return 1;
		if (j->number > 0)
			j->number--;
	}
	return 0;
}

int cmd_watch(struct job *j)
{
	return watch(j, false);
}

int cmd_follow(struct job *j)
{
	static char root[] = "/", *def = root;

	if (!j->nargs) {
		j->args = &def;
		j->nargs = 1;
	}
	return watch(j, true);
}
