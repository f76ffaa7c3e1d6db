/* SPDX-License-Identifier: MIT */
/*
 * A request in flight: made when it is taken, with a reference for its reply
 * and for each event that it causes, at whatever connection. When the last one
 * goes it has landed, and its peer, who has it in a list, is told.
 */
#ifndef IO_FLIGHT_H
#define IO_FLIGHT_H

#include "base/list.h"

struct flight;

/* With one reference, in the list. NULL: no memory. */
struct flight *flight_new(struct list *all, void (*landed)(void *arg),
			  void *arg);
struct flight *flight_ref(struct flight *flight);	/* NULL is fine */
void flight_unref(struct flight *flight);

/* The peer goes: all of the list land at once. */
void flights_land(struct list *all);

#endif
