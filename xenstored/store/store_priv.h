/* SPDX-License-Identifier: MIT */
/*
 * The store's inside, for the files that make up the store: store.c, edit.c,
 * purge.c, check.c, txn.c.
 */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "base/list.h"
#include "store/owned.h"
#include "store/reap.h"
#include "store/store.h"

struct consumer {
	store_consumer_fn *fn;
	void *arg;
};

struct store {
	struct node *root;
	struct nodes *nodes;
	struct perms_table *perms;
	struct owners *owners;
	struct reaper *reaper;
	uint16_t priv;
	uint64_t generation;
	uint64_t version;	/* counts publications */
	struct consumer *consumers;
	size_t nconsumers;
	store_lives_fn *lives;
	void *lives_arg;
	/* Permission lists were edited in place so many times: what was equal
	 * by pointer before may have changed all the same. */
	uint64_t purges;
	struct hash_table *trail_names;	/* see trail_new() */
	struct list txns;	/* that have a snapshot, oldest first */
	/* Bytes of nodes that the live tree let go while there were
	 * snapshots, ever. */
	uint64_t displaced;
	double bytes_per_weight;	/* see trim.c */
	uint64_t now, trimmed;		/* ms, see txns_set_now() */
};

/* Bytes that only snapshots hold, about. */
uint64_t store_retained(struct store *store);
int store_lives(const struct store *store, uint16_t domid, uint64_t since);

#endif
