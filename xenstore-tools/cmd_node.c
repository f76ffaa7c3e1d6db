/* SPDX-License-Identifier: MIT */
/* read, write, rm, exists: modes that look at or change single nodes. */
#include "text.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

int cmd_read(struct job *j)
{
	int i;

	for (i = 0; i < j->nargs; i++) {
		const char *path = j->args[i];
		unsigned int len;
		char *val = xs_read(j->xs, j->tx, path, &len);

		if (!val) {
			text_warn("couldn't read path %s", path);
			return 1;
		}
		if (j->prefix) {
			text_name(j->out, path, strlen(path));
			fputs(": ", j->out);
		}
		if (j->raw) {
			fwrite(val, 1, len, j->out);
		} else {
			text_value(j->out, val, len);
			putc('\n', j->out);
		}
		free(val);
	}
	return 0;
}

static bool write_one(struct job *j, const char *path, const char *arg)
{
	size_t len;
	char *val;
	bool ok;

	if (j->raw)
		return xs_write(j->xs, j->tx, path, arg, strlen(arg));

	val = text_parse(arg, &len);
	ok = xs_write(j->xs, j->tx, path, val, len);
	free(val);
	return ok;
}

int cmd_write(struct job *j)
{
	int i;

	for (i = 0; i < j->nargs; i += 2) {
		if (!write_one(j, j->args[i], j->args[i + 1])) {
			text_warn("could not write path %s", j->args[i]);
			return 1;
		}
	}
	return 0;
}

static bool is_bare(struct job *j, const char *path)
{
	unsigned int len, kids;
	char *val, **names;

	val = xs_read(j->xs, j->tx, path, &len);
	free(val);
	if (!val || len)
		return false;

	names = xs_directory(j->xs, j->tx, path, &kids);
	free(names);
	return names && !kids;
}

/* Removes ancestors that have nothing left; path is cut at each slash. */
static int rm_bare_parents(struct job *j, char *path)
{
	char *slash;

	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		if (!is_bare(j, path))
			break;
		if (!xs_rm(j->xs, j->tx, path)) {
			text_warn("could not remove path %s", path);
			return 1;
		}
	}
	return 0;
}

int cmd_rm(struct job *j)
{
	int i;

	for (i = 0; i < j->nargs; i++) {
		char *path;
		int ret;

		if (!xs_rm(j->xs, j->tx, j->args[i])) {
			text_warn("could not remove path %s", j->args[i]);
			return 1;
		}
		if (!j->tidy)
			continue;

		path = text_alloc(NULL, strlen(j->args[i]) + 1);
		ret = rm_bare_parents(j, strcpy(path, j->args[i]));
		free(path);
		if (ret)
			return ret;
	}
	return 0;
}

int cmd_exists(struct job *j)
{
	int i;

	for (i = 0; i < j->nargs; i++) {
		char *val = xs_read(j->xs, j->tx, j->args[i], NULL);

		free(val);
		if (!val)
			return 1;
	}
	return 0;
}
