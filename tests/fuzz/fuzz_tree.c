/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a history of edits, two bytes each, of four directories with up
 * to 256 children, with snapshots and failing allocations, against a model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define DIRS 4
#define KIDS 256
#define SNAPSHOTS 2

struct model {
	unsigned int n[DIRS];
	uint8_t id[DIRS][KIDS];		/* in order of creation */
	bool has[DIRS][KIDS];
	uint64_t generation[DIRS][KIDS];	/* is the value, too */
};

struct state {
	struct nodes *nodes;
	struct perms_table *table;
	struct perms *perms;
	struct node *root, *snapshot[SNAPSHOTS];
	struct model now, then[SNAPSHOTS];
	uint64_t generation;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static size_t name_of(unsigned int id, char *name)
{
	return (size_t)sprintf(name, id % 2 ? "a-long-name-%u" : "%u", id);
}

static void path_of(unsigned int dir, unsigned int id, char *path)
{
	name_of(id, path + sprintf(path, "/dir%u/", dir));
}

static void check_dir(const struct node *root, const struct model *m,
		      unsigned int d)
{
	struct kid_iter iter = { 0 };
	char path[8], name[40];
	const struct node *dir, *kid;
	unsigned int i;
	size_t len;

	sprintf(path, "/dir%u", d);
	dir = tree_find(root, path);
	check(dir || !m->n[d]);
	if (!dir)
		return;
	check(node_kids(dir) == m->n[d]);
	for (i = 0; i < m->n[d]; i++) {
		len = name_of(m->id[d][i], name);
		kid = node_next_kid(dir, &iter);
		check(kid && node_kid(dir, name, len) == kid);
		check(node_name(kid).len == len);
		check(node_generation(kid) == m->generation[d][m->id[d][i]]);
		check(memcmp(node_value(kid).data,
			     &m->generation[d][m->id[d][i]], 8) == 0);
	}
	check(!node_next_kid(dir, &iter));
}

static void check_all(const struct node *root, const struct model *m)
{
	unsigned int d;

	for (d = 0; d < DIRS; d++)
		check_dir(root, m, d);
}

static void forget(struct model *m, unsigned int d, unsigned int id)
{
	unsigned int i;

	for (i = 0; m->id[d][i] != id; i++)
		;
	memmove(m->id[d] + i, m->id[d] + i + 1, --m->n[d] - i);
	m->has[d][id] = false;
}

static int edit(struct state *s, unsigned int d, unsigned int id, bool del)
{
	uint64_t generation = s->generation + 1, value[9] = { generation };
	/* now and then a value of another size class */
	struct blob blob = { value, id % 8 ? 8 : 8 + generation % 64 };
	struct node *removed;
	char path[40];
	int err;

	path_of(d, id, path);
	if (!s->now.has[d][id])
		err = tree_create(s->nodes, &s->root, path, s->perms, blob,
				  generation, NULL);
	else if (del)
		err = tree_remove(s->nodes, &s->root, path, generation,
				  &removed);
	else
		err = tree_set_value(s->nodes, &s->root, path, blob,
				     generation);
	if (err)
		return err;

	s->generation = generation;
	if (s->now.has[d][id] && del) {
		node_unref(removed);
		forget(&s->now, d, id);
		return 0;
	}
	if (!s->now.has[d][id])
		s->now.id[d][s->now.n[d]++] = (uint8_t)id;
	s->now.has[d][id] = true;
	s->now.generation[d][id] = generation;
	return 0;
}

static void remove_dir(struct state *s, unsigned int d)
{
	struct node *removed;
	char path[8];

	sprintf(path, "/dir%u", d);
	if (!tree_find(s->root, path))
		return;
	check(!tree_remove(s->nodes, &s->root, path, ++s->generation,
			   &removed));
	node_unref(removed);
	s->now.n[d] = 0;
	memset(s->now.has[d], 0, sizeof(s->now.has[d]));
}

static void toggle_snapshot(struct state *s, unsigned int k)
{
	if (s->snapshot[k]) {
		check_all(s->snapshot[k], &s->then[k]);
		node_unref(s->snapshot[k]);
		s->snapshot[k] = NULL;
	} else {
		s->snapshot[k] = node_ref(s->root);
		s->then[k] = s->now;
	}
}

static void step(struct state *s, uint8_t op, uint8_t id)
{
	unsigned int d = op & 3, n;

	switch (op >> 5) {
	case 0:
		toggle_snapshot(s, id % SNAPSHOTS);
		break;
	case 1:
		nodes_reap(s->nodes, id);
		break;
	case 2:
		if (id == 0)
			remove_dir(s, d);
		break;
	case 3:
		/* R1: with less and less luck, until it works. */
		for (n = 0;; n++) {
			nodes_fail_after(s->nodes, n);
			if (!edit(s, d, id, op & 4))
				break;
			check_dir(s->root, &s->now, d);
		}
		nodes_fail_after(s->nodes, UINT64_MAX);
		break;
	default:
		check(!edit(s, d, id, op & 4));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct perm mine;
	static struct state s;
	size_t i;

	memset(&s, 0, sizeof(s));
	check(!nodes_new(NULL, &s.nodes));
	check(!perms_table_new(NULL, &s.table));
	check(!perms_intern(s.table, &mine, 1, &s.perms));
	check(!tree_new(s.nodes, s.perms, 1, &s.root));
	for (i = 0; i + 1 < len; i += 2)
		step(&s, data[i], data[i + 1]);

	check_all(s.root, &s.now);
	for (i = 0; i < SNAPSHOTS; i++) {
		if (s.snapshot[i])
			toggle_snapshot(&s, (unsigned int)i);
	}
	node_unref(s.root);
	while (nodes_reap(s.nodes, 100))
		;
	check(!nodes_bytes(s.nodes));
	talloc_free(s.nodes);
	talloc_free(s.table);
	return 0;
}
