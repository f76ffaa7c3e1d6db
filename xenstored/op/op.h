/* SPDX-License-Identifier: MIT */
/*
 * Operations: one table of what clients may ask, and the only place that
 * answers.
 *
 * Every request is checked in this order: known type (ENOSYS), privilege
 * (EACCES), transaction (ENOENT); then its handler runs. A handler returns 0
 * or an errno and fills in req->reply; it never sends. Events that it causes
 * are queued before the reply, except the first event of a WATCH.
 *
 * H1  Each request is answered exactly once, in order.
 * H2  What a handler allocates hangs on req->ctx and is gone when the reply is
 *     queued.
 * H3  A reply longer than XENSTORE_PAYLOAD_MAX becomes E2BIG.
 */
#ifndef OP_OP_H
#define OP_OP_H

#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "domains.h"
#include "op/live_update.h"
#include "session.h"
#include "store/path.h"
#include "store/view.h"

/* X(number, NAME, handler, privileged only, tx_id is looked at); the numbers
 * are dense, so that a number is an index. */
#define OPS(X)                                                                 \
	X(0, CONTROL, op_control, true, true)                                  \
	X(1, DIRECTORY, op_directory, false, true)                             \
	X(2, READ, op_read, false, true)                                       \
	X(3, GET_PERMS, op_get_perms, false, true)                             \
	X(4, WATCH, op_watch, false, false)                                    \
	X(5, UNWATCH, op_unwatch, false, false)                                \
	X(6, TRANSACTION_START, op_transaction_start, false, true)             \
	X(7, TRANSACTION_END, op_transaction_end, false, true)                 \
	X(8, INTRODUCE, op_introduce, true, true)                              \
	X(9, RELEASE, op_release, true, true)                                  \
	X(10, GET_DOMAIN_PATH, op_get_domain_path, false, true)                \
	X(11, WRITE, op_write, false, true)                                    \
	X(12, MKDIR, op_mkdir, false, true)                                    \
	X(13, RM, op_rm, false, true)                                          \
	X(14, SET_PERMS, op_set_perms, false, true)                            \
	X(15, WATCH_EVENT, op_nosys, false, false)                             \
	X(16, ERROR, op_nosys, false, false)                                   \
	X(17, IS_DOMAIN_INTRODUCED, op_is_domain_introduced, true, true)       \
	X(18, RESUME, op_resume, true, true)                                   \
	X(19, SET_TARGET, op_set_target, true, true)                           \
	X(20, RESTRICT, op_nosys, false, false)                                \
	X(21, RESET_WATCHES, op_reset_watches, false, true)                    \
	X(22, DIRECTORY_PART, op_directory_part, false, true)                  \
	X(23, GET_FEATURE, op_get_feature, false, true)                        \
	X(24, SET_FEATURE, op_set_feature, true, true)                         \
	X(25, GET_QUOTA, op_get_quota, true, true)                             \
	X(26, SET_QUOTA, op_set_quota, true, true)

struct op_world;

struct request {
	TALLOC_CTX *ctx;
	struct op_world *world;
	struct session *session;
	struct xsd_sockmsg hdr;
	const char *payload;		/* hdr.len bytes */
	struct view view;		/* the live store or the transaction */
	uint32_t type;			/* of the reply */
	struct blob reply;		/* borrowed until the reply is queued */
	struct watch *announce;		/* its first event, after the reply */
	struct path path;		/* scratch: the path argument */
	char out[XENSTORE_PAYLOAD_MAX];	/* scratch for replies */
};

/* What operations work on. Owned by the server. */
struct op_world {
	struct sessions *sessions;
	struct store *store;
	struct watch_index *index;
	struct ledgers *ledgers;
	struct domains *domains;
	struct trace *trace;
	struct metrics *metrics;
	uint64_t now;			/* ms */
	uint32_t features;		/* what the daemon offers */
	struct log_limit failed;	/* requests, by our fault */
	/* A CONTROL check that goes on, in slices, and who waits for it. */
	struct store_check *check;
	struct session *checker;
	bool checked;
	int check_err;
	struct live_update live;
	const struct recorder *recorder;	/* NULL: no journal */
};

/*
 * What a handler returns when the request has to wait: it is put back, without
 * a reply, and executed again after conn_resume().
 */
#define OP_HOLD (-4096)

/* Executes a request of a session and queues its reply. `scratch` is reused
 * from request to request. */
void op_execute(struct op_world *world, struct request *scratch,
		struct session *session, const struct message *message);

/* Answers a request with an error, without looking at it. */
void op_refuse(struct op_world *world, struct request *scratch,
	       struct session *session, const struct message *message,
	       int err);

/* Goes on with long work between ticks. True: there is more. */
bool op_work(struct op_world *world);
/* The session was reset or has gone: nobody waits any more. */
void op_forget(struct op_world *world, const struct session *session);

/* "READ"; "**UNKNOWN**". */
const char *op_name(uint32_t type);

/* The reply is a string: its terminator is sent, too. */
int reply_string(struct request *req, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int reply_ok(struct request *req);
/* It is not the client's turn: says OP_HOLD, and notes it. */
int op_wait(struct request *req);

#define OP_DECLARE(number, name, handler, privileged, tx)                      \
	int handler(struct request *req);
OPS(OP_DECLARE)
#undef OP_DECLARE

#endif
