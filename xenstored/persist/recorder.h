/* SPDX-License-Identifier: MIT */
/*
 * The recorder: hears what happens in the daemon and keeps it in journal and
 * checkpoint, so that the next worker goes on where this one died.
 *
 * P1  What the gate lets out, and what it is an answer to, is in the journal
 *     before.
 * P2  The work on the checkpoint is done in slices between ticks; nobody waits
 *     for it.
 * P3  Where the journal cannot be written the daemon goes on without, says so,
 *     and tries again with a full account.
 */
#ifndef PERSIST_RECORDER_H
#define PERSIST_RECORDER_H

#include "domains.h"
#include "persist/image.h"
#include "persist/journal.h"
#include "persist/revive.h"

struct recorder;

/* A request is executed so often, if all but the last time somebody died over
 * it; after that it is refused (R4). */
#define RECORDER_TRIES 3

struct recorder_options {
	const char *dir;	/* for journal and checkpoint */
	bool fresh;		/* forget what is there, ... */
	bool keep;		/* ... but keep the journal's files aside */
	bool ours;		/* nobody else can have gone on from there */
};

/* Where the directory cannot be used the journal is in memory, and it is tried
 * again. -ENOMEM and the like. */
int recorder_new(TALLOC_CTX *ctx, const struct recorder_options *options,
		 struct recorder **out);

/*
 * Reads what predecessors left: nodes to the revival, the rest into the image,
 * which hands nodes on to the revival, too. With `*found` empty there was
 * nothing.
 */
int recorder_read(struct recorder *recorder, struct revival *revival,
		  struct image *image, struct journal_found *found);

/* Begins to listen, and writes the first account; `all`: what was read is not
 * what is now. Failure is P3's. */
void recorder_start(struct recorder *recorder, struct sessions *sessions,
		    struct domains *domains, struct store *store,
		    const struct rec_descriptor *descriptors, size_t n,
		    bool all);
/* Before the objects are freed. */
void recorder_stop(struct recorder *recorder);
/* Nothing is recorded any more, and a successor may open the files: the locks
 * on the database would outlive us, with whoever has our descriptors.
 * `foreign`: it will not read them, and they are old when it has begun. */
void recorder_leave(struct recorder *recorder, bool foreign);

/* A request is about to be executed, the one that the session's connection
 * gave out last. False: it has been the death of us, and is not to be. */
bool recorder_executes(struct recorder *recorder, struct session *session,
		       const struct message *message);
void recorder_executed(struct recorder *recorder);

/* The gate: all dirty sessions, then the commit. */
void recorder_commit(struct recorder *recorder);

/* Between ticks; `now` in ms. True: there is more to do at once. */
bool recorder_work(struct recorder *recorder, uint64_t now);

/* Something is to be tried again later: call recorder_work() now and then. */
bool recorder_waits(const struct recorder *recorder);

/* For reports. */
struct recorder_report {
	bool broken;
	bool cramped;		/* no other file can be begun */
	bool unnamed;		/* in memory only */
	uint64_t epoch;
	size_t bytes;		/* of all journal files */
	uint64_t checkpoints, failures;
};
void recorder_report(const struct recorder *recorder,
		     struct recorder_report *out);

#endif
