/* SPDX-License-Identifier: MIT */
/*
 * The smallest owner of connections: each request is answered with itself, in
 * ticks with a gate as the daemon has. A request of type XS_MKDIR is answered
 * only after it was held for one tick; XS_WRITE raises an event whose path is
 * the payload and whose token is "t", at every connection.
 */
#ifndef TESTS_UNIT_ECHO_H
#define TESTS_UNIT_ECHO_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "base/list.h"
#include "base/quota.h"
#include "base/who.h"
#include "io/conn.h"
#include "io/loop.h"

struct echo {
	struct loop *loop;
	struct conn_pool *pool;
	struct list all, ready, dirty, dead;
	unsigned int count, ticks, served, resets, watch_resets;
	int per_tick;		/* rounds in one tick */
	unsigned long stop_after;	/* served so many: stop the loop */
	bool stop_when_idle;
	bool quit_on_empty;
};

struct echo_peer {
	struct echo *echo;
	struct conn *conn;
	struct who who;
	struct ledger *ledger;
	struct list in_all, in_ready, in_dirty, in_dead;
	struct flight *last;
	bool held;
	bool is_ring;
	char why[64];		/* lost; "" not */
};

static void echo_runnable(void *arg, struct conn *conn)
{
	struct echo_peer *peer = arg;

	(void)conn;
	if (list_empty(&peer->in_ready))
		list_add_tail(&peer->echo->ready, &peer->in_ready);
}

static void echo_dirty(void *arg, struct conn *conn)
{
	struct echo_peer *peer = arg;

	(void)conn;
	if (list_empty(&peer->in_dirty))
		list_add_tail(&peer->echo->dirty, &peer->in_dirty);
}

static void echo_lost(void *arg, struct conn *conn, const char *why)
{
	struct echo_peer *peer = arg;

	(void)conn;
	snprintf(peer->why, sizeof(peer->why), "%s", why);
	if (!peer->is_ring && list_empty(&peer->in_dead))
		list_add_tail(&peer->echo->dead, &peer->in_dead);
}

static void echo_reset(void *arg, struct conn *conn, bool watches)
{
	struct echo_peer *peer = arg;

	(void)conn;
	peer->echo->resets++;
	peer->echo->watch_resets += watches;
	peer->why[0] = 0;
}

static int echo_peer_free(struct echo_peer *peer)
{
	TALLOC_FREE(peer->conn);
	list_del(&peer->in_all);
	list_del(&peer->in_ready);
	list_del(&peer->in_dirty);
	list_del(&peer->in_dead);
	peer->echo->count--;
	return 0;
}

static inline struct echo *echo_new(TALLOC_CTX *ctx)
{
	struct echo *echo = talloc_zero(ctx, struct echo);

	if (loop_new(echo, &echo->loop) || conn_pool_new(echo, &echo->pool))
		abort();
	list_init(&echo->all);
	list_init(&echo->ready);
	list_init(&echo->dirty);
	list_init(&echo->dead);
	echo->per_tick = 1000;
	return echo;
}

/* limits NULL: privileged. */
static inline struct echo_peer *echo_add(struct echo *echo,
					 struct transport *transport,
					 const struct limits *limits)
{
	struct echo_peer *peer = talloc_zero(echo, struct echo_peer);
	struct conn_user user = {
		.runnable = echo_runnable,
		.dirty = echo_dirty,
		.lost = echo_lost,
		.reset = echo_reset,
		.arg = peer,
	};

	peer->echo = echo;
	peer->is_ring = transport->ops->kind[0] == 'r';
	peer->who.privileged = !limits;
	list_init(&peer->in_ready);
	list_init(&peer->in_dirty);
	list_init(&peer->in_dead);
	list_add_tail(&echo->all, &peer->in_all);
	if (limits && ledger_new(peer, 1, false, limits, &peer->ledger))
		abort();
	echo->count++;
	if (conn_new(peer, echo->pool, transport, &peer->who, peer->ledger,
		     &user, &peer->conn))
		abort();
	talloc_set_destructor(peer, echo_peer_free);
	return peer;
}

static inline void echo_accepted(void *arg, struct transport *transport)
{
	echo_add(arg, transport, NULL);
}

static void echo_serve(struct echo_peer *peer, const struct message *msg)
{
	struct flight *flight = conn_flight(peer->conn);
	struct blob blob = { msg->payload, msg->hdr.len };
	struct echo_peer *other;
	char path[256];

	if (msg->hdr.type == XS_WRITE && msg->hdr.len < sizeof(path)) {
		memcpy(path, msg->payload, msg->hdr.len);
		path[msg->hdr.len] = 0;
		list_for_each(other, &peer->echo->all, in_all)
			conn_event(other->conn, path, "t", flight);
	}
	conn_reply(peer->conn, &msg->hdr, msg->hdr.type, blob, flight);
	flight_unref(flight);
	peer->echo->served++;
}

/* One request. True: there may be more. */
static bool echo_step(struct echo_peer *peer)
{
	struct message msg;

	if (peer->held) {
		conn_resume(peer->conn);
		if (conn_next(peer->conn, &msg))
			abort();
		peer->held = false;
		echo_serve(peer, &msg);
		return true;
	}
	if (conn_next(peer->conn, &msg))
		return false;
	if (msg.hdr.type == XS_MKDIR) {
		conn_hold(peer->conn);
		peer->held = true;
		return true;
	}
	echo_serve(peer, &msg);
	return true;
}

static void echo_round(struct echo *echo)
{
	struct echo_peer *peer;
	struct list now;

	list_init(&now);
	while ((peer = list_first(&echo->ready, struct echo_peer, in_ready))) {
		list_del(&peer->in_ready);
		list_add_tail(&now, &peer->in_ready);
	}
	while ((peer = list_first(&now, struct echo_peer, in_ready))) {
		list_del(&peer->in_ready);
		if (echo_step(peer))
			echo_runnable(peer, peer->conn);
		/* Also what was only read in part. */
		echo_dirty(peer, peer->conn);
	}
}

static inline bool echo_tick(void *arg)
{
	struct echo *echo = arg;
	struct echo_peer *peer;

	echo->ticks++;
	conn_pool_set_now(echo->pool, loop_now(echo->loop));
	for (int i = 0; i < echo->per_tick && !list_empty(&echo->ready); i++)
		echo_round(echo);
	while ((peer = list_first(&echo->dirty, struct echo_peer, in_dirty))) {
		list_del(&peer->in_dirty);
		conn_flush(peer->conn);
	}
	while ((peer = list_first(&echo->dead, struct echo_peer, in_dead)))
		talloc_free(peer);
	if ((echo->stop_after && echo->served >= echo->stop_after) ||
	    (echo->stop_when_idle && list_empty(&echo->ready)) ||
	    (echo->quit_on_empty && !echo->count))
		loop_stop(echo->loop);
	return !list_empty(&echo->ready);
}

/* Runs until nothing is ready, after at least one look at the kernel. */
static inline void echo_run(struct echo *echo)
{
	echo->stop_when_idle = true;
	loop_run(echo->loop, echo_tick, echo);
	echo->stop_when_idle = false;
}

#endif
