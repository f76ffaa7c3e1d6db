/* SPDX-License-Identifier: MIT */
/*
 * A guest kernel's xenstore client: requests in flight, told apart by req_id,
 * over its ring; events are kept until they are asked for. It sleeps until the
 * daemon notifies, and never polls.
 *
 * Functions return 0 or -errno; paths may be relative to the domain's home.
 */
#ifndef GUEST_BUS_H
#define GUEST_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "gring.h"

struct bus;

/* `wake` becomes readable when the daemon has notified. */
struct bus *bus_new(const struct gring *ring, int wake);
void bus_free(struct bus *bus);
/* Goes on over another ring (after a migration): what was in flight is gone. */
void bus_move(struct bus *bus, const struct gring *ring, int wake);

/* Sends a request and returns its id, without waiting for the reply. */
uint32_t bus_submit(struct bus *bus, uint32_t type, uint32_t tx,
		    const void *payload, size_t len);
/* Waits for the reply. `reply` (optional) is malloc'd, with a NUL behind it. */
int bus_wait(struct bus *bus, uint32_t id, char **reply, size_t *len);
int bus_ask(struct bus *bus, uint32_t type, uint32_t tx, const void *payload,
	    size_t len, char **reply, size_t *reply_len);

int bus_read(struct bus *bus, uint32_t tx, const char *path, char **value);
/* A number; `otherwise` if there is none. */
long bus_read_number(struct bus *bus, uint32_t tx, const char *path,
		     long otherwise);
int bus_write(struct bus *bus, uint32_t tx, const char *path,
	      const char *value);
int bus_rm(struct bus *bus, uint32_t tx, const char *path);
/* Children, each followed by a NUL, *len bytes together. */
int bus_list(struct bus *bus, uint32_t tx, const char *path, char **names,
	     size_t *len);
int bus_watch(struct bus *bus, const char *path, const char *token);
int bus_unwatch(struct bus *bus, const char *path, const char *token);
int bus_begin(struct bus *bus, uint32_t *tx);
int bus_end(struct bus *bus, uint32_t tx, bool commit);

/* The next event, or -EAGAIN when none has come and `fd` (or -1) has become
 * readable or `ms` (or -1) have passed. Both strings are malloc'd as one, at
 * *path. */
int bus_event(struct bus *bus, int fd, int ms, char **path, char **token);

#endif
