/* SPDX-License-Identifier: MIT */
/* Transactions (store/txn.h), one rule at a time. */
#include "world.h"

/* T1, T4 */
static void a_change_before_the_first_look_is_no_conflict(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "1");
	txn = begin(w, 0);
	put(w, 0, "/a", "2");
	assert_string_equal(get_in(w, 0, txn, "/a"), "2");
	put(w, 0, "/b", "3");
	assert_string_equal(get_in(w, 0, txn, "/b"), "3");
	assert_int_equal(put_in(w, 0, txn, "/c", "4"), 0);
	assert_string_equal(get(w, 0, "/c"), "ENOENT");
	assert_int_equal(commit(w, 0, txn), 0);
	assert_string_equal(world_told(w), "c/c");
	assert_string_equal(get(w, 0, "/c"), "4");
}

/* T2, T3 */
static void commit_is_refused_when_a_read_node_changed(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "1");
	txn = begin(w, 0);
	assert_string_equal(get_in(w, 0, txn, "/a"), "1");
	put(w, 0, "/a", "2");
	assert_string_equal(get_in(w, 0, txn, "/a"), "1");
	assert_int_equal(put_in(w, 0, txn, "/x", ""), 0);
	world_told(w);
	assert_int_equal(txn_commit(txn, &w->who[0]), EAGAIN);
	assert_string_equal(txn_conflict(txn), "/a");
	talloc_free(txn);
	assert_string_equal(world_told(w), "");
	assert_string_equal(get(w, 0, "/x"), "ENOENT");
}

/* T1: the snapshot stays where its answers are */
static void what_was_seen_stays_even_if_the_snapshot_cannot_move(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "1");
	put(w, 0, "/b", "1");
	txn = begin(w, 0);
	assert_string_equal(get_in(w, 0, txn, "/a"), "1");
	put(w, 0, "/a", "2");
	put(w, 0, "/b", "2");
	assert_string_equal(get_in(w, 0, txn, "/b"), "1");
	/* back as it was: the answers are good again */
	put(w, 0, "/a", "1");
	assert_string_equal(get_in(w, 0, txn, "/c"), "ENOENT");
	assert_int_equal(put_in(w, 0, txn, "/x", ""), 0);
	assert_int_equal(commit(w, 0, txn), EAGAIN);
}

/* T4 */
static void a_value_rewritten_as_it_was_is_no_conflict(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "1");
	txn = begin(w, 0);
	assert_string_equal(get_in(w, 0, txn, "/a"), "1");
	put(w, 0, "/a", "2");
	put(w, 0, "/a", "1");
	assert_int_equal(put_in(w, 0, txn, "/x", ""), 0);
	assert_int_equal(commit(w, 0, txn), 0);
}

/* T4 */
static void a_blind_write_does_not_conflict(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "1");
	txn = begin(w, 0);
	assert_int_equal(put_in(w, 0, txn, "/a", "mine"), 0);
	assert_int_equal(put_in(w, 0, txn, "/n/m", "mine"), 0);
	assert_string_equal(get_in(w, 0, txn, "/a"), "mine");
	put(w, 0, "/a", "2");
	rm(w, 0, "/a");
	put(w, 0, "/n/m", "2");
	assert_int_equal(commit(w, 0, txn), 0);
	assert_string_equal(world_told(w), "c/a v/n/m");
	assert_string_equal(get(w, 0, "/a"), "mine");
	assert_string_equal(get(w, 0, "/n/m"), "mine");
}

/* P2 of the design */
static void two_that_make_different_children_both_commit(void **state)
{
	struct world *w = *state;
	struct txn *one, *two;

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "b0");
	one = begin(w, 1);
	two = begin(w, 2);
	assert_int_equal(put_in(w, 1, one, "/d/1", "x"), 0);
	assert_int_equal(mkdir_in(w, 2, two, "/d/2"), 0);
	assert_int_equal(commit(w, 1, one), 0);
	assert_int_equal(commit(w, 2, two), 0);
	assert_string_equal(list(w, 0, "/d"), "1 2");
}

static void mkdir_and_rm_of_one_node_conflict(void **state)
{
	struct world *w = *state;
	struct txn *make, *drop;

	mk(w, 0, "/d/x");
	make = begin(w, 0);
	drop = begin(w, 0);
	assert_int_equal(mkdir_in(w, 0, make, "/d/x"), 0);
	assert_int_equal(put_in(w, 0, make, "/d/y", ""), 0);
	assert_int_equal(rm_in(w, 0, drop, "/d/x"), 0);
	assert_int_equal(commit(w, 0, drop), 0);
	assert_int_equal(commit(w, 0, make), EAGAIN);
}

/* XSA-440 */
static void two_that_remove_the_same_conflict(void **state)
{
	struct world *w = *state;
	struct txn *one, *two;
	char path[32];

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	one = begin(w, 5);
	two = begin(w, 5);
	for (int i = 0; i < 50; i++) {
		snprintf(path, sizeof(path), "/d/%d", i);
		put(w, 5, path, "");
		assert_int_equal(rm_in(w, 5, one, path), 0);
		assert_int_equal(rm_in(w, 5, two, path), 0);
	}
	assert_int_equal(commit(w, 5, one), 0);
	assert_int_equal(commit(w, 5, two), EAGAIN);
}

/* T5 */
static void one_that_wrote_nothing_commits(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "1");
	txn = begin(w, 0);
	assert_string_equal(get_in(w, 0, txn, "/a"), "1");
	put(w, 0, "/a", "2");
	assert_int_equal(rm_in(w, 0, txn, "/nope"), 0);
	assert_int_equal(commit(w, 0, txn), 0);
}

static void a_listing_conflicts_with_another_child_but_not_with_a_value(
	void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/d/y", "");
	txn = begin(w, 0);
	assert_string_equal(list_in(w, 0, txn, "/d"), "y");
	put(w, 0, "/d/y", "new");
	assert_int_equal(put_in(w, 0, txn, "/x", ""), 0);
	assert_int_equal(commit(w, 0, txn), 0);
	txn = begin(w, 0);
	assert_string_equal(list_in(w, 0, txn, "/d"), "y");
	put(w, 0, "/d/x", "");
	assert_int_equal(put_in(w, 0, txn, "/x", ""), 0);
	assert_int_equal(commit(w, 0, txn), EAGAIN);
}

static void own_writes_are_seen_in_every_answer(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/d/a", "1");
	put(w, 0, "/d/b", "1");
	txn = begin(w, 0);
	assert_int_equal(mkdir_in(w, 0, txn, "/d/c"), 0);
	assert_string_equal(list_in(w, 0, txn, "/d"), "a b c");
	assert_int_equal(rm_in(w, 0, txn, "/d/a"), 0);
	assert_string_equal(list_in(w, 0, txn, "/d"), "b c");
	assert_string_equal(get_in(w, 0, txn, "/d/a"), "ENOENT");
	assert_int_equal(put_in(w, 0, txn, "/d/a", "2"), 0);
	assert_string_equal(list_in(w, 0, txn, "/d"), "b c a");
	assert_int_equal(chmod_in(w, 0, txn, "/d", "r0 b5"), 0);
	assert_int_equal(mkdir_in(w, 0, txn, "/d/e/f"), 0);
	assert_string_equal(perms_in(w, 0, txn, "/d/e"), "r0 b5");
	assert_int_equal(chmod_in(w, 0, txn, "/d", "n0"), 0);
	assert_int_equal(commit(w, 0, txn), 0);
	assert_string_equal(world_told(w), "c/d/c p/d r/d/a c/d/e/f");
	assert_string_equal(list(w, 0, "/d"), "b c a e");
	assert_string_equal(perms(w, 0, "/d/e/f"), "r0 b5");
	assert_string_equal(perms(w, 0, "/d"), "n0");
}

static void created_and_removed_again_fires_nothing(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 0);

	assert_int_equal(put_in(w, 0, txn, "/a/b", ""), 0);
	assert_int_equal(rm_in(w, 0, txn, "/a"), 0);
	world_told(w);
	assert_int_equal(commit(w, 0, txn), 0);
	assert_string_equal(world_told(w), "");
	assert_string_equal(get(w, 0, "/a"), "ENOENT");
}

/* As libxl removes a device and then the directories that became empty. */
static void each_removal_fires_though_one_is_below_another(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a/b/c", "");
	world_told(w);
	txn = begin(w, 0);
	assert_int_equal(rm_in(w, 0, txn, "/a/b/c"), 0);
	assert_int_equal(rm_in(w, 0, txn, "/a/b"), 0);
	assert_int_equal(rm_in(w, 0, txn, "/a"), 0);
	assert_int_equal(put_in(w, 0, txn, "/a/b", ""), 0);
	assert_int_equal(commit(w, 0, txn), 0);
	assert_string_equal(world_told(w), "r/a/b/c r/a/b r/a");
	assert_string_equal(get(w, 0, "/a/b"), "");
}

/* XSA-415, semantics 2.7 */
static void quota_inside_dooms_and_errors_do_not(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	txn = begin(w, 5);
	assert_string_equal(get_in(w, 5, txn, "/tool"), "EACCES");
	assert_string_equal(get_in(w, 5, txn, "/d/x"), "ENOENT");
	assert_int_equal(rm_in(w, 5, txn, "/d/y/z"), ENOENT);
	assert_int_equal(put_in(w, 5, txn, "/d/v", ""), 0);
	assert_int_equal(commit(w, 5, txn), 0);

	ledger_set_limit(w->ledger[5], QUOTA_TXN_NODES, 3);
	txn = begin(w, 5);
	assert_string_equal(get_in(w, 5, txn, "/d/1"), "ENOENT");
	assert_int_equal(put_in(w, 5, txn, "/d/2", ""), 0);
	assert_int_equal(put_in(w, 5, txn, "/d/3", ""), 0);
	assert_int_equal(put_in(w, 5, txn, "/d/3", ""), 0);
	assert_int_equal(put_in(w, 5, txn, "/d/4", ""), ENOSPC);
	assert_int_equal(commit(w, 5, txn), ENOMEM);
	assert_string_equal(list(w, 5, "/d"), "v");
}

static void the_node_quota_is_asked_for_what_the_commit_makes_of_it(
	void **state)
{
	struct world *w = *state;
	struct txn *one, *two;

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	ledger_set_limit(w->ledger[5], QUOTA_NODES, 3);
	one = begin(w, 5);
	two = begin(w, 5);
	assert_int_equal(put_in(w, 5, one, "/d/1", ""), 0);
	assert_int_equal(put_in(w, 5, one, "/d/2", ""), 0);
	assert_int_equal(put_in(w, 5, two, "/d/3", ""), 0);
	assert_int_equal(commit(w, 5, one), 0);
	assert_int_equal(commit(w, 5, two), ENOSPC);
	assert_string_equal(list(w, 5, "/d"), "1 2");
	one = begin(w, 5);
	assert_int_equal(rm_in(w, 5, one, "/d/1"), 0);
	assert_int_equal(put_in(w, 5, one, "/d/4", ""), 0);
	assert_int_equal(commit(w, 5, one), 0);
	assert_string_equal(list(w, 5, "/d"), "2 4");
}

static void a_guest_sees_verdicts_and_not_the_lists_behind_them(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/d", "1");
	chmod(w, 0, "/d", "n0 b5");
	txn = begin(w, 5);
	assert_string_equal(get_in(w, 5, txn, "/d"), "1");
	assert_int_equal(put_in(w, 5, txn, "/d/x", ""), 0);
	chmod(w, 0, "/d", "n0 b6 b5");
	assert_int_equal(commit(w, 5, txn), 0);
	txn = begin(w, 5);
	assert_int_equal(put_in(w, 5, txn, "/d/x", ""), 0);
	assert_int_equal(put_in(w, 5, txn, "/d/y", ""), 0);
	chmod(w, 0, "/d", "n0 b6 r5");
	assert_int_equal(commit(w, 5, txn), EAGAIN);
}

#define TXN_TEST(name) HARNESS_TEST(name, world_setup, world_teardown)

static const struct CMUnitTest tests[] = {
	TXN_TEST(a_change_before_the_first_look_is_no_conflict),
	TXN_TEST(commit_is_refused_when_a_read_node_changed),
	TXN_TEST(what_was_seen_stays_even_if_the_snapshot_cannot_move),
	TXN_TEST(a_value_rewritten_as_it_was_is_no_conflict),
	TXN_TEST(a_blind_write_does_not_conflict),
	TXN_TEST(two_that_make_different_children_both_commit),
	TXN_TEST(mkdir_and_rm_of_one_node_conflict),
	TXN_TEST(two_that_remove_the_same_conflict),
	TXN_TEST(one_that_wrote_nothing_commits),
	TXN_TEST(a_listing_conflicts_with_another_child_but_not_with_a_value),
	TXN_TEST(own_writes_are_seen_in_every_answer),
	TXN_TEST(created_and_removed_again_fires_nothing),
	TXN_TEST(each_removal_fires_though_one_is_below_another),
	TXN_TEST(quota_inside_dooms_and_errors_do_not),
	TXN_TEST(the_node_quota_is_asked_for_what_the_commit_makes_of_it),
	TXN_TEST(a_guest_sees_verdicts_and_not_the_lists_behind_them),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
