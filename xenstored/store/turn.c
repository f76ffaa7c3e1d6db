/* SPDX-License-Identifier: MIT */
#include "store/turn.h"

#include <errno.h>

#include "base/scoped.h"
#include "store/store_priv.h"
#include "store/txn_priv.h"

#define PAIRS_MAX 1024

/* Who waited for whom. */
struct pair {
	struct hash_item item;
	uint16_t holder, waiter;
	uint64_t count;
};

struct turns {
	/* Reservations by age; F2 makes two lists of them, so that the
	 * privileged need not look at those of others. */
	struct list privileged, unprivileged;
	uint64_t seq;
	uint64_t waits;
	struct hash_table *by_pair;
	struct pair pairs[PAIRS_MAX + 1];	/* the last: all others */
	size_t npairs;
};

int turns_new(TALLOC_CTX *ctx, struct turns **out)
{
	scoped_talloc struct turns *turns = talloc_zero(ctx, struct turns);
	int err;

	if (!turns)
		return -ENOMEM;
	err = hash_table_new(turns, &turns->by_pair);
	if (err)
		return err;
	list_init(&turns->privileged);
	list_init(&turns->unprivileged);
	turns->pairs[PAIRS_MAX].holder = DOMID_INVALID;
	turns->pairs[PAIRS_MAX].waiter = DOMID_INVALID;
	*out = TAKE(turns);
	return 0;
}

void contender_init(struct contender *contender, struct turns *turns,
		    const struct who *who, struct ledger *ledger,
		    void (*resume)(struct contender *contender))
{
	*contender = (struct contender){ .turns = turns,
					 .who = who,
					 .ledger = ledger,
					 .resume = resume };
	list_init(&contender->in_turns);
	list_init(&contender->waiters);
	list_init(&contender->in_wait);
}

void contender_leave(struct contender *contender)
{
	list_del(&contender->in_wait);
	contender->arrival = 0;
}

/* Lets go of what it had seen; whoever waited asks again. */
static void contender_release(struct contender *contender)
{
	struct contender *waiter;

	talloc_free(contender->seen);
	contender->seen = NULL;
	contender->hot = NULL;
	if (contender->charged)
		ledger_refund(contender->ledger, QUOTA_MEMORY,
			      contender->charged);
	contender->charged = 0;
	while ((waiter = list_first(&contender->waiters, struct contender,
				    in_wait))) {
		list_del(&waiter->in_wait);
		waiter->resume(waiter);
	}
}

void contender_done(struct contender *contender)
{
	list_del(&contender->in_turns);
	contender_release(contender);
}

void contender_fini(struct contender *contender)
{
	contender_done(contender);
	contender_leave(contender);
}

/* F5: a new reservation has the last place. */
static void contender_queue(struct contender *contender, uint64_t now)
{
	struct turns *turns = contender->turns;

	contender->seq = ++turns->seq;
	contender->until = now + TURN_MS;
	list_del(&contender->in_turns);
	list_add_tail(contender->who->privileged ? &turns->privileged :
						   &turns->unprivileged,
		      &contender->in_turns);
}

void contender_failed(struct contender *contender, struct txn *txn,
		      uint64_t now)
{
	bool again = contender->seen && now < contender->until;

	if (!txn->trail) {
		contender_done(contender);
		return;
	}
	contender_release(contender);
	contender->seen = talloc_steal(contender->turns, TAKE(txn->trail));
	contender->hot = txn->conflict;
	if (contender->ledger) {
		contender->charged = trail_bytes(contender->seen);
		ledger_charge(contender->ledger, QUOTA_MEMORY,
			      contender->charged);
	}
	if (!again)
		contender_queue(contender, now);
}

static uint64_t pair_hash(const struct turns *turns, uint16_t holder,
			  uint16_t waiter)
{
	return hash_bytes(turns->by_pair, holder, &waiter, sizeof(waiter));
}

static struct pair *pair_find(struct turns *turns, uint16_t holder,
			      uint16_t waiter)
{
	uint64_t hash = pair_hash(turns, holder, waiter);
	struct hash_item *item = hash_first(turns->by_pair, hash);
	struct pair *pair;

	for (; item; item = hash_next(item)) {
		pair = hash_entry(item, struct pair, item);
		if (pair->holder == holder && pair->waiter == waiter)
			return pair;
	}
	if (turns->npairs == PAIRS_MAX)
		return &turns->pairs[PAIRS_MAX];
	pair = &turns->pairs[turns->npairs++];
	pair->holder = holder;
	pair->waiter = waiter;
	hash_add(turns->by_pair, &pair->item, hash);
	return pair;
}

/* F1: the age that counts. */
static uint64_t contender_age(const struct contender *contender)
{
	uint64_t age = UINT64_MAX;

	if (contender->seen)
		age = contender->seq;
	if (contender->arrival && contender->arrival < age)
		age = contender->arrival;
	return age;
}

static void contender_wait(struct contender *contender,
			   struct contender *holder)
{
	struct turns *turns = contender->turns;

	if (!contender->arrival) {	/* F4: once for a request */
		contender->arrival = ++turns->seq;
		turns->waits++;
		pair_find(turns, holder->who->domid, contender->who->domid)
			->count++;
	}
	list_del(&contender->in_wait);
	list_add_tail(&holder->waiters, &contender->in_wait);
}

/* What somebody wants to do, all at once. */
struct plan {
	const struct node *live;
	const char *path;
	enum deed deed;
	const struct intents *intents;	/* instead, if not NULL */
	bool begin;			/* to look at the path, again */
};

static bool holder_minds(const struct contender *holder,
			 const struct plan *plan)
{
	const struct intent *intent;

	if (plan->begin)
		return trail_saw_of(holder->seen, plan->path);
	if (!plan->intents)
		return trail_minds(holder->seen, plan->live, plan->path,
				   plan->deed);
	list_for_each(intent, &plan->intents->log, in_log)
	{
		if (trail_minds(holder->seen, plan->live, intent->at->path,
				intent->deed))
			return true;
	}
	return false;
}

/* The oldest reservation that is in the way; NULL: none. */
static struct contender *find_holder(const struct contender *contender,
				     struct list *turns,
				     const struct plan *plan)
{
	uint64_t age = contender_age(contender);
	struct contender *holder;

	list_for_each(holder, turns, in_turns)
	{
		if (holder->seq >= age)
			break;
		if (holder != contender && holder_minds(holder, plan))
			return holder;
	}
	return NULL;
}

static bool contender_asks(struct contender *contender,
			   const struct plan *plan)
{
	struct turns *turns = contender->turns;
	struct contender *holder;

	holder = find_holder(contender, &turns->privileged, plan);
	if (!holder && !contender->who->privileged)
		holder = find_holder(contender, &turns->unprivileged, plan);
	if (holder)
		contender_wait(contender, holder);
	else
		contender_leave(contender);
	return !holder;
}

bool contender_may(struct contender *contender, struct store *store,
		   const char *path, enum deed deed)
{
	struct plan plan = { .live = store->root,
			     .path = path,
			     .deed = deed };

	return contender_asks(contender, &plan);
}

bool contender_may_commit(struct contender *contender, const struct txn *txn)
{
	struct plan plan = { .live = txn->store->root,
			     .intents = &txn->intents };

	return contender_asks(contender, &plan);
}

bool contender_may_begin(struct contender *contender)
{
	struct plan plan = { .path = contender->hot, .begin = true };

	return !contender->hot || contender_asks(contender, &plan);
}

/* They are in order of age, hence of time. */
static uint64_t expire(struct list *turns, uint64_t now)
{
	struct contender *holder;

	while ((holder = list_first(turns, struct contender, in_turns))) {
		if (holder->until > now)
			return holder->until;
		contender_done(holder);
	}
	return 0;
}

uint64_t turns_expire(struct turns *turns, uint64_t now)
{
	uint64_t a = expire(&turns->privileged, now);
	uint64_t b = expire(&turns->unprivileged, now);

	return !a || (b && b < a) ? b : a;
}

uint64_t turns_waits(const struct turns *turns)
{
	return turns->waits;
}

void turns_each(const struct turns *turns,
		void (*fn)(void *arg, uint16_t holder, uint16_t waiter,
			   uint64_t count),
		void *arg)
{
	for (size_t i = 0; i < turns->npairs; i++)
		fn(arg, turns->pairs[i].holder, turns->pairs[i].waiter,
		   turns->pairs[i].count);
	if (turns->pairs[PAIRS_MAX].count)
		fn(arg, DOMID_INVALID, DOMID_INVALID,
		   turns->pairs[PAIRS_MAX].count);
}
