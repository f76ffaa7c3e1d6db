/* SPDX-License-Identifier: MIT */
/*
 * Everything that threads may do with handles, all at once.
 *
 *   library_stress steady SECONDS   the daemon lives: every request must
 *                                   succeed with its own answer, and every
 *                                   event must come exactly once
 *   library_stress dying SECONDS    somebody kills and restarts the daemon
 *                                   behind $XENSTORED_PATH meanwhile: errors
 *                                   are those documented, nobody hangs, and a
 *                                   handle that reconnects works at the end
 *
 * Prints TAP. SEED in the environment repeats a run's choices.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#define ROOT "/libstress"
#define COUNTED ROOT "/counted"
#define WATCH_TOKEN "counted"

static bool dying;
static atomic_bool stop;
static atomic_uint failures;
static atomic_uint requests, events, cancellations, opens;
static atomic_uint counted_written, counted_seen;

__attribute__((format(printf, 1, 2)))
static void complain(const char *fmt, ...)
{
	va_list ap;

	if (failures++ > 10)
		return;
	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
}

/* What may go wrong while the daemon dies and comes back. */
static bool is_excused(int err)
{
	switch (err) {
	case EBADF: case EINVAL: case ECONNRESET: case ETIMEDOUT:
	case ECONNREFUSED: case ENOENT:
		return dying;
	default:
		return false;
	}
}

static void nap(unsigned int us)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	usleep(us);
	pthread_setcancelstate(state, &state);
}

static void check(bool ok, const char *what)
{
	int err = errno;

	requests++;
	if (ok)
		return;
	if (!is_excused(err))
		complain("%s: %s", what, strerror(err));
	nap(1000);
}

static unsigned int seed(void)
{
	static atomic_uint next;
	const char *env = getenv("SEED");

	return (env ? atoi(env) : 1) * 1000 + next++;
}

/* ---- what a thread can do ---- */

/* Its own answers, not those of others. */
static void *write_and_read(void *arg)
{
	struct xs_handle *h = arg;
	unsigned int r = seed(), len;
	char path[64], want[40], *got;

	snprintf(path, sizeof(path), ROOT "/own-%u", r);
	while (!stop) {
		snprintf(want, sizeof(want), "%u-%u", r, rand_r(&r));
		if (!xs_write(h, XBT_NULL, path, want, strlen(want))) {
			check(false, "write");
			continue;
		}
		got = xs_read(h, XBT_NULL, path, &len);
		check(got, "read");
		if (got && !dying && strcmp(got, want))
			complain("read %s instead of %s", got, want);
		free(got);
	}
	return NULL;
}

static void *transact(void *arg)
{
	struct xs_handle *h = arg;
	unsigned int r = seed(), num;
	xs_transaction_t t;
	char path[64];

	while (!stop) {
		snprintf(path, sizeof(path), ROOT "/t/%u", rand_r(&r) % 4);
		t = xs_transaction_start(h);
		check(t, "transaction_start");
		if (!t)
			continue;
		free(xs_directory(h, t, ROOT "/t", &num));
		check(xs_write(h, t, path, "x", 1), "write in transaction");
		if (!xs_transaction_end(h, t, rand_r(&r) % 4 == 0) &&
		    errno != EAGAIN)
			check(false, "transaction_end");
	}
	return NULL;
}

static void *watch_and_unwatch(void *arg)
{
	struct xs_handle *h = arg;
	unsigned int r = seed();
	char token[32];

	snprintf(token, sizeof(token), "w-%u", r);
	while (!stop) {
		bool watched = xs_watch(h, ROOT "/w", token);

		check(watched, "watch");
		check(xs_write(h, XBT_NULL, ROOT "/w", "x", 1), "write");
		if (watched)
			check(xs_unwatch(h, ROOT "/w", token), "unwatch");
	}
	return NULL;
}

static void *write_counted(void *arg)
{
	struct xs_handle *h = arg;
	char path[64];

	while (!stop) {
		snprintf(path, sizeof(path), COUNTED "/%u", counted_written);
		if (xs_write(h, XBT_NULL, path, "", 0))
			counted_written++;
		else
			check(false, "write");
		nap(200);
	}
	return NULL;
}

static void count(char **event)
{
	events++;
	if (!strcmp(event[XS_WATCH_TOKEN], WATCH_TOKEN) &&
	    strcmp(event[XS_WATCH_PATH], COUNTED))
		counted_seen++;
	free(event);
}

static void *poll_for_events(void *arg)
{
	struct pollfd p = { .fd = xs_fileno(arg), .events = POLLIN };
	char **event;

	while (!stop) {
		if (poll(&p, 1, 100) != 1)
			continue;
		while ((event = xs_check_watch(arg)))
			count(event);
		if (errno == EAGAIN)
			continue;
		if (!is_excused(errno))
			complain("check_watch: %s", strerror(errno));
		return NULL;
	}
	return NULL;
}

static void *read_events(void *arg)
{
	unsigned int num;
	char **event;

	while ((event = xs_read_watch(arg, &num)))
		count(event);
	if (errno != EINVAL || !(dying || stop))
		complain("read_watch: %s", strerror(errno));
	return NULL;
}

static void *list(void *arg)
{
	unsigned int num;
	char **names;

	while (!stop) {
		names = xs_directory(arg, XBT_NULL, ROOT "/t", &num);
		check(names, "directory");
		free(names);
	}
	return NULL;
}

/* Threads that come to an early end. */
static void *cancel_others(void *arg)
{
	void *(*const kind[])(void *) = {
		read_events, write_and_read, list, read_events,
	};
	unsigned int r = seed(), i;
	pthread_t thread[4];

	while (!stop) {
		for (i = 0; i < 4; i++)
			pthread_create(&thread[i], NULL, kind[i], arg);
		nap(rand_r(&r) % 5000);
		for (i = 0; i < 4; i++) {
			pthread_cancel(thread[i]);
			pthread_join(thread[i], NULL);
			cancellations++;
		}
	}
	return NULL;
}

static void *read_one(void *arg)
{
	unsigned int num;

	free(xs_read_watch(arg, &num));
	return NULL;
}

/*
 * Handles that come and go. Their readers are cancelled before, because
 * nothing can tell that a thread is inside yet, as xs_close() allows.
 */
static void *open_and_close(void *arg)
{
	unsigned int r = seed();
	pthread_t reader, other;

	(void)arg;
	while (!stop) {
		struct xs_handle *h =
			xs_open(rand_r(&r) % 2 ? XS_UNWATCH_FILTER : 0);

		if (!h) {
			check(false, "open");
			continue;
		}
		opens++;
		xs_watch(h, ROOT "/w", "mine");
		pthread_create(&reader, NULL, read_one, h);
		pthread_create(&other, NULL, read_one, h);
		check(xs_write(h, XBT_NULL, ROOT "/w", "y", 1), "write");
		nap(rand_r(&r) % 2000);
		pthread_cancel(reader);
		pthread_cancel(other);
		pthread_join(reader, NULL);
		pthread_join(other, NULL);
		xs_close(h);
	}
	return NULL;
}

/* ---- all of it ---- */

typedef void *work(void *);

static work *const mix[] = {
	write_and_read, write_and_read, transact, watch_and_unwatch,
	watch_and_unwatch, poll_for_events, poll_for_events, read_events,
	cancel_others, open_and_close, list,
};
#define MIX (sizeof(mix) / sizeof(*mix))

struct crew {
	pthread_t thread[MIX];
};

static void crew_start(struct crew *crew, struct xs_handle *h)
{
	unsigned int i;

	for (i = 0; i < MIX; i++)
		pthread_create(&crew->thread[i], NULL, mix[i], h);
}

static void crew_join(struct crew *crew)
{
	unsigned int i;

	for (i = 0; i < MIX; i++) {
		if (mix[i] == read_events)
			pthread_cancel(crew->thread[i]);
		pthread_join(crew->thread[i], NULL);
	}
}

static struct xs_handle *prepare(unsigned long flags)
{
	struct xs_handle *h = xs_open(flags);

	if (!h || !xs_mkdir(h, XBT_NULL, ROOT "/t") ||
	    !xs_mkdir(h, XBT_NULL, COUNTED) ||
	    !xs_watch(h, COUNTED, WATCH_TOKEN)) {
		printf("Bail out! %s\n", strerror(errno));
		exit(1);
	}
	return h;
}

/* Takes what is queued, until nothing has come for so long. */
static void drain(struct xs_handle *h, int ms)
{
	struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };
	char **event;

	do {
		while ((event = xs_check_watch(h)))
			count(event);
	} while (errno == EAGAIN && poll(&p, 1, ms) == 1);
}

static void steady(unsigned int seconds)
{
	struct xs_handle *h = prepare(0), *other = xs_open(0);
	pthread_t writer;
	struct crew crew;

	pthread_create(&writer, NULL, write_counted, other);
	crew_start(&crew, h);
	sleep(seconds);
	stop = true;
	pthread_join(writer, NULL);
	crew_join(&crew);
	drain(h, 200);
	if (counted_seen != counted_written)
		complain("%u of %u events seen", counted_seen,
			 counted_written);
	xs_rm(h, XBT_NULL, ROOT);
	xs_close(other);
	xs_close(h);
}

/* Whether a handle that reconnects is of use again. */
static bool is_well(struct xs_handle *h)
{
	unsigned int before = counted_seen, tries;

	for (tries = 0; tries < 100; tries++) {
		drain(h, 100);
		if (counted_seen > before)
			return true;
		xs_write(h, XBT_NULL, COUNTED "/again", "", 0);
	}
	return false;
}

static void dying_daemon(unsigned int seconds)
{
	struct xs_handle *again = prepare(XS_OPEN_RECONNECT);
	struct xs_handle *plain = prepare(0);
	struct crew crew[2];

	crew_start(&crew[0], again);
	crew_start(&crew[1], plain);
	printf("ready\n");
	fflush(stdout);
	sleep(seconds);
	stop = true;
	crew_join(&crew[0]);
	crew_join(&crew[1]);
	/* Killed once more, for certain, and nobody else is inside. */
	printf("settle\n");
	fflush(stdout);
	if (getchar() != '\n')
		complain("nobody restarts the daemon");
	if (!is_well(again))
		complain("the handle did not reconnect: %s", strerror(errno));
	xs_rm(again, XBT_NULL, ROOT);
	xs_close(plain);
	xs_close(again);
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc == 3 ? atoi(argv[2]) : 0;

	if (!seconds) {
		fprintf(stderr, "usage: %s steady|dying SECONDS\n", argv[0]);
		return 2;
	}
	alarm(seconds * 3 + 60);
	dying = !strcmp(argv[1], "dying");
	if (dying)
		dying_daemon(seconds);
	else
		steady(seconds);
	printf("# %u requests, %u events, %u counted, %u cancellations, "
	       "%u handles\n", requests, events, counted_seen, cancellations,
	       opens);
	printf("%s - threads, cancellations and closes do not disturb each "
	       "other (%s daemon)\n", failures ? "not ok" : "ok", argv[1]);
	return failures != 0;
}
