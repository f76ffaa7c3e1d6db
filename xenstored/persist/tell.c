/* SPDX-License-Identifier: MIT */
#include "persist/tell.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "io/ring.h"
#include "store/tree.h"

/* ---- nodes --------------------------------------------------------------- */

static void tell_node(struct records *out, const char *path, unsigned int what,
		      size_t top, const struct node *node)
{
	struct rec_node rec = {
		.what = what,
		.path = path,
		.top = top,
		.generation = node_generation(node),
		.value = node_value(node),
	};

	rec.perms = perms_list(node_perms(node), &rec.n_perms);
	record_node(out, &rec);
}

/* Is it told by the record of the one that is created in it? */
static bool is_level(const struct change *change, const struct change *next)
{
	const size_t len = change->path_len;

	return next->kind == CHANGE_CREATE && next->path_len > len + 1 &&
	       len > 1 && next->path[len] == '/' &&
	       !memcmp(next->path, change->path, len) &&
	       !strchr(next->path + len + 1, '/') &&
	       !node_value(change->after).len &&
	       node_perms(change->after) == node_perms(next->after) &&
	       node_generation(change->after) == node_generation(next->after);
}

/* Nodes that a write creates on its way are one record. Returns the last one
 * that it tells of. */
static size_t tell_created(struct records *out, const struct changeset *set,
			   size_t i)
{
	const struct change *first = changeset_get(set, i), *last = first;
	const size_t n = changeset_count(set);

	while (i + 1 < n && is_level(last, changeset_get(set, i + 1)))
		last = changeset_get(set, ++i);
	tell_node(out, last->path, REC_CREATE | REC_VALUE | REC_PERMS |
		  (last == first ? 0 : REC_LEVELS), first->path_len,
		  last->after);
	return i;
}

void tell_changes(struct records *out, const struct changeset *set)
{
	const struct change *change;
	size_t i;

	for (i = 0; i < changeset_count(set); i++) {
		change = changeset_get(set, i);
		switch (change->kind) {
		case CHANGE_CREATE:
			i = tell_created(out, set, i);
			break;
		case CHANGE_VALUE:
			tell_value(out, change->path, change->after);
			break;
		case CHANGE_PERMS:
			tell_node(out, change->path, REC_PERMS, 0,
				  change->after);
			break;
		case CHANGE_REMOVE:
			record_node_remove(out, &(struct rec_node_remove){
				change->path, changeset_generation(set) });
			break;
		}
	}
}

void tell_value(struct records *out, const char *path,
		const struct node *node)
{
	tell_node(out, path, REC_VALUE, 0, node);
}

/* ---- domains ------------------------------------------------------------- */

struct rec_domain tell_of_domain(const struct domain *domain)
{
	const struct session *session = domain_session(domain);
	struct rec_domain rec = {
		.domid = domain_domid(domain),
		.target = domain_target(domain),
		.introduced = domain_introduced(domain),
		.shutdown = domain_shutdown_seen(domain),
		.features = domain_features(domain),
		.unique_id = domain_unique_id(domain),
		.born = domain_born(domain),
		.limits = *ledger_limits(domain_ledger(domain)),
	};

	if (session) {
		const struct transport *ring = conn_transport(session->conn);

		rec.remote = ring_remote_port(ring);
		rec.local = ring_local_port(ring);
	}
	return rec;
}

void tell_domain(struct records *out, const struct domain *domain)
{
	const struct rec_domain rec = tell_of_domain(domain);

	record_domain(out, &rec);
}

/* ---- sessions ------------------------------------------------------------ */

void tell_session(struct records *out, const struct session *session,
		  uint64_t sent_of_first)
{
	const struct transport *transport = conn_transport(session->conn);

	record_conn(out, &(struct rec_conn){
		.conn = session->sequence,
		.fd = transport->ops->fd(transport),
		.domid = session->who.domid,
		.ignored = conn_ignored(session->conn),
		.in = conn_in(session->conn),
		.out = conn_out(session->conn) - sent_of_first,
		.last_txn = session->last_txn,
	});
}

void tell_watch(struct records *out, const struct session *session,
		const struct watch *watch,
		void (*record)(struct records *, const struct rec_watch *))
{
	record(out, &(struct rec_watch){
		.conn = session->sequence,
		.path = watch_path(watch),
		.token = watch_token(watch),
		.relative = watch_relative(watch),
		.depth = watch_depth(watch),
	});
}

struct telling {
	struct records *out;
	struct session *session;
};

/* With the first message goes how far the session's requests are executed. */
static void tell_queued(void *arg, struct blob message)
{
	const struct telling *t = arg;
	struct session *session = t->session;
	const uint64_t in = conn_in(session->conn);

	record_output(t->out, &(struct rec_output){
		session->sequence, in != session->told_in ? in : 0, message,
		{ NULL, 0 } });
	session->told_in = in;
}

void tell_progress(struct records *out, struct session *session)
{
	struct telling t = { out, session };
	const uint64_t in = conn_in(session->conn);

	conn_each_new(session->conn, tell_queued, &t);
	if (in != session->told_in)
		record_executed(out, &(struct rec_count){ session->sequence,
							  in });
	session->told_in = in;
}

/* ---- the account --------------------------------------------------------- */

static void tell_output(void *arg, struct blob message, size_t sent)
{
	const struct telling *t = arg;

	(void)sent;
	record_output(t->out, &(struct rec_output){
		t->session->sequence, 0, message, { NULL, 0 } });
}

static void told_already(void *arg, struct blob message)
{
	(void)arg;
	(void)message;
}

static void add_sent(void *arg, struct blob message, size_t sent)
{
	(void)message;
	*(uint64_t *)arg += sent;
}

static void tell_txn(void *arg, uint32_t id, struct txn *txn)
{
	const struct telling *t = arg;

	(void)txn;
	record_txn(t->out, &(struct rec_txn){ t->session->sequence, id });
}

static void tell_whole_session(struct telling *t, struct session *session)
{
	const void *pending;
	const struct watch *watch = NULL;
	struct blob in;
	uint64_t sent = 0;

	t->session = session;
	conn_each_queued(session->conn, add_sent, &sent);
	tell_session(t->out, session, sent);
	session->told_in = conn_in(session->conn);
	while ((watch = watch_next(&session->watcher, (struct watch *)watch)))
		tell_watch(t->out, session, watch, record_watch);
	session_txns_each(session, tell_txn, t);
	in.len = conn_partial(session->conn, &pending);
	in.data = pending;
	if (in.len)
		record_input(t->out, &(struct rec_input){
			session->sequence, session->told_in, in });
	conn_each_queued(session->conn, tell_output, t);
	conn_each_new(session->conn, told_already, NULL);
	if (sent)
		record_sent(t->out, &(struct rec_count){
			session->sequence, conn_out(session->conn) });
}

static int tell_tree(struct records *out, struct node *root, unsigned int what,
		     bool inner_only)
{
	struct tree_walk *walk;
	struct node *node;
	const char *path;
	int err;

	err = tree_walk_new(NULL, root, "", &walk);
	if (err)
		return err;
	while (!(err = tree_walk_next(walk, &node, &path)))
		if (*path && (!inner_only || node_kids(node)))
			tell_node(out, path, what, 0, node);
	talloc_free(walk);
	return err == ENOENT ? 0 : err;
}

void tell_account(struct records *out, const struct tell_what *what, bool all)
{
	struct telling t = { .out = out };
	struct node *root = store_root(what->store);
	const struct domain *domain = NULL;
	struct session *session;
	int err = 0;
	size_t i;

	record_generation(out, &(struct rec_generation){
		store_generation(what->store) });
	record_limits(out, &(struct rec_limits){
		*domains_limits(what->domains) });
	fault_at(account);
	/* A child gives its parent its generation: theirs come last. */
	if (all)
		err = tell_tree(out, root, REC_CREATE | REC_VALUE | REC_PERMS,
				false);
	if (all && !err)
		err = tell_tree(out, root, REC_VALUE, true);
	if (err)
		out->err = err;
	for (i = 0; i < what->n_descriptors; i++)
		record_descriptor(out, &what->descriptors[i]);
	while ((domain = domains_next(what->domains, domain)))
		tell_domain(out, domain);
	list_for_each(session, &what->sessions->all, in_all)
		tell_whole_session(&t, session);
}
