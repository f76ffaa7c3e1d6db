/* SPDX-License-Identifier: MIT */
#include "persist/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scoped.h"
#include "io/ring.h"
#include "persist/revive.h"
#include "persist/tell.h"
#include "store/path.h"
#include "store/tree.h"

/* Private records; their bodies only grow at the end. */
enum {
	OURS_GLOBAL = STREAM_PRIVATE + 1,
	OURS_DOMAIN = STREAM_PRIVATE + 2,
	OURS_CONN = STREAM_PRIVATE + 3,
	OURS_TXN = STREAM_PRIVATE + 4,
	OURS_INPUT = STREAM_PRIVATE + 5,
};

struct ours_global {
	uint64_t generation;
	uint64_t sequence;		/* of sessions */
};

/* Comes before the connections. */
struct ours_domain {
	uint16_t domid;
	uint16_t target;
	uint8_t introduced, shutdown, spare[2];
	uint32_t remote;
	uint32_t features;
	uint64_t unique_id;
	uint64_t born;
};

struct ours_conn {
	uint32_t conn;
	uint32_t last_txn;
	uint8_t ignored, spare[7];
};

/* Input beyond what fits into the connection's record. */
struct ours_input {
	uint32_t conn;
	uint32_t len;
	/* bytes */
};

struct ours_txn {
	uint32_t conn;
	uint32_t txn;
	uint64_t len;
	/* what txn_save() said */
};

/* ---- writing ------------------------------------------------------------- */

struct writing {
	const struct handover *from;
	struct stream_writer *out;
	TALLOC_CTX *scratch;
	uint32_t id;			/* of the connection that is told */
	uint32_t asker;			/* ... of who asked */
	char *data;			/* its output */
	size_t len;
	uint16_t begun;
	int err;
};

static void put_plain(struct writing *w, uint32_t type, const void *body,
		      size_t len)
{
	stream_write_private(w->out, type, (struct blob){ body, len });
}

static void put_global(struct writing *w)
{
	const struct handover *from = w->from;
	const struct ours_global ours = {
		.generation = store_generation(from->store),
		.sequence = from->sessions->sequence,
	};

	stream_write_global(w->out, &(struct stream_global){
		from->listener, from->port, -1 });
	if (from->private)
		put_plain(w, OURS_GLOBAL, &ours, sizeof(ours));
}

/* Those that every daemon has for domains; ours has no others. */
static size_t list_quotas(TALLOC_CTX *ctx, const struct limits *limits,
			  struct stream_quota *list)
{
	size_t n = 0;
	int i;

	for (i = 0; i < QUOTA_COUNT; i++) {
		list[n++] = (struct stream_quota){ quota_name(i),
						   limits->hard[i] };
		if (!quota_has_soft(i))
			continue;
		list[n].name = talloc_asprintf(ctx, "soft-%s", quota_name(i));
		list[n].value = limits->soft[i];
		n += !!list[n].name;
	}
	return n;
}

static void put_quotas(struct writing *w)
{
	const struct limits *limits =
		&domains_options(w->from->domains)->limits;
	struct stream_quota list[2 * QUOTA_COUNT];
	size_t n = list_quotas(w->scratch, limits, list);

	stream_write_quotas(w->out, &(struct stream_quotas){ list, n, 0 });
}

static void put_domain(struct writing *w, const struct domain *domain)
{
	struct stream_quota list[2 * QUOTA_COUNT];
	size_t n = list_quotas(w->scratch, ledger_limits(domain_ledger(domain)),
			       list);

	stream_write_domain(w->out, &(struct stream_domain){
		domain_domid(domain), domain_features(domain), list, n });
}

static void put_our_domain(struct writing *w, const struct domain *domain)
{
	const struct rec_domain rec = tell_of_domain(domain);
	const struct ours_domain ours = {
		.domid = rec.domid,
		.target = rec.target,
		.introduced = rec.introduced,
		.shutdown = rec.shutdown,
		.remote = rec.remote,
		.features = rec.features,
		.unique_id = rec.unique_id,
		.born = rec.born,
	};

	put_plain(w, OURS_DOMAIN, &ours, sizeof(ours));
}

static void add_bytes(struct writing *w, const void *data, size_t len)
{
	char *grown = talloc_realloc(w->scratch, w->data, char, w->len + len);

	if (!grown) {
		w->err = -ENOMEM;
		return;
	}
	w->data = grown;
	memcpy(w->data + w->len, data, len);
	w->len += len;
}

static void add_message(void *arg, struct blob message, size_t sent)
{
	struct writing *w = arg;
	struct xsd_sockmsg hdr;

	add_bytes(w, (const char *)message.data + sent, message.len - sent);
	/* What a predecessor had left of a message is not one either. */
	if (message.len >= sizeof(hdr))
		memcpy(&hdr, message.data, sizeof(hdr));
	if (sent || message.len < sizeof(hdr) ||
	    message.len != sizeof(hdr) + hdr.len)
		w->begun = message.len - sent;
}

static void put_watches(struct writing *w, const struct session *session)
{
	struct watch *watch = NULL;

	while ((watch = watch_next(&session->watcher, watch)))
		stream_write_watch(w->out, &(struct stream_watch){
			w->id, watch_shown_path(watch), watch_token(watch),
			watch_depth(watch) });
}

static void put_txn(void *arg, uint32_t id, struct txn *txn)
{
	struct writing *w = arg;
	struct ours_txn ours = { .conn = w->id, .txn = id };
	struct blob saved = { NULL, 0 };
	char *body;
	int err;

	err = txn_save(w->scratch, txn, &saved);
	body = talloc_size(w->scratch, sizeof(ours) + saved.len);
	if (err || !body) {
		w->err = err ? err : -ENOMEM;
		return;
	}
	ours.len = saved.len;
	memcpy(body, &ours, sizeof(ours));
	if (saved.len)
		memcpy(body + sizeof(ours), saved.data, saved.len);
	put_plain(w, OURS_TXN, body, sizeof(ours) + saved.len);
}

static void put_more_input(struct writing *w, struct blob more)
{
	const struct ours_input ours = { w->id, more.len };
	char *body = talloc_size(w->scratch, sizeof(ours) + more.len);

	if (!body) {
		w->err = -ENOMEM;
		return;
	}
	memcpy(body, &ours, sizeof(ours));
	memcpy(body + sizeof(ours), more.data, more.len);
	put_plain(w, OURS_INPUT, body, sizeof(ours) + more.len);
}

static void put_our_conn(struct writing *w, const struct session *session)
{
	const struct ours_conn ours = {
		.conn = w->id,
		.last_txn = session->last_txn,
		.ignored = conn_ignored(session->conn),
	};

	put_plain(w, OURS_CONN, &ours, sizeof(ours));
	session_txns_each(session, put_txn, w);
}

static void put_session(struct writing *w, const struct session *session)
{
	const struct transport *transport = conn_transport(session->conn);
	struct stream_conn conn = {
		.id = w->id,
		.ring = session->ring,
		.domid = session->who.domid,
		.target = session->who.target,
		.fd = transport->ops->fd(transport),
	};
	const void *pending;
	struct blob more = { NULL, 0 };

	if (session->ring)
		conn.port = ring_local_port(transport);
	conn.in.len = conn_partial(session->conn, &pending);
	conn.in.data = pending;
	if (conn.in.len > UINT16_MAX) {
		more.data = (const char *)pending + UINT16_MAX;
		more.len = conn.in.len - UINT16_MAX;
		conn.in.len = UINT16_MAX;
	}
	w->len = 0;
	w->begun = 0;
	conn_each_queued(session->conn, add_message, w);
	if (session == w->from->asker) {
		w->asker = w->id;
		add_bytes(w, w->from->reply.data, w->from->reply.len);
	}
	conn.out = (struct blob){ w->data, w->len };
	conn.out_begun = w->begun;
	stream_write_conn(w->out, &conn);
	put_watches(w, session);
	if (w->from->private)
		put_our_conn(w, session);
	if (more.len && w->from->private)
		put_more_input(w, more);
	else if (more.len)
		w->err = -E2BIG;
	w->data = NULL;
	talloc_free_children(w->scratch);
}

static void put_sessions(struct writing *w)
{
	const struct session *session;

	list_for_each(session, &w->from->sessions->all, in_all)
	{
		if (session->lost)
			continue;
		w->id++;
		put_session(w, session);
	}
}

/* @releaseDomain and its like are children of the root of all, too. */
static void put_nodes(struct writing *w)
{
	struct tree_walk *walk;
	struct node *node;
	const char *path;
	int err;

	err = tree_walk_new(w->scratch, store_root(w->from->store), "", &walk);
	while (!err && !(err = tree_walk_next(walk, &node, &path))) {
		struct stream_node rec = {
			.path = path,
			.value = node_value(node),
		};
		size_t n;

		if (!*path)
			continue;
		rec.perms = perms_list(node_perms(node), &n);
		rec.n_perms = n;
		stream_write_node(w->out, &rec);
	}
	if (err != ENOENT)
		w->err = err;
}

static int write_all(struct writing *w)
{
	const struct domain *domain = NULL;
	int err;

	put_global(w);
	put_quotas(w);
	if (w->from->private)
		while ((domain = domains_next(w->from->domains, domain)))
			put_our_domain(w, domain);
	put_sessions(w);
	put_nodes(w);
	domain = NULL;
	while ((domain = domains_next(w->from->domains, domain)))
		put_domain(w, domain);
	err = stream_end(w->out);
	return w->err ? w->err : err;
}

int handover_write(const char *file, const struct handover *from,
		   uint32_t *asker)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct writing w = { .from = from, .scratch = talloc_new(ctx) };
	int fd, err;

	if (!w.scratch)
		return -ENOMEM;
	unlink(file);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return -errno;
	err = stream_writer_new(ctx, fd, from->version, &w.out);
	if (!err)
		err = write_all(&w);
	if (close(fd) && !err)
		err = -errno;
	if (err)
		unlink(file);
	*asker = w.asker;
	return err;
}

/* ---- reading ------------------------------------------------------------- */

/* Ring positions begin high, so that going back a little is no wrap. */
#define BASE ((uint64_t)1 << 32)

struct reading {
	struct image *image;
	uint64_t generation;
};

#define TELL(r, name, ...)                                                     \
	image_handlers.name((r)->image, &(__VA_ARGS__))

static int on_begin(void *arg, unsigned int version, bool big_endian)
{
	struct reading *r = arg;

	(void)version;
	(void)big_endian;
	return TELL(r, begin, (struct rec_begin){ .all = true });
}

static int on_global(void *arg, const struct stream_global *global)
{
	struct reading *r = arg;

	r->image->listener = global->socket_fd;
	r->image->port = global->evtchn_fd;
	r->image->virq_port = global->virq_port;
	return 0;
}

static void set_quota(struct limits *limits, const struct stream_quota *quota)
{
	bool soft = !strncmp(quota->name, "soft-", 5);
	enum quota_item item;

	if (quota_find(quota->name + (soft ? 5 : 0), &item))
		return;
	if (soft)
		limits->soft[item] = quota->value;
	else
		limits->hard[item] = quota->value;
}

static int on_quotas(void *arg, const struct stream_quotas *quotas)
{
	struct reading *r = arg;
	struct rec_limits rec;
	size_t i;

	limits_init(&rec.limits);
	for (i = 0; i < quotas->n_domain; i++)
		set_quota(&rec.limits, &quotas->list[i]);
	return TELL(r, limits, rec);
}

/* What is known of a domain so far, or the beginning of it. */
static struct rec_domain domain_so_far(const struct reading *r, uint16_t domid)
{
	const struct image_domain *domain = image_domain(r->image, domid);
	struct rec_domain rec = {
		.domid = domid,
		.target = DOMID_INVALID,
		.features = REC_FEATURES_DEFAULT,
	};

	if (domain)
		return domain->rec;
	if (r->image->has_limits)
		rec.limits = r->image->limits;
	else
		limits_init(&rec.limits);
	return rec;
}

static int on_domain(void *arg, const struct stream_domain *domain)
{
	struct reading *r = arg;
	struct rec_domain rec = domain_so_far(r, domain->domid);
	size_t i;

	if (domain->features)
		rec.features = domain->features;
	for (i = 0; i < domain->n_quotas; i++)
		set_quota(&rec.limits, &domain->quotas[i]);
	return TELL(r, domain, rec);
}

/* The rest of a message that had begun to leave, then whole ones. */
static int tell_output(struct reading *r, const struct stream_conn *conn)
{
	const char *p = conn->out.data;
	size_t left = conn->out.len, n = conn->out_begun;
	struct xsd_sockmsg hdr;
	int err = 0;

	while (!err && left) {
		if (!n) {
			if (left < sizeof(hdr))
				return -EPROTO;
			memcpy(&hdr, p, sizeof(hdr));
			n = sizeof(hdr) + hdr.len;
		}
		if (n > left || n > sizeof(hdr) + XENSTORE_PAYLOAD_MAX)
			return -EPROTO;
		err = TELL(r, output, (struct rec_output){
			conn->id, 0, { p, n }, { NULL, 0 } });
		p += n;
		left -= n;
		n = 0;
	}
	return err;
}

static int tell_ring(struct reading *r, const struct stream_conn *conn)
{
	struct rec_domain rec = domain_so_far(r, conn->domid);

	rec.introduced = true;
	rec.local = conn->port;
	rec.target = conn->target;
	rec.gfn = conn->gfn;
	if (conn->remote_port >= 0)
		rec.remote = conn->remote_port;
	if (conn->has_unique_id)
		rec.unique_id = conn->unique_id;
	return TELL(r, domain, rec);
}

static int on_conn(void *arg, const struct stream_conn *conn)
{
	struct reading *r = arg;
	int err = 0;

	if (conn->ring)
		err = tell_ring(r, conn);
	if (!err)
		err = TELL(r, conn, (struct rec_conn){
			.conn = conn->id, .fd = conn->ring ? -1 : conn->fd,
			.domid = conn->domid, .in = BASE, .out = BASE });
	if (!err && conn->in.len)
		err = TELL(r, input, (struct rec_input){ conn->id, BASE,
							 conn->in });
	return err ? err : tell_output(r, conn);
}

static int on_watch(void *arg, const struct stream_watch *watch)
{
	struct reading *r = arg;
	const struct image_conn *conn = image_conn(r->image, watch->conn);
	struct path path;

	if (!conn)
		return -EPROTO;
	/* oxenstored took paths that are none; nothing could ever fire them */
	if (path_parse(watch->path, strlen(watch->path),
		       conn->rec.fd < 0 ? conn->rec.domid : 0, 0, true, &path))
		return 0;
	return TELL(r, watch, (struct rec_watch){
		watch->conn, path.text, watch->token, path.relative,
		watch->depth });
}

static int on_node(void *arg, const struct stream_node *node)
{
	struct reading *r = arg;
	struct path path;

	/* Transactions of other daemons are none of ours. */
	if (node->conn)
		return 0;
	if (path_parse(node->path, strlen(node->path), 0, 0, true, &path) ||
	    path.relative)
		return -EPROTO;
	return TELL(r, node, (struct rec_node){
		REC_CREATE | REC_VALUE | REC_PERMS, path.text, 0,
		++r->generation, node->value, node->perms, node->n_perms });
}

static int on_our_global(struct reading *r, const void *body)
{
	struct ours_global ours;

	memcpy(&ours, body, sizeof(ours));
	/* Those of the nodes are told anew, from below what comes next. */
	r->image->generation = ours.generation;
	return 0;
}

static int on_our_domain(struct reading *r, const void *body)
{
	struct ours_domain ours;
	struct rec_domain rec;

	memcpy(&ours, body, sizeof(ours));
	rec = domain_so_far(r, ours.domid);
	rec.introduced = ours.introduced;
	rec.target = ours.target;
	rec.shutdown = ours.shutdown;
	rec.remote = ours.remote;
	rec.features = ours.features;
	rec.unique_id = ours.unique_id;
	/* Before all nodes, whose generations are new. */
	rec.born = 0;
	return TELL(r, domain, rec);
}

static int on_our_conn(struct reading *r, const void *body)
{
	struct ours_conn ours;
	struct image_conn *conn;

	memcpy(&ours, body, sizeof(ours));
	conn = image_conn(r->image, ours.conn);
	if (!conn)
		return -EPROTO;
	conn->rec.last_txn = ours.last_txn;
	conn->rec.ignored = ours.ignored;
	return 0;
}

static int on_our_txn(struct reading *r, const void *body, size_t len)
{
	struct ours_txn ours;
	struct image_conn *conn;
	struct blob saved;

	memcpy(&ours, body, sizeof(ours));
	conn = image_conn(r->image, ours.conn);
	if (!conn || ours.len > len - sizeof(ours))
		return -EPROTO;
	saved = (struct blob){ (const char *)body + sizeof(ours), ours.len };
	return image_add_txn(conn, ours.txn, saved);
}

static int on_our_input(struct reading *r, const void *body, size_t len)
{
	struct ours_input ours;
	const struct image_conn *conn;

	memcpy(&ours, body, sizeof(ours));
	conn = image_conn(r->image, ours.conn);
	if (!conn || ours.len > len - sizeof(ours))
		return -EPROTO;
	return TELL(r, input, (struct rec_input){
		ours.conn, conn->rec.in + conn->in_len,
		{ (const char *)body + sizeof(ours), ours.len } });
}

static int on_other(void *arg, uint32_t type, struct blob body)
{
	struct reading *r = arg;

	if (type == OURS_GLOBAL && body.len >= sizeof(struct ours_global))
		return on_our_global(r, body.data);
	if (type == OURS_DOMAIN && body.len >= sizeof(struct ours_domain))
		return on_our_domain(r, body.data);
	if (type == OURS_CONN && body.len >= sizeof(struct ours_conn))
		return on_our_conn(r, body.data);
	if (type == OURS_INPUT && body.len >= sizeof(struct ours_input))
		return on_our_input(r, body.data, body.len);
	if (type == OURS_TXN && body.len >= sizeof(struct ours_txn))
		return on_our_txn(r, body.data, body.len);
	return 0;
}

int handover_read(struct blob state, struct image *image,
		  struct stream_fault *fault)
{
	static const struct stream_handlers handlers = {
		.begin = on_begin,
		.global = on_global,
		.conn = on_conn,
		.watch = on_watch,
		.node = on_node,
		.quotas = on_quotas,
		.domain = on_domain,
		.other = on_other,
	};
	struct reading r = { .image = image };
	int err = stream_read(state.data, state.len, &handlers, &r, fault);

	if (image->generation < r.generation)
		image->generation = r.generation;
	return err;
}

void handover_amend(struct image *image, uint32_t asker, const char *text)
{
	const struct image_conn *conn = image_conn(image, asker);
	const struct image_message *message;
	struct rec_count last = { asker, 0 };
	struct xsd_sockmsg hdr;

	if (!conn || list_empty(&conn->out))
		return;
	list_for_each(message, &conn->out, in_conn)
		last.n++;
	last.n--;
	message = list_entry(conn->out.prev, struct image_message, in_conn);
	memcpy(&hdr, message->data, sizeof(hdr));
	hdr.len = strlen(text) + 1;
	if (image_handlers.dropped(image, &last))
		return;
	image_handlers.output(image, &(struct rec_output){
		asker, 0, { &hdr, sizeof(hdr) }, { text, hdr.len } });
}

int handover_check(struct blob state, struct stream_fault *fault)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct revival nodes = { 0 };
	struct ledgers *ledgers;
	struct image *image;
	int err;

	err = ledgers_new(ctx, &ledgers);
	if (!err)
		err = store_new(ctx, ledgers, 0, &nodes.store);
	if (!err)
		err = image_new(ctx, &revival_nodes, &nodes, &image);
	if (!err)
		err = handover_read(state, image, fault);
	if (!err && !nodes.root) {
		*fault = (struct stream_fault){ 0, "there are no nodes" };
		err = -EPROTO;
	}
	node_unref(nodes.root);
	return err;
}
