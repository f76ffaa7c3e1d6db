/* SPDX-License-Identifier: MIT */
/*
 * Revival: objects of what a predecessor left, be it a journal's image or the
 * state that another daemon has handed over.
 *
 * Nodes come first, then the store takes them as a whole; then domains with
 * their rings and clients with their sockets, in the order in which they had
 * come, each with watches, lost transactions, input and output.
 */
#ifndef PERSIST_REVIVE_H
#define PERSIST_REVIVE_H

#include "domains.h"
#include "io/loop.h"
#include "persist/checkpoint.h"
#include "persist/image.h"
#include "persist/journal.h"

/* The tree in the making. */
struct revival {
	struct store *store;
	struct node *root;	/* NULL: no node so far */
	bool no_top;		/* its "/" was not told yet */
};

/* For image_new(), with a struct revival as argument. */
extern const struct record_handlers revival_nodes;

/* All nodes of the checkpoint; what was before is forgotten. Negative errno: it
 * is damaged, and what could be read is there. */
int revive_checkpoint(struct revival *revival, struct checkpoint *checkpoint);

/* Makes the nodes the store's, if there are any; they are gone from *revival
 * in any case. */
int revive_store(struct revival *revival, uint64_t generation);

struct revive_options {
	struct sessions *sessions;
	struct domains *domains;
	struct loop *loop;
	TALLOC_CTX *clients;	/* owner of the sockets' sessions */
	struct who who;		/* of the sockets' clients */
	bool inherited;		/* descriptors are open still, ... */
	bool bound;		/* ... and event channels bound */
	const struct journal_found *found;
	bool handover;		/* positions of rings are those in the pages */
};

/* After the port and the store are there. Whoever cannot be brought back is
 * logged. -ENOMEM. */
int revive_sessions(const struct revive_options *options,
		    const struct image *image);

#endif
