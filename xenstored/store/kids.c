/* SPDX-License-Identifier: MIT */
#include "store/kids.h"

#include <errno.h>
#include <string.h>

/* A flat map: slots are places in the array. */
struct kids {
	struct obj obj;
	uint32_t count;
	uint32_t slots;
	uint64_t bytes;		/* names with their NULs */
	struct node *kid[];
};

static size_t flat_bytes(size_t count)
{
	return sizeof(struct kids) + count * sizeof(struct node *);
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

struct node *kids_find(const struct kids *kids, const char *name, size_t len,
		       uint32_t *slot)
{
	struct node *found = NULL;
	uint32_t i;

	if (!kids)
		return NULL;
	for (i = 0; i < kids->count && !found; i++) {
		if (!is_called(kids->kid[i], name, len))
			continue;
		found = kids->kid[i];
		*slot = i;
	}
	nodes_of(kids)->work.compared += i;

	return found;
}

struct node *kids_next(const struct kids *kids, uint32_t *slot)
{
	return kids && *slot < kids->count ? kids->kid[*slot] : NULL;
}

uint32_t kids_slot_at(const struct kids *kids, size_t offset)
{
	size_t at = 0;
	uint32_t i;

	for (i = 0; i < kids_count(kids) && at < offset; i++)
		at += kids->kid[i]->obj.name_len + 1u;

	return i;
}

bool kids_is_exclusive(const struct kids *kids, uint32_t slot)
{
	(void)slot;
	return !obj_is_shared(kids);
}

/*
 * Makes *kids ours alone, with room for `count` children. The children of a
 * shared map get one more holder each, those of our own move.
 */
static int flat_own(struct nodes *nodes, struct kids **kids, size_t count)
{
	struct kids *old = *kids, *new;
	uint32_t i;

	if (old && !obj_is_shared(old) && slab_room(old) >= flat_bytes(count))
		return 0;

	new = nodes_alloc(nodes, OBJ_KIDS_FLAT, flat_bytes(count));
	if (!new)
		return -ENOMEM;
	new->count = new->slots = 0;
	new->bytes = 0;
	if (old) {
		new->count = old->count;
		new->slots = old->slots;
		new->bytes = old->bytes;
		memcpy(new->kid, old->kid, old->count * sizeof(*old->kid));
		nodes_copied(nodes, flat_bytes(old->count));
	}
	if (old && obj_is_shared(old)) {
		for (i = 0; i < old->count; i++)
			node_ref(old->kid[i]);
		obj_unref(old);
	} else if (old) {
		slab_free(old);
	}
	*kids = new;
	return 0;
}

int kids_add(struct nodes *nodes, struct kids **kids, struct node *kid)
{
	int err = flat_own(nodes, kids, kids_count(*kids) + 1);

	if (err)
		return err;

	(*kids)->kid[(*kids)->count++] = kid;
	(*kids)->slots = (*kids)->count;
	(*kids)->bytes += kid->obj.name_len + 1u;
	return 0;
}

int kids_replace(struct nodes *nodes, struct kids **kids, uint32_t slot,
		 struct node *kid)
{
	int err = flat_own(nodes, kids, (*kids)->count);

	if (err)
		return err;

	node_unref((*kids)->kid[slot]);
	(*kids)->kid[slot] = kid;
	return 0;
}

int kids_remove(struct nodes *nodes, struct kids **kids, uint32_t slot)
{
	struct kids *own;
	int err;

	if ((*kids)->count == 1) {
		if (obj_is_shared(*kids))
			obj_unref(*kids);
		else
			kids_drop(&(*kids)->obj);
		*kids = NULL;
		return 0;
	}
	err = flat_own(nodes, kids, (*kids)->count);
	if (err)
		return err;

	own = *kids;
	own->bytes -= own->kid[slot]->obj.name_len + 1u;
	node_unref(own->kid[slot]);
	own->slots = --own->count;
	memmove(own->kid + slot, own->kid + slot + 1,
		(own->count - slot) * sizeof(*own->kid));
	return 0;
}

bool kids_equal_names(const struct kids *a, const struct kids *b)
{
	uint32_t i;

	if (a == b)
		return true;
	if (kids_count(a) != kids_count(b) || kids_bytes(a) != kids_bytes(b))
		return false;
	for (i = 0; i < kids_count(a); i++) {
		if (a->kid[i] != b->kid[i] &&
		    !is_called(a->kid[i], b->kid[i]->bytes,
			       b->kid[i]->obj.name_len))
			return false;
	}

	return true;
}

void kids_drop(struct obj *obj)
{
	struct kids *kids = (struct kids *)obj;
	uint32_t i;

	for (i = 0; i < kids->count; i++)
		node_unref(kids->kid[i]);
	slab_free(kids);
}
