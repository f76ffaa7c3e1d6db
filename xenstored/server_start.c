/* SPDX-License-Identifier: MIT */
/*
 * The start of the server: from nothing, after a worker that died, or with what
 * another daemon hands over.
 */
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
#include "persist/handover.h"
#include "persist/recorder.h"
#include "persist/revive.h"
#include "sandbox.h"
#include "server_priv.h"

/* So many workers died before they could serve: what they all read is what
 * kills them. */
#define HOPELESS 3

/* Descriptors that are kept for a successor, who needs some of its own before
 * it can close ours: clients may have all the others. */
#define RESERVE 16

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

/* ---- parts ---------------------------------------------------------------*/

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
	if (options->port != SERVER_PORT_VMM &&
	    (fd < 0 || !xenport_vmm_left(fd))) {
		err = xenport_xen_new(server, server->loop, fd, &server->port);
		if (!err)
			return 0;
	}
#endif
	if (options->port == SERVER_PORT_XEN)
		return server_say(err, "cannot talk to Xen", NULL);
	err = xenport_vmm_new(server, server->loop, options->vmm_socket, fd,
			      &server->port);
	if (err)
		return server_say(err, "cannot serve VMMs at",
				  options->vmm_socket);
	server->vmm_socket = options->vmm_socket;
	return 0;
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

/* It was closed, and something new may have the number. */
static void legacy_forget(struct legacy *legacy, int fd)
{
	size_t i = 0;

	while (i < legacy->n && legacy->fds[i] != fd)
		i++;
	if (i < legacy->n)
		legacy->fds[i] = legacy->fds[--legacy->n];
}

/* A predecessor's event channels, or else new ones. */
static int server_start_port(struct server *server, struct legacy *legacy)
{
	int err = -ENODEV;

	if (server->options->port == SERVER_PORT_NONE)
		return 0;
	if (legacy->inherited && legacy->image && legacy->image->port >= 0) {
		err = server_adopt_port(server, legacy->image);
		if (err)
			legacy_forget(legacy, legacy->image->port);
	}
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
		err = store_add_consumer(server->store, server_store_changed,
					 server);
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
static bool is_file(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink;
}

static void legacy_close_files(struct legacy *legacy)
{
	size_t kept = 0;

	for (size_t i = 0; i < legacy->n; i++) {
		int fd = legacy->fds[i];

		if (is_file(fd))
			close(fd);
		else
			legacy->fds[kept++] = fd;
	}
	legacy->n = kept;
}

/*
 * What we had written for a successor that did not take it. A journal is
 * better: it is not of the kind that a foreign daemon reads. But there may be
 * none, or one that the successor has begun.
 */
static int server_take_back(struct server *server, struct keeper_link *link,
			    struct legacy *legacy)
{
	const char *left = keeper_left(link);
	int err;

	if (!left || keeper_failures(link) >= HOPELESS ||
	    legacy->found.segments || access(left, R_OK))
		return ENOENT;
	snprintf(legacy->file, sizeof(legacy->file), "%s", left);
	node_unref(legacy->nodes.root);
	legacy->nodes = (struct revival){ 0 };
	err = server_take_over(server, legacy);
	if (!err)
		handover_amend(legacy->image,
			       strtoul(keeper_left_note(link), NULL, 10),
			       LIVE_UPDATE_FELL_BACK);
	return err;
}

/* Nodes to a tree beside the store, everything else to the image. Who cannot
 * have a journal goes without. */
static int server_recall(struct server *server, struct keeper_link *link,
			 struct legacy *legacy)
{
	const struct server_options *options = server->options;
	const bool hopeless = keeper_failures(link) >= HOPELESS;
	/* What we have left ourselves is not for us, if there is a journal. */
	const bool handover = options->live_update && !keeper_left(link) &&
			      state_is_there(options, legacy);
	const struct recorder_options recorder = {
		.dir = options->journal,
		.fresh = hopeless ||
			 (options->fresh && !options->live_update &&
			  keeper_starts(link) == 1),
		.keep = hopeless,
		.ours = handover || keeper_starts(link) > 1,
	};
	int err;

	/* The program before us goes on, if we do not. */
	if (handover && hopeless)
		return -ECANCELED;
	legacy->nodes.store = server->store;
	err = options->journal ? recorder_new(server, &recorder,
					      &server->recorder) : 0;
	if (err)
		log_error("cannot keep a journal in %s: %s; a crash would "
			  "lose everything", options->journal, strerror(-err));
	if (handover)
		return server_take_over(server, legacy);
	err = 0;
	if (server->recorder)
		err = image_new(server, &revival_nodes, &legacy->nodes,
				&legacy->image);
	if (!err && server->recorder)
		err = recorder_read(server->recorder, &legacy->nodes,
				    legacy->image, &legacy->found);
	if (err)
		return err;
	err = server_take_back(server, link, legacy);
	if (err != ENOENT || !legacy->image)
		return err == ENOENT ? 0 : err;
	err = revive_store(&legacy->nodes, legacy->image->generation);
	if (!err && legacy->found.damaged)
		err = store_complete(server->store);
	return err;
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
	int err;

	if (!image)
		return 0;
	if (image->has_limits && legacy->inherited)
		*domains_limits(server->domains) = image->limits;
	ledgers_set_lenient(server->ledgers, true);
	err = revive_sessions(&options, image);
	ledgers_set_lenient(server->ledgers, false);
	return err;
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

int *server_descriptors(struct server *server, size_t *n)
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

/* Of a file, so that it is closed first: see is_file(). */
static void server_reserve(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	for (int n = 1; n < RESERVE && fd >= 0; n++)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* Of what a predecessor had open only what has an owner again stays; its epoll
 * descriptor and mappings would haunt us. Nothing of the list was closed so
 * far, or something of ours might have the number. What stays is not for the
 * programs that the keeper starts, whatever a predecessor had intended. */
static void server_close_rest(struct server *server,
			      const struct legacy *legacy)
{
	size_t n, i;
	int *keep = server_descriptors(server, &n);

	if (!keep)
		return;
	qsort(keep, n, sizeof(*keep), by_number);
	for (i = 0; i < legacy->n; i++)
		if (bsearch(&legacy->fds[i], keep, n, sizeof(*keep),
			    by_number))
			fcntl(legacy->fds[i], F_SETFD, FD_CLOEXEC);
		else
			close(legacy->fds[i]);
	talloc_free(keep);
}

/* ---- start, in order -----------------------------------------------------*/

static int server_start_loop(struct server *server)
{
	int err = loop_new(server, &server->loop);

	if (!err)
		err = server_start_events(server);
	return err ? server_say(err, "cannot start", NULL) : 0;
}

/* oxenstored's tool asks whether it is done; ours is served from the journal
 * with what it has asked before, unless it was answered (see
 * server_take_back()). */
static const char *live_update_ended(const struct keeper_link *link,
				     const struct legacy *legacy)
{
	if (legacy->dump)
		return "OK";
	return keeper_left(link) && !legacy->handover ? LIVE_UPDATE_FELL_BACK :
							NULL;
}

/* The listener comes first, if there is none: a second daemon must not touch
 * anything else. */
static int server_start_all(struct server *server, struct keeper_link *link,
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
	if (!err) {
		server_set_now(server);
		err = server_recall(server, link, legacy);
	}
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
	server_offer_live_update(server, live_update_ended(link, legacy));
	fault_at(revived);
	server_start_recorder(server, legacy);
	/* Before it is seen that we have let go what we were given with it. */
	if (legacy->handover)
		unlink(legacy->file);
	else if (keeper_left(link))
		unlink(keeper_left(link));
	server_close_rest(server, legacy);
	server_reserve();
	if (legacy->found.segments || legacy->handover)
		domains_check(server->domains);
	return 0;
}

int server_start(struct server *server)
{
	const struct server_options *options = server->options;
	struct legacy legacy = { 0 };
	int err;

	legacy.inherited = keeper_starts(server->link) > 1 ||
			   options->live_update;
	if (legacy.inherited && !options->journal && !options->live_update &&
	    !keeper_left(server->link))
		keeper_close_others(server->link, NULL, 0);
	else if (legacy.inherited)
		legacy.fds = keeper_inherited(server->link, &legacy.n);
	legacy_close_files(&legacy);
	err = server_start_all(server, server->link, &legacy);
	if (err || !options->sandbox)
		return err;
	err = sandbox_enter();
	if (err)
		log_warn("serving without a sandbox: %s", strerror(-err));
	return 0;
}
