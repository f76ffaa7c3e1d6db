/* SPDX-License-Identifier: MIT */
#include "persist/image.h"

#include <errno.h>
#include <string.h>

#include "base/scoped.h"

/* ---- finding ------------------------------------------------------------- */

struct image_conn *image_conn(const struct image *image, uint64_t number)
{
	struct hash_item *item = hash_first(image->numbers, number);

	return item ? hash_entry(item, struct image_conn, by_number) : NULL;
}

struct image_domain *image_domain(const struct image *image, uint16_t domid)
{
	struct hash_item *item = hash_first(image->domids, domid);

	return item ? hash_entry(item, struct image_domain, by_domid) : NULL;
}

static uint64_t watch_key(const struct image *image,
			  const struct rec_watch *rec)
{
	uint64_t key = hash_bytes(image->keys, rec->conn, rec->path,
				  strlen(rec->path) + 1);

	return hash_bytes(image->keys, key, rec->token, strlen(rec->token));
}

static struct image_watch *find_watch(const struct image *image,
				      const struct rec_watch *rec)
{
	struct hash_item *item = hash_first(image->keys,
					    watch_key(image, rec));
	struct image_watch *watch;

	for (; item; item = hash_next(item)) {
		watch = hash_entry(item, struct image_watch, by_key);
		if (watch->conn->rec.conn == rec->conn &&
		    !strcmp(watch->path, rec->path) &&
		    !strcmp(watch->token, rec->token))
			return watch;
	}
	return NULL;
}

/* ---- nodes, handed on ---------------------------------------------------- */

#define HAND_ON(image, name, rec)                                              \
	((image)->nodes->name ? (image)->nodes->name((image)->nodes_arg, rec)  \
			      : 0)

static int image_node(void *arg, const struct rec_node *rec)
{
	struct image *image = arg;
	int err = HAND_ON(image, node, rec);

	if (!err && image->generation < rec->generation)
		image->generation = rec->generation;
	return err;
}

static int image_node_remove(void *arg, const struct rec_node_remove *rec)
{
	struct image *image = arg;
	int err = HAND_ON(image, node_remove, rec);

	if (!err && image->generation < rec->generation)
		image->generation = rec->generation;
	return err;
}

static int image_purge(void *arg, const struct rec_domid *rec)
{
	struct image *image = arg;

	return HAND_ON(image, purge, rec);
}

/* ---- the rest ------------------------------------------------------------ */

static void forget_conns(struct image *image)
{
	struct image_conn *conn, *next;

	list_for_each_safe(conn, next, &image->conns, in_image)
		talloc_free(conn);
}

static void forget_domain(struct image *image, struct image_domain *domain)
{
	hash_del(image->domids, &domain->by_domid);
	list_del(&domain->in_image);
	talloc_free(domain);
}

static void forget_domains(struct image *image)
{
	struct image_domain *domain, *next;

	list_for_each_safe(domain, next, &image->domains, in_image)
		forget_domain(image, domain);
}

static int image_begin(void *arg, const struct rec_begin *rec)
{
	struct image *image = arg;
	int err = HAND_ON(image, begin, rec);

	if (err)
		return err;
	forget_conns(image);
	forget_domains(image);
	image->listener = image->port = -1;
	image->has_limits = false;
	return 0;
}

static int image_generation(void *arg, const struct rec_generation *rec)
{
	struct image *image = arg;

	image->generation = rec->generation;
	return HAND_ON(image, generation, rec);
}

static int image_limits(void *arg, const struct rec_limits *rec)
{
	struct image *image = arg;

	image->limits = rec->limits;
	image->has_limits = true;
	return 0;
}

static int image_put_domain(void *arg, const struct rec_domain *rec)
{
	struct image *image = arg;
	struct image_domain *domain = image_domain(image, rec->domid);

	if (!domain) {
		domain = talloc_zero(image, struct image_domain);
		if (!domain)
			return -ENOMEM;
		list_add_tail(&image->domains, &domain->in_image);
		hash_add(image->domids, &domain->by_domid, rec->domid);
	}
	domain->rec = *rec;
	return 0;
}

static int image_domain_gone(void *arg, const struct rec_domid *rec)
{
	struct image *image = arg;
	struct image_domain *domain = image_domain(image, rec->domid);

	if (!domain)
		return -EPROTO;
	forget_domain(image, domain);
	return 0;
}

static int image_descriptor(void *arg, const struct rec_descriptor *rec)
{
	struct image *image = arg;

	if (rec->kind == REC_LISTENER)
		image->listener = rec->fd;
	else if (rec->kind == REC_PORT)
		image->port = rec->fd;
	return 0;
}

static void forget_watches(struct image_conn *conn)
{
	struct image_watch *watch, *next;

	list_for_each_safe(watch, next, &conn->watches, in_conn)
	{
		list_del(&watch->in_conn);
		hash_del(conn->image->keys, &watch->by_key);
		talloc_free(watch);
	}
}

static void forget_txns(struct image_conn *conn)
{
	struct image_txn *txn, *next;

	list_for_each_safe(txn, next, &conn->txns, in_conn)
	{
		list_del(&txn->in_conn);
		talloc_free(txn);
	}
}

static void forget_output(struct image_conn *conn)
{
	struct image_message *message, *next;

	list_for_each_safe(message, next, &conn->out, in_conn)
	{
		list_del(&message->in_conn);
		talloc_free(message);
	}
	conn->out_sent = conn->out_bytes = 0;
}

static int conn_unlink(struct image_conn *conn)
{
	forget_watches(conn);
	hash_del(conn->image->numbers, &conn->by_number);
	list_del(&conn->in_image);
	return 0;
}

static int image_put_conn(void *arg, const struct rec_conn *rec)
{
	struct image *image = arg;
	struct image_conn *conn;

	if (!rec->conn || image_conn(image, rec->conn))
		return -EPROTO;
	conn = talloc_zero(image, struct image_conn);
	if (!conn)
		return -ENOMEM;
	conn->image = image;
	conn->rec = *rec;
	list_init(&conn->out);
	list_init(&conn->watches);
	list_init(&conn->txns);
	hash_add(image->numbers, &conn->by_number, rec->conn);
	list_add_tail(&image->conns, &conn->in_image);
	talloc_set_destructor(conn, conn_unlink);
	return 0;
}

static int image_conn_gone(void *arg, const struct rec_of_conn *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);

	if (!conn)
		return -EPROTO;
	talloc_free(conn);
	return 0;
}

static int image_put_watch(void *arg, const struct rec_watch *rec)
{
	struct image *image = arg;
	struct image_conn *conn = image_conn(image, rec->conn);
	size_t path_len = strlen(rec->path) + 1;
	size_t token_len = strlen(rec->token) + 1;
	struct image_watch *watch;
	char *text;

	if (!conn)
		return -EPROTO;
	watch = talloc_size(conn, sizeof(*watch) + path_len + token_len);
	if (!watch)
		return -ENOMEM;
	text = (char *)(watch + 1);
	watch->conn = conn;
	watch->path = memcpy(text, rec->path, path_len);
	watch->token = memcpy(text + path_len, rec->token, token_len);
	watch->relative = rec->relative;
	watch->depth = rec->depth;
	hash_add(image->keys, &watch->by_key, watch_key(image, rec));
	list_add_tail(&conn->watches, &watch->in_conn);
	return 0;
}

static int image_unwatch(void *arg, const struct rec_watch *rec)
{
	struct image *image = arg;
	struct image_watch *watch = find_watch(image, rec);

	if (!watch)
		return -EPROTO;
	list_del(&watch->in_conn);
	hash_del(image->keys, &watch->by_key);
	talloc_free(watch);
	return 0;
}

static int image_unwatch_all(void *arg, const struct rec_of_conn *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);

	if (!conn)
		return -EPROTO;
	forget_watches(conn);
	return 0;
}

int image_add_txn(struct image_conn *conn, uint32_t id, struct blob saved)
{
	struct image_txn *txn = talloc_zero(conn, struct image_txn);

	if (!txn)
		return -ENOMEM;
	txn->id = id;
	if (saved.len) {
		txn->saved.data = talloc_memdup(txn, saved.data, saved.len);
		txn->saved.len = saved.len;
		if (!txn->saved.data) {
			talloc_free(txn);
			return -ENOMEM;
		}
	}
	list_add_tail(&conn->txns, &txn->in_conn);
	return 0;
}

static int image_put_txn(void *arg, const struct rec_txn *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);

	if (!conn)
		return -EPROTO;
	conn->rec.last_txn = rec->txn;
	return image_add_txn(conn, rec->txn, (struct blob){ NULL, 0 });
}

static int image_txn_end(void *arg, const struct rec_txn *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);
	struct image_txn *txn;

	if (!conn)
		return -EPROTO;
	list_for_each(txn, &conn->txns, in_conn)
		if (txn->id == rec->txn) {
			list_del(&txn->in_conn);
			talloc_free(txn);
			return 0;
		}
	return -EPROTO;
}

static int image_input(void *arg, const struct rec_input *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);
	unsigned char *in;

	if (!conn || rec->pos != conn->rec.in + conn->in_len)
		return -EPROTO;
	in = talloc_realloc(conn, conn->in, unsigned char,
			    conn->in_len + rec->data.len);
	if (!in)
		return -ENOMEM;
	memcpy(in + conn->in_len, rec->data.data, rec->data.len);
	conn->in = in;
	conn->in_len += rec->data.len;
	return 0;
}

static int execute(struct image_conn *conn, uint64_t in)
{
	uint64_t n = in - conn->rec.in;

	if (n > conn->in_len)
		return -EPROTO;
	conn->rec.in = in;
	conn->in_len -= n;
	if (conn->in_len)
		memmove(conn->in, conn->in + n, conn->in_len);
	else
		TALLOC_FREE(conn->in);
	return 0;
}

static int image_executed(void *arg, const struct rec_count *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);

	return conn ? execute(conn, rec->n) : -EPROTO;
}

static int image_output(void *arg, const struct rec_output *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);
	size_t len = rec->head.len + rec->payload.len;
	struct image_message *message;
	int err;

	if (!conn || !len)
		return -EPROTO;
	message = talloc_size(conn, sizeof(*message) + len);
	if (!message)
		return -ENOMEM;
	err = rec->in ? execute(conn, rec->in) : 0;
	if (err) {
		talloc_free(message);
		return err;
	}
	message->len = len;
	if (rec->head.len)
		memcpy(message->data, rec->head.data, rec->head.len);
	if (rec->payload.len)
		memcpy(message->data + rec->head.len, rec->payload.data,
		       rec->payload.len);
	list_add_tail(&conn->out, &message->in_conn);
	conn->out_bytes += len;
	return 0;
}

static int image_sent(void *arg, const struct rec_count *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);
	struct image_message *message;
	uint64_t n;

	if (!conn)
		return -EPROTO;
	n = rec->n - conn->rec.out;
	if (n > conn->out_bytes)
		return -EPROTO;
	conn->rec.out = rec->n;
	conn->out_bytes -= n;
	n += conn->out_sent;
	while ((message = list_first(&conn->out, struct image_message,
				     in_conn)) && n >= message->len) {
		n -= message->len;
		list_del(&message->in_conn);
		talloc_free(message);
	}
	conn->out_sent = n;
	return 0;
}

/* Only a message of which nothing has been sent is dropped. */
static int image_dropped(void *arg, const struct rec_count *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);
	struct image_message *message;
	uint64_t n = rec->n;

	if (!conn || (!n && conn->out_sent))
		return -EPROTO;
	list_for_each(message, &conn->out, in_conn)
		if (!n--) {
			list_del(&message->in_conn);
			conn->out_bytes -= message->len;
			talloc_free(message);
			return 0;
		}
	return -EPROTO;
}

static int image_reset(void *arg, const struct rec_of_conn *rec)
{
	struct image_conn *conn = image_conn(arg, rec->conn);

	if (!conn)
		return -EPROTO;
	TALLOC_FREE(conn->in);
	conn->in_len = 0;
	conn->rec.in = conn->rec.out = 0;
	conn->rec.ignored = false;
	forget_output(conn);
	forget_txns(conn);
	return 0;
}

static int image_ignore(void *arg, const struct rec_count *rec)
{
	struct rec_of_conn reset = { rec->conn };
	struct image_conn *conn = image_conn(arg, rec->conn);
	uint64_t in, out;

	if (!conn)
		return -EPROTO;
	in = conn->rec.in;
	out = conn->rec.out;
	image_reset(arg, &reset);
	conn->rec.in = in;
	conn->rec.out = out;
	conn->rec.ignored = true;
	return 0;
}

const struct record_handlers image_handlers = {
	.begin = image_begin,
	.generation = image_generation,
	.limits = image_limits,
	.node = image_node,
	.node_remove = image_node_remove,
	.purge = image_purge,
	.domain = image_put_domain,
	.domain_gone = image_domain_gone,
	.conn = image_put_conn,
	.conn_gone = image_conn_gone,
	.ring_gone = image_conn_gone,
	.watch = image_put_watch,
	.unwatch = image_unwatch,
	.unwatch_all = image_unwatch_all,
	.txn = image_put_txn,
	.txn_end = image_txn_end,
	.input = image_input,
	.executed = image_executed,
	.output = image_output,
	.sent = image_sent,
	.dropped = image_dropped,
	.reset = image_reset,
	.ignore = image_ignore,
	.descriptor = image_descriptor,
};

static int image_free(struct image *image)
{
	forget_conns(image);	/* while the tables are there */
	return 0;
}

int image_new(TALLOC_CTX *ctx, const struct record_handlers *nodes,
	      void *nodes_arg, struct image **out)
{
	scoped_talloc struct image *image = talloc_zero(ctx, struct image);
	int err;

	if (!image)
		return -ENOMEM;
	list_init(&image->conns);
	list_init(&image->domains);
	image->listener = image->port = image->virq_port = -1;
	image->nodes = nodes;
	image->nodes_arg = nodes_arg;
	err = hash_table_new(image, &image->numbers);
	if (!err)
		err = hash_table_new(image, &image->domids);
	if (!err)
		err = hash_table_new(image, &image->keys);
	if (err)
		return err;
	talloc_set_destructor(image, image_free);
	*out = TAKE(image);
	return 0;
}
