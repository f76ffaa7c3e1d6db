/* SPDX-License-Identifier: MIT */
/*
 * One node of the tree: name, value, permissions, generation, children.
 *
 * N1  A node is immutable while more than one holder has it; only tree.c
 *     edits, and only nodes that nobody else can reach.
 * N2  A node holds references to its children and to its permission list.
 * N3  Giving back memory never recurses and never blocks: node_unref() takes
 *     constant time; what falls with it is freed by nodes_reap() in slices.
 * N4  Children keep the order of their creation; removal keeps the order of
 *     the others. Finding, adding, removing and paging cost O(log children).
 *
 * Nodes are not talloc chunks: they come from size-class slabs whose memory
 * goes back to the system when a slab is empty.
 */
#ifndef STORE_NODE_H
#define STORE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

#include "base/blob.h"
#include "store/perms.h"

struct node;
struct nodes;			/* the heap they come from */

int nodes_new(TALLOC_CTX *ctx, struct nodes **out);
/* Bytes taken from the system; bytes in use by nodes (also dead ones that
 * are not reaped yet). */
size_t nodes_mapped(const struct nodes *nodes);
size_t nodes_bytes(const struct nodes *nodes);
/* Gives back what nobody holds any more, in up to `budget` small steps. True:
 * some is left. Also done in full before there is no memory. */
bool nodes_reap(struct nodes *nodes, unsigned int budget);

/* Work done, for the tests that count. */
struct nodes_work {
	uint64_t made;		/* nodes and parts of child maps */
	uint64_t copied;	/* of these, copies of shared ones */
	uint64_t copied_bytes;
	uint64_t compared;	/* names */
	uint64_t passed;	/* entries of maps, to find an offset */
};
const struct nodes_work *nodes_work(const struct nodes *nodes);
/* For tests: n more allocations succeed, then all fail until UINT64_MAX. */
void nodes_fail_after(struct nodes *nodes, uint64_t n);

struct node *node_ref(struct node *node);
void node_unref(struct node *node);	/* NULL is fine */

struct blob node_name(const struct node *node);
struct blob node_value(const struct node *node);
struct perms *node_perms(const struct node *node);
/* The value of the store's counter when the node was last changed: its value,
 * its permissions, or its child list. */
uint64_t node_generation(const struct node *node);

/* Children. */
size_t node_kids(const struct node *node);
/* Bytes of all their names, each with its terminator. */
size_t node_kids_bytes(const struct node *node);
/* Borrowed; NULL: absent. */
struct node *node_kid(const struct node *node, const char *name, size_t len);
/* Position of a child in creation order, for ordering; -1: absent. Positions
 * grow with creation, they need not be dense. */
int64_t node_kid_order(const struct node *node, const char *name, size_t len);

/* Children in creation order: start with { 0 }; NULL at the end. The node
 * must not be edited meanwhile (hold a reference). */
struct kid_iter {
	uint64_t pos;
};
struct node *node_next_kid(const struct node *node, struct kid_iter *iter);

/*
 * Writes whole names, each with its NUL, beginning with the one that starts at
 * byte `offset` of the complete list (or the first one after it, if the
 * offset is inside a name), while they fit into `room` bytes. Returns the
 * bytes written; *end tells that the last child was included.
 */
size_t node_list_kids(const struct node *node, size_t offset, char *buf,
		      size_t room, bool *end);

/* Do two nodes list the same names in the same order? Skips what they share. */
bool node_same_kids(const struct node *a, const struct node *b);

/* The size that quotas speak of: 16 + 8 per permission (perms_charged())
 * + value + names of the children with terminators. */
size_t node_quota_size(const struct node *node);

#endif
