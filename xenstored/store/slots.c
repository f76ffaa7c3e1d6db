/* SPDX-License-Identifier: MIT */
#include "store/slots.h"

#include <errno.h>
#include <string.h>

static unsigned int index_at(uint32_t slot, unsigned int level)
{
	return slot >> (SLOTS_BITS * level) & (SLOTS_WIDTH - 1);
}

/* Slots below one entry of an object on this level. */
static uint64_t span(unsigned int level)
{
	return UINT64_C(1) << (SLOTS_BITS * level);
}

struct node *slots_get(const struct slots_vec *vec, uint32_t slot)
{
	const struct slots *s = vec->top;
	unsigned int level = vec->height;

	while (s && --level)
		s = s->sub[index_at(slot, level)];

	return s ? s->kid[index_at(slot, 0)] : NULL;
}

struct node *slots_in_part(const struct slots_vec *vec, uint32_t *slot)
{
	const struct slots *s = vec->top;
	unsigned int level = vec->height;

	while (s && --level)
		s = s->sub[index_at(*slot, level)];
	if (!s) {
		*slot = (uint32_t)((*slot | (span(level) - 1)) + 1);
		return NULL;
	}
	do {
		if (s->kid[index_at(*slot, 0)])
			return s->kid[index_at(*slot, 0)];
	} while (index_at(++*slot, 0));

	return NULL;
}

struct node *slots_next(const struct slots_vec *vec, uint32_t *slot)
{
	struct node *kid = NULL;

	while (!kid && *slot < vec->end)
		kid = slots_in_part(vec, slot);

	return kid;
}

uint32_t slots_at(const struct slots_vec *vec, size_t offset)
{
	const struct slots *s = vec->top, *sub;
	unsigned int level = vec->height, i;
	uint32_t slot = 0;

	if (!s || offset >= s->bytes)
		return offset ? vec->end : 0;

	while (--level) {
		for (i = 0; i < SLOTS_WIDTH; i++) {
			sub = s->sub[i];
			if (sub && offset < sub->bytes)
				break;
			offset -= sub ? sub->bytes : 0;
		}
		nodes_of(s)->work.passed += i;
		slot += i << (SLOTS_BITS * level);
		s = s->sub[i];
	}
	for (i = 0; i < SLOTS_WIDTH && offset; i++) {
		size_t bytes = s->kid[i] ? s->kid[i]->obj.name_len + 1u : 0;

		offset -= bytes < offset ? bytes : offset;
	}
	nodes_of(s)->work.passed += i;

	return slot + i;
}

/* The part on this level that begins at the slot; NULL if none does. */
static const struct slots *part_at(const struct slots_vec *vec, uint32_t slot,
				   unsigned int level)
{
	const struct slots *s = vec->top;
	unsigned int l = vec->height;

	if (l <= level || slot & (span(level + 1) - 1))
		return NULL;
	while (s && --l > level)
		s = s->sub[index_at(slot, l)];

	return s;
}

uint32_t slots_shared(const struct slots_vec *a, uint32_t at_a,
		      const struct slots_vec *b, uint32_t at_b)
{
	unsigned int level;
	const struct slots *part;

	if ((at_a | at_b) & (SLOTS_WIDTH - 1))
		return 0;
	for (level = a->height; level--;) {
		part = part_at(a, at_a, level);
		if (part && part == part_at(b, at_b, level))
			return (uint32_t)span(level + 1);
	}

	return 0;
}

bool slots_is_exclusive(const struct slots_vec *vec, uint32_t slot)
{
	const struct slots *s = vec->top;
	unsigned int level = vec->height;

	while (--level) {
		if (obj_is_shared(s))
			return false;
		s = s->sub[index_at(slot, level)];
	}

	return !obj_is_shared(s);
}

static enum obj_kind kind_on(unsigned int level)
{
	return level ? OBJ_SLOTS_INNER : OBJ_SLOTS_LEAF;
}

static bool is_full(const struct slots_vec *vec)
{
	return vec->end == (vec->height ? span(vec->height) : 0);
}

void slots_count(const struct slots_vec *vec, uint32_t slot, bool shared,
		 struct spares *spares)
{
	const struct slots *s = vec->top;
	unsigned int level = vec->height;

	if (slot == vec->end && is_full(vec)) {
		/* A new top, and below it a path of new parts. */
		s = NULL;
		spares->wanted[kind_on(level++)]++;
		if (level == 1)
			return;
		level--;
	}
	while (level--) {
		shared = shared || (s && obj_is_shared(s));
		if (!s || shared)
			spares->wanted[kind_on(level)]++;
		s = s && level ? s->sub[index_at(slot, level)] : NULL;
	}
}

static struct slots *fresh(struct spares *spares, enum obj_kind kind)
{
	struct slots *s = spares_take(spares, kind);

	memset((char *)s + sizeof(s->obj), 0, sizeof(*s) - sizeof(s->obj));
	return s;
}

/* Makes the part at *link ours alone. */
static struct slots *own(struct slots **link, unsigned int level,
			 struct spares *spares)
{
	struct slots *old = *link, *s;
	unsigned int i;

	if (old && !obj_is_shared(old))
		return old;

	s = fresh(spares, kind_on(level));
	*link = s;
	if (!old)
		return s;

	memcpy((char *)s + sizeof(s->obj), (char *)old + sizeof(old->obj),
	       sizeof(*s) - sizeof(s->obj));
	nodes_copied(nodes_of(s), sizeof(*s));
	for (i = 0; i < SLOTS_WIDTH; i++) {
		if (level ? (void *)s->sub[i] : (void *)s->kid[i])
			obj_ref(level ? (void *)s->sub[i] : (void *)s->kid[i]);
	}
	obj_unref(old);
	return s;
}

/* Puts a node or NULL into a slot and corrects the sums above it. */
static void put(struct slots_vec *vec, uint32_t slot, struct node *kid,
		int count, int64_t bytes, struct spares *spares)
{
	struct slots **link = &vec->top, *s;
	unsigned int level = vec->height;

	for (;;) {
		level--;
		s = own(link, level, spares);
		s->count += (uint32_t)count;
		s->bytes += (uint64_t)bytes;
		if (!level)
			break;
		link = &s->sub[index_at(slot, level)];
		if (count < 0 && (*link)->count == 1) {
			obj_unref(*link);
			*link = NULL;
			return;
		}
	}
	node_unref(s->kid[index_at(slot, 0)]);
	s->kid[index_at(slot, 0)] = kid;
}

void slots_append(struct slots_vec *vec, struct node *kid,
		  struct spares *spares)
{
	struct slots *old = vec->top;

	if (is_full(vec)) {
		vec->top = fresh(spares, kind_on(vec->height++));
		if (old) {
			vec->top->sub[0] = old;
			vec->top->count = old->count;
			vec->top->bytes = old->bytes;
		}
	}
	put(vec, vec->end++, kid, 1, kid->obj.name_len + 1, spares);
}

void slots_replace(struct slots_vec *vec, uint32_t slot, struct node *kid,
		   struct spares *spares)
{
	put(vec, slot, kid, 0, 0, spares);
}

void slots_remove(struct slots_vec *vec, uint32_t slot, struct spares *spares)
{
	const struct node *kid = slots_get(vec, slot);

	put(vec, slot, NULL, -1, -(kid->obj.name_len + 1), spares);
}

static void take_kids(struct slots *s, struct node **kids, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		s->kid[i] = kids[i];
		s->bytes += kids[i]->obj.name_len + 1u;
		kids[i] = NULL;
	}
	s->count = n;
}

static void take_parts(struct slots *s, struct slots **parts, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		s->sub[i] = parts[i];
		s->count += parts[i]->count;
		s->bytes += parts[i]->bytes;
		parts[i] = NULL;
	}
}

/* One level: of n things below it, the parts that hold them. */
static int build_level(struct nodes *nodes, unsigned int level,
		       struct node **kids, struct slots **parts, size_t n,
		       size_t *made)
{
	size_t i, count;

	for (i = *made = 0; i < n; i += count) {
		struct slots *s = nodes_alloc(nodes, kind_on(level),
					      sizeof(*s));

		if (!s)
			return -ENOMEM;
		memset((char *)s + sizeof(s->obj), 0,
		       sizeof(*s) - sizeof(s->obj));
		count = n - i < SLOTS_WIDTH ? n - i : SLOTS_WIDTH;
		if (level)
			take_parts(s, parts + i, count);
		else
			take_kids(s, kids + i, count);
		parts[(*made)++] = s;
	}
	return 0;
}

int slots_build(struct nodes *nodes, struct node **kids, size_t n,
		struct slots_vec *vec)
{
	struct slots **parts = talloc_zero_array(nodes, struct slots *,
						 n / SLOTS_WIDTH + 1);
	unsigned int level = 0;
	size_t made = n, i;
	int err = parts ? 0 : -ENOMEM;

	while (!err && (!level || made > 1))
		err = build_level(nodes, level++, kids, parts, made, &made);
	if (!err)
		*vec = (struct slots_vec){ parts[0], (uint32_t)n,
					   (uint8_t)level };
	for (i = 0; err && parts && i < n / SLOTS_WIDTH + 1; i++)
		obj_unref(parts[i]);
	talloc_free(parts);
	return err;
}

void slots_drop(struct obj *obj)
{
	struct slots *s = (struct slots *)obj;
	unsigned int i;

	for (i = 0; i < SLOTS_WIDTH; i++) {
		if (obj->kind == OBJ_SLOTS_INNER)
			obj_unref(s->sub[i]);
		else
			node_unref(s->kid[i]);
	}
	slab_free(s);
}
