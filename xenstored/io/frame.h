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
 * F2  A header with len > XENSTORE_PAYLOAD_MAX is the end: EPROTO, until
 *     frame_reset().
 * F3  Memory is held only while there is input that is not given out yet: a
 *     buffer for one message while one is incomplete, and after frame_keep()
 *     or frame_unget() what is left of one frame_feed().
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
 * Gives bytes in, only when frame_next() has said EAGAIN or nothing was given
 * in yet. They are borrowed until it says so again, or until frame_keep().
 */
void frame_feed(struct frame *frame, const void *data, size_t len);
/*
 * The next complete message, good until the next call and while the bytes it
 * came with are there. EAGAIN: needs more bytes; those of an incomplete
 * message were copied. EPROTO: F2. -ENOMEM.
 */
int frame_next(struct frame *frame, struct message *out);
/* Takes the message that was given out last back: it is the next one. */
int frame_unget(struct frame *frame);
/* Copies what is borrowed, as its owner wants the memory back. */
int frame_keep(struct frame *frame);
/* Bytes of an incomplete message, or of messages not given out yet. */
size_t frame_pending(const struct frame *frame, const void **data);
/* The length that broke F2, or 0. */
uint32_t frame_bad_len(const struct frame *frame);
void frame_reset(struct frame *frame);

#endif
