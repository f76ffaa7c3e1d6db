/* SPDX-License-Identifier: MIT */
#include "store/node.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "store/kids.h"
#include "store/names.h"
#include "store/node_priv.h"
#include "store/slots.h"

int nodes_new(TALLOC_CTX *ctx, struct nodes **out)
{
	struct nodes *nodes = talloc_zero(ctx, struct nodes);
	int err;

	if (!nodes)
		return -ENOMEM;

	err = slabs_new(nodes, nodes, &nodes->slabs);
	if (err) {
		talloc_free(nodes);
		return err;
	}

	*out = nodes;
	return 0;
}

size_t nodes_mapped(const struct nodes *nodes)
{
	return slabs_mapped(nodes->slabs);
}

size_t nodes_bytes(const struct nodes *nodes)
{
	return slabs_bytes(nodes->slabs);
}

const struct nodes_work *nodes_work(const struct nodes *nodes)
{
	return &nodes->work;
}

void nodes_fail_after(struct nodes *nodes, uint64_t n)
{
	slabs_fail_after(nodes->slabs, n);
}

void nodes_copied(struct nodes *nodes, size_t bytes)
{
	nodes->work.copied++;
	nodes->work.copied_bytes += bytes;
}

void *nodes_alloc(struct nodes *nodes, enum obj_kind kind, size_t size)
{
	struct obj *obj = slab_alloc(nodes->slabs, size);

	if (!obj) {
		while (nodes_reap(nodes, 1024))
			;
		obj = slab_alloc(nodes->slabs, size);
	}
	if (!obj)
		return NULL;

	*obj = (struct obj){ .refs = 1, .kind = (uint8_t)kind };
	nodes->work.made++;
	return obj;
}

void obj_unref(void *p)
{
	struct obj_dead *dead = p;
	struct nodes *nodes;

	if (!p || --dead->obj.refs)
		return;

	nodes = nodes_of(p);
	dead->next = nodes->dead;
	nodes->dead = dead;
}

/* What is made of spares, and what lets go what an object holds. */
static const struct {
	size_t bytes;
	void (*drop)(struct obj *obj);
} kinds[OBJ_KINDS] = {
	[OBJ_KIDS_FLAT] = { 0, kids_drop },
	[OBJ_KIDS_BIG] = { KIDS_BIG_BYTES, kids_drop },
	[OBJ_SLOTS_LEAF] = { sizeof(struct slots), slots_drop },
	[OBJ_SLOTS_INNER] = { sizeof(struct slots), slots_drop },
	[OBJ_NAMES_LEAF] = { NAMES_LEAF_BYTES, names_drop },
	[OBJ_NAMES_INNER] = { sizeof(struct names), names_drop },
};

int spares_fill(struct nodes *nodes, struct spares *spares)
{
	struct obj_dead *spare;
	unsigned int kind, i;

	for (kind = 0; kind < OBJ_KINDS; kind++) {
		for (i = 0; i < spares->wanted[kind]; i++) {
			spare = nodes_alloc(nodes, kind, kinds[kind].bytes);
			if (!spare) {
				spares_free(spares);
				return -ENOMEM;
			}
			spare->next = spares->list[kind];
			spares->list[kind] = spare;
		}
	}

	return 0;
}

void *spares_take(struct spares *spares, enum obj_kind kind)
{
	struct obj_dead *spare = spares->list[kind];

	assert(spare);
	spares->list[kind] = spare->next;
	return spare;
}

void spares_free(struct spares *spares)
{
	struct obj_dead *spare;
	unsigned int kind;

	for (kind = 0; kind < OBJ_KINDS; kind++) {
		while ((spare = spares->list[kind])) {
			spares->list[kind] = spare->next;
			slab_free(spare);
		}
	}
}

/* N3: each step lets go a bounded number of holders. */
bool nodes_reap(struct nodes *nodes, unsigned int budget)
{
	struct obj_dead *dead;

	while (nodes->dead && budget--) {
		dead = nodes->dead;
		nodes->dead = dead->next;
		kinds[dead->obj.kind].drop(&dead->obj);
	}

	return nodes->dead;
}

struct node *node_ref(struct node *node)
{
	return obj_ref(node);
}

void node_unref(struct node *node)
{
	if (!node || --node->obj.refs)
		return;

	perms_unref(node->perms);
	obj_unref(node->kids);
	slab_free(node);
}

size_t node_bytes(size_t name_len, size_t value_len)
{
	return offsetof(struct node, bytes) + name_len + value_len;
}

void node_put_value(struct node *node, struct blob value)
{
	node->value_len = (uint32_t)value.len;
	if (value.len)
		memmove(node->bytes + node->obj.name_len, value.data,
			value.len);
}

struct node *node_new(struct nodes *nodes, struct blob name, struct blob value,
		      struct perms *perms, uint64_t generation)
{
	struct node *node =
		nodes_alloc(nodes, OBJ_NODE, node_bytes(name.len, value.len));

	if (!node)
		return NULL;

	node->obj.name_len = (uint16_t)name.len;
	node->generation = generation;
	node->perms = perms_ref(perms);
	node->kids = NULL;
	if (name.len)
		memcpy(node->bytes, name.data, name.len);
	node_put_value(node, value);
	return node;
}

struct node *node_copy(struct nodes *nodes, const struct node *node,
		       struct blob value)
{
	struct node *copy = node_new(nodes, node_name(node), value, node->perms,
				     node->generation);

	if (!copy)
		return NULL;

	if (node->kids)
		copy->kids = obj_ref(node->kids);
	nodes_copied(nodes, slab_room(copy));
	return copy;
}

struct blob node_name(const struct node *node)
{
	return (struct blob){ node->bytes, node->obj.name_len };
}

struct blob node_value(const struct node *node)
{
	return (struct blob){ node->bytes + node->obj.name_len,
			      node->value_len };
}

struct perms *node_perms(const struct node *node)
{
	return node->perms;
}

uint64_t node_generation(const struct node *node)
{
	return node->generation;
}

size_t node_kids(const struct node *node)
{
	return kids_count(node->kids);
}

size_t node_kids_bytes(const struct node *node)
{
	return kids_bytes(node->kids);
}

struct node *node_kid(const struct node *node, const char *name, size_t len)
{
	uint32_t slot;

	return kids_find(node->kids, name, len, &slot);
}

int64_t node_kid_order(const struct node *node, const char *name, size_t len)
{
	uint32_t slot;

	return kids_find(node->kids, name, len, &slot) ? (int64_t)slot : -1;
}

struct node *node_next_kid(const struct node *node, struct kid_iter *iter)
{
	uint32_t slot = (uint32_t)iter->pos;
	struct node *kid = kids_next(node->kids, &slot);

	if (kid)
		iter->pos = slot + 1u;

	return kid;
}

size_t node_list_kids(const struct node *node, size_t offset, char *buf,
		      size_t room, bool *end)
{
	struct kid_iter iter = { kids_slot_at(node->kids, offset) };
	size_t used = 0, len;
	struct node *kid;

	while ((kid = node_next_kid(node, &iter))) {
		len = kid->obj.name_len;
		if (len + 1 > room - used)
			break;
		memcpy(buf + used, kid->bytes, len);
		buf[used + len] = '\0';
		used += len + 1;
	}
	*end = !kid;

	return used;
}

bool node_same_kids(const struct node *a, const struct node *b)
{
	return kids_equal_names(a->kids, b->kids);
}

size_t node_quota_size(const struct node *node)
{
	return 16 + 8 * perms_charged(node->perms) + node->value_len +
	       node_kids_bytes(node);
}
