/* SPDX-License-Identifier: MIT */
#include "store/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "store/access.h"
#include "store/edit.h"
#include "store/path.h"
#include "store/txn_priv.h"
#include "store/view.h"

/* The record above, and the length of its path. */
static struct touched *step_up(const struct touched *at, size_t *len)
{
	*len -= at->len + 1;
	*len += !*len;		/* the root is one byte, too */
	return at->parent;
}

/* Intents that an unprivileged request earns the transaction: so many may be
 * applied anew for its snapshot to move. */
#define CREDIT_EARNED 64
#define CREDIT_MAX 4096

/* ---- pinning ------------------------------------------------------------- */

static bool txn_is_limited(const struct txn *txn)
{
	return txn->ledger && !txn->who.privileged;
}

static struct node *txn_root(const struct txn *txn)
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

static void txn_unpin(struct txn *txn)
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

/* I1: an intent on a private tree. */
static int private_apply(struct txn *txn, struct node **root,
			 const struct intent *intent)
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

/* Would the node's ancestors have to be made again that were there when its
 * unprivileged maker was judged by them? */
static bool lost_ancestor(const struct node *root, const struct who *who,
			  const struct intent *intent)
{
	const struct touched *at = intent->at;
	size_t len, at_len = strlen(at->path);

	if (who->privileged || intent->deed == DEED_PERMS ||
	    intent->deed == DEED_REMOVE)
		return false;
	tree_nearest(root, at->path, &len);
	if (at_len == len)
		return false;
	for (at = step_up(at, &at_len); at_len > len;
	     at = step_up(at, &at_len))
		if (!at->ensured)
			return true;
	return false;
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
		err = lost_ancestor(mine, &txn->who, intent) ?
			      EAGAIN :
			      private_apply(txn, &mine, intent);
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

/* Does what was seen hold in the live tree? */
static bool txn_holds(struct txn *txn, const struct who *who,
		      struct touched **differs)
{
	struct store *store = txn->store;
	bool doubt = txn->purges != store->purges ||
		     who->domid != txn->who.domid ||
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

static bool txn_may_touch(const struct txn *txn, size_t more)
{
	return !txn_is_limited(txn) ||
	       ledger_fits(txn->ledger, QUOTA_TXN_NODES,
			   trail_count(txn->trail) + more);
}

/* The record of the path. *fresh: it was not looked at before. */
static int txn_touch(struct txn *txn, const char *path, bool *fresh)
{
	size_t count;
	int err = 0;

	if (!txn->trail)
		err = trail_new(txn, txn->store->trail_names, &txn->trail);
	if (err)
		return err;
	count = trail_count(txn->trail);
	if (!txn_may_touch(txn, 1)) {
		struct touched *at = trail_find(txn->trail, path);

		if (!at || !at->path)
			return ENOSPC;
	}
	err = trail_touch(txn->trail, path, &txn->at);
	if (!err)
		err = txn_pay(txn);
	*fresh = trail_count(txn->trail) != count;
	if (txn->ledger)
		ledger_saw(txn->ledger, QUOTA_TXN_NODES,
			   trail_count(txn->trail));
	return err;
}

int txn_look(struct txn *txn, const struct who *who, const char *path,
	     struct node **root)
{
	bool fresh;
	int err;

	txn->who = *who;
	txn->used = txn->store->now;
	if (txn->dropped) {
		txn->astray = true;
		*root = txn->store->root;
		return 0;
	}
	err = txn_touch(txn, path, &fresh);
	if (err) {
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

static void txn_saw_existence(struct txn *txn, struct touched *at)
{
	if (!touched_is_known(at))
		trail_saw(txn->trail, at, SEEN_EXISTS);
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
		at = step_up(at, &at_len);
	}
	if (touched_is_cut(at))
		return;			/* made anew, by us */
	trail_saw(txn->trail, at, SEEN_EXISTS);
	base = base_node(txn, path, at_len);
	if (base)
		trail_saw_at(txn->trail, at, base, &txn->who, wish, missing);
	if (missing && !missing->cut)
		trail_saw(txn->trail, missing, SEEN_EXISTS);
}

void txn_saw_access(struct txn *txn, enum wish wish, int verdict)
{
	if (txn->dropped)
		return;
	if (txn->who.privileged) {
		if (wish != WISH_CREATE)
			txn_saw_existence(txn, txn->at);
	} else if (!touched_is_ours(txn->at)) {
		trail_saw_through(txn->trail, txn->at, wish, verdict);
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
			trail_saw_perms(txn->trail, at,
					base_node(txn, path, len));
		if (!at->ensured || !at->parent->parent)
			break;
		at = step_up(at, &len);
	}
}

void txn_saw(struct txn *txn, unsigned int facets)
{
	struct touched *at = txn->at;
	bool cut;

	if (txn->dropped)
		return;
	cut = touched_is_cut(at);
	if (facets & FACET_VALUE && !at->written && !cut)
		trail_saw(txn->trail, at,
			  at->ensured ? SEEN_VALUE_OR_NONE : SEEN_VALUE);
	if (facets & FACET_KIDS && !cut)
		trail_saw(txn->trail, at,
			  at->ensured ? SEEN_KIDS_OR_NONE : SEEN_KIDS);
	if (facets & FACET_PERMS)
		saw_perms(txn);
}

void txn_saw_parent(struct txn *txn)
{
	struct touched *parent;

	if (txn->dropped)
		return;
	parent = txn->at->parent;
	if (parent->parent)	/* the root above "/" always is */
		txn_saw_existence(txn, parent);
}

void txn_saw_owner(struct txn *txn)
{
	/* who owns it without a target is the caller himself, as the verdict
	 * says */
	if (!txn->dropped && txn->who.target != DOMID_INVALID)
		saw_perms(txn);
}

/* ---- writing ------------------------------------------------------------- */

/* Applies a new intent to the private tree. */
static int txn_apply(struct txn *txn, const struct intent *intent)
{
	struct node *root = node_ref(txn_root(txn));
	int err;

	/* ours alone: edited in place */
	if (txn->mine) {
		node_unref(root);
		return private_apply(txn, &txn->mine, intent);
	}
	err = private_apply(txn, &root, intent);
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

	for (at = step_up(at, &at_len); at_len > len;
	     at = step_up(at, &at_len)) {
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
		err = txn_apply(txn, intent);
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

	if (txn->dropped)
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

	if (txn->dropped)
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

	if (txn->dropped)
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
		err = txn_apply(txn, intent);
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

	if (txn->dropped)
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
	err = txn_apply(txn, intent);
	if (err) {
		talloc_free(intent);
		return err;
	}
	intents_add_perms(&txn->intents, intent);
	txn->at->owned = true;
	return txn_pay(txn);
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

/* ---- committing ---------------------------------------------------------- */

/* A change of the changeset, and whom it is about. */
struct told {
	struct touched *at;
	uint64_t order;		/* of the event */
	size_t index;		/* of the change */
};

struct commit {
	struct txn *txn;
	struct edit edit;
	struct told *told;
	size_t ntold;
};

/* I2: an intent on the live tree. */
static int commit_intent(struct commit *commit, const struct intent *intent)
{
	struct edit *edit = &commit->edit;
	const char *path = intent->at->path;
	struct node *node = tree_find(edit->root, path);
	size_t before = edit->set.n;
	int err = 0;

	switch (intent->deed) {
	case DEED_CREATE:
	case DEED_WRITE:
		if (!node && lost_ancestor(edit->root, edit->who, intent))
			err = EAGAIN;
		else if (!node)
			err = edit_create(edit, path, intent->value);
		else if (intent->deed == DEED_WRITE)
			err = edit_set_value(edit, path, node, intent->value);
		break;
	case DEED_PERMS:
		if (!node)
			return EAGAIN;
		err = edit_set_perms(edit, path, node, intent->perms);
		break;
	case DEED_REMOVE:
		if (node)
			err = edit_remove(edit, path, node);
		break;
	}
	if (!err && edit->set.n > before) {
		size_t last = edit->set.n - 1;

		edit->set.items[last].silent = intent->silent;
		commit->told[commit->ntold++] =
			(struct told){ .at = intent->at, .index = last };
	}
	return err;
}

/* By first access; but what was made anew below a removed node comes after
 * that one. */
static uint64_t event_order(const struct touched *at,
			    const struct change *change)
{
	uint64_t order = at->order;

	if (change->silent)
		return UINT64_MAX;
	if (change->kind == CHANGE_REMOVE)
		return order;
	for (; at; at = at->parent)
		if (at->cut && at->order > order)
			order = at->order;
	return order;
}

static int told_order(const void *va, const void *vb)
{
	const struct told *a = va, *b = vb;

	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* One event per node, in order of first access; of a node that was removed
 * and made anew, the removal. */
static int commit_order_events(struct commit *commit)
{
	struct changeset *set = &commit->edit.set;
	const struct change **events =
		talloc_array(commit->edit.ctx, const struct change *,
			     set->n ? set->n : 1);
	struct told *told = commit->told;
	size_t n = 0;

	if (!events)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		if (n < commit->ntold && told[n].index == i)
			n++;
		else	/* made on the way; nobody hears of it */
			events[commit->ntold + i - n] = &set->items[i];
	}
	for (size_t i = 0; i < commit->ntold; i++)
		told[i].order = event_order(told[i].at,
					    &set->items[told[i].index]);
	qsort(told, commit->ntold, sizeof(*told), told_order);
	for (size_t i = 0; i < commit->ntold; i++) {
		struct change *change = &set->items[told[i].index];

		change->silent |= told[i].at->told;
		told[i].at->told |= !change->silent;
		events[i] = change;
	}
	set->events = events;
	return 0;
}

static int commit_build(struct commit *commit)
{
	struct intent *intent;
	int err = 0;

	commit->told = talloc_array(commit->edit.ctx, struct told,
				    commit->txn->intents.count);
	if (!commit->told)
		return -ENOMEM;
	list_for_each(intent, &commit->txn->intents.log, in_log)
	{
		err = commit_intent(commit, intent);
		if (err)
			return err;
	}
	err = edit_admit(&commit->edit);
	return err ? err : commit_order_events(commit);
}

/* Whatever quota it is, a commit that is refused by one says the same. */
static int commit_error(int err)
{
	return err == EIO || err == ENOMEM ? ENOSPC : err;
}

static int txn_publish(struct txn *txn, const struct who *who)
{
	struct commit commit = { .txn = txn };
	int err;

	err = edit_begin(&commit.edit, txn->store, EDIT_TXN, who, txn->ledger);
	if (err)
		return err;
	err = commit_build(&commit);
	if (err)
		edit_drop(&commit.edit);
	else
		edit_publish(&commit.edit);
	return commit_error(err);
}

int txn_commit(struct txn *txn, const struct who *who)
{
	struct touched *differs;
	int err;

	if (txn->doomed)
		return ENOMEM;
	if (txn->dropped && (txn->astray || txn->intents.count))
		return EAGAIN;
	if (!txn->intents.count)
		return 0;	/* T5 */
	if (txn->outlived)
		return EAGAIN;
	if (!txn_holds(txn, who, &differs)) {
		if (!trail_name(txn->trail, differs))
			txn->conflict = differs->path;
		return EAGAIN;
	}
	err = txn_publish(txn, who);
	txn_unpin(txn);
	return err;
}
