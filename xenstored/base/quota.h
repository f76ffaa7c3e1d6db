/* SPDX-License-Identifier: MIT */
/*
 * Quotas: what one domain may make the daemon hold, and what it does hold.
 *
 * Every item is listed once, in QUOTA_ITEMS; names, defaults, descriptions and
 * the order of reports expand from there. Limits are numbers of objects or
 * bytes; 0 means unlimited.
 *
 * A ledger belongs to one *instance* of a domain: it is born with the domain
 * record and dies with it, so that nothing is inherited when a domid is used
 * again. Amounts are charged where an object is made and refunded where it is
 * unmade. There are two forms:
 *
 *   ledger_charge/ledger_refund  plain arithmetic, for objects that are not
 *                                talloc chunks (nodes, queued bytes)
 *   quota_charge                 a talloc child of the object it pays for;
 *                                freeing the object refunds
 *
 * Q1  A refused charge changes nothing.
 * Q2  The ledger of a privileged domain counts but never refuses.
 * Q3  A limit of N admits exactly N.
 * Q4  A refund never takes a figure below zero: that is a broken invariant.
 * Q5  What a domain already had when a predecessor's state is taken over is
 *     charged and not refused, even if that is more than the limit.
 */
#ifndef BASE_QUOTA_H
#define BASE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

/* X(symbol, name on the wire, default hard limit, default soft limit or 0,
 *   description in reports); order as in reports */
#define QUOTA_ITEMS(X)                                                         \
	X(NODES, "nodes", 1000, 0, "Nodes per domain")                         \
	X(WATCHES, "watches", 128, 0, "Watches per domain")                    \
	X(OUTSTANDING, "outstanding", 20, 0,                                   \
	  "Outstanding requests per domain")                                   \
	X(MEMORY, "memory", 2621440, 2097152,                                  \
	  "Total Xenstore memory per domain")                                  \
	X(TRANSACTIONS, "transactions", 10, 0,                                 \
	  "Active transactions per domain")                                    \
	X(TXN_NODES, "transaction-nodes", 1024, 0,                             \
	  "Max. number of accessed nodes per transaction")                     \
	X(NODE_PERMS, "node-permissions", 5, 0,                                \
	  "Max. number of permissions per node")                               \
	X(PATH_MAX, "path-max", 2048, 0, "Max. length of a node path")         \
	X(NODE_SIZE, "node-size", 2048, 0, "Max. size of a node")

enum quota_item {
#define QUOTA_ENUM(sym, name, hard, soft, text) QUOTA_##sym,
	QUOTA_ITEMS(QUOTA_ENUM)
#undef QUOTA_ENUM
	QUOTA_COUNT
};

struct limits {
	uint32_t hard[QUOTA_COUNT];
	uint32_t soft[QUOTA_COUNT];
};

/* The built-in defaults. */
void limits_init(struct limits *limits);

const char *quota_name(enum quota_item item);
const char *quota_text(enum quota_item item);
/* Has the item a soft limit at all? */
bool quota_has_soft(enum quota_item item);
/* EINVAL: no such name. Also takes the old name "permissions". */
int quota_find(const char *name, enum quota_item *out);

struct ledger;

/*
 * Called when a domain's use of an item crosses its soft or hard limit, in
 * either direction (`above`). Optional.
 */
typedef void ledger_notify_fn(void *arg, const struct ledger *ledger,
			      enum quota_item item, bool hard, bool above);

/* A fresh ledger with a copy of the limits. */
int ledger_new(TALLOC_CTX *ctx, uint16_t domid, bool privileged,
	       const struct limits *limits, struct ledger **out);
void ledger_set_notify(struct ledger *ledger, ledger_notify_fn *fn, void *arg);

uint16_t ledger_domid(const struct ledger *ledger);
bool ledger_privileged(const struct ledger *ledger);
const struct limits *ledger_limits(const struct ledger *ledger);
uint32_t ledger_limit(const struct ledger *ledger, enum quota_item item);
uint32_t ledger_soft(const struct ledger *ledger, enum quota_item item);
void ledger_set_limit(struct ledger *ledger, enum quota_item item,
		      uint32_t limit);
void ledger_set_soft(struct ledger *ledger, enum quota_item item,
		     uint32_t limit);
uint64_t ledger_used(const struct ledger *ledger, enum quota_item item);
uint64_t ledger_max(const struct ledger *ledger, enum quota_item item);
void ledger_reset_max(struct ledger *ledger);

/* Would `more` on top of what is used stay within the hard limit? */
bool ledger_admits(const struct ledger *ledger, enum quota_item item,
		   uint64_t more);
/* Is a single object of this size within the hard limit? For the items that
 * bound one object (node-size, node-permissions, path-max, ...). */
bool ledger_fits(const struct ledger *ledger, enum quota_item item,
		 uint64_t size);
void ledger_charge(struct ledger *ledger, enum quota_item item,
		   uint64_t amount);
void ledger_refund(struct ledger *ledger, enum quota_item item,
		   uint64_t amount);
/* Records a size seen, for the report of maxima; charges nothing. */
void ledger_saw(struct ledger *ledger, enum quota_item item, uint64_t size);

/*
 * Charges `amount`, refunded when `payee` is freed.
 * ENOSPC: over the hard limit. -ENOMEM.
 */
int quota_charge(TALLOC_CTX *payee, struct ledger *ledger,
		 enum quota_item item, uint64_t amount);

/*
 * All ledgers, by domid. Whoever owns a node is found here; a domid without a
 * ledger (nobody knows that domain) gives NULL and is not accounted.
 */
struct ledgers;
int ledgers_new(TALLOC_CTX *ctx, struct ledgers **out);
struct ledger *ledgers_find(const struct ledgers *ledgers, uint16_t domid);
/* Enters a ledger; it leaves by itself when it is freed. -ENOMEM. */
int ledgers_add(struct ledgers *ledgers, struct ledger *ledger);
/* Q5: while on, ledger_admits() says yes, quota_charge() does not refuse. */
void ledgers_set_lenient(struct ledgers *ledgers, bool lenient);
/* The largest figure that any unprivileged ledger has shown, also one that is
 * gone. Resetting goes down to what is in use now. */
uint64_t ledgers_max(const struct ledgers *ledgers, enum quota_item item);
void ledgers_reset_max(struct ledgers *ledgers);

#endif
