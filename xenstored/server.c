/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/scoped.h"
#include "io/loop.h"
#include "io/sock.h"
#include "op/op.h"
#include "persist/handover.h"
#include "persist/recorder.h"
#include "persist/revive.h"
#include "sandbox.h"

/* Requests in one tick, and removed nodes given back in one. */
#define TICK_REQUESTS 1024
#define TICK_REAP 512
/* How often waiting events and listings are looked at, ms. */
#define HOUSEKEEPING_MS 1000
/* ... and a live update that is under way. */
#define LIVE_MS 50
/* So many workers died before they could serve: what they all read is what
 * kills them. */
#define HOPELESS 3

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

/* What a predecessor left, during the start. */
struct legacy {
	bool inherited;			/* descriptors are open still */
	bool bound;			/* ... and event channels */
	int *fds;			/* all of them */
	size_t n;
	struct revival nodes;
	struct image *image;		/* NULL: there is no journal */
	struct journal_found found;
	bool handover;			/* by a live update, ... */
	bool dump;			/* ... of oxenstored */
	char file[PATH_MAX];		/* what was handed over */
};

/* ---- the tick ------------------------------------------------------------*/

/* A request that killed us twice is not tried again. */
static void server_refuse(struct server *server, struct session *session,
			  const struct message *message)
{
	const unsigned char *bytes = (const unsigned char *)message->payload;
	char hex[3 * 64 + 1] = "";

	for (size_t i = 0; i < message->hdr.len && i < 64; i++)
		sprintf(hex + 3 * i, " %02x", bytes[i]);
	log_error("%s of domain %u has killed the daemon twice and is refused;"
		  " tx_id %u, %u bytes:%s", op_name(message->hdr.type),
		  session->who.domid, message->hdr.tx_id, message->hdr.len,
		  hex);
	op_refuse(&server->world, server->scratch, session, message, EIO);
}

/* False: the tick is to be committed before anything else is executed. What
 * was refused must be over when another such request kills us. */
static bool server_execute(struct server *server, struct session *session,
			   const struct message *message)
{
	size_t size = sizeof(message->hdr) + message->hdr.len;

	if (server->recorder &&
	    !recorder_executes(server->recorder, session, size)) {
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
		if (!session->who.privileged && conn_queued(session->conn))
			server_arm_housekeeping(server);
	}
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
static void server_wake(void *arg)
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

static bool server_tick(void *arg)
{
	struct server *server = arg;
	bool more;

	server->metrics.ticks++;
	server->sessions.now = server->world.now = loop_now(server->loop);
	conn_pool_set_now(server->pool, server->sessions.now);
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

	txns_trim(server->store, server->sessions.now);
	more = store_reap(server->store, TICK_REAP);
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

static void server_housekeeping(void *arg)
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
		if (session->who.privileged || !limit)
			continue;
		if (conn_expire(session->conn, now > limit ? now - limit : 0))
			again = true;
	}
	if (again)
		loop_timer_set(server->housekeeping, HOUSEKEEPING_MS);
}

static void server_scan(void *arg)
{
	struct server *server = arg;

	domains_scan(server->domains);
}

/* ---- signals and clients -------------------------------------------------*/

static void server_terminate(void *arg)
{
	struct server *server = arg;

	log_info("terminating");
	loop_stop(server->loop);
}

static void server_hangup(void *arg)
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
static struct who server_client(const struct server *server)
{
	const struct domains_options *options = &server->options->domains;

	return (struct who){
		.domid = options->self,
		.target = DOMID_INVALID,
		.privileged = true,
		.features = options->features,
	};
}

static void server_accepted(void *arg, struct transport *transport)
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

static void server_dropped(void *arg, struct session *session)
{
	struct server *server = arg;

	op_forget(&server->world, session);
}

static void store_changed(void *arg, const struct changeset *set)
{
	struct server *server = arg;

	watch_fire(server->index, set);
}

/* ---- start ---------------------------------------------------------------*/

static int server_say(int err, const char *what, const char *which)
{
	fprintf(stderr, "xenstored: %s%s%s: %s\n", what, which ? " " : "",
		which ? which : "", strerror(abs(err)));
	return err;
}

static int server_start_trace(struct server *server)
{
	const struct server_options *options = server->options;
	int err;

	err = trace_new(server, &server->trace);
	if (err)
		return err;
	for (const char *const *sw = options->trace_switches; sw && *sw; sw++)
		trace_switch_set(server->trace, *sw);	/* main checked it */
	if (!options->trace_file)
		return 0;
	err = trace_open(server->trace, options->trace_file);
	if (err)
		server_say(err, "cannot open the trace file",
			   options->trace_file);
	return err;
}

static int server_try_port(struct server *server, int fd)
{
	const struct server_options *options = server->options;
	int err = -ENODEV;

#ifdef HAVE_XEN
	if (options->port != SERVER_PORT_VMM) {
		err = xenport_xen_new(server, server->loop, fd, &server->port);
		if (!err)
			return 0;
	}
#endif
	if (options->port == SERVER_PORT_XEN)
		return server_say(err, "cannot talk to Xen", NULL);
	err = xenport_vmm_new(server, server->loop, options->vmm_socket, fd,
			      &server->port);
	return err ? server_say(err, "cannot serve VMMs at",
				options->vmm_socket) :
		     0;
}

static int server_adopt_port(struct server *server, const struct image *image)
{
#ifdef HAVE_XEN
	/* oxenstored has its VIRQ there, which we want elsewhere. */
	if (image->virq_port >= 0)
		xenport_xen_drop_virq(image->port, image->virq_port);
#endif
	return server_try_port(server, image->port);
}

/* A predecessor's event channels, or else new ones. */
static int server_start_port(struct server *server, struct legacy *legacy)
{
	int err = -ENODEV;

	if (server->options->port == SERVER_PORT_NONE)
		return 0;
	if (legacy->inherited && legacy->image && legacy->image->port >= 0)
		err = server_adopt_port(server, legacy->image);
	if (err) {
		legacy->bound = false;
		err = server_try_port(server, -1);
	} else {
		legacy->bound = true;
	}
	if (!err)
		domains_set_port(server->domains, server->port);
	return err;
}

static int server_start_store(struct server *server)
{
	const struct server_options *options = server->options;
	int err;

	err = ledgers_new(server, &server->ledgers);
	if (!err)
		err = watch_index_new(server, &server->index);
	if (!err)
		err = conn_pool_new(server, &server->pool);
	if (!err)
		err = turns_new(server, &server->turns);
	if (err)
		return err;
	sessions_init(&server->sessions, server->index, server->pool,
		      server->turns, server->trace);
	server->sessions.dropped = server_dropped;
	server->sessions.arg = server;
	err = domains_new(server, &server->sessions, server->ledgers,
			  NULL, server->trace, &options->domains,
			  &server->domains);
	if (!err)
		err = store_new(server, server->ledgers, options->domains.priv,
				&server->store);
	if (!err)
		err = store_add_consumer(server->store, store_changed, server);
	if (err)
		return err;
	server->sessions.store = server->store;
	server->world = (struct op_world){
		.sessions = &server->sessions,
		.store = server->store,
		.index = server->index,
		.ledgers = server->ledgers,
		.domains = server->domains,
		.trace = server->trace,
		.metrics = &server->metrics,
	};
	server->scratch->ctx = talloc_new(server);
	return server->scratch->ctx ? 0 : -ENOMEM;
}

static int server_start_events(struct server *server)
{
	struct loop_signal *signal;
	int err;

	err = loop_timer_new(server, server->loop, server_housekeeping, server,
			     &server->housekeeping);
	if (!err)
		err = loop_timer_new(server, server->loop, server_scan, server,
				     &server->scan);
	if (!err)
		err = loop_timer_new(server, server->loop, server_wake, server,
				     &server->turn);
	if (!err)
		err = loop_timer_new(server, server->loop, server_wake, server,
				     &server->live);
	if (!err)
		err = loop_signal_new(server, server->loop, SIGTERM,
				      server_terminate, server, &signal);
	if (!err)
		err = loop_signal_new(server, server->loop, SIGINT,
				      server_terminate, server, &signal);
	if (!err)
		err = loop_signal_new(server, server->loop, SIGHUP,
				      server_hangup, server, &signal);
	return err;
}

static int server_listen(struct server *server)
{
	const char *path = server->options->socket;
	int err;

	mkdir(server->options->rundir, 0755);	/* sock_listen() tells */
	err = sock_listen(server, server->loop, path, server_accepted, server,
			  &server->listener);
	if (err == -EADDRINUSE) {
		fprintf(stderr, "xenstored: %s is served by a running daemon; "
				"it keeps it\n", path);
		return err;
	}
	return err ? server_say(err, "cannot listen at", path) : 0;
}

/* ---- after a predecessor -------------------------------------------------*/

static bool legacy_has(const struct legacy *legacy, int fd)
{
	for (size_t i = 0; i < legacy->n; i++)
		if (legacy->fds[i] == fd)
			return true;
	return false;
}

/* A worker before this one may have died while it read the state: that is there
 * as long as nothing else is complete. */
static bool state_is_there(const struct server_options *options,
			   struct legacy *legacy)
{
	static const char *const names[] = { "state_dump", "db" };

	for (size_t i = 0; i < 2; i++) {
		snprintf(legacy->file, sizeof(legacy->file), "%s/%s",
			 options->rundir, names[i]);
		if (!access(legacy->file, R_OK))
			return true;
	}
	return false;
}

/* What could be read is better than nothing: guests depend on it. */
static int server_take_over(struct server *server, struct legacy *legacy)
{
	struct stream_fault fault = { 0, "" };
	struct blob state;
	int err;

	legacy->handover = true;
	legacy->inherited = true;
	legacy->nodes.store = server->store;
	err = image_new(server, &revival_nodes, &legacy->nodes,
			&legacy->image);
	if (!err)
		err = stream_load(server, legacy->file, &state);
	if (err)
		return err;
	legacy->dump = stream_is_dump(state.data, state.len);
	err = handover_read(state, legacy->image, &fault);
	if (err == -EPROTO)
		log_error("%s is damaged at %zu: %s", legacy->file,
			  fault.offset, fault.why);
	talloc_free((void *)state.data);
	if (err && err != -EPROTO)
		return err;
	return revive_store(&legacy->nodes, legacy->image->generation);
}

/*
 * A predecessor's files, the database above all: whoever closes a descriptor of
 * a file loses all locks on it, so these go before it is opened again. What has
 * no name is a page or a table of the port.
 */
static void legacy_close_files(struct legacy *legacy)
{
	struct stat st;
	size_t kept = 0;

	for (size_t i = 0; i < legacy->n; i++) {
		int fd = legacy->fds[i];

		if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink)
			close(fd);
		else
			legacy->fds[kept++] = fd;
	}
	legacy->n = kept;
}

/* Nodes to a tree beside the store, everything else to the image. Who cannot
 * have a journal goes without. */
static int server_recall(struct server *server, struct keeper_link *link,
			 struct legacy *legacy)
{
	const struct server_options *options = server->options;
	const bool hopeless = keeper_failures(link) >= HOPELESS;
	const bool handover = options->live_update &&
			      state_is_there(options, legacy);
	const struct recorder_options recorder = {
		.dir = options->journal,
		.fresh = hopeless ||
			 (options->fresh && !options->live_update &&
			  keeper_starts(link) == 1),
		.keep = hopeless,
	};
	int err;

	/* The program before us goes on, if we do not. */
	if (handover && hopeless)
		return -ECANCELED;
	legacy_close_files(legacy);
	legacy->nodes.store = server->store;
	err = options->journal ? recorder_new(server, &recorder,
					      &server->recorder) : 0;
	if (err)
		log_error("cannot keep a journal in %s: %s; a crash would "
			  "lose everything", options->journal, strerror(-err));
	if (handover)
		return server_take_over(server, legacy);
	if (!server->recorder)
		return 0;
	err = image_new(server, &revival_nodes, &legacy->nodes,
			&legacy->image);
	if (!err)
		err = recorder_read(server->recorder, &revival_nodes,
				    &legacy->nodes, legacy->image,
				    &legacy->found);
	if (!err)
		err = revive_store(&legacy->nodes, legacy->image->generation);
	return err;
}

static bool is_database(int fd, const char *dir)
{
	char link[64], path[PATH_MAX];
	size_t len = strlen(dir);
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return !strncmp(path, dir, len) && path[len] == '/' &&
	       !strncmp(path + len + 1, "state.db", strlen("state.db"));
}

/*
 * The locks of a database belong to all who share the descriptors, and closing
 * any of them unlocks it. So the predecessor's go before ours are opened:
 * later, nobody would see that we use it, and another program that reads the
 * database would remove its log at the end.
 */
static void legacy_close_database(struct legacy *legacy, const char *dir)
{
	char real[PATH_MAX];
	size_t kept = 0;

	if (!dir || !realpath(dir, real))
		return;
	for (size_t i = 0; i < legacy->n; i++) {
		if (is_database(legacy->fds[i], real))
			close(legacy->fds[i]);
		else
			legacy->fds[kept++] = legacy->fds[i];
	}
	legacy->n = kept;
}

/*
 * Before anything is opened anew: without a journal nothing of a predecessor
 * can be used, not even its listener; with one, none of its devices but the
 * port. The hypervisor gives VIRQ_DOM_EXC to one open file at a time.
 */
static void legacy_close_stale(struct legacy *legacy)
{
	int port = legacy->image ? legacy->image->port : -1;
	struct stat st;
	size_t kept = 0;

	for (size_t i = 0; i < legacy->n; i++) {
		int fd = legacy->fds[i];

		if (!legacy->image || (fd != port && !fstat(fd, &st) &&
				       S_ISCHR(st.st_mode)))
			close(fd);
		else
			legacy->fds[kept++] = fd;
	}
	legacy->n = kept;
}

/* A predecessor of which nothing is known: what it had open goes at once, its
 * listener, too, for whoever is in its queue would wait for ever. */
static void server_disown(struct legacy *legacy)
{
	for (size_t i = 0; i < legacy->n; i++)
		close(legacy->fds[i]);
	legacy->n = 0;
	legacy->inherited = false;
}

static int server_adopt_listener(struct server *server, struct legacy *legacy)
{
	const struct image *image = legacy->image;

	if (server->listener)
		return 0;
	if (image && legacy_has(legacy, image->listener))
		return sock_adopt_listener(server, server->loop,
					   image->listener, server_accepted,
					   server, &server->listener);
	if (!legacy->handover)
		server_disown(legacy);
	return server_listen(server);
}

static int server_revive(struct server *server, const struct legacy *legacy)
{
	const struct revive_options options = {
		.sessions = &server->sessions,
		.domains = server->domains,
		.loop = server->loop,
		.clients = server,
		.who = server_client(server),
		.inherited = legacy->inherited,
		.bound = legacy->bound,
		.found = &legacy->found,
		.handover = legacy->handover,
	};
	const struct image *image = legacy->image;

	if (!image)
		return 0;
	if (image->has_limits && legacy->inherited)
		*domains_limits(server->domains) = image->limits;
	return revive_sessions(&options, image);
}

static void server_start_recorder(struct server *server,
				  const struct legacy *legacy)
{
	const struct journal_found *found = &legacy->found;
	struct rec_descriptor descriptors[2] = {
		{ REC_LISTENER, sock_listener_fd(server->listener) },
		{ REC_PORT, -1 },
	};

	if (!server->recorder)
		return;
	if (server->port)
		server->port->ops->descriptors(server->port,
					       &descriptors[1].fd, 1);
	recorder_start(server->recorder, &server->sessions, server->domains,
		       server->store, descriptors, 2,
		       !found->segments || found->damaged || found->stale ||
			       legacy->handover);
	if (found->segments)
		log_info("went on from the journal: %zu connections",
			 server->sessions.count);
}

static int *server_descriptors(struct server *server, size_t *n)
{
	size_t of_port = server->port ? server->port->ops->descriptors(
						server->port, NULL, 0) :
					0;
	int *fds = talloc_array(server, int, of_port + server->sessions.count +
					     1);
	struct session *session;

	if (!fds)
		return NULL;
	*n = 0;
	fds[(*n)++] = sock_listener_fd(server->listener);
	if (of_port)
		*n += server->port->ops->descriptors(server->port, fds + *n,
						     of_port);
	list_for_each(session, &server->sessions.all, in_all)
	{
		const struct transport *transport =
			conn_transport(session->conn);

		fds[*n] = transport->ops->fd(transport);
		*n += fds[*n] >= 0;
	}
	return fds;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Of what a predecessor had open only what has an owner again stays; its epoll
 * descriptor, database and mappings would haunt us. */
static void server_close_rest(struct server *server,
			      const struct legacy *legacy)
{
	size_t n, i;
	int *keep = server_descriptors(server, &n);

	if (!keep)
		return;
	qsort(keep, n, sizeof(*keep), by_number);
	for (i = 0; i < legacy->n; i++)
		if (!bsearch(&legacy->fds[i], keep, n, sizeof(*keep),
			     by_number))
			close(legacy->fds[i]);
	talloc_free(keep);
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

static int server_exec(void *arg, const char *state, char *const argv[])
{
	return keeper_exec(((struct server *)arg)->link, state, argv);
}

static void server_offer_live_update(struct server *server,
				     const struct legacy *legacy)
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
	live->done = legacy->dump;
	live->argv = server->options->argv;
	live->listener = sock_listener_fd(server->listener);
	live->port = -1;
	if (server->port)
		server->port->ops->descriptors(server->port, &live->port, 1);
}

/* ---- start, in order -----------------------------------------------------*/

static int server_start_loop(struct server *server)
{
	int err = loop_new(server, &server->loop);

	if (!err)
		err = server_start_events(server);
	return err ? server_say(err, "cannot start", NULL) : 0;
}

/* The listener comes first, if there is none: a second daemon must not touch
 * anything else. */
static int server_start(struct server *server, struct keeper_link *link,
			struct legacy *legacy)
{
	int err;

	err = server_start_loop(server);
	if (!err && !legacy->inherited)
		err = server_listen(server);
	if (!err)
		err = server_start_trace(server);
	if (err)
		return err;
	err = server_start_store(server);
	legacy_close_database(legacy, server->options->journal);
	if (!err)
		err = server_recall(server, link, legacy);
	if (err)
		return server_say(err, "cannot start", NULL);
	legacy_close_stale(legacy);
	err = server_adopt_listener(server, legacy);
	if (!err)
		err = server_start_port(server, legacy);
	if (err)
		return err;
	err = server_revive(server, legacy);
	if (err)
		return server_say(err, "cannot go on", NULL);
	domains_start(server->domains);
	server_offer_live_update(server, legacy);
	fault_at(revived);
	server_start_recorder(server, legacy);
	server_close_rest(server, legacy);
	if (legacy->handover)
		unlink(legacy->file);
	if (legacy->found.segments || legacy->handover)
		domains_check(server->domains);
	return 0;
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
		recorder_leave(server->recorder);
	if (server->port)
		server->port->ops->retire(server->port);
	return KEEPER_EXEC;
}

static int server_begin(struct server *server)
{
	const struct server_options *options = server->options;
	struct legacy legacy = { 0 };
	int err;

	legacy.inherited = keeper_starts(server->link) > 1 ||
			   options->live_update;
	if (legacy.inherited && !options->journal && !options->live_update)
		keeper_close_others(server->link, NULL, 0);
	else if (legacy.inherited)
		keeper_inherited(server->link, &legacy.fds, &legacy.n);
	err = server_start(server, server->link, &legacy);
	free(legacy.fds);
	if (err || !options->sandbox)
		return err;
	err = sandbox_enter();
	if (err)
		log_warn("serving without a sandbox: %s", strerror(-err));
	return 0;
}

static int server_live(struct server *server)
{
	int err;

	err = server_begin(server);
	if (err)
		return 1;
	keeper_ready(server->link);
	log_info("xenstored is ready");
	server->options->ready(server->options->ready_arg);
	err = loop_run(server->loop, server_tick, server);
	if (err)
		log_error("the event loop failed: %s", strerror(abs(err)));
	if (server->world.live.phase == LIVE_LEAVING)
		return server_leave(server);
	unlink(server->options->socket);
	return err ? 1 : 0;
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
