/* SPDX-License-Identifier: MIT */
/* Turns (store/turn.h). */
#include "world.h"

#include "store/turn.h"

struct client {
	struct contender contender;
	int resumed;
};

struct stage {
	struct turns *turns;
	struct client client[GUESTS + 1];
};

static struct stage stage;

static void resume(struct contender *contender)
{
	((struct client *)contender)->resumed++;
}

static int setup(void **state)
{
	struct world *w;

	world_setup(state);
	w = *state;
	assert_int_equal(turns_new(w, &stage.turns), 0);
	for (int i = 0; i <= GUESTS; i++) {
		contender_init(&stage.client[i].contender, stage.turns,
			       &w->who[i], w->ledger[i], resume);
		stage.client[i].resumed = 0;
	}
	put(w, 0, "/d/x", "0");
	chmod(w, 0, "/d", "b0");
	chmod(w, 0, "/d/x", "b0");
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i <= GUESTS; i++)
		contender_fini(&stage.client[i].contender);
	return world_teardown(state);
}

static struct contender *of(int domid)
{
	return &stage.client[domid].contender;
}

static bool may(struct world *w, int domid, const char *path, enum deed deed)
{
	return contender_may(of(domid), w->store, path, deed);
}

/* Reads /d/x and wants to write /d/y; somebody else changes /d/x. */
static void fail_once(struct world *w, int domid, uint64_t now)
{
	struct txn *txn = begin(w, domid);
	static int n;
	char value[16];

	get_in(w, domid, txn, "/d/x");
	assert_int_equal(put_in(w, domid, txn, "/d/y", ""), 0);
	snprintf(value, sizeof(value), "%d", ++n);
	put(w, 0, "/d/x", value);
	assert_int_equal(txn_commit(txn, &w->who[domid]), EAGAIN);
	contender_failed(of(domid), txn, now);
	talloc_free(txn);
}

/* F2, and that dom0 needs two tries at most (XSA-206) */
static void dom0_commits_at_the_second_try_whatever_a_guest_does(void **state)
{
	struct world *w = *state;
	int tries = 0, err;

	do {
		struct txn *txn = begin(w, 0);

		tries++;
		get_in(w, 0, txn, "/d/x");
		put_in(w, 0, txn, "/d/y", "");
		if (may(w, 5, "/d/x", DEED_WRITE))
			put(w, 5, "/d/x", tries % 2 ? "odd" : "even");
		assert_true(contender_may_commit(of(0), txn));
		err = txn_commit(txn, &w->who[0]);
		if (err == EAGAIN)
			contender_failed(of(0), txn, 0);
		else
			contender_done(of(0));
		talloc_free(txn);
	} while (err == EAGAIN);
	assert_int_equal(err, 0);
	assert_int_equal(tries, 2);
	assert_int_equal(stage.client[5].resumed, 1);
	assert_true(may(w, 5, "/d/x", DEED_WRITE));
}

/* F2 */
static void the_privileged_do_not_wait_for_guests(void **state)
{
	struct world *w = *state;

	fail_once(w, 5, 0);
	assert_true(may(w, 0, "/d/x", DEED_WRITE));
	assert_false(may(w, 6, "/d/x", DEED_WRITE));
}

static void only_what_was_seen_waits(void **state)
{
	struct world *w = *state;
	struct txn *txn;

	fail_once(w, 5, 0);
	assert_true(may(w, 6, "/d/z", DEED_WRITE));
	assert_true(may(w, 6, "/d/x", DEED_CREATE));	/* it is there */
	assert_true(may(w, 6, "/d/x/y", DEED_WRITE));
	assert_false(may(w, 6, "/d/x", DEED_PERMS));
	assert_false(may(w, 6, "/d/x", DEED_REMOVE));
	assert_false(may(w, 6, "/d", DEED_REMOVE));
	assert_true(may(w, 6, "/d/nope", DEED_REMOVE));
	txn = begin(w, 6);
	put_in(w, 6, txn, "/d/z", "");
	assert_true(contender_may_commit(of(6), txn));
	put_in(w, 6, txn, "/d/x", "");
	assert_false(contender_may_commit(of(6), txn));
	talloc_free(txn);

	txn = begin(w, 7);
	list_in(w, 7, txn, "/d");
	contender_failed(of(7), txn, 0);
	talloc_free(txn);
	assert_false(may(w, 8, "/d/z", DEED_WRITE));
	assert_false(may(w, 8, "/d/z/a", DEED_CREATE));
	assert_true(may(w, 8, "/d/z", DEED_REMOVE));
}

/* F1 */
static void nobody_waits_longer_than_a_turn(void **state)
{
	struct world *w = *state;

	fail_once(w, 5, 100);
	assert_false(may(w, 6, "/d/x", DEED_WRITE));
	assert_int_equal(turns_expire(stage.turns, 100), 100 + TURN_MS);
	assert_int_equal(stage.client[6].resumed, 0);
	/* the next reservation is younger than the wait */
	fail_once(w, 7, 100 + TURN_MS - 1);
	assert_int_equal(turns_expire(stage.turns, 100 + TURN_MS),
			 100 + 2 * TURN_MS - 1);
	assert_int_equal(stage.client[6].resumed, 1);
	assert_true(may(w, 6, "/d/x", DEED_WRITE));
	/* but not younger than the next request */
	assert_false(may(w, 6, "/d/x", DEED_WRITE));
	assert_int_equal(turns_expire(stage.turns, 100 + 2 * TURN_MS), 0);
	assert_true(may(w, 6, "/d/x", DEED_WRITE));
}

/* F1 */
static void holders_do_not_wait_in_a_circle(void **state)
{
	struct world *w = *state;

	fail_once(w, 5, 0);
	fail_once(w, 6, 0);
	assert_true(may(w, 5, "/d/x", DEED_WRITE));
	assert_false(may(w, 6, "/d/x", DEED_WRITE));
	contender_done(of(5));
	assert_int_equal(stage.client[6].resumed, 1);
	assert_true(may(w, 6, "/d/x", DEED_WRITE));
}

static void count_pair(void *arg, uint16_t holder, uint16_t waiter,
		       uint64_t count)
{
	assert_int_equal(holder, 5);
	assert_int_equal(waiter, 6);
	*(uint64_t *)arg = count;
}

/* F4 */
static void waits_are_counted_once_for_a_request(void **state)
{
	struct world *w = *state;
	uint64_t count = 0;

	fail_once(w, 5, 0);
	assert_false(may(w, 6, "/d/x", DEED_WRITE));
	assert_false(may(w, 6, "/d/x", DEED_WRITE));
	turns_each(stage.turns, count_pair, &count);
	assert_int_equal(count, 1);
	contender_leave(of(6));
	assert_false(may(w, 6, "/d/x", DEED_WRITE));
	turns_each(stage.turns, count_pair, &count);
	assert_int_equal(count, 2);
	assert_int_equal(turns_waits(stage.turns), 2);
}

static void a_reservation_is_on_its_holders_ledger(void **state)
{
	struct world *w = *state;
	uint64_t used = ledger_used(w->ledger[5], QUOTA_MEMORY);

	fail_once(w, 5, 0);
	assert_true(ledger_used(w->ledger[5], QUOTA_MEMORY) > used);
	contender_fini(of(5));
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_MEMORY), used);
}

/* A client that adds one to a counter, again and again, a request a round. */
struct adder {
	struct txn *txn;
	int state;
	int held;		/* resumed so often when it was put back */
	int value;
	int tries, worst, all, sum;
};

static void adder_request(struct world *w, int domid, struct adder *adder,
			  bool fair, uint64_t now)
{
	char value[16];
	int err;

	switch (adder->state++) {
	case 0:
		if (fair && !contender_may_begin(of(domid))) {
			adder->state--;
			adder->held = stage.client[domid].resumed;
			return;
		}
		adder->txn = begin(w, domid);
		adder->tries++;
		adder->all++;
		return;
	case 1:
		adder->value = atoi(get_in(w, domid, adder->txn, "/d/x"));
		return;
	case 2:
		snprintf(value, sizeof(value), "%d", adder->value + 1);
		put_in(w, domid, adder->txn, "/d/x", value);
		return;
	}
	if (fair && !contender_may_commit(of(domid), adder->txn)) {
		adder->state--;
		adder->held = stage.client[domid].resumed;
		return;
	}
	err = txn_commit(adder->txn, &w->who[domid]);
	if (err == EAGAIN && fair)
		contender_failed(of(domid), adder->txn, now);
	else
		contender_done(of(domid));
	TALLOC_FREE(adder->txn);
	adder->state = 0;
	if (err)
		return;
	if (adder->tries > adder->worst)
		adder->worst = adder->tries;
	adder->tries = 0;
	adder->sum++;
}

static void contend(struct world *w, struct adder *adders, bool fair)
{
	memset(adders, 0, (GUESTS + 1) * sizeof(*adders));
	put(w, 0, "/d/x", "0");
	for (int round = 0; round < 4000; round++) {
		turns_expire(stage.turns, round / 20);
		for (int i = 1; i <= GUESTS; i++) {
			struct adder *adder = &adders[i];

			if (adder->held == stage.client[i].resumed &&
			    of(i)->arrival)
				continue;
			/* they do not keep step */
			if ((round * 7 + i * 3) % 5 == 0)
				continue;
			adder_request(w, i, adder, fair, round / 20);
		}
	}
	for (int i = 1; i <= GUESTS; i++)
		talloc_free(adders[i].txn);
}

/* F1, F5 */
static void contenders_all_commit_after_few_tries(void **state)
{
	struct world *w = *state;
	struct adder adders[GUESTS + 1];
	int fair = 0, fair_tries = 0, free_for_all = 0, free_tries = 0;

	contend(w, adders, false);
	for (int i = 1; i <= GUESTS; i++) {
		free_for_all += adders[i].sum;
		free_tries += adders[i].all;
	}
	contend(w, adders, true);
	for (int i = 1; i <= GUESTS; i++) {
		assert_in_range(adders[i].worst, 1, 4);
		fair += adders[i].sum;
		fair_tries += adders[i].all;
	}
	for (int i = 1; i <= GUESTS; i++)
		assert_in_range(adders[i].sum, fair / GUESTS / 2, fair);
	print_message("%d of %d tries commit in turn, %d of %d without\n",
		      fair, fair_tries, free_for_all, free_tries);
	assert_true(fair * 5 > fair_tries * 2);
	assert_int_equal(atoi(get(w, 0, "/d/x")), fair);
}

#define TURN_TEST(name) HARNESS_TEST(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TURN_TEST(dom0_commits_at_the_second_try_whatever_a_guest_does),
	TURN_TEST(the_privileged_do_not_wait_for_guests),
	TURN_TEST(only_what_was_seen_waits),
	TURN_TEST(nobody_waits_longer_than_a_turn),
	TURN_TEST(holders_do_not_wait_in_a_circle),
	TURN_TEST(contenders_all_commit_after_few_tries),
	TURN_TEST(waits_are_counted_once_for_a_request),
	TURN_TEST(a_reservation_is_on_its_holders_ledger),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
