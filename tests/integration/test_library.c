/* SPDX-License-Identifier: MIT */
/*
 * The library against a daemon that serves $XENSTORED_PATH; $PEER_NAME says
 * which (peers.sh), because some can do less.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <xenstore.h>

#include "threads.h"

#define ROOT "/libtest"

static bool peer_is(const char *name)
{
	const char *peer = getenv("PEER_NAME");

	return peer && !strncmp(peer, name, strlen(name));
}

static struct xs_handle *open_handle(unsigned long flags)
{
	struct xs_handle *h = xs_open(flags);

	assert_non_null(h);
	return h;
}

static int clean(void **state)
{
	struct xs_handle *h = open_handle(0);

	(void)state;
	xs_rm(h, XBT_NULL, ROOT);
	xs_close(h);
	return 0;
}

static void put(struct xs_handle *h, const char *path, const char *value)
{
	assert_true(xs_write(h, XBT_NULL, path, value, strlen(value)));
}

static void assert_value(struct xs_handle *h, const char *path,
			 const char *value)
{
	unsigned int len;
	char *got = xs_read(h, XBT_NULL, path, &len);

	assert_non_null(got);
	assert_int_equal(len, strlen(value));
	assert_string_equal(got, value);
	free(got);
}

#define assert_fails(call, err) do { \
	errno = 0; \
	assert_false(call); \
	assert_int_equal(errno, err); \
} while (0)

static void assert_next_event(struct xs_handle *h, const char *path,
			      const char *token)
{
	unsigned int num;
	char **event = xs_read_watch(h, &num);

	assert_non_null(event);
	assert_int_equal(num, 2);
	assert_string_equal(event[XS_WATCH_PATH], path);
	assert_string_equal(event[XS_WATCH_TOKEN], token);
	free(event);
}

static void assert_no_event(struct xs_handle *h)
{
	assert_fails(xs_check_watch(h), EAGAIN);
}

static bool polls_readable(struct xs_handle *h, int ms)
{
	struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* ---- nodes ---- */

static void values_may_hold_any_bytes(void **state)
{
	struct xs_handle *h = open_handle(0);
	static const char bytes[] = "a\0b\xff\0";
	unsigned int len;
	char *got;

	(void)state;
	assert_true(xs_write(h, XBT_NULL, ROOT "/bin", bytes, sizeof(bytes)));
	got = xs_read(h, XBT_NULL, ROOT "/bin", &len);
	assert_non_null(got);
	assert_int_equal(len, sizeof(bytes));
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(got[len], 0);
	free(got);

	assert_true(xs_write(h, XBT_NULL, ROOT "/empty", NULL, 0));
	got = xs_read(h, XBT_NULL, ROOT "/empty", NULL);
	assert_non_null(got);
	assert_string_equal(got, "");
	free(got);
	xs_close(h);
}

static void errors_of_the_daemon_come_as_errno(void **state)
{
	struct xs_handle *h = open_handle(0);
	unsigned int num;

	(void)state;
	assert_fails(xs_read(h, XBT_NULL, ROOT "/none", NULL), ENOENT);
	assert_fails(xs_directory(h, XBT_NULL, ROOT "/none", &num), ENOENT);
	assert_fails(xs_get_permissions(h, XBT_NULL, ROOT "/none", &num),
		     ENOENT);
	assert_fails(xs_write(h, XBT_NULL, "bad//path", "", 0), EINVAL);
	assert_fails(xs_rm(h, XBT_NULL, ROOT "/no/such/node"), ENOENT);
	xs_close(h);
}

static void too_long_a_request_is_not_sent(void **state)
{
	struct xs_handle *h = open_handle(0);
	static char big[XENSTORE_PAYLOAD_MAX + 1];
	unsigned int room = XENSTORE_PAYLOAD_MAX - sizeof(ROOT "/big");
	unsigned int len;
	char *got;

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_fails(xs_write(h, XBT_NULL, ROOT "/big", big, room + 1),
		     E2BIG);
	assert_fails(xs_write(h, XBT_NULL, ROOT "/big", big, UINT_MAX),
		     E2BIG);
	if (!peer_is("ox")) {
		assert_true(xs_write(h, XBT_NULL, ROOT "/big", big, room));
		got = xs_read(h, XBT_NULL, ROOT "/big", &len);
		assert_non_null(got);
		assert_int_equal(len, room);
		free(got);
	}
	put(h, ROOT "/after", "1");
	xs_close(h);
}

static void an_empty_directory_is_an_empty_array(void **state)
{
	struct xs_handle *h = open_handle(0);
	unsigned int num = 99;
	char **names;

	(void)state;
	assert_true(xs_mkdir(h, XBT_NULL, ROOT "/dir"));
	names = xs_directory(h, XBT_NULL, ROOT "/dir", &num);
	assert_non_null(names);
	assert_int_equal(num, 0);
	free(names);
	xs_close(h);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void a_directory_of_any_size_is_listed(void **state)
{
	struct xs_handle *h = open_handle(0);
	char path[64], name[32];
	unsigned int i, num;
	char **names;

	(void)state;
	if (peer_is("ox")) {
		xs_close(h);
		skip();		/* has no DIRECTORY_PART */
	}
	for (i = 0; i < 900; i++) {
		snprintf(path, sizeof(path), ROOT "/many/child-%04u", i);
		put(h, path, "");
	}
	names = xs_directory(h, XBT_NULL, ROOT "/many", &num);
	assert_non_null(names);
	assert_int_equal(num, 900);
	qsort(names, num, sizeof(*names), by_name);
	for (i = 0; i < num; i++) {
		snprintf(name, sizeof(name), "child-%04u", i);
		assert_string_equal(names[i], name);
	}
	free(names);
	xs_close(h);
}

static void permissions_can_be_set_and_got(void **state)
{
	struct xs_permissions set[] = {
		{ 0, XS_PERM_NONE }, { 5, XS_PERM_READ },
		{ 7, XS_PERM_WRITE | XS_PERM_IGNORE },
		{ 9, XS_PERM_READ | XS_PERM_WRITE },
	}, bad = { 0, XS_PERM_ENOENT_OK }, *got;
	struct xs_handle *h = open_handle(0);
	unsigned int i, num;

	(void)state;
	put(h, ROOT "/perms", "");
	assert_true(xs_set_permissions(h, XBT_NULL, ROOT "/perms", set, 4));
	got = xs_get_permissions(h, XBT_NULL, ROOT "/perms", &num);
	assert_non_null(got);
	assert_int_equal(num, 4);
	for (i = 0; i < num; i++) {
		assert_int_equal(got[i].id, set[i].id);
		assert_int_equal(got[i].perms, set[i].perms & 3);
	}
	free(got);
	assert_fails(xs_set_permissions(h, XBT_NULL, ROOT "/perms", &bad, 1),
		     EINVAL);
	xs_close(h);
}

/* ---- transactions ---- */

static void a_transaction_takes_effect_at_its_end(void **state)
{
	struct xs_handle *h = open_handle(0), *other = open_handle(0);
	xs_transaction_t t = xs_transaction_start(h);

	(void)state;
	assert_int_not_equal(t, XBT_NULL);
	assert_true(xs_write(h, t, ROOT "/t", "new", 3));
	assert_fails(xs_read(other, XBT_NULL, ROOT "/t", NULL), ENOENT);
	assert_true(xs_transaction_end(h, t, false));
	assert_value(other, ROOT "/t", "new");

	t = xs_transaction_start(h);
	assert_true(xs_rm(h, t, ROOT "/t"));
	assert_true(xs_transaction_end(h, t, true));
	assert_value(other, ROOT "/t", "new");
	xs_close(other);
	xs_close(h);
}

static void interference_with_a_transaction_is_EAGAIN(void **state)
{
	struct xs_handle *h = open_handle(0), *other = open_handle(0);
	xs_transaction_t t;

	(void)state;
	put(h, ROOT "/t", "1");
	t = xs_transaction_start(h);
	free(xs_read(h, t, ROOT "/t", NULL));
	put(other, ROOT "/t", "2");
	assert_true(xs_write(h, t, ROOT "/t", "3", 1));
	assert_fails(xs_transaction_end(h, t, false), EAGAIN);
	assert_value(h, ROOT "/t", "2");
	xs_close(other);
	xs_close(h);
}

/* ---- watches ---- */

static void a_watch_tells_of_changes(void **state)
{
	struct xs_handle *h = open_handle(0), *other = open_handle(0);

	(void)state;
	assert_true(xs_watch(h, ROOT "/w", "token"));
	assert_next_event(h, ROOT "/w", "token");
	assert_no_event(h);
	assert_fails(xs_watch(h, ROOT "/w", "token"), EEXIST);
	put(other, ROOT "/w/below", "");
	assert_next_event(h, ROOT "/w/below", "token");
	assert_true(xs_unwatch(h, ROOT "/w", "token"));
	assert_fails(xs_unwatch(h, ROOT "/w", "token"), ENOENT);
	put(other, ROOT "/w/below", "x");
	assert_no_event(h);
	xs_close(other);
	xs_close(h);
}

static void stale_events_are_filtered_if_asked_for(void **state)
{
	struct xs_handle *plain = open_handle(0);
	struct xs_handle *filter = open_handle(XS_UNWATCH_FILTER);

	(void)state;
	assert_true(xs_watch(plain, ROOT "/f", "t"));
	put(plain, ROOT "/f/a", "");
	assert_true(xs_unwatch(plain, ROOT "/f", "t"));
	assert_next_event(plain, ROOT "/f", "t");
	assert_next_event(plain, ROOT "/f/a", "t");

	assert_true(xs_watch(filter, ROOT "/f", "t"));
	assert_true(xs_watch(filter, ROOT "/f", "other"));
	assert_true(xs_watch(filter, "/", "t"));
	put(filter, ROOT "/f/b", "");
	assert_true(polls_readable(filter, 0));
	assert_true(xs_unwatch(filter, "/", "t"));
	assert_true(xs_unwatch(filter, ROOT "/f", "t"));
	assert_next_event(filter, ROOT "/f", "other");
	assert_next_event(filter, ROOT "/f/b", "other");
	assert_no_event(filter);
	assert_true(xs_unwatch(filter, ROOT "/f", "other"));
	assert_false(polls_readable(filter, 20));
	xs_close(filter);
	xs_close(plain);
}

static void the_descriptor_is_readable_while_there_are_events(void **state)
{
	struct xs_handle *h = open_handle(0), *other = open_handle(0);

	(void)state;
	assert_true(xs_fileno(h) >= 0);
	assert_int_equal(xs_fileno(h), xs_fileno(h));
	assert_false(polls_readable(h, 0));
	assert_true(xs_watch(h, ROOT "/p", "t"));
	assert_true(polls_readable(h, 1000));
	assert_next_event(h, ROOT "/p", "t");
	assert_false(polls_readable(h, 20));
	/* Arrives in front of a reply, and is queued by it. */
	put(h, ROOT "/p", "1");
	put(h, ROOT "/p/2", "1");
	if (!peer_is("ox"))
		assert_true(polls_readable(h, 0));
	assert_next_event(h, ROOT "/p", "t");
	assert_true(polls_readable(h, 1000));
	assert_next_event(h, ROOT "/p/2", "t");
	assert_false(polls_readable(h, 20));
	/* Comes by itself. */
	put(other, ROOT "/p/3", "1");
	assert_true(polls_readable(h, 1000));
	assert_next_event(h, ROOT "/p/3", "t");
	assert_false(polls_readable(h, 20));
	xs_close(other);
	xs_close(h);
}

static void events_before_xs_fileno_show_in_it(void **state)
{
	struct xs_handle *h = open_handle(0);

	(void)state;
	assert_true(xs_watch(h, ROOT "/p", "t"));
	assert_true(xs_watch(h, ROOT "/p", "u"));
	assert_true(polls_readable(h, 1000));
	assert_next_event(h, ROOT "/p", "t");
	assert_true(polls_readable(h, 1000));
	assert_next_event(h, ROOT "/p", "u");
	assert_false(polls_readable(h, 20));
	xs_close(h);
}

static void a_depth_limits_a_watch_where_it_can(void **state)
{
	struct xs_handle *h = open_handle(0);
	unsigned int features;

	(void)state;
	if (!xs_get_features_supported(h, &features)) {
		assert_int_equal(errno, peer_is("ours") ? -1 : ENOSYS);
		assert_fails(xs_watch_depth(h, ROOT "/d", "t", 1), ENOSYS);
		assert_true(xs_watch_try_depth(h, ROOT "/d", "t", 1));
		assert_next_event(h, ROOT "/d", "t");
	} else {
		assert_true(features & XENSTORE_SERVER_FEATURE_WATCHDEPTH);
		assert_true(xs_watch_depth(h, ROOT "/d", "t", 1));
		assert_next_event(h, ROOT "/d", "t");
		put(h, ROOT "/d/a", "");
		put(h, ROOT "/d/a/b", "");
		put(h, ROOT "/d/c", "");
		assert_next_event(h, ROOT "/d/a", "t");
		assert_next_event(h, ROOT "/d/c", "t");
		assert_no_event(h);
	}
	xs_close(h);
}

/* ---- threads ---- */

struct noise {
	struct xs_handle *h;
	atomic_bool stop;
	atomic_uint done, failed;
};

static void *make_noise(void *arg)
{
	struct noise *noise = arg;

	while (!noise->stop) {
		void *value = xs_read(noise->h, XBT_NULL, ROOT "/noise", NULL);

		if (!value)
			noise->failed++;
		free(value);
		noise->done++;
	}
	return NULL;
}

#define EVENTS 300

/*
 * As QEMU and xenconsoled do it: poll(), then a read that may block, while
 * other threads make requests on the same handle.
 */
static void poll_wakes_for_events_and_not_for_replies(void **state)
{
	struct xs_handle *h = open_handle(0), *other = open_handle(0);
	struct noise noise = { .h = h };
	pthread_t thread[2];
	char path[64];
	int i;

	(void)state;
	put(h, ROOT "/noise", "value");
	assert_true(xs_watch(h, ROOT "/e", "t"));
	assert_next_event(h, ROOT "/e", "t");
	assert_false(polls_readable(h, 0));
	for (i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, make_noise, &noise);
	for (i = 0; i < EVENTS; i++) {
		snprintf(path, sizeof(path), ROOT "/e/%d", i);
		assert_true(xs_write(other, XBT_NULL, path, "", 0));
		if (i == 0)
			assert_true(polls_readable(h, 5000));
		while (polls_readable(h, i % 3 ? 0 : 5000)) {
			unsigned int num;
			char **event = xs_read_watch(h, &num);

			assert_non_null(event);
			/* The parent is reported when it is made. */
			if (!strcmp(event[0], path)) {
				free(event);
				break;
			}
			free(event);
		}
	}
	/* No events from here on: none may be pretended. */
	for (i = 0; i < EVENTS && polls_readable(h, 300); i++) {
		char **event = xs_check_watch(h);

		if (!event)
			assert_int_equal(errno, EAGAIN);
		free(event);
	}
	assert_in_range(i, 0, EVENTS - 1);
	for (i = 0; i < 50; i++)
		assert_false(polls_readable(h, 10));
	noise.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(noise.failed, 0);
	assert_true(noise.done > 100);
	xs_close(other);
	xs_close(h);
}

static void *read_one_event(void *arg)
{
	unsigned int num;
	char **event = xs_read_watch(arg, &num);

	if (!event)
		return (void *)(intptr_t)errno;
	free(event);
	return NULL;
}

static void a_blocked_reader_serves_the_requests_of_others(void **state)
{
	struct xs_handle *h = open_handle(0);
	pthread_t thread;
	void *result;
	int i;

	(void)state;
	assert_true(xs_watch(h, ROOT "/b", "t"));
	assert_next_event(h, ROOT "/b", "t");
	pthread_create(&thread, NULL, read_one_event, h);
	await_others_asleep();
	for (i = 0; i < 100; i++)
		put(h, ROOT "/elsewhere", "1");
	put(h, ROOT "/b", "1");
	pthread_join(thread, &result);
	assert_null(result);
	put(h, ROOT "/elsewhere", "2");
	xs_close(h);
}

static void one_of_many_waiting_threads_gets_an_event(void **state)
{
	struct xs_handle *h = open_handle(0), *other = open_handle(0);
	pthread_t thread[8];
	char path[64];
	void *result;
	int i;

	(void)state;
	assert_true(xs_watch(h, ROOT "/m", "t"));
	assert_next_event(h, ROOT "/m", "t");
	put(other, ROOT "/m", "");
	assert_next_event(h, ROOT "/m", "t");
	for (i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, read_one_event, h);
	for (i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), ROOT "/m/%d", i);
		put(other, path, "");
	}
	for (i = 0; i < 8; i++) {
		pthread_join(thread[i], &result);
		assert_null(result);
	}
	assert_no_event(h);
	xs_close(other);
	xs_close(h);
}

static void a_cancelled_reader_hands_the_role_on(void **state)
{
	struct xs_handle *h = open_handle(0);
	pthread_t first, second;
	void *result;
	int round;

	(void)state;
	assert_true(xs_watch(h, ROOT "/c", "t"));
	assert_next_event(h, ROOT "/c", "t");
	for (round = 0; round < 20; round++) {
		pthread_create(&first, NULL, read_one_event, h);
		pthread_create(&second, NULL, read_one_event, h);
		usleep(round * 500);
		pthread_cancel(first);
		pthread_join(first, &result);
		assert_ptr_equal(result, PTHREAD_CANCELED);
		put(h, ROOT "/c", "1");
		pthread_join(second, &result);
		assert_null(result);
	}
	assert_no_event(h);
	put(h, ROOT "/elsewhere", "2");
	xs_close(h);
}

static void *make_noise_until_cancelled(void *arg)
{
	struct xs_handle *h = arg;
	unsigned int num;

	for (;;) {
		free(xs_read(h, XBT_NULL, ROOT "/noise", NULL));
		free(xs_directory(h, XBT_NULL, ROOT, &num));
		pthread_testcancel();
	}
	return NULL;
}

static void cancelled_requests_leave_the_handle_in_order(void **state)
{
	struct xs_handle *h = open_handle(0);
	pthread_t thread[3];
	char text[16];
	int round, i;

	(void)state;
	put(h, ROOT "/noise", "value");
	for (round = 0; round < 30; round++) {
		for (i = 0; i < 3; i++)
			pthread_create(&thread[i], NULL,
				       make_noise_until_cancelled, h);
		usleep(round * 50);
		for (i = 0; i < 3; i++)
			pthread_cancel(thread[i]);
		snprintf(text, sizeof(text), "%d", round);
		put(h, ROOT "/own", text);
		assert_value(h, ROOT "/own", text);
		for (i = 0; i < 3; i++)
			pthread_join(thread[i], NULL);
	}
	xs_close(h);
}

static void *announce_and_read(void *arg)
{
	struct noise *noise = arg;

	noise->done++;
	return read_one_event(noise->h);
}

static void close_wakes_those_who_wait(void **state)
{
	struct xs_handle *h = open_handle(0);
	struct noise noise = { .h = h };
	pthread_t thread[3];
	void *result;
	int i;

	(void)state;
	assert_true(xs_watch(h, ROOT "/c", "t"));
	assert_next_event(h, ROOT "/c", "t");
	for (i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, announce_and_read, &noise);
	while (noise.done < 3 || !others_sleep())
		usleep(1000);
	xs_close(h);
	for (i = 0; i < 3; i++) {
		pthread_join(thread[i], &result);
		assert_int_equal((intptr_t)result, EINVAL);
	}
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void signals_disturb_nothing(void **state)
{
	struct sigaction act = { .sa_handler = on_alarm };	/* no restart */
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { 0 };
	struct xs_handle *h = open_handle(0);
	int i;

	(void)state;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_true(xs_watch(h, ROOT "/s", "t"));
	assert_next_event(h, ROOT "/s", "t");
	for (i = 0; i < 2000; i++) {
		put(h, ROOT "/s", "1");
		assert_next_event(h, ROOT "/s", "t");
	}
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	xs_close(h);
}

/* ---- processes ---- */

/* Open descriptors; with only_inherited those that survive exec(). */
static unsigned int count_fds(bool only_inherited)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned int num = 0;

	while ((entry = readdir(dir)))
		if (*entry->d_name != '.' &&
		    !(only_inherited &&
		      (fcntl(atoi(entry->d_name), F_GETFD) & FD_CLOEXEC)))
			num++;
	closedir(dir);
	return num;
}

static void descriptors_close_on_exec_and_with_the_handle(void **state)
{
	unsigned int before = count_fds(false), kept = count_fds(true);
	struct xs_handle *h = open_handle(XS_OPEN_RECONNECT);

	(void)state;
	assert_true(xs_fileno(h) >= 0);
	assert_true(count_fds(false) > before);
	assert_int_equal(count_fds(true), kept);
	xs_close(h);
	assert_int_equal(count_fds(false), before);
	xs_close(NULL);
}

static void a_forked_child_closes_without_effect(void **state)
{
	struct xs_handle *h = open_handle(0);
	unsigned int before, after;
	int status, i;
	pid_t pid;

	(void)state;
	assert_true(xs_watch(h, ROOT "/k", "t"));
	assert_next_event(h, ROOT "/k", "t");
	assert_false(polls_readable(h, 0));
	for (i = 0; i < 2; i++) {
		pid = fork();
		if (pid == 0) {
			before = count_fds(false);
			if (i)
				xs_close(h);
			else
				xs_daemon_destroy_postfork(h);
			after = count_fds(false);
			_exit(after < before ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		put(h, ROOT "/k", "1");
		assert_true(polls_readable(h, 1000));
		assert_next_event(h, ROOT "/k", "t");
		assert_false(polls_readable(h, 20));
	}
	xs_close(h);
}

/* ---- the rest ---- */

static void domains_and_control_reach_the_daemon(void **state)
{
	struct xs_handle *h = open_handle(0);
	char *text;

	(void)state;
	text = xs_get_domain_path(h, 7);
	assert_non_null(text);
	assert_string_equal(text, "/local/domain/7");
	free(text);
	assert_false(xs_is_domain_introduced(h, 77));
	assert_false(xs_introduce_domain(h, 77, 1, 0));
	assert_false(xs_release_domain(h, 77));
	assert_false(xs_resume_domain(h, 77));
	assert_false(xs_set_target(h, 77, 78));
	assert_false(xs_restrict(h, 1));
	text = xs_control_command(h, "print", (void *)"x", 2);
	assert_non_null(text);
	free(text);
	text = xs_debug_command(h, "print", (void *)"x", 2);
	assert_non_null(text);
	free(text);
	xs_close(h);
}

static void the_suspend_port_is_read(void **state)
{
	const char *path = "/local/domain/66/device/suspend/event-channel";
	struct xs_handle *h = open_handle(0);

	(void)state;
	assert_int_equal(xs_suspend_evtchn_port(66), -1);
	put(h, path, "");
	assert_int_equal(xs_suspend_evtchn_port(66), -1);
	put(h, path, "12");
	assert_int_equal(xs_suspend_evtchn_port(66), 12);
	xs_rm(h, XBT_NULL, "/local/domain/66");
	xs_close(h);
}

static void quotas_and_features_where_there_are_any(void **state)
{
	struct xs_handle *h = open_handle(0);
	unsigned int num, value, i;
	const char **names;
	bool nodes = false;

	(void)state;
	names = xs_get_quota_names(h, &num);
	if (!names) {
		assert_false(peer_is("ours"));
		assert_int_equal(errno, ENOSYS);
		assert_fails(xs_get_features_domain(h, 0, &value), ENOSYS);
		assert_fails(xs_set_features_domain(h, 5, 0), ENOSYS);
		assert_fails(xs_get_global_quota(h, "nodes", &value), ENOSYS);
		assert_fails(xs_set_global_quota(h, "nodes", 1), ENOSYS);
		assert_fails(xs_get_domain_quota(h, 5, "nodes", &value),
			     ENOSYS);
		assert_fails(xs_set_domain_quota(h, 5, "nodes", 1), ENOSYS);
		xs_close(h);
		return;
	}
	for (i = 0; i < num; i++) {
		assert_true(xs_get_global_quota(h, names[i], &value));
		nodes |= !strcmp(names[i], "nodes");
	}
	assert_true(nodes);
	free(names);
	assert_true(xs_get_global_quota(h, "nodes", &value));
	assert_true(xs_set_global_quota(h, "nodes", value + 1));
	assert_true(xs_get_global_quota(h, "nodes", &num));
	assert_int_equal(num, value + 1);
	assert_true(xs_set_global_quota(h, "nodes", value));
	assert_fails(xs_get_global_quota(h, "nonsense", &value), EINVAL);
	xs_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_may_hold_any_bytes),
		cmocka_unit_test(errors_of_the_daemon_come_as_errno),
		cmocka_unit_test(too_long_a_request_is_not_sent),
		cmocka_unit_test(an_empty_directory_is_an_empty_array),
		cmocka_unit_test(a_directory_of_any_size_is_listed),
		cmocka_unit_test(permissions_can_be_set_and_got),
		cmocka_unit_test(a_transaction_takes_effect_at_its_end),
		cmocka_unit_test(interference_with_a_transaction_is_EAGAIN),
		cmocka_unit_test(a_watch_tells_of_changes),
		cmocka_unit_test(stale_events_are_filtered_if_asked_for),
		cmocka_unit_test(
			the_descriptor_is_readable_while_there_are_events),
		cmocka_unit_test(events_before_xs_fileno_show_in_it),
		cmocka_unit_test(a_depth_limits_a_watch_where_it_can),
		cmocka_unit_test(poll_wakes_for_events_and_not_for_replies),
		cmocka_unit_test(
			a_blocked_reader_serves_the_requests_of_others),
		cmocka_unit_test(one_of_many_waiting_threads_gets_an_event),
		cmocka_unit_test(a_cancelled_reader_hands_the_role_on),
		cmocka_unit_test(cancelled_requests_leave_the_handle_in_order),
		cmocka_unit_test(close_wakes_those_who_wait),
		cmocka_unit_test(signals_disturb_nothing),
		cmocka_unit_test(
			descriptors_close_on_exec_and_with_the_handle),
		cmocka_unit_test(a_forked_child_closes_without_effect),
		cmocka_unit_test(domains_and_control_reach_the_daemon),
		cmocka_unit_test(the_suspend_port_is_read),
		cmocka_unit_test(quotas_and_features_where_there_are_any),
	};

	alarm(120);
	return cmocka_run_group_tests_name("library", tests, clean, clean);
}
