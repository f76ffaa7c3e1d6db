/* SPDX-License-Identifier: MIT */
/*
 * An actor: a client, or a guest, with a subtree of its own, a model of it, and
 * a random load.
 *
 *	TOP/...			its own: see model.h
 *	/shared/count		sum of what all have added, in transactions
 *	/shared/last/N		... what this one has, in the same transactions
 *	/shared/log/N/K		K = 1, 2, 3...: written once each
 *
 * A client whose connection is lost comes again, and must then find what was
 * answered, and of the rest a beginning. Now and then a client hangs up, and a
 * guest asks for a fresh ring.
 */
#ifndef FAULT_ACTOR_H
#define FAULT_ACTOR_H

#include "client.h"
#include "model.h"

#define ACTOR_WATCHES 8
#define ACTOR_PERMS 4
#define LOG_LENGTH 40		/* then the log is removed */

struct actor_watch {
	char path[MODEL_PATH], token[4];
	bool relative;
	int depth;		/* -1: unlimited */
};

struct actor_txn {
	bool open;
	uint32_t id, last_id;
	uint64_t kills;		/* when it was begun */
	struct model model;
	char touched[32][MODEL_PATH];
	size_t n_touched;
};

enum counting { COUNT_IDLE, COUNT_READS, COUNT_ENDS };

struct actor {
	struct client client;
	const char *socket;	/* NULL: a guest */
	unsigned int number, domid;
	char top[64];
	size_t home_len;	/* of what relative paths do without */
	char perms[ACTOR_PERMS][32];	/* with their NULs: see perms_len */
	size_t perms_len[ACTOR_PERMS];
	bool sees_secret;
	struct model model;	/* after all that was sent */
	struct model acked;	/* after all that was answered; sockets */
	struct actor_watch watches[ACTOR_WATCHES];
	size_t n_watches;
	struct actor_txn txn;
	bool waits;		/* for the last reply, before anything else */
	bool stopped;		/* sends nothing new */
	enum counting counting;
	uint32_t counting_id;
	uint64_t added;		/* commits of its own to the count */
	bool adding;		/* one more may have been */
	uint32_t logged;	/* sent to the log */
	uint32_t log_acked;
	uint32_t lost;		/* connections */
	uint32_t left;		/* ... of its own accord, of those */
	uint64_t resetting;	/* ms: since when it waits for a fresh ring, or
				 * 0 */
};

/* Sockets connect by themselves; a guest has been introduced. */
void actor_init(struct actor *actor, unsigned int number, const char *socket,
		struct guest *guest);
/* So many may still send a request that is fatal, and is refused; so many have
 * not been answered. */
extern unsigned int poisons, poisons_out;
#define PATIENCE_MS 15000	/* nobody has to wait so long */

/* Sends something, or nothing. */
void actor_act(struct actor *actor);
void actor_receive(struct actor *actor);
/* Connects again and compares; false: nobody listens yet. */
bool actor_return(struct actor *actor);
/* All is answered, the model is compared with the store, whole. */
void actor_verify(struct actor *actor);
/* A path below its top, as it is sent: absolute, or relative to the home.
 * Returns the length with the NUL. */
size_t actor_spell(const struct actor *actor, const char *path, bool relative,
		   char *out);
bool actor_is_idle(const struct actor *actor);

#endif
