/* SPDX-License-Identifier: MIT */
/* A commit: what a transaction wants done, on the live tree. */
#include <errno.h>
#include <stdlib.h>

#include "store/edit.h"
#include "store/tree.h"
#include "store/txn_priv.h"

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
		if (!node &&
		    intent_lost_its_parents(intent, edit->root, edit->who))
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
