/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/gring.h"
#include "io/ring.h"
#include "io/xenport.h"
#include "unit/echo.h"

/* ---- a port with one domain ------------------------------------------------
 * The page is shared memory, mapped once for each side; kicks are eventfds. */

struct test_port {
	struct xenport base;
	struct loop *loop;
	struct loop_fd *watch;
	struct channel *channel;
	int page_fd, in, out;
	unsigned int unmapped, notified, unmasked;
	bool page_bad, bind_fails;
};

static struct test_port *port_of(struct xenport *port)
{
	return talloc_get_type_abort(port, struct test_port);
}

static struct xenstore_domain_interface *map_page(int fd)
{
	void *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(mem != MAP_FAILED);
	return mem;
}

static void port_unmap(struct xenport *base, uint16_t domid,
		       struct xenstore_domain_interface *page)
{
	(void)domid;
	port_of(base)->unmapped++;
	munmap(page, 4096);
}

static void port_fired(void *arg, unsigned int events)
{
	struct test_port *port = arg;

	(void)events;
	port->channel->fired(port->channel);
}

static int port_bind(struct xenport *base, struct channel *channel,
		     uint32_t remote)
{
	struct test_port *port = port_of(base);

	if (port->bind_fails || !remote)
		return EINVAL;
	port->channel = channel;
	channel->local = 100 + remote;
	return loop_fd_new_edge(port, port->loop, port->in, port_fired, port,
				&port->watch);
}

static int port_adopt(struct xenport *base, struct channel *channel)
{
	return port_bind(base, channel, channel->local - 100);
}

static void port_unbind(struct xenport *base, struct channel *channel)
{
	(void)channel;
	TALLOC_FREE(port_of(base)->watch);
}

static void port_notify(struct xenport *base, struct channel *channel)
{
	struct test_port *port = port_of(base);

	(void)channel;
	port->notified++;
	eventfd_write(port->out, 1);
}

static void port_unmask(struct xenport *base, struct channel *channel)
{
	(void)channel;
	port_of(base)->unmasked++;
}

static bool port_page_ok(struct xenport *base,
			 const struct xenstore_domain_interface *page)
{
	(void)page;
	return !port_of(base)->page_bad;
}

static const struct xenport_ops port_ops = {
	.name = "test",
	.unmap = port_unmap,
	.bind = port_bind,
	.adopt = port_adopt,
	.unbind = port_unbind,
	.notify = port_notify,
	.unmask = port_unmask,
	.page_ok = port_page_ok,
};

/* ---- fixture ------------------------------------------------------------ */

struct fixture {
	struct echo *echo;
	struct test_port *port;
	struct xenstore_domain_interface *page;	/* the guest's mapping */
	struct gring guest;
	struct echo_peer *peer;
	struct transport *ring;
	struct limits limits;
};

static void guest_kick(void *arg)
{
	struct test_port *port = arg;

	eventfd_write(port->in, 1);
}

static void kick_nobody(void *arg)
{
	(void)arg;
}

static int setup(void **state)
{
	struct fixture *f = talloc_zero(NULL, struct fixture);
	struct test_port *port = talloc_zero(f, struct test_port);

	f->echo = echo_new(f);
	f->port = port;
	port->base.ops = &port_ops;
	port->loop = f->echo->loop;
	port->page_fd = memfd_create("page", MFD_CLOEXEC);
	assert_int_equal(ftruncate(port->page_fd, 4096), 0);
	port->in = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	port->out = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f->page = map_page(port->page_fd);
	f->guest = (struct gring){ .page = f->page, .kick = guest_kick,
				   .arg = port };
	limits_init(&f->limits);
	f->limits.hard[QUOTA_OUTSTANDING] = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	TALLOC_FREE(f->peer);
	close(f->port->in);
	close(f->port->out);
	close(f->port->page_fd);
	munmap(f->page, 4096);
	talloc_free(f);
	return 0;
}

static void introduce(struct fixture *f)
{
	assert_int_equal(ring_new(NULL, &f->port->base, 1,
				  map_page(f->port->page_fd), 3, 15, false,
				  &f->ring), 0);
	f->peer = echo_add(f->echo, f->ring, &f->limits);
	echo_run(f->echo);
}

static size_t message_make(char *to, uint32_t type, uint32_t id, size_t len)
{
	struct xsd_sockmsg hdr = { .type = type, .req_id = id, .len = len };

	memcpy(to, &hdr, sizeof(hdr));
	for (size_t i = 0; i < len; i++)
		to[sizeof(hdr) + i] = 'a' + (id + i) % 26;
	return sizeof(hdr) + len;
}


/* The whole guest request at once, and what the daemon makes of it. */
static void guest_says(struct fixture *f, uint32_t type, uint32_t id,
		       size_t len)
{
	char buf[5000];
	size_t n = message_make(buf, type, id, len);

	assert_int_equal(gring_write(&f->guest, buf, n), n);
	echo_run(f->echo);
}

static void guest_hears(struct fixture *f, uint32_t type, uint32_t id,
			size_t len)
{
	char want[5000], buf[5000];
	size_t n = message_make(want, type, id, len);

	assert_int_equal(gring_read(&f->guest, buf, n), n);
	assert_memory_equal(buf, want, n);
}

static void expect_silence(struct fixture *f)
{
	char buf[16];

	assert_int_equal(gring_read(&f->guest, buf, sizeof(buf)), 0);
}

static void expect_serving(struct fixture *f)
{
	guest_says(f, XS_READ, 77, 10);
	guest_hears(f, XS_READ, 77, 10);
	assert_false(conn_ignored(f->peer->conn));
}

/* ---- a guest as a process ----------------------------------------------- */

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* Runs `guest` in another process, which sleeps whenever it has nothing to do,
 * and serves it meanwhile. */
static void serve_guest(struct fixture *f, void (*guest)(struct fixture *f))
{
	struct loop_signal *sig;
	int status;
	pid_t pid;

	assert_int_equal(loop_signal_new(f, f->echo->loop, SIGCHLD, stop_loop,
					 f->echo->loop, &sig), 0);
	pid = fork();
	if (!pid) {
		alarm(30);
		guest(f);
		_exit(0);
	}
	loop_run(f->echo->loop, echo_tick, f->echo);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	talloc_free(sig);
	assert_int_equal(status, 0);
}

static void sleep_until_notified(struct fixture *f)
{
	struct pollfd pfd = { .fd = f->port->out, .events = POLLIN };
	eventfd_t n;

	poll(&pfd, 1, -1);
	eventfd_read(f->port->out, &n);
}

static void exchange(struct fixture *f)
{
	size_t len = 0, sent = 0, got = 0, moved, n;
	char *data = malloc(4 << 20), *back;

	for (uint32_t i = 0; i < 3000; i++)
		len += message_make(data + len, XS_READ, i,
				    i % 50 == 3 ? 4096 : i % 13 == 2 ? 1008 :
				    i % 7 == 1 ? 0 : i % 300);
	back = malloc(len);
	while (got < len) {
		moved = gring_write(&f->guest, data + sent, len - sent);
		sent += moved;
		n = gring_read(&f->guest, back + got, len - got);
		got += n;
		if (!moved && !n)
			sleep_until_notified(f);
	}
	if (memcmp(back, data, len))
		abort();
	free(back);
	free(data);
}

static void any_traffic_gets_through(void **state)
{
	struct fixture *f = *state;

	introduce(f);
	serve_guest(f, exchange);
	assert_int_equal(f->echo->served, 3000);
	assert_int_equal(f->page->req_cons, f->page->req_prod);
	assert_int_equal(f->page->rsp_cons, f->page->rsp_prod);
}

/* Indices run freely; a successor takes them as they are. */
static void indices_may_wrap(void **state)
{
	struct fixture *f = *state;

	f->page->req_cons = f->page->req_prod = 0xfffff123;
	f->page->rsp_cons = f->page->rsp_prod = 0xffffff45;
	assert_int_equal(ring_adopt(NULL, &f->port->base, 1,
				    map_page(f->port->page_fd), 3, 103, 15,
				    &f->ring), 0);
	assert_int_equal(ring_local_port(f->ring), 103);
	assert_int_equal(ring_remote_port(f->ring), 3);
	f->peer = echo_add(f->echo, f->ring, &f->limits);
	serve_guest(f, exchange);
	assert_int_equal(f->echo->served, 3000);
}

static void replies_that_are_not_read_do_not_stop_requests(struct fixture *f)
{
	char data[64], back[1024];
	size_t n = message_make(data, XS_READ, 1, 40), got = 0;

	/* 100 requests, larger together than both rings, before any reply is
	 * looked at; then all replies. */
	for (int i = 0; i < 100; i++)
		for (size_t at = 0; at < n;) {
			size_t k = gring_write(&f->guest, data + at, n - at);

			at += k;
			if (!k)
				sleep_until_notified(f);
		}
	while (got < 100 * n) {
		size_t k = gring_read(&f->guest, back, sizeof(back));

		got += k;
		if (!k)
			sleep_until_notified(f);
	}
}

static void a_full_reply_ring_is_waited_for(void **state)
{
	struct fixture *f = *state;

	introduce(f);
	serve_guest(f, replies_that_are_not_read_do_not_stop_requests);
	assert_int_equal(conn_queued(f->peer->conn), 0);
}

static void a_header_may_be_split_at_each_byte(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	introduce(f);
	for (size_t cut = 1; cut < 24; cut++) {
		size_t n = message_make(buf, XS_READ, cut, 8);

		gring_write(&f->guest, buf, cut);
		echo_run(f->echo);
		/* What was taken is given back as room. */
		assert_int_equal(f->page->req_cons, f->page->req_prod);
		expect_silence(f);
		gring_write(&f->guest, buf + cut, n - cut);
		echo_run(f->echo);
		guest_hears(f, XS_READ, cut, 8);
	}
}

/* XSA-38 (e) */
static void a_completely_full_ring_is_served(void **state)
{
	struct fixture *f = *state;

	introduce(f);
	for (int i = 0; i < 3; i++) {
		char buf[1100];

		assert_int_equal(message_make(buf, XS_READ, 5, 1008), 1024);
		assert_int_equal(gring_write(&f->guest, buf, 1024), 1024);
		assert_int_equal(f->page->req_prod - f->page->req_cons, 1024);
		assert_int_equal(gring_write(&f->guest, buf, 1), 0);
		echo_run(f->echo);
		guest_hears(f, XS_READ, 5, 1008);
		guest_says(f, XS_READ, 6, 3);	/* another place in the ring */
		guest_hears(f, XS_READ, 6, 3);
	}
}

/* ---- R1: what is told when ---------------------------------------------- */

static bool look_once(void *arg)
{
	loop_stop(arg);
	return false;
}

static void room_is_given_back_only_after_the_commit(void **state)
{
	struct fixture *f = *state;
	struct message msg;
	char buf[64];
	size_t n;

	introduce(f);
	n = message_make(buf, XS_READ, 1, 8);
	gring_write(&f->guest, buf, n);
	gring_write(&f->guest, buf, 5);
	loop_run(f->echo->loop, look_once, f->echo->loop);
	assert_int_equal(conn_next(f->peer->conn, &msg), 0);
	assert_int_equal(msg.hdr.len, 8);
	assert_int_equal(conn_next(f->peer->conn, &msg), EAGAIN);
	assert_int_equal(f->page->req_cons, 0);
	f->port->notified = 0;
	conn_settle(f->peer->conn);
	assert_int_equal(f->page->req_cons, n + 5);
	assert_int_equal(f->port->notified, 1);
}

static void a_batch_is_one_notification(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	size_t n;

	introduce(f);
	for (int i = 0; i < 10; i++) {
		n = message_make(buf, XS_READ, i, 8);
		gring_write(&f->guest, buf, n);
	}
	f->port->notified = 0;
	echo_run(f->echo);
	for (int i = 0; i < 10; i++)
		guest_hears(f, XS_READ, i, 8);
	assert_int_equal(f->port->notified, 1);
}

static void a_request_that_came_meanwhile_is_seen(void **state)
{
	struct fixture *f = *state;
	struct message msg;
	char buf[64];
	size_t n = message_make(buf, XS_READ, 1, 8);

	introduce(f);
	gring_write(&f->guest, buf, n);
	loop_run(f->echo->loop, look_once, f->echo->loop);
	assert_int_equal(conn_next(f->peer->conn, &msg), 0);
	assert_int_equal(conn_next(f->peer->conn, &msg), EAGAIN);
	/* The guest finds its first request in the ring and does not kick. */
	f->guest.kicks = 0;
	gring_write(&f->guest, buf, n);
	assert_int_equal(f->guest.kicks, 0);
	conn_flush(f->peer->conn);
	assert_false(list_empty(&f->echo->ready));
	echo_run(f->echo);
	guest_hears(f, XS_READ, 1, 8);
}

/* ---- introduction ------------------------------------------------------- */

static void introduction_makes_a_fresh_ring(void **state)
{
	struct fixture *f = *state;

	memset(f->page, 0xa5, sizeof(*f->page));
	f->page->connection = XENSTORE_RECONNECT;
	introduce(f);
	assert_int_equal(f->page->req_cons | f->page->req_prod |
			 f->page->rsp_cons | f->page->rsp_prod, 0);
	assert_int_equal(f->page->connection, XENSTORE_CONNECTED);
	assert_int_equal(f->page->server_features, 15);
	assert_int_equal(f->page->error, 0);
	assert_int_equal(f->port->notified, 1);
	expect_serving(f);
	TALLOC_FREE(f->peer);
	assert_int_equal(f->port->unmapped, 1);
}

static void a_request_made_before_introduction_is_served(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	gring_write(&f->guest, buf, message_make(buf, XS_READ, 9, 30));
	introduce(f);
	guest_hears(f, XS_READ, 9, 30);
}

static void a_port_that_cannot_be_bound_fails_the_introduction(void **state)
{
	struct fixture *f = *state;

	f->port->bind_fails = true;
	assert_int_equal(ring_new(NULL, &f->port->base, 1,
				  map_page(f->port->page_fd), 3, 15, false,
				  &f->ring), EINVAL);
	assert_int_equal(f->port->unmapped, 1);
}

static void another_introduction_starts_afresh(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	introduce(f);
	expect_serving(f);
	gring_write(&f->guest, buf, 7);		/* half a message */
	echo_run(f->echo);
	ring_reintroduce(f->ring, 8);
	conn_reset(f->peer->conn);
	echo_run(f->echo);
	assert_int_equal(f->page->req_cons | f->page->req_prod |
			 f->page->rsp_cons | f->page->rsp_prod, 0);
	assert_int_equal(ring_remote_port(f->ring), 8);
	expect_serving(f);

	/* A port that cannot be bound: the ring is scanned. */
	f->port->bind_fails = true;
	ring_reintroduce(f->ring, 9);
	conn_reset(f->peer->conn);
	echo_run(f->echo);
	assert_int_equal(ring_local_port(f->ring), 0);
	guest_says(f, XS_READ, 1, 1);
	expect_silence(f);
	ring_scan(f->ring);
	echo_run(f->echo);
	guest_hears(f, XS_READ, 1, 1);
}

static void a_guest_that_does_not_kick_is_found_by_the_scan(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	introduce(f);
	f->guest.kick = kick_nobody;
	gring_write(&f->guest, buf, message_make(buf, XS_READ, 1, 8));
	echo_run(f->echo);
	expect_silence(f);
	ring_scan(f->ring);
	echo_run(f->echo);
	guest_hears(f, XS_READ, 1, 8);
}

/* ---- resets ------------------------------------------------------------- */

/* G3 */
static void a_guest_may_reconnect(void **state)
{
	struct fixture *f = *state;
	struct message msg;
	char buf[64];

	introduce(f);
	expect_serving(f);
	gring_write(&f->guest, buf, 11);
	echo_run(f->echo);
	conn_event(f->peer->conn, "/old", "t", NULL);

	gring_reconnect(&f->guest);
	loop_run(f->echo->loop, look_once, f->echo->loop);
	assert_int_equal(conn_next(f->peer->conn, &msg), EAGAIN);
	assert_int_equal(f->echo->watch_resets, 1);
	assert_int_equal(conn_queued(f->peer->conn), 0);
	/* Until the commit the guest has to wait. */
	assert_false(gring_connected(&f->guest));
	f->port->notified = 0;
	conn_flush(f->peer->conn);
	assert_true(gring_connected(&f->guest));
	assert_int_equal(f->port->notified, 1);
	assert_int_equal(f->page->req_cons | f->page->req_prod |
			 f->page->rsp_cons | f->page->rsp_prod, 0);
	expect_serving(f);
	for (int i = 0; i < 1000; i++) {
		gring_reconnect(&f->guest);
		echo_run(f->echo);
		assert_true(gring_connected(&f->guest));
	}
	expect_serving(f);
	assert_int_equal(f->echo->watch_resets, 1001);
}

/* What wants to be written finds the request to reconnect first. */
static void a_reconnect_is_found_by_output_too(void **state)
{
	struct fixture *f = *state;

	introduce(f);
	f->page->connection = XENSTORE_RECONNECT;
	conn_event(f->peer->conn, "/a", "t", NULL);
	echo_run(f->echo);
	echo_run(f->echo);
	assert_true(gring_connected(&f->guest));
	assert_int_equal(f->page->rsp_prod, 0);
	assert_int_equal(f->echo->watch_resets, 1);
	expect_serving(f);
}

static void a_throttled_guest_may_reconnect(void **state)
{
	struct fixture *f = *state;

	f->limits.hard[QUOTA_OUTSTANDING] = 1;
	introduce(f);
	f->peer->last = conn_flight(f->peer->conn);
	guest_says(f, XS_READ, 1, 8);
	assert_string_equal(conn_throttled(f->peer->conn), "outstanding");
	gring_reconnect(&f->guest);
	echo_run(f->echo);
	assert_true(gring_connected(&f->guest));
	assert_int_equal(f->echo->watch_resets, 1);
	flight_unref(f->peer->last);
	expect_serving(f);
}

/* G2, ring.md 3.7 */
static void firmware_may_scrub_the_ring(void **state)
{
	struct fixture *f = *state;

	introduce(f);
	for (int i = 0; i < 20; i++) {
		expect_serving(f);
		gring_scrub(&f->guest);
		/* Nobody kicks; the kernel's first request comes later. */
		guest_says(f, XS_READ, 1, 1000);
		guest_hears(f, XS_READ, 1, 1000);
	}
	assert_int_equal(f->echo->watch_resets, 0);
	expect_serving(f);
	gring_scrub(&f->guest);
	ring_scan(f->ring);
	echo_run(f->echo);
	expect_serving(f);

	/* A first request that ends where the last one before did. */
	gring_scrub(&f->guest);
	guest_says(f, XS_READ, 1, 10);
	ring_scan(f->ring);
	echo_run(f->echo);
	guest_hears(f, XS_READ, 1, 10);
}

static void half_a_scrub_is_given_time(void **state)
{
	struct fixture *f = *state;

	introduce(f);
	expect_serving(f);
	f->page->req_cons = f->page->req_prod = 0;
	guest_kick(f->port);
	echo_run(f->echo);
	assert_false(conn_ignored(f->peer->conn));
	conn_event(f->peer->conn, "/a", "t", NULL);
	echo_run(f->echo);
	assert_false(conn_ignored(f->peer->conn));
	gring_scrub(&f->guest);
	ring_scan(f->ring);
	echo_run(f->echo);
	expect_serving(f);

	/* But not for ever. */
	f->page->req_cons = f->page->req_prod = 0;
	guest_kick(f->port);
	echo_run(f->echo);
	guest_kick(f->port);
	echo_run(f->echo);
	assert_true(conn_ignored(f->peer->conn));
	assert_int_equal(f->page->error, XENSTORE_ERROR_RINGIDX);
}

/* ---- broken rings ------------------------------------------------------- */

static void expect_ignored(struct fixture *f, uint32_t error)
{
	unsigned int ticks;

	assert_true(conn_ignored(f->peer->conn));
	assert_int_equal(f->page->error, error);
	assert_string_not_equal(f->peer->why, "");
	/* It is not read from, and does not make us spin. */
	for (int i = 0; i < 5; i++)
		guest_kick(f->port);
	ticks = f->echo->ticks;
	echo_run(f->echo);
	assert_int_equal(f->echo->ticks, ticks + 1);
	assert_true(list_empty(&f->echo->ready));
}

/* XSA-38 (a), (b) */
static void impossible_indices_break_the_ring(void **state)
{
	struct fixture *f = *state;
	struct {
		uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
	} add[] = {
		{ .req_prod = 1025 }, { .req_prod = 2048 },
		{ .req_prod = 0x80000000 }, { .req_prod = -1 },
		{ .rsp_cons = 1 }, { .rsp_cons = -1025 },
		{ .rsp_cons = 0x80000000 }, { .req_cons = 1 },
		{ .req_cons = -1 }, { .rsp_prod = 5 }, { .rsp_prod = -5 },
		{ .req_cons = 7, .req_prod = 7 },
	};

	introduce(f);
	for (size_t i = 0; i < sizeof(add) / sizeof(*add); i++) {
		for (int output = 0; output < 2; output++) {
			expect_serving(f);
			f->page->req_cons += add[i].req_cons;
			f->page->req_prod += add[i].req_prod;
			f->page->rsp_cons += add[i].rsp_cons;
			f->page->rsp_prod += add[i].rsp_prod;
			if (output)
				conn_event(f->peer->conn, "/a", "t", NULL);
			else
				guest_kick(f->port);
			echo_run(f->echo);
			echo_run(f->echo);
			expect_ignored(f, XENSTORE_ERROR_RINGIDX);

			/* XSA-325: alive again by either way. */
			if (output) {
				gring_reconnect(&f->guest);
			} else {
				ring_reintroduce(f->ring, 3);
				conn_reset(f->peer->conn);
			}
			echo_run(f->echo);
			assert_int_equal(f->page->error, 0);
		}
	}
	expect_serving(f);
}

/* XSA-38 (c), XSA-420 */
static void an_oversized_message_breaks_the_ring(void **state)
{
	const uint32_t len[] = { 4097, 0x40000000, 0x7fffffff, 0xffffffff };
	struct fixture *f = *state;

	introduce(f);
	for (size_t i = 0; i < sizeof(len) / sizeof(*len); i++) {
		struct xsd_sockmsg hdr = { .type = XS_READ, .len = len[i] };

		gring_write(&f->guest, &hdr, sizeof(hdr));
		echo_run(f->echo);
		expect_ignored(f, XENSTORE_ERROR_PROTO);
		gring_reconnect(&f->guest);
		echo_run(f->echo);
		expect_serving(f);
	}
}

static void the_error_field_is_written_only_when_it_was_offered(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ring_new(NULL, &f->port->base, 1,
				  map_page(f->port->page_fd), 3,
				  XENSTORE_SERVER_FEATURE_WATCHDEPTH, false,
				  &f->ring), 0);
	f->peer = echo_add(f->echo, f->ring, &f->limits);
	f->page->error = 99;
	f->page->req_prod = 5000;
	guest_kick(f->port);
	echo_run(f->echo);
	assert_true(conn_ignored(f->peer->conn));
	assert_int_equal(f->page->error, 99);
	assert_int_equal(f->page->server_features, 4);
}

static void a_lost_page_is_not_used_any_more(void **state)
{
	struct fixture *f = *state;

	introduce(f);
	f->port->page_bad = true;
	guest_kick(f->port);
	echo_run(f->echo);
	assert_true(conn_ignored(f->peer->conn));
	assert_string_equal(f->peer->why, "page lost");
}

/* ---- hostile threads ---------------------------------------------------- */

struct hostile {
	struct fixture *f;
	bool stop;
	bool everything;
};

static void *flip(void *arg)
{
	struct hostile *h = arg;
	struct xenstore_domain_interface *page = h->f->page;
	unsigned int seed = 1;

	while (!__atomic_load_n(&h->stop, __ATOMIC_RELAXED)) {
		uint32_t prod = page->req_prod;

		if (h->everything && rand_r(&seed) % 4 == 0)
			((char *)page)[rand_r(&seed) % 4096] = rand_r(&seed);
		__atomic_store_n(&page->req_prod, prod + 1024 +
				 rand_r(&seed) % 3000, __ATOMIC_RELAXED);
		__atomic_store_n(&page->req_prod, prod, __ATOMIC_RELAXED);
		if (rand_r(&seed) % 64 == 0)
			guest_kick(h->f->port);
		if (h->everything && rand_r(&seed) % 1000 == 0)
			gring_reconnect(&h->f->guest);
	}
	return NULL;
}

static void serve_while_flipping(struct fixture *f, bool everything)
{
	struct hostile h = { .f = f, .everything = everything };
	pthread_t thread;
	char buf[64];

	introduce(f);
	pthread_create(&thread, NULL, flip, &h);
	for (int i = 0; i < 20000; i++) {
		char back[256];

		message_make(buf, XS_READ, i, 8);
		if (f->page->req_prod - f->page->req_cons < 1000)
			gring_write(&f->guest, buf, 24);
		gring_read(&f->guest, back, sizeof(back));
		if (i % 100 == 0)
			conn_event(f->peer->conn, "/event", "t", NULL);
		guest_kick(f->port);
		echo_run(f->echo);
		if (conn_ignored(f->peer->conn))
			gring_reconnect(&f->guest);
	}
	__atomic_store_n(&h.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	gring_reconnect(&f->guest);
	echo_run(f->echo);
	echo_run(f->echo);
	if (!gring_connected(&f->guest)) {
		ring_scan(f->ring);
		echo_run(f->echo);
	}
	while (gring_read(&f->guest, buf, sizeof(buf)))
		;
	expect_serving(f);
}

/* XSA-38 (d) */
static void an_index_may_flip_while_it_is_served(void **state)
{
	serve_while_flipping(*state, false);
}

static void a_hostile_page_hurts_nobody(void **state)
{
	serve_while_flipping(*state, true);
}

/* ---- costs -------------------------------------------------------------- */

/* G6, O5 */
static void a_throttled_guest_kicks_for_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned int ticks;

	f->limits.hard[QUOTA_OUTSTANDING] = 1;
	introduce(f);
	f->peer->last = conn_flight(f->peer->conn);
	guest_says(f, XS_READ, 1, 8);
	guest_says(f, XS_READ, 2, 8);
	f->port->unmasked = 0;
	ticks = f->echo->ticks;
	for (int i = 0; i < 10; i++) {
		guest_kick(f->port);
		echo_run(f->echo);
	}
	/* A port that stays masked cannot fire again. */
	assert_int_equal(f->port->unmasked, 0);
	assert_int_equal(f->echo->ticks, ticks + 10);
	assert_int_equal(f->echo->served, 0);
	flight_unref(f->peer->last);
	echo_run(f->echo);
	assert_int_equal(f->port->unmasked, 1);
	guest_hears(f, XS_READ, 1, 8);
	guest_hears(f, XS_READ, 2, 8);
}

static const struct CMUnitTest tests[] = {
#define T(f) HARNESS_TEST(f, setup, teardown)
	T(any_traffic_gets_through),
	T(indices_may_wrap),
	T(a_full_reply_ring_is_waited_for),
	T(a_header_may_be_split_at_each_byte),
	T(a_completely_full_ring_is_served),
	T(room_is_given_back_only_after_the_commit),
	T(a_batch_is_one_notification),
	T(a_request_that_came_meanwhile_is_seen),
	T(introduction_makes_a_fresh_ring),
	T(a_request_made_before_introduction_is_served),
	T(a_port_that_cannot_be_bound_fails_the_introduction),
	T(another_introduction_starts_afresh),
	T(a_guest_that_does_not_kick_is_found_by_the_scan),
	T(a_guest_may_reconnect),
	T(a_reconnect_is_found_by_output_too),
	T(a_throttled_guest_may_reconnect),
	T(firmware_may_scrub_the_ring),
	T(half_a_scrub_is_given_time),
	T(impossible_indices_break_the_ring),
	T(an_oversized_message_breaks_the_ring),
	T(the_error_field_is_written_only_when_it_was_offered),
	T(a_lost_page_is_not_used_any_more),
	T(an_index_may_flip_while_it_is_served),
	T(a_hostile_page_hurts_nobody),
	T(a_throttled_guest_kicks_for_nothing),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
