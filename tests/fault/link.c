/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void kick(void *arg)
{
	guest_kick(arg);
}

bool link_dial(struct link *link, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memset(link, 0, offsetof(struct link, out));
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	link->fd = fd;
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return true;
	close(fd);
	link->fd = -1;
	return false;
}

void link_attach(struct link *link, struct guest *guest)
{
	memset(link, 0, offsetof(struct link, out));
	link->guest = guest;
	link->fd = guest_fd(guest);
	link->ring = (struct gring){
		.page = guest_page(guest),
		.kick = kick,
		.arg = guest,
	};
}

void link_close(struct link *link)
{
	if (!link->guest && link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

/* ---- out ----------------------------------------------------------------- */

static void put(struct link *link, const void *data, size_t len)
{
	if (link->out_at && link->out_len + len > LINK_OUT) {
		link->out_len -= link->out_at;
		memmove(link->out, link->out + link->out_at, link->out_len);
		link->out_at = 0;
	}
	memcpy(link->out + link->out_len, data, len);
	link->out_len += len;
}

void link_send(struct link *link, uint32_t type, uint32_t req, uint32_t tx,
	       const void *payload, size_t len)
{
	const struct xsd_sockmsg head = { type, req, tx, len };

	put(link, &head, sizeof(head));
	put(link, payload, len);
	link_flush(link);
}

static ssize_t push(struct link *link, const void *data, size_t len)
{
	if (link->guest)
		return gring_write(&link->ring, data, len);
	return send(link->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void link_flush(struct link *link)
{
	ssize_t n = 1;

	while (!link->lost && link->out_at < link->out_len && n > 0) {
		n = push(link, link->out + link->out_at,
			 link->out_len - link->out_at);
		if (n > 0)
			link->out_at += n;
		else if (n < 0 && errno != EAGAIN)
			link->lost = true;
	}
	if (link->out_at == link->out_len)
		link->out_at = link->out_len = 0;
	link->blocked = !link->guest && link->out_len;
}

bool link_is_flushed(const struct link *link)
{
	return !link->out_len;
}

/* ---- in ------------------------------------------------------------------ */

static ssize_t pull(struct link *link, void *data, size_t room)
{
	if (link->guest)
		return gring_read(&link->ring, data, room);
	return recv(link->fd, data, room, MSG_DONTWAIT);
}

void link_fill(struct link *link)
{
	ssize_t n;

	if (link->guest)
		guest_clear(link->guest);
	link->in_len -= link->in_at;
	memmove(link->in, link->in + link->in_at, link->in_len);
	link->in_at = 0;
	do {
		size_t room = LINK_IN - link->in_len;

		n = room ? pull(link, link->in + link->in_len, room) : 0;
		if (n > 0) {
			link->in_len += n;
			link->bytes += n;
		} else if (!link->guest && room &&
			   (n == 0 || errno != EAGAIN)) {
			link->lost = true;
		}
	} while (n > 0);
	link_flush(link);
}

bool link_next(struct link *link, struct xsd_sockmsg *head,
	       const char **payload)
{
	size_t have = link->in_len - link->in_at;

	if (have < sizeof(*head))
		return false;
	memcpy(head, link->in + link->in_at, sizeof(*head));
	if (head->len > XENSTORE_PAYLOAD_MAX)	/* nothing is so long */
		head->len = XENSTORE_PAYLOAD_MAX;
	if (have < sizeof(*head) + head->len)
		return false;
	*payload = link->in + link->in_at + sizeof(*head);
	link->in_at += sizeof(*head) + head->len;
	return true;
}

/* ---- rings --------------------------------------------------------------- */

const char *link_fault(const struct link *link)
{
	const struct xenstore_domain_interface *page = link->ring.page;

	if (!link->guest)
		return NULL;
	if (page->connection != XENSTORE_CONNECTED)
		return "connection is not 0";
	if (page->error != XENSTORE_ERROR_NONE)
		return "error is not 0";
	if (page->req_prod - page->req_cons > XENSTORE_RING_SIZE)
		return "req_cons is beyond req_prod";
	if (page->rsp_prod - page->rsp_cons > XENSTORE_RING_SIZE)
		return "rsp_prod is too far ahead";
	return NULL;
}

bool link_is_silent(const struct link *link)
{
	const struct xenstore_domain_interface *page = link->ring.page;

	return link->guest && page->rsp_prod != page->rsp_cons;
}
