/* SPDX-License-Identifier: MIT */
#include "base/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const char *text;
	uint32_t hard;
	uint32_t soft;
} items[QUOTA_COUNT] = {
#define QUOTA_ROW(sym, name, hard, soft, text)                                 \
	[QUOTA_##sym] = { name, text, hard, soft },
	QUOTA_ITEMS(QUOTA_ROW)
#undef QUOTA_ROW
};

struct ledger {
	uint16_t domid;
	bool privileged;
	struct limits limits;
	uint64_t used[QUOTA_COUNT];
	uint64_t max[QUOTA_COUNT];
	ledger_notify_fn *notify;
	void *notify_arg;
	struct ledgers *all;
};

#define LEAF_BITS 8
#define LEAF_SIZE (1 << LEAF_BITS)

/* Sparse by domid: guests are few and their domids lie close together. */
struct ledgers {
	struct ledger **leaf[(UINT16_MAX + 1) / LEAF_SIZE];
	uint64_t max[QUOTA_COUNT];
	bool lenient;
};

/* What quota_charge() leaves behind on the object that is paid for. */
struct charge {
	struct ledger *ledger;
	enum quota_item item;
	uint64_t amount;
};

void limits_init(struct limits *limits)
{
	for (int i = 0; i < QUOTA_COUNT; i++) {
		limits->hard[i] = items[i].hard;
		limits->soft[i] = items[i].soft;
	}
}

const char *quota_name(enum quota_item item)
{
	return items[item].name;
}

const char *quota_text(enum quota_item item)
{
	return items[item].text;
}

bool quota_has_soft(enum quota_item item)
{
	return items[item].soft != 0;
}

int quota_find(const char *name, enum quota_item *out)
{
	if (!strcmp(name, "permissions"))
		name = items[QUOTA_NODE_PERMS].name;
	for (int i = 0; i < QUOTA_COUNT; i++) {
		if (!strcmp(name, items[i].name)) {
			*out = i;
			return 0;
		}
	}
	return EINVAL;
}

static int ledger_leave(struct ledger *ledger)
{
	if (ledger->all)
		ledger->all->leaf[ledger->domid >> LEAF_BITS]
				 [ledger->domid & (LEAF_SIZE - 1)] = NULL;
	return 0;
}

int ledger_new(TALLOC_CTX *ctx, uint16_t domid, bool privileged,
	       const struct limits *limits, struct ledger **out)
{
	struct ledger *ledger = talloc_zero(ctx, struct ledger);

	if (!ledger)
		return -ENOMEM;
	ledger->domid = domid;
	ledger->privileged = privileged;
	ledger->limits = *limits;
	talloc_set_destructor(ledger, ledger_leave);
	*out = ledger;
	return 0;
}

void ledger_set_notify(struct ledger *ledger, ledger_notify_fn *fn, void *arg)
{
	ledger->notify = fn;
	ledger->notify_arg = arg;
}

uint16_t ledger_domid(const struct ledger *ledger)
{
	return ledger->domid;
}

bool ledger_privileged(const struct ledger *ledger)
{
	return ledger->privileged;
}

const struct limits *ledger_limits(const struct ledger *ledger)
{
	return &ledger->limits;
}

uint32_t ledger_limit(const struct ledger *ledger, enum quota_item item)
{
	return ledger->limits.hard[item];
}

uint32_t ledger_soft(const struct ledger *ledger, enum quota_item item)
{
	return ledger->limits.soft[item];
}

void ledger_set_limit(struct ledger *ledger, enum quota_item item,
		      uint32_t limit)
{
	ledger->limits.hard[item] = limit;
}

void ledger_set_soft(struct ledger *ledger, enum quota_item item,
		     uint32_t limit)
{
	ledger->limits.soft[item] = limit;
}

uint64_t ledger_used(const struct ledger *ledger, enum quota_item item)
{
	return ledger->used[item];
}

uint64_t ledger_max(const struct ledger *ledger, enum quota_item item)
{
	return ledger->max[item];
}

void ledger_reset_max(struct ledger *ledger)
{
	memcpy(ledger->max, ledger->used, sizeof(ledger->max));
}

bool ledger_fits(const struct ledger *ledger, enum quota_item item,
		 uint64_t size)
{
	uint32_t limit = ledger->limits.hard[item];

	return ledger->privileged || !limit || size <= limit;
}

bool ledger_admits(const struct ledger *ledger, enum quota_item item,
		   uint64_t more)
{
	return (ledger->all && ledger->all->lenient) ||
	       ledger_fits(ledger, item, ledger->used[item] + more);
}

static bool crossed(uint32_t limit, uint64_t was, uint64_t is)
{
	return limit && (was > limit) != (is > limit);
}

void ledger_saw(struct ledger *ledger, enum quota_item item, uint64_t size)
{
	if (size > ledger->max[item])
		ledger->max[item] = size;
	if (ledger->all && !ledger->privileged && size > ledger->all->max[item])
		ledger->all->max[item] = size;
}

static void ledger_move(struct ledger *ledger, enum quota_item item,
			uint64_t is)
{
	uint64_t was = ledger->used[item];

	ledger->used[item] = is;
	ledger_saw(ledger, item, is);
	if (!ledger->notify || ledger->privileged)
		return;
	if (crossed(ledger->limits.soft[item], was, is))
		ledger->notify(ledger->notify_arg, ledger, item, false,
			       is > was);
	if (crossed(ledger->limits.hard[item], was, is))
		ledger->notify(ledger->notify_arg, ledger, item, true,
			       is > was);
}

void ledger_charge(struct ledger *ledger, enum quota_item item,
		   uint64_t amount)
{
	ledger_move(ledger, item, ledger->used[item] + amount);
}

void ledger_refund(struct ledger *ledger, enum quota_item item,
		   uint64_t amount)
{
	if (amount > ledger->used[item])
		abort();	/* Q4 */
	ledger_move(ledger, item, ledger->used[item] - amount);
}

static int charge_refund(struct charge *charge)
{
	ledger_refund(charge->ledger, charge->item, charge->amount);
	return 0;
}

int quota_charge(TALLOC_CTX *payee, struct ledger *ledger,
		 enum quota_item item, uint64_t amount)
{
	struct charge *charge;

	if (!ledger_admits(ledger, item, amount))
		return ENOSPC;
	charge = talloc(payee, struct charge);
	if (!charge)
		return -ENOMEM;
	*charge = (struct charge){ ledger, item, amount };
	ledger_charge(ledger, item, amount);
	talloc_set_destructor(charge, charge_refund);
	return 0;
}

/* The next one at or after *domid, which is moved there; NULL: none. */
static struct ledger *ledgers_next(const struct ledgers *ledgers,
				   unsigned int *domid)
{
	for (; *domid <= UINT16_MAX; (*domid)++) {
		struct ledger *ledger;

		if (!ledgers->leaf[*domid >> LEAF_BITS]) {
			*domid |= LEAF_SIZE - 1;
			continue;
		}
		ledger = ledgers_find(ledgers, *domid);
		if (ledger)
			return ledger;
	}
	return NULL;
}

/* Ledgers may outlive the table. */
static int ledgers_free(struct ledgers *ledgers)
{
	struct ledger *ledger;

	for (unsigned int i = 0; (ledger = ledgers_next(ledgers, &i)); i++)
		ledger->all = NULL;
	return 0;
}

int ledgers_new(TALLOC_CTX *ctx, struct ledgers **out)
{
	*out = talloc_zero(ctx, struct ledgers);
	if (!*out)
		return -ENOMEM;
	talloc_set_destructor(*out, ledgers_free);
	return 0;
}

struct ledger *ledgers_find(const struct ledgers *ledgers, uint16_t domid)
{
	struct ledger **leaf = ledgers->leaf[domid >> LEAF_BITS];

	return leaf ? leaf[domid & (LEAF_SIZE - 1)] : NULL;
}

int ledgers_add(struct ledgers *ledgers, struct ledger *ledger)
{
	struct ledger ***leaf = &ledgers->leaf[ledger->domid >> LEAF_BITS];

	if (!*leaf) {
		*leaf = talloc_zero_array(ledgers, struct ledger *, LEAF_SIZE);
		if (!*leaf)
			return -ENOMEM;
	}
	(*leaf)[ledger->domid & (LEAF_SIZE - 1)] = ledger;
	ledger->all = ledgers;
	return 0;
}

void ledgers_set_lenient(struct ledgers *ledgers, bool lenient)
{
	ledgers->lenient = lenient;
}

uint64_t ledgers_max(const struct ledgers *ledgers, enum quota_item item)
{
	return ledgers->max[item];
}

void ledgers_reset_max(struct ledgers *ledgers)
{
	struct ledger *ledger;

	memset(ledgers->max, 0, sizeof(ledgers->max));
	for (unsigned int i = 0; (ledger = ledgers_next(ledgers, &i)); i++) {
		ledger_reset_max(ledger);
		for (int item = 0; item < QUOTA_COUNT; item++)
			ledger_saw(ledger, item, ledger->used[item]);
	}
}
