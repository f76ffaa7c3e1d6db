/* SPDX-License-Identifier: MIT */
/*
 * Watch events that arrived and nobody has taken yet, and the descriptor that
 * tells a poll() of them.
 *
 * V1  The descriptor is readable if an event is queued or `ring` was asked
 *     for (the bell), or if the link is readable while it is shown. It is an
 *     epoll descriptor over the two, so that events need not be read from
 *     the link, by a thread made for it, to be seen.
 * V2  Nothing of it exists, and nothing costs a system call, before
 *     events_fileno().
 *
 * Not locked; its owner does.
 */
#ifndef LIBXENSTORE_EVENTS_H
#define LIBXENSTORE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct event {
	TAILQ_ENTRY(event) entry;
	char **strings;		/* one block, the strings behind the array */
	unsigned int num;
};

struct events {
	TAILQ_HEAD(, event) queue;
	int epoll, bell, timer;	/* -1: not made */
	int link;		/* watched by epoll; -1: none */
	bool shown;		/* link is armed in epoll */
	bool rung;		/* bell is readable */
};

void events_init(struct events *events);

/* Closes and frees everything; fit for a forked child. */
void events_destroy(struct events *events);

/*
 * An event of len bytes of payload. 0, ENOMEM, or EBADF for a payload that is
 * none. event_release() frees all but its strings and returns those.
 */
int event_new(const char *payload, size_t len, struct event **out);
char **event_release(struct event *event);
void event_free(struct event *event);

/* First in, first out; `unget` puts one back in front. take: NULL, none. */
void events_put(struct events *events, struct event *event);
void events_unget(struct events *events, struct event *event);
struct event *events_take(struct events *events);

/* Drops the queued events with that token at or below path. */
void events_discard(struct events *events, const char *path,
		    const char *token);

/* Makes the descriptor, or returns it; -1 and errno. with_timer: see alarm. */
int events_fileno(struct events *events, int link, bool with_timer);

/* Brings V1 up to date. */
void events_show(struct events *events, bool show_link, bool ring);

/* The link is gone; there is a new one with that descriptor. */
void events_unlink(struct events *events);
void events_relink(struct events *events, int link);

/* Makes the descriptor readable in so many milliseconds; -1: not any more. */
void events_alarm(struct events *events, int ms);

#endif
