/* SPDX-License-Identifier: MIT */
/*
 * What waits to leave for one peer: whole messages, replies and events alike,
 * in one order. conn.h tells when they leave (O1 to O4).
 */
#ifndef IO_OUTQ_H
#define IO_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <talloc.h>
#include <xen/io/xs_wire.h>

#include "base/blob.h"
#include "base/list.h"
#include "base/quota.h"
#include "io/flight.h"

/* What the queues of one server share: the clock that stamps messages, ms, and
 * the table in which equal events are found (O3). Must outlive them. */
struct outq_pool;
int outq_pool_new(TALLOC_CTX *ctx, struct outq_pool **out);
void outq_pool_set_now(struct outq_pool *pool, uint64_t now);

/* Embedded in its owner, who reads the figures. */
struct outq {
	struct outq_pool *pool;
	struct ledger *ledger;		/* NULL: nobody pays */
	struct list all, events;
	size_t bytes;			/* of messages */
	uint32_t count;
	uint32_t sent;			/* bytes of the first that have left */
};

void outq_init(struct outq *q, struct outq_pool *pool, struct ledger *ledger);
/* Drops all that waits; before its owner goes as well. */
void outq_clear(struct outq *q);

/* What a message with so many bytes of payload is charged. */
size_t outq_cost(size_t len);

/* Queues a message; keeps a reference to the flight (or NULL). -ENOMEM. */
int outq_add(struct outq *q, const struct xsd_sockmsg *hdr,
	     struct blob payload, struct flight *flight);
/* An event of the two strings; it may be merged with others, and dropped.
 * EEXIST: an equal one waits, and has not been begun (O3). E2BIG: it is longer
 * than XENSTORE_PAYLOAD_MAX. ENOSPC: the ledger does not admit it (asked only
 * if `bounded`). -ENOMEM. */
int outq_add_event(struct outq *q, const char *path, const char *token,
		   bool bounded, struct flight *flight);
/* A message that a predecessor had queued, whole or (the first) what is left of
 * it; `sent` bytes have left. -ENOMEM. */
int outq_restore(struct outq *q, struct blob message, size_t sent);

/* What is to leave, from the first byte that has not, in up to `n` pieces.
 * Returns how many; *want is how many bytes that is. */
int outq_pieces(const struct outq *q, struct iovec *iov, int n, size_t *want);
/* So many bytes have left. */
void outq_sent(struct outq *q, size_t n);

/* Is there an event that is not begun? *at: when the oldest was queued. */
bool outq_oldest_event(const struct outq *q, uint64_t *at);
/* Drops it. Returns how many messages were before it. */
size_t outq_drop_event(struct outq *q);
/* It stays, but is not merged or dropped any more, and its flight lands. */
void outq_disown_event(struct outq *q);

/* Walks it. `sent` bytes of the first have left already. */
void outq_each(const struct outq *q,
	       void (*fn)(void *arg, struct blob message, size_t sent),
	       void *arg);
/* Walks what was queued since the last walk of this kind. */
void outq_each_new(struct outq *q,
		   void (*fn)(void *arg, struct blob message), void *arg);

#endif
