/* SPDX-License-Identifier: MIT */
/* What a transaction wants done: on its private tree, and noted for later. */
#include <errno.h>
#include <string.h>

#include "store/edit.h"
#include "store/tree.h"
#include "store/txn_priv.h"

/* Applies a new intent to the private tree. */
static int txn_do(struct txn *txn, const struct intent *intent)
{
	struct node *root = node_ref(txn_root(txn));
	int err;

	/* ours alone: edited in place */
	if (txn->mine) {
		node_unref(root);
		return txn_apply(txn, &txn->mine, intent);
	}
	err = txn_apply(txn, &root, intent);
	if (err)
		node_unref(root);
	else
		txn->mine = root;
	return err;
}

/* Quota, as far as it is asked before the commit. */
static int txn_admit_create(struct txn *txn, struct blob value)
{
	struct missing missing = { .len = 0 };
	struct perms *perms;
	struct node *above;
	size_t n = 0, len;
	bool fits;
	int err;

	above = tree_nearest(txn_root(txn), txn->at->path, &len);
	err = perms_inherit(txn->store->perms, node_perms(above), &txn->who,
			    &perms);
	if (err)
		return err;
	fits = create_fits(txn->ledger, txn->at->path, len, above, perms,
			   value);
	perms_unref(perms);
	if (!fits)
		return ENOSPC;
	for (missing.len = len; missing_next(txn->at->path, &missing); n++)
		;
	/* What the transaction removed counts at its commit only. */
	if (!txn->removed &&
	    !store_admits(txn->store,
			  owners_find(txn->store->owners, txn->who.domid),
			  txn->ledger, QUOTA_NODES, n))
		return ENOSPC;
	return 0;
}

static bool txn_admits_value(const struct txn *txn, const struct node *node,
			     struct blob value)
{
	return ledger_fits(txn->ledger, QUOTA_NODE_SIZE,
			   node_quota_size(node) - node_value(node).len +
				   value.len);
}

/* The missing nodes above the one that is created get records of their own:
 * they exist from now on. ENOSPC: too many of them. */
static int txn_ensure_above(struct txn *txn, size_t len)
{
	size_t at_len = strlen(txn->at->path);
	struct touched *at = txn->at;
	int err;

	for (at = touched_up(at, &at_len); at_len > len;
	     at = touched_up(at, &at_len)) {
		if (!at->path && !txn_may_touch(txn, 1))
			return ENOSPC;
		err = trail_name(txn->trail, at);
		if (err)
			return err;
		at->ensured = true;
	}
	return 0;
}

/* To a privileged writer those that are there are as good as those he makes:
 * their absence would not be seen. */
static void txn_imply_above(struct txn *txn)
{
	struct touched *at;

	if (!txn->who.privileged)
		return;
	for (at = txn->at->parent; at->parent; at = at->parent)
		at->ensured = true;
}

static int txn_create(struct txn *txn, enum deed deed,
		      struct blob value)
{
	struct touched *at = txn->at;
	struct intent *intent;
	size_t len;
	int err;

	err = intent_new(txn, deed, at, value, NULL, &intent);
	if (err)
		return err;
	tree_nearest(txn_root(txn), at->path, &len);
	if (at->path[len])
		err = txn_ensure_above(txn, len);
	if (!err)
		err = txn_do(txn, intent);
	if (err) {
		talloc_free(intent);
		return err;
	}
	intents_add_create(&txn->intents, intent);
	at->ensured = true;
	txn_imply_above(txn);
	return txn_pay(txn);
}

int txn_write(struct txn *txn, struct blob value)
{
	struct node *node;
	int err = 0;

	if (!txn->at)
		return 0;
	node = tree_find(txn_root(txn), txn->at->path);
	if (txn_is_limited(txn)) {
		if (!node)
			err = txn_admit_create(txn, value);
		else if (!txn_admits_value(txn, node, value))
			err = ENOSPC;
	}
	if (err)
		return err;
	err = txn_create(txn, DEED_WRITE, value);
	if (!err)
		txn->at->written = true;
	return err;
}

int txn_mkdir(struct txn *txn)
{
	struct blob empty = { NULL, 0 };
	int err = 0;

	if (!txn->at)
		return 0;
	if (txn_is_limited(txn))
		err = txn_admit_create(txn, empty);
	return err ? err : txn_create(txn, DEED_CREATE, empty);
}

int txn_remove(struct txn *txn)
{
	struct blob empty = { NULL, 0 };
	struct touched *at = txn->at;
	struct intent *intent, *parent = NULL;
	int err;

	if (!txn->at)
		return 0;
	err = intent_new(txn, DEED_REMOVE, at, empty, NULL, &intent);
	if (err)
		return err;
	if (at->parent->parent->parent) {	/* not "/", which stays */
		err = trail_name(txn->trail, at->parent);
		if (!err)
			err = intent_new(txn, DEED_CREATE, at->parent, empty,
					 NULL, &parent);
	}
	if (!err)
		err = txn_do(txn, intent);
	if (err) {
		talloc_free(intent);
		talloc_free(parent);
		return err;
	}
	if (parent)
		parent->silent = true;
	intents_add_remove(&txn->intents, intent, parent);
	txn->removed = true;
	return txn_pay(txn);
}

int txn_set_perms(struct txn *txn, struct perms *perms)
{
	struct blob empty = { NULL, 0 };
	struct node *node;
	struct intent *intent;
	int err;

	if (!txn->at)
		return 0;
	node = tree_find(txn_root(txn), txn->at->path);
	if (txn_is_limited(txn) &&
	    !ledger_fits(txn->ledger, QUOTA_NODE_SIZE,
			 node_quota_size(node) +
				 8 * perms_charged(perms) -
				 8 * perms_charged(node_perms(node))))
		return ENOSPC;
	err = intent_new(txn, DEED_PERMS, txn->at, empty, perms, &intent);
	if (err)
		return err;
	err = txn_do(txn, intent);
	if (err) {
		talloc_free(intent);
		return err;
	}
	intents_add_perms(&txn->intents, intent);
	txn->at->owned = true;
	return txn_pay(txn);
}
