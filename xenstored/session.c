/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/scoped.h"
#include "store/path.h"

struct session_txn {
	struct list in_session;
	struct hash_item by_id;
	struct session *session;
	uint32_t id;
	struct txn *txn;
};

void sessions_init(struct sessions *sessions, struct watch_index *index,
		   struct conn_pool *pool, struct turns *turns,
		   struct trace *trace)
{
	*sessions = (struct sessions){
		.index = index,
		.pool = pool,
		.turns = turns,
		.trace = trace,
	};
	list_init(&sessions->all);
	list_init(&sessions->ready);
	list_init(&sessions->dirty);
	list_init(&sessions->broken);
	list_init(&sessions->dead);
	list_init(&sessions->listings);
}

#define TAP(session, name, ...)                                                \
	do {                                                                   \
		struct sessions *all_ = (session)->sessions;                   \
		if (all_->tap)                                                 \
			all_->tap->name(all_->tap_arg, session,                \
					##__VA_ARGS__);                        \
	} while (0)

void session_set_ready(struct session *session)
{
	if (list_empty(&session->in_ready) && !session->lost)
		list_add_tail(&session->sessions->ready, &session->in_ready);
}

static void session_runnable(void *arg, struct conn *conn)
{
	(void)conn;
	session_set_ready(arg);
}

void session_set_dirty(struct session *session)
{
	if (list_empty(&session->in_dirty))
		list_add_tail(&session->sessions->dirty, &session->in_dirty);
}

static void session_dirty(void *arg, struct conn *conn)
{
	(void)conn;
	session_set_dirty(arg);
}

static void session_lost(void *arg, struct conn *conn, const char *why)
{
	struct session *session = arg;

	(void)conn;
	if (!session->ring)
		session_bury(session, why);
	else if (list_empty(&session->in_dead))
		/* stays, ignored, until its domain dies */
		list_add_tail(&session->sessions->broken, &session->in_dead);
}

static void session_peer_reset(void *arg, struct conn *conn, bool watches)
{
	(void)conn;
	session_reset(arg, watches);
}

static void trace_event(const struct session *session, const char *path,
			const char *token)
{
	char text[PATH_MAX_LEN + XENSTORE_PAYLOAD_MAX];
	int len = snprintf(text, sizeof(text), "%s %s ", path, token);

	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;
	trace_io(session->sessions->trace, "OUT", session->conn,
		 session->who.domid, "WATCH_EVENT", text, len);
}

static void session_event(struct watcher *watcher, const struct watch *watch,
			  const char *path)
{
	struct session *session =
		list_entry(watcher, struct session, watcher);
	struct sessions *sessions = session->sessions;

	if (session->lost)
		return;
	if (trace_on(sessions->trace, TRACE_IO))
		trace_event(session, path, watch_token(watch));
	conn_event(session->conn, path, watch_token(watch), sessions->cause);
}

void session_list_end(struct session *session)
{
	struct listing *listing = &session->listing;

	list_del(&session->in_listings);
	node_unref(listing->node);
	TALLOC_FREE(listing->path);
	listing->node = NULL;
	listing->txn = NULL;
}

int session_list_begin(struct session *session, const char *path,
		       struct node *node, struct txn *txn)
{
	struct sessions *sessions = session->sessions;
	char *copy = talloc_strdup(session, path);
	int err = 0;

	if (!copy)
		return -ENOMEM;
	session_list_end(session);
	if (session->ledger)
		err = quota_charge(copy, session->ledger, QUOTA_MEMORY,
				   strlen(path) + node_kids_bytes(node));
	if (err) {
		talloc_free(copy);
		return err;
	}
	session->listing = (struct listing){
		.path = copy,
		.node = node_ref(node),
		.txn = txn,
		.until = sessions->now + LISTING_MS,
	};
	list_add_tail(&sessions->listings, &session->in_listings);
	return 0;
}

struct node *session_list_find(struct session *session, const char *path,
			       const struct txn *txn)
{
	struct listing *listing = &session->listing;

	if (!listing->node || listing->txn != txn ||
	    strcmp(listing->path, path) ||
	    session->sessions->now >= listing->until)
		return NULL;
	return listing->node;
}

bool sessions_expire_listings(struct sessions *sessions)
{
	struct session *session, *next;

	list_for_each_safe(session, next, &sessions->listings, in_listings)
		if (sessions->now >= session->listing.until)
			session_list_end(session);
	return !list_empty(&sessions->listings);
}

/* What it waited for has ended: the request is executed again. */
static void session_turn(struct contender *contender)
{
	struct session *session =
		list_entry(contender, struct session, contender);

	conn_resume(session->conn);
}

static int session_free(struct session *session)
{
	TAP(session, closing);
	session->lost = "it ends";	/* what is refunded wakes it no more */
	list_del(&session->in_all);
	list_del(&session->in_ready);
	list_del(&session->in_dirty);
	list_del(&session->in_dead);
	session->sessions->count--;
	session->sessions->rings -= session->ring;
	if (session->sessions->dropped)
		session->sessions->dropped(session->sessions->arg, session);
	contender_fini(&session->contender);
	session_list_end(session);
	session_txns_end(session);
	watcher_free_watches(&session->watcher);
	TALLOC_FREE(session->conn);
	return 0;
}

int session_new(TALLOC_CTX *ctx, struct sessions *sessions,
		struct transport *transport, const struct who *who,
		struct ledger *ledger, struct session **out)
{
	scoped_talloc struct session *session =
		talloc_zero(ctx, struct session);
	struct conn_user user = {
		.runnable = session_runnable,
		.dirty = session_dirty,
		.lost = session_lost,
		.reset = session_peer_reset,
		.arg = session,
	};
	int err;

	if (!session) {
		talloc_free(transport);
		return -ENOMEM;
	}
	session->who = *who;
	session->ledger = ledger;
	session->ring = !strcmp(transport->ops->kind, "ring");
	session->sessions = sessions;
	list_init(&session->in_ready);
	list_init(&session->in_dirty);
	list_init(&session->in_dead);
	list_init(&session->in_listings);
	list_init(&session->txns);
	err = conn_new(session, sessions->pool, transport, &session->who,
		       ledger, &user, &session->conn);
	if (err)
		return err;
	session->sequence = ++sessions->sequence;
	watcher_init(&session->watcher, session->sequence, &session->who,
		     session_event);
	contender_init(&session->contender, sessions->turns, &session->who,
		       ledger, session_turn);
	list_add_tail(&sessions->all, &session->in_all);
	sessions->count++;
	sessions->rings += session->ring;
	talloc_set_destructor(session, session_free);
	session_set_ready(session);
	TAP(session, opened);
	*out = TAKE(session);
	return 0;
}

/* All that it holds but the connection. */
static void session_drop(struct session *session, bool watches)
{
	list_del(&session->in_dead);
	if (session->sessions->dropped)
		session->sessions->dropped(session->sessions->arg, session);
	session_list_end(session);
	session_txns_end(session);
	contender_leave(&session->contender);
	contender_done(&session->contender);
	if (watches)
		session_unwatch_all(session);
}

void session_reset(struct session *session, bool watches)
{
	session_drop(session, watches);
	session->told_in = 0;
	conn_reset(session->conn);
}

int session_watch(struct session *session, const char *path, size_t relative,
		  const char *token, int depth, struct watch **out)
{
	int err = watch_add(session, session->sessions->index,
			    &session->watcher, session->ledger, path, relative,
			    token, depth, out);

	if (!err)
		TAP(session, watch_added, *out);
	return err;
}

void session_unwatch(struct session *session, struct watch *watch)
{
	TAP(session, watch_removed, watch);
	talloc_free(watch);
}

void session_unwatch_all(struct session *session)
{
	TAP(session, watches_removed);
	watcher_free_watches(&session->watcher);
}

void session_bury(struct session *session, const char *why)
{
	if (session->lost)
		return;
	session->lost = why;
	list_del(&session->in_ready);
	list_add_tail(&session->sessions->dead, &session->in_dead);
}

void sessions_drop_broken(struct sessions *sessions)
{
	struct session *session;

	while ((session = list_first(&sessions->broken, struct session,
				     in_dead)))
		session_drop(session, true);
}

void sessions_bury(struct sessions *sessions)
{
	struct session *session;

	while ((session = list_first(&sessions->dead, struct session,
				     in_dead)))
		talloc_free(session);
}

static int session_txn_unlink(struct session_txn *entry)
{
	hash_del(entry->session->txn_ids, &entry->by_id);
	list_del(&entry->in_session);
	entry->session->ntxns--;
	return 0;
}

static struct session_txn *session_txn_entry(const struct session *session,
					     uint32_t id)
{
	struct hash_item *item;

	if (!session->txn_ids)
		return NULL;
	item = hash_first(session->txn_ids, id);
	return item ? hash_entry(item, struct session_txn, by_id) : NULL;
}

/* D2 */
static uint32_t session_txn_next_id(const struct session *session)
{
	uint32_t id = session->last_txn;

	do {
		id++;
	} while (!id || session_txn_entry(session, id));
	return id;
}

/* With the given id, or with the next one if that is 0. */
static int session_txn_new(struct session *session, uint32_t id,
			   struct session_txn **out)
{
	scoped_talloc struct session_txn *entry =
		talloc_zero(session, struct session_txn);
	int err = 0;

	if (!entry)
		return -ENOMEM;
	if (!session->txn_ids)
		err = hash_table_new(session, &session->txn_ids);
	if (!err)
		err = txn_begin(entry, session->sessions->store,
				session->ledger, &entry->txn);
	if (err)
		return err;
	entry->session = session;
	entry->id = session->last_txn =
		id ? id : session_txn_next_id(session);
	hash_add(session->txn_ids, &entry->by_id, entry->id);
	list_add_tail(&session->txns, &entry->in_session);
	session->ntxns++;
	talloc_set_destructor(entry, session_txn_unlink);
	*out = TAKE(entry);
	return 0;
}

int session_txn_begin(struct session *session, uint32_t *id)
{
	struct session_txn *entry;
	int err = session_txn_new(session, 0, &entry);

	if (err)
		return err;
	*id = entry->id;
	TAP(session, txn_begun, *id);
	return 0;
}

int session_txn_restore(struct session *session, uint32_t id,
			struct blob saved)
{
	struct session_txn *entry;
	int err;

	if (!id || session_txn_entry(session, id))
		return 0;
	err = session_txn_new(session, id, &entry);
	if (err)
		return err;
	if (!saved.len) {
		txn_lose(entry->txn);
		return 0;
	}
	/* One of them at a time is within the quota. */
	talloc_free(entry->txn);
	err = txn_load(entry, session->sessions->store, session->ledger, saved,
		       &entry->txn);
	if (err)
		talloc_free(entry);
	return err;
}

int session_txn_find(struct session *session, uint32_t id, struct txn **out)
{
	struct session_txn *entry = session_txn_entry(session, id);

	if (!entry)
		return ENOENT;
	*out = entry->txn;
	return 0;
}

static void session_txn_free(struct session_txn *entry)
{
	struct session *session = entry->session;

	if (session->listing.txn == entry->txn)
		session_list_end(session);
	TAP(session, txn_ended, entry->id);
	talloc_free(entry);
}

void session_txn_end(struct session *session, uint32_t id)
{
	struct session_txn *entry = session_txn_entry(session, id);

	if (entry)
		session_txn_free(entry);
}

void session_txns_end(struct session *session)
{
	struct session_txn *entry, *next;

	list_for_each_safe(entry, next, &session->txns, in_session)
		session_txn_free(entry);
}

void session_txns_each(const struct session *session,
		       void (*fn)(void *arg, uint32_t id, struct txn *txn),
		       void *arg)
{
	struct session_txn *entry;

	list_for_each(entry, &session->txns, in_session)
		fn(arg, entry->id, entry->txn);
}

void session_set_last_txn(struct session *session, uint32_t id)
{
	session->last_txn = id;
}
