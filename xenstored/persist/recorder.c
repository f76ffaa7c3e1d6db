/* SPDX-License-Identifier: MIT */
#include "persist/recorder.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/scoped.h"
#include "persist/checkpoint.h"
#include "persist/tell.h"
#include "store/tree.h"

/* Work on the checkpoint in one tick: so much, and more when much was added to
 * the journal, which the checkpoint has to keep up with. */
#define WORK 32
#define BYTES_PER_WORK 4
/* The next file is begun after so many bytes, or so many records, for each is
 * work at a restart; or as many bytes as some accounts, if these are large. */
#define FILE_BYTES (31u << 18)
#define FILE_RECORDS 49152
#define ACCOUNTS 4
/* A row of the checkpoint costs some times as much as telling the value again
 * in the next file. So values that change all the time are written now and then
 * only, if they are not too many or too large; else with each file. */
#define DEFER_MS 10000
#define DEFER_NODES 24576
#define DEFER_BYTES (2u << 20)	/* in one file */
/* Memory that is not needed is given back when so little was added in a time.
 */
#define IDLE_MS 1000
#define IDLE_BYTES (1u << 16)
#define LARGE_BYTES (1u << 20)
#define RETRY_MS 1000
#define READER_MS 5000		/* a reader of the database may take so long */
#define PEOPLE_MS 1000		/* between updates of what people read */
#define PEOPLE_LARGE_MS 10000	/* ... if that is more than a little */
#define PEOPLE_SMALL 65536

/* Whole; still written, but no file can follow; in memory only; not written. */
enum health { WHOLE, CRAMPED, UNNAMED, BROKEN };

struct recorder {
	struct journal *journal;
	struct checkpoint *checkpoint;	/* NULL: it cannot be opened */
	struct checkpoint *old;		/* in its place, only to be read */
	const char *dir;
	struct sessions *sessions;
	struct domains *domains;
	struct store *store;
	struct rec_descriptor descriptors[4];
	size_t n_descriptors;
	uint64_t generation;		/* told last */
	struct limits limits;		/* told last */
	uint64_t suspect, suspect_pos;	/* what was executed at the death */
	uint32_t suspect_tries;
	enum health health;
	bool behind;			/* the last checkpoint failed, or waits */
	uint64_t reader_since;		/* it waits for a reader; 0: it does not */
	uint64_t retry_at, people_at, idle_at;
	uint64_t rows_at;		/* all rows are to be written then */
	/* told again in this file, for the sake of the one before */
	uint32_t deferred;
	size_t deferred_bytes;
	size_t worked;			/* bytes of the file at the last work */
	size_t idled;			/* ... when idle_at was set */
	uint64_t checkpoints, failures;
};

static void say(const char *text)
{
	log_warn("%s", text);
}

static struct records *to(struct recorder *r)
{
	return journal_records(r->journal);
}

/* ---- the taps ------------------------------------------------------------ */

static void changed(void *arg, const struct changeset *set)
{
	struct recorder *r = arg;

	if (!r->sessions)
		return;
	tell_changes(to(r), set);
	if (changeset_count(set))	/* each told it */
		r->generation = changeset_generation(set);
}

static void on_domain(void *arg, const struct domain *domain)
{
	tell_domain(to(arg), domain);
}

static void on_purged(void *arg, uint16_t domid)
{
	record_purge(to(arg), &(struct rec_domid){ domid });
}

static void on_domain_gone(void *arg, uint16_t domid)
{
	record_domain_gone(to(arg), &(struct rec_domid){ domid });
}

static const struct domains_tap domains_tap = {
	.changed = on_domain,
	.purged = on_purged,
	.gone = on_domain_gone,
};

static void on_opened(void *arg, struct session *session)
{
	struct recorder *r = arg;

	tell_session(to(r), session, 0);
	journal_happened(r->journal);
}

static void on_closing(void *arg, struct session *session)
{
	const struct rec_of_conn gone = { session->sequence };
	struct recorder *r = arg;

	if (session->ring) {
		record_ring_gone(to(r), &gone);
		return;
	}
	record_conn_gone(to(r), &gone);
	journal_happened(r->journal);
	fault_at(closing);
}

static void on_txn_begun(void *arg, struct session *session, uint32_t id)
{
	record_txn(to(arg), &(struct rec_txn){ session->sequence, id });
}

static void on_txn_ended(void *arg, struct session *session, uint32_t id)
{
	record_txn_end(to(arg), &(struct rec_txn){ session->sequence, id });
}

static void on_watch(void *arg, struct session *session,
		     const struct watch *watch)
{
	tell_watch(to(arg), session, watch, record_watch);
}

static void on_unwatch(void *arg, struct session *session,
		       const struct watch *watch)
{
	tell_watch(to(arg), session, watch, record_unwatch);
}

static void on_unwatch_all(void *arg, struct session *session)
{
	record_unwatch_all(to(arg), &(struct rec_of_conn){ session->sequence });
}

static const struct session_tap session_tap = {
	.opened = on_opened,
	.closing = on_closing,
	.txn_begun = on_txn_begun,
	.txn_ended = on_txn_ended,
	.watch_added = on_watch,
	.watch_removed = on_unwatch,
	.watches_removed = on_unwatch_all,
};

/* The taps of connections have the session as their only argument. */
static struct recorder *of(const struct session *session)
{
	return session->sessions->tap_arg;
}

static void on_call(void *owner, enum conn_call call)
{
	const struct session *session = owner;
	static const enum journal_call calls[] = {
		[CONN_NO_CALL] = JOURNAL_NO_CALL,
		[CONN_RECV] = JOURNAL_RECV,
		[CONN_SEND] = JOURNAL_SEND,
	};

	journal_call(of(session)->journal, calls[call], session->sequence);
}

static void *on_room(void *owner, size_t size)
{
	const struct session *session = owner;

	return record_input_room(to(of(session)), size);
}

static void on_received(void *owner, uint64_t pos, struct blob data)
{
	const struct session *session = owner;
	struct recorder *r = of(session);

	record_input(to(r), &(struct rec_input){ session->sequence, pos,
						 data });
	journal_happened(r->journal);
}

static void on_sent(void *owner, uint64_t pos)
{
	const struct session *session = owner;
	struct recorder *r = of(session);

	record_sent(to(r), &(struct rec_count){ session->sequence, pos });
	journal_happened(r->journal);
}

static void on_dropped(void *owner, size_t place)
{
	const struct session *session = owner;

	record_dropped(to(of(session)), &(struct rec_count){ session->sequence,
							     place });
}

static void on_reset(void *owner)
{
	const struct session *session = owner;

	record_reset(to(of(session)),
		     &(struct rec_of_conn){ session->sequence });
}

static void on_ignored(void *owner, uint32_t error)
{
	const struct session *session = owner;

	record_ignore(to(of(session)), &(struct rec_count){ session->sequence,
							    error });
}

static const struct conn_tap conn_tap = {
	.call = on_call,
	.room = on_room,
	.received = on_received,
	.sent = on_sent,
	.dropped = on_dropped,
	.reset = on_reset,
	.ignored = on_ignored,
};

/* ---- beginning and end --------------------------------------------------- */

/* Without a checkpoint no file can be written: what is in the directory would
 * not fit together. */
static int open_checkpoint(struct recorder *r)
{
	int err;

	if (r->checkpoint)
		return 0;
	err = checkpoint_open(r, r->dir, journal_boot_id(r->journal), false,
			      say, &r->checkpoint);
	if (!err)
		journal_passed(r->journal, checkpoint_epoch(r->checkpoint));
	return err;
}

/* An empty one; `why`: see checkpoint_reset(). */
static int reset_checkpoint(struct recorder *r, const char *why)
{
	int err = checkpoint_reset(r->checkpoint, why);

	if (err)
		TALLOC_FREE(r->checkpoint);
	return err;
}

int recorder_new(TALLOC_CTX *ctx, const struct recorder_options *options,
		 struct recorder **out)
{
	scoped_talloc struct recorder *r = talloc_zero(ctx, struct recorder);
	const char *why = options->keep ? "who read it has died" : NULL;
	bool fresh = options->fresh;
	int err;

	if (!r)
		return -ENOMEM;
	r->dir = talloc_strdup(r, options->dir);
	if (!r->dir)
		return -ENOMEM;
	err = journal_new(r, r->dir, say, &r->journal);
	if (err)
		return err;
	if (journal_is_left(r->journal) && !options->ours && !fresh) {
		why = "another daemon has gone on from there";
		log_warn("the journal in %s is not used: %s", r->dir, why);
		fresh = true;
	}
	err = open_checkpoint(r);
	if (err == -EROFS && !fresh)
		checkpoint_open(r, r->dir, journal_boot_id(r->journal), true,
				say, &r->old);
	if (!err && fresh)
		err = reset_checkpoint(r, why);
	if (err)
		log_error("cannot open the checkpoint in %s: %s", r->dir,
			  strerror(-err));
	if (fresh)
		journal_discard(r->journal, why);
	*out = TAKE(r);
	return 0;
}

int recorder_read(struct recorder *r, struct revival *revival,
		  struct image *image, struct journal_found *found)
{
	struct checkpoint *from = r->checkpoint ? r->checkpoint : r->old;
	uint64_t epoch = 0;
	bool damaged;
	int err = 0;

	if (from) {
		epoch = checkpoint_epoch(from);
		err = revive_checkpoint(revival, from);
	}
	TALLOC_FREE(r->old);
	if (err == -ENOMEM)
		return err;
	damaged = err;
	if (damaged)
		log_error("the checkpoint cannot be read: %s", strerror(-err));
	if (damaged && r->checkpoint)
		reset_checkpoint(r, "it is damaged");
	err = journal_replay(r->journal, epoch, &image_handlers, image, found);
	found->damaged |= damaged;
	r->suspect = found->exec_conn;
	r->suspect_pos = found->exec_pos;
	r->suspect_tries = found->exec_tries;
	return err;
}

static void account(void *arg, struct records *out, bool all)
{
	struct recorder *r = arg;

	r->generation = store_generation(r->store);
	r->limits = *domains_limits(r->domains);
	tell_account(out, &(struct tell_what){
		r->sessions, r->domains, r->store, r->descriptors,
		r->n_descriptors }, all);
}

static bool file_is_full(const struct recorder *r)
{
	size_t account = journal_account(r->journal);
	size_t limit = account * ACCOUNTS;
	size_t used = journal_used(r->journal) - account;

	if (limit < FILE_BYTES)
		limit = FILE_BYTES;
	return used > limit ||
	       (journal_changes(r->journal) > FILE_RECORDS + r->deferred &&
		used > account * ACCOUNTS);
}

/* Told when it gets worse, and when all is well again: not at every try. */
static void set_health(struct recorder *r, enum health health, int err)
{
	static const char *const what[] = {
		[CRAMPED] = "cannot begin another journal file",
		[UNNAMED] = "cannot write the journal; it is in memory, and a "
			    "death of the whole daemon would lose what happens "
			    "now",
		[BROKEN] = "cannot write the journal; what happens now would "
			   "not survive a crash",
	};

	if (health > r->health)
		log_error("%s: %s", what[health], strerror(-err));
	else if (health < r->health && health == WHOLE)
		log_info("the journal is whole again");
	r->health = health;
}

static int begin_named(struct recorder *r, bool all)
{
	/* What was in one that is opened now is not known. */
	const bool unknown = !r->checkpoint;
	int err = open_checkpoint(r);

	if (err)
		return err;
	if (all)
		checkpoint_abort(r->checkpoint);
	return journal_begin(r->journal, all || unknown, account, r);
}

/* The next file. With `all` the one before is not needed, nor what the
 * checkpoint is about to make of it. */
static bool begin_file(struct recorder *r, bool all)
{
	int err;

	conn_pool_release(r->sessions->pool);
	err = begin_named(r, all);
	if (err) {
		r->failures++;
		if (journal_broken(r->journal) ||
		    (journal_in_memory(r->journal) && file_is_full(r)))
			journal_begin_in_memory(r->journal, account, r);
		set_health(r, journal_broken(r->journal) ? BROKEN :
			      journal_in_memory(r->journal) ? UNNAMED :
							      CRAMPED,
			   err);
	} else {
		if (r->health != WHOLE)
			r->retry_at = 0;
		set_health(r, WHOLE, 0);
	}
	fault_at(file_begun);
	return !err;
}

void recorder_start(struct recorder *r, struct sessions *sessions,
		    struct domains *domains, struct store *store,
		    const struct rec_descriptor *descriptors, size_t n,
		    bool all)
{
	r->sessions = sessions;
	r->domains = domains;
	r->store = store;
	memcpy(r->descriptors, descriptors, n * sizeof(*descriptors));
	r->n_descriptors = n;
	begin_file(r, all);
	if (store_add_consumer(store, changed, r))
		log_error("no memory for the journal");
	domains_set_tap(domains, &domains_tap, r);
	sessions->tap = &session_tap;
	sessions->tap_arg = r;
	conn_pool_set_tap(sessions->pool, &conn_tap);
}

void recorder_stop(struct recorder *r)
{
	if (!r->sessions)
		return;
	journal_commit(r->journal);
	domains_set_tap(r->domains, NULL, NULL);
	conn_pool_set_tap(r->sessions->pool, NULL);
	r->sessions->tap = NULL;
	r->sessions = NULL;
}

void recorder_leave(struct recorder *r, bool foreign)
{
	recorder_stop(r);
	if (foreign)
		journal_leave(r->journal);
	TALLOC_FREE(r->checkpoint);
}

/* ---- ticks --------------------------------------------------------------- */

bool recorder_executes(struct recorder *r, struct session *session,
		       const struct message *message)
{
	const struct blob payload = { message->payload, message->hdr.len };
	uint64_t pos = conn_in(session->conn) - sizeof(message->hdr) -
		       payload.len;
	uint32_t tries = 1;

	if (r->suspect == session->sequence && r->suspect_pos == pos) {
		tries = r->suspect_tries + 1;
		r->suspect = 0;
		if (tries > RECORDER_TRIES)
			return false;
	}
	journal_execute(r->journal, session->sequence, pos, tries);
	record_bring(to(r), payload);
	return true;
}

void recorder_executed(struct recorder *r)
{
	journal_execute(r->journal, 0, 0, 0);
	record_bring(to(r), (struct blob){ NULL, 0 });
}

static void tell_totals(struct recorder *r)
{
	uint64_t generation = store_generation(r->store);
	const struct limits *limits = domains_limits(r->domains);

	if (generation != r->generation)
		record_generation(to(r), &(struct rec_generation){
			generation });
	r->generation = generation;
	if (memcmp(limits, &r->limits, sizeof(*limits)))
		record_limits(to(r), &(struct rec_limits){ *limits });
	r->limits = *limits;
}

void recorder_commit(struct recorder *r)
{
	struct session *session;
	int err;

	if (r->health == BROKEN)
		return;
	list_for_each(session, &r->sessions->dirty, in_dirty)
		tell_progress(to(r), session);
	tell_totals(r);
	err = journal_commit(r->journal);
	if (!err)
		return;
	/* Its account has what this tick has done, and so that may leave. */
	begin_file(r, true);
	r->retry_at = r->health == WHOLE ? 0 : r->sessions->now + RETRY_MS;
}

/* ---- between ticks ------------------------------------------------------- */

static void checkpoint_failed(struct recorder *r, int err, uint64_t now)
{
	r->failures++;
	r->retry_at = now + RETRY_MS;
	if (!r->behind)
		log_error("cannot write the checkpoint: %s", strerror(-err));
	r->behind = true;
	/* A file or a database that is damaged does not get better. */
	if (err != -EUCLEAN && err != -EPROTO)
		return;
	if (!begin_file(r, true) || err == -EPROTO)
		return;
	err = reset_checkpoint(r, "it is damaged");
	if (err)
		log_error("cannot begin a new one: %s", strerror(-err));
}

/* The record counts at once, for the row's fate is decided with that. */
static bool defer(void *arg, const char *path)
{
	struct recorder *r = arg;
	const struct node *node = tree_find(store_root(r->store), path);
	size_t used = journal_used(r->journal);

	if (!node)
		return true;	/* as the file tells, too */
	if (r->deferred_bytes + node_value(node).len > DEFER_BYTES)
		return false;
	tell_value(to(r), path, node);
	if (journal_commit(r->journal))
		return false;
	r->deferred_bytes += journal_used(r->journal) - used;
	r->deferred++;
	fault_at(deferred);
	return true;
}

static bool begin_checkpoint(struct recorder *r, uint64_t now)
{
	struct blob account = journal_account_records(r->journal);
	struct checkpoint_file file = { .defer = defer, .defer_arg = r };
	int err;

	if (now < r->retry_at || !journal_oldest(r->journal, &file.epoch,
						 &file.records, &file.last))
		return false;
	if (now >= r->people_at) {
		file.people = account;
		r->people_at = now + (account.len > PEOPLE_SMALL ?
					      PEOPLE_LARGE_MS : PEOPLE_MS);
	}
	if (now >= r->rows_at)
		r->rows_at = now + DEFER_MS;
	else
		file.defer_max = DEFER_NODES;
	r->deferred = r->deferred_bytes = 0;
	r->reader_since = 0;
	err = checkpoint_begin(r->checkpoint, &file);
	if (err)
		checkpoint_failed(r, err, now);
	return !err;
}

/* Somebody reads the tables: he is given time, and then complained of. */
static void wait_for_reader(struct recorder *r, uint64_t now)
{
	r->retry_at = now + RETRY_MS;
	if (!r->reader_since)
		r->reader_since = now;
	if (r->behind || now - r->reader_since < READER_MS)
		return;
	r->behind = true;
	log_warn("the checkpoint waits for who reads state.db, and the journal "
		 "grows meanwhile");
}

static bool work_on_checkpoint(struct recorder *r, uint64_t now)
{
	size_t used = journal_used(r->journal);
	size_t added = used > r->worked ? used - r->worked : 0;
	int err;

	r->worked = used;

	if (!checkpoint_running(r->checkpoint) && !begin_checkpoint(r, now))
		return false;
	if (now < r->retry_at)
		return false;
	err = checkpoint_step(r->checkpoint, WORK + added / BYTES_PER_WORK);
	r->worked = journal_used(r->journal);
	if (err == EAGAIN)
		return true;
	if (err == EBUSY) {
		wait_for_reader(r, now);
		return false;
	}
	if (err) {
		checkpoint_failed(r, err, now);
		return false;
	}
	fault_at(checkpoint_done);
	r->retry_at = r->reader_since = 0;
	if (r->behind)
		log_info("checkpoints can be written again");
	r->behind = false;
	r->checkpoints++;
	journal_drop_oldest(r->journal);
	return true;
}

static bool is_idle(struct recorder *r, uint64_t now)
{
	size_t used = journal_used(r->journal);
	bool idle = used >= r->idled && used - r->idled < IDLE_BYTES;

	if (now < r->idle_at)
		return false;
	r->idle_at = now + IDLE_MS;
	r->idled = used;
	return idle;
}

static bool file_is_large(const struct recorder *r)
{
	return journal_used(r->journal) - journal_account(r->journal) >
	       LARGE_BYTES;
}

bool recorder_work(struct recorder *r, uint64_t now)
{
	struct blob records;
	uint64_t epoch;
	uint32_t last;
	bool idle;

	if (r->health >= UNNAMED || !r->checkpoint) {
		if (now < r->retry_at)
			return false;
		r->retry_at = now + RETRY_MS;
		begin_file(r, true);
		return false;
	}
	idle = is_idle(r, now);
	if (idle)
		journal_drop_spare(r->journal);
	idle = idle && file_is_large(r);
	/* One after the other: the log grows meanwhile. */
	if ((idle || file_is_full(r)) && now >= r->retry_at &&
	    !journal_oldest(r->journal, &epoch, &records, &last)) {
		if (!begin_file(r, false))
			r->retry_at = now + RETRY_MS;
		if (idle)
			r->rows_at = 0;
	}
	return work_on_checkpoint(r, now);
}

bool recorder_waits(const struct recorder *r)
{
	return r->retry_at || file_is_large(r) || journal_has_spare(r->journal);
}

void recorder_report(const struct recorder *r, struct recorder_report *out)
{
	*out = (struct recorder_report){
		.broken = r->health == BROKEN,
		.cramped = r->health == CRAMPED,
		.unnamed = r->health == UNNAMED,
		.epoch = journal_epoch(r->journal),
		.bytes = journal_bytes(r->journal),
		.checkpoints = r->checkpoints,
		.failures = r->failures,
	};
}
