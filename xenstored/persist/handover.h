/* SPDX-License-Identifier: MIT */
/*
 * The handover: the daemon's state as a stream for a successor, and a
 * predecessor's stream as an image.
 *
 * A successor of our kind also gets, in private records, what the stream has
 * no words for: open transactions, shutdowns that were told, generations.
 */
#ifndef PERSIST_HANDOVER_H
#define PERSIST_HANDOVER_H

#include "domains.h"
#include "persist/image.h"
#include "persist/stream.h"

struct handover {
	const struct sessions *sessions;
	const struct domains *domains;
	const struct store *store;
	int listener;
	int port;		/* -1: none */
	unsigned int version;
	bool private;		/* for one of our kind */
	/* Who asked for it, and the reply that it gets from the successor. */
	const struct session *asker;	/* NULL: nobody */
	struct blob reply;		/* header and payload */
};

/* Writes `file` anew, mode 0600; *asker is how it calls who asked, or 0.
 * Negative errno; no file is left then. -E2BIG: a connection has more unread
 * input than another kind of daemon can take. */
int handover_write(const char *file, const struct handover *from,
		   uint32_t *asker);

/*
 * Tells a stream, or oxenstored's dump, to an image. Local ports, positions of
 * rings and the like are what a handover has: see revive_options.handover.
 * -EPROTO with *fault, or what the image says.
 */
int handover_read(struct blob state, struct image *image,
		  struct stream_fault *fault);

/* It is we who go on after all: the reply that was for who asked, or rather the
 * text of it, is another. */
void handover_amend(struct image *image, uint32_t asker, const char *text);

/* Could we go on with it? As handover_read(). */
int handover_check(struct blob state, struct stream_fault *fault);

#endif
