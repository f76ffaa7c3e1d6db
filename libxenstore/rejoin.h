/* SPDX-License-Identifier: MIT */
/*
 * XS_OPEN_RECONNECT: what a handle knows to renew its connection by itself.
 *
 * J1  The watches here are those whose registration the daemon confirmed and
 *     whose removal it did not.
 * J2  After a renewal all watches are registered, one after the other, before
 *     any request of a user is sent.
 * J3  A user's transaction number is never used twice at a time, whichever
 *     connection it belongs to; one of a former connection never reaches the
 *     daemon.
 *
 * Called with the handle's lock. Functions return 0 or an errno value.
 */
#ifndef LIBXENSTORE_REJOIN_H
#define LIBXENSTORE_REJOIN_H

#include <stdbool.h>
#include <stdint.h>

#include "public.h"

struct watch_request;
struct xs_handle;

struct rejoin *rejoin_new(void);
void rejoin_free(struct rejoin *rejoin);

/* The daemon confirmed. add() takes the watch over. */
void rejoin_add(struct rejoin *rejoin, struct watch_request *watch);
void rejoin_remove(struct rejoin *rejoin, const struct watch_request *watch);

/* The connection is down as of now. */
void rejoin_begin(struct xs_handle *h);

/* Milliseconds until the next attempt is due; 0: now. */
int rejoin_delay(const struct xs_handle *h);

/* An attempt, if one is due. Does not wait. */
void rejoin_attempt(struct xs_handle *h);

/* Why requests cannot be sent: the last attempt's errno. */
int rejoin_error(const struct xs_handle *h);

/*
 * A reply came. If it is that to a registration of J2 the next is sent.
 */
void rejoin_replied(struct xs_handle *h, int err);

/*
 * Transactions: the user's number for one that began on a connection (0:
 * no memory), the daemon's number for the user's (ECONNRESET: a former
 * connection's), and its end.
 */
xs_transaction_t rejoin_tx_add(struct rejoin *rejoin, xs_transaction_t tx,
			       unsigned int epoch);
int rejoin_tx_find(struct rejoin *rejoin, xs_transaction_t user,
		   unsigned int epoch, xs_transaction_t *out);
void rejoin_tx_remove(struct rejoin *rejoin, xs_transaction_t user);

#endif
