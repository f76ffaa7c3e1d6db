/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "exchange.h"
#include "handle.h"
#include "rejoin.h"

/* Between two attempts, in milliseconds; doubles from one to the other. */
#define DELAY_MIN 10
#define DELAY_MAX 250

struct transaction {
	LIST_ENTRY(transaction) entry;
	xs_transaction_t user, daemon;
	unsigned int epoch;
};

struct rejoin {
	TAILQ_HEAD(, watch_request) watches;
	struct watch_request *registering;	/* its reply is due; NULL */
	LIST_HEAD(, transaction) transactions;
	xs_transaction_t last;		/* number given to a user */
	int64_t due;			/* next attempt, ms */
	int delay;			/* after it, ms */
	int err;			/* of the last one */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

struct rejoin *rejoin_new(void)
{
	struct rejoin *r = calloc(1, sizeof(*r));

	if (r) {
		TAILQ_INIT(&r->watches);
		LIST_INIT(&r->transactions);
	}
	return r;
}

void rejoin_free(struct rejoin *r)
{
	struct watch_request *watch;
	struct transaction *tx;

	if (!r)
		return;
	while ((watch = TAILQ_FIRST(&r->watches))) {
		TAILQ_REMOVE(&r->watches, watch, entry);
		free(watch);
	}
	while ((tx = LIST_FIRST(&r->transactions))) {
		LIST_REMOVE(tx, entry);
		free(tx);
	}
	free(r);
}

void rejoin_add(struct rejoin *r, struct watch_request *watch)
{
	TAILQ_INSERT_TAIL(&r->watches, watch, entry);
}

static void forget(struct rejoin *r, struct watch_request *watch)
{
	TAILQ_REMOVE(&r->watches, watch, entry);
	free(watch);
}

void rejoin_remove(struct rejoin *r, const struct watch_request *gone)
{
	const char *token = watch_request_token(gone);
	struct watch_request *watch;

	TAILQ_FOREACH(watch, &r->watches, entry)
		if (!strcmp(watch->payload, gone->payload) &&
		    !strcmp(watch_request_token(watch), token)) {
			forget(r, watch);
			return;
		}
}

static void schedule(struct xs_handle *h, int delay)
{
	h->rejoin->due = now_ms() + delay;
	events_alarm(&h->events, delay);
}

void rejoin_begin(struct xs_handle *h)
{
	h->rejoin->registering = NULL;
	h->rejoin->err = ETIMEDOUT;
	h->rejoin->delay = DELAY_MIN;
	schedule(h, DELAY_MIN);
}

int rejoin_delay(const struct xs_handle *h)
{
	int64_t left = h->rejoin->due - now_ms();

	return left > 0 ? left : 0;
}

/* Sends the registration after that of `done` (NULL: the first). */
static void register_next(struct xs_handle *h, struct watch_request *done)
{
	struct rejoin *r = h->rejoin;

	r->registering = done ? TAILQ_NEXT(done, entry) :
				TAILQ_FIRST(&r->watches);
	if (r->registering &&
	    exchange_send_unowned(h, XS_WATCH, r->registering->payload,
				  r->registering->len))
		exchange_lose(h, LINK_DOWN);
}

void rejoin_replied(struct xs_handle *h, int err)
{
	struct watch_request *done = h->rejoin->registering;

	if (!done)
		return;
	register_next(h, done);
	if (err)
		forget(h->rejoin, done);
}

void rejoin_attempt(struct xs_handle *h)
{
	struct rejoin *r = h->rejoin;

	/* Who still sends must not send into the new connection. */
	if (h->state != LINK_DOWN || h->flight.sending || rejoin_delay(h))
		return;
	r->err = link_renew(&h->link);
	if (r->err) {
		/* Full backlog: nothing that a user should try again for. */
		if (r->err == EAGAIN)
			r->err = ETIMEDOUT;
		r->delay = r->delay * 2 < DELAY_MAX ? r->delay * 2 : DELAY_MAX;
		schedule(h, r->delay);
		return;
	}
	h->state = LINK_UP;
	h->epoch++;
	h->input_len = 0;
	h->features_known = false;
	events_alarm(&h->events, -1);
	events_relink(&h->events, h->link.fd);
	register_next(h, NULL);
	exchange_wake(h);
}

int rejoin_error(const struct xs_handle *h)
{
	return h->rejoin->err;
}

static struct transaction *find(struct rejoin *r, xs_transaction_t user)
{
	struct transaction *tx;

	LIST_FOREACH(tx, &r->transactions, entry)
		if (tx->user == user)
			return tx;
	return NULL;
}

xs_transaction_t rejoin_tx_add(struct rejoin *r, xs_transaction_t id,
			       unsigned int epoch)
{
	struct transaction *tx = malloc(sizeof(*tx));

	if (!tx)
		return 0;
	do
		r->last++;
	while (!r->last || find(r, r->last));
	*tx = (struct transaction){ .user = r->last, .daemon = id,
				    .epoch = epoch };
	LIST_INSERT_HEAD(&r->transactions, tx, entry);
	return tx->user;
}

int rejoin_tx_find(struct rejoin *r, xs_transaction_t user,
		   unsigned int epoch, xs_transaction_t *out)
{
	const struct transaction *tx = find(r, user);

	if (!tx)
		return ENOENT;
	if (tx->epoch != epoch)
		return ECONNRESET;
	*out = tx->daemon;
	return 0;
}

void rejoin_tx_remove(struct rejoin *r, xs_transaction_t user)
{
	struct transaction *tx = find(r, user);

	if (tx) {
		LIST_REMOVE(tx, entry);
		free(tx);
	}
}
