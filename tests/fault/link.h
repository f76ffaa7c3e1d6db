/* SPDX-License-Identifier: MIT */
/*
 * A way to the daemon, over which messages are sent and received without
 * waiting: a socket, or a guest's ring.
 *
 * L1  A ring is looked at only after the daemon has notified, as guests do: a
 *     notification that is lost is a hang.
 */
#ifndef FAULT_LINK_H
#define FAULT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../conformance/guest.h"
#include "../guest/gring.h"

#define LINK_OUT (1u << 20)
#define LINK_IN 65536

struct link {
	int fd;			/* to be polled for reading; -1: none */
	struct guest *guest;	/* NULL: a socket */
	bool blocked;		/* to be polled for writing */
	bool lost;
	uint64_t bytes;		/* received */
	/* private */
	struct gring ring;
	size_t out_at, out_len, in_at, in_len;
	char out[LINK_OUT], in[LINK_IN];
};

/* False: nobody listens. */
bool link_dial(struct link *link, const char *path);
void link_attach(struct link *link, struct guest *guest);
void link_close(struct link *link);

void link_send(struct link *link, uint32_t type, uint32_t req, uint32_t tx,
	       const void *payload, size_t len);
/* Sends what can be sent. */
void link_flush(struct link *link);
/* Everything that was sent has left us. */
bool link_is_flushed(const struct link *link);

/* `fd` was readable: takes what has come. */
void link_fill(struct link *link);
/* The next whole message; payload is good until link_fill(). */
bool link_next(struct link *link, struct xsd_sockmsg *head,
	       const char **payload);

/* Why a ring is not as it should be, or NULL. */
const char *link_fault(const struct link *link);
/* Does it hold something nobody has told us of? */
bool link_is_silent(const struct link *link);

#endif
