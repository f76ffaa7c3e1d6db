/* SPDX-License-Identifier: MIT */
/* A store with a privileged client and some guests, for unit tests. */
#ifndef UNIT_WORLD_H
#define UNIT_WORLD_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#include "harness/harness.h"
#include "store/store.h"
#include "store/tree.h"
#include "store/view.h"

#define GUESTS 8	/* domains 1 .. 8; 0 is privileged */

struct world {
	TALLOC_CTX *ctx;
	struct ledgers *ledgers;
	struct ledger *ledger[GUESTS + 1];
	struct who who[GUESTS + 1];
	struct store *store;
	/* What the consumer heard last: "kind path", the told ones, in order
	 * of events; and the number of changes. */
	char told[4096];
	size_t changes;
};

static inline void world_heard(void *arg, const struct changeset *set)
{
	static const char kinds[] = { [CHANGE_CREATE] = 'c',
				      [CHANGE_VALUE] = 'v',
				      [CHANGE_PERMS] = 'p',
				      [CHANGE_REMOVE] = 'r' };
	struct world *w = arg;
	size_t len = 0;

	w->told[0] = '\0';
	w->changes = changeset_count(set);
	for (size_t i = 0; i < changeset_count(set); i++) {
		const struct change *change = changeset_event(set, i);

		assert_int_equal(strlen(change->path), change->path_len);
		if (!change->silent && len < sizeof(w->told))
			len += snprintf(w->told + len, sizeof(w->told) - len,
					"%s%c%s", len ? " " : "",
					kinds[change->kind], change->path);
	}
}

/* What was told since the last look. */
static inline const char *world_told(struct world *w)
{
	static char copy[sizeof(w->told)];

	memcpy(copy, w->told, sizeof(copy));
	w->told[0] = '\0';
	return copy;
}

static inline int world_setup(void **state)
{
	struct world *w = talloc_zero(NULL, struct world);
	struct limits limits;

	limits_init(&limits);
	w->ctx = w;
	assert_int_equal(ledgers_new(w, &w->ledgers), 0);
	for (int i = 0; i <= GUESTS; i++) {
		w->who[i] = (struct who){ .domid = i,
					  .target = DOMID_INVALID,
					  .privileged = !i,
					  .features = 14 };
		assert_int_equal(ledger_new(w->ledgers, i, !i, &limits,
					    &w->ledger[i]), 0);
		assert_int_equal(ledgers_add(w->ledgers, w->ledger[i]), 0);
	}
	assert_int_equal(store_new(w, w->ledgers, 0, &w->store), 0);
	assert_int_equal(store_add_consumer(w->store, world_heard, w), 0);
	*state = w;
	return 0;
}

/* S3: what the ledgers should say, by counting the tree. */
static inline void world_audit(struct world *w)
{
	uint64_t nodes[GUESTS + 1] = { 0 }, memory[GUESTS + 1] = { 0 };
	struct tree_walk *walk;
	struct node *node;
	const char *path;

	while (store_reap(w->store, 1000))
		;
	assert_int_equal(tree_walk_new(w, store_root(w->store), "", &walk), 0);
	while (!tree_walk_next(walk, &node, &path)) {
		uint16_t owner = perms_owner(node_perms(node));

		assert_true(owner <= GUESTS);
		assert_ptr_equal(tree_find(store_root(w->store), path), node);
		nodes[owner]++;
		memory[owner] += node_quota_size(node) + strlen(path);
	}
	talloc_free(walk);
	for (int i = 0; i <= GUESTS; i++) {
		if (!w->ledger[i])
			continue;
		assert_int_equal(ledger_used(w->ledger[i], QUOTA_NODES),
				 nodes[i]);
		assert_int_equal(ledger_used(w->ledger[i], QUOTA_MEMORY),
				 memory[i]);
	}
}

static inline int world_teardown(void **state)
{
	struct world *w = *state;

	world_audit(w);
	talloc_free(w);
	return 0;
}

static inline struct blob text(const char *s)
{
	return (struct blob){ s, strlen(s) };
}

/* Operations of domain `domid`, on the live store or in a transaction. */
static inline struct view world_view(struct world *w, int domid,
				     struct txn *txn)
{
	return (struct view){ w->store, txn, &w->who[domid],
			      w->ledger[domid] };
}

static inline int put_in(struct world *w, int domid, struct txn *txn,
			 const char *path, const char *value)
{
	struct view view = world_view(w, domid, txn);

	return view_write(&view, path, text(value));
}

static inline int mkdir_in(struct world *w, int domid, struct txn *txn,
			   const char *path)
{
	struct view view = world_view(w, domid, txn);

	return view_mkdir(&view, path);
}

static inline int rm_in(struct world *w, int domid, struct txn *txn,
			const char *path)
{
	struct view view = world_view(w, domid, txn);

	return view_rm(&view, path);
}

/* The value, or the name of the error; good until the next call. */
static inline const char *get_in(struct world *w, int domid, struct txn *txn,
				 const char *path)
{
	static char buf[8192];
	struct view view = world_view(w, domid, txn);
	struct node *node;
	struct blob value;
	int err = view_node(&view, path, FACET_VALUE, &node);

	if (err)
		return strerrorname_np(err < 0 ? -err : err);
	value = node_value(node);
	if (value.len)
		memcpy(buf, value.data, value.len);
	buf[value.len] = '\0';
	return buf;
}

/* The names, separated by blanks. */
static inline const char *list_in(struct world *w, int domid, struct txn *txn,
				  const char *path)
{
	static char buf[65536];
	struct view view = world_view(w, domid, txn);
	struct node *node, *kid;
	struct kid_iter iter = { 0 };
	size_t len = 0;
	int err = view_node(&view, path, FACET_KIDS, &node);

	if (err)
		return strerrorname_np(err < 0 ? -err : err);
	buf[0] = '\0';
	while ((kid = node_next_kid(node, &iter)))
		len += snprintf(buf + len, sizeof(buf) - len, "%s%.*s",
				len ? " " : "", (int)node_name(kid).len,
				(const char *)node_name(kid).data);
	return buf;
}

/* "n0 r5", stale entries with a "?" behind. */
static inline const char *perms_in(struct world *w, int domid, struct txn *txn,
				   const char *path)
{
	static char buf[8192];
	struct view view = world_view(w, domid, txn);
	struct node *node;
	const struct perm *list;
	size_t n, len = 0;
	int err = view_node(&view, path, FACET_PERMS, &node);

	if (err)
		return strerrorname_np(err < 0 ? -err : err);
	list = perms_list(node_perms(node), &n);
	for (size_t i = 0; i < n; i++)
		len += snprintf(buf + len, sizeof(buf) - len, "%s%c%u%s",
				len ? " " : "", "nrwb"[list[i].rights],
				list[i].domid, list[i].stale ? "?" : "");
	return buf;
}

/* spec: as above, "n0 r5". */
static inline int chmod_in(struct world *w, int domid, struct txn *txn,
			   const char *path, const char *spec)
{
	struct view view = world_view(w, domid, txn);
	struct perm list[64];
	size_t n = 0;

	for (const char *p = spec; *p; p += strcspn(p, " "), p += *p == ' ') {
		list[n].rights = strchr("nrwb", *p) - "nrwb";
		list[n].domid = strtoul(p + 1, NULL, 10);
		list[n++].stale = 0;
	}
	return view_set_perms(&view, path, list, n);
}

/* The same on the live store. */
#define put(w, domid, path, value) put_in(w, domid, NULL, path, value)
#define mk(w, domid, path) mkdir_in(w, domid, NULL, path)
#define rm(w, domid, path) rm_in(w, domid, NULL, path)
#define get(w, domid, path) get_in(w, domid, NULL, path)
#define list(w, domid, path) list_in(w, domid, NULL, path)
#define perms(w, domid, path) perms_in(w, domid, NULL, path)
#define chmod(w, domid, path, spec) chmod_in(w, domid, NULL, path, spec)

static inline struct txn *begin(struct world *w, int domid)
{
	struct txn *txn;

	assert_int_equal(txn_begin(w->ctx, w->store, w->ledger[domid], &txn),
			 0);
	return txn;
}

/* The result; the transaction is gone. */
static inline int commit(struct world *w, int domid, struct txn *txn)
{
	int err = txn_commit(txn, &w->who[domid]);

	talloc_free(txn);
	return err;
}

#endif
