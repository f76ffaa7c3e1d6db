/* SPDX-License-Identifier: MIT */
/*
 * What a transaction has looked at and done, by path: a trie whose records say
 * which facets of a node shaped an answer, and what the transaction itself
 * made of the node.
 *
 * L1  trail_holds() compares by content, and descends only where the two trees
 *     are not the same object.
 * L2  A facet that follows from the transaction's own writes is not recorded;
 *     what those followed from is.
 * L3  Of an unprivileged caller verdicts are recorded: what the access check
 *     said, not the permissions that made it say so. Of a privileged one only
 *     existence.
 */
#ifndef STORE_TRAIL_H
#define STORE_TRAIL_H

#include "base/hash.h"
#include "base/list.h"
#include "base/who.h"
#include "store/node.h"

/* What an operation wants to do to a node. */
enum wish {
	WISH_READ,
	WISH_WRITE,
	WISH_CREATE,	/* write, or make it below a writable ancestor */
	WISH_OWN,	/* write and own */
	WISHES
};

static inline unsigned int wish_rights(enum wish wish)
{
	return wish == WISH_READ ? PERM_READ :
	       wish == WISH_OWN	 ? PERM_WRITE | PERM_OWNER :
				   PERM_WRITE;
}

/* Facets of a node in the tree that the transaction began from. */
enum {
	SEEN_EXISTS = 1,
	SEEN_VALUE = 2,		/* exists, and has this value */
	SEEN_VALUE_OR_NONE = 4,	/* a missing node counts as an empty one */
	SEEN_KIDS = 8,
	SEEN_KIDS_OR_NONE = 16,
	SEEN_PERMS = 32,
};

enum verdict {
	VERDICT_NONE,		/* not asked */
	VERDICT_YES,
	VERDICT_MISSING,
	VERDICT_NO,
};

/* A path, or the beginning of one. */
struct touched {
	struct hash_item by_name;
	struct touched *parent;	/* NULL: the root above "/" */
	struct list siblings, kids;
	struct list intents;	/* of this node, struct intent */
	char *path;		/* NULL: only led somewhere so far */
	uint64_t order;		/* of first access */
	/* Facets. */
	uint8_t seen;
	uint8_t through[WISHES];	/* of the path as a whole */
	uint8_t at[WISHES];		/* of this node, which exists */
	uint8_t below[WISHES];		/* of what is missing below it */
	uint32_t nperms;		/* SEEN_PERMS: entries then */
	/* Own doing. */
	bool cut;	/* removed: nothing of the base is here or below */
	bool ensured;	/* exists, because we wrote it */
	bool written;	/* its value is ours */
	bool owned;	/* its permissions are ours */
	/* While trail_holds() walks. */
	const struct node *base, *live, *near;
	size_t len;
	bool told;	/* at the commit: has its event */
	char name[];
};

struct trail;

/* `names`: a table that many trails may share, and that outlives them. */
int trail_new(TALLOC_CTX *ctx, struct hash_table *names, struct trail **out);

/* The record of a path, made if need be, with those that lead there. -ENOMEM:
 * nothing but leading records was added. */
int trail_touch(struct trail *trail, const char *path, struct touched **out);
/* Bytes that trail_touch() will take; 0: the record is there. */
size_t trail_need(const struct trail *trail, const char *path);
/* NULL: not even led there. */
struct touched *trail_find(const struct trail *trail, const char *path);
/* Gives a leading record a path, and a place in the order. -ENOMEM. */
int trail_name(struct trail *trail, struct touched *at);

/* Above all others; its name and its facets are empty. */
struct touched *trail_top(struct trail *trail);
/* The same record in another trail; -ENOMEM. Records with a path keep their
 * order if they are made in it. */
int trail_restore(struct trail *trail, const char *path, bool leading,
		  struct touched **out);
/* malloc()ed; NULL: no memory. */
char *touched_path(const struct touched *at);

size_t trail_count(const struct trail *trail);	/* with a path */
size_t trail_bytes(const struct trail *trail);

/* Records below `top` and itself, parents first: start with NULL. */
struct touched *trail_next(struct touched *top, struct touched *at);

/* The record above; *len, the length of the path, becomes that of its path. */
static inline struct touched *touched_up(const struct touched *at, size_t *len)
{
	*len -= at->len + 1;
	*len += !*len;		/* the root is one byte, too */
	return at->parent;
}

/* Does the existence of the node follow from our own writes? */
bool touched_is_known(const struct touched *at);
/* Is nothing of the base left at this path? */
bool touched_is_cut(const struct touched *at);
/* Have we done anything to the node or to one above it? */
bool touched_is_ours(const struct touched *at);

void touched_saw(struct touched *at, unsigned int facets);
void touched_saw_through(struct touched *at, enum wish wish, int verdict);
/* `node`: as it is in the base. */
void touched_saw_at(struct touched *at, const struct node *node,
		    const struct who *who, enum wish wish, bool below);
void touched_saw_perms(struct touched *at, const struct node *node);

/*
 * Does everything that was seen in the tree `base` hold in the tree `live` as
 * well, for a caller who now is `who`? With `doubt` equal objects are looked
 * into, too: permission lists were edited meanwhile. *differs (optional): the
 * record that does not hold.
 */
bool trail_holds(struct trail *trail, const struct node *base,
		 const struct node *live, const struct who *who, bool doubt,
		 struct touched **differs);
/* Is there any facet of the node? */
bool trail_saw_of(const struct trail *trail, const char *path);

/* What may be done to a node. */
enum deed {
	DEED_CREATE,	/* if it is missing */
	DEED_WRITE,	/* and create if it is missing */
	DEED_PERMS,
	DEED_REMOVE,
};

/* Might doing that to the tree `live` change something that was seen? It may
 * say so in vain, as when the value is the same. */
bool trail_minds(const struct trail *trail, const struct node *live,
		 const char *path, enum deed deed);
/* Records that trail_holds() looked at so far, for the tests that count. */
uint64_t trail_compared(const struct trail *trail);

#endif
