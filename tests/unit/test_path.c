/* SPDX-License-Identifier: MIT */
/* Canonical paths (store/path.h). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/path.h"

#define HOME5 "/local/domain/5/"

static int parse(const char *name, struct path *out)
{
	return path_parse(name, strlen(name), 5, 0, false, out);
}

/* Is a name of `len` bytes, the prefix and then 'a's, taken? */
static int parse_long(const char *prefix, size_t len, uint16_t home,
		      uint32_t limit)
{
	char *name = malloc(len);
	struct path p;
	int err;

	assert_non_null(name);
	memset(name, 'a', len);
	memcpy(name, prefix, strlen(prefix));
	err = path_parse(name, len, home, limit, false, &p);
	free(name);
	return err;
}

static void absolute_paths_stay_as_they_are(void **state)
{
	static const char *const good[] = {
		"/", "/a", "/a/b", "/a@b", "/@a", "/a-_Z9/0", "/local/domain/x",
		"/local/domain/99999999999", "/local/domain",
	};
	struct path p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(parse(good[i], &p), 0);
		assert_string_equal(p.text, good[i]);
		assert_int_equal(p.len, strlen(good[i]));
		assert_int_equal(p.relative, 0);
	}
}

static void relative_paths_go_below_the_home(void **state)
{
	struct path p;

	(void)state;
	assert_int_equal(parse("a/b@c", &p), 0);
	assert_string_equal(p.text, HOME5 "a/b@c");
	assert_int_equal(p.len, strlen(p.text));
	assert_int_equal(p.relative, strlen(HOME5));
	assert_int_equal(path_parse("x", 1, 32751, 0, false, &p), 0);
	assert_string_equal(p.text, "/local/domain/32751/x");
}

/* The rows of XSA-481 that end in a slash among them. */
static void malformed_paths_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "//", "/a/", "a/", "/a//b", "a//b", "/a.b", "/a b", "/a:b",
		"/a\n", "/a\x7f", "/\xc3\xa4", "/local/domain/",
		"/local/domain//", "@introduceDomain", "@",
	};
	struct path p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(parse(bad[i], &p), EINVAL);
	assert_int_equal(path_parse("/a\0b", 4, 0, 0, false, &p), EINVAL);
}

static void special_names_need_an_operation_that_takes_them(void **state)
{
	struct path p;

	(void)state;
	assert_int_equal(path_parse("@releaseDomain/7", 16, 0, 0, true, &p), 0);
	assert_string_equal(p.text, "@releaseDomain/7");
	assert_int_equal(p.relative, 0);
	assert_true(path_is_special(p.text));
	assert_int_equal(path_parse("@a/", 3, 0, 0, true, &p), EINVAL);
	assert_int_equal(path_parse("@a//b", 5, 0, 0, true, &p), EINVAL);
	assert_int_equal(path_parse("@a", 2, 0, 0, false, &p), EINVAL);
}

static void the_protocol_limit_binds_everybody(void **state)
{
	size_t home = strlen(HOME5);

	(void)state;
	assert_int_equal(parse_long("/", PATH_MAX_LEN, 0, 0), 0);
	assert_int_equal(parse_long("/", PATH_MAX_LEN + 1, 0, 0), EINVAL);
	assert_int_equal(parse_long("/", PATH_MAX_LEN + 1000, 0, 0), EINVAL);
	/* XSA-323: the prefix of a relative path counts, too. */
	assert_int_equal(parse_long("", PATH_MAX_LEN - home, 5, 0), 0);
	assert_int_equal(parse_long("", PATH_MAX_LEN - home + 1, 5, 0), EINVAL);
}

static void the_quota_admits_exactly_its_value(void **state)
{
	(void)state;
	assert_int_equal(parse_long("/", 2048, 0, 2048), 0);
	assert_int_equal(parse_long("/", 2049, 0, 2048), EINVAL);
}

/* XSA-323: one answer for the two spellings of a node, whatever the domid. */
static void the_quota_does_not_count_a_home_prefix(void **state)
{
	static const struct {
		uint16_t home;
		const char *prefix;
	} rows[] = {
		{ 5, HOME5 },
		{ 32751, "/local/domain/32751/" },
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint16_t home = rows[i].home;
		const char *prefix = rows[i].prefix;

		n = strlen(prefix);
		assert_int_equal(parse_long("", 2048, home, 2048), 0);
		assert_int_equal(parse_long("", 2049, home, 2048), EINVAL);
		assert_int_equal(parse_long(prefix, n + 2048, 0, 2048), 0);
		assert_int_equal(parse_long(prefix, n + 2049, 0, 2048), EINVAL);
	}
}

static void the_quota_counts_what_is_no_home_prefix(void **state)
{
	static const char *const prefix[] = {
		"/local/domain/123456/", "/local/domain/x/",
		"/local/domain/5a/", "/local/domain/5",
	};
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(parse_long(prefix[i], 2049, 0, 2048), EINVAL);
}

static void a_walk_meets_each_component_once(void **state)
{
	const char *c = NULL;
	size_t len = 0;

	(void)state;
	assert_true(path_next("/a/bcd", &c, &len));
	assert_int_equal(len, 1);
	assert_memory_equal(c, "a", 1);
	assert_true(path_next("/a/bcd", &c, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(c, "bcd", 3);
	assert_false(path_next("/a/bcd", &c, &len));

	c = NULL;
	assert_false(path_next("/", &c, &len));

	c = NULL;
	assert_true(path_next("@x/1", &c, &len));
	assert_int_equal(len, 4);
	assert_false(path_next("@x/1", &c, &len));
}

static void parents_and_depths(void **state)
{
	(void)state;
	assert_int_equal(path_parent_len("/", 1), 0);
	assert_int_equal(path_parent_len("@x/1", 4), 0);
	assert_int_equal(path_parent_len("/abc", 4), 1);
	assert_int_equal(path_parent_len("/a/b", 4), 2);
	assert_int_equal(path_parent_len("/a/bc/d", 5), 2);
	assert_int_equal(path_depth("/"), 0);
	assert_int_equal(path_depth("/a"), 1);
	assert_int_equal(path_depth("/a/b/c"), 3);
	assert_int_equal(path_depth("@x/1"), 1);
}

static void below_means_whole_components(void **state)
{
	(void)state;
	assert_true(path_is_below("/", "/"));
	assert_true(path_is_below("/", "/a"));
	assert_true(path_is_below("/a", "/a"));
	assert_true(path_is_below("/a", "/a/b"));
	assert_false(path_is_below("/a", "/ab"));
	assert_false(path_is_below("/a/b", "/a"));
	assert_false(path_is_below("/", "@introduceDomain"));
	assert_true(path_is_below("@x", "@x/1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absolute_paths_stay_as_they_are),
		cmocka_unit_test(relative_paths_go_below_the_home),
		cmocka_unit_test(malformed_paths_are_refused),
		cmocka_unit_test(
			special_names_need_an_operation_that_takes_them),
		cmocka_unit_test(the_protocol_limit_binds_everybody),
		cmocka_unit_test(the_quota_admits_exactly_its_value),
		cmocka_unit_test(the_quota_does_not_count_a_home_prefix),
		cmocka_unit_test(the_quota_counts_what_is_no_home_prefix),
		cmocka_unit_test(a_walk_meets_each_component_once),
		cmocka_unit_test(parents_and_depths),
		cmocka_unit_test(below_means_whole_components),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
