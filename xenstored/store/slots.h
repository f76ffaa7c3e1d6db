/* SPDX-License-Identifier: MIT */
/*
 * Slots: the children of a large directory in the order of their creation, a
 * persistent vector with 32 entries per object, with holes.
 *
 *	top    [ . . . ]		inner: parts of 32^(height - 1) slots
 *	         |  |  \
 *	leaf   [32][32][32]		nodes, NULL where one was removed
 *
 * V1  Each part knows the number of its nodes and the bytes of their names, so
 *     that a byte offset of the list is found in O(height).
 * V2  A part without nodes is not kept.
 * V3  An edit takes all objects that it needs from the spares that were
 *     counted before; it cannot fail.
 */
#ifndef STORE_SLOTS_H
#define STORE_SLOTS_H

#include "store/node_priv.h"

#define SLOTS_BITS 5
#define SLOTS_WIDTH (1u << SLOTS_BITS)

struct slots {
	struct obj obj;
	uint32_t count;
	uint64_t bytes;
	union {
		struct slots *sub[SLOTS_WIDTH];
		struct node *kid[SLOTS_WIDTH];
	};
};

/* A whole vector; no object of its own. */
struct slots_vec {
	struct slots *top;
	uint32_t end;		/* the slot that comes next */
	uint8_t height;		/* 0: nothing yet */
};

/* Borrowed; NULL: a hole. */
struct node *slots_get(const struct slots_vec *vec, uint32_t slot);
/* The first node at or behind *slot, which becomes its slot; NULL: none. */
struct node *slots_next(const struct slots_vec *vec, uint32_t *slot);
/* The same within a leaf: NULL: none, and *slot is where the next part begins.
 * The slot must be below vec->end. */
struct node *slots_in_part(const struct slots_vec *vec, uint32_t *slot);
/* A slot: the first node at or behind it is the first one whose name begins at
 * or behind this byte of the list. */
uint32_t slots_at(const struct slots_vec *vec, size_t offset);
/* A number of slots that both share, from these positions on; often 0. */
uint32_t slots_shared(const struct slots_vec *a, uint32_t at_a,
		      const struct slots_vec *b, uint32_t at_b);
bool slots_is_exclusive(const struct slots_vec *vec, uint32_t slot);

/* Adds what an edit of the slot (vec->end to append) takes. `shared`: the
 * holder of the vector is. */
void slots_count(const struct slots_vec *vec, uint32_t slot, bool shared,
		 struct spares *spares);
/* Take over the reference to the node. */
void slots_append(struct slots_vec *vec, struct node *kid,
		  struct spares *spares);
void slots_replace(struct slots_vec *vec, uint32_t slot, struct node *kid,
		   struct spares *spares);
/* Not for the last node that there is. */
void slots_remove(struct slots_vec *vec, uint32_t slot, struct spares *spares);

/* A whole vector without holes. Of `kids` it takes over the references, which
 * are NULL then; on -ENOMEM some may be left. n >= 1. */
int slots_build(struct nodes *nodes, struct node **kids, size_t n,
		struct slots_vec *vec);

void slots_drop(struct obj *obj);

#endif
