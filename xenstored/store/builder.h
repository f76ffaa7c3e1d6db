/* SPDX-License-Identifier: MIT */
/*
 * The builder: a whole tree of nodes that come sorted by path, at a fraction of
 * what as many edits would cost. Nothing is looked up, no map grows twice.
 *
 * U1  A node is at hand while nodes below it may come: as long as the paths
 *     begin with its own. It gets its children when that is over.
 * U2  Children are in the order of the numbers they came with, not of their
 *     names.
 * U3  Each node has the generation that was told, inner ones, too.
 */
#ifndef STORE_BUILDER_H
#define STORE_BUILDER_H

#include "store/node.h"

struct builder;

int builder_new(TALLOC_CTX *ctx, struct nodes *nodes, struct builder **out);

/*
 * One more node. The first is "/"; each path comes, by strcmp(), behind the one
 * before, and its parent's is among those. `order` grows with creation, at
 * least among brothers. -EPROTO: that is not so, the node is left out. -ENOMEM:
 * only builder_end() or freeing is left.
 */
int builder_add(struct builder *builder, const char *path, struct blob value,
		struct perms *perms, uint64_t generation, uint64_t order);

/* The root, as tree_new() makes it, with all that was added; NULL: that was
 * nothing. -ENOMEM. */
int builder_end(struct builder *builder, struct node **root);

#endif
