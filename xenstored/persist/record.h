/* SPDX-License-Identifier: MIT */
/*
 * Records: what the journal holds, one for each thing that happened.
 *
 *	 0     len    u32, of the whole record, a multiple of 8
 *	 4     type   u16
 *	 6     spare  u16, 0
 *	 8     seq    u32, one more than that of the record before
 *	12     sum    u32, over everything but itself
 *	16     body
 *
 * Byte order and layout are the machine's: a journal never leaves its host.
 * Strings in bodies end with a NUL, so that they are used where they lie.
 *
 * V1  Applying all records in order to nothing gives the state.
 * V2  A record that was cut off, changed, or stands in the wrong place is
 *     recognised, and reading ends before it.
 * V3  Records that change nodes (NODE, NODE_REMOVE, PURGE) tell the place of
 *     the one before, so that they are found without the others.
 */
#ifndef PERSIST_RECORD_H
#define PERSIST_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/quota.h"
#include "store/perms.h"

/* X(number, symbol, name of the handler, its argument) */
#define RECORD_TYPES(X)                                                        \
	X(1, BEGIN, begin, rec_begin)                                          \
	X(2, GENERATION, generation, rec_generation)                           \
	X(3, LIMITS, limits, rec_limits)                                       \
	X(4, NODE, node, rec_node)                                             \
	X(5, NODE_REMOVE, node_remove, rec_node_remove)                        \
	X(6, PURGE, purge, rec_domid)                                          \
	X(7, DOMAIN, domain, rec_domain)                                       \
	X(8, DOMAIN_GONE, domain_gone, rec_domid)                              \
	X(9, CONN, conn, rec_conn)                                             \
	X(10, CONN_GONE, conn_gone, rec_of_conn)                               \
	X(11, WATCH, watch, rec_watch)                                         \
	X(12, UNWATCH, unwatch, rec_watch)                                     \
	X(13, UNWATCH_ALL, unwatch_all, rec_of_conn)                           \
	X(14, TXN, txn, rec_txn)                                               \
	X(15, TXN_END, txn_end, rec_txn)                                       \
	X(16, INPUT, input, rec_input)                                         \
	X(17, EXECUTED, executed, rec_count)                                   \
	X(18, OUTPUT, output, rec_output)                                      \
	X(19, SENT, sent, rec_count)                                           \
	X(20, DROPPED, dropped, rec_count)                                     \
	X(21, RESET, reset, rec_of_conn)                                       \
	X(22, IGNORE, ignore, rec_count)                                       \
	X(23, DESCRIPTOR, descriptor, rec_descriptor)                          \
	X(24, RING_GONE, ring_gone, rec_of_conn)

enum record_type {
#define RECORD_ENUM(number, symbol, name, type) RECORD_##symbol = number,
	RECORD_TYPES(RECORD_ENUM)
#undef RECORD_ENUM
};

/* Everything but the nodes is told anew after this; with `all` they are, too.
 * What was known before is forgotten. */
struct rec_begin {
	uint8_t all;		/* here and below: 0 or not, in any file */
};

struct rec_generation {
	uint64_t generation;	/* of the store */
};

struct rec_limits {
	struct limits limits;	/* for domains that become known */
};

/* What of a node is set. */
enum {
	REC_CREATE = 1,		/* absent so far; at the end of its siblings */
	REC_VALUE = 2,
	REC_PERMS = 4,
	/* With REC_CREATE: so are the nodes above it, from the one on that the
	 * first `top` bytes of its path name; with the same permissions and
	 * generation, and without a value. */
	REC_LEVELS = 8,
};

struct rec_node {
	unsigned int what;
	const char *path;
	size_t top;
	uint64_t generation;
	struct blob value;
	const struct perm *perms;
	size_t n_perms;
};

/* With all below it. */
struct rec_node_remove {
	const char *path;
	uint64_t generation;
};

/* PURGE: entries 1.. of all permission lists that name it are gone. */
struct rec_domid {
	uint16_t domid;
};

/* Those that the daemon offers; a predecessor did not tell. */
#define REC_FEATURES_DEFAULT 0xffffffff

struct rec_domain {		/* replaces what was known of it */
	uint16_t domid;
	uint16_t target;	/* DOMID_INVALID: none */
	uint8_t introduced;
	uint8_t shutdown;
	uint16_t zero;
	uint32_t features;
	uint32_t remote;	/* event channel ports */
	uint32_t local;
	uint32_t spare;
	uint64_t gfn;
	uint64_t unique_id;
	uint64_t born;
	struct limits limits;
};

/* A connection. Positions count the bytes of each direction; those of a ring
 * are its indices, continued to 64 bits. */
struct rec_conn {
	uint64_t conn;		/* number in order of creation, never 0 */
	int32_t fd;		/* sockets; -1: a ring */
	uint16_t domid;		/* rings */
	uint8_t ignored;	/* rings: broke the rules */
	uint8_t zero;
	uint64_t in;		/* position of the first byte not executed */
	uint64_t out;		/* position of the first byte not sent */
	uint64_t last_txn;
};

/* CONN_GONE: of a socket, which nothing brings back. The end of a ring is
 * RING_GONE, and belongs to what brought it about. */
struct rec_of_conn {
	uint64_t conn;
};

struct rec_watch {		/* UNWATCH: depth and relative mean nothing */
	uint64_t conn;
	const char *path;	/* canonical */
	const char *token;
	uint16_t relative;
	int32_t depth;
};

struct rec_txn {
	uint64_t conn;
	uint64_t txn;
};

/* Received bytes. They count from when they are written, not only from the
 * commit: nobody will send them again. */
struct rec_input {
	uint64_t conn;
	uint64_t pos;
	struct blob data;
};

struct rec_count {
	uint64_t conn;
	/* EXECUTED, SENT: the new position; DROPPED: place of the message in
	 * the queue, from 0; IGNORE: XENSTORE_ERROR_* */
	uint64_t n;
};

/* One message was queued; head and payload may be told in two pieces. */
struct rec_output {
	uint64_t conn;
	uint64_t in;		/* executed to there before; 0: as before */
	struct blob head;
	struct blob payload;
};

/* An open descriptor that is not a connection. */
enum rec_descriptor_kind { REC_LISTENER, REC_PORT };

struct rec_descriptor {
	uint32_t kind;
	int32_t fd;
};

/* ---- writing ------------------------------------------------------------- */

/*
 * Where records are put. `more` makes room for at least `need` further bytes;
 * it may move `data`. When it fails, records are lost and `err` tells.
 */
struct records {
	unsigned char *data;
	size_t len, room;
	uint32_t seq;		/* of the last record */
	int err;
	int (*more)(struct records *records, size_t need);
	struct blob brought;	/* see record_bring() */
	uint32_t last;		/* V3: place of the last one; 0: there is none */
};

/* Places of records are counted by 8 bytes, from 1. */
static inline uint32_t record_place(size_t pos)
{
	return pos / 8 + 1;
}

static inline size_t record_pos(uint32_t place)
{
	return (size_t)(place - 1) * 8;
}

/*
 * A place for up to `size` bytes of an INPUT record: when the next record is
 * that one, and has its data there, they are not copied. NULL: no room; that is
 * no error yet.
 */
void *record_input_room(struct records *to, size_t size);

/*
 * What the request that is being executed brought. If it lies in the records, a
 * long value that it ends with is not told again: NODE refers to it. Until
 * called with nothing.
 */
void record_bring(struct records *to, struct blob payload);

void record_begin(struct records *to, const struct rec_begin *rec);
void record_generation(struct records *to, const struct rec_generation *rec);
void record_limits(struct records *to, const struct rec_limits *rec);
void record_node(struct records *to, const struct rec_node *rec);
void record_node_remove(struct records *to, const struct rec_node_remove *rec);
void record_purge(struct records *to, const struct rec_domid *rec);
void record_domain(struct records *to, const struct rec_domain *rec);
void record_domain_gone(struct records *to, const struct rec_domid *rec);
void record_conn(struct records *to, const struct rec_conn *rec);
void record_conn_gone(struct records *to, const struct rec_of_conn *rec);
void record_ring_gone(struct records *to, const struct rec_of_conn *rec);
void record_watch(struct records *to, const struct rec_watch *rec);
void record_unwatch(struct records *to, const struct rec_watch *rec);
void record_unwatch_all(struct records *to, const struct rec_of_conn *rec);
void record_txn(struct records *to, const struct rec_txn *rec);
void record_txn_end(struct records *to, const struct rec_txn *rec);
void record_input(struct records *to, const struct rec_input *rec);
void record_executed(struct records *to, const struct rec_count *rec);
void record_output(struct records *to, const struct rec_output *rec);
void record_sent(struct records *to, const struct rec_count *rec);
void record_dropped(struct records *to, const struct rec_count *rec);
void record_reset(struct records *to, const struct rec_of_conn *rec);
void record_ignore(struct records *to, const struct rec_count *rec);
void record_descriptor(struct records *to, const struct rec_descriptor *rec);

/* A body as it lies in the file. */
void record_raw(struct records *to, unsigned int type, struct blob body);

/* ---- reading ------------------------------------------------------------- */

/* Missing ones are skipped. What they get is good during the call; strings and
 * bytes as long as the records. Other than 0 ends the reading. */
struct record_handlers {
#define RECORD_HANDLER(number, symbol, name, type)                             \
	int (*name)(void *arg, const struct type *rec);
	RECORD_TYPES(RECORD_HANDLER)
#undef RECORD_HANDLER
};

/*
 * Reads one record at data + *pos, and steps over it. `seq` is that of the
 * record before, and set to its own. What is before it may be referred to.
 * EAGAIN: the end. -EPROTO: damaged (V2). Else what the handler said.
 */
int record_read(const unsigned char *data, size_t len, size_t *pos,
		uint32_t *seq, const struct record_handlers *handlers,
		void *arg);

/* The same for records that this process has written or read before: their
 * sums, and with them all of a long value, are not looked at again. */
int record_reread(const unsigned char *data, size_t len, size_t *pos,
		  uint32_t *seq, const struct record_handlers *handlers,
		  void *arg);

/* One after the other what REC_LEVELS means, as records without it. */
int record_node_levels(const struct rec_node *rec,
		       int (*node)(void *arg, const struct rec_node *rec),
		       void *arg);

/* Is there a record, and unchanged? */
bool record_is_whole(const unsigned char *data, size_t len, size_t pos);
/* V3: is it one of those? */
bool record_changes_nodes(const unsigned char *data, size_t pos);
/* The place of the one before such a record. */
uint32_t record_before_at(const unsigned char *data, size_t pos);
uint32_t record_seq_at(const unsigned char *data, size_t pos);
/* The record at this place, which has been read before. */
int record_read_at(const unsigned char *data, size_t pos,
		   const struct record_handlers *handlers, void *arg);
/* -EPROTO: it is no NODE. */
int record_node_at(const unsigned char *data, size_t pos,
		   struct rec_node *out);
/* The generation in a NODE or NODE_REMOVE record. */
uint64_t record_generation_at(const unsigned char *data, size_t pos);

#endif
