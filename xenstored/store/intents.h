/* SPDX-License-Identifier: MIT */
/*
 * What a transaction wants done, in the order in which it was asked for, so
 * that it can be done again on another tree.
 *
 * I1  Applied in order to the tree that the transaction began from, they give
 *     the tree that it sees.
 * I2  Applied in order to the live tree, they give what the requests would
 *     have given there, one after the other.
 * I3  Their number is bound by that of the nodes touched and of permission
 *     changes: a value written again replaces the former, and of what was asked
 *     of a node below a removed one at most its removal is left.
 */
#ifndef STORE_INTENTS_H
#define STORE_INTENTS_H

#include "base/blob.h"
#include "store/trail.h"

struct intent {
	struct list in_log;
	struct list of_node;	/* in touched->intents */
	enum deed deed;
	bool silent;		/* watches do not hear of it */
	uint64_t seq;
	struct touched *at;
	struct blob value;	/* child of the intent */
	struct perms *perms;	/* reference */
};

struct intents {
	struct list log;
	size_t count;
	size_t bytes;
	uint64_t seq;
	uint64_t last_create;
};

void intents_init(struct intents *intents);

/* Not linked yet; freeing it is all. -ENOMEM. */
int intent_new(TALLOC_CTX *ctx, enum deed deed, struct touched *at,
	       struct blob value, struct perms *perms, struct intent **out);
/* The one that makes the node exist; NULL: none. */
struct intent *intent_creating(const struct touched *at);

/* Take the intent over; one that it makes superfluous goes. */
void intents_add_create(struct intents *intents, struct intent *intent);
/* At the end, whatever there is. */
void intents_append(struct intents *intents, struct intent *intent);
void intents_add_perms(struct intents *intents, struct intent *intent);
/*
 * Takes over the removal of a node, and forgets all that was wanted of it and
 * of those below, but that these were changed: that has events. If that
 * created the node, its parent must be there nevertheless: `parent` (taken
 * over) says so, and is freed if it is not needed.
 */
void intents_add_remove(struct intents *intents, struct intent *intent,
			struct intent *parent);

/* Would the node's ancestors have to be made again in this tree that were there
 * when its unprivileged maker was judged by them? */
bool intent_lost_its_parents(const struct intent *intent,
			     const struct node *root, const struct who *who);

#endif
