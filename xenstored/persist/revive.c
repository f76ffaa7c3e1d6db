/* SPDX-License-Identifier: MIT */
#include "persist/revive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "io/ring.h"
#include "io/sock.h"
#include "store/builder.h"
#include "store/path.h"
#include "store/tree.h"

/* ---- nodes --------------------------------------------------------------- */

static int revive_begin(void *arg, const struct rec_begin *rec)
{
	struct revival *revival = arg;

	if (!rec->all)
		return 0;
	node_unref(revival->root);
	revival->root = NULL;
	return 0;
}

static int revive_change(struct revival *revival, const struct rec_node *rec,
			 struct perms *perms);

static int revive_create(struct revival *revival, const struct rec_node *rec,
			 struct perms *perms)
{
	struct nodes *nodes = store_nodes(revival->store);
	int err;

	/* C xenstored tells special nodes before "/". */
	if (!revival->root) {
		err = tree_new(nodes, perms, rec->generation, &revival->root);
		if (err)
			return err;
		revival->no_top = true;
	}
	if (path_is_root(rec->path) && revival->no_top) {
		revival->no_top = false;
		return revive_change(revival, rec, perms);
	}
	if (revival->no_top && !path_is_special(rec->path))
		return -EPROTO;
	err = tree_create(nodes, &revival->root, rec->path, perms, rec->value,
			  rec->generation, NULL);
	return err == EEXIST ? -EPROTO : err;
}

static int revive_change(struct revival *revival, const struct rec_node *rec,
			 struct perms *perms)
{
	struct nodes *nodes = store_nodes(revival->store);
	int err = 0;

	if (!revival->root || !tree_find(revival->root, rec->path))
		return -EPROTO;
	if (rec->what & REC_VALUE)
		err = tree_set_value(nodes, &revival->root, rec->path,
				     rec->value, rec->generation);
	if (!err && perms)
		err = tree_set_perms(nodes, &revival->root, rec->path, perms,
				     rec->generation);
	return err;
}

static int revive_node(void *arg, const struct rec_node *rec)
{
	struct revival *revival = arg;
	struct perms *perms = NULL;
	int err = 0;

	if (rec->what & REC_LEVELS)
		return record_node_levels(rec, revive_node, revival);
	if (rec->what & REC_PERMS && !rec->n_perms)
		return -EPROTO;
	if (rec->what & REC_PERMS)
		err = perms_intern(store_perms_table(revival->store),
				   rec->perms, rec->n_perms, &perms);
	if (err)
		return err;
	if (!(rec->what & REC_CREATE))
		err = revive_change(revival, rec, perms);
	else if (perms)
		err = revive_create(revival, rec, perms);
	else
		err = -EPROTO;
	perms_unref(perms);
	return err;
}

static int revive_node_remove(void *arg, const struct rec_node_remove *rec)
{
	struct revival *revival = arg;
	struct node *removed;
	int err;

	if (!revival->root || path_is_root(rec->path) ||
	    !tree_find(revival->root, rec->path))
		return -EPROTO;
	err = tree_remove(store_nodes(revival->store), &revival->root,
			  rec->path, rec->generation, &removed);
	if (!err)
		node_unref(removed);
	return err;
}

static int revive_purge(void *arg, const struct rec_domid *rec)
{
	struct revival *revival = arg;

	perms_purge(store_perms_table(revival->store), rec->domid);
	return 0;
}

const struct record_handlers revival_nodes = {
	.begin = revive_begin,
	.node = revive_node,
	.node_remove = revive_node_remove,
	.purge = revive_purge,
};

struct loading {
	struct perms_table *table;
	struct builder *builder;
	struct perms *perms;	/* of the row before */
};

static int load_node(void *arg, const struct checkpoint_node *row)
{
	const struct rec_node *rec = &row->node;
	struct loading *l = arg;
	struct perms *perms;
	int err;

	if (!row->same_perms) {
		err = perms_intern(l->table, rec->perms, rec->n_perms, &perms);
		if (err)
			return err;
		perms_unref(l->perms);
		l->perms = perms;
	}
	return builder_add(l->builder, rec->path, rec->value, l->perms,
			   rec->generation, row->created);
}

int revive_checkpoint(struct revival *revival, struct checkpoint *checkpoint)
{
	struct loading l = { .table = store_perms_table(revival->store) };
	int err, end_err;

	node_unref(revival->root);
	revival->root = NULL;
	err = builder_new(NULL, store_nodes(revival->store), &l.builder);
	if (err)
		return err;
	err = checkpoint_load(checkpoint, load_node, &l);
	if (err != -ENOMEM) {
		end_err = builder_end(l.builder, &revival->root);
		err = end_err ? end_err : err;
	}
	perms_unref(l.perms);
	talloc_free(l.builder);
	return err;
}

int revive_store(struct revival *revival, uint64_t generation)
{
	struct node *root = revival->root;
	int err;

	revival->root = NULL;
	if (!root)
		return 0;
	err = store_install(revival->store, root, generation);
	if (err)
		node_unref(root);
	return err;
}

/* ---- what sessions have -------------------------------------------------- */

static int revive_output(struct session *session, const struct image_conn *was,
			 size_t skip)
{
	const struct image_message *message;
	size_t sent = was->out_sent + skip;
	int err = 0;

	list_for_each(message, &was->out, in_conn)
	{
		if (sent >= message->len) {
			sent -= message->len;
			continue;
		}
		err = conn_restore_output(session->conn,
					  (struct blob){ message->data,
							 message->len }, sent);
		if (err)
			break;
		sent = 0;
	}
	return err;
}

static void revive_interests(struct session *session,
			     const struct image_conn *was)
{
	const struct image_watch *watch;
	const struct image_txn *txn;
	struct watch *made;
	int err;

	list_for_each(watch, &was->watches, in_conn)
	{
		err = session_watch(session, watch->path, watch->relative,
				    watch->token, watch->depth, &made);
		if (err)
			log_error("cannot restore the watch on %s: %s",
				  watch->path, strerror(err < 0 ? -err : err));
	}
	list_for_each(txn, &was->txns, in_conn)
	{
		err = session_txn_restore(session, txn->id, txn->saved);
		if (err)
			log_error("cannot restore a transaction: %s",
				  strerror(err < 0 ? -err : err));
	}
	session_set_last_txn(session, was->rec.last_txn);
}

/* `more` bytes of the output have left already. */
static int revive_session(struct session *session, const struct image_conn *was,
			  uint32_t more)
{
	int err;

	revive_interests(session, was);
	err = conn_restore(session->conn, was->rec.in, was->rec.out + more,
			   (struct blob){ was->in, was->in_len });
	if (!err)
		err = revive_output(session, was, more);
	if (!err)
		session_set_ready(session);
	return err;
}

/* ---- clients ------------------------------------------------------------- */

static bool is_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

/* One thread, so one connection at most is in doubt. */
static bool in_doubt(const struct journal_found *found, uint64_t conn)
{
	return found->call != JOURNAL_NO_CALL && found->call_conn == conn;
}

static int revive_client(const struct revive_options *options,
			 const struct image_conn *was)
{
	struct transport *transport;
	struct session *session;
	int err;

	if (!options->inherited || !is_socket(was->rec.fd))
		return 0;
	if (options->found->stale || in_doubt(options->found, was->rec.conn)) {
		log_warn("connection %llu is closed: what it got last is not "
			 "known", (unsigned long long)was->rec.conn);
		return 0;	/* as it has no owner */
	}
	err = sock_new(NULL, options->loop, was->rec.fd, &transport);
	if (err)
		return err;
	options->sessions->sequence = was->rec.conn - 1;
	err = session_new(options->clients, options->sessions, transport,
			  &options->who, NULL, &session);
	return err ? err : revive_session(session, was, 0);
}

/* ---- domains ------------------------------------------------------------- */

static struct domain_past past_of(const struct revive_options *options,
				  const struct rec_domain *rec)
{
	uint32_t features = rec->features;

	if (features == REC_FEATURES_DEFAULT)
		features = domains_options(options->domains)->features;
	return (struct domain_past){
		.domid = rec->domid,
		.target = rec->target,
		.introduced = rec->introduced,
		.shutdown_seen = rec->shutdown,
		.features = features,
		.unique_id = rec->unique_id,
		.born = rec->born,
		.limits = &rec->limits,
		.remote = rec->remote,
		.local = rec->local,
		.bound = options->bound && rec->local,
	};
}

/* A domain that has no connection, but is known. */
static int revive_known(const struct revive_options *options,
			const struct rec_domain *rec)
{
	struct domain_past past = past_of(options, rec);
	struct session *session;
	uint32_t more;

	return domains_restore(options->domains, &past, &session, &more);
}

/* The port that the toolstack gave to INTRODUCE, as it told in the store. */
static uint32_t remote_in_store(const struct sessions *sessions, uint16_t domid)
{
	char path[64], text[16] = "";
	const struct node *node;
	struct blob value;

	snprintf(path, sizeof(path), "/local/domain/%u/store/port", domid);
	node = tree_find(store_root(sessions->store), path);
	if (!node)
		return 0;
	value = node_value(node);
	if (value.len < sizeof(text))
		memcpy(text, value.data, value.len);
	return strtoul(text, NULL, 10);
}

/* The predecessor had told the guest of all that it had read. */
static int revive_handed_over(struct session *session, struct image_conn *was)
{
	const struct xenstore_domain_interface *page =
		ring_page(conn_transport(session->conn));

	was->rec.in += __atomic_load_n(&page->req_cons, __ATOMIC_RELAXED) -
		       was->in_len;
	was->rec.out += __atomic_load_n(&page->rsp_prod, __ATOMIC_RELAXED);
	return revive_session(session, was, 0);
}

/* Of a ring whose positions nobody knows the page tells the best. */
static int revive_stale(struct session *session, const struct image_conn *was)
{
	const struct xenstore_domain_interface *page =
		ring_page(conn_transport(session->conn));

	log_warn("domain %u goes on with what its page tells",
		 session->who.domid);
	revive_interests(session, was);
	return conn_restore(session->conn,
			    __atomic_load_n(&page->req_cons, __ATOMIC_RELAXED),
			    __atomic_load_n(&page->rsp_prod, __ATOMIC_RELAXED),
			    (struct blob){ NULL, 0 });
}

static int revive_ring(const struct revive_options *options,
		       const struct image *image, struct image_conn *was)
{
	const struct image_domain *domain = image_domain(image,
							 was->rec.domid);
	struct domain_past past;
	struct session *session;
	uint32_t more;
	int err;

	if (!domain)
		return 0;
	past = past_of(options, &domain->rec);
	past.sequence = was->rec.conn;
	past.as_in_page = options->found->stale || options->handover;
	if (!past.remote)
		past.remote = remote_in_store(options->sessions, past.domid);
	past.cursor = was->rec.in + was->in_len;
	past.sent = was->rec.out;
	past.queued = was->out_bytes;
	err = domains_restore(options->domains, &past, &session, &more);
	if (err || !session)
		return err;
	if (was->rec.ignored)
		conn_ignore(session->conn, XENSTORE_ERROR_RINGIDX);
	else if (options->handover)
		err = revive_handed_over(session, was);
	else if (options->found->stale)
		err = revive_stale(session, was);
	else
		err = revive_session(session, was, more);
	/* A kick that asked for a fresh ring may have been taken, and no more,
	 * by who is dead. */
	if (!err)
		ring_scan(conn_transport(session->conn));
	return err;
}

int revive_sessions(const struct revive_options *options,
		    const struct image *image)
{
	struct image_domain *domain;
	struct image_conn *conn;
	int err = 0;

	list_for_each(conn, &image->conns, in_image)
	{
		domain = conn->rec.fd < 0 ?
				 image_domain(image, conn->rec.domid) : NULL;
		if (domain)
			domain->has_ring = true;
	}
	list_for_each(domain, &image->domains, in_image)
		if (!err && !domain->has_ring)
			err = revive_known(options, &domain->rec);
	list_for_each(conn, &image->conns, in_image)
	{
		if (err)
			break;
		err = conn->rec.fd < 0 ? revive_ring(options, image, conn) :
					 revive_client(options, conn);
	}
	list_for_each(domain, &image->domains, in_image)
		if (!err && domain->rec.target != DOMID_INVALID)
			domains_restore_target(options->domains,
					       domain->rec.domid,
					       domain->rec.target);
	return err;
}
