/* SPDX-License-Identifier: MIT */
/* list and ls: what is below a node. */
#include "text.h"
#include "tool.h"
#include "walk.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void print_child(struct job *j, const char *path, const char *name)
{
	if (j->prefix) {
		if (strcmp(path, "/"))
			text_name(j->out, path, strlen(path));
		putc('/', j->out);
	}
	text_name(j->out, name, strlen(name));
	putc('\n', j->out);
}

int cmd_list(struct job *j)
{
	int i;

	for (i = 0; i < j->nargs; i++) {
		unsigned int num, k;
		char **names = xs_directory(j->xs, j->tx, j->args[i], &num);

		if (!names) {
			text_warn("could not list path %s", j->args[i]);
			return 1;
		}
		for (k = 0; k < num; k++)
			print_child(j, j->args[i], names[k]);
		free(names);
	}
	return 0;
}

/*
 * A line of ls is
 *
 *	indent name = "value" . . . . .  (n0,r1)
 *
 * with the last two parts for -p only. TAG is what surrounds name and value
 * and stays clear at the end of the line; PERMS_COL is where the dots end.
 */
#define TAG	  8
#define PERMS_COL 60

/* Columns of a line. */
static int line_width(struct job *j)
{
	struct winsize ws;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws))
		return ws.ws_col - 2;
	return j->flat ? INT_MAX : 80;
}

/* How much of len fits; room below zero never limited anything. */
static size_t cut(size_t len, long room)
{
	return room < 0 || len < (size_t)room ? len : (size_t)room;
}

/* Prints at most room columns of an escaped value, returns how many. */
static long print_value(FILE *out, const char *val, size_t len, long room)
{
	char esc[TEXT_BYTE_MAX];
	long col = 0;
	size_t i, n;

	for (i = 0; i < len; i++) {
		n = text_byte(esc, val[i]);
		if (room >= 0 && col + (long)n > room)
			n = room - col;
		fwrite_unlocked(esc, 1, n, out);
		col += n;
		if (col == room)
			break;
	}
	return col;
}

/* Leads the eye from a value to its permissions. */
static void print_dots(struct job *j, long col, int width)
{
	const long end = width < PERMS_COL ? width : PERMS_COL;

	putc_unlocked(' ', j->out);
	for (col++; !j->flat && col < end; col++)
		putc_unlocked(col & 1 ? '.' : ' ', j->out);
}

static void print_perms(struct job *j, const char *path, const char *name)
{
	unsigned int num;
	struct xs_permissions *p = xs_get_permissions(j->xs, j->tx, path, &num);

	if (!p) {
		const char *why = strerror(errno);

		fflush(j->out);
		fprintf(stderr, "%s: \ncould not access permissions for ",
			program_invocation_short_name);
		text_name(stderr, name, strlen(name));
		fprintf(stderr, ": %s\n", why);
		return;
	}
	fputs("  (", j->out);
	text_perms(j->out, p, num);
	putc(')', j->out);
	free(p);
}

static void print_node(struct job *j, const struct walk *w, int width)
{
	unsigned int len;
	char *val;
	long col = 0;

	if (j->flat) {
		text_name(j->out, w->path, w->len);	/* at no cost of room */
	} else {
		for (; col < (long)w->depth - 1; col++)
			putc_unlocked(' ', j->out);
		len = cut(w->len - w->name, width - TAG - col);
		text_name(j->out, w->path + w->name, len);
		col += len;
	}

	val = xs_read(j->xs, j->tx, w->path, &len);
	if (!val) {
		fputs(":\n", j->out);
	} else if (width >= 0 && col + (long)len + TAG > width) {
		fputs(" = \"", j->out);
		print_value(j->out, val, len, width - TAG - col);
		fputs("\\...\"", j->out);
	} else {
		fputs(" = \"", j->out);
		col += print_value(j->out, val, len, -1) + 5;
		putc_unlocked('"', j->out);
		if (j->prefix)
			print_dots(j, col, width);
	}
	free(val);

	if (j->prefix)
		print_perms(j, w->path, w->path + w->name);
	putc_unlocked('\n', j->out);
}

static int ls(struct job *j, const char *path, int width)
{
	struct walk w;
	int more;

	walk_start(&w, j, path);
	while ((more = walk_next(&w)) > 0)
		print_node(j, &w, width);
	if (more < 0)
		text_warn("xs_directory (%s): %s", w.path, strerror(errno));
	walk_stop(&w);
	return more < 0;
}

int cmd_ls(struct job *j)
{
	static char root[] = "/", *def = root;
	int width = line_width(j), i;

	if (!j->nargs) {
		j->args = &def;
		j->nargs = 1;
	}
	for (i = 0; i < j->nargs; i++) {
		if (ls(j, j->args[i], width))
			return 1;
	}
	return 0;
}
