/* SPDX-License-Identifier: MIT */
/*
 * The counted objects that a tree is made of, for node.c, kids*.c and tree.c.
 *
 * Nodes and the parts of their child maps are objects of one heap. Each starts
 * with a struct obj. A holder owns one count; an object with more than one
 * holder, or below one, is shared and must not change.
 *
 * O1  An object that loses its last holder waits in a list until nodes_reap()
 *     lets go what it holds. A node is freed at once, its map waits.
 * O2  All memory that an edit takes is allocated before its first change.
 */
#ifndef STORE_NODE_PRIV_H
#define STORE_NODE_PRIV_H

#include "base/slab.h"
#include "store/node.h"
#include "store/path.h"

enum obj_kind {
	OBJ_NODE,
	OBJ_KIDS_FLAT,		/* kids.c */
	OBJ_KIDS_BIG,
	OBJ_SLOTS_LEAF,		/* slots.h */
	OBJ_SLOTS_INNER,
	OBJ_NAMES_LEAF,		/* names.h */
	OBJ_NAMES_INNER,
	OBJ_KINDS
};

struct obj {
	uint32_t refs;
	uint8_t kind;
	uint8_t n;		/* entries, where the kind counts them here */
	uint16_t name_len;	/* of a node */
};

/* An object that waits to be reaped: the word behind its first two. */
struct obj_dead {
	struct obj obj;
	uint64_t keep;
	struct obj_dead *next;
};

struct kids;

struct node {
	struct obj obj;
	uint64_t generation;
	struct perms *perms;
	struct kids *kids;	/* NULL: none */
	uint32_t value_len;
	char bytes[];		/* name, value */
};

/* From the root to a node: the root, "/", one for each component. */
#define STEPS_MAX (PATH_MAX_LEN / 2 + 2)

struct step {
	struct node *node;
	uint32_t slot;		/* in the children of the step before */
};

struct nodes {
	struct slabs *slabs;
	struct obj_dead *dead;
	struct nodes_work work;
	/* Scratch of one edit: the path that it goes. */
	struct step steps[STEPS_MAX];
};

static inline struct nodes *nodes_of(const void *obj)
{
	return slab_owner(obj);
}

/* A new object with one holder; NULL: no memory. */
void *nodes_alloc(struct nodes *nodes, enum obj_kind kind, size_t size);

static inline void *obj_ref(void *obj)
{
	((struct obj *)obj)->refs++;
	return obj;
}

static inline bool obj_is_shared(const void *obj)
{
	return ((const struct obj *)obj)->refs > 1;
}

/*
 * Objects for an edit that must not fail half-way: what it wants is counted,
 * the lists are filled, the edit takes from them, what is left is freed.
 */
struct spares {
	uint16_t wanted[OBJ_KINDS];
	struct obj_dead *list[OBJ_KINDS];
};

/* -ENOMEM: nothing is held. */
int spares_fill(struct nodes *nodes, struct spares *spares);
/* A new object with one holder, its content undefined. */
void *spares_take(struct spares *spares, enum obj_kind kind);
void spares_free(struct spares *spares);

/* Not for nodes. NULL is fine. */
void obj_unref(void *obj);
/* Notes that an edit had to copy this much. */
void nodes_copied(struct nodes *nodes, size_t bytes);

/* A node without children; takes references as it needs. NULL: no memory. */
struct node *node_new(struct nodes *nodes, struct blob name, struct blob value,
		      struct perms *perms, uint64_t generation);
/* Another node that differs in its value, or in nothing. */
struct node *node_copy(struct nodes *nodes, const struct node *node,
		       struct blob value);
void node_put_value(struct node *node, struct blob value);
size_t node_bytes(size_t name_len, size_t value_len);

#endif
