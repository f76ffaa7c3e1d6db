/* SPDX-License-Identifier: MIT */
/*
 * The state stream. data/state-* were written by Debian's C xenstored 4.17 and
 * oxenstored 4.17 during a live update; data/state-*.txt is what is in them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "persist/stream.h"

#define DATA "tests/unit/data/"

/* The stream as text, or "refused: why at offset". */
static char *printed(const void *data, size_t len)
{
	struct stream_fault fault = { 0, "?" };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int err = stream_print(data, len, out, &fault);

	if (err)
		fprintf(out, "refused: %s at %zu\n", fault.why, fault.offset);
	assert_true(!err || err == -EPROTO);
	fclose(out);
	return text;
}

static struct blob file(const char *name)
{
	struct blob blob;

	assert_int_equal(stream_load(NULL, name, &blob), 0);
	return blob;
}

static void prints_as(const struct blob *stream, const char *expected)
{
	char *text = printed(stream->data, stream->len);

	assert_string_equal(text, expected);
	free(text);
}

static void file_prints_as(const char *name, const char *expected_name)
{
	struct blob stream = file(name), text = file(expected_name);
	char *expected = strndup(text.data, text.len);

	prints_as(&stream, expected);
	free(expected);
	talloc_free((void *)stream.data);
	talloc_free((void *)text.data);
}

static void the_state_of_c_xenstored_is_read(void **state)
{
	(void)state;
	file_prints_as(DATA "state-c417", DATA "state-c417.txt");
}

static void the_dump_of_oxenstored_is_read(void **state)
{
	(void)state;
	file_prints_as(DATA "state-ox417", DATA "state-ox417.txt");
}

static const struct perm perms[] = {
	{ .domid = 3, .rights = PERM_NONE },
	{ .domid = 5, .rights = PERM_BOTH, .stale = 1 },
	{ .domid = 7, .rights = PERM_WRITE },
};
static const struct stream_quota quotas[] = {
	{ "nodes", 1000 }, { "soft-memory", 7 }, { "x", 0xffffffff },
};

static void write_everything(struct stream_writer *w)
{
	const struct stream_conn ring = {
		.id = 1, .ring = true, .domid = 3, .target = 4, .port = 17,
		.has_unique_id = true, .unique_id = 0x123456789abcdef0,
		.in = { "abc", 3 }, .out = { "\1\2\3\4\5", 5 },
		.out_begun = 2,
	};
	const struct stream_conn sock = { .id = 2, .fd = 9 };

	stream_write_global(w, &(struct stream_global){ 4, -1, -1 });
	stream_write_quotas(w, &(struct stream_quotas){ quotas, 2, 1 });
	stream_write_conn(w, &ring);
	stream_write_watch(w, &(struct stream_watch){ 1, "a/b", "t", -1 });
	stream_write_watch(w, &(struct stream_watch){ 1, "/", "tok", 2 });
	stream_write_txn(w, &(struct stream_txn){ 1, 77 });
	stream_write_conn(w, &sock);
	stream_write_node(w, &(struct stream_node){
		0, 0, 0, "/", { NULL, 0 }, perms, 1 });
	stream_write_node(w, &(struct stream_node){
		1, 77, STREAM_WRITTEN, "/a", { "v\0w", 3 }, perms, 3 });
	stream_write_domain(w, &(struct stream_domain){ 3, 14, quotas, 2 });
	stream_write_private(w, STREAM_PRIVATE + 1,
			     (struct blob){ "eight by", 8 });
}

/* The finished stream, as a child of NULL. */
static struct blob written(unsigned int version,
			   void (*fill)(struct stream_writer *w), int expect)
{
	struct stream_writer *w;
	struct blob stream;
	char name[64];
	int fd = memfd_create("stream", 0);

	assert_int_equal(stream_writer_new(NULL, fd, version, &w), 0);
	fill(w);
	assert_int_equal(stream_end(w), expect);
	talloc_free(w);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	stream = file(name);
	close(fd);
	return stream;
}

/* M2 */
static void what_is_written_is_read(void **state)
{
	struct blob stream = written(2, write_everything, 0);

	(void)state;
	prints_as(&stream,
"version 2, little endian\n"
"global: socket 4, event channels -1\n"
"quotas of each domain: nodes=1000 soft-memory=7\n"
"quotas of all: x=4294967295\n"
"connection 1: domain 3, port 17, target 4, unique id 1311768467463790320, "
	"in \"abc\", out (2 begun) \"\\x01\\x02\\x03\\x04\\x05\"\n"
"watch of connection 1: \"a/b\", token \"t\"\n"
"watch of connection 1: \"/\", token \"tok\", depth 2\n"
"transaction of connection 1: 77\n"
"connection 2: socket 9\n"
"node \"/\" = \"\" (n3)\n"
"node \"/a\" of transaction 77 of connection 1, written = \"v\\x00w\" "
	"(n3,b5 stale,w7)\n"
"domain 3: features 14, quotas nodes=1000 soft-memory=7\n"
"record of type 32769: \"eight by\"\n");
	talloc_free((void *)stream.data);
}

/* M2 */
static void version_1_says_what_it_can(void **state)
{
	struct blob stream = written(1, write_everything, 0);

	(void)state;
	prints_as(&stream,
"version 1, little endian\n"
"global: socket 4, event channels -1\n"
"connection 1: domain 3, port 17, target 4, in \"abc\", "
	"out (2 begun) \"\\x01\\x02\\x03\\x04\\x05\"\n"
"watch of connection 1: \"a/b\", token \"t\"\n"
"watch of connection 1: \"/\", token \"tok\"\n"
"transaction of connection 1: 77\n"
"connection 2: socket 9\n"
"node \"/\" = \"\" (n3)\n"
"node \"/a\" of transaction 77 of connection 1, written = \"v\\x00w\" "
	"(n3,b5 stale,w7)\n"
"record of type 32769: \"eight by\"\n");
	talloc_free((void *)stream.data);
}

static void write_too_long_a_value(struct stream_writer *w)
{
	static char big[65536];

	stream_write_node(w, &(struct stream_node){
		0, 0, 0, "/", { big, sizeof(big) }, perms, 1 });
}

static void what_does_not_fit_fails(void **state)
{
	struct blob stream = written(2, write_too_long_a_value, -E2BIG);

	(void)state;
	talloc_free((void *)stream.data);
}

#define HEAD(flags) "xenstore\0\0\0\2\0\0\0" flags
#define END "\0\0\0\0\0\0\0\0"

static void records_of_a_big_endian_machine_are_read(void **state)
{
	static const char stream[] = HEAD("\1")
		"\0\0\0\1" "\0\0\0\10" "\0\0\0\3" "\xff\xff\xff\xff"
		"\0\0\0\5" "\0\0\0\30" "\0\0\0\0" "\0\0\0\0" "\0\2" "\0\1"
			"\0\0" "\0\1" "n\0\1\2" "/\0" "v" "\0"
		END;

	(void)state;
	prints_as(&(struct blob){ stream, sizeof(stream) - 1 },
		  "version 2, big endian\n"
		  "global: socket 3, event channels -1\n"
		  "node \"/\" = \"v\" (n258)\n");
}

/* The length of a record may be told without its padding. */
static void padding_need_not_be_counted(void **state)
{
	static const char stream[] = HEAD("\0")
		"\5\0\0\0" "\27\0\0\0" "\0\0\0\0" "\0\0\0\0" "\2\0" "\1\0"
			"\0\0" "\1\0" "n\0\1\0" "/\0" "v" "\0"
		END;

	(void)state;
	prints_as(&(struct blob){ stream, sizeof(stream) - 1 },
		  "version 2, little endian\n"
		  "node \"/\" = \"v\" (n1)\n");
}

static void misplaced_paths_of_depth_watches_are_recognised(void **state)
{
	/* length as if there were a depth: four bytes too many */
	static const char stream[] = HEAD("\0")
		"\10\0\0\0" "\30\0\0\0" "\1\0\0\0" "\5\0" "\4\0"
			"/abc\0" "tok\0" "\0\0\0\0\0\0\0"
		"\10\0\0\0" "\30\0\0\0" "\1\0\0\0" "\5\0" "\4\0" "\1\0" "\0\0"
			"/abc\0" "tok\0" "\0\0\0"
		"\10\0\0\0" "\30\0\0\0" "\1\0\0\0" "\5\0" "\4\0" "\377\377"
			"\0\0" "/abc\0" "tok\0" "\0\0\0"
		END;

	(void)state;
	prints_as(&(struct blob){ stream, sizeof(stream) - 1 },
		  "version 2, little endian\n"
		  "watch of connection 1: \"/abc\", token \"tok\"\n"
		  "watch of connection 1: \"/abc\", token \"tok\", depth 1\n"
		  "watch of connection 1: \"/abc\", token \"tok\"\n");
}

/* M1 */
static void an_empty_depth_watch_at_the_very_end_is_refused(void **state)
{
	static const char stream[] = HEAD("\0")
		"\10\0\0\0" "\10\0\0\0" "\1\0\0\0" "\0\0\0";
	char *copy = malloc(sizeof(stream));

	(void)state;
	memcpy(copy, stream, sizeof(stream));
	prints_as(&(struct blob){ copy, sizeof(stream) },
		  "version 2, little endian\n"
		  "refused: malformed record at 16\n");
	free(copy);
}

/* M1 */
static void a_stream_cut_anywhere_is_refused(void **state)
{
	struct blob stream = written(2, write_everything, 0);
	size_t len;
	char *cut;

	(void)state;
	for (len = 0; len < stream.len; len++) {
		/* In memory of its own, that a tool may see an overrun. */
		cut = malloc(len ? len : 1);
		memcpy(cut, stream.data, len);
		assert_int_equal(stream_read(cut, len,
					     &(struct stream_handlers){ 0 },
					     NULL, NULL), -EPROTO);
		free(cut);
	}
	talloc_free((void *)stream.data);
}

static void damage(struct blob stream, unsigned int seed)
{
	unsigned char *copy = malloc(stream.len);
	int i;

	srand(seed);
	memcpy(copy, stream.data, stream.len);
	for (i = rand() % 4; i >= 0; i--)
		copy[rand() % stream.len] = rand();
	free(printed(copy, stream.len));
	free(copy);
}

/* M1 */
static void damaged_streams_are_read_or_refused(void **state)
{
	struct blob streams[] = {
		written(2, write_everything, 0),
		file(DATA "state-c417"),
		file(DATA "state-ox417"),
	};
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 1000; j++)
			damage(streams[i], j);
		talloc_free((void *)streams[i].data);
	}
}

static int stop_at_nodes(void *arg, const struct stream_node *node)
{
	(void)node;
	++*(int *)arg;
	return ENOSPC;
}

static void a_handler_ends_the_reading(void **state)
{
	const struct stream_handlers handlers = { .node = stop_at_nodes };
	struct blob stream = file(DATA "state-c417");
	int n = 0;

	(void)state;
	assert_int_equal(stream_read(stream.data, stream.len, &handlers, &n,
				     NULL), ENOSPC);
	assert_int_equal(n, 1);
	talloc_free((void *)stream.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_state_of_c_xenstored_is_read),
		cmocka_unit_test(the_dump_of_oxenstored_is_read),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(version_1_says_what_it_can),
		cmocka_unit_test(what_does_not_fit_fails),
		cmocka_unit_test(records_of_a_big_endian_machine_are_read),
		cmocka_unit_test(padding_need_not_be_counted),
		cmocka_unit_test(
	misplaced_paths_of_depth_watches_are_recognised),
		cmocka_unit_test(
	an_empty_depth_watch_at_the_very_end_is_refused),
		cmocka_unit_test(a_stream_cut_anywhere_is_refused),
		cmocka_unit_test(damaged_streams_are_read_or_refused),
		cmocka_unit_test(a_handler_ends_the_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
