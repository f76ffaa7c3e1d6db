/* SPDX-License-Identifier: MIT */
/*
 * One commit in the making: the tree as it will be, what that does to the
 * ledgers, and the changeset that tells of it.
 *
 * E1  Until edit_publish() nothing can be seen; edit_drop() forgets it all.
 * E2  edit_publish() of an edit that was admitted cannot fail: all memory was
 *     taken before.
 * E3  Quota is asked before the live tree is touched. Only the unprivileged
 *     are refused; purging never is.
 *
 * A single edit takes one step at most, on the live tree itself, in place
 * where nobody else holds it. An edit of several steps works beside the live
 * tree. After a step that failed the edit can only be dropped.
 */
#ifndef STORE_EDIT_H
#define STORE_EDIT_H

#include "base/who.h"
#include "store/change_priv.h"
#include "store/store_priv.h"

#define ACCOUNTS_INLINE 4

/* What the edit adds to an owner's counts. */
struct account {
	struct owner *owner;
	int64_t nodes, memory;
};

/* A claim that is true no more; maybe noted more than once. */
struct lost_claim {
	struct owner *owner;
	const char *path;
	size_t len;
};

enum edit_form {
	EDIT_SINGLE,
	EDIT_SEVERAL,
	EDIT_TXN,		/* several, and told as a transaction */
};

struct edit {
	struct store *store;
	TALLOC_CTX *ctx;
	enum edit_form form;
	struct node *root;	/* so far */
	const struct who *who;	/* who creates; NULL: nobody does */
	struct ledger *ledger;	/* of the caller; NULL: nothing is refused */
	uint64_t generation;
	size_t created;
	uint64_t copied;	/* by all edits of nodes, before this one */
	struct changeset set;
	struct account *accounts;
	size_t naccounts, accounts_room;
	struct account inline_accounts[ACCOUNTS_INLINE];
	struct list claims;	/* to be entered */
	struct lost_claim *lost;	/* to be dropped */
	size_t nlost;
	struct reap_job **jobs;	/* of removed nodes with children, in the
				 * order of the changes */
	size_t njobs;
};

/*
 * The nodes that are missing on the way to a path, top first:
 *
 *	struct missing m = { .len = length of the existing ancestor's path };
 *	while (missing_next(path, &m)) ...
 */
struct missing {
	size_t len;	/* of this node's path */
	size_t name;	/* bytes it adds to its parent's list */
	size_t kid;	/* bytes the next one adds to its list; 0: the last */
};
bool missing_next(const char *path, struct missing *missing);

/* Is none of the missing nodes too large, nor the one above with its new
 * child? `len` is the length of that one's path. */
bool create_fits(const struct ledger *ledger, const char *path, size_t len,
		 const struct node *above, const struct perms *perms,
		 struct blob value);
/* Does the ledger take so much more? Settles removals, those of `owner` (may
 * be NULL) first, before it says no. */
bool store_admits(struct store *store, const struct owner *owner,
		  const struct ledger *ledger, enum quota_item item,
		  uint64_t more);

/* -ENOMEM. Then edit_publish() or edit_drop(). */
int edit_begin(struct edit *edit, struct store *store, enum edit_form form,
	       const struct who *who, struct ledger *ledger);
void edit_drop(struct edit *edit);

/* Creates the absent node and its absent ancestors below an existing one.
 * ENOSPC: size or number of nodes. EIO: memory quota. -ENOMEM. */
int edit_create(struct edit *edit, const char *path, struct blob value);
/* `node` is the one at the path of edit->root. ENOSPC: size of the node.
 * ENOMEM: memory quota. */
int edit_set_value(struct edit *edit, const char *path, struct node *node,
		   struct blob value);
int edit_set_perms(struct edit *edit, const char *path, struct node *node,
		   struct perms *perms);
/* Never refused. -ENOMEM. */
int edit_remove(struct edit *edit, const char *path, struct node *node);

/*
 * Asks quota for all of it. A single edit has asked already. ENOSPC: number
 * of nodes; EIO or ENOMEM: memory quota.
 */
int edit_admit(struct edit *edit);
/* Makes it the live tree and tells the consumers. The edit is over. */
void edit_publish(struct edit *edit);

#endif
