/* SPDX-License-Identifier: MIT */
/*
 * Random histories of transactions and single operations against a model.
 *
 * The oracle (P2 of README.md): a transaction that commits could have been
 * executed, one request after the other, at the moment of its commit, with the
 * same replies; the tree is what that gives. One that is refused left no
 * trace, and at least one reply would have been different.
 *
 * ORACLE_ROUNDS and ORACLE_SEED in the environment ask for more, or others.
 */
#include "world.h"

#include "model.h"
#include "store/path.h"
#include "store/txn_priv.h"

#define CLIENTS 4	/* 0: privileged; 3: device model of 1 */
#define OPEN 6
#define REQUESTS 12
#define STEPS 250

/* So many more allocations succeed, of talloc's and of others. */
static uint64_t mallocs_left = UINT64_MAX;

#ifndef SANITIZED	/* they want malloc() for themselves */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool malloc_fails(void)
{
	if (mallocs_left == UINT64_MAX)
		return false;
	if (!mallocs_left)
		return true;
	mallocs_left--;
	return false;
}

void *malloc(size_t size)
{
	return malloc_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return malloc_fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return malloc_fails() ? NULL : __libc_realloc(p, size);
}
#endif

struct done {
	struct mreq req;
	char reply[512];
	bool existed;
};

struct open {
	struct txn *txn;
	int client;
	struct done done[REQUESTS];
	size_t n;
	/* An answer was a mix of the base and of own writes, or a verdict
	 * followed from own writes: then what it came from is recorded, which
	 * is more than what the reply shows. */
	bool coarse;
	bool doomed;
};

struct run {
	struct world *w;
	struct model live;
	struct model told;	/* what the changesets say */
	bool scarce;		/* memory fails now and then */
	uint64_t starved;
	struct open open[OPEN];
	uint64_t random;
	uint64_t commits, conflicts, refused_coarse;
};

static uint32_t roll(struct run *r, uint32_t n)
{
	r->random = r->random * 6364136223846793005u + 1442695040888963407u;
	return (r->random >> 33) % n;
}

static void assert_list(const struct perms *perms, const struct mnode *node)
{
	const struct perm *list;
	size_t n;

	if (!perms || !node) {
		assert_true(!perms && !node);
		return;
	}
	list = perms_list(perms, &n);
	assert_int_equal(n, node->n);
	assert_memory_equal(list, node->list, n * sizeof(*list));
}

/* What the permission filter of watches is given. */
static void hear_filter(struct run *r, const struct change *change,
			struct model *old, bool from_txn)
{
	struct mnode *was = m_find(old, change->path);
	struct mnode *is = m_find(&r->told, change->path);
	char parent[40];

	assert_list(change->perms_before,
		    from_txn || change->kind == CHANGE_PERMS ? was : NULL);
	if (change->kind != CHANGE_REMOVE || from_txn)
		assert_list(change->perms_now, is);
	else
		assert_list(change->perms_now, was);
	assert_list(change->perms_parent, m_parent(change->path, parent) ?
						  m_find(&r->told, parent) :
						  NULL);
}

/* The same changes in both orders; at most one is told of a node. */
static void hear_events(const struct changeset *set)
{
	size_t n = changeset_count(set);

	for (size_t i = 0; i < n; i++) {
		const struct change *change = changeset_event(set, i);
		size_t found = 0;

		for (size_t j = 0; j < n; j++) {
			const struct change *other = changeset_event(set, j);

			found += changeset_get(set, j) == change;
			assert_false(j < i && other == change);
			assert_false(j < i && !change->silent &&
				     !other->silent &&
				     !strcmp(other->path, change->path));
		}
		assert_int_equal(found, 1);
	}
}

/* C1: the changes, in order, make the new tree of the old. */
static void hear(void *arg, const struct changeset *set)
{
	struct run *r = arg;
	uint64_t generation = changeset_generation(set);
	static struct model old;

	old = r->told;
	for (size_t i = 0; i < changeset_count(set); i++) {
		const struct change *change = changeset_get(set, i);
		struct mnode *node = m_find(&r->told, change->path), *above;
		char parent[40];

		if (change->kind == CHANGE_REMOVE) {
			assert_non_null(node);
			m_remove(&r->told, change->path);
			node = NULL;
		} else if (change->kind == CHANGE_CREATE) {
			assert_null(node);
			node = m_add(&r->told, change->path,
				     &(struct mnode){ 0 }, generation);
		}
		if (node) {
			struct blob value = node_value(change->after);
			const struct perm *list =
				perms_list(node_perms(change->after), &node->n);

			assert_true(value.len < sizeof(node->value));
			memset(node->value, 0, sizeof(node->value));
			if (value.len)
				memcpy(node->value, value.data, value.len);
			memcpy(node->list, list, node->n * sizeof(*list));
			node->generation = generation;
			assert_ptr_equal(node_perms(change->after),
					 change->perms_now);
		}
		if ((change->kind == CHANGE_CREATE ||
		     change->kind == CHANGE_REMOVE) &&
		    m_parent(change->path, parent)) {
			above = m_find(&r->told, parent);
			if (above)
				above->generation = generation;
		}
	}
	for (size_t i = 0; i < changeset_count(set); i++)
		hear_filter(r, changeset_get(set, i), &old,
			    changeset_from_txn(set));
	hear_events(set);
}

static void real_exec(struct run *r, int client, struct txn *txn,
		      const struct mreq *req, char *reply)
{
	struct world *w = r->w;
	struct view view = world_view(w, client, txn);
	struct node *node, *kid;
	struct kid_iter iter = { 0 };
	struct blob blob;
	size_t n;
	int err = 0;

	strcpy(reply, "OK");
	switch (req->op) {
	case M_READ:
		err = view_node(&view, req->path, FACET_VALUE, &node);
		if (err)
			break;
		blob = node_value(node);
		snprintf(reply, 512, "%.*s", (int)blob.len,
			 blob.data ? (const char *)blob.data : "");
		break;
	case M_LIST:
		err = view_node(&view, req->path, FACET_KIDS, &node);
		if (err)
			break;
		*reply = '\0';
		while ((kid = node_next_kid(node, &iter)))
			sprintf(reply + strlen(reply), "%.*s ",
				(int)node_name(kid).len,
				(const char *)node_name(kid).data);
		break;
	case M_PERMS: {
		const struct perm *list;

		err = view_node(&view, req->path, FACET_PERMS, &node);
		if (err)
			break;
		list = perms_list(node_perms(node), &n);
		m_list_text(list, n, reply);
		break;
	}
	case M_WRITE:
		err = view_write(&view, req->path, text(req->value));
		break;
	case M_MKDIR:
		err = view_mkdir(&view, req->path);
		break;
	case M_RM:
		err = view_rm(&view, req->path);
		break;
	case M_CHMOD:
		err = view_set_perms(&view, req->path, req->list, req->n);
		break;
	default:
		abort();
	}
	if (err)
		strcpy(reply, strerrorname_np(err < 0 ? -err : err));
}

static void random_list(struct run *r, struct perm *list, size_t *n)
{
	*n = 1 + roll(r, 3);
	for (size_t i = 0; i < *n; i++)
		list[i] = (struct perm){
			.domid = i && !roll(r, 6) ? DOMID_ANY :
						    roll(r, CLIENTS),
			.rights = roll(r, 3) ? PERM_BOTH : roll(r, 4),
		};
}

static void random_request(struct run *r, struct mreq *req)
{
	static const enum mop ops[] = { M_READ,	 M_READ,  M_LIST,  M_PERMS,
					M_WRITE, M_WRITE, M_WRITE, M_MKDIR,
					M_MKDIR, M_RM,	  M_RM,	   M_CHMOD };
	uint32_t depth = roll(r, 5);

	memset(req, 0, sizeof(*req));
	req->op = ops[roll(r, sizeof(ops) / sizeof(ops[0]))];
	if (!depth)
		strcpy(req->path, "/");
	for (uint32_t i = 0; i < depth; i++)
		sprintf(req->path + strlen(req->path), "/%c", 'a' + roll(r, 2));
	if ((req->op == M_PERMS || req->op == M_CHMOD) && !roll(r, 8))
		strcpy(req->path, "@releaseDomain");
	if (req->op == M_WRITE)
		sprintf(req->value, "%c", '0' + roll(r, 3));
	if (req->op == M_CHMOD)
		random_list(r, req->list, &req->n);
}

static void compare(struct run *r, struct model *m, bool generations)
{
	struct tree_walk *walk;
	struct node *node, *kid;
	const char *path;
	size_t n = 0;

	assert_int_equal(tree_walk_new(r->w, store_root(r->w->store), "",
				       &walk), 0);
	while (!tree_walk_next(walk, &node, &path)) {
		struct mnode *like = m_find(m, path);
		struct kid_iter iter = { 0 };
		struct blob value = node_value(node);
		char want[512], have[512] = "";
		const struct perm *list;
		size_t count;

		n++;
		if (!like)
			fail_msg("%s should not be there", path);
		if (value.len != strlen(like->value) ||
		    (value.len && memcmp(value.data, like->value, value.len)))
			fail_msg("%s has another value", path);
		list = perms_list(node_perms(node), &count);
		m_list_text(list, count, have);
		m_list_text(like->list, like->n, want);
		if (strcmp(have, want))
			fail_msg("%s has %s, not %s", path, have, want);
		if (generations && like->generation != node_generation(node))
			fail_msg("%s has another generation", path);
		have[0] = '\0';
		while ((kid = node_next_kid(node, &iter)))
			sprintf(have + strlen(have), "%.*s ",
				(int)node_name(kid).len,
				(const char *)node_name(kid).data);
		m_kids_text(m, path, want);
		if (strcmp(have, want))
			fail_msg("%s lists %s, not %s", path, have, want);
	}
	talloc_free(walk);
	assert_int_equal(n, m->n);
}

static void load_model(struct run *r, struct model *m)
{
	struct tree_walk *walk;
	struct node *node;
	const char *path;

	m->n = 0;
	assert_int_equal(tree_walk_new(r->w, store_root(r->w->store), "",
				       &walk), 0);
	while (!tree_walk_next(walk, &node, &path)) {
		struct mnode *like = &m->node[m->n++];
		const struct perm *list;

		memset(like, 0, sizeof(*like));
		strcpy(like->path, path);
		list = perms_list(node_perms(node), &like->n);
		memcpy(like->list, list, like->n * sizeof(*list));
		like->generation = node_generation(node);
	}
	talloc_free(walk);
}

/* R1, E1: now and then there is no memory for nodes, lists, or all else. */
static void starve(struct run *r)
{
	struct store *store = r->w->store;

	if (!r->scarce || roll(r, 4))
		return;
	if (roll(r, 3)) {
		nodes_fail_after(store_nodes(store), roll(r, 12));
		perms_table_fail_after(store_perms_table(store), roll(r, 3));
	} else {
		mallocs_left = roll(r, 12);
	}
}

static void feed(struct run *r)
{
	mallocs_left = UINT64_MAX;
	nodes_fail_after(store_nodes(r->w->store), UINT64_MAX);
	perms_table_fail_after(store_perms_table(r->w->store), UINT64_MAX);
}

static void step_live(struct run *r, int client)
{
	char reply[512], want[512];
	struct mreq req;
	bool existed;

	random_request(r, &req);
	starve(r);
	real_exec(r, client, NULL, &req, reply);
	feed(r);
	if (!strcmp(reply, "ENOMEM")) {
		r->starved++;
		return;
	}
	m_exec(&r->live, &req, &r->w->who[client], want, &existed);
	assert_string_equal(reply, want);
}

/* Did the transaction make or remove a child of the node? */
static bool lists_own_doing(const struct touched *at)
{
	struct touched *kid;

	list_for_each(kid, &at->kids, siblings)
	{
		if (kid->ensured || kid->cut)
			return true;
	}
	return false;
}

static void step_txn(struct run *r, struct open *open)
{
	struct done *done = &open->done[open->n++];
	struct txn *txn = open->txn;
	const struct who *who = &r->w->who[open->client];
	struct touched *at;
	struct node *root;

	random_request(r, &done->req);
	/* what the operation is about to see */
	assert_int_equal(txn_look(txn, who, done->req.path, &root), 0);
	done->existed = tree_find(root, done->req.path);
	at = txn->at;
	if (at) {
		if (!who->privileged && touched_is_ours(at))
			open->coarse = true;
		if (done->req.op == M_LIST && lists_own_doing(at))
			open->coarse = true;
		if (done->req.op == M_PERMS && touched_is_ours(at))
			open->coarse = true;
		if (done->req.op == M_CHMOD && who->target != DOMID_INVALID)
			open->coarse = true;
	}
	starve(r);
	real_exec(r, open->client, txn, &done->req, done->reply);
	feed(r);
	if (!strcmp(done->reply, "ENOMEM")) {
		r->starved++;
		open->doomed = true;
	}
	if (!strcmp(done->reply, "EACCES"))
		done->existed = false;
}

/* Executes the requests on a copy of the live model. Are the replies the same,
 * and, if asked for, what MKDIR and RM saw? */
static bool replay(struct run *r, const struct open *open, struct model *copy,
		   bool saw, char *why)
{
	*copy = r->live;
	for (size_t i = 0; i < open->n; i++) {
		const struct done *done = &open->done[i];
		char reply[512];
		bool existed;

		m_exec(copy, &done->req, &r->w->who[open->client], reply,
		       &existed);
		sprintf(why, "%d %s: %s, replayed %s", done->req.op,
			done->req.path, done->reply, reply);
		if (strcmp(reply, done->reply))
			return false;
		if (saw && existed != done->existed &&
		    (done->req.op == M_MKDIR || done->req.op == M_RM))
			return false;
	}
	return true;
}

/* Would a guest make a directory again that others removed? */
static bool parents_are_there(struct run *r, const struct open *open)
{
	for (size_t i = 0; i < open->n; i++) {
		const struct mreq *req = &open->done[i].req;
		char parent[40];

		if ((req->op == M_WRITE || req->op == M_MKDIR) &&
		    m_parent(req->path, parent) && !m_find(&r->live, parent))
			return false;
	}
	return true;
}

static void step_commit(struct run *r, struct open *open)
{
	const struct who *who = &r->w->who[open->client];
	bool wrote = txn_wrote(open->txn);
	bool excused = open->coarse || open->txn->dropped ||
		       open->txn->outlived;
	static struct model copy;
	char why[2048];
	int err;

	starve(r);
	err = txn_commit(open->txn, who);
	feed(r);
	if (open->doomed) {
		assert_int_equal(err, ENOMEM);
	} else if (err == -ENOMEM) {
		r->starved++;
	} else if (!err && wrote) {
		if (!replay(r, open, &copy, false, why))
			fail_msg("committed, but %s", why);
		r->live = copy;
		r->commits++;
	} else if (err) {
		assert_int_equal(err, EAGAIN);
		assert_true(wrote || open->txn->astray);	/* T5 */
		r->conflicts++;
		if (replay(r, open, &copy, true, why)) {
			if (!excused &&
			    (who->privileged || parents_are_there(r, open)))
				fail_msg("refused for %s",
					 txn_conflict(open->txn));
			r->refused_coarse++;
		}
	}
	talloc_free(open->txn);
	open->txn = NULL;
}

static void step_begin(struct run *r, struct open *open, int client)
{
	open->txn = begin(r->w, client);
	open->client = client;
	open->n = 0;
	open->coarse = open->doomed = false;
}

/* A domain dies; a new one has its id at once. */
static void step_death(struct run *r)
{
	uint16_t domid = 1 + roll(r, 2);

	for (int i = 0; i < OPEN; i++) {
		struct open *open = &r->open[i];

		if (open->txn && (open->client == domid ||
				  r->w->who[open->client].target == domid)) {
			talloc_free(open->txn);
			open->txn = NULL;
		}
	}
	starve(r);
	while (store_purge_domain(r->w->store, domid, false)) {
		feed(r);
		compare(r, &r->live, false);
		r->starved++;
	}
	feed(r);
	m_purge(&r->live, domid, 0);
	/* permission lists are purged without a change to tell of */
	for (size_t i = 0; i < r->told.n; i++) {
		struct mnode *node = &r->told.node[i];
		struct mnode *like = m_find(&r->live, node->path);

		if (!like)
			abort();
		memcpy(node->list, like->list, sizeof(node->list));
		node->n = like->n;
	}
}

/* A transaction goes through a live update. */
static void step_update(struct run *r, struct open *open)
{
	struct ledger *ledger = r->w->ledger[open->client];
	struct txn *txn;
	struct blob saved;
	int err;

	starve(r);
	err = txn_save(r->w, open->txn, &saved);
	feed(r);
	if (err) {
		assert_int_equal(err, -ENOMEM);
		r->starved++;
		return;
	}
	talloc_free(open->txn);
	open->txn = NULL;
	do {
		starve(r);
		err = txn_load(r->w, r->w->store, ledger, saved, &txn);
		feed(r);
		r->starved += err == -ENOMEM;
	} while (err == -ENOMEM);
	assert_int_equal(err, 0);
	open->txn = txn;
	talloc_free((void *)saved.data);
}

static void step(struct run *r)
{
	struct open *open = &r->open[roll(r, OPEN)];
	uint32_t what = roll(r, 100);

	if (what == 0)
		step_death(r);
	else if (what < 4)
		store_reap(r->w->store, roll(r, 5));
	else if (what < 30)
		step_live(r, roll(r, CLIENTS));
	else if (!open->txn)
		step_begin(r, open, roll(r, 2) ? 0 : roll(r, CLIENTS));
	else if (open->n == REQUESTS || what < 45)
		step_commit(r, open);
	else if (what < 50)
		step_update(r, open);
	else
		step_txn(r, open);
}

static void history(struct run *r)
{
	for (int i = 0; i <= GUESTS; i++)
		for (int item = 0; item < QUOTA_COUNT; item++)
			ledger_set_limit(r->w->ledger[i], item, 0);
	assert_int_equal(store_add_consumer(r->w->store, hear, r), 0);
	r->w->who[3].target = 1;
	load_model(r, &r->live);
	r->told = r->live;
	step_live(r, 0);
	for (int i = 0; i < STEPS; i++) {
		step(r);
		compare(r, &r->live, false);
		compare(r, &r->told, true);
	}
	for (int i = 0; i < OPEN; i++) {
		talloc_free(r->open[i].txn);
		r->open[i].txn = NULL;
	}
}

/* The seed of the history being played; 0: none. */
static uint64_t playing;

static int say_seed(void **state)
{
	(void)state;
	if (playing)
		print_error("ORACLE_ROUNDS=1 ORACLE_SEED=%llu shows it\n",
			    (unsigned long long)playing);
	return 0;
}

static uint64_t environment(const char *name, uint64_t fallback)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : fallback;
}

static void play(bool scarce, uint64_t rounds)
{
	uint64_t seed = environment("ORACLE_SEED", 1);
	static struct run run;
	uint64_t commits = 0, conflicts = 0, coarse = 0, starved = 0;

	rounds = environment("ORACLE_ROUNDS", rounds);
	for (uint64_t i = 0; i < rounds; i++) {
		void *world;

		memset(&run, 0, sizeof(run));
		assert_int_equal(world_setup(&world), 0);
		run.w = world;
		run.random = seed + i;
		run.scarce = scarce;
		playing = seed + i;
		history(&run);
		commits += run.commits;
		conflicts += run.conflicts;
		coarse += run.refused_coarse;
		starved += run.starved;
		world_teardown(&world);
	}
	playing = 0;
	print_message("%llu commits, %llu conflicts, %llu of them although a "
		      "replay had gone well, memory failed %llu times\n",
		      (unsigned long long)commits,
		      (unsigned long long)conflicts,
		      (unsigned long long)coarse, (unsigned long long)starved);
	assert_true(commits > rounds && conflicts > rounds / 4);
	assert_true(coarse < conflicts / 4);
	assert_true(!scarce || starved > rounds);
}

/* P2, S3, T1-T5, C1, I1, I2 */
static void replaying_a_committed_transaction_gives_the_same_replies(
	void **state)
{
	(void)state;
	play(false, 300);
}

/* E1, R1 */
static void what_fails_for_lack_of_memory_leaves_no_trace(void **state)
{
	(void)state;
	play(true, 200);
}

static const struct CMUnitTest tests[] = {
	HARNESS_TEST(replaying_a_committed_transaction_gives_the_same_replies,
		     NULL, say_seed),
	HARNESS_TEST(what_fails_for_lack_of_memory_leaves_no_trace, NULL,
		     say_seed),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
