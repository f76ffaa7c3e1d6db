/* SPDX-License-Identifier: MIT */
/*
 * The store: the current root, the generation counter, and the only place
 * that publishes.
 *
 * S1  Every publication goes through one function, which asks quota before
 *     anything is visible and hands one changeset to the consumers after.
 * S2  The generation counter is taken before each use; every changed node and
 *     every transaction start gets a fresh value.
 * S3  Node and memory charges on the ledgers equal what the owners' nodes in
 *     the live tree sum up to, plus removed nodes that are not reaped yet.
 * S4  A domain's owned roots (nodes it owns below a parent it does not own)
 *     are known, so that its death needs no scan of the tree.
 * S5  No non-stale permission entry names a domain that does not live.
 *
 * The store knows no connection, no descriptor and no clock: the caller passes
 * time in.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/quota.h"
#include "store/change.h"
#include "store/node.h"

struct store;

/* Makes the initial content: "/", "/tool", "/tool/xenstored" and the special
 * nodes, owned by `priv`. */
int store_new(TALLOC_CTX *ctx, struct ledgers *ledgers, uint16_t priv,
	      struct store **out);

struct node *store_root(const struct store *store);	/* borrowed */
struct nodes *store_nodes(const struct store *store);
struct perms_table *store_perms_table(const struct store *store);
uint64_t store_generation(const struct store *store);
uint64_t store_next_generation(struct store *store);

/*
 * Replaces the whole tree, as after a restart: `root` is a root as tree_new()
 * makes it, of this store's nodes; its reference is taken over. Every owner's
 * ledger is charged with what the tree holds. Nobody is told. On -ENOMEM the
 * ledgers are not right; the store can only be freed.
 */
int store_install(struct store *store, struct node *root, uint64_t generation);

/* The domain has got a ledger: it is charged with what its nodes, if there are
 * any, cost already. */
void store_charge_ledger(struct store *store, uint16_t domid);
/* The domain's ledger goes, whatever the domain has: the next one begins anew,
 * also if it comes to lie in the same place. */
void store_forget_ledger(struct store *store, uint16_t domid);

/*
 * Creates what is missing of the nodes of the initial content, for a tree
 * of which a part was lost. Nobody is told. Errors as of store_install().
 */
int store_complete(struct store *store);

/*
 * Consumers of changesets, called in the order in which they were added, after
 * publication. They cannot refuse.
 */
typedef void store_consumer_fn(void *arg, const struct changeset *set);
int store_add_consumer(struct store *store, store_consumer_fn *fn, void *arg);

/*
 * Does the domain live, and has it lived since generation `since` at the
 * latest? ENOENT: no, its entries are stored stale. -ENOMEM: who knows. Without
 * a hook all domains live. It may purge a domain.
 */
typedef int store_lives_fn(void *arg, uint16_t domid, uint64_t since);
void store_set_lives(struct store *store, store_lives_fn *fn, void *arg);

/*
 * A domain is dead: removes the nodes it owns with their subtrees, whoever
 * owns those (events fire), and its entries from all permission lists (no
 * events). With keep_orphans its nodes go to the privileged domain instead.
 * Call before its ledger is freed. -ENOMEM: call again.
 */
int store_purge_domain(struct store *store, uint16_t domid, bool keep_orphans);

/* Housekeeping between ticks: gives removed nodes back, at most `budget` of
 * them, and refunds their owners. True: more can be done at once. */
bool store_reap(struct store *store, unsigned int budget);
/* Is something left that there was no memory for? To be tried again later. */
bool store_reap_waits(const struct store *store);

/* CONTROL check: compares ledgers, owned roots and child lists with the tree,
 * repairs, and calls `say` for each thing found. In slices: EAGAIN while
 * there is more to do. -ENOMEM: it is given up. */
struct store_check;
int store_check_new(TALLOC_CTX *ctx, struct store *store,
		    void (*say)(void *arg, const char *text), void *arg,
		    struct store_check **out);
int store_check_step(struct store_check *check, unsigned int budget);

#endif
