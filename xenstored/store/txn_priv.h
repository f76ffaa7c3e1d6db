/* SPDX-License-Identifier: MIT */
/*
 * What a view does to a transaction: first it looks at a path, then it says
 * what it saw there or what is to be done there.
 */
#ifndef STORE_TXN_PRIV_H
#define STORE_TXN_PRIV_H

#include "store/intents.h"
#include "store/txn.h"

struct txn {
	struct store *store;
	struct ledger *ledger;	/* NULL: nobody pays */
	struct list in_store;	/* while pinned; oldest first */
	struct who who;		/* as of the last look */
	struct node *base;	/* NULL: not pinned */
	struct node *mine;	/* NULL: as base */
	uint64_t version;	/* of the store, when base was live */
	uint64_t tried;		/* version that base could not move to */
	uint64_t purges;	/* of the store, then */
	uint64_t displaced;	/* of the store, then */
	size_t credit;		/* intents that may be applied anew */
	uint64_t used;		/* ms */
	struct trail *trail;	/* NULL: nothing looked at */
	struct touched *at;	/* of the last look; NULL: it is not noted */
	struct intents intents;
	uint64_t charged;	/* bytes, on the ledger */
	bool removed;		/* something, some time */
	bool doubt;		/* `who` changed */
	bool doomed;
	bool outlived;		/* a domain that it gives permissions to */
	bool dropped;		/* the snapshot is gone */
	bool astray;		/* something was asked that is not noted */
	const char *conflict;
};

/* Its owner has quotas. */
bool txn_is_limited(const struct txn *txn);
/* What the transaction sees; it is pinned. */
struct node *txn_root(const struct txn *txn);
/* I1: an intent on a private tree. EAGAIN: not on this one. -ENOMEM. */
int txn_apply(struct txn *txn, struct node **root, const struct intent *intent);
/* Does what was seen hold in the live tree, for a caller who now is `who`?
 * *differs (optional): the record that does not. */
bool txn_holds(struct txn *txn, const struct who *who,
	       struct touched **differs);
/* May so many further nodes be touched? */
bool txn_may_touch(const struct txn *txn, size_t more);
void txn_unpin(struct txn *txn);

/*
 * Begins an operation on a path: *root is what the transaction sees now.
 * ENOSPC: too many nodes; ENOMEM: memory quota; -ENOMEM. All doom it.
 */
int txn_look(struct txn *txn, const struct who *who, const char *path,
	     struct node **root);

/* The access check at the path gave `verdict`. */
void txn_saw_access(struct txn *txn, enum wish wish, int verdict);
/* The answer used FACET_* of the node, which exists. */
void txn_saw(struct txn *txn, unsigned int facets);
/* ... used the existence of its parent; the owner of the node. */
void txn_saw_parent(struct txn *txn);
void txn_saw_owner(struct txn *txn);

/* Access was granted. ENOSPC, ENOMEM: quota; -ENOMEM. After an error the
 * transaction must not be committed. */
int txn_write(struct txn *txn, struct blob value);
/* The node is missing. */
int txn_mkdir(struct txn *txn);
/* The node exists. */
int txn_remove(struct txn *txn);
int txn_set_perms(struct txn *txn, struct perms *perms);

/* A domain died: whoever was about to give it permissions, or nodes, does not
 * give them to the next one of that id. */
void txns_purge(struct store *store, uint16_t domid);
/* Lets go of the snapshot. */
void txn_drop(struct txn *txn);
/* Moves the snapshot to the live tree if what was seen holds there. */
bool txn_extend(struct txn *txn);
/* Makes the live tree the base, and does the intents on top of it. EAGAIN: that
 * cannot be done there. -ENOMEM. Then nothing changed. */
int txn_rebase(struct txn *txn);
/* The ledger follows what the transaction holds. ENOMEM: too much. */
int txn_pay(struct txn *txn);

#endif
