/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/quota.h"
#include "base/scoped.h"

static struct ledger *ledger_with(TALLOC_CTX *ctx, bool privileged,
				  uint32_t watches)
{
	struct limits limits;
	struct ledger *ledger;

	limits_init(&limits);
	limits.hard[QUOTA_WATCHES] = watches;
	assert_int_equal(ledger_new(ctx, 5, privileged, &limits, &ledger), 0);
	return ledger;
}

/* Q3 */
static void a_limit_of_n_admits_exactly_n(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 2);

	(void)state;
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 1), 0);
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 1), 0);
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 1), ENOSPC);
	assert_true(ledger_fits(ledger, QUOTA_WATCHES, 2));
	assert_false(ledger_fits(ledger, QUOTA_WATCHES, 3));
}

/* Q1 */
static void a_refused_charge_changes_nothing(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 2);

	(void)state;
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 3), ENOSPC);
	assert_int_equal(ledger_used(ledger, QUOTA_WATCHES), 0);
	assert_int_equal(ledger_max(ledger, QUOTA_WATCHES), 0);
}

static void freeing_what_was_paid_for_refunds(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 2);
	TALLOC_CTX *payee = talloc_new(ctx);

	(void)state;
	assert_int_equal(quota_charge(payee, ledger, QUOTA_WATCHES, 2), 0);
	talloc_free(payee);
	assert_int_equal(ledger_used(ledger, QUOTA_WATCHES), 0);
	assert_int_equal(ledger_max(ledger, QUOTA_WATCHES), 2);
}

/* Q2 */
static void the_privileged_are_counted_but_never_refused(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, true, 2);

	(void)state;
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 100), 0);
	assert_int_equal(ledger_used(ledger, QUOTA_WATCHES), 100);
}

/* Q5 */
static void what_was_there_before_is_not_refused(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 2);
	struct ledgers *ledgers;

	(void)state;
	assert_int_equal(ledgers_new(ctx, &ledgers), 0);
	assert_int_equal(ledgers_add(ledgers, ledger), 0);
	ledgers_set_lenient(ledgers, true);
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 3), 0);
	ledgers_set_lenient(ledgers, false);
	assert_int_equal(ledger_used(ledger, QUOTA_WATCHES), 3);
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 1), ENOSPC);
}

static void a_limit_of_zero_is_no_limit(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 0);

	(void)state;
	assert_int_equal(quota_charge(ctx, ledger, QUOTA_WATCHES, 1u << 31), 0);
}

static int above, below;

static void count_crossing(void *arg, const struct ledger *ledger,
			   enum quota_item item, bool hard, bool is_above)
{
	(void)arg;
	(void)ledger;
	assert_int_equal(item, QUOTA_WATCHES);
	assert_true(hard);
	if (is_above)
		above++;
	else
		below++;
}

static void crossing_a_limit_is_told_once_each_way(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 2);

	(void)state;
	ledger_set_notify(ledger, count_crossing, NULL);
	ledger_charge(ledger, QUOTA_WATCHES, 2);
	assert_int_equal(above, 0);
	ledger_charge(ledger, QUOTA_WATCHES, 1);
	ledger_charge(ledger, QUOTA_WATCHES, 1);
	ledger_refund(ledger, QUOTA_WATCHES, 1);
	ledger_refund(ledger, QUOTA_WATCHES, 1);
	ledger_refund(ledger, QUOTA_WATCHES, 1);
	assert_int_equal(above, 1);
	assert_int_equal(below, 1);
}

static void a_freed_ledger_is_not_found_any_more(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 2);
	struct ledgers *all;

	(void)state;
	assert_int_equal(ledgers_new(ctx, &all), 0);
	assert_null(ledgers_find(all, 5));
	assert_int_equal(ledgers_add(all, ledger), 0);
	assert_ptr_equal(ledgers_find(all, 5), ledger);
	assert_null(ledgers_find(all, 6));
	talloc_free(ledger);
	assert_null(ledgers_find(all, 5));
}

static void a_ledger_may_outlive_the_table(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 2);
	struct ledgers *all;

	(void)state;
	assert_int_equal(ledgers_new(ctx, &all), 0);
	assert_int_equal(ledgers_add(all, ledger), 0);
	talloc_free(all);
	ledger_charge(ledger, QUOTA_WATCHES, 1);
	talloc_free(ledger);
}

static void the_largest_figures_outlive_their_ledgers(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct ledger *ledger = ledger_with(ctx, false, 20);
	struct ledgers *all;

	(void)state;
	assert_int_equal(ledgers_new(ctx, &all), 0);
	assert_int_equal(ledgers_add(all, ledger), 0);
	ledger_charge(ledger, QUOTA_WATCHES, 7);
	ledger_refund(ledger, QUOTA_WATCHES, 5);
	talloc_free(ledger);
	assert_int_equal(ledgers_max(all, QUOTA_WATCHES), 7);
	ledger = ledger_with(ctx, false, 20);
	assert_int_equal(ledgers_add(all, ledger), 0);
	ledger_charge(ledger, QUOTA_WATCHES, 3);
	ledgers_reset_max(all);
	assert_int_equal(ledgers_max(all, QUOTA_WATCHES), 3);
}

static void names_are_found_also_the_old_one(void **state)
{
	enum quota_item item;

	(void)state;
	for (int i = 0; i < QUOTA_COUNT; i++) {
		assert_int_equal(quota_find(quota_name(i), &item), 0);
		assert_int_equal(item, i);
	}
	assert_int_equal(quota_find("permissions", &item), 0);
	assert_int_equal(item, QUOTA_NODE_PERMS);
	assert_int_equal(quota_find("nonsense", &item), EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_of_n_admits_exactly_n),
		cmocka_unit_test(a_refused_charge_changes_nothing),
		cmocka_unit_test(freeing_what_was_paid_for_refunds),
		cmocka_unit_test(the_privileged_are_counted_but_never_refused),
		cmocka_unit_test(a_limit_of_zero_is_no_limit),
		cmocka_unit_test(what_was_there_before_is_not_refused),
		cmocka_unit_test(crossing_a_limit_is_told_once_each_way),
		cmocka_unit_test(a_freed_ledger_is_not_found_any_more),
		cmocka_unit_test(a_ledger_may_outlive_the_table),
		cmocka_unit_test(the_largest_figures_outlive_their_ledgers),
		cmocka_unit_test(names_are_found_also_the_old_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
