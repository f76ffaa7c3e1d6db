/* SPDX-License-Identifier: MIT */
/*
 * The journal: a redo log in mapped files, for a daemon that dies while its
 * host lives.
 *
 *	DIR/journal.7	retired: on its way into the checkpoint
 *	DIR/journal.8	current: records are added to it
 *
 *	DIR/journal.spare	one that is done, kept for its pages
 *
 * Numbers (epochs) grow by one. Each file begins with a whole account of
 * everything but the nodes, told by the caller; then come the changes. A file
 * that could not be used is kept as journal.N.bad.
 *
 * What is in a mapped file outlives the process, so nothing is ever synced:
 * the commit of a tick is one store. It does not outlive the host, and must
 * not: files of another boot are set aside.
 *
 * J1  Records count from journal_commit() on, all of a tick or none; those that
 *     tell what happened to a connection's bytes or descriptor (CONN,
 *     CONN_GONE, INPUT, SENT) from journal_happened() on.
 * J2  A file counts from when its account is complete (it is renamed then).
 *     Until the one before it is in the checkpoint, both are there.
 * J3  When there is no room or memory, records are dropped, the file is marked
 *     stale (its positions lie), and journal_commit() says so until
 *     journal_begin() has succeeded with a full account, or
 *     journal_begin_in_memory().
 */
#ifndef PERSIST_JOURNAL_H
#define PERSIST_JOURNAL_H

#include <talloc.h>

#include "persist/record.h"

struct journal;

/* A call on a socket that may have moved bytes nobody knows of. */
enum journal_call { JOURNAL_NO_CALL, JOURNAL_RECV, JOURNAL_SEND };

/* What the daemon was doing when it died. */
struct journal_found {
	unsigned int segments;	/* that were read */
	uint64_t records;
	bool damaged;		/* not all could be read */
	bool stale;		/* positions lie: resume no connection */
	enum journal_call call;
	uint64_t call_conn;
	uint64_t exec_conn;	/* 0: it was not executing a request */
	uint32_t exec_tries;	/* how often this one was begun */
	uint64_t exec_pos;
};

/*
 * Looks at DIR, which may be there later only. `say` is told, in one line, of
 * what is set aside and why. -ENOMEM and the like.
 */
int journal_new(TALLOC_CTX *ctx, const char *dir,
		void (*say)(const char *text), struct journal **out);

/* This epoch is in the checkpoint: what is begun comes behind it, or the next
 * start would take it for something old. */
void journal_passed(struct journal *journal, uint64_t epoch);

/* Another daemon goes on from here, and will not write to it: it is old then,
 * unless something of ours is begun behind it. */
void journal_leave(struct journal *journal);
bool journal_is_left(const struct journal *journal);

/* A start from nothing: removes all files, or sets them aside. */
void journal_discard(struct journal *journal, bool keep);

/*
 * Reads everything behind epoch `after`, which is in the checkpoint (0: there
 * is none). Damage is not an error: what was before it is told, then it ends.
 * Negative errno of a handler.
 */
int journal_replay(struct journal *journal, uint64_t after,
		   const struct record_handlers *handlers, void *arg,
		   struct journal_found *found);

/* Tells everything but the nodes; with `all` those, too. */
typedef void journal_account_fn(void *arg, struct records *to, bool all);

/*
 * Begins the next file with an account. With `all` nothing before it is
 * needed: older files are removed, or set aside if they were damaged. Between
 * ticks only. Negative errno: as before.
 */
int journal_begin(struct journal *journal, bool all,
		  journal_account_fn *account, void *arg);

/*
 * The same with `all`, where nothing can be written: it has no name, and a
 * successor finds it among the descriptors that it has inherited. So it
 * survives a worker, but not a keeper and worker at once; what has a name stays
 * for those.
 */
int journal_begin_in_memory(struct journal *journal,
			    journal_account_fn *account, void *arg);
bool journal_in_memory(const struct journal *journal);

/* Where the records of this tick go. Good until the next journal_begin(). */
struct records *journal_records(struct journal *journal);

/* The tick is over. Negative errno: see J3. */
int journal_commit(struct journal *journal);
/* The CONN, CONN_GONE, INPUT and SENT records that were added so far count. */
void journal_happened(struct journal *journal);

/* Brackets a call on a socket; JOURNAL_NO_CALL after its outcome was added
 * (and, for input, counts). */
void journal_call(struct journal *journal, enum journal_call call,
		  uint64_t conn);
/* Brackets the execution of the request at this position; conn 0: done. */
void journal_execute(struct journal *journal, uint64_t conn, uint64_t pos,
		     uint32_t tries);

/* Bytes in the current file, and those of its account alone. */
size_t journal_used(const struct journal *journal);
size_t journal_account(const struct journal *journal);
/* Records behind the account. */
uint32_t journal_changes(const struct journal *journal);
bool journal_broken(const struct journal *journal);
/* All files, bytes. */
size_t journal_bytes(const struct journal *journal);
uint64_t journal_epoch(const struct journal *journal);

/* The oldest retired file: its records, for the checkpoint, and the place of
 * the last one that changes nodes. False: there is none. */
bool journal_oldest(const struct journal *journal, uint64_t *epoch,
		    struct blob *records, uint32_t *last);
/* The account at the beginning of the current file. */
struct blob journal_account_records(const struct journal *journal);
const char *journal_boot_id(const struct journal *journal);
/* It is in the checkpoint. */
void journal_drop_oldest(struct journal *journal);
/* Its pages are not needed soon. */
bool journal_has_spare(const struct journal *journal);
void journal_drop_spare(struct journal *journal);

#endif
