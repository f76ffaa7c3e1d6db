/* SPDX-License-Identifier: MIT */
/*
 * The library against a server that says things no daemon should, or says
 * them when no daemon would.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <xenstore.h>

#include "fake_server.h"

#define assert_fails(call, err) do { \
	errno = 0; \
	assert_false(call); \
	assert_int_equal(errno, err); \
} while (0)

static struct xs_handle *open_handle(unsigned long flags)
{
	struct xs_handle *h = xs_open(flags);

	assert_non_null(h);
	return h;
}

static bool polls_readable(struct xs_handle *h, int ms)
{
	struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void assert_event(char **event, const char *path, const char *token)
{
	assert_non_null(event);
	assert_string_equal(event[XS_WATCH_PATH], path);
	assert_string_equal(event[XS_WATCH_TOKEN], token);
	free(event);
}

static void assert_next_event(struct xs_handle *h, const char *path,
			      const char *token)
{
	unsigned int num;

	assert_event(xs_read_watch(h, &num), path, token);
}

static void assert_lost(struct xs_handle *h)
{
	unsigned int num;

	assert_fails(xs_read(h, XBT_NULL, "/a", NULL), EBADF);
	assert_fails(xs_write(h, XBT_NULL, "/a", "", 0), EBADF);
	assert_fails(xs_watch(h, "/a", ""), EBADF);
	assert_fails(xs_transaction_start(h), EBADF);
	assert_fails(xs_read_watch(h, &num), EINVAL);
	assert_fails(xs_check_watch(h), EINVAL);
	assert_true(polls_readable(h, 0));
}

/* ---- replies ---- */

static void say_odd_things(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_READ);
	fake_error(fake, "EQUOTA");
	fake_expect(fake, XS_READ);
	fake_send(fake, XS_ERROR, "ENOENT", 6);		/* no NUL */
	fake_expect(fake, XS_READ);
	fake_send(fake, XS_ERROR, "", 0);
	fake_expect(fake, XS_GET_PERMS);
	fake_send(fake, XS_GET_PERMS, "n0", 2);
	fake_expect(fake, XS_GET_PERMS);
	fake_send(fake, XS_GET_PERMS, "n0\0q1", 6);
	fake_expect(fake, XS_GET_PERMS);
	fake_send(fake, XS_GET_PERMS, "", 0);
	fake_expect(fake, XS_TRANSACTION_START);
	fake_send(fake, XS_TRANSACTION_START, "none", 4);
	fake_expect(fake, XS_DIRECTORY);
	fake_send(fake, XS_DIRECTORY, "a\0unended", 9);
	fake_expect(fake, XS_GET_DOMAIN_PATH);
	fake_send(fake, XS_GET_DOMAIN_PATH, "/x", 2);
	fake_expect_end(fake);
}

static void odd_replies_are_errors_and_harm_nothing(void **state)
{
	struct fake *fake = fake_start(say_odd_things);
	struct xs_handle *h = open_handle(0);
	unsigned int num;
	char **names, *text;
	int i;

	(void)state;
	assert_fails(xs_read(h, XBT_NULL, "/a", NULL), EINVAL);
	assert_fails(xs_read(h, XBT_NULL, "/a", NULL), ENOENT);
	assert_fails(xs_read(h, XBT_NULL, "/a", NULL), EINVAL);
	for (i = 0; i < 3; i++)
		assert_fails(xs_get_permissions(h, XBT_NULL, "/a", &num),
			     EINVAL);
	assert_fails(xs_transaction_start(h), EINVAL);
	names = xs_directory(h, XBT_NULL, "/a", &num);
	assert_non_null(names);
	assert_int_equal(num, 1);
	assert_string_equal(names[0], "a");
	free(names);
	text = xs_get_domain_path(h, 1);
	assert_string_equal(text, "/x");
	free(text);
	xs_close(h);
	fake_stop(fake);
}

static void reply_with_wrong_type(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_READ);
	fake_ok(fake, XS_WRITE);
	fake_expect_end(fake);
}

static void reply_too_long(struct fake *fake)
{
	static char big[XENSTORE_PAYLOAD_MAX + 1];

	fake_accept(fake);
	fake_expect(fake, XS_READ);
	fake_send(fake, XS_READ, big, sizeof(big));
	fake_expect_end(fake);
}

static void reply_half_and_go(struct fake *fake)
{
	struct xsd_sockmsg hdr = { .type = XS_READ, .len = 100 };

	fake_accept(fake);
	fake_expect(fake, XS_READ);
	fake_raw(fake, &hdr, sizeof(hdr));
	fake_raw(fake, "half", 4);
	fake_hang_up(fake);
}

static void reply_nothing_and_go(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_READ);
	fake_hang_up(fake);
}

static void reply_unasked(struct fake *fake)
{
	fake_accept(fake);
	fake_ok(fake, XS_WRITE);
	fake_expect_end(fake);
}

static void a_broken_reply_ends_the_connection(void **state)
{
	static void (*const script[])(struct fake *) = {
		reply_with_wrong_type, reply_too_long, reply_half_and_go,
		reply_nothing_and_go, reply_unasked,
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(script) / sizeof(*script); i++) {
		struct fake *fake = fake_start(script[i]);
		struct xs_handle *h = open_handle(0);

		assert_fails(xs_read(h, XBT_NULL, "/a", NULL),
			     script[i] == reply_too_long ? E2BIG : EBADF);
		assert_lost(h);
		xs_close(h);
		fake_stop(fake);
	}
}

static void go_at_once(struct fake *fake)
{
	fake_accept(fake);
	fake_event(fake, "/last", "words");
	fake_hang_up(fake);
	fake_signal(fake);
}

static void writing_to_a_dead_daemon_is_no_SIGPIPE(void **state)
{
	struct fake *fake = fake_start(go_at_once);
	struct xs_handle *h = open_handle(0);
	int i;

	(void)state;
	fake_wait(fake);
	for (i = 0; i < 3; i++)
		assert_fails(xs_write(h, XBT_NULL, "/a", "x", 1), EBADF);
	/* What it said before is not lost. */
	assert_event(xs_check_watch(h), "/last", "words");
	assert_lost(h);
	xs_close(h);
	fake_stop(fake);
}

/* ---- listings in parts ---- */

static void list_in_parts(struct fake *fake)
{
	const char *args;

	fake_accept(fake);
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	args = fake_expect(fake, XS_DIRECTORY_PART);
	fake_must(!strcmp(args, "/a"));
	fake_must(!strcmp(args + 3, "0"));
	fake_send(fake, XS_DIRECTORY_PART, "7\0one\0two\0", 10);
	args = fake_expect(fake, XS_DIRECTORY_PART);
	fake_must(!strcmp(args + 3, "8"));
	/* Something was added meanwhile. */
	fake_send(fake, XS_DIRECTORY_PART, "8\0three\0\0", 9);
	args = fake_expect(fake, XS_DIRECTORY_PART);
	fake_must(!strcmp(args + 3, "0"));
	fake_send(fake, XS_DIRECTORY_PART, "8\0one\0two\0", 10);
	args = fake_expect(fake, XS_DIRECTORY_PART);
	fake_must(!strcmp(args + 3, "8"));
	fake_send(fake, XS_DIRECTORY_PART, "8\0three\0\0", 9);

	/* It shrank to nothing meanwhile. */
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	fake_expect(fake, XS_DIRECTORY_PART);
	fake_send(fake, XS_DIRECTORY_PART, "9\0\0", 3);

	/* A daemon that has no parts. */
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	fake_expect(fake, XS_DIRECTORY_PART);
	fake_error(fake, "ENOSYS");

	/* Nonsense. */
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	fake_expect(fake, XS_DIRECTORY_PART);
	fake_send(fake, XS_DIRECTORY_PART, "no end of the number", 20);
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	fake_expect(fake, XS_DIRECTORY_PART);
	fake_send(fake, XS_DIRECTORY_PART, "9\0unended", 9);
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	fake_expect(fake, XS_DIRECTORY_PART);
	fake_send(fake, XS_DIRECTORY_PART, "9", 2);
	fake_expect_end(fake);
}

static void a_listing_in_parts_is_of_one_moment(void **state)
{
	struct fake *fake = fake_start(list_in_parts);
	struct xs_handle *h = open_handle(0);
	unsigned int num;
	char **names;
	int i;

	(void)state;
	names = xs_directory(h, XBT_NULL, "/a", &num);
	assert_non_null(names);
	assert_int_equal(num, 3);
	assert_string_equal(names[0], "one");
	assert_string_equal(names[1], "two");
	assert_string_equal(names[2], "three");
	free(names);
	names = xs_directory(h, XBT_NULL, "/a", &num);
	assert_non_null(names);
	assert_int_equal(num, 0);
	free(names);
	assert_fails(xs_directory(h, XBT_NULL, "/a", &num), E2BIG);
	for (i = 0; i < 3; i++)
		assert_fails(xs_directory(h, XBT_NULL, "/a", &num), EINVAL);
	xs_close(h);
	fake_stop(fake);
}

/* The node has another generation whenever somebody asks. */
static void change_all_the_time(struct fake *fake)
{
	char part[] = "0\0one";
	const char *args;
	int i;

	fake_accept(fake);
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	for (i = 0; i < 18; i++) {
		args = fake_expect(fake, XS_DIRECTORY_PART);
		fake_must(!fake_header(fake).tx_id);
		fake_must(!strcmp(args + 3, i % 2 ? "4" : "0"));
		part[0] = '0' + i % 10;
		fake_send(fake, XS_DIRECTORY_PART, part, sizeof(part));
	}
	fake_expect(fake, XS_TRANSACTION_START);
	fake_send(fake, XS_TRANSACTION_START, "33", 3);
	args = fake_expect(fake, XS_DIRECTORY_PART);
	fake_must(fake_header(fake).tx_id == 33);
	fake_must(!strcmp(args, "/a") && !strcmp(args + 3, "0"));
	fake_send(fake, XS_DIRECTORY_PART, "8\0one\0\0", 7);
	fake_must(!strcmp(fake_expect(fake, XS_TRANSACTION_END), "F"));
	fake_must(fake_header(fake).tx_id == 33);
	fake_ok(fake, XS_TRANSACTION_END);

	/* And if there is no transaction to be had. */
	fake_expect(fake, XS_DIRECTORY);
	fake_error(fake, "E2BIG");
	for (i = 0; i < 18; i++) {
		fake_expect(fake, XS_DIRECTORY_PART);
		part[0] = '0' + i % 10;
		fake_send(fake, XS_DIRECTORY_PART, part, sizeof(part));
	}
	fake_expect(fake, XS_TRANSACTION_START);
	fake_error(fake, "EBUSY");
	fake_expect_end(fake);
}

static void a_listing_ends_whatever_others_do(void **state)
{
	struct fake *fake = fake_start(change_all_the_time);
	struct xs_handle *h = open_handle(0);
	unsigned int num;
	char **names;

	(void)state;
	names = xs_directory(h, XBT_NULL, "/a", &num);
	assert_non_null(names);
	assert_int_equal(errno, 0);
	assert_int_equal(num, 1);
	assert_string_equal(names[0], "one");
	free(names);
	assert_fails(xs_directory(h, XBT_NULL, "/a", &num), EBUSY);
	xs_close(h);
	fake_stop(fake);
}

/* ---- events ---- */

static void trickle(struct fake *fake)
{
	struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT, .len = 5 };
	const char *bytes = "/a\0t";
	unsigned int i;

	fake_accept(fake);
	for (i = 0; i < sizeof(hdr); i++) {
		fake_wait(fake);
		fake_raw(fake, (char *)&hdr + i, 1);
	}
	for (i = 0; i < 5; i++) {
		fake_wait(fake);
		fake_raw(fake, bytes + i, 1);
	}
	fake_expect_end(fake);
}

static void half_an_event_never_blocks_a_check(void **state)
{
	struct fake *fake = fake_start(trickle);
	struct xs_handle *h = open_handle(0);
	unsigned int i;

	(void)state;
	assert_fails(xs_check_watch(h), EAGAIN);
	for (i = 1; i <= 16 + 5; i++) {
		fake_signal(fake);
		assert_true(polls_readable(h, 5000));
		if (i < 16 + 5) {
			assert_fails(xs_check_watch(h), EAGAIN);
			/* ... and does not keep a poll() awake. */
			assert_false(polls_readable(h, 0));
		}
	}
	assert_event(xs_check_watch(h), "/a", "t");
	assert_false(polls_readable(h, 0));
	xs_close(h);
	fake_stop(fake);
}

static void malformed_event(struct fake *fake)
{
	fake_accept(fake);
	fake_send(fake, XS_WATCH_EVENT, "/a", 3);
	fake_expect_end(fake);
}

static void long_event(struct fake *fake)
{
	static char big[XENSTORE_PAYLOAD_MAX + 1];

	fake_accept(fake);
	fake_send(fake, XS_WATCH_EVENT, big, sizeof(big));
	fake_expect_end(fake);
}

static void a_malformed_event_ends_the_connection(void **state)
{
	static void (*const script[])(struct fake *) = {
		malformed_event, long_event,
	};
	unsigned int i, num;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct fake *fake = fake_start(script[i]);
		struct xs_handle *h = open_handle(0);

		assert_fails(xs_read_watch(h, &num), EINVAL);
		assert_lost(h);
		xs_close(h);
		fake_stop(fake);
	}
}

static void send_wide_event(struct fake *fake)
{
	fake_accept(fake);
	fake_send(fake, XS_WATCH_EVENT, "/a\0t\0more\0and", 13);
	fake_expect_end(fake);
}

static void an_event_may_have_more_strings(void **state)
{
	struct fake *fake = fake_start(send_wide_event);
	struct xs_handle *h = open_handle(0);
	unsigned int num;
	char **event = xs_read_watch(h, &num);

	(void)state;
	assert_int_equal(num, 4);
	assert_string_equal(event[2], "more");
	assert_string_equal(event[3], "and");
	assert_event(event, "/a", "t");
	xs_close(h);
	fake_stop(fake);
}

/* ---- who waits when the connection ends ---- */

static void *wait_for_event(void *arg)
{
	unsigned int num;

	errno = 0;
	free(xs_read_watch(arg, &num));
	return (void *)(intptr_t)errno;
}

static void *wait_for_reply(void *arg)
{
	errno = 0;
	free(xs_read(arg, XBT_NULL, "/a", NULL));
	return (void *)(intptr_t)errno;
}

static void *wait_in_poll(void *arg)
{
	return polls_readable(arg, 10000) ? NULL : arg;
}

static void go_when_told(struct fake *fake)
{
	fake_accept(fake);
	fake_wait(fake);
	fake_hang_up(fake);
}

static void the_end_of_the_stream_wakes_everybody(void **state)
{
	struct fake *fake = fake_start(go_when_told);
	struct xs_handle *h = open_handle(0);
	pthread_t events[3], replies[3], poller;
	void *result;
	int i;

	(void)state;
	assert_true(xs_fileno(h) >= 0);
	for (i = 0; i < 3; i++) {
		pthread_create(&events[i], NULL, wait_for_event, h);
		pthread_create(&replies[i], NULL, wait_for_reply, h);
	}
	pthread_create(&poller, NULL, wait_in_poll, h);
	usleep(50000);
	fake_signal(fake);
	for (i = 0; i < 3; i++) {
		pthread_join(events[i], &result);
		assert_int_equal((intptr_t)result, EINVAL);
		pthread_join(replies[i], &result);
		assert_int_equal((intptr_t)result, EBADF);
	}
	pthread_join(poller, &result);
	assert_null(result);
	assert_lost(h);
	xs_close(h);
	fake_stop(fake);
}

static void the_end_of_the_stream_wakes_a_poll(void **state)
{
	struct fake *fake = fake_start(go_when_told);
	struct xs_handle *h = open_handle(0);

	(void)state;
	assert_false(polls_readable(h, 20));
	fake_signal(fake);
	assert_true(polls_readable(h, 5000));
	assert_lost(h);
	xs_close(h);
	fake_stop(fake);
}

/* ---- cancellation ---- */

static void answer_late(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_READ);
	fake_signal(fake);
	fake_wait_back(fake);
	fake_event(fake, "/e", "t");
	fake_send(fake, XS_READ, "late", 4);
	fake_expect(fake, XS_WRITE);
	fake_ok(fake, XS_WRITE);
	fake_expect_end(fake);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void a_cancelled_request_s_reply_goes_to_nobody(void **state)
{
	struct fake *fake = fake_start(answer_late);
	struct xs_handle *h = open_handle(0);
	int64_t start = now_ms();
	pthread_t thread;
	void *result;

	(void)state;
	pthread_create(&thread, NULL, wait_for_reply, h);
	fake_wait(fake);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	/* It had its second. */
	assert_true(now_ms() - start >= 900);
	fake_signal_back(fake);
	assert_true(xs_write(h, XBT_NULL, "/b", "x", 1));
	assert_event(xs_check_watch(h), "/e", "t");
	xs_close(h);
	fake_stop(fake);
}

static void answer_late_twice(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_READ);
	fake_signal(fake);
	fake_wait_back(fake);
	fake_send(fake, XS_READ, "late", 4);
	fake_expect(fake, XS_READ);
	fake_send(fake, XS_READ, "soon", 4);
	fake_event(fake, "/e", "t");
	fake_expect_end(fake);
}

static void whose_turn_it_is_goes_on_after_a_dropped_reply(void **state)
{
	struct fake *fake = fake_start(answer_late_twice);
	struct xs_handle *h = open_handle(0);
	pthread_t first, second, reader;
	void *result;

	(void)state;
	pthread_create(&first, NULL, wait_for_reply, h);
	fake_wait(fake);
	pthread_create(&reader, NULL, wait_for_event, h);
	pthread_create(&second, NULL, wait_for_reply, h);
	pthread_cancel(first);
	pthread_join(first, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	fake_signal_back(fake);
	pthread_join(second, &result);
	assert_null(result);
	pthread_join(reader, &result);
	assert_null(result);
	xs_close(h);
	fake_stop(fake);
}

/* ---- noise ---- */

#define NOISY_CONNECTIONS 300

static unsigned int noise_seed = 1;

/* Messages of any type and length with some sense in them, cut anywhere. */
static void talk_noise(struct fake *fake)
{
	static const char text[7][12] = {
		"OK", "ENOENT", "/a\0t", "1\0one\0two\0", "n0\0r1", "12",
	};
	char bytes[XENSTORE_PAYLOAD_MAX + 100];
	unsigned int i, round, at, *r = &noise_seed;

	for (i = 0; i < NOISY_CONNECTIONS; i++) {
		fake_accept(fake);
		for (round = rand_r(r) % 20; round; round--) {
			struct xsd_sockmsg hdr = { .type = rand_r(r) % 28 };

			for (at = 0; rand_r(r) % 3; at += hdr.len) {
				hdr.len = rand_r(r) % 12;
				memcpy(bytes + at, text[rand_r(r) % 7],
				       hdr.len);
				if (at > XENSTORE_PAYLOAD_MAX)
					break;
			}
			hdr.len = at;
			if (rand_r(r) % 20 == 0)
				hdr.len = rand_r(r) % 2 ? rand_r(r) : 4096;
			if (rand_r(r) % 3)
				hdr.type = rand_r(r) % 2 ? XS_WATCH_EVENT :
							   XS_READ;
			fake_raw(fake, &hdr, sizeof(hdr) - !(rand_r(r) % 30));
			fake_raw(fake, bytes, at);
		}
	}
}

static void noise_is_survived(void **state)
{
	const char *env = getenv("SEED");
	struct fake *fake;
	unsigned int i, num;

	(void)state;
	noise_seed = env ? atoi(env) : 1;
	fake = fake_start(talk_noise);
	for (i = 0; i < NOISY_CONNECTIONS; i++) {
		struct xs_handle *h = open_handle(XS_UNWATCH_FILTER);
		bool lost = false;

		while (!lost) {
			free(xs_read(h, XBT_NULL, "/a", NULL));
			free(xs_get_permissions(h, XBT_NULL, "/a", &num));
			free(xs_directory(h, XBT_NULL, "/a", &num));
			xs_watch(h, "/a", "t");
			free(xs_check_watch(h));
			xs_unwatch(h, "/a", "t");
			xs_transaction_end(h, xs_transaction_start(h), false);
			errno = 0;
			lost = !xs_write(h, XBT_NULL, "/a", "", 0) &&
			       errno == EBADF;
		}
		xs_close(h);
	}
	fake_stop(fake);
}

/* ---- XS_OPEN_RECONNECT ---- */

static void come_back(struct fake *fake)
{
	const char *args;

	fake_accept(fake);
	args = fake_expect(fake, XS_WATCH);
	fake_must(!strcmp(args, "/a"));
	fake_ok(fake, XS_WATCH);
	fake_event(fake, "/a", "t");
	fake_expect(fake, XS_WATCH);
	fake_ok(fake, XS_WATCH);
	fake_expect(fake, XS_WATCH);
	fake_ok(fake, XS_WATCH);
	fake_expect(fake, XS_WATCH);
	fake_error(fake, "EINVAL");
	fake_expect(fake, XS_UNWATCH);
	fake_ok(fake, XS_UNWATCH);
	fake_expect(fake, XS_TRANSACTION_START);
	fake_send(fake, XS_TRANSACTION_START, "1", 2);
	fake_expect(fake, XS_TRANSACTION_START);
	fake_send(fake, XS_TRANSACTION_START, "2", 2);
	fake_expect(fake, XS_WRITE);
	fake_hang_up(fake);

	/* /a, /b (refused now), but /c is unwatched and /d was refused */
	fake_accept(fake);
	args = fake_expect(fake, XS_WATCH);
	fake_must(!strcmp(args, "/a"));
	fake_must(!strcmp(args + 3, "t"));
	fake_ok(fake, XS_WATCH);
	fake_event(fake, "/a", "t");
	args = fake_expect(fake, XS_WATCH);
	fake_must(!strcmp(args, "/b"));
	fake_error(fake, "ENOSPC");
	args = fake_expect(fake, XS_READ);
	fake_must(!strcmp(args, "/x"));
	fake_send(fake, XS_READ, "v", 1);
	/* A new transaction has the old one's number here. */
	fake_expect(fake, XS_TRANSACTION_START);
	fake_send(fake, XS_TRANSACTION_START, "1", 2);
	fake_expect(fake, XS_READ);
	fake_must(fake_header(fake).tx_id == 1);
	fake_send(fake, XS_READ, "v", 1);
	fake_expect(fake, XS_TRANSACTION_END);
	fake_must(fake_header(fake).tx_id == 1);
	fake_ok(fake, XS_TRANSACTION_END);
	fake_close_door(fake);
	fake_hang_up(fake);
	fake_signal(fake);

	/* Only /a is left; nobody makes a request, somebody polls. */
	usleep(300000);
	fake_open_door(fake);
	fake_accept(fake);
	args = fake_expect(fake, XS_WATCH);
	fake_must(!strcmp(args, "/a"));
	fake_ok(fake, XS_WATCH);
	fake_event(fake, "/a", "t");
	fake_expect_end(fake);
}

static void a_handle_can_reconnect_by_itself(void **state)
{
	struct fake *fake = fake_start(come_back);
	struct xs_handle *h = open_handle(XS_OPEN_RECONNECT);
	xs_transaction_t old, old2, new;
	char *value, **event = NULL;

	(void)state;
	assert_true(xs_watch(h, "/a", "t"));
	assert_next_event(h, "/a", "t");
	assert_true(xs_watch(h, "/b", "t"));
	assert_true(xs_watch(h, "/c", "t"));
	assert_fails(xs_watch(h, "/d", "t"), EINVAL);
	assert_true(xs_unwatch(h, "/c", "t"));
	old = xs_transaction_start(h);
	old2 = xs_transaction_start(h);
	assert_true(old && old2 && old != old2);

	assert_fails(xs_write(h, XBT_NULL, "/x", "", 0), ECONNRESET);
	value = xs_read(h, XBT_NULL, "/x", NULL);
	assert_non_null(value);
	free(value);
	assert_next_event(h, "/a", "t");

	new = xs_transaction_start(h);
	assert_true(new && new != old && new != old2);
	assert_fails(xs_read(h, old, "/x", NULL), ECONNRESET);
	value = xs_read(h, new, "/x", NULL);
	assert_non_null(value);
	free(value);
	assert_fails(xs_transaction_end(h, old, false), EAGAIN);
	assert_fails(xs_transaction_end(h, old, false), ENOENT);
	assert_true(xs_transaction_end(h, old2, true));
	assert_true(xs_transaction_end(h, new, false));

	fake_wait(fake);
	while (!event) {
		assert_true(polls_readable(h, 5000));
		event = xs_check_watch(h);
		if (!event)
			assert_int_equal(errno, EAGAIN);
	}
	assert_event(event, "/a", "t");
	assert_false(polls_readable(h, 20));
	xs_close(h);
	fake_stop(fake);
}

static void go_and_come_back(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_WATCH);
	fake_ok(fake, XS_WATCH);
	fake_close_door(fake);
	fake_hang_up(fake);
	usleep(200000);
	fake_open_door(fake);
	fake_accept(fake);
	fake_expect(fake, XS_WATCH);
	fake_ok(fake, XS_WATCH);
	fake_event(fake, "/a", "t");
	fake_expect(fake, XS_READ);
	fake_send(fake, XS_READ, "v", 1);
	fake_expect_end(fake);
}

static void *read_value(void *arg)
{
	char *value = xs_read(arg, XBT_NULL, "/a", NULL);
	/* The one that was in flight when the server went. */
	if (!value && errno == ECONNRESET)
		value = xs_read(arg, XBT_NULL, "/a", NULL);
	return value;
}

static void those_who_wait_stay_while_it_reconnects(void **state)
{
	struct fake *fake = fake_start(go_and_come_back);
	struct xs_handle *h = open_handle(XS_OPEN_RECONNECT);
	pthread_t thread;
	void *value;

	(void)state;
	assert_true(xs_watch(h, "/a", "t"));
	pthread_create(&thread, NULL, read_value, h);
	assert_next_event(h, "/a", "t");
	pthread_join(thread, &value);
	assert_non_null(value);
	free(value);
	xs_close(h);
	fake_stop(fake);
}

static void leave(struct fake *fake)
{
	fake_close_door(fake);
	fake_hang_up(fake);
	fake_open_door(fake);	/* for fake_stop() */
	fake_close_door(fake);
	fake_signal(fake);
}

static void go_for_good(struct fake *fake)
{
	fake_accept(fake);
	leave(fake);
}

static void requests_do_not_wait_for_ever(void **state)
{
	struct fake *fake = fake_start(go_for_good);
	struct xs_handle *h = open_handle(XS_OPEN_RECONNECT);
	int64_t start = now_ms();
	pthread_t thread;
	void *result;

	(void)state;
	fake_wait(fake);
	pthread_create(&thread, NULL, wait_for_event, h);
	/* In flight when the end is noticed, or not sent at all. */
	if (!xs_mkdir(h, XBT_NULL, "/a") && errno == ECONNRESET)
		assert_fails(xs_mkdir(h, XBT_NULL, "/a"), ENOENT);
	else
		assert_int_equal(errno, ENOENT);
	assert_in_range(now_ms() - start, 9000, 30000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	xs_close(h);
	fake_stop(fake);
}

static void go_in_transactions(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_TRANSACTION_START);
	fake_send(fake, XS_TRANSACTION_START, "1", 2);
	fake_expect(fake, XS_TRANSACTION_START);
	fake_send(fake, XS_TRANSACTION_START, "2", 2);
	leave(fake);
}

static void a_lost_transaction_waits_for_nothing(void **state)
{
	struct fake *fake = fake_start(go_in_transactions);
	struct xs_handle *h = open_handle(XS_OPEN_RECONNECT);
	int64_t start = now_ms();
	xs_transaction_t a, b;

	(void)state;
	a = xs_transaction_start(h);
	b = xs_transaction_start(h);
	fake_wait(fake);
	assert_fails(xs_mkdir(h, a, "/a"), ECONNRESET);
	assert_fails(xs_mkdir(h, a, "/a"), ECONNRESET);
	assert_fails(xs_mkdir(h, b + 1, "/a"), ENOENT);
	assert_fails(xs_transaction_end(h, a, false), EAGAIN);
	assert_fails(xs_transaction_end(h, a, false), ENOENT);
	assert_true(xs_transaction_end(h, b, true));
	assert_in_range(now_ms() - start, 0, 8000);
	xs_close(h);
	fake_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_replies_are_errors_and_harm_nothing),
		cmocka_unit_test(a_broken_reply_ends_the_connection),
		cmocka_unit_test(writing_to_a_dead_daemon_is_no_SIGPIPE),
		cmocka_unit_test(a_listing_in_parts_is_of_one_moment),
		cmocka_unit_test(a_listing_ends_whatever_others_do),
		cmocka_unit_test(half_an_event_never_blocks_a_check),
		cmocka_unit_test(a_malformed_event_ends_the_connection),
		cmocka_unit_test(an_event_may_have_more_strings),
		cmocka_unit_test(the_end_of_the_stream_wakes_everybody),
		cmocka_unit_test(the_end_of_the_stream_wakes_a_poll),
		cmocka_unit_test(a_cancelled_request_s_reply_goes_to_nobody),
		cmocka_unit_test(
			whose_turn_it_is_goes_on_after_a_dropped_reply),
		cmocka_unit_test(noise_is_survived),
		cmocka_unit_test(a_handle_can_reconnect_by_itself),
		cmocka_unit_test(those_who_wait_stay_while_it_reconnects),
		cmocka_unit_test(a_lost_transaction_waits_for_nothing),
		cmocka_unit_test(requests_do_not_wait_for_ever),
	};

	alarm(120);
	return cmocka_run_group_tests_name("library and fake server", tests,
					   NULL, NULL);
}
