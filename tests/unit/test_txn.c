/* SPDX-License-Identifier: MIT */
/* Transactions (store/txn.h), one rule at a time. */
#include "world.h"

#include "store/store_priv.h"
#include "store/txn_priv.h"

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

/* P2 of README.md */
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

/* XSA-415 */
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

	ledger_set_limit(w->ledger[5], QUOTA_NODES, 3);
	txn = begin(w, 5);
	assert_int_equal(put_in(w, 5, txn, "/d/1/2/3", ""), ENOSPC);
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

/* The work that a transaction does: it looks at one node and writes another,
 * while somebody else writes a third. */
static uint64_t work_of_a_transaction(struct world *w)
{
	const struct nodes_work *work = nodes_work(store_nodes(w->store));
	struct nodes_work before = *work;
	struct txn *txn = begin(w, 0);
	uint64_t compared;

	assert_int_equal(work->made, before.made);	/* T6 */
	assert_null(txn->base);
	get_in(w, 0, txn, "/h/d/0/x");
	put_in(w, 0, txn, "/h/d/1/x", "1");
	put(w, 0, "/h/d/2/x", "2");
	assert_int_equal(txn_commit(txn, &w->who[0]), 0);
	compared = trail_compared(txn->trail);
	assert_in_range(compared, 1, 10);
	talloc_free(txn);
	return work->made - before.made + compared;
}

/* T6, P3: only the look-ups in a large directory grow, as its depth does */
static void a_transaction_costs_the_same_in_a_large_store(void **state)
{
	struct world *w = *state;
	uint64_t small, large;
	char path[64];

	for (int i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "/h/d/%d/x", i);
		put(w, 0, path, "v");
	}
	small = work_of_a_transaction(w);
	for (int i = 40; i < 10000; i++) {
		snprintf(path, sizeof(path), "/h/d/%d/x", i);
		put(w, 0, path, "v");
	}
	large = work_of_a_transaction(w);
	assert_in_range(small, 1, 60);
	assert_in_range(large, 1, 2 * small);
}

/* L1: of a thousand nodes that were read only those are looked at again that
 * lie where something changed */
static void a_commit_compares_only_where_the_trees_differ(void **state)
{
	struct world *w = *state;
	struct txn *txn;
	char path[64];

	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/h/%d/%d", i / 100, i);
		put(w, 0, path, "v");
	}
	txn = begin(w, 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/h/%d/%d", i / 100, i);
		get_in(w, 0, txn, path);
	}
	put_in(w, 0, txn, "/x", "");
	put(w, 0, "/h/new", "");
	assert_int_equal(txn_commit(txn, &w->who[0]), 0);
	assert_in_range(trail_compared(txn->trail), 1, 20);
	talloc_free(txn);
}

static void trim(struct world *w, uint64_t now)
{
	txns_set_now(w->store, now);
	txns_trim(w->store);
}

/* What began after a long rest is not old, whoever rested. */
static void a_snapshot_after_a_pause_is_fresh(void **state)
{
	struct world *w = *state;
	struct txn *guest;

	put(w, 0, "/a", "1");
	chmod(w, 0, "/a", "b0");
	trim(w, 1000);
	txns_set_now(w->store, 90000);
	guest = begin(w, 5);
	get_in(w, 5, guest, "/a");
	put(w, 0, "/a", "2");
	trim(w, 90000);
	assert_false(guest->dropped);
	talloc_free(guest);
}

static void an_idle_snapshot_of_a_guest_is_let_go(void **state)
{
	struct world *w = *state;
	struct txn *guest, *calm, *dom0;

	put(w, 0, "/a", "1");
	put(w, 0, "/b", "1");
	chmod(w, 0, "/a", "b0");
	chmod(w, 0, "/b", "b0");
	trim(w, 1000);
	guest = begin(w, 5);
	calm = begin(w, 5);
	dom0 = begin(w, 0);
	get_in(w, 5, guest, "/a");
	get_in(w, 5, calm, "/b");
	get_in(w, 0, dom0, "/a");
	put_in(w, 5, guest, "/b", "");
	put_in(w, 5, calm, "/b", "");
	put(w, 0, "/a", "2");
	trim(w, 20900);
	assert_false(guest->dropped);
	trim(w, 22000);
	assert_true(guest->dropped);
	assert_false(calm->dropped);	/* its answers hold: it moved on */
	assert_true(calm->version == w->store->version);
	assert_false(dom0->dropped);
	assert_int_equal(commit(w, 5, guest), EAGAIN);
	assert_int_equal(commit(w, 5, calm), 0);
	assert_string_equal(get_in(w, 0, dom0, "/a"), "1");
	assert_int_equal(commit(w, 0, dom0), 0);
}

static void a_dropped_transaction_sees_the_live_store(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "1");
	txn = begin(w, 0);
	get_in(w, 0, txn, "/a");
	put(w, 0, "/a", "2");
	txn_drop(txn);
	assert_string_equal(get_in(w, 0, txn, "/a"), "2");
	assert_int_equal(put_in(w, 0, txn, "/a", "3"), 0);
	assert_int_equal(rm_in(w, 0, txn, "/a"), 0);
	assert_int_equal(mkdir_in(w, 0, txn, "/c/d"), 0);
	assert_int_equal(commit(w, 0, txn), EAGAIN);
	assert_string_equal(get(w, 0, "/a"), "2");
	assert_string_equal(get(w, 0, "/c"), "ENOENT");
}

static void memory_behind_snapshots_is_bounded(void **state)
{
	struct world *w = *state;
	struct txn *old, *young[8];
	char value[2001], path[64];

	memset(value, 'x', 2000);
	value[2000] = '\0';
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/d/%d", i);
		put(w, 0, path, value);
	}
	trim(w, 1);
	assert_int_equal(store_retained(w->store), 0);
	old = begin(w, 0);
	get_in(w, 0, old, "/d/1");
	put_in(w, 0, old, "/x", "");
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(path, sizeof(path), "/d/%d", i);
			value[0] = 'a' + round;
			put(w, 0, path, value);
		}
		trim(w, 1);
		assert_in_range(store_retained(w->store), 0, 10 << 20);
		/* a snapshot of every round */
		young[round] = begin(w, 0);
		get_in(w, 0, young[round], "/d/2");
	}
	assert_true(old->dropped);
	assert_false(young[7]->dropped);
	assert_int_equal(commit(w, 0, old), EAGAIN);
	for (int round = 0; round < 8; round++)
		talloc_free(young[round]);
}

/* Of one guest's snapshot, no more than its memory quota. */
static void a_guest_cannot_hold_back_more_than_its_quota(void **state)
{
	struct world *w = *state;
	struct txn *txn;
	char value[2001], path[64];

	memset(value, 'x', 2000);
	value[2000] = '\0';
	put(w, 0, "/g", "1");
	chmod(w, 0, "/g", "b0");
	for (int i = 0; i < 1500; i++) {
		snprintf(path, sizeof(path), "/d/%d", i);
		put(w, 0, path, value);
	}
	trim(w, 1000);
	txn = begin(w, 5);
	get_in(w, 5, txn, "/g");
	put_in(w, 5, txn, "/g/x", "");
	put(w, 0, "/g", "2");
	for (int i = 0; i < 1500; i++) {
		snprintf(path, sizeof(path), "/d/%d", i);
		put(w, 0, path, value);
		trim(w, 3000 + 10 * i);
		if (i == 1000)
			assert_false(txn->dropped);
	}
	assert_true(txn->dropped);
	talloc_free(txn);
}

/* I3 */
static void writing_again_does_not_pile_up(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 5);
	uint64_t used;

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	put_in(w, 5, txn, "/d/a", "x");
	put_in(w, 5, txn, "/d/b/c", "x");
	chmod_in(w, 5, txn, "/d/a", "n5 r1");
	rm_in(w, 5, txn, "/d/b");
	used = ledger_used(w->ledger[5], QUOTA_MEMORY);
	for (int i = 0; i < 100; i++) {
		put_in(w, 5, txn, "/d/a", "y");
		chmod_in(w, 5, txn, "/d/a", "n5 r2");
		put_in(w, 5, txn, "/d/b/c", "x");
		rm_in(w, 5, txn, "/d/b");
	}
	assert_in_range(ledger_used(w->ledger[5], QUOTA_MEMORY), used,
			used + 100 * sizeof(struct intent));
	assert_in_range(txn->intents.count, 4, 104);
	assert_int_equal(commit(w, 5, txn), 0);
	assert_string_equal(perms(w, 0, "/d/a"), "n5 r2");
}

/* XSA-326: (3) and (4) */
static void what_a_guests_transactions_hold_is_on_its_ledger(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 5);
	char path[64], value[1001];
	uint64_t before = ledger_used(w->ledger[5], QUOTA_MEMORY);
	int err = 0;

	memset(value, 'x', 1000);
	value[1000] = '\0';
	mk(w, 0, "/d");
	chmod(w, 0, "/d", "b0");
	ledger_set_limit(w->ledger[5], QUOTA_MEMORY, 100000);
	for (int i = 0; !err; i++) {
		snprintf(path, sizeof(path), "/d/%d", i % 100);
		err = put_in(w, 5, txn, path, value);
		assert_in_range(ledger_used(w->ledger[5], QUOTA_MEMORY),
				before, 100000);
	}
	assert_int_equal(err, ENOMEM);
	assert_int_equal(commit(w, 5, txn), ENOMEM);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_MEMORY), before);
}

/* ... also of paths that are long, and after it was refused */
static void a_doomed_transaction_takes_no_more_memory(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 5);
	char path[2049];
	int refused = 0;
	size_t held;

	for (size_t i = 0; i < sizeof(path) - 1; i += 2)
		memcpy(path + i, "/a", 3);
	for (int i = 0; i < 26; i++) {
		path[1] = 'a' + i;
		if (!strcmp(get_in(w, 5, txn, path), "ENOMEM"))
			refused = i;
		if (refused && i == refused)
			held = trail_bytes(txn->trail);
	}
	assert_in_range(refused, 5, 24);
	assert_int_equal(trail_bytes(txn->trail), held);
	assert_in_range(held, 1, 2621440);
	assert_int_equal(commit(w, 5, txn), ENOMEM);
}

/* S3, with more owners than most commits have */
static void a_commit_settles_the_books_of_many_owners(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 0);
	char path[32], spec[32];

	for (int i = 1; i <= GUESTS; i++) {
		snprintf(path, sizeof(path), "/g/%d/x", i);
		snprintf(spec, sizeof(spec), "n%d", i);
		put_in(w, 0, txn, path, "v");
		assert_int_equal(chmod_in(w, 0, txn, path, spec), 0);
	}
	assert_int_equal(commit(w, 0, txn), 0);
	for (int i = 1; i <= GUESTS; i++)
		assert_int_equal(ledger_used(w->ledger[i], QUOTA_NODES), 1);
}

/* The sizes are asked for what the commit makes of it, too. */
static void sizes_are_limited_inside_and_at_the_commit(void **state)
{
	struct world *w = *state;
	char value[2050], name[64];
	struct txn *txn;

	mk(w, 0, "/d");
	chmod(w, 0, "/d", "n5");
	put(w, 5, "/d/x", "");
	memset(value, 'x', 2049);
	value[2049] = '\0';
	txn = begin(w, 5);
	assert_int_equal(put_in(w, 5, txn, "/d/x", value), ENOSPC);
	assert_int_equal(commit(w, 5, txn), ENOMEM);
	txn = begin(w, 5);
	assert_int_equal(put_in(w, 5, txn, "/d/new", value), ENOSPC);
	assert_int_equal(commit(w, 5, txn), ENOMEM);
	txn = begin(w, 5);
	assert_int_equal(put_in(w, 5, txn,
				"/d/one-more-name-that-is-rather-long", ""),
			 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "/d/%049d", i);
		put(w, 5, name, "");
	}
	assert_int_equal(commit(w, 5, txn), ENOSPC);
}

static void the_transaction_quota_is_given_back(void **state)
{
	struct world *w = *state;
	struct txn *txn[10], *more;

	for (int i = 0; i < 10; i++)
		txn[i] = begin(w, 5);
	assert_int_equal(txn_begin(w->ctx, w->store, w->ledger[5], &more),
			 ENOSPC);
	talloc_free(txn[3]);
	txn[3] = begin(w, 5);
	for (int i = 0; i < 10; i++)
		talloc_free(txn[i]);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_TRANSACTIONS), 0);
}

/* Ownership must not pass to the next domain of that id (XSA-322). */
static void permissions_for_a_domain_that_died_are_not_committed(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 0);

	put(w, 0, "/a", "");
	chmod_in(w, 0, txn, "/a", "n5");
	assert_int_equal(store_purge_domain(w->store, 5, false), 0);
	assert_int_equal(commit(w, 0, txn), EAGAIN);
	assert_string_equal(perms(w, 0, "/a"), "n0");
}

static void a_transaction_survives_a_live_update(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 5), *again;
	struct blob saved;

	put(w, 0, "/d", "1");
	chmod(w, 0, "/d", "b0 r5");
	chmod(w, 0, "/d", "b0");
	get_in(w, 5, txn, "/d");
	put_in(w, 5, txn, "/d/x/y", "2");
	chmod_in(w, 5, txn, "/d/x", "n5 r1");
	assert_int_equal(txn_save(w, txn, &saved), 0);
	talloc_free(txn);
	for (size_t len = 0; len < saved.len; len++) {
		struct blob part = { saved.data, len };

		assert_int_equal(txn_load(w, w->store, w->ledger[5], part,
					  &again), EINVAL);
	}
	for (size_t at = 0; at < saved.len; at++) {	/* must not crash */
		char *byte = (char *)saved.data + at;

		*byte ^= 1 << at % 8;
		if (!txn_load(w, w->store, w->ledger[5], saved, &again)) {
			get_in(w, 5, again, "/d/x/y");
			txn_commit(again, &w->who[5]);
			rm(w, 0, "/d/x");
			put(w, 0, "/d", "1");
			chmod(w, 0, "/d", "b0");
			talloc_free(again);
		}
		*byte ^= 1 << at % 8;
	}
	assert_int_equal(txn_load(w, w->store, w->ledger[5], saved, &again), 0);
	assert_string_equal(get_in(w, 5, again, "/d/x/y"), "2");
	assert_string_equal(get(w, 0, "/d/x"), "ENOENT");
	assert_int_equal(commit(w, 5, again), 0);
	assert_string_equal(perms(w, 0, "/d/x"), "n5 r1");
	assert_string_equal(get(w, 5, "/d/x/y"), "2");
	talloc_free((void *)saved.data);
}

static void events_of_a_commit_come_in_order_of_first_access(void **state)
{
	struct world *w = *state;
	struct txn *txn = begin(w, 0);

	put(w, 0, "/z", "");
	put(w, 0, "/r/s/t", "");
	get_in(w, 0, txn, "/z");
	put_in(w, 0, txn, "/a/b", "");
	get_in(w, 0, txn, "/r/s/t");
	put_in(w, 0, txn, "/z", "");
	rm_in(w, 0, txn, "/r/s");
	put_in(w, 0, txn, "/r/s/t", "");
	chmod_in(w, 0, txn, "/a/b", "n1");
	world_told(w);
	assert_int_equal(commit(w, 0, txn), 0);
	assert_string_equal(world_told(w), "v/z c/a/b r/r/s c/r/s/t");
}

/* B1, S3: the claim of the first owner is let go once */
static void a_node_may_change_hands_several_times(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	put(w, 0, "/a", "");
	assert_int_equal(chmod(w, 0, "/a", "n1"), 0);
	txn = begin(w, 0);
	assert_int_equal(chmod_in(w, 0, txn, "/a", "n2"), 0);
	put_in(w, 0, txn, "/b", "");
	assert_int_equal(chmod_in(w, 0, txn, "/a", "n1"), 0);
	put_in(w, 0, txn, "/c", "");
	assert_int_equal(chmod_in(w, 0, txn, "/a", "n2"), 0);
	assert_int_equal(commit(w, 0, txn), 0);
	assert_string_equal(perms(w, 0, "/a"), "n2");
	assert_int_equal(store_purge_domain(w->store, 1, false), 0);
	assert_string_equal(get(w, 0, "/a"), "");
	assert_int_equal(store_purge_domain(w->store, 2, false), 0);
	assert_string_equal(get(w, 0, "/a"), "ENOENT");
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
	TXN_TEST(a_node_may_change_hands_several_times),
	TXN_TEST(own_writes_are_seen_in_every_answer),
	TXN_TEST(created_and_removed_again_fires_nothing),
	TXN_TEST(each_removal_fires_though_one_is_below_another),
	TXN_TEST(quota_inside_dooms_and_errors_do_not),
	TXN_TEST(the_node_quota_is_asked_for_what_the_commit_makes_of_it),
	TXN_TEST(a_guest_sees_verdicts_and_not_the_lists_behind_them),
	TXN_TEST(a_transaction_costs_the_same_in_a_large_store),
	TXN_TEST(a_commit_compares_only_where_the_trees_differ),
	TXN_TEST(a_snapshot_after_a_pause_is_fresh),
	TXN_TEST(an_idle_snapshot_of_a_guest_is_let_go),
	TXN_TEST(a_dropped_transaction_sees_the_live_store),
	TXN_TEST(memory_behind_snapshots_is_bounded),
	TXN_TEST(a_guest_cannot_hold_back_more_than_its_quota),
	TXN_TEST(writing_again_does_not_pile_up),
	TXN_TEST(what_a_guests_transactions_hold_is_on_its_ledger),
	TXN_TEST(a_doomed_transaction_takes_no_more_memory),
	TXN_TEST(a_commit_settles_the_books_of_many_owners),
	TXN_TEST(sizes_are_limited_inside_and_at_the_commit),
	TXN_TEST(the_transaction_quota_is_given_back),
	TXN_TEST(permissions_for_a_domain_that_died_are_not_committed),
	TXN_TEST(a_transaction_survives_a_live_update),
	TXN_TEST(events_of_a_commit_come_in_order_of_first_access),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
