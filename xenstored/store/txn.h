/* SPDX-License-Identifier: MIT */
/*
 * Transactions: a private view of the tree, merged or refused as a whole.
 *
 * T1  Reads see one root. It is pinned at the first look, and moves forward
 *     when a new node is looked at and everything seen so far still holds in
 *     the live tree. (An unprivileged transaction with very many writes, which
 *     have to be done again for that, moves at some of its requests only.)
 * T2  Every facet of a node that shaped a reply is in the read set:
 *     existence, value, permissions, child list in order.
 * T3  txn_commit() publishes one root and one changeset, or changes nothing.
 * T4  Facets are compared by content: a value rewritten as it was is no
 *     conflict; a write alone sees nothing but the verdict of its access
 *     check (of a privileged caller: nothing).
 *     What a reply was derived from counts, not the reply. So a commit is
 *     refused, though the requests would be answered alike, when other
 *     children came or went in a directory that was listed after the
 *     transaction itself had changed its children; when the permissions of
 *     what it made were asked for and those of the parent changed; and of the
 *     unprivileged when nodes came or went by which an access was judged below
 *     something that the transaction itself had made or removed, or when
 *     directories on the way to what it makes are gone.
 * T5  A transaction that wrote nothing commits.
 * T6  Beginning costs O(1); committing costs what was touched.
 */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include "base/quota.h"
#include "store/store.h"

struct txn;

/*
 * Begins. The txn is a child of ctx; freeing it aborts. Charges `ledger` (NULL
 * for none) one transaction, and what it holds.
 * ENOSPC: transaction quota. -ENOMEM.
 */
int txn_begin(TALLOC_CTX *ctx, struct store *store, struct ledger *ledger,
	      struct txn **out);

/*
 * Commits. Whatever the result, the transaction is over; the caller frees it.
 * EAGAIN: a facet in the read set differs by content, or the snapshot was
 *         dropped to bound memory, or a domain that it gives permissions to
 *         has died; the store is untouched.
 * ENOSPC: a quota refuses the resulting changeset.
 * ENOMEM: an operation inside failed for lack of memory or quota.
 */
int txn_commit(struct txn *txn, const struct who *who);

bool txn_wrote(const struct txn *txn);
/* Nodes in the read or write set. */
size_t txn_nodes(const struct txn *txn);
/* It was begun before the daemon died, and nobody knows what it saw: commits
 * to EAGAIN. */
void txn_lose(struct txn *txn);
/* An operation inside failed in a way that dooms the commit (ENOMEM). */
void txn_doom(struct txn *txn);

/* After EAGAIN: the path whose facet differed, for reports and reservations;
 * NULL if there is none. Good until the txn is freed. */
const char *txn_conflict(const struct txn *txn);

/*
 * For a live update: all of a transaction as bytes, and a transaction made of
 * such bytes, on a store with the content that it had then. One whose answers
 * do not hold any more is not going to commit; it lives on as one whose
 * snapshot was dropped. EINVAL: not such bytes. -ENOMEM.
 */
int txn_save(TALLOC_CTX *ctx, struct txn *txn, struct blob *out);
int txn_load(TALLOC_CTX *ctx, struct store *store, struct ledger *ledger,
	     struct blob saved, struct txn **out);

/* What time it is for what begins or is used from now on: ms, any epoch. */
void txns_set_now(struct store *store, uint64_t now);

/*
 * Bounds the memory that snapshots retain: drops the oldest snapshots while
 * retained memory is above the limit, and those of unprivileged owners that
 * were idle for 20 s.
 */
void txns_trim(struct store *store);

#endif
