/* SPDX-License-Identifier: MIT */
/*
 * xentoolcore_restrict_all() of Debian's libxentoolcore really cuts handles.
 * Linked once with the shared library and once with the archive.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <xenstore.h>
#include <xentoolcore.h>

#include "fake_server.h"
#include "threads.h"

#define assert_fails(call, err) do { \
	errno = 0; \
	assert_false(call); \
	assert_int_equal(errno, err); \
} while (0)

static bool polls_readable(struct xs_handle *h, int ms)
{
	struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void *wait_for_event(void *arg)
{
	unsigned int num;

	free(xs_read_watch(arg, &num));
	return (void *)(intptr_t)errno;
}

static void *wait_for_reply(void *arg)
{
	free(xs_read(arg, XBT_NULL, "/a", NULL));
	return (void *)(intptr_t)errno;
}

static void answer_once(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_WRITE);
	fake_ok(fake, XS_WRITE);
	fake_expect_end(fake);
	fake_signal(fake);
}

static void restriction_cuts_a_connection(unsigned long flags)
{
	struct fake *fake = fake_start(answer_once);
	struct xs_handle *h = xs_open(flags);
	pthread_t events, reply;
	void *result;

	assert_non_null(h);
	assert_true(xs_write(h, XBT_NULL, "/a", "", 0));
	assert_false(polls_readable(h, 0));
	pthread_create(&events, NULL, wait_for_event, h);
	pthread_create(&reply, NULL, wait_for_reply, h);
	await_others_asleep();

	assert_int_equal(xentoolcore_restrict_all(0), 0);

	fake_wait(fake);	/* the server has seen the end */
	pthread_join(events, &result);
	assert_int_equal((intptr_t)result, EINVAL);
	pthread_join(reply, &result);
	assert_int_equal((intptr_t)result, EBADF);
	assert_true(polls_readable(h, 0));
	assert_fails(xs_write(h, XBT_NULL, "/a", "", 0), EBADF);
	assert_fails(xs_check_watch(h), EINVAL);
	xs_close(h);
	fake_stop(fake);
	/* Nothing is left that a second time could stumble over. */
	assert_int_equal(xentoolcore_restrict_all(0), 0);
}

static void restriction_cuts_everybody_off(void **state)
{
	(void)state;
	restriction_cuts_a_connection(0);
}

static void a_restricted_handle_does_not_reconnect(void **state)
{
	(void)state;
	restriction_cuts_a_connection(XS_OPEN_RECONNECT);
}

static void answer_twice(struct fake *fake)
{
	fake_accept(fake);
	fake_expect(fake, XS_WRITE);
	fake_ok(fake, XS_WRITE);
	fake_expect(fake, XS_WRITE);
	fake_ok(fake, XS_WRITE);
	fake_expect_end(fake);
}

static void a_child_s_restriction_is_its_own(void **state)
{
	struct fake *fake = fake_start(answer_twice);
	struct xs_handle *h = xs_open(0);
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(h);
	assert_true(xs_write(h, XBT_NULL, "/a", "", 0));
	pid = fork();
	if (pid == 0)
		_exit(xentoolcore_restrict_all(0));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(xs_write(h, XBT_NULL, "/a", "", 0));
	xs_close(h);
	fake_stop(fake);
}

static void restriction_cuts_a_device(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct xs_handle *h;
	pthread_t events;
	void *result;

	(void)state;
	assert_true(master >= 0);
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	setenv("XENSTORED_PATH", ptsname(master), 1);
	h = xs_open(0);
	assert_non_null(h);
	assert_false(polls_readable(h, 0));
	pthread_create(&events, NULL, wait_for_event, h);
	usleep(30000);
	assert_int_equal(xentoolcore_restrict_all(0), 0);
	pthread_join(events, &result);
	assert_int_equal((intptr_t)result, EINVAL);
	assert_true(polls_readable(h, 0));
	assert_fails(xs_write(h, XBT_NULL, "/a", "", 0), EBADF);
	xs_close(h);
	close(master);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restriction_cuts_everybody_off),
		cmocka_unit_test(a_restricted_handle_does_not_reconnect),
		cmocka_unit_test(a_child_s_restriction_is_its_own),
		cmocka_unit_test(restriction_cuts_a_device),
	};

	alarm(60);
	return cmocka_run_group_tests_name("library and restriction", tests,
					   NULL, NULL);
}
