/* SPDX-License-Identifier: MIT */
#include "frontend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 12

struct key {
	const char *name, *value;
};

/* What a driver writes when the backend waits, and the state it enters. */
static const struct kind {
	const char *type;
	enum xenbus_state then;
	struct key keys[KEYS_MAX];
} kinds[] = {
	{ "vif", STATE_CONNECTED, {
		{ "tx-ring-ref", "768" }, { "rx-ring-ref", "769" },
		{ "event-channel-tx", "11" }, { "event-channel-rx", "12" },
		{ "request-rx-copy", "1" }, { "feature-rx-notify", "1" },
		{ "feature-sg", "1" }, { "feature-gso-tcpv4", "1" },
		{ "feature-gso-tcpv6", "1" },
		{ "feature-ipv6-csum-offload", "1" } } },
	{ "vbd", STATE_INITIALISED, {
		{ "ring-ref", "8" }, { "event-channel", "13" },
		{ "protocol", "x86_64-abi" }, { "feature-persistent", "1" } } },
	{ "console", STATE_CONNECTED, {
		{ "ring-ref", "9" }, { "port", "14" } } },
};

struct frontend {
	struct frontend *next;
	const struct kind *kind;
	char dir[64];		/* device/vif/0 */
	char *backend;
	char watch[160];	/* its state */
	enum xenbus_state state;
	bool seen;		/* by the scan that runs */
};

struct frontends {
	struct bus *bus;
	const char *name;
	struct frontend *first;
};

const char *xenbus_state_name(enum xenbus_state state)
{
	static const char *const names[] = {
		"Unknown", "Initialising", "InitWait", "Initialised",
		"Connected", "Closing", "Closed",
	};

	return state < sizeof(names) / sizeof(*names) ? names[state] : "?";
}

struct frontends *frontends_new(struct bus *bus, const char *name)
{
	struct frontends *all = calloc(1, sizeof(*all));

	all->bus = bus;
	all->name = name;
	return all;
}

static void frontend_free(struct frontend *f)
{
	free(f->backend);
	free(f);
}

void frontends_forget(struct frontends *all)
{
	struct frontend *f;

	while ((f = all->first)) {
		all->first = f->next;
		frontend_free(f);
	}
}

void frontends_free(struct frontends *all)
{
	frontends_forget(all);
	free(all);
}

static const char *path_of(const struct frontend *f, const char *key)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->dir, key);
	return path;
}

/* Within a transaction, so that a directory that was removed is not made
 * again. */
static int try_switch(struct frontends *all, struct frontend *f,
		      enum xenbus_state state)
{
	char value[8];
	uint32_t tx;
	int err;

	err = bus_begin(all->bus, &tx);
	if (err)
		return err;
	snprintf(value, sizeof(value), "%u", state);
	if (bus_read_number(all->bus, tx, path_of(f, "state"), -1) < 0) {
		bus_end(all->bus, tx, false);
		return -ENOENT;
	}
	err = bus_write(all->bus, tx, path_of(f, "state"), value);
	if (err) {
		bus_end(all->bus, tx, false);
		return err;
	}
	return bus_end(all->bus, tx, true);
}

static void frontend_switch(struct frontends *all, struct frontend *f,
			    enum xenbus_state state)
{
	int err;

	if (f->state == state)
		return;
	do
		err = try_switch(all, f, state);
	while (err == -EAGAIN);
	if (err)
		return;
	if (all->name)
		printf("%-8s %s: frontend %s -> %s\n", all->name, f->dir,
		       xenbus_state_name(f->state), xenbus_state_name(state));
	f->state = state;
}

/* All keys are in flight at once. */
static int try_keys(struct frontends *all, struct frontend *f)
{
	uint32_t tx, id[KEYS_MAX];
	int err, n = 0, failed = 0;

	err = bus_begin(all->bus, &tx);
	if (err)
		return err;
	for (const struct key *k = f->kind->keys; n < KEYS_MAX && k->name;
	     k++, n++) {
		char buf[256];
		size_t len = snprintf(buf, sizeof(buf), "%s/%s", f->dir,
				      k->name) + 1;

		strcpy(buf + len, k->value);
		id[n] = bus_submit(all->bus, XS_WRITE, tx, buf,
				   len + strlen(k->value));
	}
	for (int i = 0; i < n; i++) {
		err = bus_wait(all->bus, id[i], NULL, NULL);
		failed = failed ? failed : err;
	}
	err = bus_end(all->bus, tx, !failed);
	return failed ? failed : err;
}

/* The backend waits: say how the rings are reached. */
static void frontend_connect(struct frontends *all, struct frontend *f)
{
	int err;

	do
		err = try_keys(all, f);
	while (err == -EAGAIN);
	if (!err)
		frontend_switch(all, f, f->kind->then);
}

static void frontend_look(struct frontends *all, struct frontend *f)
{
	char size[160];

	switch (bus_read_number(all->bus, 0, f->watch, STATE_UNKNOWN)) {
	case STATE_INIT_WAIT:
		if (f->state == STATE_INITIALISING)
			frontend_connect(all, f);
		break;
	case STATE_CONNECTED:
		if (f->state != STATE_INITIALISED)
			break;
		snprintf(size, sizeof(size), "%s/sectors", f->backend);
		if (bus_read_number(all->bus, 0, size, -1) > 0)
			frontend_switch(all, f, STATE_CONNECTED);
		break;
	case STATE_CLOSING:
		frontend_switch(all, f, STATE_CLOSING);
		frontend_switch(all, f, STATE_CLOSED);
		break;
	case STATE_CLOSED:
		frontend_switch(all, f, STATE_CLOSED);
		break;
	}
}

static struct frontend **frontends_find(struct frontends *all, const char *dir)
{
	struct frontend **p = &all->first;

	while (*p && strcmp((*p)->dir, dir))
		p = &(*p)->next;
	return p;
}

static void frontend_add(struct frontends *all, const struct kind *kind,
			 const char *dir)
{
	struct frontend *f = calloc(1, sizeof(*f));

	f->kind = kind;
	f->seen = true;
	snprintf(f->dir, sizeof(f->dir), "%s", dir);
	f->state = bus_read_number(all->bus, 0, path_of(f, "state"),
				   STATE_UNKNOWN);
	if (f->state != STATE_INITIALISING ||
	    bus_read(all->bus, 0, path_of(f, "backend"), &f->backend) ||
	    bus_list(all->bus, 0, f->backend, NULL, NULL)) {
		frontend_free(f);
		return;
	}
	snprintf(f->watch, sizeof(f->watch), "%s/state", f->backend);
	f->next = all->first;
	all->first = f;
	bus_watch(all->bus, f->watch, f->dir);
	frontend_look(all, f);
}

static void frontends_drop(struct frontends *all, struct frontend **p)
{
	struct frontend *f = *p;

	bus_unwatch(all->bus, f->watch, f->dir);
	*p = f->next;
	frontend_free(f);
}

/* It went and came again, and both was heard of at the same time. */
static bool is_another(struct frontends *all, struct frontend *f)
{
	return f->state == STATE_CLOSED &&
	       bus_read_number(all->bus, 0, path_of(f, "state"),
			       STATE_UNKNOWN) == STATE_INITIALISING;
}

static void scan_type(struct frontends *all, const struct kind *kind)
{
	char dir[64], *names, *name;
	size_t len;

	snprintf(dir, sizeof(dir), "device/%s", kind->type);
	if (bus_list(all->bus, 0, dir, &names, &len))
		return;
	for (name = names; name < names + len; name += strlen(name) + 1) {
		struct frontend **p;

		snprintf(dir, sizeof(dir), "device/%s/%.20s", kind->type, name);
		p = frontends_find(all, dir);
		if (*p && is_another(all, *p))
			frontends_drop(all, p);
		p = frontends_find(all, dir);
		if (*p)
			(*p)->seen = true;
		else
			frontend_add(all, kind, dir);
	}
	free(names);
}

void frontends_scan(struct frontends *all)
{
	struct frontend *f, **p;

	for (f = all->first; f; f = f->next)
		f->seen = false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		scan_type(all, &kinds[i]);
	for (p = &all->first; *p;) {
		if ((*p)->seen)
			p = &(*p)->next;
		else
			frontends_drop(all, p);
	}
}

void frontends_watch_again(struct frontends *all)
{
	for (struct frontend *f = all->first; f; f = f->next)
		bus_watch(all->bus, f->watch, f->dir);
}

void frontends_event(struct frontends *all, const char *token)
{
	struct frontend *f = *frontends_find(all, token);

	if (f)
		frontend_look(all, f);
}
