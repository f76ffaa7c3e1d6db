/* SPDX-License-Identifier: MIT */
/* Trees that are built as a whole (store/builder.h), against trees that came
 * about by edits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "store/builder.h"
#include "store/tree.h"

struct fixture {
	struct nodes *nodes;
	struct perms_table *table;
	struct perms *perms[2];
	struct node *root;
	uint64_t generation;
	unsigned int seed;
};

static int setup(void **state)
{
	struct fixture *f = talloc_zero(NULL, struct fixture);
	static const struct perm lists[2] = { { 0, 0, 0 }, { 7, 1, 0 } };

	assert_non_null(f);
	assert_int_equal(nodes_new(f, &f->nodes), 0);
	assert_int_equal(perms_table_new(f, &f->table), 0);
	assert_int_equal(perms_intern(f->table, &lists[0], 1, &f->perms[0]), 0);
	assert_int_equal(perms_intern(f->table, &lists[1], 1, &f->perms[1]), 0);
	assert_int_equal(tree_new(f->nodes, f->perms[0], 1, &f->root), 0);
	f->seed = 1;
	*state = f;
	return 0;
}

static void reap(struct fixture *f)
{
	while (nodes_reap(f->nodes, 1000))
		;
}

/* Nothing is left of the nodes, and nothing of their lists. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	size_t bytes, lists;

	node_unref(f->root);
	reap(f);
	perms_unref(f->perms[0]);
	perms_unref(f->perms[1]);
	bytes = nodes_bytes(f->nodes);
	lists = perms_table_count(f->table);
	talloc_free(f);
	return bytes || lists ? -1 : 0;
}

static struct blob text(const char *s)
{
	return (struct blob){ s, strlen(s) };
}

static unsigned int rnd(struct fixture *f, unsigned int n)
{
	return (unsigned int)rand_r(&f->seed) % n;
}

/* Below names that begin alike, and in large directories. */
static void random_path(struct fixture *f, char *path)
{
	static const char *const tops[] = {
		"", "/a", "/a-b", "/a/b", "/a0", "/ab", "/a/b/c", "/a-", "/x",
	};

	if (!rnd(f, 50))
		sprintf(path, "@special%u", rnd(f, 5));
	else
		sprintf(path, "%s/%s%u", tops[rnd(f, 9)],
			rnd(f, 2) ? "" : "a-long-name-", rnd(f, 700));
}

static void random_edit(struct fixture *f, struct node **root, const char *path,
			unsigned int what)
{
	struct node *removed;

	f->generation++;
	if (!tree_find(*root, path)) {
		assert_int_equal(tree_create(f->nodes, root, path,
					     f->perms[what % 2], text(path),
					     f->generation, NULL), 0);
	} else if (what % 4) {
		assert_int_equal(tree_set_value(f->nodes, root, path,
						text(path + what % 3),
						f->generation), 0);
	} else {
		assert_int_equal(tree_remove(f->nodes, root, path,
					     f->generation, &removed), 0);
		node_unref(removed);
	}
}

struct row {
	char path[64];
	struct node *node;
	uint64_t order;
};

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->path,
		      ((const struct row *)b)->path);
}

/* All nodes by path, each with its number in a walk. */
static struct row *rows_of(TALLOC_CTX *ctx, struct node *root, size_t *n)
{
	struct tree_walk *walk;
	struct row *rows = NULL;
	struct node *node;
	const char *path;

	*n = 0;
	assert_int_equal(tree_walk_new(ctx, root, "", &walk), 0);
	while (!tree_walk_next(walk, &node, &path)) {
		if (!*path)
			continue;
		rows = talloc_realloc(ctx, rows, struct row, *n + 1);
		strcpy(rows[*n].path, path);
		rows[*n].node = node;
		rows[*n].order = *n;
		++*n;
	}
	talloc_free(walk);
	qsort(rows, *n, sizeof(*rows), by_path);
	return rows;
}

static int feed(struct builder *builder, const struct row *rows, size_t n)
{
	int err = 0;
	size_t i;

	for (i = 0; !err && i < n; i++)
		err = builder_add(builder, rows[i].path,
				  node_value(rows[i].node),
				  node_perms(rows[i].node),
				  node_generation(rows[i].node),
				  rows[i].order);
	return err;
}

static int build(struct fixture *f, const struct row *rows, size_t n,
		 struct node **root)
{
	struct builder *builder;
	int err;

	*root = NULL;
	assert_int_equal(builder_new(f, f->nodes, &builder), 0);
	err = feed(builder, rows, n);
	if (!err)
		err = builder_end(builder, root);
	talloc_free(builder);
	return err;
}

static void same_blob(struct blob a, struct blob b)
{
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
}

static void same_trees(struct fixture *f, struct node *a, struct node *b)
{
	size_t n, n_b, i;
	struct row *rows = rows_of(f, a, &n), *other = rows_of(f, b, &n_b);

	assert_int_equal(n, n_b);
	for (i = 0; i < n; i++) {
		const struct node *x = rows[i].node, *y = other[i].node;

		assert_string_equal(rows[i].path, other[i].path);
		assert_int_equal(rows[i].order, other[i].order);
		same_blob(node_value(x), node_value(y));
		assert_ptr_equal(node_perms(x), node_perms(y));
		assert_int_equal(node_generation(x), node_generation(y));
		assert_int_equal(node_kids(x), node_kids(y));
		assert_int_equal(node_kids_bytes(x), node_kids_bytes(y));
		assert_true(node_same_kids(x, y));
		assert_ptr_equal(tree_find(b, rows[i].path), y);
	}
	talloc_free(rows);
	talloc_free(other);
}

static void a_tree_that_was_built_is_the_same(void **state)
{
	struct fixture *f = *state;
	unsigned int round, i, what;
	struct node *built;
	struct row *rows;
	uint64_t before;
	char path[64];
	size_t n;

	for (round = 0; round < 12; round++) {
		for (i = 0; i < 1u << round; i++) {
			random_path(f, path);
			random_edit(f, &f->root, path, rnd(f, 12));
		}
		rows = rows_of(f, f->root, &n);
		assert_int_equal(build(f, rows, n, &built), 0);
		talloc_free(rows);
		same_trees(f, f->root, built);
		/* It is as good as the other one. */
		for (i = 0; i < 500; i++) {
			random_path(f, path);
			what = rnd(f, 12);
			before = f->generation;
			random_edit(f, &f->root, path, what);
			f->generation = before;
			random_edit(f, &built, path, what);
		}
		same_trees(f, f->root, built);
		node_unref(built);
		reap(f);
	}
}

static void without_memory_nothing_is_left(void **state)
{
	struct fixture *f = *state;
	size_t n, bytes, fail;
	struct node *built;
	struct row *rows;
	char path[64];
	int i, err;

	for (i = 0; i < 200; i++) {
		sprintf(path, "/%s/%d", i % 2 ? "large" : "a/b", i / 2);
		random_edit(f, &f->root, path, 1);
	}
	reap(f);
	bytes = nodes_bytes(f->nodes);
	rows = rows_of(f, f->root, &n);
	for (fail = 0; ; fail++) {
		nodes_fail_after(f->nodes, fail);
		err = build(f, rows, n, &built);
		nodes_fail_after(f->nodes, UINT64_MAX);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(built);
		reap(f);
		assert_int_equal(nodes_bytes(f->nodes), bytes);
	}
	assert_true(fail > n);
	node_unref(built);
	talloc_free(rows);
}

static int add(struct fixture *f, struct builder *builder, const char *path)
{
	return builder_add(builder, path, text(""), f->perms[0], 1, 1);
}

static void what_is_not_sorted_or_no_path_is_refused(void **state)
{
	struct fixture *f = *state;
	struct builder *builder;
	struct node *root;

	assert_int_equal(builder_new(f, f->nodes, &builder), 0);
	assert_int_equal(add(f, builder, "/a"), -EPROTO);
	assert_int_equal(add(f, builder, ""), -EPROTO);
	assert_int_equal(add(f, builder, "/"), 0);
	assert_int_equal(add(f, builder, "/"), -EPROTO);
	assert_int_equal(add(f, builder, "//"), -EPROTO);
	assert_int_equal(add(f, builder, "/b"), 0);
	assert_int_equal(add(f, builder, "/b/"), -EPROTO);
	assert_int_equal(add(f, builder, "/b/c/d"), -EPROTO);
	assert_int_equal(add(f, builder, "/a"), -EPROTO);
	assert_int_equal(add(f, builder, "/b/d"), 0);
	assert_int_equal(add(f, builder, "/c"), 0);
	assert_int_equal(add(f, builder, "c"), -EPROTO);
	assert_int_equal(builder_end(builder, &root), 0);
	assert_non_null(tree_find(root, "/b/d"));
	assert_non_null(tree_find(root, "/c"));
	assert_int_equal(node_kids(tree_find(root, "/")), 2);
	node_unref(root);
	talloc_free(builder);
}

static void of_nothing_there_is_no_tree(void **state)
{
	struct fixture *f = *state;
	struct builder *builder;
	struct node *root = f->root;

	assert_int_equal(builder_new(f, f->nodes, &builder), 0);
	assert_int_equal(builder_end(builder, &root), 0);
	assert_null(root);
	talloc_free(builder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tree_that_was_built_is_the_same),
		TEST(without_memory_nothing_is_left),
		TEST(what_is_not_sorted_or_no_path_is_refused),
		TEST(of_nothing_there_is_no_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
