/* SPDX-License-Identifier: MIT */
#include "server_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "persist/recorder.h"

/* Requests in one tick, and the time for them, us: as long does a reply wait
 * that is there already, whatever others ask for. The clock is read once in a
 * few requests. And removed nodes given back in one. */
#define TICK_REQUESTS 1024
#define TICK_US 4000
#define REQUESTS_PER_LOOK 8
#define TICK_REAP 512
/* How often waiting events and listings are looked at, ms. */
#define HOUSEKEEPING_MS 1000
/* ... and a live update that is under way. */
#define LIVE_MS 50

/* ---- the tick ------------------------------------------------------------*/

/* A request that killed us three times is not tried again. */
static void server_refuse(struct server *server, struct session *session,
			  const struct message *message)
{
	const unsigned char *bytes = (const unsigned char *)message->payload;
	char hex[3 * 64 + 1] = "";

	for (size_t i = 0; i < message->hdr.len && i < 64; i++)
		sprintf(hex + 3 * i, " %02x", bytes[i]);
	log_error("%s of domain %u has killed the daemon %d times and is "
		  "refused; tx_id %u, %u bytes:%s", op_name(message->hdr.type),
		  session->who.domid, RECORDER_TRIES, message->hdr.tx_id,
		  message->hdr.len,
		  hex);
	op_refuse(&server->world, server->scratch, session, message, EIO);
}

/* False: the tick is to be committed before anything else is executed. What
 * was refused must be over when another such request kills us. */
static bool server_execute(struct server *server, struct session *session,
			   const struct message *message)
{
	if (server->recorder &&
	    !recorder_executes(server->recorder, session, message)) {
		server_refuse(server, session, message);
		return false;
	}
	fault_at(execute_before);
	fault_taste(message->payload, message->hdr.len);
	op_execute(&server->world, server->scratch, session, message);
	fault_at(execute_after);
	if (server->recorder)
		recorder_executed(server->recorder);
	return true;
}

/* One request of one session; as above. */
static bool server_serve(struct server *server, struct session *session)
{
	struct message message;
	bool more;

	list_del(&session->in_ready);
	session_set_dirty(session);	/* also what was only read is settled */
	if (conn_next(session->conn, &message))
		return true;	/* it will say when there is more */
	more = server_execute(server, session, &message);
	session_set_ready(session);
	return more;
}

static void server_rounds(struct server *server)
{
	struct session *session;

	for (int i = 0; i < TICK_REQUESTS; i++) {
		if (i && i % REQUESTS_PER_LOOK == 0 &&
		    loop_busy_us(server->loop) > TICK_US)
			break;
		session = list_first(&server->sessions.ready, struct session,
				     in_ready);
		if (!session || server->world.live.phase == LIVE_LEAVING ||
		    !server_serve(server, session))
			break;
	}
}

/* Somebody waits: look again after a while. */
static void server_arm_housekeeping(struct server *server)
{
	if (!loop_timer_armed(server->housekeeping))
		loop_timer_set(server->housekeeping, HOUSEKEEPING_MS);
}

/* Only while there are rings: without guests an idle server sleeps. */
static void server_arm_scan(struct server *server)
{
	uint64_t interval = server->options->scan_interval * 1000ull;

	if (interval && server->sessions.rings &&
	    !loop_timer_armed(server->scan))
		loop_timer_set(server->scan, interval);
}

/* Nothing leaves but here. */
static void server_gate(struct server *server)
{
	struct session *session;

	fault_at(commit_before);
	if (server->recorder)
		recorder_commit(server->recorder);
	fault_at(commit_after);
	while ((session = list_first(&server->sessions.dirty, struct session,
				     in_dirty))) {
		list_del(&session->in_dirty);
		conn_flush(session->conn);
		/* Without guests nobody waits for who does not read. */
		if (server->sessions.rings && conn_queued(session->conn))
			server_arm_housekeeping(server);
	}
	if (server->port)
		server->port->ops->settle(server->port);
}

/* Whose turn has lasted long enough; the timer is for the next one. */
static void server_end_turns(struct server *server)
{
	uint64_t now = server->sessions.now;
	uint64_t next = turns_expire(server->turns, now);

	if (next && !loop_timer_armed(server->turn))
		loop_timer_set(server->turn, next > now ? next - now : 1);
}

/* For timers that only have the tick run. */
void server_wake(void *arg)
{
	(void)arg;
}

/*
 * All is written for a successor: nothing may leave any more. But what was read
 * of the rings is in what was written, so their guests are told.
 */
static void server_freeze(struct server *server)
{
	struct session *session;

	if (server->recorder)
		recorder_commit(server->recorder);
	list_for_each(session, &server->sessions.all, in_all)
		conn_settle(session->conn);
	loop_stop(server->loop);
}

void server_set_now(struct server *server)
{
	uint64_t now = loop_now(server->loop);

	server->sessions.now = server->world.now = now;
	conn_pool_set_now(server->pool, now);
	txns_set_now(server->store, now);
}

static bool server_tick(void *arg)
{
	struct server *server = arg;
	bool more;

	server->metrics.ticks++;
	server_set_now(server);
	server_end_turns(server);

	server_rounds(server);
	/* Those that began in this tick may be all that is left to do. */
	server_end_turns(server);
	sessions_drop_broken(&server->sessions);
	if (server->world.live.phase == LIVE_LEAVING) {
		server_freeze(server);
		return false;
	}
	server_gate(server);
	sessions_bury(&server->sessions);
	if (!list_empty(&server->sessions.listings))
		server_arm_housekeeping(server);
	if (domains_unfinished(server->domains))
		server_arm_housekeeping(server);
	server_arm_scan(server);

	txns_trim(server->store);
	more = store_reap(server->store, TICK_REAP);
	if (store_reap_waits(server->store))
		server_arm_housekeeping(server);
	more |= op_work(&server->world);
	if (live_update_work(&server->world))
		loop_timer_set(server->live, LIVE_MS);
	if (server->recorder) {
		more |= recorder_work(server->recorder, server->sessions.now);
		if (recorder_waits(server->recorder))
			server_arm_housekeeping(server);
	}
	trace_flush(server->trace);
	return more || !list_empty(&server->sessions.ready) ||
	       !list_empty(&server->sessions.dirty);
}

void server_housekeeping(void *arg)
{
	struct server *server = arg;
	uint64_t now = loop_now(server->loop);
	uint64_t limit = server->options->event_timeout * 1000ull;
	struct session *session;
	bool again;

	server->sessions.now = now;
	if (domains_unfinished(server->domains))
		domains_check(server->domains);
	again = sessions_expire_listings(&server->sessions);
	list_for_each(session, &server->sessions.all, in_all)
	{
		if (limit &&
		    conn_expire(session->conn, now > limit ? now - limit : 0))
			again = true;
	}
	if (again)
		loop_timer_set(server->housekeeping, HOUSEKEEPING_MS);
}

void server_scan(void *arg)
{
	struct server *server = arg;

	domains_scan(server->domains);
}

/* ---- signals and clients -------------------------------------------------*/

void server_terminate(void *arg)
{
	struct server *server = arg;

	log_info("terminating");
	loop_stop(server->loop);
}

void server_hangup(void *arg)
{
	struct server *server = arg;
	int err;

	if (!trace_file(server->trace))
		return;
	err = trace_reopen(server->trace);
	if (err)
		log_error("cannot open the trace file again: %s",
			  strerror(-err));
}

/* Who a client on the socket is. */
struct who server_client(const struct server *server)
{
	const struct domains_options *options = &server->options->domains;

	return (struct who){
		.domid = options->self,
		.target = DOMID_INVALID,
		.privileged = true,
		.features = options->features,
	};
}

void server_accepted(void *arg, struct transport *transport)
{
	struct server *server = arg;
	const struct who who = server_client(server);
	struct session *session;

	fault_at(accepted);
	server->metrics.accepted++;
	if (session_new(server, &server->sessions, transport, &who, NULL,
			&session))
		log_error("no memory for another connection");
}

void server_dropped(void *arg, struct session *session)
{
	struct server *server = arg;

	op_forget(&server->world, session);
}

void server_store_changed(void *arg, const struct changeset *set)
{
	struct server *server = arg;

	watch_fire(server->index, set);
}

/* ---- live update --------------------------------------------------------*/

static int server_check(void *arg, const char *file, const char *state)
{
	return keeper_check(((struct server *)arg)->link, file, state);
}

static int server_checked(void *arg)
{
	return keeper_checked(((struct server *)arg)->link);
}

static int server_exec(void *arg, const char *state, uint32_t asker,
		       char *const argv[])
{
	char note[16];

	snprintf(note, sizeof(note), "%u", asker);
	return keeper_exec(((struct server *)arg)->link, state, note, argv);
}

void server_offer_live_update(struct server *server, const char *ended)
{
	static const struct live_update_ops ops = {
		.check = server_check,
		.checked = server_checked,
		.exec = server_exec,
	};
	struct live_update *live = &server->world.live;

	server->world.recorder = server->recorder;
	live->ops = &ops;
	live->arg = server;
	live->rundir = server->options->rundir;
	live->ended = ended;
	live->argv = server->options->argv;
	live->listener = sock_listener_fd(server->listener);
	live->port = -1;
	if (server->port)
		server->port->ops->descriptors(server->port, &live->port, 1);
}

/*
 * What refers to others goes before them: guests and their nodes' ledgers, the
 * clients, then what they shared.
 */
static int server_free(struct server *server)
{
	struct session *session;

	if (server->recorder)
		recorder_stop(server->recorder);
	TALLOC_FREE(server->domains);
	while ((session = list_first(&server->sessions.all, struct session,
				     in_all)))
		talloc_free(session);
	TALLOC_FREE(server->store);
	TALLOC_FREE(server->index);
	TALLOC_FREE(server->pool);
	TALLOC_FREE(server->turns);
	TALLOC_FREE(server->port);
	TALLOC_FREE(server->listener);
	return 0;
}

/* The successor gets every descriptor, in the keeper's process. */
static int server_leave(struct server *server)
{
	size_t n;
	int *fds = server_descriptors(server, &n);

	if (!fds)
		return 1;
	for (size_t i = 0; i < n; i++)
		fcntl(fds[i], F_SETFD, 0);
	if (server->recorder)
		recorder_leave(server->recorder, !server->world.live.ours);
	if (server->port)
		server->port->ops->retire(server->port);
	return KEEPER_EXEC;
}

static int server_live(struct server *server)
{
	int err;

	err = server_start(server);
	if (err)
		return 1;
	keeper_ready(server->link);
	log_info("xenstored is ready");
	server->options->ready(server->options->ready_arg);
	err = loop_run(server->loop, server_tick, server);
	if (err) {
		/* No orderly end: the next worker goes on with all this. */
		log_error("the event loop failed: %s", strerror(abs(err)));
		abort();
	}
	if (server->world.live.phase == LIVE_LEAVING)
		return server_leave(server);
	unlink(server->options->socket);
	if (server->vmm_socket)
		unlink(server->vmm_socket);
	return 0;
}

int server_run(const struct server_options *options, struct keeper_link *link)
{
	struct server *server = talloc_zero(NULL, struct server);
	int status = 1;

	if (!server)
		return 1;
	server->options = options;
	server->link = link;
	list_init(&server->sessions.all);
	talloc_set_destructor(server, server_free);
	server->scratch = talloc_zero(server, struct request);
	fault_init(keeper_starts(link));
	if (server->scratch)
		status = server_live(server);
	/* Freeing would close what a successor has inherited. */
	if (status != KEEPER_EXEC)
		talloc_free(server);
	return status;
}
