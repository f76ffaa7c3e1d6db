/* SPDX-License-Identifier: MIT */
/*
 * A guest's frontends: vif, vbd and console, from discovery to Connected and
 * to the end: states in nodes, each side watching
 * the other's.
 */
#ifndef GUEST_FRONTEND_H
#define GUEST_FRONTEND_H

#include "bus.h"

enum xenbus_state {
	STATE_UNKNOWN,
	STATE_INITIALISING,
	STATE_INIT_WAIT,
	STATE_INITIALISED,
	STATE_CONNECTED,
	STATE_CLOSING,
	STATE_CLOSED,
};

const char *xenbus_state_name(enum xenbus_state state);

struct frontends;

/* `name` of the guest, for the narration (NULL: silent). */
struct frontends *frontends_new(struct bus *bus, const char *name);
void frontends_free(struct frontends *all);

/* Looks at all of device/: new ones begin, those whose directory has gone are
 * forgotten. */
void frontends_scan(struct frontends *all);
/* Forgets all, so that the next scan begins anew (other backends). */
void frontends_forget(struct frontends *all);
/* Sets the watches again, on the same or another connection. */
void frontends_watch_again(struct frontends *all);
/* An event with this token, which a frontend may have set. */
void frontends_event(struct frontends *all, const char *token);

#endif
