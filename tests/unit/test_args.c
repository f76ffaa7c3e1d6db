/* SPDX-License-Identifier: MIT */
/* Payloads to typed arguments. */
#include "op/args.h"

#include <errno.h>

#include "harness/harness.h"

/* What is no number in any operation or command. */
static const char *const no_numbers[] = {
	"", "x", "abc", "12x", "x12", "0x10", " 5", "5 ", "+5", "-1", "-0",
	"1.5", "1e3", "5,6", "18446744073709551616",
	"99999999999999999999999999",
};

static void a_number_is_decimal_and_whole(void **state)
{
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(no_numbers) / sizeof(*no_numbers); i++) {
		n = 77;
		assert_int_equal(args_parse_number(no_numbers[i], UINT64_MAX,
						   &n), EINVAL);
		assert_int_equal(n, 77);
	}
}

static void a_number_reaches_to_its_limit_and_no_further(void **state)
{
	static const struct {
		const char *text;
		uint64_t max, value;
		int err;
	} rows[] = {
		{ "0", 0, 0, 0 },
		{ "1", 0, 0, EINVAL },
		{ "5", 5, 5, 0 },
		{ "6", 5, 0, EINVAL },
		{ "10", 5, 0, EINVAL },
		{ "007", 7, 7, 0 },
		{ "2147483647", INT32_MAX, INT32_MAX, 0 },
		{ "2147483648", INT32_MAX, 0, EINVAL },
		{ "4294967295", UINT32_MAX, UINT32_MAX, 0 },
		{ "4294967296", UINT32_MAX, 0, EINVAL },
		{ "18446744073709551615", UINT64_MAX, UINT64_MAX, 0 },
		{ "18446744073709551616", UINT64_MAX, 0, EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t n = 0;

		assert_int_equal(args_parse_number(rows[i].text, rows[i].max,
						   &n), rows[i].err);
		assert_int_equal(n, rows[i].value);
	}
}

/* As old daemons read them, which is a little more than digits. */
static void a_domid_is_at_most_65535(void **state)
{
	static const struct {
		const char *text;
		uint16_t value;
		int err;
	} rows[] = {
		{ "0", 0, 0 },
		{ "", 0, 0 },
		{ "+5", 5, 0 },
		{ "65535", 65535, 0 },
		{ "65536", 0, EINVAL },
		{ "-1", 0, EINVAL },
		{ "5x", 0, EINVAL },
		{ "x", 0, EINVAL },
		{ "5 ", 0, EINVAL },
		{ "18446744073709551616", 0, EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t domid = 0;

		assert_int_equal(args_parse_domid(rows[i].text, &domid),
				 rows[i].err);
		assert_int_equal(domid, rows[i].value);
	}
}

static void a_permission_is_a_letter_and_a_domid(void **state)
{
	static const struct {
		const char *text;
		uint8_t rights;
		uint16_t domid;
		int err;
	} rows[] = {
		{ "n0", 0, 0, 0 },
		{ "r5", PERM_READ, 5, 0 },
		{ "w0x10", PERM_WRITE, 16, 0 },
		{ "b65535", PERM_BOTH, 65535, 0 },
		{ "b65536", 0, 0, EINVAL },
		{ "r-1", 0, 0, EINVAL },
		{ "r5x", 0, 0, EINVAL },
		{ "r99999999999999999999", 0, 0, EINVAL },
		{ "x5", 0, 0, EINVAL },
		{ "r", 0, 0, EINVAL },
		{ "", 0, 0, EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct perm perm = { 0 };

		assert_int_equal(args_parse_perm(rows[i].text, &perm),
				 rows[i].err);
		assert_int_equal(perm.rights, rows[i].rights);
		assert_int_equal(perm.domid, rows[i].domid);
	}
}

#define TEST(name) HARNESS_TEST(name, NULL, NULL)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_number_is_decimal_and_whole),
		TEST(a_number_reaches_to_its_limit_and_no_further),
		TEST(a_domid_is_at_most_65535),
		TEST(a_permission_is_a_letter_and_a_domid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
