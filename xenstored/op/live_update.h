/* SPDX-License-Identifier: MIT */
/*
 * Live update: CONTROL live-update, up to the moment when the worker returns
 * and the keeper executes the new program.
 *
 * A program of our kind (it carries a mark) is started at any moment, after it
 * has looked at the state; open transactions go on in it. Any other is started
 * when no transaction is open, as C xenstored does it: new ones wait for that.
 *
 * U1  Whatever fails, this daemon goes on serving, and the asker is told.
 * U2  The reply to a start that succeeds is part of the state: the successor
 *     sends it.
 */
#ifndef OP_LIVE_UPDATE_H
#define OP_LIVE_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the server does for it. */
struct live_update_ops {
	/* keeper_check(), keeper_checked(), keeper_exec(); `asker` is as
	 * handover_write() says, and is told if the program fails */
	int (*check)(void *arg, const char *file, const char *state);
	int (*checked)(void *arg);
	int (*exec)(void *arg, const char *state, uint32_t asker,
		    char *const argv[]);
};

enum live_update_phase {
	LIVE_NONE,
	LIVE_CHOSEN,		/* a file was named */
	LIVE_CHECKING,		/* it looks at the state */
	LIVE_WAITING,		/* for the end of transactions */
	LIVE_READY,		/* the start is executed once more */
	LIVE_FAILED,		/* so that it can be told why */
	LIVE_LEAVING,		/* all is written: the worker is to return */
};

struct session;

#define LIVE_UPDATE_FELL_BACK "The new binary failed, the old one goes on."

struct live_update {
	const struct live_update_ops *ops;	/* NULL: not supported */
	void *arg;
	const char *rundir;
	char *const *argv;		/* our own command line */
	int listener, port;		/* descriptors for the successor */
	const char *ended;		/* what became of one that is over, for
					 * whose tool asks for it again; NULL:
					 * none is, or it was told */
	enum live_update_phase phase;
	const struct session *owner;	/* who named the file */
	struct session *asker;		/* who waits for the start */
	char *file, *cmdline;
	bool ours, force;
	unsigned int version;
	unsigned int timeout;		/* seconds */
	uint64_t until;			/* ms */
	char why[1024];
};

struct op_world;
struct request;

int control_live_update(struct request *req, const char **arg, size_t n);

/* Has a new transaction of this session to wait? */
bool live_update_holds(const struct op_world *world,
		       const struct session *session);
/* Between ticks. True: wants to be called again soon. */
bool live_update_work(struct op_world *world);
void live_update_forget(struct op_world *world, const struct session *session);

/* In every program of our kind. */
#define LIVE_UPDATE_MARK "xenstored live update, state check 1"

#endif
