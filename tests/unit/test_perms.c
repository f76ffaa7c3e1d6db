/* SPDX-License-Identifier: MIT */
/* Permission lists (store/perms.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "store/perms.h"

#define LIST(...) ((const struct perm[]){ __VA_ARGS__ })
#define LEN(...) (sizeof(LIST(__VA_ARGS__)) / sizeof(struct perm))
#define INTERN(table, ...) intern(table, LIST(__VA_ARGS__), LEN(__VA_ARGS__))

#define R PERM_READ
#define W PERM_WRITE
#define RW PERM_BOTH

static struct perms *intern(struct perms_table *table, const struct perm *list,
			    size_t n)
{
	struct perms *perms;

	assert_int_equal(perms_intern(table, list, n, &perms), 0);
	return perms;
}

static struct who guest(uint16_t domid)
{
	return (struct who){ .domid = domid, .target = DOMID_INVALID };
}

static unsigned int rights(const struct perms *perms, uint16_t domid)
{
	struct who who = guest(domid);

	return perms_rights(perms, &who);
}

static int setup(void **state)
{
	struct perms_table *table;

	if (perms_table_new(NULL, &table))
		return -1;
	*state = table;
	return 0;
}

/* What a test takes it gives back. */
static int teardown(void **state)
{
	struct perms_table *table = *state;
	size_t left = perms_table_count(table);

	talloc_free(table);
	return left ? -1 : 0;
}

static void equal_lists_are_one(void **state)
{
	struct perms *a = INTERN(*state, { 1, R, 0 }, { 2, W, 0 });
	struct perms *b = INTERN(*state, { 1, R, 0 }, { 2, W, 0 });
	struct perms *c = INTERN(*state, { 1, R, 0 }, { 2, W, 1 });
	size_t n;

	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_true(perms_equal(a, b));
	assert_false(perms_equal(a, c));
	assert_int_equal(perms_count(a), 2);
	assert_int_equal(perms_list(a, &n)[1].domid, 2);
	assert_int_equal(n, 2);
	assert_int_equal(perms_owner(a), 1);
	assert_int_equal(perms_table_count(*state), 2);
	perms_unref(a);
	perms_unref(b);
	perms_unref(c);
	perms_unref(NULL);
}

static void the_first_entry_that_names_the_caller_decides(void **state)
{
	struct perms *p = INTERN(*state, { 1, R, 0 }, { 5, PERM_NONE, 0 },
				 { 6, W, 1 }, { 7, RW, 0 }, { 5, RW, 0 });

	assert_int_equal(rights(p, 1), RW | PERM_OWNER);
	assert_int_equal(rights(p, 5), PERM_NONE);
	assert_int_equal(rights(p, 6), R);	/* stale: as if not there */
	assert_int_equal(rights(p, 7), RW);
	assert_int_equal(rights(p, 8), R);
	perms_unref(p);
}

static void everybody_is_named_by_one_domid(void **state)
{
	struct perms *p = INTERN(*state, { 1, PERM_NONE, 0 },
				 { DOMID_ANY, R, 0 }, { 5, RW, 0 });
	struct perms *stale = INTERN(*state, { 1, PERM_NONE, 0 },
				     { DOMID_ANY, R, 1 });
	struct perms *owned = INTERN(*state, { DOMID_ANY, PERM_NONE, 0 });

	assert_int_equal(rights(p, 5), R);
	assert_int_equal(rights(stale, 5), PERM_NONE);
	assert_int_equal(rights(owned, 9), RW | PERM_OWNER);
	perms_unref(p);
	perms_unref(stale);
	perms_unref(owned);
}

static void a_device_model_has_its_targets_rights(void **state)
{
	struct perms *p = INTERN(*state, { 1, PERM_NONE, 0 }, { 5, R, 0 });
	struct perms *odd = INTERN(*state, { 1, PERM_NONE, 0 },
				   { DOMID_INVALID, RW, 0 });
	struct who who = { .domid = 9, .target = 1 };

	assert_int_equal(perms_rights(p, &who), RW | PERM_OWNER);
	who.target = 5;
	assert_int_equal(perms_rights(p, &who), R);
	/* "No target" is no domain that an entry could name. */
	assert_int_equal(rights(odd, 9), PERM_NONE);
	perms_unref(p);
	perms_unref(odd);
}

static void the_privileged_may_do_everything(void **state)
{
	struct perms *p = INTERN(*state, { 1, PERM_NONE, 0 });
	struct who who = { .domid = 0, .privileged = true };

	assert_int_equal(perms_rights(p, &who), RW | PERM_OWNER);
	perms_unref(p);
}

static void a_child_gets_a_copy_owned_by_its_creator(void **state)
{
	struct perms *parent = INTERN(*state, { 1, R, 1 }, { 5, RW, 1 });
	struct who who = guest(3);
	struct perms *p;
	size_t n;

	assert_int_equal(perms_inherit(*state, parent, &who, &p), 0);
	assert_int_equal(perms_owner(p), 3);
	assert_int_equal(perms_list(p, &n)[0].rights, R);
	assert_int_equal(perms_list(p, &n)[0].stale, 0);
	assert_int_equal(perms_list(p, &n)[1].domid, 5);
	assert_int_equal(perms_list(p, &n)[1].stale, 1);
	perms_unref(p);

	/* What dom0 makes below a guest's node is the guest's. */
	who = (struct who){ .domid = 0, .privileged = true };
	assert_int_equal(perms_inherit(*state, parent, &who, &p), 0);
	assert_ptr_equal(p, parent);
	perms_unref(p);
	perms_unref(parent);
}

static void long_lists_are_inherited_too(void **state)
{
	struct perm list[1000];
	struct who who = guest(3);
	struct perms *parent, *p;
	size_t i, n;

	for (i = 0; i < 1000; i++)
		list[i] = (struct perm){ (uint16_t)(i * 7), R, 0 };
	parent = intern(*state, list, 1000);
	assert_int_equal(perms_inherit(*state, parent, &who, &p), 0);
	list[0].domid = 3;
	assert_memory_equal(perms_list(p, &n), list, sizeof(list));
	assert_int_equal(n, 1000);
	perms_unref(p);
	perms_unref(parent);
}

/* XSA-322: nothing is left of a dead domain that the next one could inherit. */
static void a_purge_drops_every_mention_of_a_domain(void **state)
{
	struct perms *a = INTERN(*state, { 1, R, 0 }, { 7, RW, 0 },
				 { 5, W, 0 }, { 7, R, 1 }, { 8, R, 0 });
	struct perms *b = INTERN(*state, { 7, R, 0 }, { 8, RW, 0 });
	struct perms *c = INTERN(*state, { 1, R, 0 }, { 7, RW, 0 });
	const struct perm *list;
	size_t n;

	perms_purge(*state, 7);
	list = perms_list(a, &n);
	assert_int_equal(n, 3);
	assert_int_equal(list[1].domid, 5);
	assert_int_equal(list[2].domid, 8);
	assert_int_equal(rights(a, 7), R);
	assert_int_equal(perms_owner(b), 7);
	assert_int_equal(perms_count(b), 2);
	assert_int_equal(perms_count(c), 1);

	perms_purge(*state, 8);
	perms_purge(*state, 8);
	perms_purge(*state, 4711);
	assert_int_equal(perms_count(a), 2);
	assert_int_equal(perms_count(b), 1);
	perms_purge(*state, 5);
	assert_int_equal(perms_count(a), 1);
	perms_unref(a);
	perms_unref(b);
	perms_unref(c);
}

static void a_purged_list_is_charged_and_found_as_before(void **state)
{
	struct perms *a = INTERN(*state, { 1, R, 0 }, { 7, RW, 0 });
	struct perms *b, *c;

	perms_purge(*state, 7);
	b = INTERN(*state, { 1, R, 0 });
	assert_ptr_not_equal(a, b);
	assert_true(perms_equal(a, b));
	assert_int_equal(perms_charged(a), 2);
	assert_int_equal(perms_charged(b), 1);
	c = INTERN(*state, { 1, R, 0 }, { 7, RW, 0 });
	assert_ptr_not_equal(a, c);
	assert_int_equal(perms_count(c), 2);
	perms_unref(a);
	perms_unref(b);
	perms_unref(c);
}

static void a_failed_allocation_leaves_nothing(void **state)
{
	struct perms_table *table = *state;
	struct who who = guest(3);
	struct perms *a = INTERN(table, { 1, R, 0 }, { 7, RW, 0 }), *p = a;

	perms_table_fail_after(table, 0);
	assert_int_equal(perms_intern(table, LIST({ 2, R, 0 }), 1, &p),
			 -ENOMEM);
	assert_int_equal(perms_inherit(table, a, &who, &p), -ENOMEM);
	assert_ptr_equal(p, a);
	assert_int_equal(perms_table_count(table), 1);
	/* What exists needs no memory. */
	assert_int_equal(
		perms_intern(table, LIST({ 1, R, 0 }, { 7, RW, 0 }), 2, &p), 0);
	perms_table_fail_after(table, UINT64_MAX);
	perms_unref(p);
	perms_unref(a);
}

#define TEST(name) HARNESS_TEST(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equal_lists_are_one),
		TEST(the_first_entry_that_names_the_caller_decides),
		TEST(everybody_is_named_by_one_domid),
		TEST(a_device_model_has_its_targets_rights),
		TEST(the_privileged_may_do_everything),
		TEST(a_child_gets_a_copy_owned_by_its_creator),
		TEST(long_lists_are_inherited_too),
		TEST(a_purge_drops_every_mention_of_a_domain),
		TEST(a_purged_list_is_charged_and_found_as_before),
		TEST(a_failed_allocation_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
