/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec.h"
#include "exchange.h"
#include "handle.h"
#include "rejoin.h"

/* How long a request waits for a lost connection to come back. */
#define REJOIN_WAIT_S 10

/* A call under way, for the cleanup after a cancellation. */
struct call {
	struct xs_handle *h;
	struct waiter *w;
};

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

const char *watch_request_token(const struct watch_request *watch)
{
	return watch->payload + strlen(watch->payload) + 1;
}

/* ---- lines of waiters ---- */

static void line_enter(struct waiter_list *list, struct waiter *w)
{
	TAILQ_INSERT_TAIL(list, w, entry);
	w->list = list;
}

static void line_leave(struct waiter *w)
{
	if (w->list)
		TAILQ_REMOVE(w->list, w, entry);
	w->list = NULL;
}

static void wake_first(struct waiter_list *list)
{
	if (!TAILQ_EMPTY(list))
		pthread_cond_signal(&TAILQ_FIRST(list)->wake);
}

static void wake_all(struct waiter_list *list)
{
	struct waiter *w;

	TAILQ_FOREACH(w, list, entry)
		pthread_cond_signal(&w->wake);
}

static bool is_unowned(const struct flight *flight)
{
	return flight->busy && !flight->owner;
}

void exchange_wake(struct xs_handle *h)
{
	struct flight *flight = &h->flight;

	if (h->state == LINK_LOST) {
		wake_all(&h->turns);
		wake_all(&h->takers);
		return;
	}
	if (!flight->busy)
		wake_first(&h->turns);
	if (h->reading)
		return;
	/* X2: a successor. An owner who is sending comes here by itself. */
	if (flight->owner && !flight->sending)
		pthread_cond_signal(&flight->owner->wake);
	else if (!TAILQ_EMPTY(&h->takers))
		wake_first(&h->takers);
	else if (is_unowned(flight) || h->state == LINK_DOWN)
		wake_first(&h->turns);
}

/* ---- what arrives ---- */

static void give_event(struct xs_handle *h, struct event *event)
{
	struct waiter *w = TAILQ_FIRST(&h->takers);

	if (!w) {
		events_put(&h->events, event);
		return;
	}
	line_leave(w);
	w->event = event;
	w->done = true;
	pthread_cond_signal(&w->wake);
}

/* The request is no longer out. Its owner, if it has one, gets err. */
static void land(struct xs_handle *h, int err)
{
	struct waiter *owner = h->flight.owner;

	h->flight.busy = false;
	h->flight.owner = NULL;
	if (owner) {
		owner->err = err;
		owner->epoch = h->epoch;
		owner->done = true;
		pthread_cond_signal(&owner->wake);
	} else {
		/* An owner would do that on its way out. */
		wake_first(&h->turns);
	}
}

/* The daemon did (err 0) or did not do what was asked for with a watch. */
static void watch_settled(struct xs_handle *h, int err)
{
	struct watch_request *watch = h->flight.watch;

	h->flight.watch = NULL;
	if (!watch)
		return;
	if (h->flight.type == XS_UNWATCH && !err) {
		if (h->flags & XS_UNWATCH_FILTER)
			events_discard(&h->events, watch->payload,
				       watch_request_token(watch));
		if (h->rejoin)
			rejoin_remove(h->rejoin, watch);
	}
	if (h->flight.type == XS_WATCH && !err && h->rejoin)
		rejoin_add(h->rejoin, watch);
	else
		free(watch);
}

void exchange_lose(struct xs_handle *h, enum link_state state)
{
	int err = h->rejoin && state != LINK_LOST ? ECONNRESET : EBADF;

	if (h->state == LINK_LOST)
		return;
	if (h->state == LINK_UP) {
		events_unlink(&h->events);
		link_cut(&h->link);
	}
	h->state = state;
	if (h->flight.busy) {
		/* With the connection its watches are gone for certain. */
		watch_settled(h, h->flight.type == XS_UNWATCH ? 0 : err);
		land(h, err);
	}
	if (state == LINK_DOWN)
		rejoin_begin(h);
}

/* The stream ended or makes no sense. */
static void lose_now(struct xs_handle *h)
{
	exchange_lose(h, h->rejoin && h->link.is_socket && !h->closing ?
		      LINK_DOWN : LINK_LOST);
}

/* What the daemon says to the request: 0 or an errno value. */
static int verdict(const struct xsd_sockmsg *hdr, const char *payload)
{
	char name[16] = "";

	if (hdr->type != XS_ERROR)
		return 0;
	memcpy(name, payload, hdr->len < sizeof(name) - 1 ?
	       hdr->len : sizeof(name) - 1);
	return codec_error_number(name);
}

static void take_reply(struct xs_handle *h, const struct xsd_sockmsg *hdr,
		       const char *payload)
{
	struct waiter *owner = h->flight.owner;
	int err = verdict(hdr, payload);

	watch_settled(h, err);
	if (owner && !err) {
		owner->len = hdr->len;
		owner->body = malloc(hdr->len + 1);
		if (owner->body) {
			memcpy(owner->body, payload, hdr->len);
			owner->body[hdr->len] = '\0';
		} else {
			err = ENOMEM;
		}
	}
	land(h, err);
	if (h->rejoin)
		rejoin_replied(h, err);
}

/* One whole message; the connection may be lost over it. */
static void take_message(struct xs_handle *h, const struct xsd_sockmsg *hdr,
			 const char *payload)
{
	struct event *event;

	if (hdr->type == XS_WATCH_EVENT) {
		/* An event must not get lost: rather the connection. */
		if (event_new(payload, hdr->len, &event))
			lose_now(h);
		else
			give_event(h, event);
	} else if (h->flight.busy &&
		   (hdr->type == XS_ERROR || hdr->type == h->flight.type)) {
		take_reply(h, hdr, payload);
	} else {
		lose_now(h);
	}
}

/* A message that is longer than allowed; there is no way to go on. */
static void take_oversized(struct xs_handle *h, const struct xsd_sockmsg *hdr)
{
	if (hdr->type != XS_WATCH_EVENT && h->flight.busy) {
		watch_settled(h, E2BIG);
		land(h, E2BIG);
	}
	lose_now(h);
}

static void take_input(struct xs_handle *h)
{
	struct xsd_sockmsg hdr;
	unsigned int at = 0;

	while (h->input_len - at >= sizeof(hdr)) {
		memcpy(&hdr, h->input + at, sizeof(hdr));
		if (hdr.len > XENSTORE_PAYLOAD_MAX) {
			take_oversized(h, &hdr);
			return;
		}
		if (h->input_len - at < sizeof(hdr) + hdr.len)
			break;
		take_message(h, &hdr, h->input + at + sizeof(hdr));
		if (h->state != LINK_UP)
			return;
		at += sizeof(hdr) + hdr.len;
	}
	h->input_len -= at;
	memmove(h->input, h->input + at, h->input_len);
}

/* What link_receive() put behind the input so far, or its error. */
static void received(struct xs_handle *h, ssize_t got)
{
	if (h->state != LINK_UP || got == -EAGAIN || got == -EINTR)
		return;
	if (got <= 0) {
		lose_now(h);
		return;
	}
	h->input_len += got;
	take_input(h);
}

static ssize_t receive(struct xs_handle *h, bool wait)
{
	return link_receive(&h->link, h->input + h->input_len,
			    sizeof(h->input) - h->input_len, wait);
}

/* ---- waiting ---- */

static void enable_cancel(struct waiter *w)
{
	int ignored;

	pthread_setcancelstate(w->cancel_state, &ignored);
}

static void disable_cancel(void)
{
	int ignored;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ignored);
}

/* Cancelled with the role and without the lock. */
static void serve_cancelled(void *arg)
{
	struct xs_handle *h = arg;

	handle_retake(h);
	h->reading = false;
}

/* Holds the reader's role until something was received. */
static void serve(struct xs_handle *h, struct waiter *w)
{
	ssize_t got;

	h->reading = true;
	handle_release(h);
	if (w->patient) {
		pthread_cleanup_push(serve_cancelled, h);
		enable_cancel(w);
		link_wait(&h->link);
		disable_cancel();
		pthread_cleanup_pop(0);
	}
	got = receive(h, !w->patient);	/* X3 */
	handle_retake(h);
	h->reading = false;
	if (got == -EAGAIN)
		w->patient = true;
	received(h, got);
}

/* The same while there is no connection. */
static void serve_down(struct xs_handle *h, struct waiter *w)
{
	int delay = rejoin_delay(h);

	h->reading = true;
	handle_release(h);
	pthread_cleanup_push(serve_cancelled, h);
	enable_cancel(w);
	poll(NULL, 0, delay);
	disable_cancel();
	pthread_cleanup_pop(0);
	handle_retake(h);
	h->reading = false;
	rejoin_attempt(h);
}

/* Waits to be woken, or for a second where time matters. */
static void sleep_in_line(struct xs_handle *h, struct waiter *w)
{
	bool timed = !w->patient || (h->rejoin && w->list == &h->turns);
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	handle_show(h);
	if (w->patient)
		enable_cancel(w);
	if (timed)
		err = pthread_cond_clockwait(&w->wake, &h->lock,
					     CLOCK_MONOTONIC, &until);
	else
		pthread_cond_wait(&w->wake, &h->lock);
	disable_cancel();
	if (err == ETIMEDOUT)
		w->patient = true;
}

/*
 * Waits for anything to happen. Who waits for a turn reads only if nobody
 * else would: for the reply of an unowned request.
 */
static void wait_more(struct xs_handle *h, struct waiter *w)
{
	bool may_serve = w->list != &h->turns || is_unowned(&h->flight);

	if (h->reading)
		sleep_in_line(h, w);
	else if (h->state == LINK_DOWN)
		serve_down(h, w);
	else if (may_serve)
		serve(h, w);
	else
		sleep_in_line(h, w);
}

/* Cancelled where it waited, with the lock. */
static void call_cancelled(void *arg)
{
	struct call *call = arg;
	struct xs_handle *h = call->h;
	struct waiter *w = call->w;

	line_leave(w);
	if (h->flight.owner == w)
		h->flight.owner = NULL;		/* X4 */
	if (w->event && TAILQ_EMPTY(&h->takers))
		events_unget(&h->events, w->event);
	else if (w->event)
		give_event(h, w->event);
	free(w->body);
	handle_leave(h, w);
}

/* ---- requests ---- */

/* The daemon's number of the request's transaction. */
static int daemon_tx(const struct xs_handle *h, const struct request *req,
		     unsigned int epoch, uint32_t *out)
{
	int err;

	*out = req->tx;
	if (!h->rejoin || !req->tx)
		return 0;
	err = rejoin_tx_find(h->rejoin, req->tx, epoch, out);
	/* At its end it is like any that was interfered with. */
	return err == ECONNRESET && req->type == XS_TRANSACTION_END ? EAGAIN :
								      err;
}

static int take_turn(struct xs_handle *h, struct waiter *w,
		     const struct request *req)
{
	uint32_t ignored;
	time_t until = 0;
	int err = 0;

	line_enter(&h->turns, w);
	w->patient = true;
	for (;;) {
		if (h->state == LINK_LOST) {
			err = EBADF;
			break;
		}
		if (h->state == LINK_DOWN) {
			/* What was begun before is not there afterwards. */
			err = daemon_tx(h, req, h->epoch + 1, &ignored);
			if (err)
				break;
			if (!until)
				until = now_s() + REJOIN_WAIT_S;
			if (now_s() >= until) {
				err = rejoin_error(h);
				break;
			}
		} else if (!h->flight.busy && TAILQ_FIRST(&h->turns) == w) {
			break;
		}
		wait_more(h, w);
	}
	line_leave(w);
	return err;
}

/* Copies a watch's request if its outcome will matter. */
static int remember_watch(struct xs_handle *h, const struct request *req,
			  unsigned int len, struct watch_request **out)
{
	bool wanted = (req->type == XS_WATCH && h->rejoin) ||
		      (req->type == XS_UNWATCH &&
		       (h->rejoin || (h->flags & XS_UNWATCH_FILTER)));
	struct watch_request *watch;
	unsigned int i, at = 0;

	*out = NULL;
	if (!wanted)
		return 0;
	watch = malloc(sizeof(*watch) + len);
	if (!watch)
		return ENOMEM;
	watch->len = len;
	for (i = 0; i < req->num; i++) {
		memcpy(watch->payload + at, req->part[i].iov_base,
		       req->part[i].iov_len);
		at += req->part[i].iov_len;
	}
	*out = watch;
	return 0;
}

static unsigned int payload_len(const struct request *req, unsigned int max)
{
	unsigned int i, len = 0;

	for (i = 0; i < req->num; i++) {
		if (req->part[i].iov_len > max - len)
			return max + 1;
		len += req->part[i].iov_len;
	}
	return len;
}

/* Sends it; whose turn it is becomes the owner. Gives up the lock meanwhile. */
static int send_request(struct xs_handle *h, struct waiter *w,
			const struct request *req, unsigned int len)
{
	struct iovec iov[1 + REQUEST_PARTS_MAX];
	struct xsd_sockmsg hdr = { .type = req->type, .len = len };
	struct watch_request *watch;
	int err;

	err = daemon_tx(h, req, h->epoch, &hdr.tx_id);
	if (err)
		return err;
	err = remember_watch(h, req, len, &watch);
	if (err)
		return err;
	h->flight = (struct flight){ .busy = true, .sending = true,
		.type = req->type, .owner = w, .watch = watch };
	w->patient = false;
	iov[0] = (struct iovec){ &hdr, sizeof(hdr) };
	memcpy(iov + 1, req->part, req->num * sizeof(*iov));
	handle_release(h);
	err = link_send(&h->link, iov, 1 + req->num, false);
	handle_retake(h);
	h->flight.sending = false;
	if (!err || w->done)
		return 0;
	if (h->link.is_socket) {
		/* What the daemon sent before it went is still read (X5). */
		link_cut(&h->link);
		return 0;
	}
	/* The kernel does not take that message. */
	watch_settled(h, err);
	h->flight.busy = false;
	h->flight.owner = NULL;
	return err;
}

static int request(struct xs_handle *h, struct waiter *w,
		   const struct request *req)
{
	unsigned int max = link_payload_max(&h->link);
	unsigned int len = payload_len(req, max);
	int err;

	if (len > max)
		return E2BIG;
	err = take_turn(h, w, req);
	if (!err)
		err = send_request(h, w, req, len);
	if (!err) {
		while (!w->done)
			wait_more(h, w);
		err = w->err;
	}
	if (h->rejoin && req->type == XS_TRANSACTION_END)
		rejoin_tx_remove(h->rejoin, req->tx);
	return err;
}

int exchange(struct xs_handle *h, const struct request *req,
	     struct reply *reply)
{
	struct waiter w;
	struct call call = { h, &w };
	int err;

	handle_enter(h, &w);
	pthread_cleanup_push(call_cancelled, &call);
	err = request(h, &w, req);
	pthread_cleanup_pop(0);
	handle_leave(h, &w);
	if (err)
		return err;
	*reply = (struct reply){ w.body, w.len, w.epoch };
	return 0;
}

int exchange_send_unowned(struct xs_handle *h, uint32_t type,
			  const void *payload, unsigned int len)
{
	struct xsd_sockmsg hdr = { .type = type, .len = len };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) },
				{ (void *)payload, len } };

	h->flight = (struct flight){ .busy = true, .type = type };
	return link_send(&h->link, iov, 2, true);
}

/* ---- events ---- */

/* Without waiting: what is there already. */
static struct event *look_for_event(struct xs_handle *h)
{
	struct event *event = events_take(&h->events);
	ssize_t got;

	if (event || h->reading)
		return event;
	if (h->state == LINK_DOWN)
		rejoin_attempt(h);
	while (!event && h->state == LINK_UP) {
		got = receive(h, false);
		received(h, got);
		event = events_take(&h->events);
		if (got <= 0 && got != -EINTR)
			break;
	}
	return event;
}

static int take_event(struct xs_handle *h, struct waiter *w, bool wait)
{
	w->patient = true;
	w->event = look_for_event(h);
	if (!w->event && wait) {
		line_enter(&h->takers, w);
		while (!w->done && h->state != LINK_LOST)
			wait_more(h, w);
		line_leave(w);
	}
	if (w->event)
		return 0;
	return h->state == LINK_LOST ? EINVAL : EAGAIN;
}

int exchange_event(struct xs_handle *h, bool wait, struct event **out)
{
	struct waiter w;
	struct call call = { h, &w };
	int err;

	handle_enter(h, &w);
	pthread_cleanup_push(call_cancelled, &call);
	err = take_event(h, &w, wait);
	pthread_cleanup_pop(0);
	handle_leave(h, &w);
	if (!err)
		*out = w.event;
	return err;
}
