/* SPDX-License-Identifier: MIT */
#include <errno.h>	/* before the table of errors */

#include "bus.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER sizeof(struct xsd_sockmsg)

/* A message that has come: a reply or an event. */
struct letter {
	struct letter *next;
	struct xsd_sockmsg hdr;
	char payload[];		/* and a NUL */
};

struct queue {
	struct letter *first, **last;
};

struct bus {
	struct gring ring;
	int wake;
	uint32_t last_id;
	struct queue replies, events;
	size_t have;		/* bytes at in */
	char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "guest: %s\n", what);
	abort();
}

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void queue_add(struct queue *q, struct letter *letter)
{
	letter->next = NULL;
	*q->last = letter;
	q->last = &letter->next;
}

/* Takes the letter at *p out. */
static struct letter *queue_take(struct queue *q, struct letter **p)
{
	struct letter *letter = *p;

	*p = letter->next;
	if (q->last == &letter->next)
		q->last = p;
	return letter;
}

static void queue_clear(struct queue *q)
{
	while (q->first)
		free(queue_take(q, &q->first));
}

struct bus *bus_new(const struct gring *ring, int wake)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	queue_init(&bus->replies);
	queue_init(&bus->events);
	bus->ring = *ring;
	bus->wake = wake;
	return bus;
}

void bus_free(struct bus *bus)
{
	queue_clear(&bus->replies);
	queue_clear(&bus->events);
	free(bus);
}

void bus_move(struct bus *bus, const struct gring *ring, int wake)
{
	queue_clear(&bus->replies);
	queue_clear(&bus->events);
	bus->ring = *ring;
	bus->wake = wake;
	bus->have = 0;
}

/* ---- receiving ---------------------------------------------------------- */

static void bus_sort(struct bus *bus, const struct xsd_sockmsg *hdr)
{
	struct letter *letter = malloc(sizeof(*letter) + hdr->len + 1);

	letter->hdr = *hdr;
	memcpy(letter->payload, bus->in + HEADER, hdr->len);
	letter->payload[hdr->len] = 0;
	queue_add(hdr->type == XS_WATCH_EVENT ? &bus->events : &bus->replies,
		  letter);
}

/* Reads what has come. False: nothing. */
static bool bus_pump(struct bus *bus)
{
	struct xsd_sockmsg hdr;
	size_t want = HEADER, n;
	bool any = false;

	for (;;) {
		if (bus->have >= HEADER) {
			memcpy(&hdr, bus->in, HEADER);
			if (hdr.len > XENSTORE_PAYLOAD_MAX)
				die("a message is too long");
			want = HEADER + hdr.len;
		}
		if (bus->have == want) {
			bus_sort(bus, &hdr);
			bus->have = 0;
			want = HEADER;
			any = true;
			continue;
		}
		n = gring_read(&bus->ring, bus->in + bus->have,
			       want - bus->have);
		if (!n)
			return any;
		any = true;
		bus->have += n;
	}
}

/* Sleeps until the daemon has notified, or `fd` is readable, or `ms` are over;
 * false: one of the latter. */
static bool bus_sleep(struct bus *bus, int fd, int ms)
{
	struct pollfd pfd[2] = {
		{ .fd = bus->wake, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	char buf[256];

	if (poll(pfd, 2, ms) <= 0 || !pfd[0].revents)
		return false;
	if (read(bus->wake, buf, sizeof(buf)) == 0)
		die("the daemon's end has gone");
	return true;
}

/* ---- requests ----------------------------------------------------------- */

static void bus_put(struct bus *bus, const void *data, size_t len)
{
	size_t done = 0, n;

	while (done < len) {
		n = gring_write(&bus->ring, (const char *)data + done,
				len - done);
		done += n;
		/* Replies have to leave, or the daemon may stop reading. */
		if (!n && !bus_pump(bus))
			bus_sleep(bus, -1, -1);
	}
}

uint32_t bus_submit(struct bus *bus, uint32_t type, uint32_t tx,
		    const void *payload, size_t len)
{
	struct xsd_sockmsg hdr = {
		.type = type,
		.req_id = ++bus->last_id,
		.tx_id = tx,
		.len = len,
	};

	bus_put(bus, &hdr, sizeof(hdr));
	bus_put(bus, payload, len);
	return hdr.req_id;
}

static struct letter *bus_reply(struct bus *bus, uint32_t id)
{
	struct letter **p = &bus->replies.first;

	while (*p && (*p)->hdr.req_id != id)
		p = &(*p)->next;
	return *p ? queue_take(&bus->replies, p) : NULL;
}

static int error_of(const struct letter *letter)
{
	if (letter->hdr.type != XS_ERROR)
		return 0;
	for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(*xsd_errors); i++)
		if (!strcmp(letter->payload, xsd_errors[i].errstring))
			return -xsd_errors[i].errnum;
	return -EINVAL;
}

int bus_wait(struct bus *bus, uint32_t id, char **reply, size_t *len)
{
	struct letter *letter;
	int err;

	while (!(letter = bus_reply(bus, id)))
		if (!bus_pump(bus))
			bus_sleep(bus, -1, -1);
	err = error_of(letter);
	if (!err && len)
		*len = letter->hdr.len;
	if (!err && reply) {
		*reply = malloc(letter->hdr.len + 1);
		memcpy(*reply, letter->payload, letter->hdr.len + 1);
	}
	free(letter);
	return err;
}

int bus_ask(struct bus *bus, uint32_t type, uint32_t tx, const void *payload,
	    size_t len, char **reply, size_t *reply_len)
{
	return bus_wait(bus, bus_submit(bus, type, tx, payload, len), reply,
			reply_len);
}

int bus_read(struct bus *bus, uint32_t tx, const char *path, char **value)
{
	return bus_ask(bus, XS_READ, tx, path, strlen(path) + 1, value, NULL);
}

long bus_read_number(struct bus *bus, uint32_t tx, const char *path,
		     long otherwise)
{
	char *value;
	long number;

	if (bus_read(bus, tx, path, &value))
		return otherwise;
	number = strtol(value, NULL, 0);
	free(value);
	return number;
}

/* Two strings, the second with or without its NUL. */
static int bus_ask_two(struct bus *bus, uint32_t type, uint32_t tx,
		       const char *a, const char *b, size_t b_len)
{
	size_t a_len = strlen(a) + 1;
	char payload[XENSTORE_PAYLOAD_MAX];

	if (a_len + b_len > sizeof(payload))
		return -E2BIG;
	memcpy(payload, a, a_len);
	memcpy(payload + a_len, b, b_len);
	return bus_ask(bus, type, tx, payload, a_len + b_len, NULL, NULL);
}

int bus_write(struct bus *bus, uint32_t tx, const char *path, const char *value)
{
	return bus_ask_two(bus, XS_WRITE, tx, path, value, strlen(value));
}

int bus_rm(struct bus *bus, uint32_t tx, const char *path)
{
	return bus_ask(bus, XS_RM, tx, path, strlen(path) + 1, NULL, NULL);
}

int bus_list(struct bus *bus, uint32_t tx, const char *path, char **names,
	     size_t *len)
{
	return bus_ask(bus, XS_DIRECTORY, tx, path, strlen(path) + 1, names,
		       len);
}

int bus_watch(struct bus *bus, const char *path, const char *token)
{
	return bus_ask_two(bus, XS_WATCH, 0, path, token, strlen(token) + 1);
}

int bus_unwatch(struct bus *bus, const char *path, const char *token)
{
	return bus_ask_two(bus, XS_UNWATCH, 0, path, token, strlen(token) + 1);
}

int bus_begin(struct bus *bus, uint32_t *tx)
{
	char *reply;
	int err = bus_ask(bus, XS_TRANSACTION_START, 0, "", 1, &reply, NULL);

	if (err)
		return err;
	*tx = strtoul(reply, NULL, 10);
	free(reply);
	return 0;
}

int bus_end(struct bus *bus, uint32_t tx, bool commit)
{
	return bus_ask(bus, XS_TRANSACTION_END, tx, commit ? "T" : "F", 2, NULL,
		       NULL);
}

int bus_event(struct bus *bus, int fd, int ms, char **path, char **token)
{
	struct letter *letter;
	size_t len;

	while (!bus->events.first)
		if (!bus_pump(bus) && !bus_sleep(bus, fd, ms))
			return -EAGAIN;
	letter = queue_take(&bus->events, &bus->events.first);
	len = letter->hdr.len;
	*path = malloc(len + 1);
	memcpy(*path, letter->payload, len + 1);
	*token = *path + strlen(*path) + 1;
	free(letter);
	return 0;
}
