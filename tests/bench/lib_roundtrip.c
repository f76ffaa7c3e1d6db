/* SPDX-License-Identifier: MIT */
/*
 * What a request costs through libxenstore.so.4, whichever library the loader
 * finds under that name: wall clock and the process's CPU time.
 *
 *   lib_roundtrip CASE SECONDS
 *
 * CASE: plain      read a node, over and over
 *       watch      the same with a watch set, as most users have one
 *       poll       the same with xs_fileno() in use, too, by a second thread
 *       event      write below a watch, poll(), read the event
 *       threads    four threads read, with a watch set
 * Prints: CASE, microseconds a round, CPU microseconds a round, rounds.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <xenstore.h>

#define NODE "/lib_roundtrip"

static struct xs_handle *h;
static atomic_bool stop;
static atomic_ulong rounds;

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void *read_node(void *arg)
{
	unsigned int len;
	void *value;

	(void)arg;
	while (!stop) {
		value = xs_read(h, XBT_NULL, NODE, &len);
		must(value, "xs_read");
		free(value);
		rounds++;
	}
	return NULL;
}

static void *write_and_see(void *arg)
{
	struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };
	unsigned int num;
	char **event;

	(void)arg;
	while (!stop) {
		must(xs_write(h, XBT_NULL, NODE "/w", "x", 1), "xs_write");
		must(poll(&p, 1, -1) == 1, "poll");
		event = xs_read_watch(h, &num);
		must(event, "xs_read_watch");
		free(event);
		rounds++;
	}
	return NULL;
}

/* As a main loop would, of events that never come. */
static void *poll_only(void *arg)
{
	struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };

	(void)arg;
	while (!stop)
		poll(&p, 1, 100);
	return NULL;
}

int main(int argc, char **argv)
{
	const char *name = argc == 3 ? argv[1] : "";
	bool many = !strcmp(name, "threads"), polled = !strcmp(name, "poll");
	void *(*work)(void *) = strcmp(name, "event") ? read_node :
							write_and_see;
	unsigned int i, num = many ? 4 : 1;
	double wall, cpu;
	pthread_t thread[4], poller;
	unsigned long done;
	struct timespec span = { 0 };

	if (argc != 3) {
		fprintf(stderr, "usage: %s plain|watch|poll|event|threads "
			"SECONDS\n", argv[0]);
		return 2;
	}
	h = xs_open(0);
	must(h, "xs_open");
	must(xs_write(h, XBT_NULL, NODE, "0123456789abcdef", 16), "xs_write");
	if (strcmp(name, "plain")) {
		must(xs_watch(h, NODE "/w", "token"), "xs_watch");
		free(xs_read_watch(h, &num));
		num = many ? 4 : 1;
	}
	if (polled)
		pthread_create(&poller, NULL, poll_only, NULL);
	for (i = 0; i < num; i++)
		pthread_create(&thread[i], NULL, work, NULL);
	span.tv_nsec = 100000000;
	nanosleep(&span, NULL);

	done = rounds;
	wall = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	span.tv_sec = atof(argv[2]);
	span.tv_nsec = (atof(argv[2]) - span.tv_sec) * 1e9;
	nanosleep(&span, NULL);
	done = rounds - done;
	wall = now(CLOCK_MONOTONIC) - wall;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;

	stop = true;
	for (i = 0; i < num; i++)
		pthread_join(thread[i], NULL);
	if (polled)
		pthread_join(poller, NULL);
	xs_rm(h, XBT_NULL, NODE);
	xs_close(h);
	printf("%s %.2f %.2f %lu\n", name, wall / done * 1e6,
	       cpu / done * 1e6, done);
	return 0;
}
