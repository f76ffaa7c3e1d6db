/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define MIN_BUCKETS 16

struct hash_table {
	struct hash_item **bucket;
	size_t mask;
	size_t count;
	uint64_t key[2];
};

int hash_table_new(TALLOC_CTX *ctx, struct hash_table **out)
{
	struct hash_table *table = talloc_zero(ctx, struct hash_table);

	if (!table)
		return -ENOMEM;
	table->bucket = talloc_zero_array(table, struct hash_item *,
					  MIN_BUCKETS);
	if (!table->bucket) {
		talloc_free(table);
		return -ENOMEM;
	}
	table->mask = MIN_BUCKETS - 1;
	if (getrandom(table->key, sizeof(table->key), GRND_NONBLOCK) < 0)
		table->key[0] = (uintptr_t)table;	/* early boot */
	*out = table;
	return 0;
}

static inline uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

#define SIP_ROUND                                                              \
	do {                                                                   \
		v0 += v1;                                                      \
		v1 = rotl(v1, 13) ^ v0;                                        \
		v0 = rotl(v0, 32);                                             \
		v2 += v3;                                                      \
		v3 = rotl(v3, 16) ^ v2;                                        \
		v0 += v3;                                                      \
		v3 = rotl(v3, 21) ^ v0;                                        \
		v2 += v1;                                                      \
		v1 = rotl(v1, 17) ^ v2;                                        \
		v2 = rotl(v2, 32);                                             \
	} while (0)

/* SipHash-1-3; the seed is hashed as the first block. */
uint64_t hash_bytes(const struct hash_table *table, uint64_t seed,
		    const void *data, size_t len)
{
	uint64_t v0 = 0x736f6d6570736575ull ^ table->key[0];
	uint64_t v1 = 0x646f72616e646f6dull ^ table->key[1];
	uint64_t v2 = 0x6c7967656e657261ull ^ table->key[0];
	uint64_t v3 = 0x7465646279746573ull ^ table->key[1];
	uint64_t last = (uint64_t)len << 56, word;
	const char *p = data;
	size_t left = len;

	v3 ^= seed;
	SIP_ROUND;
	v0 ^= seed;
	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		v3 ^= word;
		SIP_ROUND;
		v0 ^= word;
	}
	word = 0;
	if (left)
		memcpy(&word, p, left);
	last |= word;
	v3 ^= last;
	SIP_ROUND;
	v0 ^= last;
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

static void hash_grow(struct hash_table *table)
{
	size_t n = (table->mask + 1) * 2;
	struct hash_item **bucket =
		talloc_zero_array(table, struct hash_item *, n);

	if (!bucket)
		return;		/* slower, not wrong */
	for (size_t i = 0; i <= table->mask; i++) {
		struct hash_item *item = table->bucket[i], *next;

		for (; item; item = next) {
			struct hash_item **to = &bucket[item->hash & (n - 1)];

			next = item->next;
			item->next = *to;
			*to = item;
		}
	}
	talloc_free(table->bucket);
	table->bucket = bucket;
	table->mask = n - 1;
}

void hash_add(struct hash_table *table, struct hash_item *item, uint64_t hash)
{
	struct hash_item **to;

	if (table->count > table->mask)
		hash_grow(table);
	to = &table->bucket[hash & table->mask];
	item->hash = hash;
	item->next = *to;
	*to = item;
	table->count++;
}

void hash_del(struct hash_table *table, struct hash_item *item)
{
	struct hash_item **p = &table->bucket[item->hash & table->mask];

	while (*p != item)
		p = &(*p)->next;
	*p = item->next;
	item->next = NULL;
	table->count--;
}

static struct hash_item *with_hash(struct hash_item *item, uint64_t hash)
{
	while (item && item->hash != hash)
		item = item->next;
	return item;
}

struct hash_item *hash_first(const struct hash_table *table, uint64_t hash)
{
	return with_hash(table->bucket[hash & table->mask], hash);
}

struct hash_item *hash_next(const struct hash_item *item)
{
	return with_hash(item->next, item->hash);
}

size_t hash_count(const struct hash_table *table)
{
	return table->count;
}
