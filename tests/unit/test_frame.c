/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/frame.h"

static char stream[1 << 20];
static size_t stream_len;

/* Messages of the given payload lengths, each byte known. */
static void stream_make(const size_t *len, int n)
{
	stream_len = 0;
	for (int i = 0; i < n; i++) {
		struct xsd_sockmsg hdr = {
			.type = i, .req_id = 100 + i, .len = len[i],
		};

		memcpy(stream + stream_len, &hdr, sizeof(hdr));
		stream_len += sizeof(hdr);
		memset(stream + stream_len, 'a' + i % 26, len[i]);
		stream_len += len[i];
	}
}

static void expect_message(const struct message *msg, int i, size_t len)
{
	assert_int_equal(msg->hdr.type, i);
	assert_int_equal(msg->hdr.req_id, 100 + i);
	assert_int_equal(msg->hdr.len, len);
	for (size_t k = 0; k < len; k++)
		assert_int_equal(msg->payload[k], 'a' + i % 26);
}

/* Feeds the stream in pieces of the given size and counts what comes out. */
static int play(struct frame *frame, size_t piece, const size_t *len, int n)
{
	struct message msg;
	int seen = 0, err;

	for (size_t at = 0; at < stream_len; at += piece) {
		size_t k = stream_len - at < piece ? stream_len - at : piece;
		char *copy = malloc(k);

		memcpy(copy, stream + at, k);
		frame_feed(frame, copy, k);
		while (!(err = frame_next(frame, &msg))) {
			assert_true(seen < n);
			expect_message(&msg, seen, len[seen]);
			seen++;
		}
		assert_int_equal(err, EAGAIN);
		free(copy);	/* F1, F3: nothing is borrowed any more */
	}
	return seen;
}

static void any_cut_gives_the_same_messages(void **state)
{
	const size_t len[] = { 0, 1, 15, 16, 17, 4096, 0, 0, 300, 4095, 2 };
	const int n = sizeof(len) / sizeof(*len);
	struct frame *frame;
	const void *data;

	(void)state;
	stream_make(len, n);
	assert_int_equal(frame_new(NULL, &frame), 0);
	for (size_t piece = 1; piece < 40; piece++)
		assert_int_equal(play(frame, piece, len, n), n);
	for (size_t piece = 40; piece <= stream_len; piece += 97)
		assert_int_equal(play(frame, piece, len, n), n);
	assert_int_equal(frame_pending(frame, &data), 0);
	talloc_free(frame);
}

static void a_header_split_at_each_byte_is_one_message(void **state)
{
	const size_t len[] = { 20 };
	struct message msg;
	struct frame *frame;

	(void)state;
	stream_make(len, 1);
	assert_int_equal(frame_new(NULL, &frame), 0);
	for (size_t cut = 1; cut < stream_len; cut++) {
		const void *data;

		frame_feed(frame, stream, cut);
		assert_int_equal(frame_next(frame, &msg), EAGAIN);
		assert_int_equal(frame_pending(frame, &data), cut);
		assert_memory_equal(data, stream, cut);
		frame_feed(frame, stream + cut, stream_len - cut);
		assert_int_equal(frame_next(frame, &msg), 0);
		expect_message(&msg, 0, 20);
		assert_int_equal(frame_next(frame, &msg), EAGAIN);
	}
	talloc_free(frame);
}

/* F2; XSA-38 (c), XSA-420 */
static void an_oversized_message_is_the_end(void **state)
{
	const uint32_t bad[] = { 4097, 0x40000000, 0x7fffffff, 0x80000000,
				 0xffffffff };
	struct message msg;
	struct frame *frame;

	(void)state;
	assert_int_equal(frame_new(NULL, &frame), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct xsd_sockmsg hdr = { .type = XS_READ, .len = bad[i] };

		for (size_t cut = 1; cut <= sizeof(hdr); cut++) {
			frame_feed(frame, &hdr, cut);
			if (cut < sizeof(hdr)) {
				assert_int_equal(frame_next(frame, &msg),
						 EAGAIN);
				frame_feed(frame, (char *)&hdr + cut,
					   sizeof(hdr) - cut);
			}
			assert_int_equal(frame_next(frame, &msg), EPROTO);
			assert_int_equal(frame_next(frame, &msg), EPROTO);
			assert_int_equal(frame_bad_len(frame), bad[i]);
			frame_reset(frame);
			assert_int_equal(frame_next(frame, &msg), EAGAIN);
		}
	}
	talloc_free(frame);
}

static void what_is_borrowed_can_be_kept(void **state)
{
	const size_t len[] = { 10, 200, 30, 40 };
	struct message msg;
	struct frame *frame;
	char *copy;

	(void)state;
	stream_make(len, 4);
	assert_int_equal(frame_new(NULL, &frame), 0);
	for (size_t cut = 0; cut < 26; cut++) {
		/* The first message may be cut, to be put together. */
		if (cut) {
			frame_feed(frame, stream, cut);
			assert_int_equal(frame_next(frame, &msg), EAGAIN);
		}
		copy = malloc(stream_len);
		memcpy(copy, stream, stream_len);
		frame_feed(frame, copy + cut, stream_len - cut);
		assert_int_equal(frame_next(frame, &msg), 0);
		expect_message(&msg, 0, 10);
		assert_int_equal(frame_keep(frame), 0);
		memset(copy, 'X', stream_len);
		free(copy);
		for (int i = 1; i < 4; i++) {
			assert_int_equal(frame_next(frame, &msg), 0);
			expect_message(&msg, i, len[i]);
		}
		assert_int_equal(frame_next(frame, &msg), EAGAIN);
	}
	talloc_free(frame);
}

static void a_message_taken_back_comes_again(void **state)
{
	const size_t len[] = { 10, 200 };
	struct message msg;
	struct frame *frame;
	const void *data;

	(void)state;
	stream_make(len, 2);
	assert_int_equal(frame_new(NULL, &frame), 0);
	for (size_t cut = 0; cut < 26; cut++) {
		if (cut) {
			frame_feed(frame, stream, cut);
			assert_int_equal(frame_next(frame, &msg), EAGAIN);
		}
		frame_feed(frame, stream + cut, stream_len - cut);
		for (int again = 0; again < 3; again++) {
			assert_int_equal(frame_next(frame, &msg), 0);
			expect_message(&msg, 0, 10);
			assert_int_equal(frame_unget(frame), 0);
			assert_int_equal(frame_pending(frame, &data),
					 stream_len);
			assert_memory_equal(data, stream, stream_len);
			assert_int_equal(frame_keep(frame), 0);
		}
		assert_int_equal(frame_next(frame, &msg), 0);
		assert_int_equal(frame_next(frame, &msg), 0);
		expect_message(&msg, 1, 200);
		assert_int_equal(frame_unget(frame), 0);
		assert_int_equal(frame_next(frame, &msg), 0);
		expect_message(&msg, 1, 200);
		assert_int_equal(frame_next(frame, &msg), EAGAIN);
	}
	talloc_free(frame);
}

static const struct CMUnitTest tests[] = {
	HARNESS_TEST(any_cut_gives_the_same_messages, NULL, NULL),
	HARNESS_TEST(a_header_split_at_each_byte_is_one_message, NULL, NULL),
	HARNESS_TEST(an_oversized_message_is_the_end, NULL, NULL),
	HARNESS_TEST(what_is_borrowed_can_be_kept, NULL, NULL),
	HARNESS_TEST(a_message_taken_back_comes_again, NULL, NULL),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
