/* SPDX-License-Identifier: MIT */
/* What payloads are made of (libxenstore/codec.h), and the functions of the
 * library that need no daemon. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/harness.h"
#include "../../libxenstore/codec.h"
#include <xenstore.h>

static void error_names_and_numbers_belong_together(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(xsd_errors) / sizeof(*xsd_errors); i++) {
		const char *name = xsd_errors[i].errstring;

		assert_string_equal(codec_error_name(xsd_errors[i].errnum),
				    name);
		assert_int_equal(codec_error_number(name),
				 xsd_errors[i].errnum);
	}
	assert_int_equal(i, 16);
}

static void unknown_errors_are_EINVAL(void **state)
{
	(void)state;
	assert_int_equal(codec_error_number("EQUOTA"), EINVAL);
	assert_int_equal(codec_error_number(""), EINVAL);
	assert_int_equal(codec_error_number("ENOENTX"), EINVAL);
	assert_string_equal(codec_error_name(EPIPE), "EINVAL");
	assert_string_equal(codec_error_name(0), "EINVAL");
}

static void strings_are_counted_by_their_ends(void **state)
{
	(void)state;
	assert_int_equal(codec_count_strings("", 0), 0);
	assert_int_equal(codec_count_strings("abc", 3), 0);
	assert_int_equal(codec_count_strings("abc", 4), 1);
	assert_int_equal(codec_count_strings("\0\0", 2), 2);
	assert_int_equal(codec_count_strings("a\0b", 3), 1);
}

static void permissions_are_read_in_any_base(void **state)
{
	static const struct {
		const char *text;
		unsigned int id, perms;
	} good[] = {
		{ "n0", 0, XS_PERM_NONE }, { "r1", 1, XS_PERM_READ },
		{ "w0x10", 16, XS_PERM_WRITE },
		{ "b010", 8, XS_PERM_READ | XS_PERM_WRITE },
		{ "n2147483647", INT_MAX, XS_PERM_NONE },
	};
	struct xs_permissions got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(codec_perm_parse(good[i].text, &got), 0);
		assert_int_equal(got.id, good[i].id);
		assert_int_equal(got.perms, good[i].perms);
	}
}

static void malformed_permissions_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "n", "x1", "1", "n 1", "n+1", "n-1", "n1 ", "n1x", "n0x",
		"N1", "n2147483648", "n99999999999999999999", "nn1",
	};
	struct xs_permissions got = { 7, 7 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(codec_perm_parse(bad[i], &got), EINVAL);
	assert_int_equal(got.id, 7);
	assert_int_equal(got.perms, 7);
}

static void permissions_are_written_as_they_are_read(void **state)
{
	struct xs_permissions perm, back;
	char text[CODEC_PERM_MAX];

	(void)state;
	for (perm.perms = 0; perm.perms < 4; perm.perms++)
		for (perm.id = 0; perm.id < 70000; perm.id += 999) {
			assert_int_equal(codec_perm_format(&perm, text), 0);
			assert_int_equal(codec_perm_parse(text, &back), 0);
			assert_int_equal(back.id, perm.id);
			assert_int_equal(back.perms, perm.perms);
		}
	perm = (struct xs_permissions){ UINT_MAX, XS_PERM_IGNORE };
	assert_int_equal(codec_perm_format(&perm, text), 0);
	perm.perms = XS_PERM_ENOENT_OK;
	assert_int_equal(codec_perm_format(&perm, text), EINVAL);
	perm.perms = XS_PERM_OWNER;
	assert_int_equal(codec_perm_format(&perm, text), EINVAL);
}

static void xs_strings_to_perms_takes_as_many_as_asked_for(void **state)
{
	struct xs_permissions perms[3] = { { 0, 0 }, { 0, 0 }, { 9, 9 } };

	(void)state;
	assert_true(xs_strings_to_perms(perms, 2, "n3\0b4\0r5"));
	assert_int_equal(perms[0].id, 3);
	assert_int_equal(perms[1].id, 4);
	assert_int_equal(perms[1].perms, 3);
	assert_int_equal(perms[2].id, 9);
	assert_true(xs_strings_to_perms(perms, 0, ""));
	errno = 0;
	assert_false(xs_strings_to_perms(perms, 2, "n3\0q4"));
	assert_int_equal(errno, EINVAL);
}

static void subpaths_are_told_by_their_text(void **state)
{
	(void)state;
	assert_true(xs_path_is_subpath("/a", "/a"));
	assert_true(xs_path_is_subpath("/a", "/a/b"));
	assert_true(xs_path_is_subpath("/", "/"));
	assert_true(xs_path_is_subpath("@releaseDomain", "@releaseDomain/1"));
	assert_false(xs_path_is_subpath("/a", "/ab"));
	assert_false(xs_path_is_subpath("/a/b", "/a"));
	assert_false(xs_path_is_subpath("/", "/a"));
}

static void xs_write_all_writes_all_or_fails(void **state)
{
	char buf[4];
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_true(xs_write_all(fd[1], "abcd", 4));
	assert_int_equal(read(fd[0], buf, 4), 4);
	assert_memory_equal(buf, "abcd", 4);
	assert_true(xs_write_all(fd[1], NULL, 0));
	assert_false(xs_write_all(fd[0], "abcd", 4));
	close(fd[0]);
	close(fd[1]);
}

static void paths_come_from_the_environment(void **state)
{
	(void)state;
	unsetenv("XENSTORED_PATH");
	unsetenv("XENSTORED_RUNDIR");
	assert_string_equal(xs_daemon_rundir(), "/var/run/xenstored");
	assert_string_equal(xs_daemon_socket(), "/var/run/xenstored/socket");
	setenv("XENSTORED_RUNDIR", "/nowhere", 1);
	assert_string_equal(xs_daemon_rundir(), "/nowhere");
	assert_string_equal(xs_daemon_socket(), "/nowhere/socket");
	assert_string_equal(xs_daemon_socket_ro(), "/nowhere/socket");
	setenv("XENSTORED_PATH", "/else/where", 1);
	assert_string_equal(xs_daemon_socket(), "/else/where");
}

static void nowhere_to_connect_to_is_told(void **state)
{
	char path[200];

	(void)state;
	setenv("XENSTORED_PATH", "/nowhere/at/all", 1);
	errno = 0;
	assert_null(xs_open(0));
	assert_int_equal(errno, ENOENT);
	assert_null(xs_open(XS_OPEN_RECONNECT));
	memset(path, '/', sizeof(path));
	snprintf(path + sizeof(path) - 5, 5, "/tmp");
	setenv("XENSTORED_PATH", path, 1);
	assert_null(xs_open(0));
	unsetenv("XENSTORED_PATH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_names_and_numbers_belong_together),
		cmocka_unit_test(unknown_errors_are_EINVAL),
		cmocka_unit_test(strings_are_counted_by_their_ends),
		cmocka_unit_test(permissions_are_read_in_any_base),
		cmocka_unit_test(malformed_permissions_are_refused),
		cmocka_unit_test(permissions_are_written_as_they_are_read),
		cmocka_unit_test(
			xs_strings_to_perms_takes_as_many_as_asked_for),
		cmocka_unit_test(subpaths_are_told_by_their_text),
		cmocka_unit_test(xs_write_all_writes_all_or_fails),
		cmocka_unit_test(paths_come_from_the_environment),
		cmocka_unit_test(nowhere_to_connect_to_is_told),
	};

	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
