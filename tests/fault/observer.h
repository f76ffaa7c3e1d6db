/* SPDX-License-Identifier: MIT */
/*
 * An observer: a guest with a watch on /shared/log, who must hear of every
 * line, once and in the order in which each actor wrote them.
 */
#ifndef FAULT_OBSERVER_H
#define FAULT_OBSERVER_H

#include "client.h"

#define OBSERVED 64

struct observer {
	struct client client;
	uint32_t seen[OBSERVED];	/* the last line of each actor */
	bool watches;
};

/* The guest has been introduced. */
void observer_init(struct observer *observer, struct guest *guest);
/* All lines up to `last` have been heard of by now. */
void observer_check(struct observer *observer, unsigned int number,
		    uint32_t last);

#endif
