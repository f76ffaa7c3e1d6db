/* SPDX-License-Identifier: MIT */
/*
 * The changeset: what one commit changes, in order.
 *
 * It is the single product of a write. Quota, watches and journal see nothing
 * else. A changeset is made by store.c or txn.c, handed to the consumers once,
 * after the new root is published, and freed.
 *
 * C1  Applying the changes in order to the old tree gives the new tree; every
 *     changed node, and the parent of one that came or went, then has the
 *     generation of the set.
 * C2  A subtree that is removed is one change; what was below is reached
 *     through `before`.
 * C3  Strings and nodes are good as long as the changeset; a consumer that
 *     needs a node for longer takes a reference.
 */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include "store/node.h"

enum change_kind {
	CHANGE_CREATE,	/* before == NULL */
	CHANGE_VALUE,	/* also when the new value is the same */
	CHANGE_PERMS,
	CHANGE_REMOVE,	/* after == NULL; before: the whole subtree */
};

struct change {
	enum change_kind kind;
	/* A node created on the way, or a change that is told by another one
	 * of this set: no watch fires. */
	bool silent;
	const char *path;
	size_t path_len;
	struct node *before;	/* CHANGE_REMOVE only */
	struct node *after;	/* as it is after the commit */
	/* For the permission filter of watches: the list before the change
	 * (permission changes and transactions, else NULL), the node's list as
	 * it is now or was when removed, and its direct parent's list. */
	struct perms *perms_before;
	struct perms *perms_now;	/* NULL: gone again after the commit */
	struct perms *perms_parent;	/* NULL: no parent */
};

struct changeset;

size_t changeset_count(const struct changeset *set);
const struct change *changeset_get(const struct changeset *set, size_t i);
/*
 * The same changes in the order in which watches hear of them: that of first
 * access in a transaction, where C1 asks for the order of the writes. Silent
 * ones are among them.
 */
const struct change *changeset_event(const struct changeset *set, size_t i);
/* The counter after this commit. */
uint64_t changeset_generation(const struct changeset *set);
/* Did it come from a transaction? Then removals tell the top first. */
bool changeset_from_txn(const struct changeset *set);

#endif
