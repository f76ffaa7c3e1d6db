/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define SEND_LIMIT_MS 10000

/* oxenstored sends listings beyond the protocol's limit. */
#define BODY_MAX (1 << 20)

struct client {
	int fd; /* the socket, or the guest's event channel */
	struct guest *guest;
	bool dead;
	unsigned char *in;
	size_t in_len, in_cap;
	struct message *first, **last;
};

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static struct client *client_new(int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	client->fd = fd;
	client->last = &client->first;
	return client;
}

struct client *client_connect(const char *socket_path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;

	strncpy(addr.sun_path, socket_path, sizeof(addr.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    fcntl(fd, F_SETFL, O_NONBLOCK)) {
		close(fd);
		return NULL;
	}
	return client_new(fd);
}

struct client *client_of_guest(struct guest *guest)
{
	struct client *client = client_new(guest_fd(guest));

	client->guest = guest;
	return client;
}

void client_free(struct client *client)
{
	struct message *msg;

	while ((msg = client->first)) {
		client->first = msg->next;
		free(msg);
	}
	if (!client->guest)
		close(client->fd);
	free(client->in);
	free(client);
}

void client_shutdown(struct client *client)
{
	if (!client->guest)
		shutdown(client->fd, SHUT_WR);
}

bool client_is_dead(const struct client *client)
{
	return client->dead;
}

struct message *client_queue(const struct client *client)
{
	return client->first;
}

static void unlink_message(struct client *client, struct message **p)
{
	*p = (*p)->next;
	if (!*p)
		client->last = p;
}

void client_drop(struct client *client, struct message *msg)
{
	struct message **p = &client->first;

	while (*p != msg)
		p = &(*p)->next;
	unlink_message(client, p);
	free(msg);
}

/* ---- receiving ----------------------------------------------------------- */

static void in_append(struct client *client, const void *data, size_t len)
{
	if (client->in_len + len > client->in_cap) {
		client->in_cap = 2 * (client->in_len + len);
		client->in = realloc(client->in, client->in_cap);
	}
	memcpy(client->in + client->in_len, data, len);
	client->in_len += len;
}

static void in_parse(struct client *client)
{
	struct xsd_sockmsg hdr;
	struct message *msg;
	size_t pos = 0;

	while (client->in_len - pos >= sizeof(hdr)) {
		memcpy(&hdr, client->in + pos, sizeof(hdr));
		if (hdr.len > BODY_MAX) {
			client->dead = true;
			return;
		}
		if (client->in_len - pos - sizeof(hdr) < hdr.len)
			break;
		msg = malloc(sizeof(*msg) + hdr.len + 1);
		msg->next = NULL;
		msg->hdr = hdr;
		memcpy(msg->body, client->in + pos + sizeof(hdr), hdr.len);
		msg->body[hdr.len] = 0;
		*client->last = msg;
		client->last = &msg->next;
		pos += sizeof(hdr) + hdr.len;
	}
	if (pos) {
		client->in_len -= pos;
		memmove(client->in, client->in + pos, client->in_len);
	}
}

static uint32_t load(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_SEQ_CST);
}

static bool ring_receive(struct client *client)
{
	struct xenstore_domain_interface *page = guest_page(client->guest);
	bool was_full = false, got = false;
	uint32_t cons, n, i;
	char buf[XENSTORE_RING_SIZE];

	for (;;) {
		cons = load(&page->rsp_cons);
		n = load(&page->rsp_prod) - cons;
		if (!n || n > XENSTORE_RING_SIZE)
			break;
		for (i = 0; i < n; i++)
			buf[i] = page->rsp[MASK_XENSTORE_IDX(cons + i)];
		store(&page->rsp_cons, cons + n);
		/* It may have become full since, and the daemon asleep. */
		was_full |= load(&page->rsp_prod) - cons >= XENSTORE_RING_SIZE;
		in_append(client, buf, n);
		got = true;
	}
	if (was_full)
		guest_kick(client->guest);
	return got;
}

static bool socket_receive(struct client *client)
{
	char buf[65536];
	ssize_t n = recv(client->fd, buf, sizeof(buf), 0);

	if (n > 0) {
		in_append(client, buf, n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client->dead = true;
	return false;
}

static bool receive(struct client *client)
{
	bool got;

	if (client->guest)
		got = ring_receive(client);
	else
		got = socket_receive(client);
	if (got)
		in_parse(client);
	return got;
}

static void wait_for(struct client *client, short events, int ms)
{
	struct pollfd fd = {client->fd, client->guest ? POLLIN : events, 0};

	if (poll(&fd, 1, ms < 0 ? 0 : ms) > 0 && client->guest)
		guest_clear(client->guest);
}

void client_receive(struct client *client, int ms)
{
	long long end = now_ms() + ms;

	while (!client->dead && !receive(client) && now_ms() < end)
		wait_for(client, POLLIN, end - now_ms());
	while (!client->dead && receive(client))
		;
}

static bool is_kind(const struct message *msg, enum message_kind kind)
{
	return kind == ANY_MESSAGE ||
	       (msg->hdr.type == XS_WATCH_EVENT) == (kind == ANY_EVENT);
}

struct message *client_take(struct client *client, enum message_kind kind,
			    int ms)
{
	long long end = now_ms() + ms;
	struct message **p, *msg;

	for (;;) {
		for (p = &client->first; (msg = *p); p = &msg->next) {
			if (!is_kind(msg, kind))
				continue;
			unlink_message(client, p);
			return msg;
		}
		if (client->dead || now_ms() >= end)
			return NULL;
		client_receive(client, end - now_ms());
	}
}

/* ---- sending ------------------------------------------------------------- */

static ssize_t ring_send(struct client *client, const char *data, size_t len)
{
	struct xenstore_domain_interface *page = guest_page(client->guest);
	uint32_t prod = load(&page->req_prod), i;
	uint32_t room = XENSTORE_RING_SIZE - (prod - load(&page->req_cons));

	if (room > XENSTORE_RING_SIZE)
		return -1;
	if (len > room)
		len = room;
	for (i = 0; i < len; i++)
		page->req[MASK_XENSTORE_IDX(prod + i)] = data[i];
	store(&page->req_prod, prod + len);
	if (len && (int32_t)(prod - load(&page->req_cons)) <= 0)
		guest_kick(client->guest);
	return len;
}

static ssize_t socket_send(struct client *client, const char *data, size_t len)
{
	ssize_t n = send(client->fd, data, len, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n;
}

bool client_send(struct client *client, const void *data, size_t len)
{
	long long end = now_ms() + SEND_LIMIT_MS;
	const char *bytes = data;
	ssize_t n;

	while (len) {
		if (client->guest)
			n = ring_send(client, bytes, len);
		else
			n = socket_send(client, bytes, len);
		if (n < 0 || (n == 0 && now_ms() > end)) {
			client->dead = true;
			return false;
		}
		bytes += n;
		len -= n;
		if (n == 0 && !receive(client))
			wait_for(client, POLLIN | POLLOUT, 100);
	}
	return true;
}

bool client_request(struct client *client, uint32_t type, uint32_t id,
		    uint32_t tx, const void *data, size_t len)
{
	struct {
		struct xsd_sockmsg hdr;
		char body[2 * XENSTORE_PAYLOAD_MAX];
	} msg = {{type, id, tx, len}, ""};

	if (len > sizeof(msg.body))
		return client_send(client, &msg.hdr, sizeof(msg.hdr)) &&
		       client_send(client, data, len);
	memcpy(msg.body, data, len);
	return client_send(client, &msg, sizeof(msg.hdr) + len);
}
