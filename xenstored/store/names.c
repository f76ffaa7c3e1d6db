/* SPDX-License-Identifier: MIT */
#include "store/names.h"

#include <errno.h>
#include <string.h>

struct key {
	const char *name;
	size_t len;
	uint64_t prefix;
	unsigned int compared;
};

/* Big-endian, filled up with zeros, which are in no name: compares as the
 * names do. */
uint64_t names_prefix(const char *name, size_t len)
{
	uint64_t prefix = 0;
	size_t i;

	for (i = 0; i < 8; i++)
		prefix = prefix << 8 | (i < len ? (unsigned char)name[i] : 0u);

	return prefix;
}

/* < 0: the key comes before the name of the node in the slot. */
static int compare_node(struct key *key, const struct slots_vec *slots,
			uint32_t slot)
{
	const struct node *node = slots_get(slots, slot);
	size_t len = node->obj.name_len;
	int order = memcmp(key->name, node->bytes,
			   key->len < len ? key->len : len);

	key->compared++;
	if (order)
		return order;
	return key->len < len ? -1 : key->len > len;
}

static uint32_t least_slot(const struct names *n, unsigned int level)
{
	while (level--)
		n = n->sub[0];

	return n->slot[0];
}

/* Compares with entry i: the least name below it on an inner level. */
static int compare(struct key *key, const struct slots_vec *slots,
		   const struct names *n, unsigned int level, unsigned int i)
{
	if (key->prefix != n->prefix[i])
		return key->prefix < n->prefix[i] ? -1 : 1;

	return compare_node(key, slots,
			    level ? least_slot(n->sub[i], level - 1) :
				    n->slot[i]);
}

/* The last part whose names may include the key (I2). */
static unsigned int search_inner(struct key *key, const struct slots_vec *slots,
				 const struct names *n, unsigned int level)
{
	unsigned int low = 0, high = n->obj.n, mid;

	while (high - low > 1) {
		mid = (low + high) / 2;
		if (compare(key, slots, n, level, mid) < 0)
			high = mid;
		else
			low = mid;
	}

	return low;
}

/* The first entry that is not before the key. */
static unsigned int search_leaf(struct key *key, const struct slots_vec *slots,
				const struct names *n, bool *found)
{
	unsigned int low = 0, high = n->obj.n, mid;
	int order;

	*found = false;
	while (low < high) {
		mid = (low + high) / 2;
		order = compare(key, slots, n, 0, mid);
		if (order <= 0)
			high = mid;
		else
			low = mid + 1;
		*found |= order == 0;
	}

	return low;
}

unsigned int names_search(const struct names_map *map,
			  const struct slots_vec *slots, const char *name,
			  size_t len, struct names_place *place)
{
	struct key key = { name, len, names_prefix(name, len), 0 };
	struct names *n = map->top;
	unsigned int level = map->height;

	place->found = false;
	if (!n)
		return 0;

	while (--level) {
		place->at[level] = n;
		place->i[level] = (uint8_t)search_inner(&key, slots, n, level);
		n = n->sub[place->i[level]];
	}
	place->at[0] = n;
	place->i[0] = (uint8_t)search_leaf(&key, slots, n, &place->found);
	if (place->found)
		place->slot = n->slot[place->i[0]];

	return key.compared;
}

void names_last(const struct names_map *map, struct names_place *place)
{
	struct names *n = map->top;
	unsigned int level = map->height;

	place->found = false;
	if (!n)
		return;

	while (--level) {
		place->at[level] = n;
		place->i[level] = n->obj.n - 1;
		n = n->sub[n->obj.n - 1];
	}
	place->at[0] = n;
	place->i[0] = n->obj.n;
}

void names_each(const struct names_map *map,
		void (*fn)(void *arg, uint64_t prefix, uint32_t slot),
		void *arg)
{
	const struct names *at[NAMES_HEIGHT_MAX];
	unsigned int i[NAMES_HEIGHT_MAX] = { 0 }, level = map->height, j;

	if (!map->top)
		return;

	at[--level] = map->top;
	while (level < map->height) {
		if (!level) {
			for (j = 0; j < at[0]->obj.n; j++)
				fn(arg, at[0]->prefix[j], at[0]->slot[j]);
			level++;
		} else if (i[level] == at[level]->obj.n) {
			level++;
		} else {
			at[level - 1] = at[level]->sub[i[level]++];
			i[--level] = 0;
		}
	}
}

static enum obj_kind kind_on(unsigned int level)
{
	return level ? OBJ_NAMES_INNER : OBJ_NAMES_LEAF;
}

static void count_shared(const struct names_map *map,
			 const struct names_place *place, bool shared,
			 struct spares *spares)
{
	unsigned int level = map->height;

	while (level--) {
		shared = shared || obj_is_shared(place->at[level]);
		if (shared)
			spares->wanted[kind_on(level)]++;
	}
}

void names_count_insert(const struct names_map *map,
			const struct names_place *place, bool shared,
			struct spares *spares)
{
	unsigned int level;

	count_shared(map, place, shared, spares);
	for (level = 0; level < map->height; level++) {
		if (place->at[level]->obj.n < NAMES_WIDTH)
			return;
		spares->wanted[kind_on(level)]++;
	}
	spares->wanted[kind_on(map->height)]++;
}

void names_count_remove(const struct names_map *map,
			const struct names_place *place, bool shared,
			struct spares *spares)
{
	count_shared(map, place, shared, spares);
}

/* Makes the object at *link ours alone. */
static struct names *own(struct names **link, unsigned int level,
			 struct spares *spares)
{
	struct names *old = *link, *n;
	size_t bytes = level ? sizeof(*n) : NAMES_LEAF_BYTES;
	unsigned int i;

	if (!obj_is_shared(old))
		return old;

	n = spares_take(spares, kind_on(level));
	memcpy((char *)n + sizeof(n->obj), (char *)old + sizeof(old->obj),
	       bytes - sizeof(n->obj));
	n->obj.n = old->obj.n;
	nodes_copied(nodes_of(n), bytes);
	for (i = 0; level && i < n->obj.n; i++)
		obj_ref(n->sub[i]);
	obj_unref(old);
	*link = n;
	return n;
}

/* Makes the objects of the place ours, from the top down to this level. */
static void own_path(struct names_map *map, struct names_place *place,
		     unsigned int down_to, struct spares *spares)
{
	struct names **link = &map->top;
	unsigned int level = map->height;

	while (level-- > down_to) {
		place->at[level] = own(link, level, spares);
		link = &place->at[level]->sub[place->i[level]];
	}
}

/* What goes into an object: a slot into a leaf, a part into an inner one. */
struct entry {
	uint64_t prefix;
	uint32_t slot;
	struct names *sub;
};

static void put(struct names *n, unsigned int level, unsigned int i,
		const struct entry *entry)
{
	unsigned int behind = n->obj.n++ - i;

	memmove(n->prefix + i + 1, n->prefix + i, behind * sizeof(*n->prefix));
	n->prefix[i] = entry->prefix;
	if (level) {
		memmove(n->sub + i + 1, n->sub + i, behind * sizeof(*n->sub));
		n->sub[i] = entry->sub;
	} else {
		memmove(n->slot + i + 1, n->slot + i,
			behind * sizeof(*n->slot));
		n->slot[i] = entry->slot;
	}
}

static void cut(struct names *n, unsigned int level, unsigned int i)
{
	unsigned int behind = --n->obj.n - i;

	memmove(n->prefix + i, n->prefix + i + 1, behind * sizeof(*n->prefix));
	if (level)
		memmove(n->sub + i, n->sub + i + 1, behind * sizeof(*n->sub));
	else
		memmove(n->slot + i, n->slot + i + 1,
			behind * sizeof(*n->slot));
}

/* Moves the entries from `keep` on to a new object. */
static struct names *split(struct names *n, unsigned int level,
			   unsigned int keep, struct spares *spares)
{
	struct names *right = spares_take(spares, kind_on(level));
	unsigned int moved = n->obj.n - keep;

	right->obj.n = (uint8_t)moved;
	n->obj.n = (uint8_t)keep;
	memcpy(right->prefix, n->prefix + keep, moved * sizeof(*n->prefix));
	if (level)
		memcpy(right->sub, n->sub + keep, moved * sizeof(*n->sub));
	else
		memcpy(right->slot, n->slot + keep, moved * sizeof(*n->slot));

	return right;
}

/* Is it the place behind all names? Then objects are left full. */
static bool is_last(const struct names_map *map,
		    const struct names_place *place)
{
	unsigned int level;

	for (level = 1; level < map->height; level++) {
		if (place->i[level] + 1 != place->at[level]->obj.n)
			return false;
	}

	return place->i[0] == place->at[0]->obj.n;
}

static void grow(struct names_map *map, const struct entry *right,
		 struct spares *spares)
{
	struct names *old = map->top;
	unsigned int level = map->height++;

	map->top = spares_take(spares, kind_on(level));
	map->top->obj.n = 0;
	if (old)
		put(map->top, level, 0, &(struct entry){ .sub = old });
	put(map->top, level, map->top->obj.n, right);
}

void names_insert(struct names_map *map, struct names_place *place,
		  uint64_t prefix, uint32_t slot, struct spares *spares)
{
	struct entry entry = { .prefix = prefix, .slot = slot };
	unsigned int level, i, keep;
	struct names *n, *right;
	bool last;

	own_path(map, place, 0, spares);
	last = map->height && is_last(map, place);
	for (level = 0; level < map->height; level++) {
		n = place->at[level];
		i = place->i[level] + (level ? 1u : 0u);
		if (n->obj.n < NAMES_WIDTH) {
			put(n, level, i, &entry);
			return;
		}

		keep = last ? NAMES_WIDTH : NAMES_WIDTH / 2;
		right = split(n, level, keep, spares);
		if (i < keep || (i == keep && !last))
			put(n, level, i, &entry);
		else
			put(right, level, i - keep, &entry);
		entry.prefix = right->prefix[0];
		entry.sub = right;
	}
	grow(map, &entry, spares);
}

void names_remove(struct names_map *map, struct names_place *place,
		  struct spares *spares)
{
	unsigned int level = 0;
	struct names *n;

	/* An object that would be empty goes with its entry (I1). */
	while (place->at[level]->obj.n == 1)
		level++;
	own_path(map, place, level, spares);
	n = place->at[level];
	if (level)
		obj_unref(n->sub[place->i[level]]);
	cut(n, level, place->i[level]);
}

/* One level: of n things below it, the objects that hold them. */
static int build_level(struct nodes *nodes, unsigned int level,
		       const struct names_entry *entries, struct names **parts,
		       size_t n, size_t *made)
{
	const size_t bytes = level ? sizeof(struct names) : NAMES_LEAF_BYTES;
	size_t i;

	for (i = *made = 0; i < n;) {
		struct names *new = nodes_alloc(nodes, kind_on(level), bytes);

		if (!new)
			return -ENOMEM;
		new->obj.n = 0;
		for (; i < n && new->obj.n < NAMES_WIDTH; i++) {
			if (level) {
				new->prefix[new->obj.n] = parts[i]->prefix[0];
				new->sub[new->obj.n++] = parts[i];
				parts[i] = NULL;
			} else {
				new->prefix[new->obj.n] = entries[i].prefix;
				new->slot[new->obj.n++] = entries[i].slot;
			}
		}
		parts[(*made)++] = new;
	}
	return 0;
}

int names_build(struct nodes *nodes, const struct names_entry *entries,
		size_t n, struct names_map *map)
{
	struct names **parts = talloc_zero_array(nodes, struct names *,
						 n / NAMES_WIDTH + 1);
	unsigned int level = 0;
	size_t made = n, i;
	int err = parts ? 0 : -ENOMEM;

	while (!err && (!level || made > 1))
		err = build_level(nodes, level++, entries, parts, made, &made);
	if (!err)
		*map = (struct names_map){ parts[0], (uint8_t)level };
	for (i = 0; err && parts && i < n / NAMES_WIDTH + 1; i++)
		obj_unref(parts[i]);
	talloc_free(parts);
	return err;
}

void names_drop(struct obj *obj)
{
	struct names *n = (struct names *)obj;
	unsigned int i;

	for (i = 0; obj->kind == OBJ_NAMES_INNER && i < obj->n; i++)
		obj_unref(n->sub[i]);
	slab_free(n);
}
