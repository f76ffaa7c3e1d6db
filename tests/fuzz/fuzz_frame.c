/* SPDX-License-Identifier: MIT */
/*
 * Any bytes, cut anywhere, kept and taken back at will, are the messages that
 * a look at the whole gives. The first byte of each piece says how long it is
 * and what is done with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool holds)
{
	if (!holds)
		abort();
}

struct stream {
	char bytes[1 << 16];
	size_t len, at;		/* at: up to where messages were given out */
};

/* What the next message has to be. False: it is not complete, or bad. */
static bool expect(struct stream *s, const struct message *msg, int err)
{
	struct xsd_sockmsg hdr;
	size_t left = s->len - s->at;

	if (left < sizeof(hdr)) {
		check(err == EAGAIN);
		return false;
	}
	memcpy(&hdr, s->bytes + s->at, sizeof(hdr));
	if (hdr.len > XENSTORE_PAYLOAD_MAX) {
		check(err == EPROTO);
		return false;
	}
	if (left - sizeof(hdr) < hdr.len) {
		check(err == EAGAIN);
		return false;
	}
	check(!err && !memcmp(&msg->hdr, &hdr, sizeof(hdr)) &&
	      !memcmp(msg->payload, s->bytes + s->at + sizeof(hdr), hdr.len));
	return true;
}

/* False: the stream is over. */
static bool take_all(struct frame *frame, struct stream *s, unsigned int what)
{
	struct message msg;
	int err;

	while (!(err = frame_next(frame, &msg))) {
		check(expect(s, &msg, err));
		if (what & 1) {
			check(!frame_unget(frame));
			check(!frame_next(frame, &msg));
			check(expect(s, &msg, 0));
		}
		s->at += sizeof(msg.hdr) + msg.hdr.len;
		if (what & 2)
			check(!frame_keep(frame));
	}
	check(!expect(s, &msg, err));
	return err == EAGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct stream s;
	struct frame *frame;
	bool more = true;

	if (len > sizeof(s.bytes))
		return 0;
	s.len = s.at = 0;
	check(!frame_new(NULL, &frame));
	while (len && more) {
		unsigned int what = *data & 3;
		size_t n = (*data >> 2) * (what ? 1 : 32);
		const void *pending;
		char *copy;

		data++;
		len--;
		n = n < len ? n : len;
		copy = malloc(n + 1);
		memcpy(copy, data, n);
		memcpy(s.bytes + s.len, data, n);
		s.len += n;
		data += n;
		len -= n;
		frame_feed(frame, copy, n);
		more = take_all(frame, &s, what);
		free(copy);
		if (more) {
			check(frame_pending(frame, &pending) == s.len - s.at);
			check(!memcmp(pending ? pending : "", s.bytes + s.at,
				      s.len - s.at));
		}
	}
	talloc_free(frame);
	return 0;
}
