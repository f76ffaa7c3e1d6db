/* SPDX-License-Identifier: MIT */
/*
 * The tree: edits that turn one root into another.
 *
 * A root is an ordinary counted node that has "/" and the special nodes
 * ("@introduceDomain", ...) as children, so that one reference is a snapshot
 * of everything. Holding a second reference makes all below it immutable:
 * edits then copy the path from the root to the change and share the rest.
 * What nobody else holds is edited in place.
 *
 * R1  An edit that fails (-ENOMEM) leaves *root as it was, to the byte.
 * R2  An edit costs O(depth * log children), whatever the size of the tree.
 * R3  Creating or removing a child gives its direct parent the generation of
 *     the edit, and no other ancestor. Value and permission edits touch the
 *     node alone.
 * R4  Nothing here recurses: depth is the guest's choice.
 *
 * `root` arguments are in-out: the caller's one reference is consumed and
 * replaced. Paths are canonical (store/path.h). Borrowed nodes and values are
 * good until the next edit of a root through which they are reachable, unless
 * the caller holds a reference.
 */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include "store/node.h"

/* A root with the empty node "/". -ENOMEM. */
int tree_new(struct nodes *nodes, struct perms *perms, uint64_t generation,
	     struct node **root);

/* Borrowed; NULL: absent. */
struct node *tree_find(const struct node *root, const char *path);

/* The same with the node's direct parent, which is NULL if it is missing, too,
 * and for "/" and special nodes. */
struct node *tree_find_with_parent(const struct node *root, const char *path,
				   struct node **parent);

/* The deepest existing node on the path, itself included; *len is the length
 * of its path. NULL only for an absent special node. */
struct node *tree_nearest(const struct node *root, const char *path,
			  size_t *len);

/*
 * Creates the absent node `path` and all its absent ancestors. All get
 * `perms` and `generation`; ancestors have empty values. Also creates special
 * nodes. `out` (optional): the new node, borrowed. EEXIST: it is not absent.
 */
int tree_create(struct nodes *nodes, struct node **root, const char *path,
		struct perms *perms, struct blob value, uint64_t generation,
		struct node **out);

/* The node must exist. */
int tree_set_value(struct nodes *nodes, struct node **root, const char *path,
		   struct blob value, uint64_t generation);
int tree_set_perms(struct nodes *nodes, struct node **root, const char *path,
		   struct perms *perms, uint64_t generation);

/* Removes an existing node other than "/" with all below it. The caller gets a
 * reference to what was removed. */
int tree_remove(struct nodes *nodes, struct node **root, const char *path,
		uint64_t generation, struct node **removed);

/*
 * Walks a subtree without recursion, parents before children, children in
 * creation order, in as many steps as the caller likes. Holds a reference on
 * the subtree, so it may go on while the store changes. `path` is the path of
 * `top`; "" if that is a root, which is not visited itself.
 */
struct tree_walk;
int tree_walk_new(TALLOC_CTX *ctx, struct node *top, const char *path,
		  struct tree_walk **out);
/* The next node and its path, good until the next call. ENOENT: the end.
 * -ENOMEM: nothing was lost, call again. */
int tree_walk_next(struct tree_walk *walk, struct node **node,
		   const char **path);
/* The parent of the node that was returned last; NULL if that is the top of
 * the walk, or has none. */
struct node *tree_walk_parent(const struct tree_walk *walk);
/* Do not descend below the node that was returned last. */
void tree_walk_skip(struct tree_walk *walk);

#endif
