/* SPDX-License-Identifier: MIT */
/* Nodes and edits of the tree (store/node.h, store/tree.h). */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "store/path.h"
#include "store/tree.h"

struct fixture {
	TALLOC_CTX *ctx;
	struct nodes *nodes;
	struct perms_table *table;
	struct perms *perms, *other;
	struct node *root;
	uint64_t generation;
};

static struct blob text(const char *s)
{
	return (struct blob){ s, strlen(s) };
}

static int setup(void **state)
{
	struct fixture *f = talloc_zero(NULL, struct fixture);

	assert_non_null(f);
	f->ctx = f;
	assert_int_equal(nodes_new(f, &f->nodes), 0);
	assert_int_equal(perms_table_new(f, &f->table), 0);
	assert_int_equal(perms_intern(f->table, &(struct perm){ 0, 0, 0 }, 1,
				      &f->perms), 0);
	assert_int_equal(perms_intern(f->table, &(struct perm){ 5, 1, 0 }, 1,
				      &f->other), 0);
	assert_int_equal(tree_new(f->nodes, f->perms, ++f->generation,
				  &f->root), 0);
	*state = f;
	return 0;
}

/* N2: nothing is left of the nodes, and nothing of their lists. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	size_t bytes, lists;

	node_unref(f->root);
	while (nodes_reap(f->nodes, 100))
		;
	perms_unref(f->perms);
	perms_unref(f->other);
	bytes = nodes_bytes(f->nodes);
	lists = perms_table_count(f->table);
	talloc_free(f);
	return bytes || lists ? -1 : 0;
}

static int create(struct fixture *f, const char *path, const char *value)
{
	return tree_create(f->nodes, &f->root, path, f->perms, text(value),
			   ++f->generation, NULL);
}

static int set(struct fixture *f, const char *path, const char *value)
{
	return tree_set_value(f->nodes, &f->root, path, text(value),
			      ++f->generation);
}

static int rm(struct fixture *f, const char *path)
{
	struct node *removed;
	int err = tree_remove(f->nodes, &f->root, path, ++f->generation,
			      &removed);

	if (!err)
		node_unref(removed);
	return err;
}

static void assert_value(const struct node *root, const char *path,
			 const char *value)
{
	const struct node *node = tree_find(root, path);

	assert_non_null(node);
	assert_int_equal(node_value(node).len, strlen(value));
	assert_memory_equal(node_value(node).data, value, strlen(value));
}

static uint64_t generation(const struct fixture *f, const char *path)
{
	return node_generation(tree_find(f->root, path));
}

static void a_new_tree_has_an_empty_root(void **state)
{
	struct fixture *f = *state;
	struct node *top = tree_find(f->root, "/");

	assert_non_null(top);
	assert_int_equal(node_kids(top), 0);
	assert_int_equal(node_kids_bytes(top), 0);
	assert_int_equal(node_value(top).len, 0);
	assert_null(tree_find(f->root, "/a"));
	assert_null(tree_find(f->root, "@a"));
}

static void missing_ancestors_are_made(void **state)
{
	struct fixture *f = *state;
	struct node *out;

	assert_int_equal(tree_create(f->nodes, &f->root, "/a/b/c", f->other,
				     text("v"), 7, &out), 0);
	assert_ptr_equal(out, tree_find(f->root, "/a/b/c"));
	assert_value(f->root, "/a/b/c", "v");
	assert_value(f->root, "/a", "");
	assert_value(f->root, "/a/b", "");
	assert_ptr_equal(node_perms(tree_find(f->root, "/a/b")), f->other);
	assert_int_equal(generation(f, "/a"), 7);
	assert_int_equal(generation(f, "/a/b"), 7);
	assert_int_equal(node_name(out).len, 1);
	assert_memory_equal(node_name(out).data, "c", 1);
	assert_int_equal(create(f, "/a/b", "again"), EEXIST);
}

/* R3 */
static void only_the_direct_parent_gets_the_generation(void **state)
{
	struct fixture *f = *state;
	uint64_t top = generation(f, "/"), a, b;

	create(f, "/a/b", "");
	assert_int_equal(generation(f, "/"), f->generation);
	top = a = f->generation;
	create(f, "/a/b/c", "");
	b = f->generation;
	assert_int_equal(generation(f, "/"), top);
	assert_int_equal(generation(f, "/a"), a);
	assert_int_equal(generation(f, "/a/b"), b);

	set(f, "/a/b/c", "1");
	assert_int_equal(generation(f, "/a/b/c"), f->generation);
	assert_int_equal(generation(f, "/a/b"), b);
	assert_int_equal(tree_set_perms(f->nodes, &f->root, "/a/b/c", f->other,
					++f->generation), 0);
	assert_ptr_equal(node_perms(tree_find(f->root, "/a/b/c")), f->other);
	assert_int_equal(generation(f, "/a/b/c"), f->generation);
	assert_int_equal(generation(f, "/a/b"), b);

	rm(f, "/a/b/c");
	assert_int_equal(generation(f, "/a/b"), f->generation);
	assert_int_equal(generation(f, "/a"), a);
}

static void special_nodes_are_beside_the_tree(void **state)
{
	struct fixture *f = *state;
	size_t len;

	assert_null(tree_nearest(f->root, "@introduceDomain", &len));
	create(f, "@introduceDomain", "x");
	create(f, "/@introduceDomain", "y");
	assert_value(f->root, "@introduceDomain", "x");
	assert_value(f->root, "/@introduceDomain", "y");
	assert_int_equal(node_kids(tree_find(f->root, "/")), 1);
	rm(f, "/@introduceDomain");
	assert_value(f->root, "@introduceDomain", "x");
	rm(f, "@introduceDomain");
	assert_null(tree_find(f->root, "@introduceDomain"));
}

static void the_nearest_existing_node_is_told(void **state)
{
	struct fixture *f = *state;
	size_t len;

	create(f, "/a/bc", "");
	assert_ptr_equal(tree_nearest(f->root, "/a/bc/d/e", &len),
			 tree_find(f->root, "/a/bc"));
	assert_int_equal(len, 5);
	assert_ptr_equal(tree_nearest(f->root, "/a/b", &len),
			 tree_find(f->root, "/a"));
	assert_int_equal(len, 2);
	assert_ptr_equal(tree_nearest(f->root, "/x", &len),
			 tree_find(f->root, "/"));
	assert_int_equal(len, 1);
	assert_ptr_equal(tree_nearest(f->root, "/a/bc", &len),
			 tree_find(f->root, "/a/bc"));
	assert_int_equal(len, 5);
}

/* N1: and what nobody holds is edited in place. */
static void a_held_root_does_not_change(void **state)
{
	struct fixture *f = *state;
	struct node *old, *live, *removed;

	create(f, "/a/b", "1");
	create(f, "/c", "1");
	live = tree_find(f->root, "/a/b");
	set(f, "/a/b", "2");
	assert_ptr_equal(tree_find(f->root, "/a/b"), live);

	old = node_ref(f->root);
	set(f, "/a/b", "3");
	create(f, "/a/x/y", "");
	assert_ptr_not_equal(f->root, old);
	assert_value(old, "/a/b", "2");
	assert_null(tree_find(old, "/a/x"));
	assert_ptr_equal(tree_find(old, "/c"), tree_find(f->root, "/c"));
	assert_int_equal(tree_remove(f->nodes, &f->root, "/a", 9, &removed), 0);
	assert_null(tree_find(f->root, "/a"));
	assert_value(old, "/a/b", "2");
	node_unref(old);
	node_unref(removed);
}

/* A node that a changeset holds stays; the rest is still edited in place. */
static void a_held_node_does_not_change(void **state)
{
	struct fixture *f = *state;
	struct node *root, *before;

	create(f, "/a/b", "1");
	root = f->root;
	before = node_ref(tree_find(f->root, "/a/b"));
	set(f, "/a/b", "2");
	assert_ptr_equal(f->root, root);
	assert_int_equal(node_value(before).len, 1);
	assert_memory_equal(node_value(before).data, "1", 1);
	assert_value(f->root, "/a/b", "2");
	node_unref(before);
}

static void values_may_change_their_size(void **state)
{
	struct fixture *f = *state;
	static char big[4097];
	size_t before;

	memset(big, 'x', 4096);
	create(f, "/a/b", "1");
	while (nodes_reap(f->nodes, 100))
		;
	before = nodes_bytes(f->nodes);
	set(f, "/a", big);
	assert_value(f->root, "/a", big);
	assert_value(f->root, "/a/b", "1");
	assert_true(nodes_bytes(f->nodes) > before + 4000);
	set(f, "/a", "");
	assert_value(f->root, "/a", "");
	assert_value(f->root, "/a/b", "1");
	while (nodes_reap(f->nodes, 100))
		;
	assert_int_equal(nodes_bytes(f->nodes), before);
}

static void quota_speaks_of_value_list_and_names(void **state)
{
	struct fixture *f = *state;

	create(f, "/a/bcd", "");
	create(f, "/a/e", "");
	set(f, "/a", "12345");
	assert_int_equal(node_quota_size(tree_find(f->root, "/a")),
			 16 + 8 + 5 + 4 + 2);
}

/*
 * The model: nodes in order of creation, each with its path. Children of a
 * node are those whose path has the node's as parent, in this order.
 */
struct entry {
	char path[40];
	char value[80];
	const struct perms *perms;
	uint64_t generation;
};

struct model {
	size_t n;
	struct entry entry[600];
};

static struct entry *model_find(struct model *m, const char *path)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		if (strcmp(m->entry[i].path, path) == 0)
			return &m->entry[i];
	}
	return NULL;
}

static void model_add(struct model *m, const char *path, const char *value,
		      const struct perms *perms, uint64_t gen)
{
	struct entry *e = &m->entry[m->n++];

	assert_true(m->n <= 600);
	memset(e, 0, sizeof(*e));
	strcpy(e->path, path);
	strcpy(e->value, value);
	e->perms = perms;
	e->generation = gen;
}

static void parent_of(const char *path, char *parent)
{
	size_t len = path_parent_len(path, strlen(path));

	memcpy(parent, path, len);
	parent[len] = '\0';
}

static void model_create(struct model *m, const char *path, const char *value,
			 const struct perms *perms, uint64_t gen)
{
	char missing[8][40], parent[40];
	size_t n = 0;

	strcpy(parent, path);
	while (parent[0] && !model_find(m, parent)) {
		strcpy(missing[n++], parent);
		parent_of(missing[n - 1], parent);
	}
	if (parent[0])
		model_find(m, parent)->generation = gen;
	while (n--)
		model_add(m, missing[n], n ? "" : value, perms, gen);
}

static void model_remove(struct model *m, const char *path, uint64_t gen)
{
	char parent[40];
	size_t i, kept = 0;

	parent_of(path, parent);
	if (parent[0])
		model_find(m, parent)->generation = gen;
	for (i = 0; i < m->n; i++) {
		if (!path_is_below(path, m->entry[i].path))
			m->entry[kept++] = m->entry[i];
	}
	m->n = kept;
}

static size_t model_list(const struct model *m, const char *path, char *buf)
{
	size_t i, len = strlen(path), used = 0;
	const char *name;

	for (i = 0; i < m->n; i++) {
		const char *p = m->entry[i].path;

		if (path_parent_len(p, strlen(p)) != len ||
		    strncmp(p, path, len) != 0)
			continue;
		name = strrchr(p, '/') + 1;
		strcpy(buf + used, name);
		used += strlen(name) + 1;
	}
	return used;
}

/* Pages through the names in steps that fit into `room`. */
static size_t list(const struct node *node, char *buf, size_t room)
{
	size_t used = 0, n;
	bool end = false;

	while (!end) {
		n = node_list_kids(node, used, buf + used, room, &end);
		assert_true(n || end);
		used += n;
	}
	return used;
}

static void assert_is(const struct fixture *f, struct node *root,
		      struct model *m)
{
	static char want[40000], got[40000];
	struct tree_walk *walk;
	struct node *node;
	const char *path;
	size_t n = 0, len;

	assert_int_equal(tree_walk_new(f->ctx, root, "", &walk), 0);
	while (tree_walk_next(walk, &node, &path) == 0) {
		struct entry *e = model_find(m, path);

		assert_non_null(e);
		assert_value(root, path, e->value);
		assert_ptr_equal(tree_find(root, path), node);
		assert_ptr_equal(node_perms(node), e->perms);
		assert_int_equal(node_generation(node), e->generation);
		len = model_list(m, path, want);
		assert_int_equal(node_kids_bytes(node), len);
		assert_int_equal(list(node, got, 50), len);
		assert_memory_equal(want, got, len);
		n++;
	}
	assert_int_equal(n, m->n);
	talloc_free(walk);
}

static void random_path(char *path, unsigned int names)
{
	int depth = 1 + rand() % 4;

	if (rand() % 50 == 0) {
		strcpy(path, rand() % 2 ? "@x" : "@y");
		return;
	}
	while (depth--)
		path += sprintf(path, "/%.*s%u", rand() % 2 ? 0 : 5, "namel",
				(unsigned int)rand() % names);
}

static struct node *removed_by_edit;

/* One random edit of tree and model. */
static int random_edit(struct fixture *f, struct model *m, unsigned int names)
{
	static const char filler[] =
		"0123456789012345678901234567890123456789012345678901234567890";
	struct perms *perms = rand() % 2 ? f->perms : f->other;
	char path[40], value[80];
	uint64_t gen = f->generation + 1;
	struct entry *e;
	int err;

	random_path(path, names);
	snprintf(value, sizeof(value), "%u%.*s", (unsigned int)gen,
		 rand() % 3 ? 0 : rand() % 60, filler);
	e = model_find(m, path);
	removed_by_edit = NULL;
	if (!e && m->n > 500)
		return 0;
	if (!e) {
		err = tree_create(f->nodes, &f->root, path, perms, text(value),
				  gen, NULL);
		if (!err)
			model_create(m, path, value, perms, gen);
	} else if (rand() % 3 == 0) {
		err = tree_remove(f->nodes, &f->root, path, gen,
				  &removed_by_edit);
		if (!err)
			model_remove(m, path, gen);
	} else if (rand() % 3 == 0) {
		err = tree_set_perms(f->nodes, &f->root, path, perms, gen);
		if (!err)
			e->perms = perms;
	} else {
		err = tree_set_value(f->nodes, &f->root, path, text(value),
				     gen);
		if (!err)
			strcpy(e->value, value);
	}
	if (!err && (e = model_find(m, path)))
		e->generation = gen;
	if (!err)
		f->generation = gen;
	return err;
}

static struct model *model_new(const struct fixture *f)
{
	struct model *m = talloc_zero(f->ctx, struct model);

	model_add(m, "/", "", f->perms, f->generation);
	return m;
}

/* N1, N4, R3: random histories, with snapshots held meanwhile. */
static void random_histories_agree_with_a_model(void **state, unsigned int seed,
						unsigned int names,
						unsigned int rounds)
{
	enum { SNAPSHOTS = 4 };
	struct fixture *f = *state;
	struct model *m = model_new(f);
	struct {
		struct node *root;
		struct model *model;
	} snap[SNAPSHOTS] = { 0 };
	unsigned int i, k;

	srand(seed);
	for (i = 0; i < rounds; i++) {
		assert_int_equal(random_edit(f, m, names), 0);
		node_unref(removed_by_edit);
		if (rand() % 3 == 0)
			nodes_reap(f->nodes, (unsigned int)rand() % 5);
		if (i % 50 == 0)
			assert_is(f, f->root, m);
		if (rand() % 40)
			continue;
		k = (unsigned int)rand() % SNAPSHOTS;
		if (snap[k].root) {
			assert_is(f, snap[k].root, snap[k].model);
			node_unref(snap[k].root);
			talloc_free(snap[k].model);
			snap[k].root = NULL;
		} else {
			snap[k].root = node_ref(f->root);
			snap[k].model = talloc_memdup(f->ctx, m, sizeof(*m));
		}
	}
	assert_is(f, f->root, m);
	for (k = 0; k < SNAPSHOTS; k++)
		node_unref(snap[k].root);
}

static void histories_of_small_directories_agree_with_a_model(void **state)
{
	random_histories_agree_with_a_model(state, 1, 4, 8000);
}

static void histories_of_large_directories_agree_with_a_model(void **state)
{
	random_histories_agree_with_a_model(state, 2, 60, 6000);
}

/* R1: whichever allocation of an edit fails, nothing has happened. */
static void an_edit_without_memory_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct model *m = model_new(f), *before;
	struct node *root, *snapshot = NULL;
	unsigned int i, n, seed;
	size_t bytes;
	int err;

	srand(3);
	for (i = 0; i < 1500; i++) {
		if (i % 10 == 0) {
			node_unref(snapshot);
			snapshot = i % 20 ? NULL : node_ref(f->root);
		}
		while (nodes_reap(f->nodes, 100))
			;
		seed = (unsigned int)rand();
		before = talloc_memdup(f->ctx, m, sizeof(*m));
		for (n = 0;; n++) {
			root = f->root;
			bytes = nodes_bytes(f->nodes);
			nodes_fail_after(f->nodes, n);
			srand(seed);
			err = random_edit(f, m, i % 2 ? 5 : 60);
			nodes_fail_after(f->nodes, UINT64_MAX);
			if (!err)
				break;
			assert_int_equal(err, -ENOMEM);
			assert_ptr_equal(f->root, root);
			while (nodes_reap(f->nodes, 100))
				;
			assert_int_equal(nodes_bytes(f->nodes), bytes);
			if (i % 16 == 0)
				assert_is(f, f->root, before);
		}
		node_unref(removed_by_edit);
		talloc_free(before);
		srand(seed + i);
	}
	node_unref(snapshot);
	assert_is(f, f->root, m);
}

static void paging_begins_at_whole_names(void **state)
{
	struct fixture *f = *state;
	const struct node *node;
	char buf[16];
	bool end;

	create(f, "/aa", "");
	create(f, "/b", "");
	create(f, "/cccc", "");
	node = tree_find(f->root, "/");
	assert_int_equal(node_list_kids(node, 0, buf, 16, &end), 10);
	assert_memory_equal(buf, "aa\0b\0cccc", 10);
	assert_true(end);
	assert_int_equal(node_list_kids(node, 0, buf, 9, &end), 5);
	assert_false(end);
	assert_int_equal(node_list_kids(node, 1, buf, 16, &end), 7);
	assert_memory_equal(buf, "b\0cccc", 7);
	assert_true(end);
	assert_int_equal(node_list_kids(node, 3, buf, 2, &end), 2);
	assert_false(end);
	assert_int_equal(node_list_kids(node, 5, buf, 4, &end), 0);
	assert_false(end);
	assert_int_equal(node_list_kids(node, 6, buf, 16, &end), 0);
	assert_true(end);
	assert_int_equal(node_list_kids(node, 999, buf, 0, &end), 0);
	assert_true(end);
}

static void a_walk_may_skip_subtrees(void **state)
{
	struct fixture *f = *state;
	struct tree_walk *walk;
	struct node *node;
	const char *path;
	char seen[200] = "";

	create(f, "/a/b/c", "");
	create(f, "/a/d", "");
	create(f, "/e", "");
	create(f, "@x", "");
	assert_int_equal(tree_walk_new(f->ctx, f->root, "", &walk), 0);
	while (tree_walk_next(walk, &node, &path) == 0) {
		strcat(strcat(seen, path), " ");
		if (strcmp(path, "/a/b") == 0)
			tree_walk_skip(walk);
	}
	assert_int_equal(tree_walk_next(walk, &node, &path), ENOENT);
	assert_string_equal(seen, "/ /a /a/b /a/d /e @x ");
	talloc_free(walk);

	assert_int_equal(tree_walk_new(f->ctx, tree_find(f->root, "/a"), "/a",
				       &walk), 0);
	tree_walk_next(walk, &node, &path);
	rm(f, "/a");	/* the walk holds what it walks */
	strcpy(seen, path);
	while (tree_walk_next(walk, &node, &path) == 0)
		strcat(strcat(seen, " "), path);
	assert_string_equal(seen, "/a /a/b /a/b/c /a/d");
	talloc_free(walk);
}

static void a_tree_without_memory_is_not_made(void **state)
{
	struct fixture *f = *state;
	struct node *root = NULL;
	unsigned int n;

	for (n = 0; n < 3; n++) {
		nodes_fail_after(f->nodes, n);
		assert_int_equal(tree_new(f->nodes, f->perms, 1, &root),
				 -ENOMEM);
		assert_null(root);
	}
	nodes_fail_after(f->nodes, UINT64_MAX);
}

static void a_walk_without_memory_goes_on_later(void **state)
{
	struct fixture *f = *state;
	char path[2 * 40 + 1];
	TALLOC_CTX *ctx = talloc_new(f->ctx);
	struct tree_walk *walk;
	unsigned int i, n = 0, refused = 0;
	struct node *node;
	const char *p;
	int err;

	for (i = 0; i < 40; i++)
		memcpy(path + 2 * i, "/a", 3);
	create(f, path, "");
	harness_talloc_limit(ctx, 4200);
	assert_int_equal(tree_walk_new(ctx, f->root, "", &walk), 0);
	while ((err = tree_walk_next(walk, &node, &p)) != ENOENT) {
		if (!err) {
			n++;
			continue;
		}
		assert_int_equal(err, -ENOMEM);
		refused++;
		harness_talloc_limit(ctx, 50000);
	}
	assert_int_equal(refused, 1);
	assert_int_equal(n, 41);
	talloc_free(ctx);
}

/* Memory that nobody holds any more is given back before an edit fails. */
static void what_is_dead_is_reaped_in_need(void **state)
{
	struct fixture *f = *state;
	struct node *snapshot;

	create(f, "/a/b/c", "");
	snapshot = node_ref(f->root);
	create(f, "/a/b/d", "");
	node_unref(snapshot);
	nodes_fail_after(f->nodes, 0);
	assert_int_equal(create(f, "/x", ""), -ENOMEM);
	nodes_fail_after(f->nodes, UINT64_MAX);
	assert_false(nodes_reap(f->nodes, 0));
}

/* R4, XSA-418: the deepest path that there is, with a small stack. */
static void *go_deep(void *arg)
{
	struct fixture *f = arg;
	char path[PATH_MAX_LEN + 1];
	struct node *snapshot, *node;
	struct tree_walk *walk;
	const char *p;
	size_t i, n = 0;

	for (i = 0; i < PATH_MAX_LEN; i += 2)
		memcpy(path + i, "/a", 2);
	path[PATH_MAX_LEN] = '\0';
	assert_int_equal(create(f, path, "deep"), 0);
	snapshot = node_ref(f->root);
	assert_int_equal(set(f, path, "deeper"), 0);
	assert_value(snapshot, path, "deep");
	assert_value(f->root, path, "deeper");
	assert_int_equal(tree_walk_new(f->ctx, f->root, "", &walk), 0);
	while (tree_walk_next(walk, &node, &p) == 0)
		n++;
	assert_int_equal(n, 1 + PATH_MAX_LEN / 2);
	assert_string_equal(p, path);
	talloc_free(walk);
	assert_int_equal(rm(f, "/a"), 0);
	node_unref(snapshot);
	while (nodes_reap(f->nodes, 1))
		;
	return NULL;
}

static void depth_costs_no_stack(void **state)
{
	pthread_attr_t attr;
	pthread_t thread;

	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 64 * 1024), 0);
	assert_int_equal(pthread_create(&thread, &attr, go_deep, *state), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
}

#define TEST(name) HARNESS_TEST(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_tree_has_an_empty_root),
		TEST(missing_ancestors_are_made),
		TEST(only_the_direct_parent_gets_the_generation),
		TEST(special_nodes_are_beside_the_tree),
		TEST(the_nearest_existing_node_is_told),
		TEST(a_held_root_does_not_change),
		TEST(a_held_node_does_not_change),
		TEST(values_may_change_their_size),
		TEST(quota_speaks_of_value_list_and_names),
		TEST(histories_of_small_directories_agree_with_a_model),
		TEST(histories_of_large_directories_agree_with_a_model),
		TEST(an_edit_without_memory_changes_nothing),
		TEST(a_tree_without_memory_is_not_made),
		TEST(a_walk_without_memory_goes_on_later),
		TEST(what_is_dead_is_reaped_in_need),
		TEST(paging_begins_at_whole_names),
		TEST(a_walk_may_skip_subtrees),
		TEST(depth_costs_no_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
