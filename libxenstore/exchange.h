/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies, and events on the way.
 *
 * X1  One request is out at a time, in the order in which threads asked for
 *     their turn. The first message that is no event is its reply.
 * X2  Who waits and finds nobody reading reads for all: replies go to the
 *     owner of the request, events to the thread that waits longest for one
 *     or else to the queue. At every way out, also by cancellation, somebody
 *     who still waits is woken to take over.
 * X3  Nothing that was received is lost by a cancellation: data is taken from
 *     the link only where a thread cannot be cancelled.
 * X4  A request whose thread was cancelled stays out; its reply is dropped.
 * X5  A loss of the connection reaches everybody who waits.
 *
 * Functions return 0 or a positive errno value.
 */
#ifndef LIBXENSTORE_EXCHANGE_H
#define LIBXENSTORE_EXCHANGE_H

#include <stdbool.h>
#include <sys/uio.h>

#include "handle.h"
#include "public.h"

/* Parts of a payload; api.c needs no more. */
#define REQUEST_PARTS_MAX 4

struct request {
	enum xsd_sockmsg_type type;
	xs_transaction_t tx;
	unsigned int num;
	struct iovec part[REQUEST_PARTS_MAX];
};

struct reply {
	char *body;		/* malloc'ed; a NUL follows */
	unsigned int len;
	unsigned int epoch;	/* the connection that it came from */
};

/* Sends the request and waits for the reply. A cancellation point. */
int exchange(struct xs_handle *h, const struct request *req,
	     struct reply *reply);

/* Takes an event; without `wait` EAGAIN if there is none. */
int exchange_event(struct xs_handle *h, bool wait, struct event **out);

/* A watch as it is asked for, to remember it until the reply (or longer). */
struct watch_request {
	TAILQ_ENTRY(watch_request) entry;
	unsigned int len;
	char payload[];		/* path, token, perhaps depth, NUL each */
};

const char *watch_request_token(const struct watch_request *watch);

/* For handle.c and rejoin.c, under the lock: the connection is lost. */
void exchange_lose(struct xs_handle *h, enum link_state state);
/* Sends a request that nobody waits for. */
int exchange_send_unowned(struct xs_handle *h, uint32_t type,
			  const void *payload, unsigned int len);
/* Wakes those who can go on. */
void exchange_wake(struct xs_handle *h);

#endif
