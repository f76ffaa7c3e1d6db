/* SPDX-License-Identifier: MIT */
/*
 * dump and load: a part of the store as lines of text, and back. A line is
 *
 *	n0,r5 /path/of/node value
 *
 * with the value as read prints and write takes it.
 */
#include "text.h"
#include "tool.h"
#include "walk.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A node that vanishes meanwhile is passed over, as in ls. */
static int dump_node(struct job *j, const char *path)
{
	struct xs_permissions *perms = NULL;
	unsigned int num, len;
	char *val = xs_read(j->xs, j->tx, path, &len);
	int ret = 0;

	if (val)
		perms = xs_get_permissions(j->xs, j->tx, path, &num);
	if (perms) {
		text_perms(j->out, perms, num);
		putc(' ', j->out);
		text_name(j->out, path, strlen(path));
		putc(' ', j->out);
		text_value(j->out, val, len);
		putc('\n', j->out);
	} else if (errno != ENOENT) {
		text_warn("could not read %s: %s", path, strerror(errno));
		ret = 1;
	}
	free(perms);
	free(val);
	return ret;
}

static int dump(struct job *j, const char *top)
{
	struct walk w;
	int more = 1, ret;

	ret = dump_node(j, top);
	walk_start(&w, j, top);
	while (!ret && (more = walk_next(&w)) > 0)
		ret = dump_node(j, w.path);
	if (more < 0) {
		text_warn("could not list %s: %s", w.path, strerror(errno));
		ret = 1;
	}
	walk_stop(&w);
	return ret;
}

int cmd_dump(struct job *j)
{
	static char root[] = "/", *def = root;
	int i, ret = 0;

	if (!j->nargs) {
		j->args = &def;
		j->nargs = 1;
	}
	for (i = 0; !ret && i < j->nargs; i++)
		ret = dump(j, j->args[i]);
	return ret;
}

/* ---- load ---- */

/* Turns "n0,r5" into a list that the caller frees; NULL: it is none. */
static struct xs_permissions *parse_perms(char *text, unsigned int *num)
{
	struct xs_permissions *perms;
	char *p;

	*num = 1;
	for (p = text; *p; p++) {
		if (*p == ',') {
			*p = '\0';
			++*num;
		}
	}
	perms = text_alloc(NULL, *num * sizeof(*perms));
	if (xs_strings_to_perms(perms, *num, text))
		return perms;
	free(perms);
	return NULL;
}

static int load_node(struct job *j, const char *path, const char *value,
		     struct xs_permissions *perms, unsigned int num)
{
	size_t len;
	char *val = text_parse(value, &len);
	bool ok = xs_write(j->xs, j->tx, path, val, len) &&
		  xs_set_permissions(j->xs, j->tx, path, perms, num);

	free(val);
	if (ok)
		return 0;
	text_warn("could not load %s: %s", path, strerror(errno));
	return 1;
}

static int load_line(struct job *j, char *line, unsigned int number)
{
	char *value, *path = strchr(line, ' ');
	struct xs_permissions *perms = NULL;
	unsigned int num;
	int ret = 1;

	value = path ? strchr(path + 1, ' ') : NULL;
	if (value) {
		*path++ = '\0';
		*value++ = '\0';
		perms = parse_perms(line, &num);
	}
	if (perms)
		ret = load_node(j, path, value, perms, num);
	else
		text_warn("line %u is not one of dump", number);
	free(perms);
	return ret;
}

/* All of standard input, which can be read but once. */
static const char *input(void)
{
	static char *text;
	size_t room = 0;
	ssize_t len;

	if (text)
		return text;
	len = getdelim(&text, &room, '\0', stdin);
	if (ferror(stdin))
		err(1, "standard input");
	if (len > 0 && !text[len - 1])
		errx(1, "standard input is no text");
	if (len < 0) {
		text = text_alloc(text, 1);
		*text = '\0';
	}
	return text;
}

int cmd_load(struct job *j)
{
	char *copy = strdup(input()), *line, *rest = copy;
	unsigned int number = 0;
	int ret = 0;

	if (!copy)
		err(1, NULL);
	while (!ret && (line = strsep(&rest, "\n"))) {
		number++;
		if (*line)
			ret = load_line(j, line, number);
	}
	free(copy);
	return ret;
}
