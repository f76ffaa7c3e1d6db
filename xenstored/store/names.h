/* SPDX-License-Identifier: MIT */
/*
 * Names: the index of a large directory from name to slot, a persistent B+tree.
 * Ordered and not hashed: names are hostile.
 *
 * An entry carries the first eight bytes of its name, so most comparisons do
 * not look at nodes; the rest of the name is that of the node in the slot.
 *
 * I1  A leaf's entries are sorted by name; none is empty.
 * I2  prefix[i] of an inner object, i > 0: names in sub[i - 1] do not begin
 *     with more, names in sub[i] not with less. What begins with the same is
 *     told apart by the least name in sub[i]. prefix[0] has no meaning.
 * I3  An edit takes all objects that it needs from the spares that were
 *     counted before; it cannot fail.
 *
 * Objects are not merged when they lose entries, nor does the height shrink:
 * kids.c builds a map anew when most of its slots are holes, which bounds both.
 */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

#include "store/slots.h"

#define NAMES_WIDTH 30		/* fills a size class of the slabs well */
#define NAMES_HEIGHT_MAX 16	/* 15 entries in each: far above 2^32 */

struct names {
	struct obj obj;		/* obj.n entries */
	uint64_t prefix[NAMES_WIDTH];
	union {
		uint32_t slot[NAMES_WIDTH];
		struct names *sub[NAMES_WIDTH];
	};
};

#define NAMES_LEAF_BYTES                                                       \
	(offsetof(struct names, slot) + NAMES_WIDTH * sizeof(uint32_t))

/* A whole index; no object of its own. */
struct names_map {
	struct names *top;
	uint8_t height;		/* 0: nothing yet */
};

/* Where a name is or would be: one object and place on each level, the leaf on
 * level 0. Good until the next edit. */
struct names_place {
	struct names *at[NAMES_HEIGHT_MAX];
	uint8_t i[NAMES_HEIGHT_MAX];
	bool found;
	uint32_t slot;		/* if found */
};

/* Returns the number of names it compared. */
unsigned int names_search(const struct names_map *map,
			  const struct slots_vec *slots, const char *name,
			  size_t len, struct names_place *place);
/* The place behind all names. */
void names_last(const struct names_map *map, struct names_place *place);
/* In order of the names: calls fn for each entry. */
void names_each(const struct names_map *map,
		void (*fn)(void *arg, uint64_t prefix, uint32_t slot),
		void *arg);

uint64_t names_prefix(const char *name, size_t len);

/* Add what the edit at this place takes. `shared`: the holder of the map is. */
void names_count_insert(const struct names_map *map,
			const struct names_place *place, bool shared,
			struct spares *spares);
void names_count_remove(const struct names_map *map,
			const struct names_place *place, bool shared,
			struct spares *spares);
void names_insert(struct names_map *map, struct names_place *place,
		  uint64_t prefix, uint32_t slot, struct spares *spares);
/* Not for the last entry that there is. */
void names_remove(struct names_map *map, struct names_place *place,
		  struct spares *spares);

/* A whole index. Entries come in the order of their names. -ENOMEM; n >= 1. */
struct names_entry {
	uint64_t prefix;
	uint32_t slot;
};
int names_build(struct nodes *nodes, const struct names_entry *entries,
		size_t n, struct names_map *map);

void names_drop(struct obj *obj);

#endif
