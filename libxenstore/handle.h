/* SPDX-License-Identifier: MIT */
/*
 * A handle: one connection, its lock, and those who are inside.
 *
 * H1  Everything is under the lock but what is constant, and the input
 *     buffer, which belongs to the thread that has the reader's role. The
 *     lock is never held while waiting.
 * H2  A thread is inside from handle_enter() to handle_leave(), with
 *     cancellation disabled except where exchange.c waits. handle_close()
 *     frees the handle after all are out.
 * H3  Before the lock is given up xs_fileno()'s descriptor is told what it
 *     should show (handle_release()), and whoever can go on is woken.
 * H4  The link is shown there unless somebody reads it, or is about to
 *     because its request is out: so what a poll() sees are events.
 */
#ifndef LIBXENSTORE_HANDLE_H
#define LIBXENSTORE_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "events.h"
#include "link.h"
#include "public.h"
#include "toolcore.h"

struct rejoin;
struct watch_request;

/* Room for any message, and for what came along with it. */
#define HANDLE_INPUT_SIZE 8192

enum link_state {
	LINK_UP,
	LINK_DOWN,	/* lost, to be renewed: XS_OPEN_RECONNECT */
	LINK_LOST	/* for good */
};

/* A thread that waits, on its stack. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct waiter_list *list;	/* where it is in line; NULL */
	pthread_cond_t wake;
	int cancel_state;		/* the caller's */
	bool patient;			/* may be cancelled by now */

	bool done;			/* below is what it waited for */
	int err;
	struct event *event;
	char *body;			/* reply, with a NUL behind */
	unsigned int len;
	unsigned int epoch;		/* of the connection it came from */
};

TAILQ_HEAD(waiter_list, waiter);

/* The request that was sent and has no reply yet: one at a time. */
struct flight {
	bool busy;
	bool sending;			/* its owner is in link_send() */
	uint32_t type;
	struct waiter *owner;		/* NULL: nobody wants the reply */
	struct watch_request *watch;	/* if its success matters to us */
};

struct xs_handle {
	/* constant */
	unsigned long flags;		/* XS_* of xs_open() */
	pid_t opener;
	struct toolcore toolcore;
	struct link link;
	struct rejoin *rejoin;		/* NULL without XS_OPEN_RECONNECT */

	pthread_mutex_t lock;
	pthread_cond_t left;		/* nobody is inside any more */
	unsigned int inside;
	bool closing;

	enum link_state state;
	unsigned int epoch;		/* counts connections */
	bool reading;			/* somebody has the reader's role */
	struct flight flight;
	struct waiter_list turns;	/* want to send */
	struct waiter_list takers;	/* want an event */
	struct events events;

	unsigned int features;		/* the daemon's, once asked for */
	bool features_known;

	/* of the reader; what a lost connection left here is dropped later */
	unsigned int input_len;
	char input[HANDLE_INPUT_SIZE];
};

/* 0 and a handle, or an errno value. */
int handle_open(unsigned long flags, struct xs_handle **out);

/* Waits until all are out. In a forked child: handle_abandon(). */
void handle_close(struct xs_handle *h);

/* Frees memory and descriptors only. */
void handle_abandon(struct xs_handle *h);

/* Into the handle and out again; w is initialised, and may be cancelled. */
void handle_enter(struct xs_handle *h, struct waiter *w);
void handle_leave(struct xs_handle *h, struct waiter *w);

/* H3; to be followed by handle_retake(). */
void handle_release(struct xs_handle *h);
void handle_retake(struct xs_handle *h);

/* H3 without giving up the lock. */
void handle_show(struct xs_handle *h);

#endif
