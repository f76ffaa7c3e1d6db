/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "persist/stream.h"

#define MAGIC "xenstore"
#define MAGIC_LEN 8
#define HEAD_LEN 16
#define FLAG_BIG_ENDIAN 1u
#define FILE_MAX (1u << 30)
#define DEPTH_NONE 0xffff	/* on the wire: unlimited */
#define FIELD_UNIQUE_ID 1	/* in CONNECTION_DATA's fields */
#define ALIGN8(n) (((n) + 7) & ~(size_t)7)
#define COUNT_MAX 0xffff

enum {
	TYPE_END = 0,
	TYPE_GLOBAL = 1,
	TYPE_CONN = 2,
	TYPE_WATCH = 3,
	TYPE_TXN = 4,
	TYPE_NODE = 5,
	TYPE_QUOTAS = 6,
	TYPE_DOMAIN = 7,
	TYPE_WATCH_DEPTH = 8,
};

/* ---- bytes in ------------------------------------------------------------ */

/* A body being read; a read beyond its end gives zeros and sets `bad`. */
struct in {
	const unsigned char *p;
	size_t left;
	bool big;
	bool bad;
};

static const unsigned char *get_bytes(struct in *in, size_t n)
{
	const unsigned char *p = in->p;

	if (n > in->left) {
		in->bad = true;
		in->left = 0;
		return NULL;
	}
	in->p += n;
	in->left -= n;
	return p;
}

static uint64_t get_int(struct in *in, size_t n)
{
	const unsigned char *p = get_bytes(in, n);
	uint64_t v = 0;
	size_t i;

	for (i = 0; p && i < n; i++)
		v = v << 8 | p[in->big ? i : n - 1 - i];
	return v;
}

static uint16_t get16(struct in *in)
{
	return get_int(in, 2);
}

static uint32_t get32(struct in *in)
{
	return get_int(in, 4);
}

static struct blob get_blob(struct in *in, size_t n)
{
	struct blob blob = { get_bytes(in, n), n };

	if (!blob.data)
		blob.len = 0;
	return blob;
}

/* Bytes [p, p + n) are one string with its NUL. */
static bool is_string(const unsigned char *p, size_t n)
{
	return n && memchr(p, 0, n) == p + n - 1;
}

/* A string of n bytes with its NUL. */
static const char *get_string(struct in *in, size_t n)
{
	const unsigned char *p = get_bytes(in, n);

	if (!p || !is_string(p, n)) {
		in->bad = true;
		return "";
	}
	return (const char *)p;
}

/* ---- records in ---------------------------------------------------------- */

struct reader {
	const struct stream_handlers *handlers;
	void *arg;
	TALLOC_CTX *scratch;		/* emptied after each record */
	unsigned int version;
	bool big;
};

/* A handler's answer, or 0 if there is none. */
#define CALL(r, name, record)                                                  \
	((r)->handlers->name ? (r)->handlers->name((r)->arg, record) : 0)

static int read_global(struct reader *r, struct in *in)
{
	struct stream_global global = { .virq_port = -1 };

	global.socket_fd = get32(in);
	global.evtchn_fd = get32(in);
	return in->bad ? -EPROTO : CALL(r, global, &global);
}

/*
 *	 0 id   4 type  6 fields   8 domid 10 target 12 port, or 8 fd
 *	16 in   18 out begun  20 out  24 data...
 */
static int read_conn(struct reader *r, struct in *in)
{
	struct stream_conn conn = { .id = get32(in), .remote_port = -1,
				    .fd = -1, .target = DOMID_INVALID };
	const unsigned char *start = in->p - 4;
	uint16_t type = get16(in), fields = get16(in);
	uint32_t in_len, out_len;
	size_t used;

	conn.ring = type == 0;
	if (conn.ring) {
		conn.domid = get16(in);
		conn.target = get16(in);
		conn.port = get32(in);
	} else {
		conn.fd = get32(in);
		get32(in);
	}
	in_len = get16(in);
	conn.out_begun = get16(in);
	out_len = get32(in);
	conn.in = get_blob(in, in_len);
	conn.out = get_blob(in, out_len);
	if (in->bad || type > 1 || conn.out_begun > out_len || !conn.id)
		return -EPROTO;
	/* Version 1 has padding where the fields are. */
	if (r->version > 1 && fields & FIELD_UNIQUE_ID) {
		used = in->p - start;
		get_bytes(in, ALIGN8(used) - used);
		conn.has_unique_id = true;
		conn.unique_id = get_int(in, 8);
	}
	return in->bad ? -EPROTO : CALL(r, conn, &conn);
}

static int read_watch(struct reader *r, struct in *in)
{
	struct stream_watch watch = { .conn = get32(in),
				      .depth = STREAM_DEPTH_UNLIMITED };
	uint16_t path_len = get16(in), token_len = get16(in);

	watch.path = get_string(in, path_len);
	watch.token = get_string(in, token_len);
	return in->bad ? -EPROTO : CALL(r, watch, &watch);
}

static bool begins_path(unsigned char c)
{
	return c == '/' || c == '@' || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

/* Do path and token stand at p? */
static bool strings_at(const struct in *in, size_t offset, size_t path_len,
		       size_t token_len)
{
	return path_len && offset + path_len + token_len <= in->left &&
	       begins_path(in->p[offset]) &&
	       is_string(in->p + offset, path_len) &&
	       is_string(in->p + offset + path_len, token_len);
}

/*
 *	0 conn  4 path len  6 token len  8 depth  10 pad  12 path, token
 *
 * C xenstored up to 4.21 puts the path at 8, where depth should be, and has no
 * depth.
 */
static int read_watch_depth(struct reader *r, struct in *in)
{
	struct stream_watch watch = { .conn = get32(in),
				      .depth = STREAM_DEPTH_UNLIMITED };
	uint16_t path_len = get16(in), token_len = get16(in), depth;

	if (strings_at(in, 4, path_len, token_len)) {
		depth = get16(in);
		get16(in);
		if (depth != DEPTH_NONE)
			watch.depth = depth;
	} else if (!strings_at(in, 0, path_len, token_len)) {
		return -EPROTO;
	}
	watch.path = get_string(in, path_len);
	watch.token = get_string(in, token_len);
	return in->bad ? -EPROTO : CALL(r, watch, &watch);
}

static int read_txn(struct reader *r, struct in *in)
{
	struct stream_txn txn;

	txn.conn = get32(in);
	txn.id = get32(in);
	return in->bad ? -EPROTO : CALL(r, txn, &txn);
}

static bool rights_of_letter(unsigned char letter, uint8_t *rights)
{
	const char *letters = "nrwb", *found = strchr(letters, letter);

	if (!letter || !found)
		return false;
	*rights = found - letters;
	return true;
}

static int read_perms(struct reader *r, struct in *in, size_t n,
		      const struct perm **out)
{
	struct perm *list;
	size_t i;

	if (n * 4 > in->left)
		return -EPROTO;
	list = talloc_array(r->scratch, struct perm, n);
	if (!list)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (!rights_of_letter(get_int(in, 1), &list[i].rights))
			return -EPROTO;
		list[i].stale = get_int(in, 1) & 1;
		list[i].domid = get16(in);
	}
	*out = list;
	return 0;
}

/*
 *	0 conn  4 txn  8 path len  10 value len  12 access  14 perms
 *	16 perms: letter, flags, domid; path, value
 */
static int read_node(struct reader *r, struct in *in)
{
	struct stream_node node = { .conn = get32(in) };
	uint16_t path_len, value_len;
	int err;

	node.txn = get32(in);
	path_len = get16(in);
	value_len = get16(in);
	node.access = get16(in);
	node.n_perms = get16(in);
	if (in->bad || !node.n_perms)
		return -EPROTO;
	err = read_perms(r, in, node.n_perms, &node.perms);
	if (err)
		return err;
	node.path = get_string(in, path_len);
	node.value = get_blob(in, value_len);
	return in->bad ? -EPROTO : CALL(r, node, &node);
}

/* n values, then n names. */
static int read_quota_list(struct reader *r, struct in *in, size_t n,
			   const struct stream_quota **out)
{
	struct stream_quota *list;
	const unsigned char *end;
	size_t i;

	/* A name is at least its NUL. */
	if (n * 5 > in->left)
		return -EPROTO;
	list = talloc_array(r->scratch, struct stream_quota, n);
	if (!list)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		list[i].value = get32(in);
	for (i = 0; i < n; i++) {
		end = in->left ? memchr(in->p, 0, in->left) : NULL;
		if (!end)
			return -EPROTO;
		list[i].name = get_string(in, end - in->p + 1);
	}
	*out = list;
	return 0;
}

static int read_quotas(struct reader *r, struct in *in)
{
	struct stream_quotas quotas = { .n_domain = get16(in) };
	int err;

	quotas.n_global = get16(in);
	err = read_quota_list(r, in, quotas.n_domain + quotas.n_global,
			      &quotas.list);
	if (err)
		return err;
	return in->bad ? -EPROTO : CALL(r, quotas, &quotas);
}

static int read_domain(struct reader *r, struct in *in)
{
	struct stream_domain domain = { .domid = get16(in) };
	uint32_t features;
	int err;

	domain.n_quotas = get16(in);
	features = get32(in);
	domain.features = r->version > 1 ? features : 0;
	err = read_quota_list(r, in, domain.n_quotas, &domain.quotas);
	if (err)
		return err;
	return in->bad ? -EPROTO : CALL(r, domain, &domain);
}

static int read_record(struct reader *r, uint32_t type, struct in in)
{
	switch (type) {
	case TYPE_GLOBAL:
		return read_global(r, &in);
	case TYPE_CONN:
		return read_conn(r, &in);
	case TYPE_WATCH:
		return read_watch(r, &in);
	case TYPE_TXN:
		return read_txn(r, &in);
	case TYPE_NODE:
		return read_node(r, &in);
	case TYPE_QUOTAS:
		return read_quotas(r, &in);
	case TYPE_DOMAIN:
		return read_domain(r, &in);
	case TYPE_WATCH_DEPTH:
		return read_watch_depth(r, &in);
	}
	if (!r->handlers->other)
		return 0;
	return r->handlers->other(r->arg, type,
				  (struct blob){ in.p, in.left });
}

static int refuse(struct stream_fault *fault, size_t offset, const char *why)
{
	if (fault)
		*fault = (struct stream_fault){ offset, why };
	return -EPROTO;
}

static int read_head(struct reader *r, struct in *in,
		     struct stream_fault *fault)
{
	const unsigned char *magic = get_bytes(in, MAGIC_LEN);
	uint32_t flags;

	in->big = true;
	r->version = get32(in);
	flags = get32(in);
	if (in->bad || memcmp(magic, MAGIC, MAGIC_LEN))
		return refuse(fault, 0, "this is no state of a xenstored");
	if (!r->version || r->version > STREAM_VERSION_MAX)
		return refuse(fault, MAGIC_LEN, "unknown version");
	in->big = r->big = flags & FLAG_BIG_ENDIAN;
	if (!r->handlers->begin)
		return 0;
	return r->handlers->begin(r->arg, r->version, r->big);
}

int stream_read(const void *data, size_t len,
		const struct stream_handlers *handlers, void *arg,
		struct stream_fault *fault)
{
	scoped_talloc TALLOC_CTX *scratch = talloc_new(NULL);
	struct reader r = { handlers, arg, scratch, 0, false };
	struct in in = { data, len, false, false };
	size_t offset, pad;
	uint32_t type;
	int err;

	if (stream_is_dump(data, len))
		return stream_read_dump(data, len, handlers, arg, fault);
	if (!scratch)
		return -ENOMEM;
	err = read_head(&r, &in, fault);
	while (!err) {
		struct in body = { .big = r.big };

		offset = in.p - (const unsigned char *)data;
		type = get32(&in);
		body.left = get32(&in);
		body.p = get_bytes(&in, body.left);
		if (in.bad)
			return refuse(fault, offset, "the stream is cut off");
		if (type == TYPE_END)
			return 0;
		err = read_record(&r, type, body);
		if (err == -EPROTO)
			return refuse(fault, offset, "malformed record");
		pad = ALIGN8(body.left) - body.left;
		get_bytes(&in, pad < in.left ? pad : in.left);
		talloc_free_children(scratch);
	}
	return err;
}

int stream_load(TALLOC_CTX *ctx, const char *file, struct blob *out)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), err = 0;
	char *data = NULL;
	struct stat st;
	size_t got = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size > FILE_MAX)
		err = -EFBIG;
	else if (!(data = talloc_size(ctx, st.st_size + 1)))
		err = -ENOMEM;
	while (!err && got < (size_t)st.st_size) {
		n = read(fd, data + got, st.st_size - got);
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		got += n;
	}
	close(fd);
	if (err)
		talloc_free(data);
	else
		*out = (struct blob){ data, got };
	return err;
}

/* ---- writing ------------------------------------------------------------- */

#define BUFFER 65536

struct stream_writer {
	int fd;
	unsigned int version;
	int err;			/* the first one */
	size_t len;
	unsigned char buf[BUFFER];
};

static void fail(struct stream_writer *w, int err)
{
	if (!w->err)
		w->err = err;
}

static void flush(struct stream_writer *w)
{
	size_t done = 0;
	ssize_t n;

	while (!w->err && done < w->len) {
		n = write(w->fd, w->buf + done, w->len - done);
		if (n < 0 && errno != EINTR)
			fail(w, -errno);
		if (n > 0)
			done += n;
	}
	w->len = 0;
}

static void put(struct stream_writer *w, const void *data, size_t len)
{
	size_t n;

	while (len) {
		if (w->len == BUFFER)
			flush(w);
		n = BUFFER - w->len < len ? BUFFER - w->len : len;
		memcpy(w->buf + w->len, data, n);
		w->len += n;
		data = (const char *)data + n;
		len -= n;
	}
}

static void put16(struct stream_writer *w, uint16_t v)
{
	put(w, &v, sizeof(v));
}

static void put32(struct stream_writer *w, uint32_t v)
{
	put(w, &v, sizeof(v));
}

static void put_zeros(struct stream_writer *w, size_t n)
{
	static const char zeros[8];

	put(w, zeros, n);
}

/* Head of a record whose body has `len` bytes; C xenstored counts the padding
 * that put_tail() adds, too. */
static void put_head(struct stream_writer *w, uint32_t type, size_t len)
{
	if (len > UINT32_MAX - 8)
		fail(w, -E2BIG);
	put32(w, type);
	put32(w, ALIGN8(len));
}

static void put_tail(struct stream_writer *w, size_t len)
{
	put_zeros(w, ALIGN8(len) - len);
}

/* A length or count for a field of 16 bits. */
static uint16_t small(struct stream_writer *w, size_t n)
{
	if (n > COUNT_MAX)
		fail(w, -E2BIG);
	return n;
}

int stream_writer_new(TALLOC_CTX *ctx, int fd, unsigned int version,
		      struct stream_writer **out)
{
	struct stream_writer *w = talloc(ctx, struct stream_writer);
	uint32_t big = __BYTE_ORDER == __BIG_ENDIAN ? FLAG_BIG_ENDIAN : 0;

	if (!w)
		return -ENOMEM;
	w->fd = fd;
	w->version = version;
	w->err = 0;
	w->len = 0;
	put(w, MAGIC, MAGIC_LEN);
	put32(w, htobe32(version));
	put32(w, htobe32(big));
	*out = w;
	return 0;
}

void stream_write_global(struct stream_writer *w,
			 const struct stream_global *global)
{
	put_head(w, TYPE_GLOBAL, 8);
	put32(w, global->socket_fd);
	put32(w, global->evtchn_fd);
}

void stream_write_conn(struct stream_writer *w, const struct stream_conn *conn)
{
	bool unique = w->version > 1 && conn->ring && conn->has_unique_id;
	size_t len = 24 + conn->in.len + conn->out.len;
	size_t padded = ALIGN8(len);

	put_head(w, TYPE_CONN, unique ? padded + 8 : len);
	put32(w, conn->id);
	put16(w, conn->ring ? 0 : 1);
	put16(w, unique ? FIELD_UNIQUE_ID : 0);
	if (conn->ring) {
		put16(w, conn->domid);
		put16(w, conn->target);
		put32(w, conn->port);
	} else {
		put32(w, conn->fd);
		put32(w, 0);
	}
	put16(w, small(w, conn->in.len));
	put16(w, conn->out_begun);
	put32(w, conn->out.len);
	put(w, conn->in.data, conn->in.len);
	put(w, conn->out.data, conn->out.len);
	put_tail(w, len);
	if (unique)
		put(w, &conn->unique_id, 8);
}

void stream_write_watch(struct stream_writer *w,
			const struct stream_watch *watch)
{
	bool depth = w->version > 1 && watch->depth != STREAM_DEPTH_UNLIMITED;
	size_t path_len = strlen(watch->path) + 1;
	size_t token_len = strlen(watch->token) + 1;
	size_t len = (depth ? 12 : 8) + path_len + token_len;

	put_head(w, depth ? TYPE_WATCH_DEPTH : TYPE_WATCH, len);
	put32(w, watch->conn);
	put16(w, small(w, path_len));
	put16(w, small(w, token_len));
	if (depth) {
		put16(w, watch->depth);
		put16(w, 0);
	}
	put(w, watch->path, path_len);
	put(w, watch->token, token_len);
	put_tail(w, len);
}

void stream_write_txn(struct stream_writer *w, const struct stream_txn *txn)
{
	put_head(w, TYPE_TXN, 8);
	put32(w, txn->conn);
	put32(w, txn->id);
}

void stream_write_node(struct stream_writer *w, const struct stream_node *node)
{
	size_t path_len = strlen(node->path) + 1;
	size_t len = 16 + 4 * node->n_perms + path_len + node->value.len;
	unsigned char entry[2];
	size_t i;

	put_head(w, TYPE_NODE, len);
	put32(w, node->conn);
	put32(w, node->txn);
	put16(w, small(w, path_len));
	put16(w, small(w, node->value.len));
	put16(w, node->access);
	put16(w, node->n_perms);
	for (i = 0; i < node->n_perms; i++) {
		entry[0] = "nrwb"[node->perms[i].rights & PERM_BOTH];
		entry[1] = node->perms[i].stale;
		put(w, entry, 2);
		put16(w, node->perms[i].domid);
	}
	put(w, node->path, path_len);
	put(w, node->value.data, node->value.len);
	put_tail(w, len);
}

static size_t quota_bytes(const struct stream_quota *list, size_t n)
{
	size_t i, len = 4 * n;

	for (i = 0; i < n; i++)
		len += strlen(list[i].name) + 1;
	return len;
}

static void put_quotas(struct stream_writer *w,
		       const struct stream_quota *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		put32(w, list[i].value);
	for (i = 0; i < n; i++)
		put(w, list[i].name, strlen(list[i].name) + 1);
}

void stream_write_quotas(struct stream_writer *w,
			 const struct stream_quotas *quotas)
{
	size_t n = quotas->n_domain + quotas->n_global;
	size_t len = 4 + quota_bytes(quotas->list, n);

	if (w->version < 2)
		return;
	put_head(w, TYPE_QUOTAS, len);
	put16(w, quotas->n_domain);
	put16(w, quotas->n_global);
	put_quotas(w, quotas->list, n);
	put_tail(w, len);
}

void stream_write_domain(struct stream_writer *w,
			 const struct stream_domain *domain)
{
	size_t len = 8 + quota_bytes(domain->quotas, domain->n_quotas);

	if (w->version < 2)
		return;
	put_head(w, TYPE_DOMAIN, len);
	put16(w, domain->domid);
	put16(w, domain->n_quotas);
	put32(w, domain->features);
	put_quotas(w, domain->quotas, domain->n_quotas);
	put_tail(w, len);
}

void stream_write_private(struct stream_writer *w, uint32_t type,
			  struct blob body)
{
	put_head(w, type, body.len);
	put(w, body.data, body.len);
	put_tail(w, body.len);
}

int stream_end(struct stream_writer *w)
{
	put_head(w, TYPE_END, 0);
	flush(w);
	return w->err;
}
