/* SPDX-License-Identifier: MIT */
/*
 * A client of a xenstored that speaks the bare wire protocol, over the Unix
 * socket or as a guest over its ring.
 *
 * Messages that arrive are queued in order; callers take the first of a kind,
 * so a test may care about the order of replies and events, or not.
 *
 * C1  Bytes leave exactly as given: a client can be as malformed as wanted.
 * C2  While it waits to send, a client receives: two sides with full buffers
 *     do not block each other for ever.
 * C3  A guest notifies as Linux does: after writing only when the daemon may
 *     have seen an empty ring, after reading only when the ring was full.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

struct guest;
struct client;

struct message {
	struct message *next;
	struct xsd_sockmsg hdr;
	unsigned char body[]; /* hdr.len bytes, and a zero byte behind them */
};

enum message_kind { ANY_MESSAGE, ANY_REPLY, ANY_EVENT };

/* NULL, with errno set, when nobody listens. */
struct client *client_connect(const char *socket_path);

/* The guest stays the caller's. */
struct client *client_of_guest(struct guest *guest);

void client_free(struct client *client);

/* Sends bytes, waiting up to a time limit; false: the daemon hung up. */
bool client_send(struct client *client, const void *data, size_t len);

/* Sends one request. The answer will carry the same id and tx. */
bool client_request(struct client *client, uint32_t type, uint32_t id,
		    uint32_t tx, const void *data, size_t len);

/*
 * Takes the first message of that kind out of the queue, waiting up to ms
 * milliseconds for it. NULL: none came. The caller frees it with free().
 */
struct message *client_take(struct client *client, enum message_kind kind,
			    int ms);

/* Receives what is there, without taking it; waits up to ms for the first. */
void client_receive(struct client *client, int ms);

/* Looks at the queue; the client keeps the messages. */
struct message *client_queue(const struct client *client);

/* Takes that one out of the queue and frees it. */
void client_drop(struct client *client, struct message *msg);

/* The daemon closed the connection, or answered with nonsense. */
bool client_is_dead(const struct client *client);

/* No more requests will come; the daemon sees the end of the stream. */
void client_shutdown(struct client *client);

#endif /* CLIENT_H */
