/* SPDX-License-Identifier: MIT */
#include "io/flight.h"

#include <stdlib.h>

struct flight {
	struct list in_all;		/* not linked: it has landed */
	void (*landed)(void *arg);
	void *arg;
	unsigned int refs;
};

struct flight *flight_new(struct list *all, void (*landed)(void *arg),
			  void *arg)
{
	struct flight *flight = malloc(sizeof(*flight));

	if (!flight)
		return NULL;
	flight->landed = landed;
	flight->arg = arg;
	flight->refs = 1;
	list_add_tail(all, &flight->in_all);
	return flight;
}

struct flight *flight_ref(struct flight *flight)
{
	if (flight)
		flight->refs++;
	return flight;
}

static void flight_land(struct flight *flight)
{
	list_del(&flight->in_all);
	flight->landed(flight->arg);
}

void flight_unref(struct flight *flight)
{
	if (!flight || --flight->refs)
		return;
	if (!list_empty(&flight->in_all))
		flight_land(flight);
	free(flight);
}

void flights_land(struct list *all)
{
	struct flight *flight;

	while ((flight = list_first(all, struct flight, in_all)))
		flight_land(flight);
}
