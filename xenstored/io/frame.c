/* SPDX-License-Identifier: MIT */
#include "io/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER sizeof(struct xsd_sockmsg)

/*
 * Input is in two places: `part` has the beginning of a message that was cut,
 * `rest` the bytes behind it. Outside of frame_feed()/frame_next() at most one
 * of them is not empty.
 */
struct frame {
	const char *rest;
	size_t left;		/* bytes at rest */
	char *own;		/* rest points into it; NULL: borrowed */
	char *part;		/* room for the largest message, or NULL */
	size_t have;		/* bytes at part */
	size_t last;		/* size of the message given out last, or 0 */
	uint32_t bad_len;
};

static int frame_free(struct frame *frame)
{
	free(frame->own);
	free(frame->part);
	return 0;
}

int frame_new(TALLOC_CTX *ctx, struct frame **out)
{
	struct frame *frame = talloc_zero(ctx, struct frame);

	if (!frame)
		return -ENOMEM;
	talloc_set_destructor(frame, frame_free);
	*out = frame;
	return 0;
}

void frame_feed(struct frame *frame, const void *data, size_t len)
{
	free(frame->own);
	frame->own = NULL;
	frame->rest = data;
	frame->left = len;
	frame->last = 0;
}

/* Moves bytes from rest until part has `want`. False: there are not enough. */
static bool part_fill(struct frame *frame, size_t want)
{
	size_t n = want - frame->have;

	if (n > frame->left)
		n = frame->left;
	if (!n)
		return frame->have == want;
	memcpy(frame->part + frame->have, frame->rest, n);
	frame->have += n;
	frame->rest += n;
	frame->left -= n;
	return frame->have == want;
}

/* Reads the header at p. */
static int header_get(struct frame *frame, const char *p,
		      struct xsd_sockmsg *hdr)
{
	memcpy(hdr, p, HEADER);
	if (hdr->len <= XENSTORE_PAYLOAD_MAX)
		return 0;
	frame_reset(frame);
	frame->bad_len = hdr->len;
	return EPROTO;
}

/* What is left of the input is less than a message: keep it. */
static int part_begin(struct frame *frame)
{
	if (!frame->left)
		return EAGAIN;
	frame->part = malloc(HEADER + XENSTORE_PAYLOAD_MAX);
	if (!frame->part)
		return -ENOMEM;
	part_fill(frame, frame->left);
	return EAGAIN;
}

static int part_next(struct frame *frame, struct message *out)
{
	int err;

	if (frame->have < HEADER && !part_fill(frame, HEADER))
		return EAGAIN;
	err = header_get(frame, frame->part, &out->hdr);
	if (err)
		return err;
	if (!part_fill(frame, HEADER + out->hdr.len))
		return EAGAIN;
	out->payload = frame->part + HEADER;
	frame->last = frame->have;
	return 0;
}

static int rest_next(struct frame *frame, struct message *out)
{
	int err;

	if (frame->left < HEADER)
		return part_begin(frame);
	err = header_get(frame, frame->rest, &out->hdr);
	if (err)
		return err;
	if (frame->left - HEADER < out->hdr.len)
		return part_begin(frame);
	out->payload = frame->rest + HEADER;
	frame->last = HEADER + out->hdr.len;
	frame->rest += frame->last;
	frame->left -= frame->last;
	return 0;
}

int frame_next(struct frame *frame, struct message *out)
{
	int err;

	if (frame->bad_len)
		return EPROTO;
	if (frame->last && frame->have) {
		free(frame->part);
		frame->part = NULL;
		frame->have = 0;
	}
	frame->last = 0;
	err = frame->have ? part_next(frame, out) : rest_next(frame, out);
	if (err == EAGAIN) {
		free(frame->own);
		frame->own = NULL;
		frame->rest = NULL;
	}
	return err;
}

/* Makes `part` and `rest` one piece of memory of our own. */
static int frame_own(struct frame *frame)
{
	size_t size = frame->have + frame->left;
	char *own = malloc(size ? size : 1);

	if (!own)
		return -ENOMEM;
	if (frame->have)
		memcpy(own, frame->part, frame->have);
	if (frame->left)
		memcpy(own + frame->have, frame->rest, frame->left);
	free(frame->part);
	free(frame->own);
	frame->part = NULL;
	frame->have = 0;
	frame->own = own;
	frame->rest = own;
	frame->left = size;
	return 0;
}

int frame_unget(struct frame *frame)
{
	if (!frame->last)
		return 0;
	if (frame->have) {
		frame->last = 0;
		return frame_own(frame);
	}
	frame->rest -= frame->last;
	frame->left += frame->last;
	frame->last = 0;
	return 0;
}

int frame_keep(struct frame *frame)
{
	/* A message that was given out is not ours to keep. */
	if (frame->last && frame->have) {
		free(frame->part);
		frame->part = NULL;
		frame->have = 0;
	}
	frame->last = 0;
	if (frame->own || !frame->left)
		return 0;
	return frame_own(frame);
}

size_t frame_pending(const struct frame *frame, const void **data)
{
	if (frame->have && !frame->last) {
		*data = frame->part;
		return frame->have;
	}
	*data = frame->rest;
	return frame->left;
}

uint32_t frame_bad_len(const struct frame *frame)
{
	return frame->bad_len;
}

void frame_reset(struct frame *frame)
{
	frame_free(frame);
	memset(frame, 0, sizeof(*frame));
}
