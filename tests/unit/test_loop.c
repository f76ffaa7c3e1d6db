/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"

struct seen {
	struct loop *loop;
	struct loop_fd *fd;
	unsigned int fired, events, ticks, busy, stop_at;
};

static void note(void *arg, unsigned int events)
{
	struct seen *seen = arg;

	seen->fired++;
	seen->events |= events;
}

static void note_timer(void *arg)
{
	note(arg, 0);
}

static bool tick(void *arg)
{
	struct seen *seen = arg;

	if (++seen->ticks >= seen->stop_at)
		loop_stop(seen->loop);
	return seen->ticks < seen->busy;
}

static int setup(void **state)
{
	struct seen *seen = talloc_zero(NULL, struct seen);

	assert_int_equal(loop_new(seen, &seen->loop), 0);
	seen->busy = 1000000;
	seen->stop_at = 3;
	*state = seen;
	return 0;
}

static int teardown(void **state)
{
	talloc_free(*state);
	return 0;
}

static void a_level_is_reported_in_every_pass_an_edge_once(void **state)
{
	struct seen *seen = *state;
	struct seen edge = { 0 };
	int level_fd = eventfd(1, EFD_NONBLOCK);
	int edge_fd = eventfd(1, EFD_NONBLOCK);
	struct loop_fd *a, *b;

	assert_int_equal(loop_fd_new(seen, seen->loop, level_fd, LOOP_READ,
				     note, seen, &a), 0);
	assert_int_equal(loop_fd_new_edge(seen, seen->loop, edge_fd, note,
					  &edge, &b), 0);
	loop_run(seen->loop, tick, seen);
	assert_int_equal(seen->fired, 3);
	assert_int_equal(edge.fired, 1);

	assert_int_equal(eventfd_write(edge_fd, 1), 0);
	seen->stop_at = 6;
	loop_run(seen->loop, tick, seen);
	assert_int_equal(edge.fired, 2);
	talloc_free(a);
	talloc_free(b);
	close(level_fd);
	close(edge_fd);
}

static void what_is_wanted_can_change(void **state)
{
	struct seen *seen = *state;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(loop_fd_new(seen, seen->loop, fds[0], 0, note, seen,
				     &seen->fd), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop_run(seen->loop, tick, seen);
	assert_int_equal(seen->fired, 0);

	loop_fd_want(seen->fd, LOOP_WRITE);
	seen->stop_at = 4;
	loop_run(seen->loop, tick, seen);
	assert_int_equal(seen->events, LOOP_WRITE);

	loop_fd_want(seen->fd, LOOP_READ | LOOP_WRITE);
	seen->stop_at = 5;
	loop_run(seen->loop, tick, seen);
	assert_int_equal(seen->events, LOOP_READ | LOOP_WRITE);
	TALLOC_FREE(seen->fd);
	close(fds[0]);
	close(fds[1]);
}

static void free_itself(void *arg, unsigned int events)
{
	struct seen *seen = arg;

	note(seen, events);
	TALLOC_FREE(seen->fd);
}

static void it_may_be_freed_in_its_callback(void **state)
{
	struct seen *seen = *state;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(loop_fd_new(seen, seen->loop, fds[0], LOOP_READ,
				     free_itself, seen, &seen->fd), 0);
	close(fds[1]);
	loop_run(seen->loop, tick, seen);
	assert_int_equal(seen->fired, 1);
	close(fds[0]);
}

static void a_timer_fires_once(void **state)
{
	struct seen *seen = *state;
	struct loop_timer *timer;
	uint64_t begin = loop_now(seen->loop);

	assert_int_equal(loop_timer_new(seen, seen->loop, note_timer, seen,
					&timer), 0);
	assert_false(loop_timer_armed(timer));
	loop_timer_set(timer, 30);
	assert_true(loop_timer_armed(timer));
	seen->busy = 0;
	seen->stop_at = 2;	/* the first look, then the timer */
	loop_run(seen->loop, tick, seen);
	assert_int_equal(seen->fired, 1);
	assert_false(loop_timer_armed(timer));
	assert_true(loop_now(seen->loop) >= begin + 29);
	usleep(2000);
	assert_true(loop_busy_us(seen->loop) >= 2000);

	loop_timer_set(timer, 5);
	loop_timer_cancel(timer);
	assert_false(loop_timer_armed(timer));
	talloc_free(timer);
}

static void a_signal_arrives_in_the_loop(void **state)
{
	struct seen *seen = *state;
	struct loop_signal *sig;

	assert_int_equal(loop_signal_new(seen, seen->loop, SIGUSR1, note_timer,
					 seen, &sig), 0);
	raise(SIGUSR1);
	assert_int_equal(seen->fired, 0);
	seen->busy = 0;
	seen->stop_at = 1;
	while (!seen->fired) {
		seen->ticks = 0;
		loop_run(seen->loop, tick, seen);
	}
	assert_int_equal(seen->fired, 1);
	talloc_free(sig);
}

static void an_idle_loop_does_not_wake(void **state)
{
	struct seen *seen = *state;
	struct loop_timer *timer;

	assert_int_equal(loop_timer_new(seen, seen->loop, note_timer, seen,
					&timer), 0);
	loop_timer_set(timer, 300);
	seen->busy = 0;
	seen->stop_at = 2;
	loop_run(seen->loop, tick, seen);
	/* Two passes: the first look, and the timer. */
	assert_int_equal(seen->fired, 1);
	talloc_free(timer);
}

static const struct CMUnitTest tests[] = {
#define T(f) HARNESS_TEST(f, setup, teardown)
	T(a_level_is_reported_in_every_pass_an_edge_once),
	T(what_is_wanted_can_change),
	T(it_may_be_freed_in_its_callback),
	T(a_timer_fires_once),
	T(a_signal_arrives_in_the_loop),
	T(an_idle_loop_does_not_wake),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
