/* SPDX-License-Identifier: MIT */
/*
 * A session: what one client has with the daemon beyond its byte stream: its
 * rights, its watches, its transactions, and a listing it is paging through.
 *
 * D1  Sessions are numbered in order of creation; events of one change reach
 *     them in that order.
 * D2  A transaction id is unique among the live transactions of its session
 *     and never 0.
 * D3  A reset drops transactions, partial input and queued output, and, when
 *     asked, the watches; the session stays.
 * D4  Sessions, and what they hold, are not freed because a peer is gone or
 *     broke its ring while one of them is being served or told of a change:
 *     they are marked, and freed by sessions_drop_broken() and
 *     sessions_bury().
 */
#ifndef SESSION_H
#define SESSION_H

#include "base/hash.h"
#include "base/trace.h"
#include "io/conn.h"
#include "store/turn.h"
#include "store/watch.h"

struct session;

/* What somebody who writes a journal hears, beside struct conn_tap. */
struct session_tap {
	void (*opened)(void *arg, struct session *session);
	/* Everything of it goes, its descriptor last. */
	void (*closing)(void *arg, struct session *session);
	void (*txn_begun)(void *arg, struct session *session, uint32_t id);
	void (*txn_ended)(void *arg, struct session *session, uint32_t id);
	void (*watch_added)(void *arg, struct session *session,
			    const struct watch *watch);
	void (*watch_removed)(void *arg, struct session *session,
			      const struct watch *watch);
	void (*watches_removed)(void *arg, struct session *session);
};

/* All sessions, and what they share. */
struct sessions {
	struct store *store;
	struct watch_index *index;
	struct conn_pool *pool;
	struct turns *turns;
	struct trace *trace;
	struct list all;	/* in order of creation */
	struct list ready;	/* have, or may have, input */
	struct list dirty;	/* the gate has to settle or flush them */
	struct list broken;	/* rings; what they hold is to be freed */
	struct list dead;	/* to be freed */
	struct list listings;	/* hold a listing */
	size_t count, rings;	/* sessions, and those over a ring */
	uint64_t sequence;
	/* The request that is being executed: events it causes count for it. */
	struct flight *cause;
	uint64_t now;		/* ms, read once per pass of the loop */
	/* Tells that a session was reset or has gone, before its transactions
	 * and watches are freed. */
	void (*dropped)(void *arg, struct session *session);
	void *arg;
	const struct session_tap *tap;	/* NULL: nobody listens */
	void *tap_arg;
};

/*
 * A directory list that DIRECTORY_PART pages through: pinned by offset 0 and
 * answered from until its end, another offset 0, or LISTING_MS. Otherwise
 * listing a busy directory would never end.
 */
#define LISTING_MS 2000

struct listing {
	char *path;
	struct node *node;	/* reference */
	struct txn *txn;
	uint64_t until;		/* ms */
};

struct session {
	struct list in_all, in_ready, in_dirty, in_dead, in_listings;
	struct sessions *sessions;
	uint64_t sequence;
	struct who who;
	struct ledger *ledger;	/* NULL: nobody pays, nothing is refused */
	struct conn *conn;
	struct watcher watcher;
	struct contender contender;
	struct list txns;		/* oldest first */
	struct hash_table *txn_ids;	/* made with the first one */
	size_t ntxns;
	uint32_t last_txn;
	struct listing listing;
	const char *lost;	/* why the peer is gone; NULL: it is not */
	bool ring;
	uint64_t told_in;	/* the journal knows what is executed to here */
};

void sessions_init(struct sessions *sessions, struct watch_index *index,
		   struct conn_pool *pool, struct turns *turns,
		   struct trace *trace);

/*
 * A session over a transport, which it takes over, also when it fails.
 * `ledger` must outlive it. -ENOMEM.
 */
int session_new(TALLOC_CTX *ctx, struct sessions *sessions,
		struct transport *transport, const struct who *who,
		struct ledger *ledger, struct session **out);

/* D3 */
void session_reset(struct session *session, bool watches);
/* The peer is gone, or is to go: freed at the end of the tick. */
void session_bury(struct session *session, const char *why);
/* Frees what peers held that broke their rings. Not while a session is being
 * served, but before the gate. */
void sessions_drop_broken(struct sessions *sessions);
/* Frees what was buried. Not while a session is being served. */
void sessions_bury(struct sessions *sessions);

/* Watches; errors as those of watch_add(). */
int session_watch(struct session *session, const char *path, size_t relative,
		  const char *token, int depth, struct watch **out);
void session_unwatch(struct session *session, struct watch *watch);
void session_unwatch_all(struct session *session);

/* A transaction of that id of a predecessor: what txn_save() said of it, or
 * nothing; then it can only end in EAGAIN. EINVAL: it said something else. */
int session_txn_restore(struct session *session, uint32_t id,
			struct blob saved);

/* Transactions by id. ENOENT: none of that id; ENOSPC: quota; -ENOMEM. */
int session_txn_begin(struct session *session, uint32_t *id);
int session_txn_find(struct session *session, uint32_t id, struct txn **out);
/* Frees it; uncommitted changes are forgotten. */
void session_txn_end(struct session *session, uint32_t id);
void session_txns_end(struct session *session);
void session_txns_each(const struct session *session,
		       void (*fn)(void *arg, uint32_t id, struct txn *txn),
		       void *arg);
/* Where the next id is looked for; ids wrap at 2^32. */
void session_set_last_txn(struct session *session, uint32_t id);

/* Pins a listing, with a reference to the node, at the expense of the session.
 * ENOSPC: it has no quota left for that. -ENOMEM. Either way none is pinned. */
int session_list_begin(struct session *session, const char *path,
		       struct node *node, struct txn *txn);
/* The node that was pinned for this path; NULL: none, or it is too old. */
struct node *session_list_find(struct session *session, const char *path,
			       const struct txn *txn);
void session_list_end(struct session *session);
/* Drops the listings that are too old. True: there are others. */
bool sessions_expire_listings(struct sessions *sessions);

/* Puts it where the next tick looks, and where the gate does. */
void session_set_ready(struct session *session);
void session_set_dirty(struct session *session);

#endif
