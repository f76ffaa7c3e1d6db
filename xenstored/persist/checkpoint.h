/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint: the nodes as of the end of a retired journal file, in an
 * SQLite database that people can read, too. Written in slices, in one
 * transaction for each file.
 *
 *	DIR/state.db
 *	nodes		path, value, permissions ("n0,r5,b7!": "!" is stale),
 *			owner, generation, created and saved (counters; nodes
 *			that one request created may have the same one)
 *	purged		domid, at: entries for the domain, but the owner's, in
 *			permissions saved before are void
 *	domains, connections, watches
 *			as of the last checkpoint, for people only
 *	meta		schema, boot_id, epoch (journal file), counter
 *
 * H1  The tables are those of one epoch, whenever the process dies; but for
 *     values, with their generations, that a later journal file tells again.
 * H2  A slice does a bounded amount of work; the removal of a large subtree
 *     is spread over several.
 * H3  A database that is damaged, foreign or of another boot is kept as
 *     state.db.bad.
 */
#ifndef PERSIST_CHECKPOINT_H
#define PERSIST_CHECKPOINT_H

#include <talloc.h>

#include "persist/record.h"

struct checkpoint;

/* Opens or makes DIR/state.db. Negative errno: it cannot be made. With
 * `read_only` it must be there, and can only be read. */
int checkpoint_open(TALLOC_CTX *ctx, const char *dir, const char *boot_id,
		    bool read_only, void (*say)(const char *text),
		    struct checkpoint **out);

/* The journal file it includes; 0: it is empty. */
uint64_t checkpoint_epoch(const struct checkpoint *checkpoint);

/* A row: the node as it would be created, and its place in the order of
 * creation. */
struct checkpoint_node {
	struct rec_node node;
	uint64_t created;
	bool same_perms;	/* as the one before, in the same place */
};
typedef int checkpoint_node_fn(void *arg, const struct checkpoint_node *node);

/* Tells all nodes, by path. Negative errno: damaged, or what fn said. */
int checkpoint_load(struct checkpoint *checkpoint, checkpoint_node_fn *fn,
		    void *arg);

/* Starts over with an empty database; the old one is removed, or set aside if
 * there is a reason to say. */
int checkpoint_reset(struct checkpoint *checkpoint, const char *why);

/* A retired journal file. */
struct checkpoint_file {
	uint64_t epoch;
	struct blob records;	/* must stay where they are */
	uint32_t last;		/* place of the last one that changes nodes,
				 * see V3 of record.h */
	struct blob people;	/* the account for the tables that nobody but
				 * people reads; may be empty */
	/*
	 * A value has changed, and nothing else of the node: may its row stay
	 * as it is? True: the value it has now counts already in a later file,
	 * or the node is gone. Not asked where more than `defer_max` nodes
	 * have changed.
	 */
	bool (*defer)(void *arg, const char *path);
	void *defer_arg;
	size_t defer_max;
};

/* Begins to add its records. */
int checkpoint_begin(struct checkpoint *checkpoint,
		     const struct checkpoint_file *file);
/* Forgets what was begun. */
void checkpoint_abort(struct checkpoint *checkpoint);
bool checkpoint_running(const struct checkpoint *checkpoint);
/*
 * Does some of it: `budget` is about the number of records that are only
 * looked at; a row that is written counts as 16, one that is not as 4. EAGAIN: more is left. EBUSY:
 * somebody reads the tables, so it cannot end; later. 0: done, the file is
 * included. Negative errno: nothing of it is included; it may be
 * begun again (-EUCLEAN: the database is damaged, and only a reset helps).
 */
int checkpoint_step(struct checkpoint *checkpoint, unsigned int budget);

#endif
