/* SPDX-License-Identifier: MIT */
/*
 * Frames: bytes to messages, incrementally. No I/O.
 *
 *	 0       4        8       12      16
 *	+-------+--------+-------+-------+----------------------+
 *	| type  | req_id | tx_id | len   | payload, len bytes   |
 *	+-------+--------+-------+-------+----------------------+
 *
 * F1  Any cut of the byte stream gives the same messages.
 * F2  A header with len > XENSTORE_PAYLOAD_MAX is the end: EPROTO, for ever.
 * F3  At most one buffer of fixed size is held per connection that has partial
 *     input, none for one that has not.
 */
#ifndef IO_FRAME_H
#define IO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>
#include <xen/io/xs_wire.h>

struct message {
	struct xsd_sockmsg hdr;
	const char *payload;	/* hdr.len bytes, borrowed */
};

struct frame;

int frame_new(TALLOC_CTX *ctx, struct frame **out);

/*
 * Gives bytes in. They are borrowed until frame_next() says EAGAIN; what is
 * then incomplete is copied. -ENOMEM.
 */
int frame_feed(struct frame *frame, const void *data, size_t len);
/* The next complete message. EAGAIN: needs more bytes. EPROTO: F2; *bad_len
 * (optional) tells the length. */
int frame_next(struct frame *frame, struct message *out);
/* Bytes of an incomplete message, or of messages not taken yet. */
size_t frame_pending(const struct frame *frame, const void **data);
uint32_t frame_bad_len(const struct frame *frame);
void frame_reset(struct frame *frame);

#endif
