/* SPDX-License-Identifier: MIT */
/*
 * Who owns what in the live tree: counts for the ledgers, and claims by which
 * a dead domain's nodes are found without a scan.
 *
 * A claim names a path and a domain: the node there belongs to the domain (and
 * its parent does not), or children of it do. Claims may outlive their truth:
 * whoever uses one looks at the tree.
 *
 * B1  Every node of a domain has a claim of that domain, or its parent is the
 *     domain's as well, or its parent carries a claim for its children.
 * B2  The counts of an owner are on his ledger, if he has one. A ledger that
 *     turns up later is charged with what there is already.
 * B3  Nodes that were removed before a domain died are not refunded to the
 *     next domain of that id.
 */
#ifndef STORE_OWNED_H
#define STORE_OWNED_H

#include "base/hash.h"
#include "base/list.h"
#include "base/quota.h"

struct owners;

struct owner {
	struct owners *owners;
	uint16_t domid;
	struct ledger *payer;	/* who carries the counts below */
	uint64_t nodes, memory;
	struct list claims;
	uint64_t deaths;	/* of domains of this id */
	uint64_t purged;	/* removals up to this one are settled: B3 */
};

enum claim_kind {
	CLAIM_NODE = 1,		/* the node at the path */
	CLAIM_KIDS = 2,		/* children of the node at the path */
};

struct claim {
	struct hash_item by_path;
	struct list in_owner;
	struct owner *owner;
	unsigned int kinds;
	bool entered;
	size_t len;
	char path[];
};

int owners_new(TALLOC_CTX *ctx, struct ledgers *ledgers, struct owners **out);
/* NULL: never owned anything. */
struct owner *owners_find(const struct owners *owners, uint16_t domid);
/* The record of a domain, made if need be. -ENOMEM. */
int owners_load(struct owners *owners, uint16_t domid, struct owner **out);
/* All there are, by domid: start with NULL. */
struct owner *owners_next(const struct owners *owners,
			  const struct owner *prev);

/* Sums over all owners. */
uint64_t owners_nodes(const struct owners *owners);
uint64_t owners_memory(const struct owners *owners);

/* The ledger that pays for the owner's nodes; NULL: nobody. */
struct ledger *owner_ledger(struct owner *owner);
/* Adds to the counts, or takes from them, on the ledger as well. */
void owner_account(struct owner *owner, int64_t nodes, int64_t memory);
/* Forgets counts and claims; `settled` is the last removal so far. */
void owner_purge(struct owner *owner, uint64_t settled);

/* A claim that is not entered yet: freeing it takes nothing away. -ENOMEM. */
int claim_new(TALLOC_CTX *ctx, struct owner *owner, enum claim_kind kind,
	      const char *path, size_t len, struct claim **out);
/* Enters it; owners own it from now on. An equal one absorbs it. */
void claim_enter(struct claim *claim);
/* NULL: none. */
struct claim *claim_find(const struct owner *owner, const char *path,
			 size_t len);
void claim_drop(struct claim *claim);
/* Calls fn for each claim on the path; fn may drop it. */
void claims_on(const struct owners *owners, const char *path, size_t len,
	       void (*fn)(void *arg, struct claim *claim), void *arg);

#endif
