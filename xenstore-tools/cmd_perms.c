/* SPDX-License-Identifier: MIT */
/* chmod: sets permissions of a node, its ancestors, its descendants. */
#include "text.h"
#include "tool.h"
#include "walk.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct perms {
	struct xs_permissions *list;
	unsigned int num;
};

/* The domid is atoi()'s: an empty or odd one is 0, as it always was. */
static int parse_perms(struct job *j, struct perms *p)
{
	unsigned int i;

	p->num = j->nargs - 1;
	p->list = text_alloc(NULL, p->num * sizeof(*p->list));

	for (i = 0; i < p->num; i++) {
		const char *spec = j->args[i + 1];
		struct xs_permissions *e = &p->list[i];

		switch (spec[0]) {
		case 'r':
			e->perms = XS_PERM_READ;
			break;
		case 'w':
			e->perms = XS_PERM_WRITE;
			break;
		case 'b':
			e->perms = XS_PERM_READ | XS_PERM_WRITE;
			break;
		case 'n':
			e->perms = XS_PERM_NONE;
			break;
		default:
			text_warn("Invalid permission specification: '%c'",
				  spec[0]);
			return 1;
		}
		e->id = atoi(spec + 1);
	}
	return 0;
}

static int set_perms(struct job *j, const char *path, const struct perms *p)
{
	if (xs_set_permissions(j->xs, j->tx, path, p->list, p->num))
		return 0;
	text_warn("Error occurred setting permissions on '%s': %s", path,
		  strerror(errno));
	return 1;
}

/* All ancestors but the root. */
static int set_upwards(struct job *j, const struct perms *p)
{
	char *path = strdup(j->args[0]), *slash;
	int ret = 0;

	if (!path)
		err(1, NULL);
	while (!ret && (slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		ret = set_perms(j, path, p);
	}
	free(path);
	return ret;
}

static int set_below(struct job *j, const struct perms *p)
{
	struct walk w;
	int ret = 0, more;

	walk_start(&w, j, j->args[0]);
	while (!ret && (more = walk_next(&w))) {
		if (more < 0) {
			text_warn("could not list path %s", w.path);
			ret = 1;
		} else {
			ret = set_perms(j, w.path, p);
		}
	}
	walk_stop(&w);
	return ret;
}

int cmd_chmod(struct job *j)
{
	struct perms p;
	int ret = parse_perms(j, &p);

	if (!ret)
		ret = set_perms(j, j->args[0], &p);
	if (!ret && j->upto)
		ret = set_upwards(j, &p);
	if (!ret && j->recurse)
		ret = set_below(j, &p);
	free(p.list);
	return ret;
}
