/* SPDX-License-Identifier: MIT */
#include "gring.h"

#include <string.h>

static uint32_t load(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

static void publish(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void kick(struct gring *ring)
{
	ring->kicks++;
	ring->kick(ring->arg);
}

size_t gring_write(struct gring *ring, const void *data, size_t len)
{
	struct xenstore_domain_interface *page = ring->page;
	uint32_t prod = load(&page->req_prod);
	uint32_t room = XENSTORE_RING_SIZE - (prod - load(&page->req_cons));
	size_t n = len < room ? len : room;

	for (size_t i = 0; i < n; i++)
		page->req[MASK_XENSTORE_IDX(prod + i)] =
			((const char *)data)[i];
	if (!n)
		return 0;
	publish(&page->req_prod, prod + n);
	if (prod <= load(&page->req_cons))
		kick(ring);
	return n;
}

size_t gring_read(struct gring *ring, void *data, size_t len)
{
	struct xenstore_domain_interface *page = ring->page;
	uint32_t cons = load(&page->rsp_cons);
	uint32_t fill = load(&page->rsp_prod) - cons;
	size_t n = len < fill ? len : fill;

	for (size_t i = 0; i < n; i++)
		((char *)data)[i] = page->rsp[MASK_XENSTORE_IDX(cons + i)];
	if (!n)
		return 0;
	publish(&page->rsp_cons, cons + n);
	if (load(&page->rsp_prod) - cons >= XENSTORE_RING_SIZE)
		kick(ring);
	return n;
}

void gring_reconnect(struct gring *ring)
{
	publish(&ring->page->connection, XENSTORE_RECONNECT);
	kick(ring);
}

bool gring_connected(const struct gring *ring)
{
	return load(&ring->page->connection) == XENSTORE_CONNECTED;
}

void gring_scrub(struct gring *ring)
{
	struct xenstore_domain_interface *page = ring->page;

	memset(page->req, 0xff, sizeof(page->req));
	memset(page->rsp, 0xff, sizeof(page->rsp));
	publish(&page->req_cons, 0);
	publish(&page->req_prod, 0);
	publish(&page->rsp_cons, 0);
	publish(&page->rsp_prod, 0);
}
