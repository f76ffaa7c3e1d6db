/* SPDX-License-Identifier: MIT */
/*
 * Somebody who knows what he will hear: for each request that he sends, the
 * events and the reply that must come, in order.
 *
 * X1  Each request is answered once, in the order in which they were sent,
 *     with its type, req_id and tx_id.
 * X2  Events come where they must, before or after which reply, without a gap
 *     and none twice. One may be missing if an equal one has come since the
 *     request that caused it was sent: that one was still waiting, and the
 *     daemon merges equal events.
 */
#ifndef FAULT_CLIENT_H
#define FAULT_CLIENT_H

#include "link.h"

#define CLIENT_TRACE 48
#define CLIENT_HEARD 256

struct client;

struct expect {
	struct expect *next;
	bool event;
	uint64_t sent_at;	/* messages that had come by then */
	/* replies */
	uint32_t type, req, tx;
	const char *error;	/* NULL: success */
	bool any;		/* success with any payload, `done` will look */
	char *data;		/* else this one */
	size_t len;
	/* Is what is not as it should be right nevertheless? `why` is the
	 * name of the error that came, NULL: none. Optional. */
	bool (*excuse)(struct client *client, const struct expect *expect,
		       const char *why);
	/* It was as expected or excused. Optional. */
	void (*done)(struct client *client, const struct expect *expect,
		     const char *why, const char *payload, size_t len);
	uint64_t kills;		/* of the daemon, until it was sent */
	void *after;		/* the sender's; freed with this */
	/* events */
	char path[96], token[16];
	unsigned int group;	/* those of one group come in any order; 0: in
				 * none. They are void when the next reply is
				 * an excused error. */
	bool heard;
};

struct client {
	struct link link;
	char name[16];
	/* Events go there, if it is set, instead of being expected. */
	void (*on_event)(struct client *client, const char *path,
			 const char *token);
	struct expect *first, **last;
	size_t outstanding;	/* replies */
	uint64_t received;	/* messages */
	uint32_t last_req;
	uint64_t requests, events, merged;
	uint64_t progress_at;	/* ms; when something came or was asked */
	struct {
		uint32_t hash;
		uint64_t at;
	} heard[CLIENT_HEARD];	/* the last events */
	size_t heard_at;
	char trace[CLIENT_TRACE][120];
	size_t trace_at;
};

void client_init(struct client *client, const char *name);

/* Sends a request; success with "OK" is expected until the caller says
 * otherwise. */
struct expect *client_send(struct client *client, uint32_t type, uint32_t tx,
			   const void *payload, size_t len);
void expect_data(struct expect *expect, const void *data, size_t len);
/* The next that comes, after all that is expected so far. */
struct expect *client_await(struct client *client, const char *path,
			    const char *token);

/* The link is readable. */
void client_receive(struct client *client);
/* The connection was lost: what was expected over it, to be handed to
 * client_forget() when the new one tells what became of it. If that is lost,
 * too, it is expected again. */
struct expect *client_put_aside(struct client *client);
void client_forget(struct client *client, struct expect *aside);

/* A request of somebody who expects nothing else; waits. NULL or the name of
 * the error; *reply is good until the next. */
const char *client_ask(struct client *client, uint32_t type,
		       const void *payload, size_t len, const char **reply,
		       size_t *reply_len);

/* ---- what all share ------------------------------------------------------ */

/* How often the daemon was killed. */
extern uint64_t kills;
extern bool failed;
/* Brings `kills` up to date, for what is looked at next. May be NULL. */
extern void (*kills_look)(void);

void note(struct client *client, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The first failure is told, with what led to it. */
void fail(struct client *client, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

uint64_t now_ms(void);
uint32_t roll(uint32_t n);		/* 0..n-1, by the seed */
void roll_seed(uint64_t seed);

#endif
