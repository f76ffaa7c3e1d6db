/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include "exchange.h"
#include "handle.h"
#include "rejoin.h"

/*
 * xentoolcore_restrict_all(): the connection ends here and now. In a child
 * that inherited the handle only its own descriptor does, and the lock may be
 * one that nobody holds any more.
 */
static int restricted(struct toolcore_record *record, uint16_t domid)
{
	struct xs_handle *h = (void *)((char *)record -
				       offsetof(struct xs_handle,
						toolcore.record));
	int err = 0;

	(void)domid;
	if (getpid() != h->opener) {
		err = h->link.fd >= 0 ? link_replace_by_null(&h->link) : 0;
	} else {
		pthread_mutex_lock(&h->lock);
		if (h->link.fd >= 0) {
			exchange_lose(h, LINK_LOST);
			err = link_replace_by_null(&h->link);
		}
		exchange_wake(h);
		handle_release(h);
	}
	errno = err;
	return err ? -1 : 0;
}

int handle_open(unsigned long flags, struct xs_handle **out)
{
	struct xs_handle *h = calloc(1, sizeof(*h));
	struct link link;
	int err;

	if (!h)
		return ENOMEM;
	h->flags = flags;
	h->opener = getpid();
	link_init(&h->link);
	events_init(&h->events);
	TAILQ_INIT(&h->turns);
	TAILQ_INIT(&h->takers);
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->left, NULL);
	if (flags & XS_OPEN_RECONNECT) {
		h->rejoin = rejoin_new();
		if (!h->rejoin) {
			free(h);
			return ENOMEM;
		}
	}
	/* Before there is a descriptor, so that none is ever overlooked. */
	toolcore_register(&h->toolcore, restricted);
	link_init(&link);
	err = link_open(&link);
	pthread_mutex_lock(&h->lock);
	if (!err)
		h->link = link;
	pthread_mutex_unlock(&h->lock);
	if (err) {
		handle_abandon(h);
		return err;
	}
	*out = h;
	return 0;
}

void handle_abandon(struct xs_handle *h)
{
	toolcore_deregister(&h->toolcore);
	events_destroy(&h->events);
	link_close(&h->link);
	rejoin_free(h->rejoin);
	free(h->flight.watch);
	free(h);
}

void handle_close(struct xs_handle *h)
{
	if (h->opener != getpid()) {
		handle_abandon(h);
		return;
	}
	/* First, because its lock comes before ours. */
	toolcore_deregister(&h->toolcore);
	pthread_mutex_lock(&h->lock);
	h->closing = true;
	if (h->inside) {
		exchange_lose(h, LINK_LOST);
		exchange_wake(h);
		handle_show(h);
		while (h->inside)
			pthread_cond_wait(&h->left, &h->lock);
	}
	events_unlink(&h->events);
	pthread_mutex_unlock(&h->lock);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->left);
	handle_abandon(h);
}

void handle_enter(struct xs_handle *h, struct waiter *w)
{
	*w = (struct waiter){ .wake = PTHREAD_COND_INITIALIZER };
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &w->cancel_state);
	pthread_mutex_lock(&h->lock);
	h->inside++;
}

void handle_leave(struct xs_handle *h, struct waiter *w)
{
	int ignored;

	exchange_wake(h);
	handle_show(h);
	if (--h->inside == 0 && h->closing)
		pthread_cond_signal(&h->left);
	pthread_mutex_unlock(&h->lock);
	pthread_cond_destroy(&w->wake);
	pthread_setcancelstate(w->cancel_state, &ignored);
}

void handle_show(struct xs_handle *h)
{
	bool read_by_other = h->reading ||
			     (h->flight.busy && h->flight.owner);

	/* Alone in the process: who polls is not in here. */
	if (__libc_single_threaded)
		read_by_other = false;
	events_show(&h->events, !read_by_other, h->state == LINK_LOST);
}

void handle_release(struct xs_handle *h)
{
	handle_show(h);
	pthread_mutex_unlock(&h->lock);
}

void handle_retake(struct xs_handle *h)
{
	pthread_mutex_lock(&h->lock);
}
