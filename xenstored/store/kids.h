/* SPDX-License-Identifier: MIT */
/*
 * The children of a node: a persistent map from names to nodes, ordered by
 * creation.
 *
 * A child has a slot, a number that grows with creation and that it keeps
 * until the map is edited. An edit takes the holder's one reference to the map
 * and replaces it: in place what is not shared, else by copies of the path
 * to the change.
 *
 * Up to 16 children are a flat array, and their slots are dense. More are a
 * vector of slots with holes (slots.h) and an index of their names (names.h).
 *
 * K1  An edit that fails (-ENOMEM) changes nothing.
 * K2  Edits and searches cost O(log children).
 *     Once in a while a removal builds the map anew without its holes; that is
 *     O(1) for each removal before.
 * K3  Children keep the order of their creation.
 */
#ifndef STORE_KIDS_H
#define STORE_KIDS_H

#include "store/node_priv.h"

#define KIDS_FLAT_MAX 16
#define KIDS_BIG_BYTES 64	/* of the object, without its parts */

/* Numbers for NULL, the empty map, too. */
size_t kids_count(const struct kids *kids);
size_t kids_bytes(const struct kids *kids);

/* Borrowed; NULL: absent. `slot` is written if found. */
struct node *kids_find(const struct kids *kids, const char *name, size_t len,
		       uint32_t *slot);
/* The first child at or behind *slot, which becomes its slot; NULL: none. */
struct node *kids_next(const struct kids *kids, uint32_t *slot);
/* The slot of the first child whose name begins at or behind this byte of the
 * list of all names, each with its NUL. */
uint32_t kids_slot_at(const struct kids *kids, size_t offset);

/* May the child in this slot be edited in place if the map's holder may? */
bool kids_is_exclusive(const struct kids *kids, uint32_t slot);

/* Appends; takes over the caller's reference to the child. */
int kids_add(struct nodes *nodes, struct kids **kids, struct node *kid);
/* Puts a node of the same name in the slot; takes over the reference to it.
 * Cannot fail if the slot is exclusive. */
int kids_replace(struct nodes *nodes, struct kids **kids, uint32_t slot,
		 struct node *kid);
int kids_remove(struct nodes *nodes, struct kids **kids, uint32_t slot);

/*
 * A whole map at once, of children sorted by name; each has a number that tells
 * its place in the order of creation. Takes over the references to them in any
 * case. n >= 1.
 */
struct kid_built {
	struct node *node;
	uint64_t order;
	size_t name;		/* scratch */
};
int kids_build(struct nodes *nodes, struct kid_built *built, size_t n,
	       struct kids **kids);

/* Do both list the same names in the same order? */
bool kids_equal_names(const struct kids *a, const struct kids *b);

/* Lets go what a map without holders holds, and frees it. */
void kids_drop(struct obj *obj);

#endif
