/* SPDX-License-Identifier: MIT */
#include "store/change_priv.h"

#include <errno.h>
#include <string.h>

void changeset_init(struct changeset *set, TALLOC_CTX *ctx, bool from_txn)
{
	set->ctx = ctx;
	set->items = set->inline_items;
	set->n = 0;
	set->room = CHANGES_INLINE;
	set->events = NULL;
	set->generation = 0;
	set->from_txn = from_txn;
}

void changeset_fini(struct changeset *set)
{
	for (size_t i = 0; i < set->n; i++) {
		node_unref(set->items[i].before);
		if (set->items[i].perms_before)
			perms_unref(set->items[i].perms_before);
	}
	set->n = 0;
}

int changeset_reserve(struct changeset *set, size_t more)
{
	size_t room = set->room;
	struct change *grown;

	if (set->n + more <= room)
		return 0;
	while (set->n + more > room)
		room *= 2;
	if (set->items == set->inline_items)
		grown = talloc_array(set->ctx, struct change, room);
	else
		grown = talloc_realloc(set->ctx, set->items, struct change,
				       room);
	if (!grown)
		return -ENOMEM;
	if (set->items == set->inline_items)
		memcpy(grown, set->items, set->n * sizeof(*grown));
	set->items = grown;
	set->room = room;
	return 0;
}

struct change *changeset_add(struct changeset *set, enum change_kind kind,
			     const char *path, size_t len)
{
	struct change *change = &set->items[set->n++];

	*change = (struct change){ .kind = kind,
				   .path = path,
				   .path_len = len };
	return change;
}

const char *changeset_path(struct changeset *set, const char *path, size_t len)
{
	return talloc_strndup(set->ctx, path, len);
}

size_t changeset_count(const struct changeset *set)
{
	return set->n;
}

const struct change *changeset_get(const struct changeset *set, size_t i)
{
	return &set->items[i];
}

const struct change *changeset_event(const struct changeset *set, size_t i)
{
	return set->events ? set->events[i] : &set->items[i];
}

uint64_t changeset_generation(const struct changeset *set)
{
	return set->generation;
}

bool changeset_from_txn(const struct changeset *set)
{
	return set->from_txn;
}
