/* SPDX-License-Identifier: MIT */
/* Text forms of values and names (xenstore-tools/text.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../xenstore-tools/text.h"

/* What print(out, bytes, len) prints, to be freed. */
static char *printed(void (*print)(FILE *, const char *, size_t),
		     const char *bytes, size_t len, size_t *size)
{
	char *text;
	FILE *f = open_memstream(&text, size);

	assert_non_null(f);
	print(f, bytes, len);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void assert_printable(const char *text, size_t len, const char *also)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (!memchr(also, text[i], strlen(also)))
			assert_in_range((unsigned char)text[i], 0x20, 0x7e);
	}
}

static void assert_parses_to(const char *escaped, const char *bytes, size_t len)
{
	size_t got_len;
	char *got = text_parse(escaped, &got_len);

	assert_int_equal(got_len, len);
	assert_memory_equal(got, bytes, len);
	free(got);
}

/* X1, X2 */
static void every_pair_of_bytes_is_printable_and_comes_back(void **state)
{
	int a, b;

	(void)state;
	for (a = 0; a < 256; a++) {
		for (b = 0; b < 256; b++) {
			const char val[2] = { a, b };
			size_t size;
			char *text = printed(text_value, val, 2, &size);

			assert_printable(text, size, "");
			assert_parses_to(text, val, 2);
			free(text);
		}
	}
}

static void values_have_the_forms_scripts_know(void **state)
{
	static const char val[] = "plain\t\n\r\\\0\1\7\10\33\37\177\200\377 ~";
	size_t size;
	char *text = printed(text_value, val, sizeof(val) - 1, &size);

	(void)state;
	assert_string_equal(text, "plain\\t\\n\\r\\\\\\000\\001\\007\\x08"
				  "\\x1b\\x1f\\x7f\\x80\\xff ~");
	free(text);
}

/* X1, X3 */
static void names_stay_as_they_are_if_they_are_printable(void **state)
{
	char all[256];
	size_t size;
	char *text;
	int i;

	(void)state;
	for (i = 0; i < 256; i++)
		all[i] = i;
	text = printed(text_name, all, sizeof(all), &size);
	assert_printable(text, size, "");
	free(text);

	text = printed(text_name, all + 0x20, 0x5f, &size);
	assert_int_equal(size, 0x5f);
	assert_memory_equal(text, all + 0x20, 0x5f);
	free(text);
}

static void print_lines(FILE *out, const char *text, size_t len)
{
	(void)len;
	text_lines(out, text);
}

/* X1 */
static void lines_keep_newlines_and_tabs_only(void **state)
{
	size_t size;
	char *text = printed(print_lines, "\none\n\ttwo\r\n\033[31m\\\n", 0,
			     &size);

	(void)state;
	assert_string_equal(text, "\none\n\ttwo\\r\n\\x1b[31m\\\n");
	free(text);
}

static void escapes_may_be_short(void **state)
{
	(void)state;
	assert_parses_to("\\x4", "\x04", 1);
	assert_parses_to("\\x4g", "\x04g", 2);
	assert_parses_to("\\xFfF", "\xff" "F", 2);
	assert_parses_to("\\1", "\1", 1);
	assert_parses_to("\\18", "\1" "8", 2);
	assert_parses_to("\\1234", "S4", 2);
	assert_parses_to("\\777", "\xff", 1);
}

static void a_backslash_before_anything_else_means_nothing(void **state)
{
	(void)state;
	assert_parses_to("\\q\\\"\\8\\xg\\x", "q\"8xgx", 6);
	assert_parses_to("", "", 0);
	assert_parses_to("end\\", "end", 4);
}

/* X1: what a message says goes to stderr; here to a pipe. */
static void messages_are_printable(void **state)
{
	char buf[200];
	int ends[2], old = dup(STDERR_FILENO);
	ssize_t len;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	text_warn("%s: '%c' 100%%\\", "\033]0;x\007\xc3\xa9\n", 0);
	dup2(old, STDERR_FILENO);
	close(old);
	close(ends[1]);
	len = read(ends[0], buf, sizeof(buf) - 1);
	close(ends[0]);

	assert_true(len > 0);
	buf[len] = '\0';
	assert_string_equal(buf, "test_text: \\x1b]0;x\\007\\xc3\\xa9\\n: "
				 "'\\000' 100%\\\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			every_pair_of_bytes_is_printable_and_comes_back),
		cmocka_unit_test(values_have_the_forms_scripts_know),
		cmocka_unit_test(names_stay_as_they_are_if_they_are_printable),
		cmocka_unit_test(lines_keep_newlines_and_tabs_only),
		cmocka_unit_test(escapes_may_be_short),
		cmocka_unit_test(
			a_backslash_before_anything_else_means_nothing),
		cmocka_unit_test(messages_are_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
