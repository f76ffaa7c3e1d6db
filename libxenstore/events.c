/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "codec.h"
#include "events.h"
#include "public.h"

void events_init(struct events *events)
{
	TAILQ_INIT(&events->queue);
	events->epoll = events->bell = events->timer = events->link = -1;
	events->shown = events->rung = false;
}

/* Only close(): an epoll_ctl() in a forked child would act on the parent's. */
static void close_all(struct events *events)
{
	if (events->timer >= 0)
		close(events->timer);
	if (events->bell >= 0)
		close(events->bell);
	if (events->epoll >= 0)
		close(events->epoll);
	events->epoll = events->bell = events->timer = events->link = -1;
}

void events_destroy(struct events *events)
{
	struct event *event;

	while ((event = events_take(events)))
		event_free(event);
	close_all(events);
}

int event_new(const char *payload, size_t len, struct event **out)
{
	unsigned int i, num = codec_count_strings(payload, len);
	bool unterminated = len && payload[len - 1];
	struct event *event;
	char *text;

	num += unterminated;
	if (num < XS_WATCH_TOKEN + 1)
		return EBADF;
	event = malloc(sizeof(*event));
	if (!event)
		return ENOMEM;
	event->num = num;
	event->strings = malloc(num * sizeof(char *) + len + 1);
	if (!event->strings) {
		free(event);
		return ENOMEM;
	}
	text = (char *)(event->strings + num);
	memcpy(text, payload, len);
	text[len] = '\0';
	for (i = 0; i < num; i++) {
		event->strings[i] = text;
		text += strlen(text) + 1;
	}
	*out = event;
	return 0;
}

char **event_release(struct event *event)
{
	char **strings = event->strings;

	free(event);
	return strings;
}

void event_free(struct event *event)
{
	free(event_release(event));
}

void events_put(struct events *events, struct event *event)
{
	TAILQ_INSERT_TAIL(&events->queue, event, entry);
}

void events_unget(struct events *events, struct event *event)
{
	TAILQ_INSERT_HEAD(&events->queue, event, entry);
}

struct event *events_take(struct events *events)
{
	struct event *event = TAILQ_FIRST(&events->queue);

	if (event)
		TAILQ_REMOVE(&events->queue, event, entry);
	return event;
}

void events_discard(struct events *events, const char *path,
		    const char *token)
{
	struct event *event, *next;

	for (event = TAILQ_FIRST(&events->queue); event; event = next) {
		next = TAILQ_NEXT(event, entry);
		if (strcmp(event->strings[XS_WATCH_TOKEN], token))
			continue;
		/* Unlike for xs_path_is_subpath() all is below "/". */
		if (strcmp(path, "/") &&
		    !xs_path_is_subpath(path, event->strings[XS_WATCH_PATH]))
			continue;
		TAILQ_REMOVE(&events->queue, event, entry);
		event_free(event);
	}
}

static int epoll_add(struct events *events, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	return epoll_ctl(events->epoll, EPOLL_CTL_ADD, fd, &ev);
}

int events_fileno(struct events *events, int link, bool with_timer)
{
	int err;

	if (events->epoll >= 0)
		return events->epoll;
	events->epoll = epoll_create1(EPOLL_CLOEXEC);
	events->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (with_timer)
		events->timer = timerfd_create(CLOCK_MONOTONIC,
					       TFD_CLOEXEC | TFD_NONBLOCK);
	events->shown = events->rung = false;
	if (events->epoll < 0 || events->bell < 0 ||
	    epoll_add(events, events->bell) < 0 ||
	    (with_timer && (events->timer < 0 ||
			    epoll_add(events, events->timer) < 0)) ||
	    (link >= 0 && epoll_add(events, link) < 0)) {
		err = errno;
		close_all(events);
		errno = err;
		return -1;
	}
	if (link >= 0) {
		events->link = link;
		events->shown = true;
	}
	return events->epoll;
}

void events_show(struct events *events, bool show_link, bool ring)
{
	struct epoll_event ev = { .events = show_link ? EPOLLIN : 0 };
	uint64_t count = 1;
	ssize_t done;

	if (events->epoll < 0)
		return;
	if (events->link >= 0 && show_link != events->shown &&
	    epoll_ctl(events->epoll, EPOLL_CTL_MOD, events->link, &ev) == 0)
		events->shown = show_link;
	if (!TAILQ_EMPTY(&events->queue))
		ring = true;
	if (ring != events->rung) {
		done = ring ? write(events->bell, &count, sizeof(count)) :
			      read(events->bell, &count, sizeof(count));
		if (done > 0)
			events->rung = ring;
	}
}

void events_unlink(struct events *events)
{
	if (events->link >= 0)
		epoll_ctl(events->epoll, EPOLL_CTL_DEL, events->link, NULL);
	events->link = -1;
	events->shown = false;
}

void events_relink(struct events *events, int link)
{
	if (events->epoll >= 0 && epoll_add(events, link) == 0) {
		events->link = link;
		events->shown = true;
	}
}

void events_alarm(struct events *events, int ms)
{
	struct itimerspec when = { 0 };

	if (events->timer < 0)
		return;
	if (ms >= 0) {
		when.it_value.tv_sec = ms / 1000;
		/* All zero would mean never. */
		when.it_value.tv_nsec = ms % 1000 * 1000000L + 1;
	}
	timerfd_settime(events->timer, 0, &when, NULL);
}
