/* SPDX-License-Identifier: MIT */
/*
 * Connections of the load generator: many of them in one thread, over the
 * socket or as guests over rings, each with a window of requests in flight.
 *
 * N1  Replies come in the order of the requests, or the generator dies: a
 *     figure of a daemon that answers wrongly is worth nothing.
 * N2  Handlers may send further requests; these leave at conn_flush().
 */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

#define WINDOW 256 /* requests in flight on one connection, at most */

struct conn;
struct pool;

struct reply {
	struct xsd_sockmsg hdr;
	char *body;	/* a zero byte is behind it, for the handler's time */
	uint32_t asked; /* type of the request */
	uint64_t t0;	/* when it was queued, now_ns() */
};

typedef void reply_fn(struct conn *conn, const struct reply *reply);
typedef void event_fn(struct conn *conn, const char *path);

struct pool {
	const char *socket_path;
	int epoll;
	int count;	   /* connections ever made */
	uint64_t inflight; /* requests of all connections */
	uint64_t requests; /* sent so far */
	uint64_t events;   /* received so far */
	uint32_t longest;  /* payload received */
	reply_fn *on_reply;
	event_fn *on_event;
	void *owner;
};

struct conn {
	struct pool *pool;
	int index;
	unsigned int domid; /* of a guest, else 0 */

	/* for scenarios */
	unsigned int step, seq;
	uint32_t tx;
	uint64_t t0;
	char path[3100];

	/* the answer to a synchronous request */
	struct xsd_sockmsg hdr;
	char body[1 << 17];

	struct conn_priv *priv;
};

__attribute__((format(printf, 1, 2), noreturn)) void die(const char *fmt, ...);

void pool_init(struct pool *pool, const char *socket_path, void *owner);

/* Serves what is ready, waiting up to ms; false: nothing was. */
bool pool_pump(struct pool *pool, int ms);

/* All die when it cannot be done. */
struct conn *conn_new(struct pool *pool); /* not connected */
void conn_open(struct conn *conn);
struct conn *conn_connect(struct pool *pool);
struct conn *conn_guest(struct pool *pool, struct conn *ctl,
			unsigned int domid);

void conn_close(struct conn *conn);
void conn_guest_gone(struct conn *conn, struct conn *ctl);

/* Queues a request. */
void conn_put(struct conn *conn, uint32_t type, uint32_t tx, const void *data,
	      size_t len);
void conn_put_path(struct conn *conn, uint32_t type, uint32_t tx,
		   const char *path);
void conn_put_two(struct conn *conn, uint32_t type, uint32_t tx,
		  const char *path, const void *rest, size_t len);
void conn_put_watch(struct conn *conn, uint32_t type, const char *path,
		    const char *token);
void conn_put_end(struct conn *conn, uint32_t tx);

void conn_flush(struct conn *conn);
unsigned int conn_inflight(const struct conn *conn);

/* Waits for the reply of the last request; false: it is an error. */
bool conn_wait(struct conn *conn);
void conn_must(struct conn *conn, const char *what);

/* Sets of requests whose replies do not matter, some at a time. */
void conn_feed(struct conn *conn);
void conn_drain(struct conn *conn);

#endif /* CONN_H */
