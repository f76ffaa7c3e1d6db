/* SPDX-License-Identifier: MIT */
#include "store/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "store/edit.h"
#include "store/path.h"
#include "store/tree.h"
#include "store/txn_priv.h"
#include "store/view.h"

/* Intents that an unprivileged request earns the transaction: so many may be
 * applied anew for its snapshot to move. */
#define CREDIT_EARNED 64
#define CREDIT_MAX 4096

/* ---- pinning ------------------------------------------------------------- */

bool txn_is_limited(const struct txn *txn)
{
	return txn->ledger && !txn->who.privileged;
}

struct node *txn_root(const struct txn *txn)
{
	return txn->mine ? txn->mine : txn->base;
}

static void txn_pin(struct txn *txn, struct node *mine)
{
	struct store *store = txn->store;

	node_unref(txn->base);
	node_unref(txn->mine);
	txn->base = node_ref(store->root);
	txn->mine = mine;
	txn->version = txn->tried = store->version;
	txn->purges = store->purges;
	txn->displaced = store->displaced;
	list_del(&txn->in_store);
	list_add_tail(&store->txns, &txn->in_store);
}

void txn_unpin(struct txn *txn)
{
	node_unref(txn->base);
	node_unref(txn->mine);
	txn->base = txn->mine = NULL;
	list_del(&txn->in_store);
}

void txn_drop(struct txn *txn)
{
	txn_unpin(txn);
	txn->dropped = true;
}

void txn_lose(struct txn *txn)
{
	txn_drop(txn);
	txn->astray = true;
}

/* Creates a missing node with its missing ancestors on a private tree. */
static int private_create(struct txn *txn, struct node **root,
			  const char *path, struct blob value)
{
	struct store *store = txn->store;
	struct perms *perms;
	size_t len;
	int err;

	err = perms_inherit(store->perms,
			    node_perms(tree_nearest(*root, path, &len)),
			    &txn->who, &perms);
	if (err)
		return err;
	err = tree_create(store->nodes, root, path, perms, value,
			  store->generation, NULL);
	perms_unref(perms);
	return err;
}

/* I1 */
int txn_apply(struct txn *txn, struct node **root, const struct intent *intent)
{
	struct nodes *nodes = txn->store->nodes;
	uint64_t generation = txn->store->generation;
	const char *path = intent->at->path;
	bool exists = tree_find(*root, path);
	struct node *removed;
	int err;

	switch (intent->deed) {
	case DEED_CREATE:
		return exists ? 0 :
				private_create(txn, root, path, intent->value);
	case DEED_WRITE:
		if (!exists)
			return private_create(txn, root, path, intent->value);
		return tree_set_value(nodes, root, path, intent->value,
				      generation);
	case DEED_PERMS:
		if (!exists)
			return EAGAIN;
		return tree_set_perms(nodes, root, path, intent->perms,
				      generation);
	case DEED_REMOVE:
		if (!exists)
			return 0;
		err = tree_remove(nodes, root, path, generation, &removed);
		if (!err)
			node_unref(removed);
		return err;
	}
	abort();
}

/* T1: the snapshot moves to the live tree, and takes our writes along. */
int txn_rebase(struct txn *txn)
{
	struct node *mine;
	struct intent *intent;
	int err = 0;

	if (!txn->intents.count) {
		txn_pin(txn, NULL);
		return 0;
	}
	mine = node_ref(txn->store->root);
	list_for_each(intent, &txn->intents.log, in_log)
	{
		err = intent_lost_its_parents(intent, mine, &txn->who) ?
			      EAGAIN :
			      txn_apply(txn, &mine, intent);
		if (err) {
			node_unref(mine);
			return err;
		}
	}
	txn_pin(txn, mine);
	return 0;
}

/* Doing many intents again for each request would cost others too much. */
static bool txn_affords(struct txn *txn)
{
	if (!txn_is_limited(txn))
		return true;
	if (txn->credit < txn->intents.count)
		return false;
	txn->credit -= txn->intents.count;
	return true;
}

bool txn_holds(struct txn *txn, const struct who *who,
	       struct touched **differs)
{
	struct store *store = txn->store;
	bool doubt = txn->doubt || txn->purges != store->purges ||
		     who->target != txn->who.target ||
		     who->privileged != txn->who.privileged;

	if (txn->version == store->version && !doubt)
		return true;
	return trail_holds(txn->trail, txn->base, store->root, who, doubt,
			   differs);
}

bool txn_extend(struct txn *txn)
{
	struct store *store = txn->store;

	if (txn->version == store->version)
		return true;
	if (txn->tried == store->version)
		return false;
	txn->tried = store->version;
	return txn_holds(txn, &txn->who, NULL) && txn_affords(txn) &&
	       !txn_rebase(txn);	/* it may stay where it is as well */
}

/* ---- beginning and end --------------------------------------------------- */

static int txn_free(struct txn *txn)
{
	struct intent *intent, *tmp;

	list_for_each_safe(intent, tmp, &txn->intents.log, in_log)
		talloc_free(intent);
	txn_unpin(txn);
	if (txn->charged)
		ledger_refund(txn->ledger, QUOTA_MEMORY, txn->charged);
	return 0;
}

int txn_begin(TALLOC_CTX *ctx, struct store *store, struct ledger *ledger,
	      struct txn **out)
{
	scoped_talloc struct txn *txn = talloc_zero(ctx, struct txn);
	int err;

	if (!txn)
		return -ENOMEM;
	txn->store = store;
	txn->ledger = ledger;
	txn->used = store->now;
	list_init(&txn->in_store);
	intents_init(&txn->intents);
	if (ledger) {
		err = quota_charge(txn, ledger, QUOTA_TRANSACTIONS, 1);
		if (err)
			return err;
	}
	talloc_set_destructor(txn, txn_free);
	store_next_generation(store);
	*out = TAKE(txn);
	return 0;
}

bool txn_wrote(const struct txn *txn)
{
	return txn->intents.count;
}

size_t txn_nodes(const struct txn *txn)
{
	return txn->trail ? trail_count(txn->trail) : 0;
}

void txn_doom(struct txn *txn)
{
	txn->doomed = true;
}

const char *txn_conflict(const struct txn *txn)
{
	return txn->conflict;
}

/* ---- looking ------------------------------------------------------------- */

int txn_pay(struct txn *txn)
{
	uint64_t holds = txn->intents.bytes;

	if (!txn->ledger)
		return 0;
	if (txn->trail)
		holds += trail_bytes(txn->trail);
	if (holds > txn->charged) {
		uint64_t more = holds - txn->charged;

		if (txn_is_limited(txn) &&
		    !store_admits(txn->store, NULL, txn->ledger, QUOTA_MEMORY,
				  more))
			return ENOMEM;
		ledger_charge(txn->ledger, QUOTA_MEMORY, more);
	} else {
		ledger_refund(txn->ledger, QUOTA_MEMORY, txn->charged - holds);
	}
	txn->charged = holds;
	return 0;
}

bool txn_may_touch(const struct txn *txn, size_t more)
{
	return !txn_is_limited(txn) ||
	       ledger_fits(txn->ledger, QUOTA_TXN_NODES,
			   trail_count(txn->trail) + more);
}

/* Asked before the record is made, and those that lead to it, which may be very
 * many. */
static int txn_admit_touch(struct txn *txn, const char *path)
{
	size_t need = trail_need(txn->trail, path);

	if (!need || !txn_is_limited(txn))
		return 0;
	if (!txn_may_touch(txn, 1))
		return ENOSPC;
	return store_admits(txn->store, NULL, txn->ledger, QUOTA_MEMORY, need) ?
		       0 :
		       ENOMEM;
}

/* The record of the path. *fresh: it was not looked at before. */
static int txn_touch(struct txn *txn, const char *path, bool *fresh)
{
	size_t count;
	int err = 0;

	if (!txn->trail)
		err = trail_new(txn, txn->store->trail_names, &txn->trail);
	if (!err)
		err = txn_admit_touch(txn, path);
	if (err)
		return err;
	count = trail_count(txn->trail);
	err = trail_touch(txn->trail, path, &txn->at);
	if (!err)
		err = txn_pay(txn);
	*fresh = trail_count(txn->trail) != count;
	if (txn->ledger)
		ledger_saw(txn->ledger, QUOTA_TXN_NODES,
			   trail_count(txn->trail));
	return err;
}

/* Rights that changed on the way make verdicts of before doubtful. */
static void txn_meet(struct txn *txn, const struct who *who)
{
	if (txn->trail && (who->target != txn->who.target ||
			   who->privileged != txn->who.privileged))
		txn->doubt = true;
	txn->who = *who;
}

int txn_look(struct txn *txn, const struct who *who, const char *path,
	     struct node **root)
{
	bool fresh;
	int err;

	txn_meet(txn, who);
	txn->used = txn->store->now;
	txn->at = NULL;
	if (txn->dropped || txn->doomed) {	/* nothing is noted any more */
		txn->astray = true;
		*root = txn->base ? txn_root(txn) : txn->store->root;
		return 0;
	}
	err = txn_touch(txn, path, &fresh);
	if (err) {
		txn->at = NULL;
		txn->doomed = true;
		return err;
	}
	if (txn->credit < CREDIT_MAX)
		txn->credit += CREDIT_EARNED;
	if (!txn->base)
		txn_pin(txn, NULL);
	else if (fresh)
		txn_extend(txn);
	*root = txn_root(txn);
	return 0;
}

/* The node of the base at the first `len` bytes of a path. */
static struct node *base_node(const struct txn *txn, const char *path,
			      size_t len)
{
	char prefix[PATH_MAX_LEN + 1];

	memcpy(prefix, path, len);
	prefix[len] = '\0';
	return tree_find(txn->base, prefix);
}

static void saw_existence(struct touched *at)
{
	if (!touched_is_known(at))
		touched_saw(at, SEEN_EXISTS);
}

/*
 * An unprivileged access check on a path where we have had our hands: what did
 * its verdict follow from? From the nearest existing node, unless it is ours
 * for certain, and from there being nothing below it.
 */
static void saw_mixed_access(struct txn *txn, enum wish wish)
{
	struct touched *at = txn->at, *missing = NULL;
	const char *path = at->path;
	size_t len = 0, at_len = strlen(path);
	struct node *base;

	/* we wrote it, and so were let: again */
	if (wish == WISH_CREATE && at->written)
		return;
	if (!tree_nearest(txn_root(txn), path, &len))
		return;
	while (at_len > len) {
		missing = at;
		at = touched_up(at, &at_len);
	}
	if (touched_is_cut(at))
		return;			/* made anew, by us */
	touched_saw(at, SEEN_EXISTS);
	base = base_node(txn, path, at_len);
	if (base)
		touched_saw_at(at, base, &txn->who, wish, missing);
	if (missing && !missing->cut)
		touched_saw(missing, SEEN_EXISTS);
}

void txn_saw_access(struct txn *txn, enum wish wish, int verdict)
{
	if (!txn->at)
		return;
	if (txn->who.privileged) {
		if (wish != WISH_CREATE)
			saw_existence(txn->at);
	} else if (!touched_is_ours(txn->at)) {
		touched_saw_through(txn->at, wish, verdict);
	} else {
		saw_mixed_access(txn, wish);
	}
}

/* Its list is that of the base, or was copied from its parent's. */
static void saw_perms(struct txn *txn)
{
	struct touched *at = txn->at;
	const char *path = at->path;
	size_t len = strlen(path);

	if (at->owned)
		return;
	for (;;) {
		if (!touched_is_cut(at))
			touched_saw_perms(at, base_node(txn, path, len));
		if (!at->ensured || !at->parent->parent)
			break;
		at = touched_up(at, &len);
	}
}

void txn_saw(struct txn *txn, unsigned int facets)
{
	struct touched *at = txn->at;
	bool cut;

	if (!at)
		return;
	cut = touched_is_cut(at);
	if (facets & FACET_VALUE && !at->written && !cut)
		touched_saw(at, at->ensured ? SEEN_VALUE_OR_NONE :
					      SEEN_VALUE);
	if (facets & FACET_KIDS && !cut)
		touched_saw(at, at->ensured ? SEEN_KIDS_OR_NONE : SEEN_KIDS);
	if (facets & FACET_PERMS)
		saw_perms(txn);
}

void txn_saw_parent(struct txn *txn)
{
	struct touched *parent;

	if (!txn->at)
		return;
	parent = txn->at->parent;
	if (parent->parent)	/* the root above "/" always is */
		saw_existence(parent);
}

void txn_saw_owner(struct txn *txn)
{
	/* who owns it without a target is the caller himself, as the verdict
	 * says */
	if (txn->at && txn->who.target != DOMID_INVALID)
		saw_perms(txn);
}

static bool names(const struct perms *perms, uint16_t domid)
{
	size_t n;
	const struct perm *list = perms_list(perms, &n);

	for (size_t i = 0; i < n; i++)
		if (list[i].domid == domid)
			return true;
	return false;
}

void txns_purge(struct store *store, uint16_t domid)
{
	struct txn *txn;
	struct intent *intent;

	list_for_each(txn, &store->txns, in_store)
	{
		list_for_each(intent, &txn->intents.log, in_log)
		{
			if (intent->perms && names(intent->perms, domid))
				txn->outlived = true;
		}
	}
}
