/* SPDX-License-Identifier: MIT */
/* The server's inside, for server.c, which runs it, and server_start.c, which
 * makes it, after a predecessor or from nothing. */
#ifndef SERVER_PRIV_H
#define SERVER_PRIV_H

#include "io/loop.h"
#include "io/sock.h"
#include "op/op.h"
#include "server.h"

struct server {
	const struct server_options *options;
	struct loop *loop;
	struct conn_pool *pool;
	struct turns *turns;
	struct ledgers *ledgers;
	struct watch_index *index;
	struct store *store;
	struct trace *trace;
	struct metrics metrics;
	struct sessions sessions;
	struct domains *domains;
	struct xenport *port;
	const char *vmm_socket;		/* NULL: VMMs are not served */
	struct sock_listener *listener;
	struct loop_timer *housekeeping;
	struct loop_timer *scan;
	struct loop_timer *turn;
	struct op_world world;
	struct request *scratch;
	struct recorder *recorder;	/* NULL: no journal */
	struct keeper_link *link;
	struct loop_timer *live;	/* looks at a live update */
};

/* ---- server_start.c ------------------------------------------------------ */

/* Everything up to serving; what went wrong is on stderr. */
int server_start(struct server *server);
/* All that a successor needs, as a child of the server. NULL: no memory. */
int *server_descriptors(struct server *server, size_t *n);

/* ---- server.c: what the start has called later --------------------------- */

/* The loop's time is that of what happens now. */
void server_set_now(struct server *server);
void server_wake(void *arg);
void server_housekeeping(void *arg);
void server_scan(void *arg);
void server_terminate(void *arg);
void server_hangup(void *arg);
/* Who a client on the socket is. */
struct who server_client(const struct server *server);
void server_accepted(void *arg, struct transport *transport);
void server_dropped(void *arg, struct session *session);
void server_store_changed(void *arg, const struct changeset *set);
/* `ended`: what the predecessor's tool is told, which will ask again; or NULL.
 * Static. */
void server_offer_live_update(struct server *server, const char *ended);

#endif
