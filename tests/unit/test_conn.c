/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/sock.h"
#include "unit/echo.h"

/* ---- system calls, counted ---------------------------------------------- */

static struct {
	unsigned int recv, sendmsg, wait, ctl;
} calls;

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	calls.recv++;
	return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	calls.sendmsg++;
	return syscall(SYS_sendmsg, fd, msg, flags);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	calls.wait++;
	return syscall(SYS_epoll_pwait, fd, events, n, timeout, NULL, 8);
}

int epoll_ctl(int fd, int op, int target, struct epoll_event *event)
{
	calls.ctl++;
	return syscall(SYS_epoll_ctl, fd, op, target, event);
}

/* ---- a client ----------------------------------------------------------- */

/* Returns the client's end, which does not block. */
static int client_new(struct echo *echo, const struct limits *limits,
		      struct echo_peer **peer)
{
	struct transport *transport;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				    0, fds), 0);
	assert_int_equal(sock_new(NULL, echo->loop, fds[0], &transport), 0);
	*peer = echo_add(echo, transport, limits);
	return fds[1];
}

static size_t message_make(char *to, uint32_t type, uint32_t id,
			   const void *payload, size_t len)
{
	struct xsd_sockmsg hdr = { .type = type, .req_id = id, .len = len };

	memcpy(to, &hdr, sizeof(hdr));
	memcpy(to + sizeof(hdr), payload, len);
	return sizeof(hdr) + len;
}

static void client_send(int fd, uint32_t type, uint32_t id, const char *text)
{
	char buf[5000];
	size_t n = message_make(buf, type, id, text, strlen(text));

	assert_int_equal(write(fd, buf, n), n);
}

/* The next message, NULL: none. Two static buffers would be one too many. */
static struct xsd_sockmsg *client_take(int fd)
{
	static char buf[5000];
	struct xsd_sockmsg *hdr = (void *)buf;

	if (read(fd, buf, sizeof(*hdr)) != sizeof(*hdr))
		return NULL;
	assert_true(hdr->len <= XENSTORE_PAYLOAD_MAX);
	assert_int_equal(read(fd, buf + sizeof(*hdr), hdr->len), hdr->len);
	buf[sizeof(*hdr) + hdr->len] = 0;
	return hdr;
}

static const char *text_of(const struct xsd_sockmsg *hdr)
{
	return (const char *)(hdr + 1);
}

static void expect_reply(int fd, uint32_t id, const char *text)
{
	struct xsd_sockmsg *hdr = client_take(fd);

	assert_non_null(hdr);
	assert_int_equal(hdr->req_id, id);
	assert_int_equal(hdr->len, strlen(text));
	assert_string_equal(text_of(hdr), text);
}

static void expect_event(int fd, const char *path)
{
	struct xsd_sockmsg *hdr = client_take(fd);

	assert_non_null(hdr);
	assert_int_equal(hdr->type, XS_WATCH_EVENT);
	assert_int_equal(hdr->req_id, 0);
	assert_string_equal(text_of(hdr), path);
	assert_string_equal(text_of(hdr) + strlen(path) + 1, "t");
}

static int setup(void **state)
{
	*state = echo_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	talloc_free(*state);
	return 0;
}

/* ---- input -------------------------------------------------------------- */

static void one_request_costs_three_system_calls(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);

	for (int i = 0; i < 3; i++) {
		client_send(fd, XS_READ, i, "/a");
		memset(&calls, 0, sizeof(calls));
		echo_run(echo);
		expect_reply(fd, i, "/a");
		if (!i)
			continue;	/* the descriptor was registered */
		assert_int_equal(calls.wait, 1);
		assert_int_equal(calls.recv, 1);
		assert_int_equal(calls.sendmsg, 1);
		assert_int_equal(calls.ctl, 0);
	}
	close(fd);
}

static void many_replies_leave_in_one_call(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);

	for (int i = 0; i < 200; i++)
		client_send(fd, XS_READ, i, "/some/path");
	memset(&calls, 0, sizeof(calls));
	echo_run(echo);
	for (int i = 0; i < 200; i++)
		expect_reply(fd, i, "/some/path");
	assert_int_equal(calls.recv, 1);
	assert_int_equal(calls.sendmsg, 1);
	close(fd);
}

/* Sends what fits, lets the server work, reads what came. */
static void pump(struct echo *echo, const int *fds, int nfds, const char *data,
		 size_t len, size_t piece, char *back)
{
	size_t at[8] = { 0 }, got[8] = { 0 };
	bool done = false;

	while (!done) {
		done = true;
		for (int i = 0; i < nfds; i++) {
			size_t n = len - at[i] < piece ? len - at[i] : piece;
			ssize_t k;

			k = n ? write(fds[i], data + at[i], n) : 0;
			at[i] += k > 0 ? k : 0;
		}
		echo_run(echo);
		for (int i = 0; i < nfds; i++) {
			ssize_t k = read(fds[i], back + i * len + got[i],
					 len - got[i]);

			got[i] += k > 0 ? k : 0;
			done = done && got[i] == len;
		}
	}
}

static void pipelined(struct echo *echo, int requests, size_t piece, int nfds)
{
	char *data = malloc(requests * 64), *back;
	struct echo_peer *peer;
	size_t len = 0;
	int fds[8];

	for (int i = 0; i < requests; i++) {
		char text[40];

		len += message_make(data + len,
				    i % 7 == 3 ? XS_MKDIR : XS_READ, i, text,
				    snprintf(text, sizeof(text), "/path/%d",
					     i) * (i % 5 != 0));
	}
	for (int i = 0; i < nfds; i++)
		fds[i] = client_new(echo, NULL, &peer);
	back = calloc(nfds, len);
	pump(echo, fds, nfds, data, len, piece, back);
	for (int i = 0; i < nfds; i++) {
		assert_memory_equal(back + i * len, data, len);
		close(fds[i]);
	}
	echo_run(echo);
	assert_int_equal(echo->count, 0);
	free(data);
	free(back);
}

/* Held requests among them; several clients, so that the shared input buffer
 * changes hands in the midst of their input. */
static void ten_thousand_requests_may_be_pipelined(void **state)
{
	pipelined(*state, 10000, 1 << 20, 1);
	pipelined(*state, 10000, 1 << 20, 5);
	pipelined(*state, 2000, 777, 5);
}

/* Memory that somebody lends for input, and wants back. */
static char *lent;
static size_t lent_size;
static uint64_t lent_bytes;

static void *lend(void *owner, size_t size)
{
	(void)owner;
	/* Nobody borrows from it when more is asked for. */
	free(lent);
	lent = NULL;
	lent_size = size;
	if (lent_bytes % 5 == 4)
		return NULL;	/* has none at the moment */
	lent = malloc(size);
	return lent;
}

static void lent_received(void *owner, uint64_t pos, struct blob data)
{
	(void)owner;
	(void)pos;
	assert_true(!lent || data.data == lent);
	assert_true(data.len <= lent_size);
	lent_bytes += data.len;
}

static void lent_call(void *owner, enum conn_call call)
{
	(void)owner;
	(void)call;
}

static void lent_sent(void *owner, uint64_t pos)
{
	(void)owner;
	(void)pos;
}

static const struct conn_tap lender = {
	.call = lent_call,
	.room = lend,
	.received = lent_received,
	.sent = lent_sent,
};

static void take_back(struct conn_pool *pool)
{
	conn_pool_release(pool);
	free(lent);
	lent = NULL;
}

static void input_lands_in_memory_that_is_lent(void **state)
{
	struct echo *echo = *state;

	lent_bytes = 0;
	conn_pool_set_tap(echo->pool, &lender);
	pipelined(echo, 10000, 1 << 20, 5);
	pipelined(echo, 2000, 777, 5);
	assert_true(lent_bytes > 100000);
	conn_pool_set_tap(echo->pool, NULL);
	free(lent);
	lent = NULL;
}

/* The rest of what was received, behind a request that is held. */
static void lent_memory_can_be_taken_back(void **state)
{
	struct echo *echo = *state;
	struct message message;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);

	lent_bytes = 0;
	conn_pool_set_tap(echo->pool, &lender);
	for (int i = 0; i < 3; i++)
		client_send(fd, XS_READ, i, "/some/path");
	conn_transport(peer->conn)->ready(peer->conn, true, false);
	assert_int_equal(conn_next(peer->conn, &message), 0);
	assert_ptr_equal(message.payload, lent + sizeof(message.hdr));
	conn_hold(peer->conn);
	take_back(echo->pool);
	conn_resume(peer->conn);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(conn_next(peer->conn, &message), 0);
		assert_int_equal(message.hdr.req_id, i);
		assert_memory_equal(message.payload, "/some/path", 10);
		if (i == 1)
			take_back(echo->pool);
	}
	conn_pool_set_tap(echo->pool, NULL);
	close(fd);
}

static void bytes_may_come_one_at_a_time(void **state)
{
	pipelined(*state, 30, 1, 3);
}

static void rounds_are_fair(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *a, *b;
	int busy = client_new(echo, NULL, &a);
	int other = client_new(echo, NULL, &b);

	for (int i = 0; i < 200; i++)
		client_send(busy, XS_READ, i, "x");
	client_send(other, XS_READ, 1, "y");
	echo->per_tick = 2;
	echo->stop_after = 3;
	loop_run(echo->loop, echo_tick, echo);
	expect_reply(other, 1, "y");
	assert_true(echo->served < 10);
	close(busy);
	close(other);
}

static void half_a_message_and_a_close_is_the_end(void **state)
{
	struct echo *echo = *state;

	for (size_t cut = 1; cut < 24; cut++) {
		struct echo_peer *peer;
		int fd = client_new(echo, NULL, &peer);
		char buf[64];

		message_make(buf, XS_READ, 1, "12345678", 8);
		assert_int_equal(write(fd, buf, cut), cut);
		echo_run(echo);
		assert_int_equal(echo->count, 1);
		close(fd);
		echo_run(echo);
		assert_int_equal(echo->count, 0);
	}
	assert_int_equal(echo->served, 0);
}

static void who_closes_his_sending_side_gets_his_replies(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);
	char c;

	for (int i = 0; i < 100; i++)
		client_send(fd, XS_READ, i, "/a");
	shutdown(fd, SHUT_WR);
	echo_run(echo);
	echo_run(echo);
	for (int i = 0; i < 100; i++)
		expect_reply(fd, i, "/a");
	assert_int_equal(read(fd, &c, 1), 0);
	assert_int_equal(echo->count, 0);
	close(fd);
}

/* XSA-38 (c), XSA-420 */
static void an_oversized_message_closes_the_connection(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);
	struct xsd_sockmsg hdr = { .type = XS_READ, .len = 0x40000000 };
	char c;

	client_send(fd, XS_READ, 1, "/a");
	assert_int_equal(write(fd, &hdr, sizeof(hdr)), sizeof(hdr));
	echo_run(echo);
	assert_int_equal(echo->count, 0);
	/* What was queued is discarded as well. */
	assert_true(read(fd, &c, 1) <= 0);
	close(fd);
}

/* ---- output ------------------------------------------------------------- */

static void an_event_comes_before_the_reply_that_caused_it(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);

	client_send(fd, XS_WRITE, 1, "/a");
	echo_run(echo);
	expect_event(fd, "/a");
	expect_reply(fd, 1, "/a");
	close(fd);
}

/* O3 */
static void an_equal_event_is_queued_once(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);

	for (int i = 0; i < 3; i++)
		client_send(fd, XS_WRITE, i, "/a");
	client_send(fd, XS_WRITE, 3, "/b");
	echo_run(echo);
	expect_event(fd, "/a");
	for (int i = 0; i < 3; i++)
		expect_reply(fd, i, "/a");
	expect_event(fd, "/b");
	expect_reply(fd, 3, "/b");
	assert_int_equal(conn_stats(peer->conn)->events_merged, 2);

	/* It has left, so the next one is news. */
	client_send(fd, XS_WRITE, 4, "/a");
	echo_run(echo);
	expect_event(fd, "/a");
	expect_reply(fd, 4, "/a");

	for (int i = 0; i < 2; i++)
		client_send(fd, XS_WRITE, i, "@special");
	echo_run(echo);
	for (int i = 0; i < 2; i++) {
		expect_event(fd, "@special");
		expect_reply(fd, i, "@special");
	}
	assert_null(client_take(fd));
	close(fd);
}

/* Events for a client that does not read, until its socket is full. */
static unsigned int stuff(struct echo *echo, struct echo_peer *peer)
{
	char path[3000];
	unsigned int n;

	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	for (n = 0; conn_queued(peer->conn) < 2; n++) {
		snprintf(path, 20, "/%08u", n);
		path[strlen(path)] = 'p';
		conn_event(peer->conn, path, "t", NULL);
		conn_flush(peer->conn);
	}
	list_del(&peer->in_dirty);
	(void)echo;
	return n;
}

static void drain(struct echo *echo, int fd)
{
	static char buf[1 << 20];
	ssize_t n;

	do {
		do
			n = read(fd, buf, sizeof(buf));
		while (n > 0);
		echo_run(echo);
		n = read(fd, buf, sizeof(buf));
	} while (n > 0);
}

/* O6 */
static void a_slow_reader_blocks_nobody(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *slow, *other;
	int slow_fd = client_new(echo, NULL, &slow);
	int fd = client_new(echo, NULL, &other);
	unsigned int sent;

	sent = stuff(echo, slow);
	assert_true(sent > 10);
	memset(&calls, 0, sizeof(calls));
	for (int i = 0; i < 50; i++) {
		client_send(fd, XS_READ, i, "/a");
		echo_run(echo);
		expect_reply(fd, i, "/a");
	}
	/* It costs nothing meanwhile. */
	assert_int_equal(calls.sendmsg, 50);
	assert_int_equal(calls.wait, 50);

	/* An event that could not be begun merges; all arrive in the end. */
	conn_event(slow->conn, "/x", "t", NULL);
	conn_event(slow->conn, "/x", "t", NULL);
	assert_int_equal(conn_stats(slow->conn)->events_merged, 1);
	drain(echo, slow_fd);
	assert_int_equal(conn_queued(slow->conn), 0);
	assert_int_equal(conn_stats(slow->conn)->bytes_out,
			 sent * (16 + 2999 + 3) + 16 + 5);
	close(fd);
	close(slow_fd);
}

static struct limits limits_of(uint32_t outstanding, uint32_t memory)
{
	struct limits limits;

	limits_init(&limits);
	limits.hard[QUOTA_OUTSTANDING] = outstanding;
	limits.hard[QUOTA_MEMORY] = memory;
	return limits;
}

/* O2, O5; XSA-326 (5) */
static void who_floods_others_is_throttled(void **state)
{
	struct echo *echo = *state;
	struct limits limits = limits_of(5, 0);
	struct echo_peer *slow, *guest;
	int slow_fd = client_new(echo, NULL, &slow);
	int fd = client_new(echo, &limits, &guest);
	int replies = 0;

	stuff(echo, slow);
	for (int i = 0; i < 20; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%d", i);
		client_send(fd, XS_WRITE, i, path);
	}
	echo_run(echo);
	assert_int_equal(echo->served, 5);
	assert_string_equal(conn_throttled(guest->conn), "outstanding");
	assert_int_equal(ledger_used(guest->ledger, QUOTA_OUTSTANDING), 5);

	/* O5: new input of it costs two calls, once. */
	client_send(fd, XS_READ, 99, "/");
	memset(&calls, 0, sizeof(calls));
	for (int i = 0; i < 10; i++) {
		echo_run(echo);
		client_send(fd, XS_READ, 100 + i, "/");
	}
	assert_int_equal(calls.recv, 0);
	assert_true(calls.ctl <= 2);

	while (echo->served < 31)
		drain(echo, slow_fd);
	assert_null(conn_throttled(guest->conn));
	assert_int_equal(ledger_used(guest->ledger, QUOTA_OUTSTANDING), 0);
	while (client_take(fd))
		replies++;
	assert_int_equal(replies, 20 * 2 + 11);
	assert_int_equal(ledger_used(guest->ledger, QUOTA_MEMORY), 0);
	close(fd);
	close(slow_fd);
}

/* O2, P5 of README.md: a client that is stopped does not stop the guests */
static void who_does_not_read_stops_nobody_for_good(void **state)
{
	struct echo *echo = *state;
	struct limits limits = limits_of(5, 0);
	struct echo_peer *slow, *guest;
	int slow_fd = client_new(echo, NULL, &slow);
	int fd = client_new(echo, &limits, &guest);
	uint64_t now;
	size_t queued;

	stuff(echo, slow);
	for (int i = 0; i < 20; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%d", i);
		client_send(fd, XS_WRITE, i, path);
	}
	echo_run(echo);
	assert_string_equal(conn_throttled(guest->conn), "outstanding");
	queued = conn_queued(slow->conn);
	now = conn_expire(slow->conn, 1);
	assert_int_equal(conn_expire(slow->conn, now), now);
	assert_int_equal(ledger_used(guest->ledger, QUOTA_OUTSTANDING), 5);

	assert_int_equal(conn_expire(slow->conn, UINT64_MAX), 0);
	assert_int_equal(ledger_used(guest->ledger, QUOTA_OUTSTANDING), 0);
	assert_int_equal(conn_queued(slow->conn), queued);
	echo_run(echo);
	assert_int_equal(echo->served, 10);
	drain(echo, slow_fd);
	assert_int_equal(conn_queued(slow->conn), 0);
	assert_int_equal(conn_stats(slow->conn)->events_dropped, 0);
	close(fd);
	close(slow_fd);
}

/* O4, XSA-326 (1) and (2) */
static void queued_output_is_paid_for_and_bounded(void **state)
{
	struct echo *echo = *state;
	struct limits limits = limits_of(0, 100000);
	struct echo_peer *guest;
	int fd = client_new(echo, &limits, &guest);
	char path[1000];

	stuff(echo, guest);
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/%0900d", i);
		conn_event(guest->conn, path, "t", NULL);
		assert_true(ledger_used(guest->ledger, QUOTA_MEMORY) <= 100000);
	}
	assert_true(conn_stats(guest->conn)->events_dropped > 800);
	assert_true(ledger_used(guest->ledger, QUOTA_MEMORY) >=
		    conn_queued_bytes(guest->conn));

	/* Replies are queued regardless, but no more requests are taken. */
	path[900] = 0;
	for (int i = 0; i < 60; i++)
		client_send(fd, XS_READ, i, path);
	echo_run(echo);
	assert_string_equal(conn_throttled(guest->conn), "memory");
	assert_true(echo->served < 10);
	drain(echo, fd);
	assert_int_equal(echo->served, 60);
	assert_int_equal(ledger_used(guest->ledger, QUOTA_MEMORY), 0);
	close(fd);
}

/* O2: the smallest messages are not the cheapest way to bloat us. */
static void small_events_cost_no_more_than_they_are_charged(void **state)
{
	struct echo *echo = *state;
	struct limits limits = limits_of(0, 1000000);
	struct echo_peer *guest;
	int fd = client_new(echo, &limits, &guest);
	size_t before, used;
	char path[16];

	stuff(echo, guest);
	before = mallinfo2().uordblks;
	for (int i = 0; i < 100000; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		conn_event(guest->conn, path, "", NULL);
	}
	used = mallinfo2().uordblks - before;	/* 0: not that malloc */
	assert_true(conn_stats(guest->conn)->events_dropped > 0);
	assert_true(used < 1300000);
	close(fd);
}

/* O4 */
static void an_old_event_is_dropped(void **state)
{
	struct echo *echo = *state;
	struct limits limits = limits_of(0, 0);
	struct echo_peer *guest;
	int fd = client_new(echo, &limits, &guest);
	unsigned int n;

	conn_pool_set_now(echo->pool, 1000);
	n = stuff(echo, guest);
	conn_event(guest->conn, "/old", "t", NULL);
	conn_pool_set_now(echo->pool, 2000);
	conn_event(guest->conn, "/new", "t", NULL);
	assert_int_equal(conn_expire(guest->conn, 1000), 1000);
	assert_int_equal(conn_stats(guest->conn)->events_dropped, 0);
	assert_int_equal(conn_expire(guest->conn, 1001), 2000);
	assert_in_range(conn_stats(guest->conn)->events_dropped, 2, 3);
	conn_pool_set_now(echo->pool, 2000);
	conn_event(guest->conn, "/old", "t", NULL);	/* news again */
	assert_int_equal(conn_stats(guest->conn)->events_merged, 0);
	assert_int_equal(conn_expire(guest->conn, 2001), 0);
	/* Nothing that was begun is cut. */
	assert_true(conn_queued(guest->conn) <= 1);
	drain(echo, fd);
	assert_int_equal(conn_stats(guest->conn)->bytes_out % (16 + 3002), 0);
	assert_true(n > 2);
	close(fd);
}

static void an_event_too_long_for_a_message_is_dropped(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);
	char token[4200];

	memset(token, 'x', sizeof(token));
	token[4092] = 0;	/* "/a\0" and the token: 4096 bytes */
	conn_event(peer->conn, "/a", token, NULL);
	assert_int_equal(conn_queued(peer->conn), 1);
	token[4092] = 'x';
	token[4093] = 0;
	conn_event(peer->conn, "/a", token, NULL);
	assert_int_equal(conn_queued(peer->conn), 1);
	assert_int_equal(conn_stats(peer->conn)->events_dropped, 1);
	close(fd);
}

static void queued_messages_can_be_walked(void *arg, struct blob message,
					  size_t sent)
{
	const struct xsd_sockmsg *hdr = message.data;
	unsigned int *seen = arg;

	assert_int_equal(hdr->type, XS_WATCH_EVENT);
	assert_int_equal(message.len, sizeof(*hdr) + hdr->len);
	assert_true(*seen == 0 || sent == 0);
	++*seen;
}

static bool only_look(void *arg)
{
	struct echo *echo = arg;

	loop_stop(echo->loop);
	return false;
}

static void what_is_in_between_can_be_saved(void **state)
{
	struct echo *echo = *state;
	struct echo_peer *peer;
	int fd = client_new(echo, NULL, &peer);
	unsigned int seen = 0;
	const void *data;
	struct message msg;
	char buf[64];

	message_make(buf, XS_READ, 1, "1234", 4);
	assert_int_equal(write(fd, buf, 18), 18);
	echo_run(echo);
	assert_int_equal(conn_partial(peer->conn, &data), 18);
	assert_memory_equal(data, buf, 18);

	/* A request that is held is input, too. */
	assert_int_equal(write(fd, buf + 18, 2), 2);
	assert_int_equal(write(fd, buf, 5), 5);
	loop_run(echo->loop, only_look, echo);
	assert_int_equal(conn_next(peer->conn, &msg), 0);
	conn_hold(peer->conn);
	assert_string_equal(conn_throttled(peer->conn), "held");
	assert_int_equal(conn_next(peer->conn, &msg), EAGAIN);
	assert_int_equal(conn_partial(peer->conn, &data), 25);
	assert_memory_equal(data, buf, 20);

	stuff(echo, peer);
	conn_each_queued(peer->conn, queued_messages_can_be_walked, &seen);
	assert_int_equal(seen, conn_queued(peer->conn));
	close(fd);
}

static void an_idle_connection_is_small(void **state)
{
	struct echo *echo = *state;
	enum { N = 400 };
	struct echo_peer *peer;
	struct mallinfo2 before, after;
	size_t owner = sizeof(struct echo_peer) + 112, each;
	int fds[N];

	fds[0] = client_new(echo, NULL, &peer);
	before = mallinfo2();
	for (int i = 1; i < N; i++) {
		fds[i] = client_new(echo, NULL, &peer);
		client_send(fds[i], XS_WRITE, 1, "/a");
	}
	while (echo->served < N - 1)
		echo_run(echo);
	for (int i = 0; i < N; i++)
		drain(echo, fds[i]);
	after = mallinfo2();
	each = (after.uordblks - before.uordblks) / (N - 1) - owner;
	/* The allocator of a sanitizer does not tell. */
	if (after.uordblks > before.uordblks) {
		print_message("# %zu bytes for an idle connection\n", each);
		assert_true(each < 1024);
	}
	for (int i = 0; i < N; i++)
		close(fds[i]);
	for (int i = 0; i < N && echo->count; i++)
		echo_run(echo);
	assert_int_equal(echo->count, 0);
}

static const struct CMUnitTest tests[] = {
#define T(f) HARNESS_TEST(f, setup, teardown)
	T(one_request_costs_three_system_calls),
	T(many_replies_leave_in_one_call),
	T(ten_thousand_requests_may_be_pipelined),
	T(input_lands_in_memory_that_is_lent),
	T(lent_memory_can_be_taken_back),
	T(bytes_may_come_one_at_a_time),
	T(rounds_are_fair),
	T(half_a_message_and_a_close_is_the_end),
	T(who_closes_his_sending_side_gets_his_replies),
	T(an_oversized_message_closes_the_connection),
	T(an_event_comes_before_the_reply_that_caused_it),
	T(an_equal_event_is_queued_once),
	T(a_slow_reader_blocks_nobody),
	T(who_floods_others_is_throttled),
	T(who_does_not_read_stops_nobody_for_good),
	T(queued_output_is_paid_for_and_bounded),
	T(small_events_cost_no_more_than_they_are_charged),
	T(an_old_event_is_dropped),
	T(an_event_too_long_for_a_message_is_dropped),
	T(what_is_in_between_can_be_saved),
	T(an_idle_connection_is_small),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
