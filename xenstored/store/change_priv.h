/* SPDX-License-Identifier: MIT */
/*
 * How a changeset is put together: by store/edit.c alone.
 *
 * Most commits are one change, so a few fit without an allocation.
 */
#ifndef STORE_CHANGE_PRIV_H
#define STORE_CHANGE_PRIV_H

#include "store/change.h"

#define CHANGES_INLINE 4

struct changeset {
	TALLOC_CTX *ctx;		/* what grows hangs here */
	struct change *items;
	size_t n, room;
	const struct change **events;	/* NULL: as items */
	uint64_t generation;
	bool from_txn;
	struct change inline_items[CHANGES_INLINE];
};

void changeset_init(struct changeset *set, TALLOC_CTX *ctx, bool from_txn);
/* Gives back what the set holds: references to `before` and to
 * `perms_before`. */
void changeset_fini(struct changeset *set);

/* Makes room for `more` changes. -ENOMEM. */
int changeset_reserve(struct changeset *set, size_t more);
/* Room was reserved. The path must last as long as the set. */
struct change *changeset_add(struct changeset *set, enum change_kind kind,
			     const char *path, size_t len);
/* A NUL-terminated copy of a path that lasts as long as the set. */
const char *changeset_path(struct changeset *set, const char *path,
			   size_t len);

#endif
