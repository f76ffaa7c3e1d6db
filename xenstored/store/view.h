/* SPDX-License-Identifier: MIT */
/*
 * One face over the live store and a transaction: the operations on nodes.
 *
 * Operations cannot tell which one they work on. Permission checks, the rule
 * when to say ENOENT and when EACCES, the sizes a guest may make and the
 * creation of missing ancestors live here, once. A write on the live store is
 * a changeset of its own and is published at once.
 *
 * The ENOENT/EACCES rule: a node that is missing or not accessible is reported
 * as what it is only to a caller with one of the wanted rights on the nearest
 * existing ancestor; everybody else gets EACCES.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/txn.h"

struct view {
	struct store *store;
	struct txn *txn;		/* NULL: the live store */
	const struct who *who;
	struct ledger *ledger;		/* the caller's; NULL: no quotas */
};

/* Facets of a node that an answer may be derived from. FACET_EXISTS goes
 * without saying. */
enum {
	FACET_EXISTS = 1,
	FACET_VALUE = 2,
	FACET_PERMS = 4,
	FACET_KIDS = 8,
};

/*
 * A node the caller may read, and which facets the answer will use. The node
 * is borrowed until the next write to this view.
 * ENOENT, EACCES by the rule above.
 */
int view_node(const struct view *view, const char *path, unsigned int facets,
	      struct node **out);

/* Creates or replaces. EACCES, ENOENT, ENOSPC. */
int view_write(const struct view *view, const char *path, struct blob value);
/* An existing node that may be written is fine, and nothing happens. */
int view_mkdir(const struct view *view, const char *path);
/*
 * Removes with all below. A missing node below an existing parent is fine.
 * EINVAL for "/", ENOENT: the parent is missing, too.
 */
int view_rm(const struct view *view, const char *path);
/*
 * What is said of a permission list before anything else is looked at, which is
 * an order that clients see. view_set_perms() asks both, too.
 * ENOSPC: so many entries are too many for the caller.
 */
int view_admits_perms(const struct view *view, size_t n);
/* ENOENT: the owner does not live. */
int view_judge_perms(const struct view *view, const struct perm *list);
/*
 * Needs WRITE and OWNER. Entries of domains that do not live become stale;
 * ENOENT if that is the owner. EPERM: an unprivileged caller names another
 * owner. ENOSPC: too many entries for the caller. ENOMEM: nobody can be made
 * the owner (DOMID_ANY).
 */
int view_set_perms(const struct view *view, const char *path,
		   const struct perm *list, size_t n);

#endif
