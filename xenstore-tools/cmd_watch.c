/* SPDX-License-Identifier: MIT */
/* watch: prints paths as they change. */
#include "text.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

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

static bool print_event(struct job *j)
{
	unsigned int num;
	char **event = xs_read_watch(j->xs, &num);

	if (!event) {
		text_warn("connection to xenstore lost");
		return false;
	}
	text_name(j->out, event[XS_WATCH_PATH], strlen(event[XS_WATCH_PATH]));
	putc('\n', j->out);
	fflush(j->out);
	free(event);
	return !ferror(j->out);
}

int cmd_watch(struct job *j)
{
	int i;

	for (i = 0; i < j->nargs; i++) {
		if (!add_watch(j, j->args[i]))
			return 1;
	}

	while (j->number) {
		if (!print_event(j))
			return 1;
		if (j->number > 0)
			j->number--;
	}
	return 0;
}
