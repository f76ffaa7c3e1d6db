/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/sock.h"
#include "unit/echo.h"

struct fixture {
	struct echo *echo;
	char dir[32];
	char path[64];
};

static int setup(void **state)
{
	struct fixture *f = talloc_zero(NULL, struct fixture);

	f->echo = echo_new(f);
	strcpy(f->dir, "/tmp/test_sock.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	talloc_free(f);
	return 0;
}

static struct sock_listener *listen_at(struct fixture *f)
{
	struct sock_listener *listener;

	assert_int_equal(sock_listen(f->echo, f->echo->loop, f->path,
				     echo_accepted, f->echo, &listener), 0);
	return listener;
}

static int try_listen(struct fixture *f, const char *path)
{
	struct sock_listener *listener = NULL;
	int err = sock_listen(f->echo, f->echo->loop, path, echo_accepted,
			      f->echo, &listener);

	talloc_free(listener);
	return err;
}

static int dial(struct fixture *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, f->path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static void expect_served(struct fixture *f, int fd)
{
	struct xsd_sockmsg hdr = { .type = XS_READ, .req_id = 7 }, back;

	assert_int_equal(write(fd, &hdr, sizeof(hdr)), sizeof(hdr));
	for (int i = 0; i < 100; i++) {
		if (read(fd, &back, sizeof(back)) == sizeof(back)) {
			assert_memory_equal(&back, &hdr, sizeof(hdr));
			return;
		}
		echo_run(f->echo);
	}
	fail_msg("no reply");
}

static void the_file_is_for_its_owner_only(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	mode_t mask = umask(0);

	listen_at(f);
	assert_int_equal(umask(mask), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_burst_of_clients_finds_room(void **state)
{
	struct fixture *f = *state;
	enum { N = 1500 };
	struct rlimit rl;
	static int fds[N];

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_cur < 2 * N + 100)
		skip();
	listen_at(f);
	for (int i = 0; i < N; i++) {
		fds[i] = dial(f);
		assert_true(fds[i] >= 0);
	}
	for (int i = 0; i < N; i++) {
		expect_served(f, fds[i]);
		close(fds[i]);
	}
	for (int i = 0; i < N && f->echo->count; i++)
		echo_run(f->echo);
	assert_int_equal(f->echo->count, 0);
}

static void a_path_that_is_served_is_refused(void **state)
{
	struct fixture *f = *state;
	int fd;

	listen_at(f);
	assert_int_equal(try_listen(f, f->path), -EADDRINUSE);
	/* The living one keeps it. */
	fd = dial(f);
	assert_true(fd >= 0);
	expect_served(f, fd);
	close(fd);
}

static void a_path_with_a_full_backlog_is_served_too(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), waiting[3];

	strcpy(addr.sun_path, f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 0), 0);
	for (int i = 0; i < 3; i++)
		waiting[i] = dial(f);
	assert_int_equal(waiting[2], -EAGAIN);
	assert_int_equal(try_listen(f, f->path), -EADDRINUSE);
	close(waiting[0]);
	close(fd);
}

static void a_stale_file_is_replaced(void **state)
{
	struct fixture *f = *state;
	int fd;

	talloc_free(listen_at(f));
	assert_int_equal(access(f->path, F_OK), 0);
	assert_int_equal(dial(f), -ECONNREFUSED);
	listen_at(f);
	fd = dial(f);
	assert_true(fd >= 0);
	expect_served(f, fd);
	close(fd);
}

static void another_kind_of_file_is_not_touched(void **state)
{
	struct fixture *f = *state;
	int fd = open(f->path, O_CREAT | O_WRONLY, 0600);

	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_int_equal(try_listen(f, f->path), -ENOTSOCK);
	assert_int_equal(access(f->path, F_OK), 0);
}

static void a_path_must_fit_into_an_address(void **state)
{
	struct fixture *f = *state;
	char path[200];

	memset(path, 'x', sizeof(path));
	memcpy(path, f->dir, strlen(f->dir));
	path[strlen(f->dir)] = '/';
	path[107] = 0;
	assert_int_equal(try_listen(f, path), 0);
	unlink(path);
	path[107] = 'x';
	path[108] = 0;
	assert_int_equal(try_listen(f, path), -ENAMETOOLONG);
	assert_int_equal(try_listen(f, "/nonexistent/socket"), -ENOENT);
}

static void an_inherited_listener_goes_on(void **state)
{
	struct fixture *f = *state;
	struct sock_listener *old = listen_at(f), *new;
	int kept = dup(sock_listener_fd(old)), fd = dial(f);

	talloc_free(old);
	assert_int_equal(sock_adopt_listener(f->echo, f->echo->loop, kept,
					     echo_accepted, f->echo, &new), 0);
	assert_int_equal(sock_listener_fd(new), kept);
	expect_served(f, fd);
	close(fd);
}

static bool first_tick_only(void *arg)
{
	struct echo *echo = arg;

	echo_tick(echo);
	return false;
}

static void running_out_of_descriptors_is_survived(void **state)
{
	struct fixture *f = *state;
	struct rlimit rl, low;
	struct loop_timer *timeout;
	int fds[8], served, top;

	if (harness_in_valgrind())	/* accepts, then pretends it has not */
		skip();
	listen_at(f);
	for (int i = 0; i < 8; i++)
		fds[i] = dial(f);
	assert_int_equal(loop_timer_new(f, f->echo->loop,
					(void (*)(void *))loop_stop,
					f->echo->loop, &timeout), 0);
	top = dup(fds[0]);
	close(top);
	getrlimit(RLIMIT_NOFILE, &rl);
	low = rl;
	low.rlim_cur = top + 3;		/* three clients find room */
	setrlimit(RLIMIT_NOFILE, &low);
	for (int i = 0; i < 3; i++)
		expect_served(f, fds[i]);

	/* It does not spin: the loop sleeps until the timeout. */
	loop_timer_set(timeout, 200);
	f->echo->ticks = 0;
	loop_run(f->echo->loop, first_tick_only, f->echo);
	assert_true(f->echo->ticks < 5);

	/* A client that leaves makes room at once. */
	close(fds[0]);
	fds[0] = -1;
	expect_served(f, fds[3]);
	setrlimit(RLIMIT_NOFILE, &rl);
	/* And after a while it tries again by itself. */
	loop_timer_set(timeout, 1300);
	loop_run(f->echo->loop, first_tick_only, f->echo);
	for (served = 4; served < 8; served++)
		expect_served(f, fds[served]);
	for (int i = 1; i < 8; i++)
		close(fds[i]);
}

static void a_reset_by_the_peer_is_its_end(void **state)
{
	struct fixture *f = *state;
	int fd;

	listen_at(f);
	for (int i = 0; i < 3; i++) {
		struct xsd_sockmsg hdr = { .type = XS_READ };

		fd = dial(f);
		assert_true(fd >= 0);
		/* Replies that nobody reads: the close becomes a reset. */
		for (int k = 0; k < 5; k++)
			assert_int_equal(write(fd, &hdr, sizeof(hdr)),
					 sizeof(hdr));
		while (f->echo->served < 5u * (i + 1))
			echo_run(f->echo);
		assert_int_equal(write(fd, &hdr, 7), 7);
		close(fd);
		for (int k = 0; k < 10 && f->echo->count; k++)
			echo_run(f->echo);
		assert_int_equal(f->echo->count, 0);
	}
}

static const struct CMUnitTest tests[] = {
#define T(f) HARNESS_TEST(f, setup, teardown)
	T(the_file_is_for_its_owner_only),
	T(a_burst_of_clients_finds_room),
	T(a_path_that_is_served_is_refused),
	T(a_path_with_a_full_backlog_is_served_too),
	T(a_stale_file_is_replaced),
	T(another_kind_of_file_is_not_touched),
	T(a_path_must_fit_into_an_address),
	T(an_inherited_listener_goes_on),
	T(running_out_of_descriptors_is_survived),
	T(a_reset_by_the_peer_is_its_end),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
