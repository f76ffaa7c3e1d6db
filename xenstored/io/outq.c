/* SPDX-License-Identifier: MIT */
#include "io/outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct outq_pool {
	struct hash_table *events;	/* queued, not begun; see O3 */
	uint64_t now;
};

/* A queued message. */
struct out {
	struct list in_all;
	struct list in_events;		/* linked: an event not begun */
	struct hash_item item;		/* in pool->events if `hashed` */
	struct outq *q;
	struct flight *flight;
	uint64_t queued_at;
	size_t size;			/* header and payload */
	bool hashed;
	bool walked;			/* by outq_each_new() */
	struct xsd_sockmsg hdr;
	char payload[];
};

int outq_pool_new(TALLOC_CTX *ctx, struct outq_pool **out)
{
	struct outq_pool *pool = talloc_zero(ctx, struct outq_pool);

	if (!pool || hash_table_new(pool, &pool->events)) {
		talloc_free(pool);
		return -ENOMEM;
	}
	*out = pool;
	return 0;
}

void outq_pool_set_now(struct outq_pool *pool, uint64_t now)
{
	pool->now = now;
}

void outq_init(struct outq *q, struct outq_pool *pool, struct ledger *ledger)
{
	*q = (struct outq){ .pool = pool, .ledger = ledger };
	list_init(&q->all);
	list_init(&q->events);
}

/* What keeping a message of so many bytes costs. Small ones are mostly what is
 * kept about them. */
static size_t out_cost(size_t size)
{
	return sizeof(struct out) - sizeof(struct xsd_sockmsg) + size;
}

size_t outq_cost(size_t len)
{
	return out_cost(sizeof(struct xsd_sockmsg) + len);
}

static struct out *out_new(struct outq *q, const struct xsd_sockmsg *hdr,
			   struct flight *flight)
{
	size_t size = sizeof(*hdr) + hdr->len;
	struct out *out = malloc(sizeof(*out) + hdr->len);

	if (!out)
		return NULL;
	out->q = q;
	out->flight = flight_ref(flight);
	out->queued_at = q->pool->now;
	out->size = size;
	out->hashed = false;
	out->walked = false;
	out->hdr = *hdr;
	list_init(&out->in_events);
	list_add_tail(&q->all, &out->in_all);
	q->count++;
	q->bytes += size;
	if (q->ledger)
		ledger_charge(q->ledger, QUOTA_MEMORY, out_cost(size));
	return out;
}

/* From now on it is neither merged with an equal one nor dropped. */
static void out_begin(struct out *out)
{
	list_del(&out->in_events);
	if (out->hashed)
		hash_del(out->q->pool->events, &out->item);
	out->hashed = false;
}

static void out_free(struct out *out)
{
	struct outq *q = out->q;

	out_begin(out);
	list_del(&out->in_all);
	q->count--;
	q->bytes -= out->size;
	if (q->ledger)
		ledger_refund(q->ledger, QUOTA_MEMORY, out_cost(out->size));
	flight_unref(out->flight);
	free(out);
}

void outq_clear(struct outq *q)
{
	struct out *out;

	while ((out = list_first(&q->all, struct out, in_all)))
		out_free(out);
	q->sent = 0;
}

int outq_add(struct outq *q, const struct xsd_sockmsg *hdr,
	     struct blob payload, struct flight *flight)
{
	struct out *out = out_new(q, hdr, flight);

	if (!out)
		return -ENOMEM;
	if (payload.len)
		memcpy(out->payload, payload.data, payload.len);
	return 0;
}

/* ---- events -------------------------------------------------------------- */

/* The queued event with this path and token, and the hash for a new one. */
static struct out *event_find(struct outq *q, const char *path, size_t plen,
			      const char *token, size_t tlen, uint64_t *hash)
{
	struct hash_table *table = q->pool->events;
	struct hash_item *item;
	struct out *out;

	*hash = hash_bytes(table, (uintptr_t)q, path, plen);
	*hash = hash_bytes(table, *hash, token, tlen);
	for (item = hash_first(table, *hash); item; item = hash_next(item)) {
		out = hash_entry(item, struct out, item);
		if (out->q == q && out->hdr.len == plen + tlen &&
		    !memcmp(out->payload, path, plen) &&
		    !memcmp(out->payload + plen, token, tlen))
			return out;
	}
	return NULL;
}

static void event_hash(struct out *out, uint64_t hash)
{
	hash_add(out->q->pool->events, &out->item, hash);
	out->hashed = true;
}

int outq_add_event(struct outq *q, const char *path, const char *token,
		   bool bounded, struct flight *flight)
{
	size_t plen = strlen(path) + 1, tlen = strlen(token) + 1;
	struct xsd_sockmsg hdr = {
		.type = XS_WATCH_EVENT,
		.len = plen + tlen,
	};
	bool special = path[0] == '@';
	uint64_t hash = 0;
	struct out *out;

	if (!special && event_find(q, path, plen, token, tlen, &hash))
		return EEXIST;
	if (hdr.len > XENSTORE_PAYLOAD_MAX)
		return E2BIG;
	if (bounded &&
	    !ledger_admits(q->ledger, QUOTA_MEMORY, outq_cost(hdr.len)))
		return ENOSPC;
	out = out_new(q, &hdr, flight);
	if (!out)
		return -ENOMEM;
	memcpy(out->payload, path, plen);
	memcpy(out->payload + plen, token, tlen);
	list_add_tail(&q->events, &out->in_events);
	if (!special)
		event_hash(out, hash);
	return 0;
}

static struct out *first_event(const struct outq *q)
{
	return list_first(&q->events, struct out, in_events);
}

bool outq_oldest_event(const struct outq *q, uint64_t *at)
{
	const struct out *out = first_event(q);

	*at = out ? out->queued_at : 0;
	return out;
}

/* How many are before it. */
static size_t out_place(const struct out *out)
{
	const struct list *at = out->in_all.prev;
	size_t n = 0;

	for (; at != &out->q->all; at = at->prev)
		n++;
	return n;
}

size_t outq_drop_event(struct outq *q)
{
	struct out *out = first_event(q);
	size_t place = out_place(out);

	out_free(out);
	return place;
}

void outq_disown_event(struct outq *q)
{
	struct out *out = first_event(q);

	list_del(&out->in_events);
	flight_unref(out->flight);
	out->flight = NULL;
}

/* ---- leaving ------------------------------------------------------------- */

int outq_pieces(const struct outq *q, struct iovec *iov, int n, size_t *want)
{
	size_t skip = q->sent;
	struct out *out;
	int i = 0;

	*want = 0;
	list_for_each(out, &q->all, in_all) {
		if (i == n)
			break;
		iov[i].iov_base = (char *)&out->hdr + skip;
		iov[i].iov_len = out->size - skip;
		*want += iov[i++].iov_len;
		skip = 0;
	}
	return i;
}

void outq_sent(struct outq *q, size_t n)
{
	while (n) {
		struct out *out = list_first(&q->all, struct out, in_all);
		size_t left = out->size - q->sent;

		if (n < left) {
			out_begin(out);
			q->sent += n;
			return;
		}
		n -= left;
		q->sent = 0;
		out_free(out);
	}
}

/* ---- for a successor ----------------------------------------------------- */

/* May it still be merged with an equal one, or dropped? */
static void out_restore_event(struct out *out)
{
	struct outq *q = out->q;
	size_t plen = strnlen(out->payload, out->hdr.len) + 1;
	uint64_t hash;

	if (out->hdr.type != XS_WATCH_EVENT || plen > out->hdr.len)
		return;
	list_add_tail(&q->events, &out->in_events);
	if (out->payload[0] == '@')
		return;
	event_find(q, out->payload, plen, out->payload + plen,
		   out->hdr.len - plen, &hash);
	event_hash(out, hash);
}

int outq_restore(struct outq *q, struct blob message, size_t sent)
{
	struct xsd_sockmsg hdr = { 0 };
	bool whole = message.len >= sizeof(hdr);
	struct out *out;

	if (whole) {
		memcpy(&hdr, message.data, sizeof(hdr));
		whole = sizeof(hdr) + hdr.len == message.len;
	}
	/* What is left of a message is bytes like others. */
	if (!whole)
		hdr.len = message.len;
	out = out_new(q, &hdr, NULL);
	if (!out)
		return -ENOMEM;
	if (whole) {
		memcpy(out->payload, (const char *)message.data + sizeof(hdr),
		       hdr.len);
		if (!sent)
			out_restore_event(out);
	} else {
		memcpy((char *)&out->hdr, message.data,
		       message.len < sizeof(hdr) ? message.len : sizeof(hdr));
		if (message.len > sizeof(hdr))
			memcpy(out->payload,
			       (const char *)message.data + sizeof(hdr),
			       message.len - sizeof(hdr));
		q->bytes -= sizeof(hdr);
		if (q->ledger)
			ledger_refund(q->ledger, QUOTA_MEMORY, sizeof(hdr));
		out->size = message.len;
	}
	out->walked = true;
	if (q->all.next == &out->in_all)
		q->sent = sent;
	return 0;
}

void outq_each(const struct outq *q,
	       void (*fn)(void *arg, struct blob message, size_t sent),
	       void *arg)
{
	size_t sent = q->sent;
	const struct out *out;

	list_for_each(out, &q->all, in_all) {
		fn(arg, (struct blob){ &out->hdr, out->size }, sent);
		sent = 0;
	}
}

void outq_each_new(struct outq *q,
		   void (*fn)(void *arg, struct blob message), void *arg)
{
	struct list *at = q->all.prev;
	struct out *out;

	while (at != &q->all && !list_entry(at, struct out, in_all)->walked)
		at = at->prev;
	for (at = at->next; at != &q->all; at = at->next) {
		out = list_entry(at, struct out, in_all);
		out->walked = true;
		fn(arg, (struct blob){ &out->hdr, out->size });
	}
}
