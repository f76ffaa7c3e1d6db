/* SPDX-License-Identifier: MIT */
/* Operations on the live store (store/view.h, store/store.h). */
#include "world.h"

#include <pthread.h>

#include "store/store_priv.h"

static void the_store_begins_with_what_the_specification_lists(void **state)
{
	struct world *w = *state;

	assert_string_equal(list(w, 0, "/"), "tool");
	assert_string_equal(list(w, 0, "/tool"), "xenstored");
	assert_string_equal(get(w, 0, "/tool/xenstored"), "");
	assert_string_equal(perms(w, 0, "/"), "n0");
	assert_string_equal(perms(w, 0, "@releaseDomain"), "n0 r32757");
	assert_string_equal(perms(w, 0, "@introduceDomain"), "n0");
	assert_string_equal(perms(w, 0, "@other"), "ENOENT");
}

static void a_write_creates_the_way_and_is_told_once(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 0, "/a/b/c", "v"), 0);
	assert_string_equal(world_told(w), "c/a/b/c");
	assert_int_equal(w->changes, 3);
	assert_string_equal(get(w, 0, "/a/b/c"), "v");
	assert_string_equal(get(w, 0, "/a/b"), "");
	assert_string_equal(list(w, 0, "/"), "tool a");
	assert_int_equal(put(w, 0, "/a/b", "x"), 0);
	assert_string_equal(world_told(w), "v/a/b");
	assert_string_equal(list(w, 0, "/a/b"), "c");
	assert_int_equal(put(w, 0, "/a/b", "x"), 0);
	assert_string_equal(world_told(w), "v/a/b");
}

static void mkdir_of_an_existing_node_does_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_string_equal(world_told(w), "c/d");
	assert_int_equal(put(w, 0, "/d", "v"), 0);
	world_told(w);
	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_string_equal(world_told(w), "");
	assert_string_equal(get(w, 0, "/d"), "v");
}

static void rm_says_ok_enoent_or_einval(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 0, "/a/b/c", "v"), 0);
	world_told(w);
	assert_int_equal(rm(w, 0, "/nox"), 0);
	assert_int_equal(rm(w, 0, "/nox/y"), ENOENT);
	assert_int_equal(rm(w, 0, "/"), EINVAL);
	assert_int_equal(rm(w, 1, "/"), EACCES);
	assert_string_equal(world_told(w), "");
	assert_int_equal(rm(w, 0, "/a"), 0);
	assert_string_equal(world_told(w), "r/a");
	assert_string_equal(get(w, 0, "/a/b"), "ENOENT");
}

static void missing_and_forbidden_are_told_apart_to_whom_they_concern(
	void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 0, "/home/5/x", "v"), 0);
	assert_int_equal(chmod(w, 0, "/home/5", "n0 r5"), 0);
	assert_string_equal(get(w, 5, "/home/5"), "");
	assert_string_equal(get(w, 5, "/home/5/nope"), "ENOENT");
	assert_string_equal(get(w, 5, "/home/5/x"), "EACCES");
	assert_string_equal(get(w, 5, "/nope"), "EACCES");
	assert_string_equal(get(w, 5, "/"), "EACCES");
	assert_int_equal(put(w, 5, "/home/5/nope", "v"), EACCES);
	assert_int_equal(rm(w, 5, "/home/5/nope"), EACCES);
	assert_int_equal(put(w, 0, "/home/5/data", ""), 0);
	assert_int_equal(chmod(w, 0, "/home/5/data", "n5"), 0);
	assert_int_equal(rm(w, 5, "/home/5/data/nope"), 0);
	assert_int_equal(rm(w, 5, "/home/5/data/x/y"), ENOENT);
}

static void a_new_node_belongs_to_the_guest_that_made_it(void **state)
{
	struct world *w = *state;

	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_int_equal(chmod(w, 0, "/d", "n0 b5 r0"), 0);
	assert_int_equal(put(w, 5, "/d/a/b", "v"), 0);
	assert_string_equal(perms(w, 0, "/d/a/b"), "n5 b5 r0");
	assert_string_equal(perms(w, 0, "/d/a"), "n5 b5 r0");
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 2);
	/* and what dom0 makes below it, too */
	assert_int_equal(put(w, 0, "/d/a/c", "v"), 0);
	assert_string_equal(perms(w, 0, "/d/a/c"), "n5 b5 r0");
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 3);
}

static void set_perms_refuses_in_the_order_of_the_specification(void **state)
{
	struct world *w = *state;

	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_int_equal(chmod(w, 0, "/d", "n5"), 0);
	assert_string_equal(world_told(w), "p/d");
	assert_int_equal(chmod(w, 5, "/d", "n0"), EPERM);
	assert_int_equal(chmod(w, 5, "/d", "n5 r1 r2 r3 r4"), 0);
	assert_int_equal(chmod(w, 5, "/d", "n5 r1 r2 r3 r4 r6"), ENOSPC);
	assert_int_equal(chmod(w, 5, "/tool", "n5"), EACCES);
	assert_int_equal(chmod(w, 0, "/nope", "n5"), ENOENT);
	assert_int_equal(chmod(w, 0, "/d", "n32757"), ENOMEM);
	assert_int_equal(chmod(w, 0, "@releaseDomain", "n0 r5"), 0);
	assert_string_equal(perms(w, 5, "@releaseDomain"), "n0 r5");
}

/* *arg: what is said of others. */
static int lives(void *arg, uint16_t domid, uint64_t since)
{
	(void)since;
	return domid <= GUESTS ? 0 : *(const int *)arg;
}

static void entries_of_dead_domains_are_stored_stale(void **state)
{
	struct world *w = *state;
	int others = ENOENT;

	store_set_lives(w->store, lives, &others);
	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_int_equal(chmod(w, 0, "/d", "n0 r77 r5 r32757"), 0);
	assert_string_equal(perms(w, 0, "/d"), "n0 r77? r5 r32757");
	assert_int_equal(chmod(w, 0, "/d", "n77"), ENOENT);
	w->who[0].features = 0;
	assert_int_equal(chmod(w, 0, "/d", "n0 r32757"), 0);
	assert_string_equal(perms(w, 0, "/d"), "n0 r32757?");
}

/* A guest that has died, unnoticed so far. */
struct deceased {
	struct store *store;
	uint16_t domid;
	bool purged;
};

static int is_found_dead(void *arg, uint16_t domid, uint64_t since)
{
	struct deceased *dead = arg;

	(void)since;
	if (domid != dead->domid)
		return 0;
	if (!dead->purged)
		assert_int_equal(store_purge_domain(dead->store, domid, false),
				 0);
	dead->purged = true;
	return ENOENT;
}

/* S3 */
static void set_perms_may_find_a_domain_dead_and_its_nodes_gone(void **state)
{
	struct world *w = *state;
	struct deceased dead = { w->store, 5, false };

	assert_int_equal(put(w, 0, "/d/a", "v"), 0);
	assert_int_equal(put(w, 0, "/d/b", "v"), 0);
	assert_int_equal(chmod(w, 0, "/d/a", "n5"), 0);
	store_set_lives(w->store, is_found_dead, &dead);
	/* its node is a child of the one that is asked for ... */
	assert_int_equal(chmod(w, 0, "/d", "n1 r5"), 0);
	assert_true(dead.purged);
	assert_string_equal(list(w, 0, "/d"), "b");
	assert_string_equal(perms(w, 0, "/d"), "n1 r5?");
	world_audit(w);
	/* ... or is that one, or above it */
	for (int below = 0; below < 2; below++) {
		store_set_lives(w->store, NULL, NULL);
		assert_int_equal(put(w, 0, "/d/a/c", "v"), 0);
		assert_int_equal(chmod(w, 0, "/d/a", "n5"), 0);
		dead.purged = false;
		store_set_lives(w->store, is_found_dead, &dead);
		assert_int_equal(chmod(w, 0, below ? "/d/a/c" : "/d/a",
				       "n1 r5"), ENOENT);
		assert_string_equal(list(w, 0, "/d"), "b");
		world_audit(w);
	}
}

static void a_domain_that_cannot_be_asked_about_is_not_taken_for_dead(
	void **state)
{
	struct world *w = *state;
	int others = -ENOMEM;

	store_set_lives(w->store, lives, &others);
	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_int_equal(chmod(w, 0, "/d", "n0 r77"), -ENOMEM);
	assert_int_equal(chmod(w, 0, "/d", "n77"), -ENOMEM);
	assert_string_equal(perms(w, 0, "/d"), "n0");
}

/* Q3 of base/quota.h, at the store */
static void a_quota_of_n_admits_exactly_n(void **state)
{
	struct world *w = *state;
	char value[4096], path[64];

	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_int_equal(chmod(w, 0, "/d", "n0 b5"), 0);
	assert_int_equal(mk(w, 5, "/d/g"), 0);
	/* 16 + 2 permissions + value */
	memset(value, 'x', sizeof(value));
	value[2048 - 32] = '\0';
	assert_int_equal(put(w, 5, "/d/g/v", value), 0);
	value[2048 - 32] = 'x';
	value[2048 - 31] = '\0';
	assert_int_equal(put(w, 5, "/d/g/v", value), ENOSPC);
	assert_int_equal(put(w, 5, "/d/g/w", value), ENOSPC);
	assert_string_equal(get(w, 5, "/d/g/w"), "ENOENT");
	assert_int_equal(put(w, 0, "/d/g/v", value), 0);
	ledger_set_limit(w->ledger[5], QUOTA_NODES, 10);
	for (int i = 2; i < 10; i++) {
		snprintf(path, sizeof(path), "/d/g/%d", i);
		assert_int_equal(mk(w, 5, path), 0);
	}
	assert_int_equal(mk(w, 5, "/d/g/e"), ENOSPC);
	assert_int_equal(put(w, 5, "/d/e/e", ""), ENOSPC);
	assert_int_equal(put(w, 0, "/d/g/e", ""), 0);	/* counts, unlimited */
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 11);
	assert_int_equal(rm(w, 5, "/d/g/2"), 0);
	assert_int_equal(rm(w, 5, "/d/g/3"), 0);
	assert_int_equal(mk(w, 5, "/d/g/e2"), 0);
}

static void whoever_is_about_to_be_refused_first_gets_back_what_is_his(
	void **state)
{
	struct world *w = *state;
	char path[64];

	assert_int_equal(mk(w, 0, "/d"), 0);
	assert_int_equal(chmod(w, 0, "/d", "n5"), 0);
	for (int i = 0; i < 999; i++) {
		snprintf(path, sizeof(path), "/d/s/%d", i);
		assert_int_equal(put(w, 0, path, ""), 0);
	}
	assert_int_equal(rm(w, 5, "/d/s"), 0);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 1001);
	assert_int_equal(put(w, 5, "/d/s/1", ""), 0);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 3);
}

/* S4 */
static void a_dead_domain_leaves_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 0, "/home/5/a/b", "v"), 0);
	assert_int_equal(chmod(w, 0, "/home/5/a", "n5 r6"), 0);
	assert_int_equal(put(w, 5, "/home/5/a/c/d", "v"), 0);
	assert_int_equal(put(w, 0, "/home/6", "v"), 0);
	assert_int_equal(chmod(w, 0, "/home/6", "n6 b5"), 0);
	assert_int_equal(put(w, 5, "/home/6/x/y", "v"), 0);
	assert_int_equal(put(w, 0, "/top", "v"), 0);
	assert_int_equal(put(w, 0, "/top/kid", "v"), 0);
	assert_int_equal(chmod(w, 0, "/top", "n5"), 0);
	assert_int_equal(chmod(w, 0, "/top/kid", "n5"), 0);
	assert_int_equal(chmod(w, 0, "/top", "n0 r5"), 0);
	assert_string_equal(list(w, 0, "/top"), "kid");
	assert_int_equal(chmod(w, 0, "@releaseDomain", "n0 r5 r6"), 0);
	world_told(w);

	assert_int_equal(store_purge_domain(w->store, 5, false), 0);
	assert_string_equal(world_told(w), "r/home/5/a r/home/6/x r/top/kid");
	assert_string_equal(list(w, 0, "/home/5"), "");
	assert_string_equal(list(w, 0, "/home/6"), "");
	assert_string_equal(list(w, 0, "/top"), "");
	assert_string_equal(perms(w, 0, "/home/6"), "n6");
	assert_string_equal(perms(w, 0, "/top"), "n0");
	assert_string_equal(perms(w, 0, "@releaseDomain"), "n0 r6");
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 0);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_MEMORY), 0);
}

/* B3 */
static void what_a_dead_domain_left_is_not_refunded_to_the_next(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 0, "/a/b/c", "v"), 0);
	assert_int_equal(chmod(w, 0, "/a", "n5"), 0);
	assert_int_equal(put(w, 5, "/a/x/y", "v"), 0);
	assert_int_equal(rm(w, 0, "/a"), 0);
	assert_int_equal(store_purge_domain(w->store, 5, false), 0);
	assert_int_equal(put(w, 0, "/n/m", "v"), 0);
	assert_int_equal(chmod(w, 0, "/n", "n5"), 0);
	assert_int_equal(chmod(w, 0, "/n/m", "n5"), 0);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 2);
	while (store_reap(w->store, 1))
		;
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 2);
}

static void orphans_may_be_kept_by_the_privileged_domain(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 0, "/a", "v"), 0);
	assert_int_equal(chmod(w, 0, "/a", "r5 b6"), 0);
	assert_int_equal(put(w, 5, "/a/x/y", "v"), 0);
	assert_int_equal(put(w, 6, "/a/z", "v"), 0);
	assert_int_equal(store_purge_domain(w->store, 5, true), 0);
	assert_string_equal(perms(w, 0, "/a"), "r0 b6");
	assert_string_equal(perms(w, 0, "/a/x/y"), "r0 b6");
	assert_string_equal(perms(w, 0, "/a/z"), "r6 b6");
}

static void the_root_outlives_its_owner(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 0, "/a/b", "v"), 0);
	assert_int_equal(chmod(w, 0, "/", "n5"), 0);
	assert_int_equal(put(w, 5, "/g/h", "v"), 0);
	assert_int_equal(chmod(w, 0, "@releaseDomain", "n5"), 0);
	assert_int_equal(store_purge_domain(w->store, 5, false), 0);
	assert_string_equal(list(w, 0, "/"), "tool a");
	assert_string_equal(perms(w, 0, "/"), "n0");
	assert_string_equal(perms(w, 0, "@releaseDomain"), "n0");
}

static void removing_many_nodes_does_not_touch_them_at_once(void **state)
{
	struct world *w = *state;
	uint64_t used;
	char path[64];

	for (int i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "/big/%d", i);
		assert_int_equal(put(w, 0, path, "v"), 0);
	}
	used = ledger_used(w->ledger[0], QUOTA_NODES);
	assert_int_equal(rm(w, 0, "/big"), 0);
	assert_int_equal(ledger_used(w->ledger[0], QUOTA_NODES), used);
	assert_true(store_reap(w->store, 100));
	assert_int_equal(ledger_used(w->ledger[0], QUOTA_NODES), used - 100);
}

static void without_memory_refunds_wait_and_do_not_spin(void **state)
{
	struct world *w = *state;
	uint64_t used = ledger_used(w->ledger[0], QUOTA_NODES);

	assert_int_equal(put(w, 0, "/a/b", "v"), 0);
	assert_int_equal(rm(w, 0, "/a"), 0);
	assert_false(store_reap_waits(w->store));
	harness_talloc_limit(w->store, 1);
	assert_false(store_reap(w->store, 100));
	assert_true(store_reap_waits(w->store));
	harness_talloc_limit(w->store, 0);
	store_reap(w->store, 100);
	assert_false(store_reap_waits(w->store));
	assert_int_equal(ledger_used(w->ledger[0], QUOTA_NODES), used);
}

static void count_sayings(void *arg, const char *text)
{
	(void)text;
	++*(int *)arg;
}

static int check_says(struct world *w)
{
	struct store_check *check;
	int said = 0;

	assert_int_equal(store_check_new(w, w->store, count_sayings, &said,
					 &check), 0);
	while (store_check_step(check, 3) == EAGAIN)
		;
	talloc_free(check);
	return said;
}

/* B1, S3 */
static void check_is_content_and_if_not_repairs(void **state)
{
	struct world *w = *state;
	struct owner *owner;

	put(w, 0, "/a/b/c", "v");
	chmod(w, 0, "/a/b", "n5");
	put(w, 5, "/a/b/d/e", "v");
	chmod(w, 0, "/a/b", "n6");
	put(w, 0, "/r/s/t", "v");
	rm(w, 0, "/r");
	assert_int_equal(check_says(w), 0);

	owner = owners_find(w->store->owners, 5);
	owner_account(owner, 2, -1);
	claim_drop(claim_find(owner, "/a/b", 4));
	assert_int_equal(check_says(w), 2);
	assert_int_equal(check_says(w), 0);
	assert_int_equal(store_purge_domain(w->store, 5, false), 0);
	assert_string_equal(list(w, 0, "/a/b"), "c");
}

/* Parts of nodes that a write makes or copies among n siblings. */
static uint64_t work_of_a_write(struct world *w, int n)
{
	const struct nodes_work *work = nodes_work(store_nodes(w->store));
	uint64_t made;
	char path[64];

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/n%d/%d/x", n, i);
		put(w, 0, path, "v");
	}
	made = work->made;
	snprintf(path, sizeof(path), "/n%d/%d/x", n, n / 2);
	put(w, 0, path, "w");
	put(w, 0, "/tool/x", "w");
	rm(w, 0, path);
	return work->made - made;
}

/* P3 of README.md */
static void a_write_costs_the_same_among_many_nodes(void **state)
{
	struct world *w = *state;
	uint64_t few = work_of_a_write(w, 10);
	uint64_t many = work_of_a_write(w, 10000);

	assert_in_range(few, 0, 12);
	assert_in_range(many, 0, few + 6);
}

struct deep {
	struct world *w;
	int put, check, rm, again, purge;
	uint64_t made, left;
};

static void *deep_work(void *arg)
{
	struct deep *deep = arg;
	struct world *w = deep->w;
	static char path[2049];

	for (size_t i = 0; i < sizeof(path) - 1; i += 2)
		memcpy(path + i, "/a", 3);
	deep->put = put(w, 5, path, "v");
	deep->made = ledger_used(w->ledger[5], QUOTA_NODES);
	deep->check = check_says(w);
	deep->rm = rm(w, 5, "/a/a");
	while (store_reap(w->store, 10))
		;
	deep->left = ledger_used(w->ledger[5], QUOTA_NODES);
	deep->again = put(w, 5, path, "v");
	deep->purge = store_purge_domain(w->store, 5, false);
	while (store_reap(w->store, 10))
		;
	return NULL;
}

/* XSA-418: with 64 KiB of stack */
static void the_deepest_path_is_made_and_removed(void **state)
{
	struct world *w = *state;
	struct deep deep = { .w = w };
	pthread_attr_t attr;
	pthread_t thread;

	mk(w, 0, "/a");
	chmod(w, 0, "/a", "n5");
	ledger_set_limit(w->ledger[5], QUOTA_NODES, 0);
	ledger_set_limit(w->ledger[5], QUOTA_MEMORY, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	assert_int_equal(pthread_create(&thread, &attr, deep_work, &deep), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	assert_int_equal(deep.put, 0);
	assert_int_equal(deep.made, 1024);
	assert_int_equal(deep.check, 0);
	assert_int_equal(deep.rm, 0);
	assert_int_equal(deep.left, 1);
	assert_int_equal(deep.again, 0);
	assert_int_equal(deep.purge, 0);
}

/* XSA-483 */
static void every_instance_of_a_domain_begins_with_nothing(void **state)
{
	struct world *w = *state;
	char path[32];

	for (int life = 0; life < 20; life++) {
		mk(w, 0, "/g");
		chmod(w, 0, "/g", "n5");
		for (int i = 0; i < 60; i++) {
			snprintf(path, sizeof(path), "/g/%d/%d", i, life);
			assert_int_equal(put(w, 5, path, ""), 0);
		}
		if (life % 2)
			rm(w, 5, "/g");
		assert_int_equal(store_purge_domain(w->store, 5, false), 0);
		assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 0);
		assert_int_equal(ledger_used(w->ledger[5], QUOTA_MEMORY), 0);
	}
}

/* XSA-414, and the parts of 115 */
static void a_creation_that_is_refused_leaves_nothing(void **state)
{
	struct world *w = *state;
	uint64_t nodes, memory;

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	ledger_set_limit(w->ledger[5], QUOTA_NODES, 3);
	nodes = ledger_used(w->ledger[5], QUOTA_NODES);
	memory = ledger_used(w->ledger[5], QUOTA_MEMORY);
	for (int i = 0; i < 100; i++)
		assert_int_equal(put(w, 5, "/d/q/w/e/r", "v"), ENOSPC);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), nodes);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_MEMORY), memory);
	assert_string_equal(list(w, 5, "/d"), "");
	ledger_set_limit(w->ledger[5], QUOTA_MEMORY, memory + 20);
	assert_int_equal(put(w, 5, "/d/q", "v"), EIO);
	assert_int_equal(put(w, 5, "/d", "a value that is too long"), ENOMEM);
	assert_int_equal(put(w, 0, "/d", "a value that is too long"), 0);
	assert_int_equal(put(w, 5, "/d", ""), 0);
}

/* ... of 115: a guest may delete below a parent that is over its quota */
static void removal_is_never_refused_for_quota(void **state)
{
	struct world *w = *state;
	char value[4001];

	memset(value, 'x', 4000);
	value[4000] = '\0';
	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	mk(w, 5, "/d/x");
	put(w, 0, "/d", value);
	assert_int_equal(mk(w, 5, "/d/y"), ENOSPC);
	assert_int_equal(rm(w, 5, "/d/x"), 0);
}

static void another_ledger(struct world *w, uint16_t domid)
{
	struct limits limits;

	limits_init(&limits);
	assert_int_equal(ledger_new(w->ledgers, domid, false, &limits,
				    &w->ledger[domid]), 0);
	assert_int_equal(ledgers_add(w->ledgers, w->ledger[domid]), 0);
}

/* B2 */
static void a_ledger_that_turns_up_later_is_charged(void **state)
{
	struct world *w = *state;

	TALLOC_FREE(w->ledger[7]);
	put(w, 0, "/a/b", "v");
	chmod(w, 0, "/a", "n7");
	put(w, 0, "/a/c", "v");
	another_ledger(w, 7);
	put(w, 7, "/a/d", "v");
	assert_int_equal(ledger_used(w->ledger[7], QUOTA_NODES), 3);
	rm(w, 0, "/a");
}

/* B2: also where the former one was, and before anything is made or removed */
static void a_ledger_in_the_place_of_another_is_charged(void **state)
{
	struct world *w = *state;

	put(w, 0, "/a/b", "v");
	chmod(w, 0, "/a", "n7");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ledger_used(w->ledger[7], QUOTA_NODES), 1);
		TALLOC_FREE(w->ledger[7]);
		store_forget_ledger(w->store, 7);
		another_ledger(w, 7);
		store_charge_ledger(w->store, 7);
	}
	rm(w, 0, "/a");
}

static void a_whole_tree_is_put_in_place_of_the_old_one(void **state)
{
	struct world *w = *state;
	struct perm list[] = { { 0, 0, 0 } }, guest[] = { { 5, 0, 0 } };
	struct nodes *nodes = store_nodes(w->store);
	struct perms *priv, *five;
	struct node *root;

	put(w, 0, "/old/x", "v");
	chmod(w, 0, "/old", "n5");
	assert_int_equal(perms_intern(store_perms_table(w->store), list, 1,
				      &priv), 0);
	assert_int_equal(perms_intern(store_perms_table(w->store), guest, 1,
				      &five), 0);
	assert_int_equal(tree_new(nodes, priv, 7, &root), 0);
	assert_int_equal(tree_create(nodes, &root, "/new/y", five, text("v"),
				     8, NULL), 0);
	assert_int_equal(store_install(w->store, root, 9), 0);
	perms_unref(priv);
	perms_unref(five);
	assert_int_equal(store_generation(w->store), 9);
	assert_string_equal(list(w, 0, "/"), "new");
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_NODES), 2);
	assert_int_equal(check_says(w), 0);
	assert_int_equal(store_purge_domain(w->store, 5, false), 0);
	assert_string_equal(list(w, 0, "/"), "");
}

static void a_permission_list_counts_for_the_size_of_a_node(void **state)
{
	struct world *w = *state;
	char value[2025];

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	memset(value, 'x', 2024);
	value[2024] = '\0';
	assert_int_equal(put(w, 5, "/d", value), 0);	/* 2048 with "n5" */
	assert_int_equal(chmod(w, 5, "/d", "n5 r6"), ENOSPC);
	assert_int_equal(chmod(w, 5, "/d", "r5"), 0);
	assert_int_equal(chmod(w, 0, "/d", "n5 r6"), 0);
}

#define VIEW_TEST(name) HARNESS_TEST(name, world_setup, world_teardown)

static const struct CMUnitTest tests[] = {
	VIEW_TEST(the_store_begins_with_what_the_specification_lists),
	VIEW_TEST(a_write_creates_the_way_and_is_told_once),
	VIEW_TEST(mkdir_of_an_existing_node_does_nothing),
	VIEW_TEST(rm_says_ok_enoent_or_einval),
	VIEW_TEST(missing_and_forbidden_are_told_apart_to_whom_they_concern),
	VIEW_TEST(a_new_node_belongs_to_the_guest_that_made_it),
	VIEW_TEST(set_perms_refuses_in_the_order_of_the_specification),
	VIEW_TEST(entries_of_dead_domains_are_stored_stale),
	VIEW_TEST(set_perms_may_find_a_domain_dead_and_its_nodes_gone),
	VIEW_TEST(a_domain_that_cannot_be_asked_about_is_not_taken_for_dead),
	VIEW_TEST(a_quota_of_n_admits_exactly_n),
	VIEW_TEST(whoever_is_about_to_be_refused_first_gets_back_what_is_his),
	VIEW_TEST(a_dead_domain_leaves_nothing),
	VIEW_TEST(what_a_dead_domain_left_is_not_refunded_to_the_next),
	VIEW_TEST(orphans_may_be_kept_by_the_privileged_domain),
	VIEW_TEST(the_root_outlives_its_owner),
	VIEW_TEST(removing_many_nodes_does_not_touch_them_at_once),
	VIEW_TEST(without_memory_refunds_wait_and_do_not_spin),
	VIEW_TEST(check_is_content_and_if_not_repairs),
	VIEW_TEST(a_write_costs_the_same_among_many_nodes),
	VIEW_TEST(the_deepest_path_is_made_and_removed),
	VIEW_TEST(every_instance_of_a_domain_begins_with_nothing),
	VIEW_TEST(a_creation_that_is_refused_leaves_nothing),
	VIEW_TEST(removal_is_never_refused_for_quota),
	VIEW_TEST(a_ledger_that_turns_up_later_is_charged),
	VIEW_TEST(a_ledger_in_the_place_of_another_is_charged),
	VIEW_TEST(a_whole_tree_is_put_in_place_of_the_old_one),
	VIEW_TEST(a_permission_list_counts_for_the_size_of_a_node),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
