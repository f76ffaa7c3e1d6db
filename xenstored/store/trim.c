/* SPDX-License-Identifier: MIT */
/*
 * The memory that snapshots keep from being given back, and its bound.
 */
#include "store/store_priv.h"
#include "store/txn_priv.h"

#define RETAINED_MIN (8u << 20)		/* bytes */
#define RETAINED_SHARE 4		/* of the live tree */
#define IDLE_MAX 20000			/* ms */
#define LOOK_EVERY 1000			/* ms, at every single snapshot */
#define REAP_STEP 100000

/* What the quotas count, and something for each node's own needs. */
static uint64_t live_weight(const struct store *store)
{
	return owners_memory(store->owners) + 64 * owners_nodes(store->owners);
}

/*
 * What the live tree takes of the heap cannot be seen from the heap while there
 * are snapshots; it is what the weight says, by the proportion that held when
 * there were none.
 */
static uint64_t live_bytes(struct store *store)
{
	uint64_t weight = live_weight(store);

	if (list_empty(&store->txns) && !reaper_pending(store->reaper) &&
	    !nodes_reap(store->nodes, 0))
		store->bytes_per_weight =
			(double)nodes_bytes(store->nodes) / weight;
	return weight * store->bytes_per_weight;
}

uint64_t store_retained(struct store *store)
{
	uint64_t live = live_bytes(store), all = nodes_bytes(store->nodes);

	return all > live ? all - live : 0;
}

static uint64_t retained_limit(struct store *store)
{
	uint64_t share = live_bytes(store) / RETAINED_SHARE;

	return share > RETAINED_MIN ? share : RETAINED_MIN;
}

/* Does the snapshot cost its owner more than he may have, or has he forgotten
 * it? Of the unprivileged only. */
static bool txn_is_overdue(const struct txn *txn)
{
	const struct store *store = txn->store;

	if (!txn->ledger || ledger_privileged(txn->ledger))
		return false;
	if (store->now - txn->used >= IDLE_MAX)
		return true;
	return !ledger_fits(txn->ledger, QUOTA_MEMORY,
			    store->displaced - txn->displaced);
}

/* One whose answers are still good moves on for free, others are dropped. */
static void txn_release(struct txn *txn)
{
	if (!txn_extend(txn))
		txn_drop(txn);
}

static void trim_overdue(struct store *store)
{
	struct txn *txn, *tmp;

	list_for_each_safe(txn, tmp, &store->txns, in_store)
	{
		if (txn->version != store->version && txn_is_overdue(txn))
			txn_release(txn);
	}
	store->trimmed = store->now;
}

void txns_set_now(struct store *store, uint64_t now)
{
	store->now = now;
}

void txns_trim(struct store *store)
{
	struct txn *txn;

	if (store->now - store->trimmed >= LOOK_EVERY)
		trim_overdue(store);
	while (!list_empty(&store->txns) &&
	       store_retained(store) > retained_limit(store)) {
		txn = list_first(&store->txns, struct txn, in_store);
		if (txn->version == store->version)
			break;	/* the rest holds nothing back */
		txn_release(txn);
		if (nodes_reap(store->nodes, REAP_STEP))
			break;	/* wait for what that gives */
	}
}
