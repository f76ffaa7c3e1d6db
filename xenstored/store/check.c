/* SPDX-License-Identifier: MIT */
/*
 * Is the store what it says it is? The live tree is walked, as it was when the
 * check began, and compared with its own look-ups, with the claims and with
 * the ledgers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "store/path.h"
#include "store/store_priv.h"
#include "store/tree.h"

/* What an owner had on the books when the walk began, and what was found. */
struct sum {
	struct owner *owner;
	uint64_t deaths, nodes, memory;
	uint64_t found_nodes, found_memory;
};

struct store_check {
	struct store *store;
	void (*say)(void *arg, const char *text);
	void *arg;
	struct node *root;	/* NULL: removals are settled first */
	struct tree_walk *walk;
	struct sum *sums;	/* by domid */
	size_t nsums;
};

static int store_check_free(struct store_check *check)
{
	node_unref(check->root);
	return 0;
}

int store_check_new(TALLOC_CTX *ctx, struct store *store,
		    void (*say)(void *arg, const char *text), void *arg,
		    struct store_check **out)
{
	struct store_check *check = talloc_zero(ctx, struct store_check);

	if (!check)
		return -ENOMEM;
	check->store = store;
	check->say = say;
	check->arg = arg;
	talloc_set_destructor(check, store_check_free);
	*out = check;
	return 0;
}

static __attribute__((format(printf, 2, 3))) void
report(struct store_check *check, const char *format, ...)
{
	char text[PATH_MAX_LEN + 200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	check->say(check->arg, text);
}

/* From now on the walk is over a tree that the books agree with. */
static int check_begin(struct store_check *check)
{
	struct store *store = check->store;
	struct owner *owner = NULL;
	size_t n = 0;
	int err;

	while ((owner = owners_next(store->owners, owner)))
		n++;
	check->sums = talloc_zero_array(check, struct sum, n ? n : 1);
	if (!check->sums)
		return -ENOMEM;
	err = tree_walk_new(check, store->root, "", &check->walk);
	if (err)
		return err;
	while ((owner = owners_next(store->owners, owner)))
		check->sums[check->nsums++] =
			(struct sum){ .owner = owner,
				      .deaths = owner->deaths,
				      .nodes = owner->nodes,
				      .memory = owner->memory };
	check->root = node_ref(store->root);
	return 0;
}

static int sum_order(const void *key, const void *item)
{
	const uint16_t *domid = key;
	const struct sum *sum = item;

	return *domid - sum->owner->domid;
}

static bool claims(const struct owner *owner, const char *path, size_t len,
		   enum claim_kind kind)
{
	const struct claim *claim = claim_find(owner, path, len);

	return claim && claim->kinds & kind;
}

/* B1, of a node of the live tree. */
static void check_claim(struct store_check *check, const char *path)
{
	const struct node *root = check->store->root, *parent = NULL;
	const struct node *node = tree_find(root, path);
	size_t len = strlen(path), parent_len = path_parent_len(path, len);
	char parent_path[PATH_MAX_LEN + 1];
	struct owner *owner;
	struct claim *claim;

	if (!node)
		return;		/* gone since the walk began */
	owner = owners_find(check->store->owners,
			    perms_owner(node_perms(node)));
	memcpy(parent_path, path, parent_len);
	parent_path[parent_len] = '\0';
	if (parent_len)
		parent = tree_find(root, parent_path);
	if (!owner || claims(owner, path, len, CLAIM_NODE) ||
	    (parent && (perms_owner(node_perms(parent)) == owner->domid ||
			claims(owner, parent_path, parent_len, CLAIM_KIDS))))
		return;
	report(check, "%s of domain %u would survive it: repaired", path,
	       owner->domid);
	if (!claim_new(check->store, owner, CLAIM_NODE, path, len, &claim))
		claim_enter(claim);
}

static void check_node(struct store_check *check, const struct node *node,
		       const char *path)
{
	uint16_t domid = perms_owner(node_perms(node));
	struct sum *sum = bsearch(&domid, check->sums, check->nsums,
				  sizeof(*sum), sum_order);

	if (tree_find(check->root, path) != node)
		report(check, "%s is listed but not found", path);
	check_claim(check, path);
	if (!sum) {
		report(check, "%s belongs to domain %u, which has no books",
		       path, domid);
		return;
	}
	sum->found_nodes++;
	sum->found_memory += node_charge(node, strlen(path));
}

/* The books follow the tree. */
static void check_sums(struct store_check *check)
{
	for (size_t i = 0; i < check->nsums; i++) {
		const struct sum *sum = &check->sums[i];
		int64_t nodes = sum->found_nodes - sum->nodes;
		int64_t memory = sum->found_memory - sum->memory;

		if (sum->owner->deaths != sum->deaths || (!nodes && !memory))
			continue;
		report(check,
		       "domain %u is charged for %llu nodes and %llu bytes, "
		       "owns %llu and %llu: repaired",
		       sum->owner->domid, (unsigned long long)sum->nodes,
		       (unsigned long long)sum->memory,
		       (unsigned long long)sum->found_nodes,
		       (unsigned long long)sum->found_memory);
		owner_account(sum->owner, nodes, memory);
	}
}

/* What was removed is settled first. */
static int check_reap(struct store_check *check, unsigned int budget)
{
	struct reaper *reaper = check->store->reaper;
	uint64_t settled = reaper_settled(reaper);

	if (!reaper_pending(reaper))
		return 0;
	store_reap(check->store, budget);
	if (!reaper_pending(reaper))
		return 0;
	return reaper_settled(reaper) == settled ? -ENOMEM : EAGAIN;
}

int store_check_step(struct store_check *check, unsigned int budget)
{
	struct node *node;
	const char *path;
	int err;

	if (!check->root) {
		err = check_reap(check, budget);
		if (!err)
			err = check_begin(check);
		if (err)
			return err;
	}
	while (budget--) {
		err = tree_walk_next(check->walk, &node, &path);
		if (err == ENOENT) {
			check_sums(check);
			return 0;
		}
		if (err)
			return err;
		check_node(check, node, path);
	}
	return EAGAIN;
}
