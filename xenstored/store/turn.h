/* SPDX-License-Identifier: MIT */
/*
 * Turns: who goes first where transactions contend.
 *
 * Optimism alone starves: whoever changes a node often enough keeps others
 * from ever committing what they derived from it. So a client whose commit was
 * refused holds a reservation on what the transaction had seen, until its next
 * transaction ends or TURN_MS have passed. What others want to do to those
 * nodes meanwhile waits.
 *
 * F1  First come, first served: nobody waits for a reservation that is younger
 *     than his own, or than his wait. So there are no circles, and no request
 *     waits for longer than TURN_MS.
 * F2  The privileged never wait for the unprivileged.
 * F3  Without reservations, asking costs O(1).
 * F4  Whose request waited for whom is counted.
 *
 * F5  A client with a reservation begins when those before it, who have seen
 *     the node that it failed for, are through: so it reads what they wrote. If
 *     it is refused again it keeps its place, and its time.
 *
 * How the operations use it. Each session has a contender. WRITE, MKDIR, RM and
 * SET_PERMS on the live store ask contender_may() before they do anything; the
 * beginning and the end of a transaction ask contender_may_begin() and
 * contender_may_commit(). If the answer is no, the request is put back.
 * resume() tells to execute it again, and it asks again. A commit that said
 * EAGAIN is followed by contender_failed(), any other end of a transaction by
 * contender_done(). The server calls turns_expire() once a tick, and has a
 * timer for the time that it returns.
 */
#ifndef STORE_TURN_H
#define STORE_TURN_H

#include "base/hash.h"
#include "base/list.h"
#include "base/quota.h"
#include "base/who.h"
#include "store/trail.h"
#include "store/txn.h"

#define TURN_MS 20

struct turns;

struct contender {
	struct turns *turns;
	const struct who *who;
	struct ledger *ledger;	/* pays for the reservation; may be NULL */
	void (*resume)(struct contender *contender);
	/* The reservation. */
	struct list in_turns;
	struct trail *seen;	/* NULL: none */
	const char *hot;	/* what changed, of that */
	uint64_t seq;
	uint64_t until;		/* ms */
	uint64_t charged;
	struct list waiters;	/* of those who wait for it */
	/* The wait. */
	struct list in_wait;
	uint64_t arrival;	/* seq when it began; 0: does not wait */
};

int turns_new(TALLOC_CTX *ctx, struct turns **out);

/* `who` and `ledger` must outlive the contender. resume() is called from other
 * functions of this module: it notes that the session is to be served. */
void contender_init(struct contender *contender, struct turns *turns,
		    const struct who *who, struct ledger *ledger,
		    void (*resume)(struct contender *contender));
/* The session goes. */
void contender_fini(struct contender *contender);

/* May it be done to the live store now? If not, resume() will tell. */
bool contender_may(struct contender *contender, struct store *store,
		   const char *path, enum deed deed);
bool contender_may_begin(struct contender *contender);
bool contender_may_commit(struct contender *contender, const struct txn *txn);
/* It does not wait any longer: the request is not to be executed again. */
void contender_leave(struct contender *contender);

/* The commit said EAGAIN: takes what the transaction saw; the transaction can
 * only be freed then. `now` in ms. */
void contender_failed(struct contender *contender, struct txn *txn,
		      uint64_t now);
/* A transaction ended otherwise. */
void contender_done(struct contender *contender);

/* Ends what is overdue. The time when the next one will be; 0: none. */
uint64_t turns_expire(struct turns *turns, uint64_t now);

/* F4, in no order. Pairs beyond the first 1024 are counted for domains
 * DOMID_INVALID. */
uint64_t turns_waits(const struct turns *turns);
void turns_each(const struct turns *turns,
		void (*fn)(void *arg, uint16_t holder, uint16_t waiter,
			   uint64_t count),
		void *arg);

#endif
