/* SPDX-License-Identifier: MIT */
#include "walk.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The children of one node on the way to w->path. */
struct level {
	char **names;
	unsigned int num, next;
	size_t len;		/* of the parent's path */
};

void walk_start(struct walk *w, struct job *j, const char *top)
{
	memset(w, 0, sizeof(*w));
	w->job = j;
	w->len = strlen(top);
	w->room = w->len + 256;
	w->path = text_alloc(NULL, w->room);
	memcpy(w->path, top, w->len + 1);
}

/* Lists the node at w->path and makes its children the ones to visit next. */
static int descend(struct walk *w)
{
	struct level *l;

	if (w->depth == w->max_depth) {
		w->max_depth += 16;
		w->levels = text_alloc(w->levels,
				       w->max_depth * sizeof(*w->levels));
	}

	l = &w->levels[w->depth];
	l->names = xs_directory(w->job->xs, w->job->tx, w->path, &l->num);
	if (!l->names)
		return -1;
	l->next = 0;
	l->len = w->len;
	w->depth++;
	return 0;
}

static void go_to_child(struct walk *w, struct level *l)
{
	const char *name = l->names[l->next++];
	size_t len = strlen(name);
	char *end;

	if (l->len + len + 2 > w->room) {
		w->room = l->len + len + 256;
		w->path = text_alloc(w->path, w->room);
	}

	end = w->path + l->len;
	if (l->len != 1 || w->path[0] != '/')	/* no second slash below / */
		*end++ = '/';
	memcpy(end, name, len + 1);
	w->name = end - w->path;
	w->len = w->name + len;
}

int walk_next(struct walk *w)
{
	if (descend(w) && (errno != ENOENT || !w->depth))
		return -1;

	while (w->depth) {
		struct level *l = &w->levels[w->depth - 1];

		if (l->next < l->num) {
			go_to_child(w, l);
			return 1;
		}
		free(l->names);
		w->depth--;
	}
	return 0;
}

void walk_stop(struct walk *w)
{
	while (w->depth)
		free(w->levels[--w->depth].names);
	free(w->levels);
	free(w->path);
}
