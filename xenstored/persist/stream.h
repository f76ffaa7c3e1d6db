/* SPDX-License-Identifier: MIT */
/*
 * The state stream: what one daemon tells its successor.
 *
 *	"xenstore"  8 bytes
 *	version     u32, big endian: 1 or 2
 *	flags       u32, big endian: bit 0: the records are big endian
 *	records     type u32, len u32, body; the next one begins at a multiple
 *	            of 8; the last one has type 0
 *
 * Records are structures here, without regard to how they are laid out; they
 * know no object of the daemon. The text dump of oxenstored is read as the
 * same records.
 *
 * M1  Any bytes are read to an error or to the end: no crash, no endless loop,
 *     no memory beyond a small multiple of the input.
 * M2  Reading what was written gives the same records in the same order; of
 *     version 1, what that version can say (no quotas, features, unique ids,
 *     watch depths).
 * M3  A record of unknown type is skipped; one of type STREAM_PRIVATE or above
 *     is ours and skipped by others.
 */
#ifndef PERSIST_STREAM_H
#define PERSIST_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <talloc.h>

#include "base/blob.h"
#include "store/perms.h"

#define STREAM_VERSION_MAX 2
#define STREAM_PRIVATE 0x8000u

/* Unlimited depth; WATCH_DEPTH_UNLIMITED of store/watch.h. */
#define STREAM_DEPTH_UNLIMITED (-1)

struct stream_global {
	int32_t socket_fd;		/* listening socket, -1: none */
	int32_t evtchn_fd;		/* -1: none */
	int64_t virq_port;		/* -1: not told */
};

struct stream_conn {
	uint32_t id;			/* >= 1, unique */
	bool ring;
	uint16_t domid;			/* rings */
	uint16_t target;		/* rings; DOMID_INVALID: none */
	uint32_t port;			/* rings: local event channel port */
	int64_t remote_port;		/* rings: -1: not told */
	uint64_t gfn;			/* rings: 0: not told */
	bool has_unique_id;
	uint64_t unique_id;		/* rings */
	int32_t fd;			/* sockets */
	struct blob in;			/* received, not executed */
	struct blob out;		/* to be sent */
	uint16_t out_begun;		/* leading bytes of out that belong to
					 * a message whose beginning is sent */
};

struct stream_watch {
	uint32_t conn;
	const char *path;		/* as spelled: may be relative */
	const char *token;
	int depth;
};

struct stream_txn {
	uint32_t conn;
	uint32_t id;
};

/* For nodes that a transaction touched. */
enum stream_access { STREAM_DELETED, STREAM_READ, STREAM_WRITTEN };

struct stream_node {
	uint32_t conn;			/* 0: a committed node */
	uint32_t txn;
	uint16_t access;		/* enum stream_access */
	const char *path;
	struct blob value;
	const struct perm *perms;
	uint16_t n_perms;
};

struct stream_quota {
	const char *name;		/* soft quotas: "soft-" and the name */
	uint32_t value;
};

struct stream_quotas {			/* of the daemon */
	const struct stream_quota *list;
	uint16_t n_domain;		/* first those of each domain, ... */
	uint16_t n_global;		/* ... then those of all together */
};

struct stream_domain {
	uint16_t domid;
	uint32_t features;		/* version 1: 0, means nothing */
	const struct stream_quota *quotas;
	uint16_t n_quotas;
};

/* ---- reading ------------------------------------------------------------- */

/* Missing ones are skipped. What they get is good during the call. A result
 * other than 0 ends the reading and is its result. */
struct stream_handlers {
	int (*begin)(void *arg, unsigned int version, bool big_endian);
	int (*global)(void *arg, const struct stream_global *global);
	int (*conn)(void *arg, const struct stream_conn *conn);
	int (*watch)(void *arg, const struct stream_watch *watch);
	int (*txn)(void *arg, const struct stream_txn *txn);
	int (*node)(void *arg, const struct stream_node *node);
	int (*quotas)(void *arg, const struct stream_quotas *quotas);
	int (*domain)(void *arg, const struct stream_domain *domain);
	/* Unknown and private types. */
	int (*other)(void *arg, uint32_t type, struct blob body);
};

/* Where and why a stream is refused. */
struct stream_fault {
	size_t offset;			/* bytes; lines, from 1, of a dump */
	const char *why;
};

/* -EPROTO: malformed, see *fault (optional). -ENOMEM. Takes both forms. */
int stream_read(const void *data, size_t len,
		const struct stream_handlers *handlers, void *arg,
		struct stream_fault *fault);

/* Is this the text dump of oxenstored? */
bool stream_is_dump(const void *data, size_t len);
/* Only that form; stream_read() calls it (oxdump.c). */
int stream_read_dump(const void *data, size_t len,
		     const struct stream_handlers *handlers, void *arg,
		     struct stream_fault *fault);

/* The whole file, as a child of ctx. Negative errno; -EFBIG beyond 1 GiB. */
int stream_load(TALLOC_CTX *ctx, const char *file, struct blob *out);

/* Prints a stream as text (stream_print.c). Negative errno, -EPROTO with
 * *fault. */
int stream_print(const void *data, size_t len, FILE *out,
		 struct stream_fault *fault);

/* ---- writing ------------------------------------------------------------- */

struct stream_writer;

/* Writes to `fd`, which stays the caller's, in the host's byte order. */
int stream_writer_new(TALLOC_CTX *ctx, int fd, unsigned int version,
		      struct stream_writer **out);

/* What does not fit into the fields of a record (a value of 64 KiB) makes the
 * stream fail with -E2BIG; errors are kept for stream_end(). */
void stream_write_global(struct stream_writer *writer,
			 const struct stream_global *global);
void stream_write_conn(struct stream_writer *writer,
		       const struct stream_conn *conn);
void stream_write_watch(struct stream_writer *writer,
			const struct stream_watch *watch);
void stream_write_txn(struct stream_writer *writer,
		      const struct stream_txn *txn);
void stream_write_node(struct stream_writer *writer,
		       const struct stream_node *node);
void stream_write_quotas(struct stream_writer *writer,
			 const struct stream_quotas *quotas);
void stream_write_domain(struct stream_writer *writer,
			 const struct stream_domain *domain);
void stream_write_private(struct stream_writer *writer, uint32_t type,
			  struct blob body);

/* Writes the end; the first error of all, negative. */
int stream_end(struct stream_writer *writer);

#endif
