/* SPDX-License-Identifier: MIT */
/*
 * Journal and checkpoint against a model (P4 of README.md): a toy daemon does
 * random things and is killed at random moments; what is read back is what it
 * had committed.
 *
 * The model is advanced by the same random numbers; the generation tells which
 * tick the state that was read back belongs to.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scoped.h"
#include "persist/checkpoint.h"
#include "persist/image.h"
#include "persist/journal.h"

#define NODES 300
#define CONNS 6
#define WATCHES 12
#define MESSAGES 12
#define DOMAINS 4

struct mnode {
	char path[40], value[160];
	size_t len;
	struct perm perms[4];
	size_t n_perms;
	uint64_t generation;
};

struct mconn {
	bool open;
	uint32_t number;
	uint64_t in, in_end, out;
	int watches[WATCHES];	/* ids, in order; 0: free */
	uint32_t txn;
	size_t sent;
	size_t lens[MESSAGES];	/* of queued messages */
	int n_messages;
};

struct world {
	uint64_t rng, generation;
	uint32_t numbers;
	struct mnode nodes[NODES];
	size_t n;
	struct mconn conns[CONNS];
	struct rec_domain domains[DOMAINS];
};

/*
 * What counts of a connection at once, at every moment at which the toy may be
 * killed: told before it is so as what may be, after it as what is.
 */
struct told {
	volatile uint32_t number;	/* 0: not to be compared */
	volatile uint64_t least, most;	/* bytes received */
	volatile bool gone;		/* maybe */
	volatile bool reset;		/* maybe, in a tick not committed yet */
};

/* What the killed one had told. */
struct shared {
	volatile uint64_t ticks, checkpoints, files, deferred;
	struct told conns[CONNS];
	volatile uint64_t surplus;	/* lives that had some uncommitted */
};

static struct shared *shared;
static char dir[64];
static bool told_when;

static struct told *told_of(const struct world *w, const struct mconn *conn)
{
	return &shared->conns[conn - w->conns];
}

/* As if the connection had just come, with what it has. */
static void tell_conn(const struct world *w, const struct mconn *conn)
{
	struct told *told = told_of(w, conn);

	told->number = 0;
	told->least = told->most = conn->in_end;
	told->gone = told->reset = false;
	if (conn->open)
		told->number = conn->number;
}

static uint32_t rnd(struct world *w, uint32_t n)
{
	w->rng = w->rng * 6364136223846793005 + 1442695040888963407;
	return (w->rng >> 33) % n;
}

/* Dies here once in a while; only the toy daemon does, unless it is told when
 * to die. */
static void die_maybe(const struct journal *j, int odds)
{
	if (j && !told_when && !(rand() % odds))
		raise(SIGKILL);
}

/* ---- the model, which tells what it does --------------------------------- */

static int discard_more(struct records *records, size_t need)
{
	(void)need;
	records->len = 0;
	return 0;
}

static struct mnode *mfind(struct world *w, const char *path)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (!strcmp(w->nodes[i].path, path))
			return &w->nodes[i];
	return NULL;
}

static bool below(const char *top, const char *path)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) && path[len] == '/';
}

static void parent_of(const char *path, char *out)
{
	strcpy(out, path);
	*strrchr(out, '/') = 0;
	if (!*out)
		strcpy(out, "/");
}

static void random_perms(struct world *w, struct mnode *node)
{
	size_t i;

	node->n_perms = 1 + rnd(w, 3);
	for (i = 0; i < node->n_perms; i++)
		node->perms[i] = (struct perm){ .domid = rnd(w, 5),
						.rights = rnd(w, 4),
						.stale = !rnd(w, 5) };
}

static void random_value(struct world *w, struct mnode *node)
{
	size_t i;

	node->len = rnd(w, 30);
	for (i = 0; i < node->len; i++)
		node->value[i] = rnd(w, 256);
}

static void tell_node(struct records *to, const struct mnode *node,
		      unsigned int what)
{
	record_node(to, &(struct rec_node){
		what, node->path, 0, node->generation,
		{ node->value, node->len }, node->perms, node->n_perms });
}

static void do_create(struct world *w, struct records *to)
{
	struct mnode *node = &w->nodes[w->n], *parent;
	char name[40] = "";
	int depth = 1 + rnd(w, 3);

	if (w->n == NODES)
		return;
	memset(node, 0, sizeof(*node));
	while (depth--)
		sprintf(node->path + strlen(node->path), "/%c%s",
			'a' + (char)rnd(w, 6), rnd(w, 4) ? "" : "-x");
	parent_of(node->path, name);
	parent = mfind(w, name);
	if (!parent || mfind(w, node->path))
		return;
	random_perms(w, node);
	random_value(w, node);
	parent->generation = node->generation = w->generation;
	w->n++;
	tell_node(to, node, REC_CREATE | REC_VALUE | REC_PERMS);
}

/* Two nodes, one in the other, in one record. */
static void do_levels(struct world *w, struct records *to)
{
	struct mnode *top = &w->nodes[w->n], *node = top + 1;
	struct rec_node rec = { .what = REC_CREATE | REC_VALUE | REC_PERMS |
					REC_LEVELS };

	if (w->n + 2 > NODES)
		return;
	memset(top, 0, 2 * sizeof(*top));
	sprintf(top->path, "/%c", 'a' + (char)rnd(w, 6));
	sprintf(node->path, "%s/%c", top->path, 'a' + (char)rnd(w, 6));
	if (mfind(w, top->path))
		return;
	random_perms(w, node);
	random_value(w, node);
	memcpy(top->perms, node->perms, sizeof(top->perms));
	top->n_perms = node->n_perms;
	w->nodes[0].generation = top->generation = node->generation =
		w->generation;
	w->n += 2;
	rec.path = node->path;
	rec.top = strlen(top->path);
	rec.generation = node->generation;
	rec.value = (struct blob){ node->value, node->len };
	rec.perms = node->perms;
	rec.n_perms = node->n_perms;
	record_node(to, &rec);
}

static void do_change(struct world *w, struct records *to, unsigned int what)
{
	struct mnode *node = &w->nodes[rnd(w, w->n)];

	if (what & REC_VALUE)
		random_value(w, node);
	if (what & REC_PERMS)
		random_perms(w, node);
	node->generation = w->generation;
	tell_node(to, node, what);
}

static void drop_node(struct world *w, const char *path)
{
	size_t i, kept = 0;

	for (i = 0; i < w->n; i++)
		if (strcmp(w->nodes[i].path, path) &&
		    !below(path, w->nodes[i].path))
			w->nodes[kept++] = w->nodes[i];
	w->n = kept;
}

static void do_remove(struct world *w, struct records *to)
{
	char path[40], parent[40];

	if (w->n < 2)
		return;
	strcpy(path, w->nodes[1 + rnd(w, w->n - 1)].path);
	parent_of(path, parent);
	drop_node(w, path);
	mfind(w, parent)->generation = w->generation;
	record_node_remove(to, &(struct rec_node_remove){ path,
							  w->generation });
}

static void purge(struct world *w, uint16_t domid)
{
	size_t i, j, kept;

	for (i = 0; i < w->n; i++) {
		for (j = kept = 1; j < w->nodes[i].n_perms; j++)
			if (w->nodes[i].perms[j].domid != domid)
				w->nodes[i].perms[kept++] =
					w->nodes[i].perms[j];
		w->nodes[i].n_perms = kept;
	}
}

static void do_purge(struct world *w, struct records *to)
{
	uint16_t domid = rnd(w, 5);

	purge(w, domid);
	record_purge(to, &(struct rec_domid){ domid });
}

static void watch_of(int id, struct rec_watch *rec, char *token)
{
	static const char *const paths[] = { "/a", "/b/c", "@releaseDomain" };

	rec->path = paths[id % 3];
	sprintf(token, "token%d", id);
	rec->token = token;
	rec->depth = id % 4 - 1;
	rec->relative = id % 2 * 3;
}

static void do_watch(struct world *w, struct records *to, struct mconn *conn)
{
	struct rec_watch rec = { .conn = conn->number };
	int id = 1 + rnd(w, 30), i;
	char token[16];

	for (i = 0; i < WATCHES && conn->watches[i]; i++)
		if (conn->watches[i] == id)
			break;
	if (i == WATCHES) {
		memset(conn->watches, 0, sizeof(conn->watches));
		record_unwatch_all(to, &(struct rec_of_conn){ conn->number });
		return;
	}
	watch_of(id, &rec, token);
	if (!conn->watches[i]) {
		conn->watches[i] = id;
		record_watch(to, &rec);
		return;
	}
	memmove(&conn->watches[i], &conn->watches[i + 1],
		(WATCHES - 1 - i) * sizeof(int));
	conn->watches[WATCHES - 1] = 0;
	record_unwatch(to, &rec);
}

static void do_txn(struct world *w, struct records *to, struct mconn *conn)
{
	if (conn->txn) {
		record_txn_end(to, &(struct rec_txn){ conn->number,
						      conn->txn });
		conn->txn = 0;
	} else {
		conn->txn = 1 + rnd(w, 1000);
		record_txn(to, &(struct rec_txn){ conn->number, conn->txn });
	}
}

static unsigned char byte_at(uint32_t number, uint64_t pos)
{
	return number * 31 + pos * 7;
}

/* A value that came with the input, which ends with it. */
static void do_brought(struct world *w, struct records *to,
		       const unsigned char *data, size_t n)
{
	struct mnode *node = &w->nodes[rnd(w, w->n)];

	node->len = 1 + rnd(w, n);
	memcpy(node->value, data + n - node->len, node->len);
	node->generation = w->generation;
	record_bring(to, (struct blob){ data, n });
	tell_node(to, node, REC_VALUE);
	record_bring(to, (struct blob){ NULL, 0 });
}

static void do_input(struct world *w, struct journal *j, struct records *to,
		     struct mconn *conn)
{
	unsigned char elsewhere[160], *data = elsewhere;
	size_t n = 1 + rnd(w, 150), i;

	/* Some are received where they are to lie. */
	if (rnd(w, 2))
		data = record_input_room(to, sizeof(elsewhere));
	for (i = 0; i < n; i++)
		data[i] = byte_at(conn->number, conn->in_end + i);
	record_input(to, &(struct rec_input){ conn->number, conn->in_end,
					      { data, n } });
	conn->in_end += n;
	if (j) {
		told_of(w, conn)->most = conn->in_end;
		die_maybe(j, 200);
		journal_happened(j);
		die_maybe(j, 200);
		told_of(w, conn)->least = conn->in_end;
		die_maybe(j, 50);
	}
	if (!rnd(w, 3))
		do_brought(w, to, data, n);
	if (rnd(w, 3)) {
		conn->in += rnd(w, conn->in_end - conn->in + 1);
		record_executed(to, &(struct rec_count){ conn->number,
							 conn->in });
	}
}

static void pop_messages(struct mconn *conn, size_t n)
{
	n += conn->sent;
	while (conn->n_messages && n >= conn->lens[0]) {
		n -= conn->lens[0];
		memmove(conn->lens, conn->lens + 1,
			--conn->n_messages * sizeof(conn->lens[0]));
	}
	conn->sent = n;
}

static size_t waiting(const struct mconn *conn)
{
	size_t total = 0;
	int i;

	for (i = 0; i < conn->n_messages; i++)
		total += conn->lens[i];
	return total - conn->sent;
}

/* What leaves does so after a commit, and counts at once. */
static void do_send(struct world *w, struct journal *j, struct records *to)
{
	struct mconn *conn = &w->conns[rnd(w, CONNS)];
	size_t n = conn->open ? waiting(conn) : 0;

	if (!n)
		return;
	n = 1 + rnd(w, n);
	conn->out += n;
	pop_messages(conn, n);
	record_sent(to, &(struct rec_count){ conn->number, conn->out });
	if (j) {
		journal_happened(j);
		die_maybe(j, 100);
	}
}

static void do_output(struct world *w, struct records *to, struct mconn *conn)
{
	static const char payload[64];
	size_t n;
	int i;

	if (conn->n_messages < MESSAGES && rnd(w, 3)) {
		n = rnd(w, 60);
		conn->lens[conn->n_messages++] = 16 + n;
		if (!rnd(w, 3))
			conn->in += rnd(w, conn->in_end - conn->in + 1);
		record_output(to, &(struct rec_output){
			conn->number, conn->in, { payload, 16 },
			{ payload, n } });
	} else if (conn->n_messages > 2) {
		i = 1 + rnd(w, conn->n_messages - 1);
		memmove(conn->lens + i, conn->lens + i + 1,
			(--conn->n_messages - i) * sizeof(conn->lens[0]));
		record_dropped(to, &(struct rec_count){ conn->number, i });
	}
}

static void do_conn(struct world *w, struct journal *j, struct records *to,
		    struct mconn *conn)
{
	if (!conn->open) {
		*conn = (struct mconn){ .open = true, .number = ++w->numbers };
		record_conn(to, &(struct rec_conn){ .conn = conn->number,
						    .fd = 100 });
		if (j) {
			tell_conn(w, conn);
			journal_happened(j);
		}
	} else if (rnd(w, 2)) {
		conn->open = false;
		record_conn_gone(to, &(struct rec_of_conn){ conn->number });
		if (j) {
			told_of(w, conn)->gone = true;
			die_maybe(j, 50);
			journal_happened(j);
		}
	} else {
		conn->in = conn->in_end = conn->out = conn->sent = 0;
		conn->n_messages = 0;
		conn->txn = 0;
		if (j)
			told_of(w, conn)->reset = true;
		record_reset(to, &(struct rec_of_conn){ conn->number });
	}
}

static void do_domain(struct world *w, struct records *to)
{
	int i = rnd(w, DOMAINS);
	struct rec_domain *domain = &w->domains[i];

	if (domain->introduced && !rnd(w, 3)) {
		memset(domain, 0, sizeof(*domain));
		record_domain_gone(to, &(struct rec_domid){ i });
		return;
	}
	domain->domid = i;
	domain->introduced = true;
	domain->features = rnd(w, 16);
	domain->limits.hard[QUOTA_NODES] = rnd(w, 1000);
	record_domain(to, domain);
}

static void do_something(struct world *w, struct journal *j,
			 struct records *to)
{
	struct mconn *conn = &w->conns[rnd(w, CONNS)];
	unsigned int what = rnd(w, 40);

	if (what < 1)
		do_levels(w, to);
	else if (what < 8)
		do_create(w, to);
	else if (what < 16)
		do_change(w, to, REC_VALUE);
	else if (what < 19)
		do_change(w, to, REC_PERMS);
	else if (what < 20)
		do_remove(w, to);
	else if (what < 21)
		do_purge(w, to);
	else if (what < 23)
		do_domain(w, to);
	else if (what < 24 || !conn->open)
		do_conn(w, j, to, conn);
	else if (what < 28)
		do_watch(w, to, conn);
	else if (what < 30)
		do_txn(w, to, conn);
	else if (what < 35)
		do_input(w, j, to, conn);
	else
		do_output(w, to, conn);
}

static void tick(struct world *w, struct journal *j)
{
	unsigned char room[65536];
	struct records none = { .data = room, .room = sizeof(room),
				.more = discard_more };
	struct records *to = j ? journal_records(j) : &none;
	int n = 1 + rnd(w, 6), i;

	w->generation++;
	do_send(w, j, to);
	do_send(w, j, to);
	while (n--) {
		do_something(w, j, to);
		die_maybe(j, 400);
	}
	record_generation(to, &(struct rec_generation){ w->generation });
	if (j && journal_commit(j))
		abort();
	die_maybe(j, 400);
	for (i = 0; j && i < CONNS; i++)
		if (shared->conns[i].reset)
			tell_conn(w, &w->conns[i]);
	die_maybe(j, 400);
}

static void account_conn(const struct mconn *conn, struct records *to)
{
	static const char zeros[128];
	struct rec_watch watch = { .conn = conn->number };
	unsigned char data[4096];
	char token[16];
	uint64_t pos;
	int i;

	record_conn(to, &(struct rec_conn){ .conn = conn->number, .fd = 100,
					    .in = conn->in, .out = conn->out });
	for (i = 0; i < WATCHES && conn->watches[i]; i++) {
		watch_of(conn->watches[i], &watch, token);
		record_watch(to, &watch);
	}
	if (conn->txn)
		record_txn(to, &(struct rec_txn){ conn->number, conn->txn });
	for (pos = conn->in; pos < conn->in_end; pos++)
		data[(pos - conn->in) % 4096] = byte_at(conn->number, pos);
	if (conn->in_end != conn->in)
		record_input(to, &(struct rec_input){
			conn->number, conn->in,
			{ data, conn->in_end - conn->in } });
	for (i = 0; i < conn->n_messages; i++) {
		size_t skip = i ? 0 : conn->sent;

		/* What has left of the first one is not told again. */
		record_output(to, &(struct rec_output){
			conn->number, 0, { zeros, conn->lens[i] - skip },
			{ NULL, 0 } });
	}
}

static void account(void *arg, struct records *to, bool all)
{
	struct world *w = arg;
	size_t i;

	record_generation(to, &(struct rec_generation){ w->generation });
	for (i = 0; all && i < w->n; i++)
		tell_node(to, &w->nodes[i],
			  REC_CREATE | REC_VALUE | REC_PERMS);
	for (i = 0; all && i < w->n; i++)	/* their generations */
		tell_node(to, &w->nodes[i], REC_VALUE);
	for (i = 0; i < DOMAINS; i++)
		if (w->domains[i].introduced)
			record_domain(to, &w->domains[i]);
	for (i = 0; i < CONNS; i++)
		if (w->conns[i].open)
			account_conn(&w->conns[i], to);
}

/* ---- what was read back -------------------------------------------------- */

/* One without bytes has no address. */
static void take_value(struct mnode *node, struct blob value)
{
	node->len = value.len;
	if (value.len)
		memcpy(node->value, value.data, value.len);
}

static int got_begin(void *arg, const struct rec_begin *rec)
{
	struct world *w = arg;

	if (rec->all)
		w->n = 0;
	return 0;
}

static int got_node(void *arg, const struct rec_node *rec)
{
	struct world *w = arg;
	struct mnode *node = mfind(w, rec->path), *parent;
	char name[40];

	if (rec->what & REC_LEVELS)
		return record_node_levels(rec, got_node, arg);
	if (!node != !!(rec->what & REC_CREATE))
		return -EPROTO;
	if (!node) {
		node = &w->nodes[w->n++];
		strcpy(node->path, rec->path);
		parent_of(rec->path, name);
		parent = mfind(w, name);
		if (parent && parent != node)
			parent->generation = rec->generation;
	}
	if (rec->what & REC_VALUE)
		take_value(node, rec->value);
	if (rec->what & REC_PERMS) {
		node->n_perms = rec->n_perms;
		memcpy(node->perms, rec->perms,
		       rec->n_perms * sizeof(struct perm));
	}
	node->generation = rec->generation;
	return 0;
}

static int got_remove(void *arg, const struct rec_node_remove *rec)
{
	struct world *w = arg;
	char parent[40];

	if (!mfind(w, rec->path))
		return -EPROTO;
	parent_of(rec->path, parent);
	drop_node(w, rec->path);
	mfind(w, parent)->generation = rec->generation;
	return 0;
}

static int got_purge(void *arg, const struct rec_domid *rec)
{
	purge(arg, rec->domid);
	return 0;
}

static const struct record_handlers node_handlers = {
	.begin = got_begin,
	.node = got_node,
	.node_remove = got_remove,
	.purge = got_purge,
};

static void say(const char *text)
{
	print_message("%s\n", text);
}

struct state {
	struct journal *journal;
	struct checkpoint *checkpoint;
	struct image *image;
	struct world nodes;
	struct journal_found found;
};

/* Rows come by path; the model has nodes in the order of their creation. */
struct loading {
	struct world *nodes;
	uint64_t created[NODES];
};

static int got_row(void *arg, const struct checkpoint_node *row)
{
	struct loading *l = arg;
	struct world *w = l->nodes;
	struct mnode node = { .generation = row->node.generation };
	size_t i;

	strcpy(node.path, row->node.path);
	take_value(&node, row->node.value);
	node.n_perms = row->node.n_perms;
	memcpy(node.perms, row->node.perms,
	       node.n_perms * sizeof(struct perm));
	for (i = w->n++; i && l->created[i - 1] > row->created; i--) {
		w->nodes[i] = w->nodes[i - 1];
		l->created[i] = l->created[i - 1];
	}
	w->nodes[i] = node;
	l->created[i] = row->created;
	return 0;
}

static void read_back(TALLOC_CTX *ctx, struct state *s)
{
	struct loading loading = { .nodes = &s->nodes };

	memset(s, 0, sizeof(*s));
	assert_int_equal(journal_new(ctx, dir, say, &s->journal), 0);
	assert_int_equal(checkpoint_open(ctx, dir,
					 journal_boot_id(s->journal), false,
					 say, &s->checkpoint), 0);
	assert_int_equal(checkpoint_load(s->checkpoint, got_row, &loading), 0);
	assert_int_equal(image_new(ctx, &node_handlers, &s->nodes,
				   &s->image), 0);
	assert_int_equal(journal_replay(s->journal,
					checkpoint_epoch(s->checkpoint),
					&image_handlers, s->image, &s->found),
			 0);
	assert_false(s->found.damaged);
	assert_false(s->found.stale);
}

static void same_nodes(const struct world *a, const struct world *b)
{
	size_t i;

	assert_int_equal(a->n, b->n);
	for (i = 0; i < a->n; i++) {
		const struct mnode *x = &a->nodes[i], *y = &b->nodes[i];

		assert_string_equal(x->path, y->path);
		assert_int_equal(x->len, y->len);
		assert_memory_equal(x->value, y->value, x->len);
		assert_int_equal(x->generation, y->generation);
		assert_int_equal(x->n_perms, y->n_perms);
		assert_memory_equal(x->perms, y->perms,
				    x->n_perms * sizeof(struct perm));
	}
}

static void same_conn(struct mconn *m, const struct image_conn *c,
		      const struct told *counts)
{
	struct image_message *message;
	struct image_watch *watch;
	struct rec_watch rec;
	char token[16];
	size_t i = 0;

	assert_int_equal(m->in, c->rec.in);
	/* What was sent after the commit is known to be. */
	assert_true(c->rec.out - m->out <= waiting(m));
	pop_messages(m, c->rec.out - m->out);
	m->out = c->rec.out;
	/* What was received after the commit is there as well. */
	assert_true(c->rec.in + c->in_len >= m->in_end);
	if (counts->number == m->number && !counts->reset) {
		assert_in_range(c->rec.in + c->in_len, counts->least,
				counts->most);
		shared->surplus += c->rec.in + c->in_len != m->in_end;
	}
	for (i = 0; i < c->in_len; i++)
		assert_int_equal(c->in[i], byte_at(m->number, m->in + i));
	m->in_end = c->rec.in + c->in_len;
	i = 0;
	list_for_each(watch, &c->watches, in_conn)
	{
		watch_of(m->watches[i], &rec, token);
		assert_string_equal(watch->path, rec.path);
		assert_string_equal(watch->token, rec.token);
		assert_int_equal(watch->depth, rec.depth);
		assert_int_equal(watch->relative, rec.relative);
		i++;
	}
	assert_true(i == WATCHES || !m->watches[i]);
	assert_int_equal(list_empty(&c->txns), !m->txn);
	if (m->txn)
		assert_int_equal(list_first(&c->txns, struct image_txn,
					    in_conn)->id, m->txn);
	i = 0;
	list_for_each(message, &c->out, in_conn)
	{
		size_t skip = i ? 0 : m->sent, told = i ? 0 : c->out_sent;

		assert_int_equal(message->len - told, m->lens[i] - skip);
		i++;
	}
	assert_int_equal(i, m->n_messages);
}

/* The model has another byte count where more was received than committed;
 * it goes on from there. Connections that came in an uncommitted tick count
 * as well: the model closes them. */
static void same(struct world *w, struct state *s)
{
	struct image_conn *conn, *next;
	size_t i, n = 0;

	same_nodes(w, &s->nodes);
	for (i = 0; i < CONNS; i++) {
		if (!w->conns[i].open)
			continue;
		conn = image_conn(s->image, w->conns[i].number);
		/* or another one has its place already */
		if (!conn &&
		    (shared->conns[i].gone ||
		     shared->conns[i].number != w->conns[i].number)) {
			w->conns[i].open = false;
			continue;
		}
		n++;
		assert_non_null(conn);
		same_conn(&w->conns[i], conn, &shared->conns[i]);
	}
	list_for_each_safe(conn, next, &s->image->conns, in_image)
	{
		if (conn->rec.conn <= w->numbers)
			continue;
		assert_true(list_empty(&conn->watches));
		assert_true(list_empty(&conn->out));
		talloc_free(conn);
	}
	list_for_each(conn, &s->image->conns, in_image)
		n--;
	assert_int_equal(n, 0);
	for (i = 0; i < DOMAINS; i++) {
		struct image_domain *domain = image_domain(s->image, i);

		assert_int_equal(!!domain, w->domains[i].introduced);
		if (domain)
			assert_memory_equal(&domain->rec, &w->domains[i],
					    sizeof(domain->rec));
	}
}

/* ---- the toy daemon ------------------------------------------------------ */

struct toy {
	struct world *w;
	struct state s;
};

/* Some values are told again, their rows stay as they are. */
static bool defer(void *arg, const char *path)
{
	struct toy *toy = arg;
	const struct mnode *node = mfind(toy->w, path);

	if (!node)
		return true;
	if (rand() % 8 == 0)
		return false;
	tell_node(journal_records(toy->s.journal), node, REC_VALUE);
	if (journal_commit(toy->s.journal))
		abort();
	shared->deferred++;
	return true;
}

static void work_on_checkpoint(struct toy *toy, unsigned int budget)
{
	struct state *s = &toy->s;
	struct checkpoint_file file = {
		.people = journal_account_records(s->journal),
		.defer = defer,
		.defer_arg = toy,
		.defer_max = rand() % 3 * 100,
	};
	int err;

	if (!checkpoint_running(s->checkpoint)) {
		if (!journal_oldest(s->journal, &file.epoch, &file.records,
				    &file.last))
			return;
		err = checkpoint_begin(s->checkpoint, &file);
		if (err)
			abort();
	}
	err = checkpoint_step(s->checkpoint, budget);
	if (err == EAGAIN)
		return;
	if (err)
		abort();
	journal_drop_oldest(s->journal);
	shared->checkpoints++;
}

static void __attribute__((noreturn)) toy_daemon(struct world *w,
						 unsigned int budget,
						 int64_t steps)
{
	struct toy toy = { .w = w };

	told_when = steps >= 0;
	read_back(NULL, &toy.s);
	if (journal_begin(toy.s.journal, !w->generation, account, w))
		abort();
	for (;;) {
		tick(w, toy.s.journal);
		shared->ticks++;
		if (steps >= 0 && !steps--)
			raise(SIGKILL);
		work_on_checkpoint(&toy, budget);
		if (journal_used(toy.s.journal) >
		    journal_account(toy.s.journal) + 20000) {
			if (journal_begin(toy.s.journal, false, account, w))
				abort();
			shared->files++;
		}
	}
}

static void nap(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

/* However slow this build is: now and then it gets so far, or dies before. */
static void await_checkpoint(pid_t pid)
{
	uint64_t seen = shared->checkpoints;
	siginfo_t info = { 0 };
	int ms;

	for (ms = 0; shared->checkpoints == seen && !info.si_pid; ms++) {
		assert_true(ms < 20000);
		nap(1000);
		waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
	}
}

static void new_world(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->rng = seed;
	w->n = 1;
	strcpy(w->nodes[0].path, "/");
	w->nodes[0].n_perms = 1;
}

/* One life; true when the model has followed. */
static void live_and_die(struct world *w, unsigned int budget, int64_t steps)
{
	TALLOC_CTX *ctx;
	struct state s;
	int status, i;
	pid_t pid;

	for (i = 0; i < CONNS; i++)
		tell_conn(w, &w->conns[i]);
	pid = fork();
	if (pid == 0)
		toy_daemon(w, budget, steps);
	if (steps < 0) {
		if (rand() % 16 == 0)
			await_checkpoint(pid);
		nap(rand() % 3000);
		kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	ctx = talloc_new(NULL);
	read_back(ctx, &s);
	if (s.image->generation || s.found.segments) {
		while (w->generation < s.image->generation)
			tick(w, NULL);
		assert_int_equal(w->generation, s.image->generation);
		same(w, &s);
	}
	talloc_free(ctx);
}

static void clean(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/dev/shm/persist.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	memset(shared, 0, sizeof(*shared));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clean();
	return 0;
}

static unsigned int kills(void)
{
	const char *n = getenv("KILLS");

	return n ? atoi(n) : 200;
}

/* J1, J2, H1, I1 */
static void killed_at_any_moment_it_has_what_it_committed(void **state)
{
	static struct world w;
	unsigned int i, n = kills();
	uint64_t before;

	(void)state;
	new_world(&w, 42);
	for (i = 0; i < n; i++) {
		before = w.generation;
		live_and_die(&w, 1 + i % 50, -1);
		/* Each acknowledged tick is there. */
		assert_true(w.generation - before <= shared->ticks + 1);
		assert_true(w.generation - before >= shared->ticks);
		shared->ticks = 0;
	}
	print_message("# %u kills, %llu ticks, %llu files, %llu checkpoints, "
		      "%llu values told again, %llu with uncommitted input\n",
		      n, (unsigned long long)w.generation,
		      (unsigned long long)shared->files,
		      (unsigned long long)shared->checkpoints,
		      (unsigned long long)shared->deferred,
		      (unsigned long long)shared->surplus);
	assert_true(shared->checkpoints > 0);
	assert_true(shared->deferred > 0);
	assert_true(n < 200 || shared->surplus > 0);
}

/* H1 */
static void killed_between_any_two_steps_of_a_checkpoint(void **state)
{
	static struct world w;
	int64_t step;

	(void)state;
	new_world(&w, 7);
	for (step = 0; step < 60; step++)
		live_and_die(&w, 1, step * 13 % 900);
	assert_true(shared->checkpoints > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
	killed_at_any_moment_it_has_what_it_committed, setup, teardown),
		cmocka_unit_test_setup_teardown(
	killed_between_any_two_steps_of_a_checkpoint, setup, teardown),
	};

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	srand(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
