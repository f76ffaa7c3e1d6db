/* SPDX-License-Identifier: MIT */
#include "store/tree.h"

#include <errno.h>
#include <string.h>

#include "store/kids.h"
#include "store/node_priv.h"
#include "store/path.h"

static const struct blob nothing;

int tree_new(struct nodes *nodes, struct perms *perms, uint64_t generation,
	     struct node **root)
{
	struct node *top = node_new(nodes, nothing, nothing, perms, generation);
	struct node *slash = node_new(nodes, (struct blob){ "/", 1 }, nothing,
				      perms, generation);

	if (!top || !slash || kids_add(nodes, &top->kids, slash)) {
		node_unref(top);
		node_unref(slash);
		return -ENOMEM;
	}

	*root = top;
	return 0;
}

/* The names below the root: "/", then each component; or the special name. */
static bool next_name(const char *path, const char **name, size_t *len)
{
	if (!path_is_special(path)) {
		if (!*name) {
			*name = path;
			*len = 1;
			return true;
		}
		if (*name == path)
			*name = NULL;
	}

	return path_next(path, name, len);
}

struct node *tree_nearest(const struct node *root, const char *path,
			  size_t *len)
{
	const struct node *node = root;
	const char *name = NULL;
	struct node *found = NULL, *kid;
	size_t n = 0;

	while (next_name(path, &name, &n)) {
		kid = node_kid(node, name, n);
		if (!kid)
			break;
		node = found = kid;
		*len = (size_t)(name - path) + n;
	}

	return found;
}

struct node *tree_find(const struct node *root, const char *path)
{
	size_t len;
	struct node *found = tree_nearest(root, path, &len);

	return found && !path[len] ? found : NULL;
}

struct node *tree_find_with_parent(const struct node *root, const char *path,
				   struct node **parent)
{
	const struct node *node = root;
	const char *name = NULL;
	size_t n = 0;

	*parent = NULL;
	while (next_name(path, &name, &n)) {
		if (!node) {
			*parent = NULL;
			return NULL;
		}
		*parent = node == root ? NULL : (struct node *)node;
		node = node_kid(node, name, n);
	}

	return (struct node *)node;
}

/*
 * Notes the steps from the root to `path` as far as they exist and returns
 * their number. *rest: the first name that is missing, NULL if none is.
 */
static size_t descend(struct nodes *nodes, struct node *root, const char *path,
		      const char **rest)
{
	struct step *step = nodes->steps;
	const char *name = NULL;
	size_t len = 0;

	*rest = NULL;
	step->node = root;
	while (next_name(path, &name, &len)) {
		step[1].node = kids_find(step->node->kids, name, len,
					 &step[1].slot);
		if (!step[1].node) {
			*rest = name;
			break;
		}
		step++;
	}

	return (size_t)(step - nodes->steps) + 1;
}

/* How many of the first `n` steps nobody else can reach. */
static size_t exclusive_steps(const struct nodes *nodes, size_t n)
{
	const struct step *step = nodes->steps;
	size_t i;

	for (i = 0; i < n; i++) {
		if (obj_is_shared(step[i].node))
			break;
		if (i && !kids_is_exclusive(step[i - 1].node->kids,
					    step[i].slot))
			break;
	}

	return i;
}

/*
 * Puts `fresh` in the place of the node of step `at`: copies of the shared
 * nodes above it are made bottom-up, then one child of the last node that is
 * ours alone, or *root, is replaced. So a failure leaves no trace (R1).
 * Takes over the reference to `fresh` in any case.
 */
static int put_back(struct nodes *nodes, struct node **root, size_t at,
		    struct node *fresh)
{
	size_t ours = exclusive_steps(nodes, at);
	const struct step *step = nodes->steps + at;
	struct node *parent;
	int err;

	for (; at; at--, step--) {
		parent = step[-1].node;
		if (at > ours) {
			parent = node_copy(nodes, parent, node_value(parent));
			if (!parent) {
				node_unref(fresh);
				return -ENOMEM;
			}
		}
		err = kids_replace(nodes, &parent->kids, step->slot, fresh);
		if (err) {
			node_unref(fresh);
			if (at > ours)
				node_unref(parent);
			return err;
		}
		if (at <= ours)
			return 0;
		fresh = parent;
	}

	node_unref(*root);
	*root = fresh;
	return 0;
}

int tree_set_value(struct nodes *nodes, struct node **root, const char *path,
		   struct blob value, uint64_t generation)
{
	const char *rest;
	size_t at = descend(nodes, *root, path, &rest) - 1;
	struct node *node = nodes->steps[at].node;
	size_t bytes = node_bytes(node->obj.name_len, value.len);
	struct node *fresh;

	if (exclusive_steps(nodes, at + 1) == at + 1 &&
	    slab_round(bytes) == slab_room(node)) {
		node_put_value(node, value);
		node->generation = generation;
		return 0;
	}

	fresh = node_copy(nodes, node, value);
	if (!fresh)
		return -ENOMEM;

	fresh->generation = generation;
	return put_back(nodes, root, at, fresh);
}

/*
 * A node that stands for the one of step `at` in the edit: itself if nobody
 * else can reach it, else a copy. NULL: no memory.
 */
static struct node *take(struct nodes *nodes, size_t at)
{
	struct node *node = nodes->steps[at].node;

	if (exclusive_steps(nodes, at + 1) == at + 1)
		return node_ref(node);

	return node_copy(nodes, node, node_value(node));
}

static int give(struct nodes *nodes, struct node **root, size_t at,
		struct node *node)
{
	if (node != nodes->steps[at].node)
		return put_back(nodes, root, at, node);

	node_unref(node);
	return 0;
}

int tree_set_perms(struct nodes *nodes, struct node **root, const char *path,
		   struct perms *perms, uint64_t generation)
{
	const char *rest;
	size_t at = descend(nodes, *root, path, &rest) - 1;
	struct node *node = take(nodes, at);

	if (!node)
		return -ENOMEM;

	perms_ref(perms);
	perms_unref(node->perms);
	node->perms = perms;
	node->generation = generation;
	return give(nodes, root, at, node);
}

/*
 * The absent part of `path`, from the name at `rest` on, made from its end: a
 * chain of nodes, its top in *top, its last in *last.
 */
static int make_chain(struct nodes *nodes, const char *path, const char *rest,
		      struct perms *perms, struct blob value,
		      uint64_t generation, struct node **top,
		      struct node **last)
{
	const char *end = path + strlen(path), *name;
	struct node *node, *kid = NULL;
	size_t len;

	for (; end > rest; end = name - 1, value = nothing) {
		name = rest;
		if (!path_is_special(path)) {
			for (name = end; name > rest && name[-1] != '/'; name--)
				;
		}
		len = (size_t)(end - name);
		node = node_new(nodes, (struct blob){ name, len }, value, perms,
				generation);
		if (!node || (kid && kids_add(nodes, &node->kids, kid))) {
			node_unref(node);
			node_unref(kid);
			return -ENOMEM;
		}
		if (!kid)
			*last = node;
		kid = node;
	}

	*top = kid;
	return 0;
}

int tree_create(struct nodes *nodes, struct node **root, const char *path,
		struct perms *perms, struct blob value, uint64_t generation,
		struct node **out)
{
	const char *rest;
	size_t at = descend(nodes, *root, path, &rest) - 1;
	struct node *parent, *top, *last = NULL;
	int err;

	if (!rest)
		return EEXIST;
	err = make_chain(nodes, path, rest, perms, value, generation, &top,
			 &last);
	if (err)
		return err;

	parent = take(nodes, at);
	if (!parent || kids_add(nodes, &parent->kids, top)) {
		node_unref(parent);
		node_unref(top);
		return -ENOMEM;
	}
	err = give(nodes, root, at, parent);
	if (err)
		return err;

	/* R3; only now: the parent may be the old one, edited in place. */
	parent->generation = generation;
	if (out)
		*out = last;
	return 0;
}

int tree_remove(struct nodes *nodes, struct node **root, const char *path,
		uint64_t generation, struct node **removed)
{
	const char *rest;
	size_t at = descend(nodes, *root, path, &rest) - 1;
	struct node *node = node_ref(nodes->steps[at].node);
	struct node *parent = take(nodes, at - 1);
	int err = parent ? 0 : -ENOMEM;

	if (!err)
		err = kids_remove(nodes, &parent->kids, nodes->steps[at].slot);
	if (err)
		node_unref(parent);
	else
		err = give(nodes, root, at - 1, parent);
	if (err) {
		node_unref(node);
		return err;
	}

	parent->generation = generation;
	*removed = node;
	return 0;
}

struct level {
	struct node *node;
	struct kid_iter iter;
	size_t path_len;
};

struct tree_walk {
	struct node *top;
	struct level *levels;
	size_t depth, room;	/* levels in use, levels allocated */
	bool skip;
	char path[PATH_MAX_LEN + 1];
};

static int walk_destroy(struct tree_walk *walk)
{
	node_unref(walk->top);
	return 0;
}

int tree_walk_new(TALLOC_CTX *ctx, struct node *top, const char *path,
		  struct tree_walk **out)
{
	struct tree_walk *walk = talloc_zero(ctx, struct tree_walk);

	if (!walk)
		return -ENOMEM;

	walk->top = node_ref(top);
	talloc_set_destructor(walk, walk_destroy);
	strcpy(walk->path, path);
	*out = walk;
	return 0;
}

static int push(struct tree_walk *walk, struct node *node, size_t path_len)
{
	size_t room = walk->room ? 2 * walk->room : 16;
	struct level *levels;

	if (walk->depth == walk->room) {
		levels = talloc_realloc(walk, walk->levels, struct level, room);
		if (!levels)
			return -ENOMEM;
		walk->levels = levels;
		walk->room = room;
	}

	walk->levels[walk->depth++] = (struct level){
		.node = node,
		.path_len = path_len,
	};
	walk->path[path_len] = '\0';
	return 0;
}

/* Writes the kid's path behind its parent's and returns its length. */
static size_t append_name(struct tree_walk *walk, const struct level *parent,
			  const struct node *kid)
{
	struct blob name = node_name(kid);
	size_t at = parent->path_len;

	if (at > 1)
		walk->path[at++] = '/';
	memcpy(walk->path + at, name.data, name.len);

	return at + name.len;
}

int tree_walk_next(struct tree_walk *walk, struct node **node,
		   const char **path)
{
	struct level *last;
	struct kid_iter iter;
	struct node *kid;
	int err;

	if (!walk->levels) {
		err = push(walk, walk->top, strlen(walk->path));
		if (err)
			return err;
		if (walk->path[0])
			goto found;
	}

	if (walk->skip && walk->depth)
		walk->depth--;
	walk->skip = false;
	while (walk->depth) {
		last = &walk->levels[walk->depth - 1];
		iter = last->iter;
		kid = node_next_kid(last->node, &iter);
		if (!kid) {
			walk->depth--;
			continue;
		}
		err = push(walk, kid, append_name(walk, last, kid));
		if (err)
			return err;
		/* push() may have moved the levels. */
		walk->levels[walk->depth - 2].iter = iter;
		goto found;
	}
	return ENOENT;

found:
	*node = walk->levels[walk->depth - 1].node;
	*path = walk->path;
	return 0;
}

struct node *tree_walk_parent(const struct tree_walk *walk)
{
	const struct level *parent;

	if (walk->depth < 2)
		return NULL;
	parent = &walk->levels[walk->depth - 2];
	return parent->path_len ? parent->node : NULL;
}

void tree_walk_skip(struct tree_walk *walk)
{
	walk->skip = true;
}
