/* SPDX-License-Identifier: MIT */
#include "persist/record.h"

#include <errno.h>
#include <string.h>

#include "store/path.h"

#define ALIGN8(n) (((n) + 7) & ~(size_t)7)
#define BODY_MAX (1u << 24)
#define REFER_MIN 64		/* bytes of a value that is referred to */

struct head {
	uint32_t len;
	uint16_t type;
	uint16_t spare;
	uint32_t seq;
	uint32_t sum;
};

static uint64_t load(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* One to one in either argument; the rotation brings what the multiplication
 * only moves up down again. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum ^= word;
	return (sum << 29 | sum >> 35) * 0x9e3779b97f4a7c15;
}

/* As wide as a register of each x86-64: compilers keep wider ones in memory. */
typedef uint64_t pair __attribute__((vector_size(16)));

#define LONG 128

/* Sums of words, and sums of the sums, so that their order matters. */
static uint64_t sum_long(uint64_t sum, const unsigned char *data, size_t len,
			 size_t *pos)
{
	pair words = { 1, 2 }, sums = { 0 }, more_words = { 3, 4 };
	pair more_sums = { 0 }, some, more;
	size_t i = *pos, k;

	for (; len - i >= 2 * sizeof(pair); i += 2 * sizeof(pair)) {
		memcpy(&some, data + i, sizeof(some));
		memcpy(&more, data + i + sizeof(some), sizeof(more));
		words += some;
		more_words += more;
		sums += words;
		more_sums += more_words;
	}
	for (k = 0; k < 2; k++)
		sum = mix(mix(sum, words[k]), sums[k]);
	for (k = 0; k < 2; k++)
		sum = mix(mix(sum, more_words[k]), more_sums[k]);
	*pos = i;
	return sum;
}

/*
 * Catches what goes wrong by accident: a page that was not written, a file cut
 * off, a bug. Every request pays for it.
 */
static uint32_t checksum(const unsigned char *data, size_t len)
{
	uint64_t sum, other = 0;
	struct head head;
	size_t i;

	memcpy(&head, data, sizeof(head));
	sum = mix(len, (uint64_t)head.seq << 32 | head.type);
	i = sizeof(head);
	if (len - i >= LONG)
		sum = sum_long(sum, data, len, &i);
	/* Two at a time: neither waits for the other. */
	for (; len - i >= 16; i += 16) {
		sum = mix(sum, load(data + i));
		other = mix(other, load(data + i + 8));
	}
	if (i < len)
		sum = mix(sum, load(data + i));
	sum = mix(sum, other);
	return sum ^ sum >> 32;
}

/* ---- writing ------------------------------------------------------------- */

static int make_room(struct records *to, size_t whole)
{
	return to->room - to->len < whole ? to->more(to, whole) : 0;
}

/* The body of a record of `len` bytes, to be filled; NULL: no room. */
static unsigned char *open_record(struct records *to, size_t len)
{
	size_t whole = sizeof(struct head) + ALIGN8(len);
	unsigned char *p;

	if (to->err)
		return NULL;
	to->err = len > BODY_MAX ? -E2BIG : make_room(to, whole);
	if (to->err)
		return NULL;
	p = to->data + to->len + sizeof(struct head);
	/* What the checksum covers is defined; what lies there stays. */
	for (; len & 7; len++)
		p[len] = 0;
	return p;
}

static void close_record(struct records *to, enum record_type type, size_t len)
{
	unsigned char *p = to->data + to->len;
	struct head head = {
		.len = sizeof(head) + ALIGN8(len),
		.type = type,
		.seq = ++to->seq,
	};

	memcpy(p, &head, sizeof(head));
	head.sum = checksum(p, head.len);
	memcpy(p, &head, sizeof(head));
	to->len += head.len;
}

/* V3 */
static void close_change(struct records *to, enum record_type type, size_t len)
{
	const size_t pos = to->len;

	close_record(to, type, len);
	to->last = record_place(pos);
}

static unsigned char *add(unsigned char *p, const void *data, size_t len)
{
	if (len)
		memcpy(p, data, len);
	return p + len;
}

/* A record that is one structure without pointers. */
static void put_plain(struct records *to, enum record_type type,
		      const void *body, size_t len)
{
	unsigned char *p = open_record(to, len);

	if (!p)
		return;
	add(p, body, len);
	close_record(to, type, len);
}

void record_raw(struct records *to, unsigned int type, struct blob body)
{
	put_plain(to, type, body.data, body.len);
}

#define PUT_PLAIN(symbol, name, type)                                          \
	void record_##name(struct records *to, const struct type *rec)         \
	{                                                                      \
		put_plain(to, RECORD_##symbol, rec, sizeof(*rec));             \
	}

PUT_PLAIN(BEGIN, begin, rec_begin)
PUT_PLAIN(GENERATION, generation, rec_generation)
PUT_PLAIN(LIMITS, limits, rec_limits)
PUT_PLAIN(DOMAIN, domain, rec_domain)
PUT_PLAIN(DOMAIN_GONE, domain_gone, rec_domid)
PUT_PLAIN(CONN, conn, rec_conn)
PUT_PLAIN(CONN_GONE, conn_gone, rec_of_conn)
PUT_PLAIN(RING_GONE, ring_gone, rec_of_conn)
PUT_PLAIN(UNWATCH_ALL, unwatch_all, rec_of_conn)
PUT_PLAIN(TXN, txn, rec_txn)
PUT_PLAIN(TXN_END, txn_end, rec_txn)
PUT_PLAIN(EXECUTED, executed, rec_count)
PUT_PLAIN(SENT, sent, rec_count)
PUT_PLAIN(DROPPED, dropped, rec_count)
PUT_PLAIN(RESET, reset, rec_of_conn)
PUT_PLAIN(IGNORE, ignore, rec_count)
PUT_PLAIN(DESCRIPTOR, descriptor, rec_descriptor)

/* The bodies of the others begin with one of these, which have no gaps: what
 * is in the file is defined to the last byte. */

struct node_body {
	uint64_t generation;
	uint32_t before;	/* V3; here in all three */
	uint32_t value_len;
	uint16_t path_len;	/* with its NUL */
	uint16_t n_perms;
	uint16_t what;
	uint16_t top;		/* see struct rec_node */
	uint32_t value_at;	/* counted from the first record; 0: here */
	uint32_t zero;
	/* permissions, path, value */
};

struct remove_body {
	uint64_t generation;
	uint32_t before;
	uint32_t zero;
	/* path */
};

struct purge_body {
	uint64_t zero;
	uint32_t before;
	uint16_t domid;
	uint16_t zero2;
};

struct watch_body {
	uint64_t conn;
	int32_t depth;
	uint16_t relative;
	uint16_t path_len;	/* with its NUL */
	/* path, token */
};

struct input_body {
	uint64_t conn;
	uint64_t pos;
	uint32_t len;
	uint32_t zero;
	/* data */
};

struct output_body {
	uint64_t conn;
	uint64_t in;
	uint32_t len;
	uint32_t zero;
	/* data */
};

void record_bring(struct records *to, struct blob payload)
{
	const unsigned char *p = payload.data;

	if (!p || p < to->data || p >= to->data + to->len)
		payload = (struct blob){ NULL, 0 };
	to->brought = payload;
}

/* Where a value is that the request brought; 0: it is worth no reference, or
 * another one. */
static uint32_t brought_at(const struct records *to, const void *value,
			   size_t len)
{
	const unsigned char *p = to->brought.data;

	if (len < REFER_MIN || len > to->brought.len)
		return 0;
	p += to->brought.len - len;
	return memcmp(p, value, len) ? 0 : p - to->data;
}

void record_node(struct records *to, const struct rec_node *rec)
{
	struct node_body body = {
		.generation = rec->generation,
		.before = to->last,
		.value_len = rec->what & REC_VALUE ? rec->value.len : 0,
		.path_len = strlen(rec->path) + 1,
		.n_perms = rec->what & REC_PERMS ? rec->n_perms : 0,
		.what = rec->what,
		.top = rec->what & REC_LEVELS ? rec->top : 0,
	};
	size_t perms = body.n_perms * sizeof(struct perm);
	size_t len = sizeof(body) + perms + body.path_len, here;
	unsigned char *p;

	body.value_at = brought_at(to, rec->value.data, body.value_len);
	here = body.value_at ? 0 : body.value_len;
	p = open_record(to, len + here);
	if (!p)
		return;
	p = add(p, &body, sizeof(body));
	p = add(p, rec->perms, perms);
	p = add(p, rec->path, body.path_len);
	add(p, rec->value.data, here);
	close_change(to, RECORD_NODE, len + here);
}

void record_node_remove(struct records *to, const struct rec_node_remove *rec)
{
	struct remove_body body = { .generation = rec->generation,
				    .before = to->last };
	size_t path_len = strlen(rec->path) + 1;
	size_t len = sizeof(body) + path_len;
	unsigned char *p = open_record(to, len);

	if (!p)
		return;
	p = add(p, &body, sizeof(body));
	add(p, rec->path, path_len);
	close_change(to, RECORD_NODE_REMOVE, len);
}

void record_purge(struct records *to, const struct rec_domid *rec)
{
	struct purge_body body = { .before = to->last, .domid = rec->domid };
	unsigned char *p = open_record(to, sizeof(body));

	if (!p)
		return;
	add(p, &body, sizeof(body));
	close_change(to, RECORD_PURGE, sizeof(body));
}

static void put_watch(struct records *to, enum record_type type,
		      const struct rec_watch *rec)
{
	struct watch_body body = {
		.conn = rec->conn,
		.depth = rec->depth,
		.relative = rec->relative,
		.path_len = strlen(rec->path) + 1,
	};
	size_t token_len = strlen(rec->token) + 1;
	size_t len = sizeof(body) + body.path_len + token_len;
	unsigned char *p = open_record(to, len);

	if (!p)
		return;
	p = add(p, &body, sizeof(body));
	p = add(p, rec->path, body.path_len);
	add(p, rec->token, token_len);
	close_record(to, type, len);
}

void record_watch(struct records *to, const struct rec_watch *rec)
{
	put_watch(to, RECORD_WATCH, rec);
}

void record_unwatch(struct records *to, const struct rec_watch *rec)
{
	put_watch(to, RECORD_UNWATCH, rec);
}

void record_input(struct records *to, const struct rec_input *rec)
{
	struct input_body body = { rec->conn, rec->pos, rec->data.len, 0 };
	size_t len = sizeof(body) + rec->data.len;
	unsigned char *p = open_record(to, len);

	if (!p)
		return;
	p = add(p, &body, sizeof(body));
	if (rec->data.data != p)
		add(p, rec->data.data, rec->data.len);
	close_record(to, RECORD_INPUT, len);
}

void *record_input_room(struct records *to, size_t size)
{
	size_t head = sizeof(struct head) + sizeof(struct input_body);

	if (to->err || make_room(to, head + ALIGN8(size)))
		return NULL;
	return to->data + to->len + head;
}

void record_output(struct records *to, const struct rec_output *rec)
{
	struct output_body body = { rec->conn, rec->in,
				    rec->head.len + rec->payload.len, 0 };
	size_t len = sizeof(body) + body.len;
	unsigned char *p = open_record(to, len);

	if (!p)
		return;
	p = add(p, &body, sizeof(body));
	p = add(p, rec->head.data, rec->head.len);
	add(p, rec->payload.data, rec->payload.len);
	close_record(to, RECORD_OUTPUT, len);
}

/* ---- reading ------------------------------------------------------------- */

/* A string at p that ends before `end`. */
static bool is_string(const unsigned char *p, const unsigned char *end)
{
	return p < end && memchr(p, 0, end - p);
}

struct reading {
	const unsigned char *data;	/* the first record */
	size_t at;			/* where this one is */
	const struct record_handlers *handlers;
	void *arg;
};

/* A value that is told by reference is in a record before this one. */
static int read_value(const struct reading *in, const struct node_body *body,
		      const unsigned char *here, struct blob *out)
{
	const unsigned char *p = here;

	if (body->value_at) {
		if (body->value_at > in->at ||
		    body->value_len > in->at - body->value_at)
			return -EPROTO;
		p = in->data + body->value_at;
	}
	*out = (struct blob){ p, body->value_len };
	return 0;
}

static int parse_node(const struct reading *in, const unsigned char *p,
		      size_t len, struct rec_node *rec)
{
	struct node_body body;
	size_t perms, here;

	if (len < sizeof(body))
		return -EPROTO;
	memcpy(&body, p, sizeof(body));
	perms = body.n_perms * sizeof(struct perm);
	here = body.value_at ? 0 : body.value_len;
	if (len - sizeof(body) < perms + body.path_len + here)
		return -EPROTO;
	rec->what = body.what;
	rec->generation = body.generation;
	rec->perms = (const struct perm *)(p + sizeof(body));
	rec->n_perms = body.n_perms;
	p += sizeof(body) + perms;
	/* There is one string, as long as it says. */
	if (!body.path_len || p[body.path_len - 1] ||
	    memchr(p, 0, body.path_len - 1))
		return -EPROTO;
	rec->path = (const char *)p;
	rec->top = body.top;
	if (body.what & REC_LEVELS &&
	    (body.top < 2 || body.top >= body.path_len ||
	     (p[body.top] && p[body.top] != '/')))
		return -EPROTO;
	return read_value(in, &body, p + body.path_len, &rec->value);
}

static int read_node(const struct reading *in, const unsigned char *p,
		     size_t len)
{
	struct rec_node rec;
	int err = parse_node(in, p, len, &rec);

	return err ? err : in->handlers->node(in->arg, &rec);
}

static int read_node_remove(const struct reading *in, const unsigned char *p,
			    size_t len)
{
	struct remove_body body;
	struct rec_node_remove rec;

	if (len < sizeof(body) || !is_string(p + sizeof(body), p + len))
		return -EPROTO;
	memcpy(&body, p, sizeof(body));
	rec.generation = body.generation;
	rec.path = (const char *)p + sizeof(body);
	return in->handlers->node_remove(in->arg, &rec);
}

static int read_purge(const struct reading *in, const unsigned char *p,
		      size_t len)
{
	struct purge_body body;

	if (len < sizeof(body))
		return -EPROTO;
	memcpy(&body, p, sizeof(body));
	return in->handlers->purge(in->arg, &(struct rec_domid){ body.domid });
}

static int read_watch_body(const unsigned char *p, size_t len,
			   struct rec_watch *rec)
{
	struct watch_body body;

	if (len < sizeof(body))
		return -EPROTO;
	memcpy(&body, p, sizeof(body));
	rec->conn = body.conn;
	rec->depth = body.depth;
	rec->relative = body.relative;
	rec->path = (const char *)p + sizeof(body);
	rec->token = rec->path + body.path_len;
	if (!is_string(p + sizeof(body), p + len) ||
	    sizeof(body) + body.path_len > len ||
	    !is_string(p + sizeof(body) + body.path_len, p + len))
		return -EPROTO;
	return 0;
}

static int read_watch(const struct reading *in, const unsigned char *p,
		      size_t len)
{
	struct rec_watch rec;
	int err = read_watch_body(p, len, &rec);

	return err ? err : in->handlers->watch(in->arg, &rec);
}

static int read_unwatch(const struct reading *in, const unsigned char *p,
			size_t len)
{
	struct rec_watch rec;
	int err = read_watch_body(p, len, &rec);

	return err ? err : in->handlers->unwatch(in->arg, &rec);
}

static int read_input(const struct reading *in, const unsigned char *p,
		      size_t len)
{
	struct input_body body;
	struct rec_input rec;

	if (len < sizeof(body))
		return -EPROTO;
	memcpy(&body, p, sizeof(body));
	if (len - sizeof(body) < body.len)
		return -EPROTO;
	rec.conn = body.conn;
	rec.pos = body.pos;
	rec.data = (struct blob){ p + sizeof(body), body.len };
	return in->handlers->input(in->arg, &rec);
}

static int read_output(const struct reading *in, const unsigned char *p,
		       size_t len)
{
	struct output_body body;
	struct rec_output rec = { 0 };

	if (len < sizeof(body))
		return -EPROTO;
	memcpy(&body, p, sizeof(body));
	if (len - sizeof(body) < body.len)
		return -EPROTO;
	rec.conn = body.conn;
	rec.in = body.in;
	rec.payload = (struct blob){ p + sizeof(body), body.len };
	return in->handlers->output(in->arg, &rec);
}

#define READ_PLAIN(name, type)                                                 \
	static int read_##name(const struct reading *in,                       \
			       const unsigned char *p, size_t len)             \
	{                                                                      \
		struct type rec;                                               \
                                                                               \
		if (len < sizeof(rec))                                         \
			return -EPROTO;                                        \
		memcpy(&rec, p, sizeof(rec));                                  \
		return in->handlers->name(in->arg, &rec);                      \
	}

READ_PLAIN(begin, rec_begin)
READ_PLAIN(generation, rec_generation)
READ_PLAIN(limits, rec_limits)
READ_PLAIN(domain, rec_domain)
READ_PLAIN(domain_gone, rec_domid)
READ_PLAIN(conn, rec_conn)
READ_PLAIN(conn_gone, rec_of_conn)
READ_PLAIN(ring_gone, rec_of_conn)
READ_PLAIN(unwatch_all, rec_of_conn)
READ_PLAIN(txn, rec_txn)
READ_PLAIN(txn_end, rec_txn)
READ_PLAIN(executed, rec_count)
READ_PLAIN(sent, rec_count)
READ_PLAIN(dropped, rec_count)
READ_PLAIN(reset, rec_of_conn)
READ_PLAIN(ignore, rec_count)
READ_PLAIN(descriptor, rec_descriptor)

static int dispatch(const struct reading *in, enum record_type type,
		    const unsigned char *body, size_t len)
{
	switch (type) {
#define RECORD_CASE(number, symbol, name, type)                                \
	case RECORD_##symbol:                                                  \
		return in->handlers->name ? read_##name(in, body, len) : 0;
		RECORD_TYPES(RECORD_CASE)
#undef RECORD_CASE
	}
	return -EPROTO;
}

static int read_next(const unsigned char *data, size_t len, size_t *pos,
		     uint32_t *seq, bool trusted,
		     const struct record_handlers *handlers, void *arg)
{
	const struct reading in = { data, *pos, handlers, arg };
	size_t left = len - *pos;
	const unsigned char *p;
	struct head head;

	if (!left)
		return EAGAIN;
	p = data + *pos;
	if (left < sizeof(head))
		return -EPROTO;
	memcpy(&head, p, sizeof(head));
	if (head.len < sizeof(head) || head.len > left || head.len & 7 ||
	    head.seq != *seq + 1 ||
	    (!trusted && head.sum != checksum(p, head.len)))
		return -EPROTO;
	*pos += head.len;
	*seq = head.seq;
	return dispatch(&in, head.type, p + sizeof(head),
			head.len - sizeof(head));
}

int record_read(const unsigned char *data, size_t len, size_t *pos,
		uint32_t *seq, const struct record_handlers *handlers,
		void *arg)
{
	return read_next(data, len, pos, seq, false, handlers, arg);
}

int record_reread(const unsigned char *data, size_t len, size_t *pos,
		  uint32_t *seq, const struct record_handlers *handlers,
		  void *arg)
{
	return read_next(data, len, pos, seq, true, handlers, arg);
}

int record_node_levels(const struct rec_node *rec,
		       int (*node)(void *arg, const struct rec_node *rec),
		       void *arg)
{
	char path[PATH_MAX_LEN + 1];
	struct rec_node level = *rec;
	size_t len = strlen(rec->path), i;
	int err = 0;

	if (len >= sizeof(path))
		return -EPROTO;
	memcpy(path, rec->path, len + 1);
	level.what &= ~REC_LEVELS;
	level.path = path;
	level.value.len = 0;
	for (i = rec->top; !err && i < len; i++) {
		if (path[i] != '/')
			continue;
		path[i] = 0;
		err = node(arg, &level);
		path[i] = '/';
	}
	level.value = rec->value;
	return err ? err : node(arg, &level);
}

static struct head head_at(const unsigned char *data, size_t pos)
{
	struct head head;

	memcpy(&head, data + pos, sizeof(head));
	return head;
}

bool record_is_whole(const unsigned char *data, size_t len, size_t pos)
{
	struct head head;

	if (pos > len || len - pos < sizeof(head))
		return false;
	head = head_at(data, pos);
	return head.len >= sizeof(head) && head.len <= len - pos &&
	       !(head.len & 7) && head.sum == checksum(data + pos, head.len);
}

bool record_changes_nodes(const unsigned char *data, size_t pos)
{
	const unsigned int type = head_at(data, pos).type;

	return type == RECORD_NODE || type == RECORD_NODE_REMOVE ||
	       type == RECORD_PURGE;
}

uint32_t record_before_at(const unsigned char *data, size_t pos)
{
	uint32_t before;

	memcpy(&before, data + pos + sizeof(struct head) + sizeof(uint64_t),
	       sizeof(before));
	return before;
}

uint32_t record_seq_at(const unsigned char *data, size_t pos)
{
	return head_at(data, pos).seq;
}

int record_read_at(const unsigned char *data, size_t pos,
		   const struct record_handlers *handlers, void *arg)
{
	const struct reading in = { data, pos, handlers, arg };
	struct head head = head_at(data, pos);

	return dispatch(&in, head.type, data + pos + sizeof(head),
			head.len - sizeof(head));
}

int record_node_at(const unsigned char *data, size_t pos, struct rec_node *out)
{
	const struct reading in = { data, pos, NULL, NULL };
	struct head head = head_at(data, pos);

	if (head.type != RECORD_NODE)
		return -EPROTO;
	return parse_node(&in, data + pos + sizeof(head),
			  head.len - sizeof(head), out);
}

uint64_t record_generation_at(const unsigned char *data, size_t pos)
{
	return load(data + pos + sizeof(struct head));
}
