/* SPDX-License-Identifier: MIT */
#include "store/kids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/names.h"
#include "store/slots.h"

/* A map that had shrunk to so many is flat again. */
#define FLAT_AGAIN (KIDS_FLAT_MAX / 2)
/* A big map is built anew when so few of its slots are in use: a half would
 * cost twice the pause to save 100 bytes for each child at most. */
#define DENSE_AGAIN(slots) ((slots) / 4)

/* What both forms begin with. */
struct kids {
	struct obj obj;
	uint32_t count;
	uint64_t bytes;		/* names with their NULs */
};

struct flat {
	struct kids kids;
	struct node *kid[];
};

struct big {
	struct kids kids;
	struct slots_vec slots;
	struct names_map names;
};
_Static_assert(sizeof(struct big) <= KIDS_BIG_BYTES, "size of spares");

static size_t flat_bytes(size_t count)
{
	return sizeof(struct flat) + count * sizeof(struct node *);
}

static bool is_big(const struct kids *kids)
{
	return kids->obj.kind == OBJ_KIDS_BIG;
}

/* One of the two is the form that the map has. */
static struct flat *flat_of(const struct kids *kids)
{
	return (struct flat *)kids;
}

static struct big *big_of(const struct kids *kids)
{
	return (struct big *)kids;
}

static size_t list_bytes(const struct node *kid)
{
	return kid->obj.name_len + 1u;
}

size_t kids_count(const struct kids *kids)
{
	return kids ? kids->count : 0;
}

size_t kids_bytes(const struct kids *kids)
{
	return kids ? kids->bytes : 0;
}

static bool is_called(const struct node *node, const char *name, size_t len)
{
	return node->obj.name_len == len && memcmp(node->bytes, name, len) == 0;
}

static struct node *flat_find(const struct flat *flat, const char *name,
			      size_t len, uint32_t *slot)
{
	struct node *found = NULL;
	uint32_t i;

	for (i = 0; i < flat->kids.count && !found; i++) {
		if (!is_called(flat->kid[i], name, len))
			continue;
		found = flat->kid[i];
		*slot = i;
	}
	nodes_of(flat)->work.compared += i;

	return found;
}

static struct node *big_find(const struct big *big, const char *name,
			     size_t len, uint32_t *slot)
{
	struct names_place place;

	nodes_of(big)->work.compared +=
		names_search(&big->names, &big->slots, name, len, &place);
	if (!place.found)
		return NULL;

	*slot = place.slot;
	return slots_get(&big->slots, place.slot);
}

struct node *kids_find(const struct kids *kids, const char *name, size_t len,
		       uint32_t *slot)
{
	if (!kids)
		return NULL;

	return is_big(kids) ? big_find(big_of(kids), name, len, slot) :
			      flat_find(flat_of(kids), name, len, slot);
}

struct node *kids_next(const struct kids *kids, uint32_t *slot)
{
	if (!kids)
		return NULL;
	if (is_big(kids))
		return slots_next(&big_of(kids)->slots, slot);

	return *slot < kids->count ? flat_of(kids)->kid[*slot] : NULL;
}

uint32_t kids_slot_at(const struct kids *kids, size_t offset)
{
	size_t at = 0;
	uint32_t i;

	if (kids && is_big(kids))
		return slots_at(&big_of(kids)->slots, offset);
	for (i = 0; i < kids_count(kids) && at < offset; i++)
		at += list_bytes(flat_of(kids)->kid[i]);
	if (kids)
		nodes_of(kids)->work.passed += i;

	return i;
}

bool kids_is_exclusive(const struct kids *kids, uint32_t slot)
{
	if (obj_is_shared(kids))
		return false;

	return !is_big(kids) || slots_is_exclusive(&big_of(kids)->slots, slot);
}

/*
 * Makes *kids, flat or NULL, ours alone, with room for `count` children. The
 * children of a shared map get one more holder each, those of our own move.
 */
static int flat_own(struct nodes *nodes, struct kids **kids, size_t count)
{
	struct kids *old = *kids;
	struct flat *flat;
	uint32_t i;

	if (old && !obj_is_shared(old) && slab_room(old) >= flat_bytes(count))
		return 0;

	flat = nodes_alloc(nodes, OBJ_KIDS_FLAT, flat_bytes(count));
	if (!flat)
		return -ENOMEM;

	flat->kids.count = 0;
	flat->kids.bytes = 0;
	if (old) {
		flat->kids.count = old->count;
		flat->kids.bytes = old->bytes;
		memcpy(flat->kid, flat_of(old)->kid,
		       old->count * sizeof(*flat->kid));
		nodes_copied(nodes, flat_bytes(old->count));
	}
	if (old && obj_is_shared(old)) {
		for (i = 0; i < old->count; i++)
			node_ref(flat->kid[i]);
		obj_unref(old);
	} else if (old) {
		slab_free(old);
	}
	*kids = &flat->kids;
	return 0;
}

static int flat_add(struct nodes *nodes, struct kids **kids, struct node *kid)
{
	int err = flat_own(nodes, kids, kids_count(*kids) + 1);

	if (err)
		return err;

	flat_of(*kids)->kid[(*kids)->count++] = kid;
	(*kids)->bytes += list_bytes(kid);
	return 0;
}

static int flat_replace(struct nodes *nodes, struct kids **kids, uint32_t slot,
			struct node *kid)
{
	int err = flat_own(nodes, kids, (*kids)->count);

	if (err)
		return err;

	node_unref(flat_of(*kids)->kid[slot]);
	flat_of(*kids)->kid[slot] = kid;
	return 0;
}

static int flat_remove(struct nodes *nodes, struct kids **kids, uint32_t slot)
{
	struct flat *flat;
	int err = flat_own(nodes, kids, (*kids)->count);

	if (err)
		return err;

	flat = flat_of(*kids);
	flat->kids.bytes -= list_bytes(flat->kid[slot]);
	flat->kids.count--;
	node_unref(flat->kid[slot]);
	memmove(flat->kid + slot, flat->kid + slot + 1,
		(flat->kids.count - slot) * sizeof(*flat->kid));
	return 0;
}

static struct big *big_init(struct kids *kids)
{
	struct big *big = (struct big *)kids;

	*big = (struct big){ .kids.obj = kids->obj };
	return big;
}

/* Makes *kids ours alone; what is below it is shared then. */
static struct big *big_own(struct kids **kids, struct spares *spares)
{
	struct kids *old = *kids;
	struct big *big;

	if (!obj_is_shared(old))
		return big_of(old);

	big = big_init(spares_take(spares, OBJ_KIDS_BIG));
	big->kids.count = old->count;
	big->kids.bytes = old->bytes;
	big->slots = big_of(old)->slots;
	big->names = big_of(old)->names;
	obj_ref(big->slots.top);
	obj_ref(big->names.top);
	nodes_copied(nodes_of(big), sizeof(*big));
	obj_unref(old);
	*kids = &big->kids;
	return big;
}

static int big_add(struct nodes *nodes, struct kids **kids, struct node *kid)
{
	bool shared = obj_is_shared(*kids);
	struct spares spares = { 0 };
	struct big *big = big_of(*kids);
	uint64_t prefix = names_prefix(kid->bytes, kid->obj.name_len);
	struct names_place place;
	int err;

	nodes->work.compared += names_search(&big->names, &big->slots,
					     kid->bytes, kid->obj.name_len,
					     &place);
	spares.wanted[OBJ_KIDS_BIG] = shared;
	slots_count(&big->slots, big->slots.end, shared, &spares);
	names_count_insert(&big->names, &place, shared, &spares);
	err = spares_fill(nodes, &spares);
	if (err)
		return err;

	big = big_own(kids, &spares);
	names_insert(&big->names, &place, prefix, big->slots.end, &spares);
	slots_append(&big->slots, kid, &spares);
	big->kids.count++;
	big->kids.bytes += list_bytes(kid);
	spares_free(&spares);
	return 0;
}

static int big_replace(struct nodes *nodes, struct kids **kids, uint32_t slot,
		       struct node *kid)
{
	bool shared = obj_is_shared(*kids);
	struct spares spares = { 0 };
	int err;

	spares.wanted[OBJ_KIDS_BIG] = shared;
	slots_count(&big_of(*kids)->slots, slot, shared, &spares);
	err = spares_fill(nodes, &spares);
	if (err)
		return err;

	slots_replace(&big_own(kids, &spares)->slots, slot, kid, &spares);
	spares_free(&spares);
	return 0;
}

static int big_remove(struct nodes *nodes, struct kids **kids, uint32_t slot)
{
	bool shared = obj_is_shared(*kids);
	struct spares spares = { 0 };
	struct big *big = big_of(*kids);
	const struct node *kid = slots_get(&big->slots, slot);
	size_t bytes = list_bytes(kid);
	struct names_place place;
	int err;

	nodes->work.compared += names_search(&big->names, &big->slots,
					     kid->bytes, kid->obj.name_len,
					     &place);
	spares.wanted[OBJ_KIDS_BIG] = shared;
	slots_count(&big->slots, slot, shared, &spares);
	names_count_remove(&big->names, &place, shared, &spares);
	err = spares_fill(nodes, &spares);
	if (err)
		return err;

	big = big_own(kids, &spares);
	names_remove(&big->names, &place, &spares);
	slots_remove(&big->slots, slot, &spares);
	big->kids.count--;
	big->kids.bytes -= bytes;
	spares_free(&spares);
	return 0;
}

/* A flat map, or NULL if there is no memory. */
static struct kids *build_flat(struct nodes *nodes, const struct kids *from)
{
	struct flat *flat =
		nodes_alloc(nodes, OBJ_KIDS_FLAT, flat_bytes(from->count));
	struct node *kid;
	uint32_t slot;

	if (!flat)
		return NULL;

	flat->kids.count = 0;
	flat->kids.bytes = from->bytes;
	for (slot = 0; (kid = kids_next(from, &slot)); slot++)
		flat->kid[flat->kids.count++] = node_ref(kid);

	return &flat->kids;
}

/* A big map without holes of a flat one, or NULL. */
static struct kids *build_big(struct nodes *nodes, const struct kids *from)
{
	struct kids *new = nodes_alloc(nodes, OBJ_KIDS_BIG, KIDS_BIG_BYTES);
	struct node *kid;
	uint32_t slot;

	if (!new)
		return NULL;

	big_init(new);
	for (slot = 0; (kid = kids_next(from, &slot)); slot++) {
		if (big_add(nodes, &new, node_ref(kid))) {
			node_unref(kid);
			obj_unref(new);
			return NULL;
		}
	}

	return new;
}

/* A rebuild of an index with other slots. */
struct renumber {
	struct nodes *nodes;
	struct names_map names;
	uint32_t *slot;		/* new ones by the old ones */
	int err;
};

static void add_renumbered(void *arg, uint64_t prefix, uint32_t slot)
{
	struct renumber *r = arg;
	struct spares spares = { 0 };
	struct names_place place;

	if (r->err)
		return;

	names_last(&r->names, &place);
	names_count_insert(&r->names, &place, false, &spares);
	r->err = spares_fill(r->nodes, &spares);
	if (r->err)
		return;

	names_insert(&r->names, &place, prefix, r->slot[slot], &spares);
	spares_free(&spares);
}

static int copy_slots(struct nodes *nodes, const struct slots_vec *from,
		      struct slots_vec *to, uint32_t *slots)
{
	struct spares spares = { 0 };
	struct node *kid;
	uint32_t slot;
	int err;

	for (slot = 0; (kid = slots_next(from, &slot)); slot++) {
		memset(&spares, 0, sizeof(spares));
		slots_count(to, to->end, false, &spares);
		err = spares_fill(nodes, &spares);
		if (err)
			return err;
		slots[slot] = to->end;
		slots_append(to, node_ref(kid), &spares);
		spares_free(&spares);
	}

	return 0;
}

/* A big map without the holes of another one, or NULL. Compares no names. */
static struct kids *build_dense(struct nodes *nodes, const struct kids *from)
{
	const struct big *old = big_of(from);
	struct kids *new = nodes_alloc(nodes, OBJ_KIDS_BIG, KIDS_BIG_BYTES);
	struct renumber r = {
		.nodes = nodes,
		.slot = talloc_array(nodes, uint32_t, old->slots.end),
	};
	struct big *big;

	if (!new || !r.slot) {
		obj_unref(new);
		talloc_free(r.slot);
		return NULL;
	}

	big = big_init(new);
	big->kids.count = from->count;
	big->kids.bytes = from->bytes;
	r.err = copy_slots(nodes, &old->slots, &big->slots, r.slot);
	if (!r.err)
		names_each(&old->names, add_renumbered, &r);
	big->names = r.names;
	talloc_free(r.slot);
	if (r.err) {
		obj_unref(new);
		return NULL;
	}

	return new;
}

/* Lets go a map that another one has taken the place of. */
static void put_away(struct kids *old)
{
	if (obj_is_shared(old) || is_big(old))
		obj_unref(old);
	else
		kids_drop(&old->obj);
}

/* After a removal: another form, or no holes. Without memory, next time. */
static void tidy(struct nodes *nodes, struct kids **kids)
{
	struct kids *old = *kids, *new;

	if (old->count <= FLAT_AGAIN)
		new = build_flat(nodes, old);
	else if (old->count < DENSE_AGAIN(big_of(old)->slots.end))
		new = build_dense(nodes, old);
	else
		return;

	if (new) {
		put_away(old);
		*kids = new;
	}
}

int kids_add(struct nodes *nodes, struct kids **kids, struct node *kid)
{
	struct kids *old = *kids, *new;
	int err;

	if (kids_count(old) < KIDS_FLAT_MAX && !(old && is_big(old)))
		return flat_add(nodes, kids, kid);
	if (is_big(old))
		return big_add(nodes, kids, kid);

	new = build_big(nodes, old);
	if (!new)
		return -ENOMEM;
	err = big_add(nodes, &new, kid);
	if (err) {
		obj_unref(new);
		return err;
	}
	put_away(old);
	*kids = new;
	return 0;
}

int kids_replace(struct nodes *nodes, struct kids **kids, uint32_t slot,
		 struct node *kid)
{
	return is_big(*kids) ? big_replace(nodes, kids, slot, kid) :
			       flat_replace(nodes, kids, slot, kid);
}

int kids_remove(struct nodes *nodes, struct kids **kids, uint32_t slot)
{
	int err;

	if ((*kids)->count == 1) {
		put_away(*kids);
		*kids = NULL;
		return 0;
	}
	if (!is_big(*kids))
		return flat_remove(nodes, kids, slot);

	err = big_remove(nodes, kids, slot);
	if (!err)
		tidy(nodes, kids);

	return err;
}

static int by_order(const void *a, const void *b)
{
	const struct kid_built *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

static void sort_by_order(struct kid_built *built, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++) {
		if (built[i].order > built[i - 1].order)
			continue;
		qsort(built, n, sizeof(*built), by_order);
		return;
	}
}

static int build_flat_of(struct nodes *nodes, struct kid_built *built,
			 size_t n, struct kids **kids)
{
	struct flat *flat = nodes_alloc(nodes, OBJ_KIDS_FLAT, flat_bytes(n));
	size_t i;

	if (!flat)
		return -ENOMEM;

	sort_by_order(built, n);
	flat->kids.count = (uint32_t)n;
	flat->kids.bytes = 0;
	for (i = 0; i < n; i++) {
		flat->kid[i] = built[i].node;
		flat->kids.bytes += list_bytes(built[i].node);
		built[i].node = NULL;
	}
	*kids = &flat->kids;
	return 0;
}

/* What a big map is made of: entries by name, children by slot. */
struct draft {
	struct names_entry *entries;
	struct node **nodes;
	size_t bytes;
};

static int draft_new(TALLOC_CTX *ctx, struct kid_built *built, size_t n,
		     struct draft **out)
{
	struct draft *draft = talloc(ctx, struct draft);
	size_t i;

	if (!draft)
		return -ENOMEM;

	draft->entries = talloc_array(draft, struct names_entry, n);
	draft->nodes = talloc_array(draft, struct node *, n);
	if (!draft->entries || !draft->nodes) {
		talloc_free(draft);
		return -ENOMEM;
	}
	draft->bytes = 0;
	for (i = 0; i < n; i++) {
		const struct node *kid = built[i].node;

		draft->entries[i].prefix = names_prefix(kid->bytes,
							kid->obj.name_len);
		draft->bytes += list_bytes(kid);
		built[i].name = i;
	}
	sort_by_order(built, n);
	for (i = 0; i < n; i++) {
		draft->entries[built[i].name].slot = (uint32_t)i;
		draft->nodes[i] = built[i].node;
	}
	*out = draft;
	return 0;
}

static int build_big_of(struct nodes *nodes, struct kid_built *built, size_t n,
			struct kids **kids)
{
	struct kids *new = nodes_alloc(nodes, OBJ_KIDS_BIG, KIDS_BIG_BYTES);
	struct draft *draft;
	struct big *big;
	size_t i;
	int err;

	if (!new)
		return -ENOMEM;
	big = big_init(new);
	err = draft_new(nodes, built, n, &draft);
	if (err) {
		obj_unref(new);
		return err;
	}

	big->kids.count = (uint32_t)n;
	big->kids.bytes = draft->bytes;
	err = names_build(nodes, draft->entries, n, &big->names);
	if (!err)
		err = slots_build(nodes, draft->nodes, n, &big->slots);
	for (i = 0; i < n; i++)
		built[i].node = draft->nodes[i];
	talloc_free(draft);
	if (err)
		obj_unref(new);
	else
		*kids = new;
	return err;
}

int kids_build(struct nodes *nodes, struct kid_built *built, size_t n,
	       struct kids **kids)
{
	int err = n > KIDS_FLAT_MAX ? build_big_of(nodes, built, n, kids) :
				      build_flat_of(nodes, built, n, kids);
	size_t i;

	for (i = 0; err && i < n; i++)
		node_unref(built[i].node);
	return err;
}

static bool same_name(const struct node *a, const struct node *b)
{
	nodes_of(a)->work.compared++;

	return a == b || is_called(a, b->bytes, b->obj.name_len);
}

/* Both have the same number of children. Holes are in different places: only
 * where both are at the begin of a part they can be at the same one. */
static bool big_equal_names(const struct slots_vec *a,
			    const struct slots_vec *b)
{
	uint32_t at_a = 0, at_b = 0, skip;
	const struct node *kid_a, *kid_b;

	while (at_a < a->end && at_b < b->end) {
		skip = slots_shared(a, at_a, b, at_b);
		at_a += skip;
		at_b += skip;
		if (skip)
			continue;
		kid_a = slots_in_part(a, &at_a);
		kid_b = slots_in_part(b, &at_b);
		if (!kid_a || !kid_b)
			continue;
		if (!same_name(kid_a, kid_b))
			return false;
		at_a++;
		at_b++;
	}

	return true;
}

bool kids_equal_names(const struct kids *a, const struct kids *b)
{
	uint32_t at_a, at_b;

	if (a == b)
		return true;
	if (kids_count(a) != kids_count(b) || kids_bytes(a) != kids_bytes(b))
		return false;
	if (is_big(a) && is_big(b))
		return big_equal_names(&big_of(a)->slots, &big_of(b)->slots);

	for (at_a = at_b = 0; kids_next(a, &at_a); at_a++, at_b++) {
		if (!same_name(kids_next(a, &at_a), kids_next(b, &at_b)))
			return false;
	}
	return true;
}

void kids_drop(struct obj *obj)
{
	struct kids *kids = (struct kids *)obj;
	uint32_t i;

	if (is_big(kids)) {
		obj_unref(big_of(kids)->slots.top);
		obj_unref(big_of(kids)->names.top);
	} else {
		for (i = 0; i < kids->count; i++)
			node_unref(flat_of(kids)->kid[i]);
	}
	slab_free(kids);
}
