/* SPDX-License-Identifier: MIT */
/*
 * Hash tables of intrusive items, safe with hostile keys: the hash is keyed
 * (SipHash-1-3) with a random secret of the table.
 *
 * The table stores items by their 64-bit hash; the user compares what he finds
 * with hash_first()/hash_next(), and embeds a struct hash_item in his objects.
 * Adding never fails: a table that cannot get memory to grow is slower instead.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

struct hash_item {
	struct hash_item *next;
	uint64_t hash;
};

struct hash_table;

int hash_table_new(TALLOC_CTX *ctx, struct hash_table **out);

/* The hash of some bytes, continuing from `seed` (0 to begin). */
uint64_t hash_bytes(const struct hash_table *table, uint64_t seed,
		    const void *data, size_t len);

void hash_add(struct hash_table *table, struct hash_item *item, uint64_t hash);
/* The item must be in the table. */
void hash_del(struct hash_table *table, struct hash_item *item);

struct hash_item *hash_first(const struct hash_table *table, uint64_t hash);
/* The next one with the same hash. */
struct hash_item *hash_next(const struct hash_item *item);

size_t hash_count(const struct hash_table *table);

#define hash_entry(ptr, type, member)                                          \
	((type *)((char *)(ptr)-offsetof(type, member)))

#endif
