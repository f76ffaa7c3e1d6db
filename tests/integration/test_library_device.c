/* SPDX-License-Identifier: MIT */
/*
 * The library on a character device instead of a socket: the slave of a
 * pseudo terminal stands in for /dev/xen/xenbus. Its master is served by a
 * relay to the daemon behind $XENSTORED_PATH, which insists on the kernel's
 * habits, or by the test itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include <xenstore.h>

#include "threads.h"

#define ROOT "/libdevtest"

/* The kernel's buffer for one message, header and payload. */
#define KERNEL_BUFFER 4096

#define assert_fails(call, err) do { \
	errno = 0; \
	assert_false(call); \
	assert_int_equal(errno, err); \
} while (0)

struct device {
	char *daemon;		/* path of its socket */
	int master, slave, sock;
	pthread_t down, up;
	atomic_bool too_long;
};

/* ---- what the library calls ---- */

static atomic_uint writes, odd_writes;

/* In place of libc's: the kernel wants a whole message in one writev(). */
ssize_t writev(int fd, const struct iovec *iov, int num)
{
	const struct xsd_sockmsg *hdr = iov[0].iov_base;
	size_t len = 0;
	int i;

	for (i = 0; i < num; i++)
		len += iov[i].iov_len;
	writes++;
	if (len != sizeof(*hdr) + hdr->len)
		odd_writes++;
	return syscall(SYS_writev, fd, iov, num);
}

/* ---- the stand-in ---- */

static void write_all(int fd, const char *buf, size_t len)
{
	ssize_t done;

	while (len) {
		done = write(fd, buf, len);
		if (done <= 0)
			return;
		buf += done;
		len -= done;
	}
}

/* Client to daemon, message by message. */
static void *relay_down(void *arg)
{
	struct device *dev = arg;
	char buf[65536 + 16];
	struct xsd_sockmsg hdr;
	size_t have = 0;
	ssize_t got;

	while ((got = read(dev->master, buf + have, sizeof(buf) - have)) > 0) {
		have += got;
		while (have >= sizeof(hdr)) {
			memcpy(&hdr, buf, sizeof(hdr));
			if (sizeof(hdr) + hdr.len > KERNEL_BUFFER)
				dev->too_long = true;
			if (have < sizeof(hdr) + hdr.len)
				break;
			write_all(dev->sock, buf, sizeof(hdr) + hdr.len);
			have -= sizeof(hdr) + hdr.len;
			memmove(buf, buf + sizeof(hdr) + hdr.len, have);
		}
	}
	return NULL;
}

static void *relay_up(void *arg)
{
	struct device *dev = arg;
	char buf[4096];
	ssize_t got;

	while ((got = read(dev->sock, buf, sizeof(buf))) > 0)
		write_all(dev->master, buf, got);
	return NULL;
}

static int make_terminal(void **state)
{
	struct device *dev = calloc(1, sizeof(*dev));
	struct termios raw;

	dev->daemon = strdup(getenv("XENSTORED_PATH"));
	dev->sock = -1;
	dev->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (dev->master < 0 || grantpt(dev->master) || unlockpt(dev->master))
		return -1;
	dev->slave = open(ptsname(dev->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (dev->slave < 0 || tcgetattr(dev->slave, &raw) < 0)
		return -1;
	cfmakeraw(&raw);
	tcsetattr(dev->slave, TCSANOW, &raw);
	setenv("XENSTORED_PATH", ptsname(dev->master), 1);
	*state = dev;
	return 0;
}

static int make_device(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct device *dev;

	if (make_terminal(state) < 0)
		return -1;
	dev = *state;
	strncpy(addr.sun_path, dev->daemon, sizeof(addr.sun_path) - 1);
	dev->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(dev->sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	pthread_create(&dev->down, NULL, relay_down, dev);
	pthread_create(&dev->up, NULL, relay_up, dev);
	return 0;
}

static int free_device(void **state)
{
	struct device *dev = *state;

	close(dev->slave);
	if (dev->sock >= 0) {
		/* The last slave that is closed is the end for a reader of
		 * master; a test that fails leaves one open. */
		pthread_cancel(dev->down);
		pthread_join(dev->down, NULL);
		shutdown(dev->sock, SHUT_RDWR);
		pthread_join(dev->up, NULL);
		close(dev->sock);
	}
	if (dev->master >= 0)
		close(dev->master);
	setenv("XENSTORED_PATH", dev->daemon, 1);
	free(dev->daemon);
	free(dev);
	return 0;
}

static struct xs_handle *open_handle(void)
{
	struct xs_handle *h = xs_open(0);

	assert_non_null(h);
	return h;
}

static void put(struct xs_handle *h, const char *path, const char *value)
{
	assert_true(xs_write(h, XBT_NULL, path, value, strlen(value)));
}

static bool polls_readable(struct xs_handle *h, int ms)
{
	struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void assert_next_event(struct xs_handle *h, const char *path)
{
	unsigned int num;
	char **event = xs_read_watch(h, &num);

	assert_non_null(event);
	assert_string_equal(event[XS_WATCH_PATH], path);
	free(event);
}

/* ---- tests ---- */

static void requests_work_through_the_device(void **state)
{
	struct xs_handle *h = open_handle();
	char bytes[256], *value, **names;
	unsigned int len, i;
	xs_transaction_t t;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_true(xs_write(h, XBT_NULL, ROOT "/bytes", bytes,
			     sizeof(bytes)));
	value = xs_read(h, XBT_NULL, ROOT "/bytes", &len);
	assert_non_null(value);
	assert_int_equal(len, sizeof(bytes));
	assert_memory_equal(value, bytes, len);
	free(value);
	names = xs_directory(h, XBT_NULL, ROOT, &len);
	assert_non_null(names);
	assert_int_equal(len, 1);
	free(names);
	assert_fails(xs_read(h, XBT_NULL, ROOT "/none", &len), ENOENT);
	t = xs_transaction_start(h);
	assert_true(xs_rm(h, t, ROOT "/bytes"));
	assert_true(xs_transaction_end(h, t, false));
	xs_close(h);
}

static void a_message_is_one_write_of_at_most_4096_bytes(void **state)
{
	struct device *dev = *state;
	struct xs_handle *h = open_handle();
	unsigned int room = KERNEL_BUFFER - 16 - sizeof(ROOT "/big");
	static char big[KERNEL_BUFFER];
	char *value;
	unsigned int len;

	writes = odd_writes = 0;
	memset(big, 'x', sizeof(big));
	assert_fails(xs_write(h, XBT_NULL, ROOT "/big", big, room + 1),
		     E2BIG);
	/* oxenstored takes no more than 2048 bytes of value. */
	if (!xs_write(h, XBT_NULL, ROOT "/big", big, room))
		assert_int_equal(errno, E2BIG);
	assert_true(xs_write(h, XBT_NULL, ROOT "/big", big, 2000));
	value = xs_read(h, XBT_NULL, ROOT "/big", &len);
	assert_non_null(value);
	assert_int_equal(len, 2000);
	free(value);
	assert_int_equal(writes, 3);
	assert_int_equal(odd_writes, 0);
	assert_false(dev->too_long);
	xs_close(h);
}

static void the_descriptor_polls_for_events(void **state)
{
	struct xs_handle *h = open_handle();
	int i;

	(void)state;
	assert_false(polls_readable(h, 0));
	assert_true(xs_watch(h, ROOT "/w", "t"));
	assert_true(polls_readable(h, 1000));
	assert_next_event(h, ROOT "/w");
	assert_false(polls_readable(h, 20));
	for (i = 0; i < 200; i++) {
		put(h, ROOT "/w", "1");
		assert_true(polls_readable(h, 1000));
		assert_next_event(h, ROOT "/w");
	}
	assert_false(polls_readable(h, 20));
	assert_true(xs_unwatch(h, ROOT "/w", "t"));
	xs_close(h);
}

struct noise {
	struct xs_handle *h;
	atomic_bool stop;
	atomic_uint done, failed;
};

static void *make_noise(void *arg)
{
	struct noise *noise = arg;

	while (!noise->stop) {
		if (!xs_write(noise->h, XBT_NULL, ROOT "/noise", "1", 1))
			noise->failed++;
		noise->done++;
	}
	return NULL;
}

static void poll_does_not_wake_for_replies(void **state)
{
	struct xs_handle *h = open_handle();
	struct noise noise = { .h = h };
	pthread_t thread[2];
	int i;

	(void)state;
	assert_true(xs_watch(h, ROOT "/w", "t"));
	assert_next_event(h, ROOT "/w");
	assert_false(polls_readable(h, 20));
	for (i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, make_noise, &noise);
	for (i = 0; i < 20; i++)
		assert_false(polls_readable(h, 10));
	for (i = 0; i < 20; i++) {
		put(h, ROOT "/w", "1");
		assert_true(polls_readable(h, 5000));
		assert_next_event(h, ROOT "/w");
	}
	noise.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(noise.failed, 0);
	assert_true(noise.done > 20);
	xs_close(h);
}

static void *wait_for_event(void *arg)
{
	unsigned int num;

	free(xs_read_watch(arg, &num));
	return (void *)(intptr_t)errno;
}

static void who_waits_can_be_cancelled_and_closed_upon(void **state)
{
	struct xs_handle *h = open_handle();
	pthread_t thread;
	void *result;

	(void)state;
	pthread_create(&thread, NULL, wait_for_event, h);
	await_others_asleep();
	put(h, ROOT "/x", "1");
	pthread_cancel(thread);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	put(h, ROOT "/x", "2");
	pthread_create(&thread, NULL, wait_for_event, h);
	await_others_asleep();
	xs_close(h);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, EINVAL);
}

static void half_an_event_blocks_no_check(void **state)
{
	struct device *dev = *state;
	struct xs_handle *h = open_handle();
	struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT, .len = 5 };
	char bytes[16 + 5];
	unsigned int i;
	char **event;

	memcpy(bytes, &hdr, 16);
	memcpy(bytes + 16, "/a\0t", 5);
	for (i = 0; i < sizeof(bytes); i++) {
		assert_fails(xs_check_watch(h), EAGAIN);
		assert_false(polls_readable(h, 0));
		write_all(dev->master, bytes + i, 1);
		assert_true(polls_readable(h, 5000));
	}
	event = xs_check_watch(h);
	assert_non_null(event);
	assert_string_equal(event[XS_WATCH_TOKEN], "t");
	free(event);
	xs_close(h);
}

static void the_end_of_the_device_wakes_everybody(void **state)
{
	struct device *dev = *state;
	struct xs_handle *h = open_handle();
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, wait_for_event, h);
	assert_false(polls_readable(h, 20));
	close(dev->master);
	dev->master = -1;
	assert_true(polls_readable(h, 5000));
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, EINVAL);
	assert_false(xs_write(h, XBT_NULL, "/a", "", 0));
	assert_fails(xs_check_watch(h), EINVAL);
	xs_close(h);
}

int main(void)
{
#define with_daemon(test) \
	cmocka_unit_test_setup_teardown(test, make_device, free_device)
#define by_hand(test) \
	cmocka_unit_test_setup_teardown(test, make_terminal, free_device)
	const struct CMUnitTest tests[] = {
		with_daemon(requests_work_through_the_device),
		with_daemon(a_message_is_one_write_of_at_most_4096_bytes),
		with_daemon(the_descriptor_polls_for_events),
		with_daemon(poll_does_not_wake_for_replies),
		with_daemon(who_waits_can_be_cancelled_and_closed_upon),
		by_hand(half_an_event_blocks_no_check),
		by_hand(the_end_of_the_device_wakes_everybody),
	};

	alarm(60);
	return cmocka_run_group_tests_name("library on a device", tests, NULL,
					   NULL);
}
