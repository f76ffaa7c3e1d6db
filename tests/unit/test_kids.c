/* SPDX-License-Identifier: MIT */
/* Large directories (store/kids.h, store/slots.h, store/names.h), through the
 * tree that they are in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "store/tree.h"

struct fixture {
	struct nodes *nodes;
	struct perms_table *table;
	struct perms *perms;
	struct node *root;
	uint64_t generation;
};

static int setup(void **state)
{
	struct fixture *f = talloc_zero(NULL, struct fixture);
	static const struct perm mine;

	assert_non_null(f);
	assert_int_equal(nodes_new(f, &f->nodes), 0);
	assert_int_equal(perms_table_new(f, &f->table), 0);
	assert_int_equal(perms_intern(f->table, &mine, 1, &f->perms), 0);
	assert_int_equal(tree_new(f->nodes, f->perms, 1, &f->root), 0);
	assert_int_equal(tree_create(f->nodes, &f->root, "/d", f->perms,
				     (struct blob){ 0 }, 1, NULL), 0);
	*state = f;
	return 0;
}

static void reap(struct fixture *f)
{
	while (nodes_reap(f->nodes, 1000))
		;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	size_t bytes;

	node_unref(f->root);
	reap(f);
	bytes = nodes_bytes(f->nodes);
	talloc_free(f);
	return bytes ? -1 : 0;
}

static struct node *dir(const struct node *root)
{
	return tree_find(root, "/d");
}

/* Names of all sorts: short and long, and many that begin alike. */
static size_t name_of(unsigned int id, char *name)
{
	static const char *const form[] = {
		"%05u", "device-%u", "u%u-and-a-long-tail", "aaaaaaaaaaaa%u",
		"aaaaaaaa%u",
	};

	return (size_t)sprintf(name, form[id % 5], id);
}

static struct blob text(const char *s)
{
	return (struct blob){ s, strlen(s) };
}

static int add(struct fixture *f, unsigned int id)
{
	char path[60] = "/d/";

	name_of(id, path + 3);
	return tree_create(f->nodes, &f->root, path, f->perms,
			   text("0123456789abcdef"), ++f->generation, NULL);
}

static int del(struct fixture *f, unsigned int id)
{
	char path[60] = "/d/";
	struct node *removed;
	int err;

	name_of(id, path + 3);
	err = tree_remove(f->nodes, &f->root, path, ++f->generation, &removed);
	if (!err)
		node_unref(removed);
	return err;
}

static int touch(struct fixture *f, unsigned int id, const char *value)
{
	char path[60] = "/d/";

	name_of(id, path + 3);
	return tree_set_value(f->nodes, &f->root, path,
			      text(value), ++f->generation);
}

static struct node *find(const struct node *root, unsigned int id)
{
	char name[60];
	size_t len = name_of(id, name);

	return node_kid(dir(root), name, len);
}

/* The model: the ids that exist, in order of creation, and their values. */
#define IDS 3000

struct model {
	unsigned int n, id[IDS];
	bool has[IDS];
	char value[IDS][64];
};

static void model_add(struct model *m, unsigned int id)
{
	m->has[id] = true;
	m->id[m->n++] = id;
	strcpy(m->value[id], "0123456789abcdef");
}

static void model_del(struct model *m, unsigned int id)
{
	unsigned int i;

	for (i = 0; m->id[i] != id; i++)
		;
	m->n--;
	memmove(m->id + i, m->id + i + 1, (m->n - i) * sizeof(*m->id));
	m->has[id] = false;
}

/* N4: searches, order, sums and pages of the directory are the model's. */
static void assert_is(const struct node *root, const struct model *m)
{
	static char want[IDS * 40], got[sizeof(want)];
	const struct node *d = dir(root);
	struct kid_iter iter = { 0 };
	size_t len = 0, n, offset;
	int64_t order = -1, last = -1;
	const char *value;
	unsigned int i;
	char name[60];
	bool end;

	assert_int_equal(node_kids(d), m->n);
	for (i = 0; i < IDS; i++)
		assert_true(!find(root, i) == !m->has[i]);
	for (i = 0; i < m->n; i++) {
		struct node *kid = node_next_kid(d, &iter);

		assert_non_null(kid);
		n = name_of(m->id[i], name);
		assert_ptr_equal(find(root, m->id[i]), kid);
		assert_int_equal(node_name(kid).len, n);
		assert_memory_equal(node_name(kid).data, name, n);
		value = m->value[m->id[i]];
		assert_int_equal(node_value(kid).len, strlen(value));
		assert_memory_equal(node_value(kid).data, value, strlen(value));
		order = node_kid_order(d, name, n);
		assert_true(order > last);
		last = order;
		memcpy(want + len, name, n + 1);
		len += n + 1;
	}
	assert_null(node_next_kid(d, &iter));
	assert_int_equal(node_kids_bytes(d), len);
	assert_int_equal(node_kid_order(d, "nobody", 6), -1);

	assert_int_equal(node_list_kids(d, 0, got, sizeof(got), &end), len);
	assert_true(end);
	assert_memory_equal(want, got, len);
	assert_int_equal(node_list_kids(d, len, got, 10, &end), 0);
	assert_true(end);
	assert_int_equal(node_list_kids(d, len + 7, got, 10, &end), 0);
	assert_true(end);
	for (i = 0; i < 20 && len; i++) {
		offset = (size_t)rand() % len;
		n = node_list_kids(d, offset, got, 200, &end);
		while (offset && offset < len && want[offset - 1])
			offset++;
		assert_true(n <= 200 && n <= len - offset);
		assert_memory_equal(want + offset, got, n);
		assert_int_equal(end, offset + n == len);
		assert_true(end || n + strlen(want + offset + n) + 1 > 200);
	}
}

static struct model *model_copy(const struct model *m)
{
	struct model *copy = malloc(sizeof(*m));

	assert_non_null(copy);
	memcpy(copy, m, sizeof(*m));
	return copy;
}

static void random_edit(struct fixture *f, struct model *m, bool grow)
{
	unsigned int id = (unsigned int)rand() % IDS;
	char *value;

	/* Now and then twice as many attempts into the wanted direction. */
	if (m->has[id] == grow)
		id = (unsigned int)rand() % IDS;
	if (m->has[id] && rand() % 3 == 0) {
		value = m->value[id];
		snprintf(value, sizeof(m->value[id]), "%0*u",
			 rand() % 4 ? 16 : rand() % 60,
			 (unsigned int)f->generation);
		assert_int_equal(touch(f, id, value), 0);
	} else if (m->has[id]) {
		assert_int_equal(del(f, id), 0);
		model_del(m, id);
	} else {
		assert_int_equal(add(f, id), 0);
		model_add(m, id);
	}
}

/* N1, N4: growing and shrinking again, with snapshots held meanwhile. */
static void random_histories_agree_with_a_model(void **state)
{
	enum { ROUNDS = 40000, SNAPSHOTS = 3 };
	static struct model m;
	struct fixture *f = *state;
	struct {
		struct node *root;
		struct model *model;
	} snap[SNAPSHOTS] = { 0 }, *s;
	unsigned int i, k;

	memset(&m, 0, sizeof(m));
	srand(11);
	for (i = 0; i < ROUNDS; i++) {
		random_edit(f, &m, i / 8000 % 2 == 0);
		if (rand() % 3 == 0)
			nodes_reap(f->nodes, (unsigned int)rand() % 8);
		if (i % 1000 == 0)
			assert_is(f->root, &m);
		if (rand() % 150)
			continue;
		s = &snap[rand() % SNAPSHOTS];
		if (s->root) {
			bool same = s->model->n == m.n &&
				    !memcmp(s->model->id, m.id,
					    m.n * sizeof(*m.id));

			assert_is(s->root, s->model);
			assert_int_equal(node_same_kids(dir(s->root),
							dir(f->root)), same);
			node_unref(s->root);
			free(s->model);
			s->root = NULL;
		} else {
			s->root = node_ref(f->root);
			s->model = model_copy(&m);
		}
	}
	assert_is(f->root, &m);
	for (k = 0; k < SNAPSHOTS; k++) {
		if (snap[k].root) {
			assert_is(snap[k].root, snap[k].model);
			node_unref(snap[k].root);
			free(snap[k].model);
		}
	}
}

/* Orders of names that are bad for search trees. */
static void sorted_names_keep_the_index_small(void **state)
{
	static struct model m;
	struct fixture *f = *state;
	unsigned int round, i;
	size_t bytes;

	for (round = 0; round < 4; round++) {
		memset(&m, 0, sizeof(m));
		for (i = 0; i < IDS / 5; i++) {
			unsigned int id = 5 * (round % 2 ? IDS / 5 - 1 - i : i);

			assert_int_equal(add(f, id), 0);
			model_add(&m, id);
		}
		assert_is(f->root, &m);
		reap(f);
		bytes = nodes_bytes(f->nodes) / m.n;
		assert_in_range(bytes, 64, round % 2 ? 110 : 95);
		while (m.n) {
			i = m.id[round / 2 ? 0 : m.n - 1];
			assert_int_equal(del(f, i), 0);
			model_del(&m, i);
			if (m.n % 50 == 1)
				assert_is(f->root, &m);
		}
	}
}

static size_t bytes_of_directory(struct fixture *f)
{
	reap(f);
	return nodes_bytes(f->nodes);
}

/* V2: however many slots and names there were, what is left is what counts. */
static void a_directory_shrinks_with_its_children(void **state)
{
	struct fixture *f = *state;
	size_t small, all;
	unsigned int i;

	for (i = 0; i < 3; i++)
		add(f, i);
	small = bytes_of_directory(f);
	for (; i < 3000; i++)
		add(f, i);
	all = bytes_of_directory(f);
	for (i = 3; i < 2003; i++)
		del(f, i);
	assert_in_range(bytes_of_directory(f), 0, all * 38 / 100);
	for (; i < 3000; i++)
		del(f, i);
	assert_in_range(bytes_of_directory(f), small, small + 64);
}

static void coming_and_going_does_not_use_up_slots(void **state)
{
	struct fixture *f = *state;
	unsigned int i;
	char name[60];
	size_t n;

	for (i = 0; i < 100; i++)
		add(f, i);
	n = bytes_of_directory(f);
	for (; i < 20000; i++) {
		add(f, i);
		del(f, i - 50);
		nodes_reap(f->nodes, 100);
	}
	assert_in_range(bytes_of_directory(f), 0, 3 * n);
	assert_int_equal(node_kids(dir(f->root)), 100);
	n = name_of(i - 1, name);
	assert_in_range(node_kid_order(dir(f->root), name, n), 0, 500);
}

/* K1, R1: whichever allocation fails, the directory is as it was. */
static void an_edit_without_memory_changes_nothing(void **state)
{
	static struct model m;
	struct fixture *f = *state;
	struct node *snapshot = NULL;
	unsigned int i, n, id;
	size_t bytes;
	int err;

	memset(&m, 0, sizeof(m));
	srand(5);
	for (i = 0; i < 3000; i++) {
		if (i % 7 == 0) {
			node_unref(snapshot);
			snapshot = i % 14 ? NULL : node_ref(f->root);
		}
		id = (unsigned int)rand() % 900;
		if (i >= 1500 && !m.has[id])
			continue;
		for (n = 0;; n++) {
			reap(f);
			bytes = nodes_bytes(f->nodes);
			nodes_fail_after(f->nodes, n);
			err = m.has[id] ? del(f, id) : add(f, id);
			nodes_fail_after(f->nodes, UINT64_MAX);
			if (!err)
				break;
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(node_kids(dir(f->root)), m.n);
			reap(f);
			assert_int_equal(nodes_bytes(f->nodes), bytes);
			if (i % 64 == 0)
				assert_is(f->root, &m);
		}
		if (m.has[id]) {
			model_del(&m, id);
		} else {
			model_add(&m, id);
		}
	}
	assert_is(f->root, &m);
	node_unref(snapshot);
}

static void same_names_in_another_order_are_not_the_same(void **state)
{
	struct fixture *f = *state;
	struct node *before;
	unsigned int i;

	for (i = 0; i < 1000; i++)
		assert_int_equal(add(f, i), 0);
	before = node_ref(f->root);

	assert_true(node_same_kids(dir(before), dir(before)));
	touch(f, 500, "x");
	assert_true(node_same_kids(dir(before), dir(f->root)));
	del(f, 999);
	assert_false(node_same_kids(dir(before), dir(f->root)));
	add(f, 999);	/* the last one: the same order again */
	assert_true(node_same_kids(dir(before), dir(f->root)));
	del(f, 500);
	add(f, 500);
	assert_false(node_same_kids(dir(before), dir(f->root)));
	node_unref(before);
}

/* What some edits took, in the units that are counted. */
struct cost {
	uint64_t made, copied_bytes, compared;
};

static struct cost cost_since(const struct fixture *f, struct cost *mark)
{
	const struct nodes_work *w = nodes_work(f->nodes);
	struct cost cost = { w->made - mark->made,
			     w->copied_bytes - mark->copied_bytes,
			     w->compared - mark->compared };

	*mark = (struct cost){ w->made, w->copied_bytes, w->compared };
	return cost;
}

static void assert_cost(struct cost cost, unsigned int edits,
			unsigned int made, unsigned int bytes,
			unsigned int compared)
{
	assert_in_range(cost.made, 0, (uint64_t)made * edits);
	assert_in_range(cost.copied_bytes, 0, (uint64_t)bytes * edits);
	assert_in_range(cost.compared, 0, (uint64_t)compared * edits);
}

/*
 * R2, K2: the same bounds for 10 and for 100 000 siblings. A hundred edits
 * each, so that what splits once in a while is seen, too.
 */
/* P3 of README.md */
static void cost_does_not_grow_with_siblings(void **state)
{
	static const unsigned int sizes[] = { 10, 100, 1000, 10000, 100000 };
	struct fixture *f = *state;
	struct cost mark = { 0 };
	struct node *snapshot;
	unsigned int i, k, n = 0, spread;

	for (k = 0; k < 5; k++) {
		for (; n < sizes[k]; n++)
			assert_int_equal(add(f, n), 0);
		reap(f);
		spread = n / 10;
		cost_since(f, &mark);

		/* to know the directory again after one node was changed */
		snapshot = node_ref(f->root);
		touch(f, n / 2, "x");
		cost_since(f, &mark);
		assert_true(node_same_kids(dir(snapshot), dir(f->root)));
		assert_cost(cost_since(f, &mark), 1, 0, 0, 36);
		node_unref(snapshot);
		touch(f, n / 2, "0123456789abcdef");
		reap(f);
		cost_since(f, &mark);

		/* searches: about log2(n) names, two for "/" and "d" */
		for (i = 0; i < 100; i++)
			assert_non_null(find(f->root, i % 10 * spread));
		assert_cost(cost_since(f, &mark), 100, 0, 0, 12);

		/* in place */
		for (i = 0; i < 100; i++)
			touch(f, i % 10 * spread, "0123456789abcdeX");
		assert_cost(cost_since(f, &mark), 100, 0, 0, 12);
		for (i = 0; i < 100; i++)
			assert_int_equal(add(f, n + i), 0);
		assert_cost(cost_since(f, &mark), 100, 2, 50, 20);
		for (i = 0; i < 100; i++)
			assert_int_equal(del(f, n + i), 0);
		assert_cost(cost_since(f, &mark), 100, 1, 50, 20);

		/* each the first edit after a snapshot was taken */
		for (i = 0; i < 100; i++) {
			snapshot = node_ref(f->root);
			if (i % 2)
				touch(f, i % 10 * spread, "0123456789abcdeY");
			else
				assert_int_equal(add(f, n + i), 0);
			node_unref(snapshot);
			reap(f);
		}
		assert_cost(cost_since(f, &mark), 100, 16, 3000, 12);
		for (i = 0; i < 100; i += 2)
			assert_int_equal(del(f, n + i), 0);
		reap(f);
		cost_since(f, &mark);
	}
}

/* N4: with 100 000 children the last page costs what the first one does. */
static void a_large_directory_is_paged_while_it_changes(void **state)
{
	enum { N = 100000 };
	struct fixture *f = *state;
	static char page[4096];
	struct node *pinned;
	size_t offset = 0, n;
	uint64_t passed;
	unsigned int i, names = 0;
	bool end = false;

	for (i = 0; i < N; i++)
		assert_int_equal(add(f, i), 0);
	pinned = node_ref(dir(f->root));
	for (i = 0; !end; i++) {
		passed = nodes_work(f->nodes)->passed;
		n = node_list_kids(pinned, offset, page, sizeof(page), &end);
		passed = nodes_work(f->nodes)->passed - passed;
		assert_in_range(passed, 0, 4 * 32);
		offset += n;
		while (n)
			names += !page[--n];
		assert_int_equal(del(f, (i * 7919) % N), 0);
		assert_int_equal(add(f, N + i), 0);
	}
	assert_int_equal(names, N);
	assert_int_equal(offset, node_kids_bytes(pinned));
	node_unref(pinned);
}

/* The budget for a node of a typical large tree, journal excluded. */
static void a_node_takes_less_than_200_bytes(void **state)
{
	struct fixture *f = *state;
	char path[40];
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		sprintf(path, "/d/%u/%u/%u", i / 10000, i / 100 % 100, i % 100);
		assert_int_equal(
			tree_create(f->nodes, &f->root, path, f->perms,
				    text("0123456789abcdef"), 1, NULL), 0);
	}
	assert_in_range(nodes_mapped(f->nodes), 0, 200 * 100000);
}

/* N3: letting go 100 000 nodes takes no time; giving them back is in slices. */
static void a_large_directory_falls_in_slices(void **state)
{
	struct fixture *f = *state;
	struct node *removed;
	unsigned int i, slices = 1;
	size_t bytes;

	for (i = 0; i < 100000; i++)
		assert_int_equal(add(f, i), 0);
	assert_int_equal(tree_remove(f->nodes, &f->root, "/d", 1, &removed),
			 0);
	reap(f);
	bytes = nodes_bytes(f->nodes);
	node_unref(removed);
	assert_true(nodes_bytes(f->nodes) > bytes - 1000);
	while (nodes_reap(f->nodes, 10))
		slices++;
	assert_in_range(slices, 300, 2000);
	assert_true(nodes_bytes(f->nodes) < 1000);
	assert_true(nodes_mapped(f->nodes) < 64 * 65536);
	assert_int_equal(tree_create(f->nodes, &f->root, "/d", f->perms,
				     (struct blob){ 0 }, 1, NULL), 0);
}

#define TEST(name) HARNESS_TEST(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_histories_agree_with_a_model),
		TEST(sorted_names_keep_the_index_small),
		TEST(a_directory_shrinks_with_its_children),
		TEST(coming_and_going_does_not_use_up_slots),
		TEST(an_edit_without_memory_changes_nothing),
		TEST(same_names_in_another_order_are_not_the_same),
		TEST(cost_does_not_grow_with_siblings),
		TEST(a_large_directory_is_paged_while_it_changes),
		TEST(a_node_takes_less_than_200_bytes),
		TEST(a_large_directory_falls_in_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
