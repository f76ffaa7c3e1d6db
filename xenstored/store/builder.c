/* SPDX-License-Identifier: MIT */
#include "store/builder.h"

#include <errno.h>
#include <string.h>

#include "store/kids.h"

/* A node that may get children still, and those that it has. */
struct level {
	struct node *node;
	size_t len;		/* of its path; 0: the root */
	struct kid_built *kids;	/* by name; kept for the next node here */
	size_t n, room;
};

struct builder {
	struct nodes *nodes;
	struct level *levels;
	size_t depth, room;	/* levels in use, levels there are */
	char last[PATH_MAX_LEN + 1];	/* path that was added */
	size_t last_len;
};

static int builder_free(struct builder *b)
{
	size_t i;

	for (; b->depth; b->depth--) {
		const struct level *level = &b->levels[b->depth - 1];

		for (i = 0; i < level->n; i++)
			node_unref(level->kids[i].node);
		if (b->depth == 1)
			node_unref(level->node);
	}
	return 0;
}

int builder_new(TALLOC_CTX *ctx, struct nodes *nodes, struct builder **out)
{
	struct builder *b = talloc_zero(ctx, struct builder);

	if (!b)
		return -ENOMEM;
	b->nodes = nodes;
	talloc_set_destructor(b, builder_free);
	*out = b;
	return 0;
}

/* The node becomes the last level. */
static int push(struct builder *b, struct node *node, size_t len)
{
	size_t room = b->room ? 2 * b->room : 16;
	struct level *levels;

	if (b->depth == b->room) {
		levels = talloc_realloc(b, b->levels, struct level, room);
		if (!levels)
			return -ENOMEM;
		memset(levels + b->room, 0,
		       (room - b->room) * sizeof(*levels));
		b->levels = levels;
		b->room = room;
	}
	b->levels[b->depth].node = node;
	b->levels[b->depth++].len = len;
	return 0;
}

/* No more nodes come below the last level. */
static int pop(struct builder *b)
{
	struct level *level = &b->levels[b->depth - 1];
	size_t n = level->n;

	level->n = 0;
	b->depth--;
	return n ? kids_build(b->nodes, level->kids, n, &level->node->kids) :
		   0;
}

static int add_kid(struct builder *b, struct level *level, struct node *kid,
		   uint64_t order)
{
	size_t room = level->room ? 2 * level->room : 16;
	struct kid_built *kids;

	if (level->n == level->room) {
		kids = talloc_realloc(b, level->kids, struct kid_built, room);
		if (!kids)
			return -ENOMEM;
		level->kids = kids;
		level->room = room;
	}
	level->kids[level->n++] = (struct kid_built){ kid, order, 0 };
	return 0;
}

static int begin(struct builder *b, const char *path, struct perms *perms,
		 uint64_t generation)
{
	const struct blob nothing = { NULL, 0 };
	struct node *root;
	int err;

	if (!path_is_root(path))
		return -EPROTO;
	root = node_new(b->nodes, nothing, nothing, perms, generation);
	if (!root)
		return -ENOMEM;
	err = push(b, root, 0);
	if (err)
		node_unref(root);
	return err;
}

/* U1: leaves the levels that the path does not begin with, and finds its
 * parent among the others. */
static int find_parent(struct builder *b, const char *path, size_t len,
		       struct level **parent)
{
	const size_t parent_len = path_parent_len(path, len);
	size_t same = 0, i;
	int err;

	while (same + 8 <= len && same + 8 <= b->last_len &&
	       !memcmp(path + same, b->last + same, 8))
		same += 8;
	while (path[same] && path[same] == b->last[same])
		same++;
	if ((unsigned char)path[same] <= (unsigned char)b->last[same])
		return -EPROTO;
	while (b->levels[b->depth - 1].len > same) {
		err = pop(b);
		if (err)
			return err;
	}
	memcpy(b->last + same, path + same, len - same + 1);
	b->last_len = len;
	for (i = b->depth; i--;) {
		if (b->levels[i].len != parent_len)
			continue;
		*parent = &b->levels[i];
		return 0;
	}
	return -EPROTO;
}

static struct blob name_of(const char *path, size_t len, size_t parent_len)
{
	size_t at = parent_len > 1 ? parent_len + 1 : parent_len;

	return (struct blob){ path + at, len - at };
}

static bool is_path(const char *path, size_t len)
{
	return len <= PATH_MAX_LEN &&
	       (path_is_special(path) || path_is_root(path) ||
		(path[0] == '/' && path[len - 1] != '/'));
}

int builder_add(struct builder *b, const char *path, struct blob value,
		struct perms *perms, uint64_t generation, uint64_t order)
{
	const size_t len = strlen(path);
	struct level *parent;
	struct node *node;
	int err = is_path(path, len) ? 0 : -EPROTO;

	if (!err && !b->depth)
		err = begin(b, path, perms, generation);
	if (!err)
		err = find_parent(b, path, len, &parent);
	if (err)
		return err;
	node = node_new(b->nodes, name_of(path, len, parent->len), value, perms,
			generation);
	if (!node)
		return -ENOMEM;
	err = add_kid(b, parent, node, order);
	if (err) {
		node_unref(node);
		return err;
	}
	return push(b, node, len);
}

int builder_end(struct builder *b, struct node **root)
{
	int err = 0;

	while (!err && b->depth > 1)
		err = pop(b);
	if (err)
		return err;
	*root = b->depth ? b->levels[0].node : NULL;
	if (b->depth)
		err = pop(b);
	if (err) {
		node_unref(*root);
		*root = NULL;
	}
	return err;
}
