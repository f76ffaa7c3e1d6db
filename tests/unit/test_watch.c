/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "store/tree.h"
#include "store/view.h"
#include "store/watch.h"

#define WATCHERS 3

struct fixture {
	TALLOC_CTX *ctx;
	struct ledgers *ledgers;
	struct ledger *ledger[WATCHERS];
	struct store *store;
	struct watch_index *index;
	struct who who[WATCHERS];	/* 0 is privileged, the others guests */
	struct watcher watcher[WATCHERS];
	char heard[65536];	/* "0:/path token;" for each event */
	size_t len;
};

static struct fixture *current;

static void hear(struct watcher *watcher, const struct watch *watch,
		 const char *path)
{
	struct fixture *f = current;

	f->len += snprintf(f->heard + f->len, sizeof(f->heard) - f->len,
			   "%d:%s %s;", (int)(watcher - f->watcher), path,
			   watch_token(watch));
	assert_true(f->len < sizeof(f->heard));
}

static void changed(void *arg, const struct changeset *set)
{
	struct fixture *f = arg;

	watch_fire(f->index, set);
}

static int setup(void **state)
{
	struct fixture *f = talloc_zero(NULL, struct fixture);
	struct limits limits;

	f->ctx = f;
	current = f;
	limits_init(&limits);
	assert_int_equal(ledgers_new(f, &f->ledgers), 0);
	for (int i = 0; i < WATCHERS; i++) {
		assert_int_equal(ledger_new(f, i, i == 0, &limits,
					    &f->ledger[i]), 0);
		assert_int_equal(ledgers_add(f->ledgers, f->ledger[i]), 0);
	}
	assert_int_equal(watch_index_new(f, &f->index), 0);
	assert_int_equal(store_new(f, f->ledgers, 0, &f->store), 0);
	assert_int_equal(store_add_consumer(f->store, changed, f), 0);
	for (int i = 0; i < WATCHERS; i++) {
		f->who[i] = (struct who){
			.domid = i,
			.target = DOMID_INVALID,
			.privileged = i == 0,
		};
		watcher_init(&f->watcher[i], i + 1, &f->who[i], hear);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < WATCHERS; i++)
		watcher_free_watches(&f->watcher[i]);
	assert_int_equal(watch_index_count(f->index), 0);
	TALLOC_FREE(f->store);
	TALLOC_FREE(f->index);
	talloc_free(f);
	return 0;
}

static struct view view_of(struct fixture *f, int i)
{
	return (struct view){
		.store = f->store,
		.who = &f->who[i],
		.ledger = f->ledger[i],
	};
}

static struct watch *watch(struct fixture *f, int i, const char *path,
			   const char *token, int depth)
{
	struct watch *out;

	assert_int_equal(watch_add(f, f->index, &f->watcher[i], f->ledger[i],
				   path, 0, token, depth, &out), 0);
	return out;
}

static void put(struct fixture *f, const char *path)
{
	struct view view = view_of(f, 0);

	assert_int_equal(view_write(&view, path, (struct blob){ "v", 1 }), 0);
}

static void rm(struct fixture *f, const char *path)
{
	struct view view = view_of(f, 0);

	assert_int_equal(view_rm(&view, path), 0);
}

static void chmod_to(struct fixture *f, const char *path, uint16_t domid,
		     unsigned int rights)
{
	struct view view = view_of(f, 0);
	struct perm list[] = { { 0, PERM_NONE, 0 }, { domid, rights, 0 } };

	assert_int_equal(view_set_perms(&view, path, list, 2), 0);
}

/* What was heard since the last time. */
static void expect(struct fixture *f, const char *heard)
{
	f->heard[f->len] = '\0';
	assert_string_equal(f->heard, heard);
	f->len = 0;
}

/* W2 */
static void a_change_is_told_on_its_path_and_above(void **state)
{
	struct fixture *f = *state;

	watch(f, 0, "/", "root", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w", "w", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/a/b/c", "below", WATCH_DEPTH_UNLIMITED);
	put(f, "/w/a/b");
	expect(f, "0:/w/a/b root;0:/w/a/b w;");
	put(f, "/wx");
	expect(f, "0:/wx root;");
}

/* W2 */
static void a_depth_limits_how_far_below_is_told(void **state)
{
	struct fixture *f = *state;

	watch(f, 0, "/", "r1", 1);
	watch(f, 0, "/d", "0", 0);
	watch(f, 0, "/d", "1", 1);
	put(f, "/d");
	expect(f, "0:/d r1;0:/d 0;0:/d 1;");
	put(f, "/d/1");
	expect(f, "0:/d/1 1;");
	put(f, "/d/1/2");
	expect(f, "");
}

/* W2 */
static void a_removal_tells_exact_watches_below_children_first(void **state)
{
	struct fixture *f = *state;

	put(f, "/w/a/z/deep");
	put(f, "/w/a/b/c");
	put(f, "/w/a/m");
	watch(f, 0, "/w", "top", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/a/b", "b", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/a/b/c", "c", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/a/m", "m", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/a/z/deep", "deep", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/a/none", "none", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/a", "a", WATCH_DEPTH_UNLIMITED);
	rm(f, "/w/a");
	expect(f, "0:/w/a/z/deep deep;0:/w/a/b/c c;0:/w/a/b b;0:/w/a/m m;"
		  "0:/w/a top;0:/w/a a;");
}

/* W2: the other way of looking for them, with more nodes than watches. */
static void a_removal_finds_the_watched_among_many_children(void **state)
{
	struct fixture *f = *state;
	char path[32];

	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/w/n%02d", i);
		put(f, path);
	}
	watch(f, 0, "/w/n70", "70", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/w/n07", "07", WATCH_DEPTH_UNLIMITED);
	rm(f, "/w");
	expect(f, "0:/w/n07 07;0:/w/n70 70;");
}

static void the_same_for_few_children_and_many_watches(void **state)
{
	struct fixture *f = *state;
	char path[32];

	put(f, "/w/n70");
	put(f, "/w/n07");
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/w/n%02d", i);
		watch(f, 0, path, path + 3, WATCH_DEPTH_UNLIMITED);
	}
	rm(f, "/w");
	expect(f, "0:/w/n70 n70;0:/w/n07 n07;");
}

/* W3 */
static void the_order_is_that_of_connections_then_of_watches(void **state)
{
	struct fixture *f = *state;

	put(f, "/o/p");
	chmod_to(f, "/o/p", 1, PERM_READ);
	watch(f, 1, "/o/p", "first", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/o/p", "second", WATCH_DEPTH_UNLIMITED);
	watch(f, 1, "/o", "third", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/", "fourth", WATCH_DEPTH_UNLIMITED);
	put(f, "/o/p");
	expect(f, "0:/o/p second;0:/o/p fourth;1:/o/p first;1:/o/p third;");
}

/* W5, XSA-115 */
static void only_who_may_read_is_told(void **state)
{
	struct fixture *f = *state;

	put(f, "/s/n");
	watch(f, 1, "/s/n", "t", WATCH_DEPTH_UNLIMITED);
	watch(f, 2, "/s", "u", WATCH_DEPTH_UNLIMITED);
	put(f, "/s/n");
	expect(f, "");
	chmod_to(f, "/s/n", 1, PERM_READ);
	expect(f, "1:/s/n t;");
	put(f, "/s/n");
	expect(f, "1:/s/n t;");
	chmod_to(f, "/s/n", 2, PERM_WRITE);	/* told: it was readable */
	expect(f, "1:/s/n t;");
	put(f, "/s/n");
	expect(f, "");
	chmod_to(f, "/s", 2, PERM_READ);	/* the parent counts, too */
	expect(f, "2:/s u;");
	put(f, "/s/n");
	expect(f, "2:/s/n u;");
}

/* W5, XSA-115 */
static void a_removal_is_told_by_the_rights_on_what_was_removed(void **state)
{
	struct fixture *f = *state;

	put(f, "/s/n/x");
	chmod_to(f, "/s/n/x", 1, PERM_READ);
	watch(f, 1, "/s/n/x", "x", WATCH_DEPTH_UNLIMITED);
	watch(f, 1, "/s/n", "n", WATCH_DEPTH_UNLIMITED);
	rm(f, "/s/n");
	expect(f, "1:/s/n/x x;");
}

static void a_relative_watch_hears_relative_paths(void **state)
{
	struct fixture *f = *state;
	const char *path = "/local/domain/0/rel";
	struct watch *w;

	assert_int_equal(watch_add(f, f->index, &f->watcher[0], NULL, path,
				   strlen("/local/domain/0/"), "t",
				   WATCH_DEPTH_UNLIMITED, &w), 0);
	assert_string_equal(watch_shown_path(w), "rel");
	put(f, "/local/domain/0/rel/q");
	expect(f, "0:rel/q t;");
	rm(f, path);
	expect(f, "0:rel t;");
}

static void path_and_token_together_are_unique_per_watcher(void **state)
{
	struct fixture *f = *state;
	struct watch *w;

	watch(f, 0, "/a", "t", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/a", "u", WATCH_DEPTH_UNLIMITED);
	watch(f, 1, "/a", "t", WATCH_DEPTH_UNLIMITED);
	assert_int_equal(watch_add(f, f->index, &f->watcher[0], NULL, "/a", 0,
				   "t", 3, &w), EEXIST);
	assert_non_null(watch_find(f->index, &f->watcher[0], "/a", "u"));
	assert_null(watch_find(f->index, &f->watcher[1], "/a", "u"));
	assert_null(watch_find(f->index, &f->watcher[0], "/a/b", "t"));
}

/* W4, XSA-330, XSA-512 */
static void a_freed_watch_leaves_no_trace(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 1000; round++) {
		watch(f, 1, "/local/domain/1/device/vif/0", "t",
		      WATCH_DEPTH_UNLIMITED);
		watch(f, 1, "@releaseDomain", "t", WATCH_DEPTH_UNLIMITED);
		watcher_free_watches(&f->watcher[1]);
	}
	assert_int_equal(watch_index_count(f->index), 0);
	assert_int_equal(ledger_used(f->ledger[1], QUOTA_WATCHES), 0);
	put(f, "/local/domain/1/device/vif/0");
	expect(f, "");
}

static void watches_are_paid_for_and_limited(void **state)
{
	struct fixture *f = *state;
	struct watch *w;
	uint64_t before = ledger_used(f->ledger[1], QUOTA_MEMORY);

	ledger_set_limit(f->ledger[1], QUOTA_WATCHES, 2);
	watch(f, 1, "/a", "token", WATCH_DEPTH_UNLIMITED);
	assert_in_range(ledger_used(f->ledger[1], QUOTA_MEMORY) - before,
			strlen("/atoken"), 1000);
	watch(f, 1, "/b", "t", WATCH_DEPTH_UNLIMITED);
	assert_int_equal(watch_add(f, f->index, &f->watcher[1], f->ledger[1],
				   "/c", 0, "t", WATCH_DEPTH_UNLIMITED, &w),
			 ENOSPC);
	assert_int_equal(watch_index_count(f->index), 2);
}

/* P5 of README.md: of a thousand components each, without anything in common */
static void deep_watches_take_no_more_than_they_pay(void **state)
{
	struct fixture *f = *state;
	uint64_t limit = ledger_limit(f->ledger[1], QUOTA_MEMORY);
	size_t before = mallinfo2().uordblks;
	char path[2048], *p;
	struct watch *w;
	int n = 0, err;

	do {
		p = path + sprintf(path, "/n%d", n++);
		while (p + 2 < path + sizeof(path))
			p = stpcpy(p, "/a");
		err = watch_add(f, f->index, &f->watcher[1], f->ledger[1],
				path, 0, "t", WATCH_DEPTH_UNLIMITED, &w);
	} while (!err);
	assert_int_equal(err, ENOSPC);
	assert_in_range(n, 2, 128);
	assert_in_range(mallinfo2().uordblks - before, 0, 2 * limit);
}

static void special_events_come_plain_and_with_the_domid(void **state)
{
	struct fixture *f = *state;
	const char *name = "@releaseDomain";
	const uint16_t domids[] = { 5, 7 };
	struct perms *special =
		node_perms(tree_find(store_root(f->store), name));
	struct perms *root = node_perms(tree_find(store_root(f->store), "/"));

	watch(f, 0, name, "plain", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, name, "depth0", 0);
	watch(f, 0, name, "depth1", 1);
	watch(f, 0, "@releaseDomain/5", "exact", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "@introduceDomain", "other", WATCH_DEPTH_UNLIMITED);
	watch(f, 0, "/", "root", WATCH_DEPTH_UNLIMITED);
	watch_fire_special(f->index, name, domids, 2, special, root);
	expect(f, "0:@releaseDomain plain;"
		  "0:@releaseDomain/5 depth1;0:@releaseDomain/5 exact;"
		  "0:@releaseDomain/7 depth1;");
}

/* XSA-115 */
static void special_events_need_the_right_to_read(void **state)
{
	struct fixture *f = *state;
	const char *name = "@introduceDomain";
	const uint16_t domid = 5;
	struct node *root = store_root(f->store);

	watch(f, 1, name, "t", WATCH_DEPTH_UNLIMITED);
	watch_fire_special(f->index, name, &domid, 1,
			   node_perms(tree_find(root, name)),
			   node_perms(tree_find(root, "/")));
	expect(f, "");
}

/* W1, P3 of README.md */
static void a_write_visits_as_much_with_ten_watches_as_with_many(void **state)
{
	struct fixture *f = *state;
	uint64_t cost[2];
	char path[64];
	int n = 0;

	put(f, "/hot/a/b");
	for (int size = 0; size < 2; size++) {
		for (; n < (size ? 10000 : 10); n++) {
			snprintf(path, sizeof(path), "/w/n%d/state", n);
			watch(f, 0, path, "t", WATCH_DEPTH_UNLIMITED);
		}
		cost[size] = watch_index_visits(f->index);
		put(f, "/hot/a/b");
		put(f, "/w/n5/state");
		cost[size] = watch_index_visits(f->index) - cost[size];
	}
	assert_int_equal(cost[0], cost[1]);
	expect(f, "0:/w/n5/state t;0:/w/n5/state t;");
}

/* W1 */
static void a_removal_visits_only_what_it_removes(void **state)
{
	struct fixture *f = *state;
	uint64_t cost[2];
	char path[64];
	int n = 0;

	for (int size = 0; size < 2; size++) {
		put(f, "/w/gone/x/y");
		for (; n < (size ? 10000 : 10); n++) {
			snprintf(path, sizeof(path), "/w/n%d/state", n);
			watch(f, 0, path, "t", WATCH_DEPTH_UNLIMITED);
		}
		cost[size] = watch_index_visits(f->index);
		rm(f, "/w/gone");
		cost[size] = watch_index_visits(f->index) - cost[size];
	}
	assert_int_equal(cost[0], cost[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) HARNESS_TEST(name, setup, teardown)
		TEST(a_change_is_told_on_its_path_and_above),
		TEST(a_depth_limits_how_far_below_is_told),
		TEST(a_removal_tells_exact_watches_below_children_first),
		TEST(a_removal_finds_the_watched_among_many_children),
		TEST(the_same_for_few_children_and_many_watches),
		TEST(the_order_is_that_of_connections_then_of_watches),
		TEST(only_who_may_read_is_told),
		TEST(a_removal_is_told_by_the_rights_on_what_was_removed),
		TEST(a_relative_watch_hears_relative_paths),
		TEST(path_and_token_together_are_unique_per_watcher),
		TEST(a_freed_watch_leaves_no_trace),
		TEST(watches_are_paid_for_and_limited),
		TEST(deep_watches_take_no_more_than_they_pay),
		TEST(special_events_come_plain_and_with_the_domid),
		TEST(special_events_need_the_right_to_read),
		TEST(a_write_visits_as_much_with_ten_watches_as_with_many),
		TEST(a_removal_visits_only_what_it_removes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
