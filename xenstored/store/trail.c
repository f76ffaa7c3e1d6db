/* SPDX-License-Identifier: MIT */
#include "store/trail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "store/access.h"
#include "store/path.h"

struct trail {
	struct touched *top;	/* above "/" and the special nodes */
	struct hash_table *names;	/* by parent and name */
	size_t count, bytes;
	uint64_t order;
	uint64_t compared;
};

struct touched *trail_next(struct touched *top, struct touched *at)
{
	struct touched *next;

	if (!at)
		return top;
	next = list_first(&at->kids, struct touched, siblings);
	if (next)
		return next;
	for (; at != top; at = at->parent)
		if (at->siblings.next != &at->parent->kids)
			return list_entry(at->siblings.next, struct touched,
					  siblings);
	return NULL;
}

/* Leaves first, without a recursion. */
static int trail_free(struct trail *trail)
{
	struct touched *at = trail->top, *parent;

	while (at) {
		struct touched *kid =
			list_first(&at->kids, struct touched, siblings);

		if (kid) {
			at = kid;
			continue;
		}
		parent = at->parent;
		list_del(&at->siblings);
		if (parent)
			hash_del(trail->names, &at->by_name);
		free(at->path);
		free(at);
		at = parent;
	}
	return 0;
}

static struct touched *touched_new(struct trail *trail, struct touched *parent,
				   const char *name, size_t len)
{
	struct touched *at = calloc(1, sizeof(*at) + len + 1);

	if (!at)
		return NULL;
	at->parent = parent;
	at->len = len;
	if (len)
		memcpy(at->name, name, len);
	list_init(&at->siblings);
	list_init(&at->kids);
	list_init(&at->intents);
	if (parent) {
		list_add_tail(&parent->kids, &at->siblings);
		hash_add(trail->names, &at->by_name,
			 hash_bytes(trail->names, (uintptr_t)parent, name,
				    len));
	}
	trail->bytes += sizeof(*at) + len + 1;
	return at;
}

int trail_new(TALLOC_CTX *ctx, struct hash_table *names, struct trail **out)
{
	scoped_talloc struct trail *trail = talloc_zero(ctx, struct trail);

	if (!trail)
		return -ENOMEM;
	trail->names = names;
	trail->top = touched_new(trail, NULL, NULL, 0);
	if (!trail->top)
		return -ENOMEM;
	talloc_set_destructor(trail, trail_free);
	*out = TAKE(trail);
	return 0;
}

static struct touched *kid_of(const struct trail *trail,
			      const struct touched *parent, const char *name,
			      size_t len)
{
	uint64_t hash = hash_bytes(trail->names, (uintptr_t)parent, name, len);
	struct hash_item *item = hash_first(trail->names, hash);

	for (; item; item = hash_next(item)) {
		struct touched *at = hash_entry(item, struct touched, by_name);

		if (at->parent == parent && at->len == len &&
		    !memcmp(at->name, name, len))
			return at;
	}
	return NULL;
}

/* The names as the tree has them: "/", then the components. */
static bool next_name(const char *path, const char **name, size_t *len)
{
	if (path_is_special(path))
		return path_next(path, name, len);
	if (!*name) {
		*name = path;
		*len = 1;
		return true;
	}
	if (*name == path)
		*name = NULL;
	return path_next(path, name, len);
}

size_t trail_need(const struct trail *trail, const char *path)
{
	const struct touched *at = trail->top;
	const char *name = NULL;
	size_t len = 0, need = 0;

	while (next_name(path, &name, &len)) {
		at = at ? kid_of(trail, at, name, len) : NULL;
		if (!at)
			need += sizeof(*at) + len + 1;
	}
	if (!at || !at->path)
		need += strlen(path) + 1;
	return need;
}

struct touched *trail_find(const struct trail *trail, const char *path)
{
	struct touched *at = trail->top;
	const char *name = NULL;
	size_t len = 0;

	while (at && next_name(path, &name, &len))
		at = kid_of(trail, at, name, len);
	return at;
}

struct touched *trail_top(struct trail *trail)
{
	return trail->top;
}

/* From the names. */
char *touched_path(const struct touched *at)
{
	const struct touched *up;
	size_t len = 0;
	char *path;

	if (!at->parent->parent)	/* "/" or special */
		return strndup(at->name, at->len);
	for (up = at; up->parent->parent; up = up->parent)
		len += up->len + 1;
	path = malloc(len + 1);
	if (!path)
		return NULL;
	path[len] = '\0';
	for (up = at; up->parent->parent; up = up->parent) {
		len -= up->len;
		memcpy(path + len, up->name, up->len);
		path[--len] = '/';
	}
	return path;
}

int trail_name(struct trail *trail, struct touched *at)
{
	if (at->path)
		return 0;
	at->path = touched_path(at);
	if (!at->path)
		return -ENOMEM;
	at->order = ++trail->order;
	trail->count++;
	trail->bytes += strlen(at->path) + 1;
	return 0;
}

int trail_restore(struct trail *trail, const char *path, bool leading,
		  struct touched **out)
{
	struct touched *at = trail->top, *kid;
	const char *name = NULL;
	size_t len = 0;
	int err = 0;

	while (next_name(path, &name, &len)) {
		kid = kid_of(trail, at, name, len);
		if (!kid)
			kid = touched_new(trail, at, name, len);
		if (!kid)
			return -ENOMEM;
		at = kid;
	}
	if (!leading)
		err = trail_name(trail, at);
	if (!err)
		*out = at;
	return err;
}

int trail_touch(struct trail *trail, const char *path, struct touched **out)
{
	return trail_restore(trail, path, false, out);
}

size_t trail_count(const struct trail *trail)
{
	return trail->count;
}

size_t trail_bytes(const struct trail *trail)
{
	return trail->bytes;
}

uint64_t trail_compared(const struct trail *trail)
{
	return trail->compared;
}

bool touched_is_cut(const struct touched *at)
{
	for (; at; at = at->parent)
		if (at->cut)
			return true;
	return false;
}

bool touched_is_known(const struct touched *at)
{
	return at->ensured || touched_is_cut(at);
}

bool touched_is_ours(const struct touched *at)
{
	for (; at; at = at->parent)
		if (at->cut || at->ensured || at->owned)
			return true;
	return false;
}

void touched_saw(struct touched *at, unsigned int facets)
{
	at->seen |= facets;
}

static enum verdict verdict_of(int err)
{
	return !err ? VERDICT_YES :
	       err == ENOENT ? VERDICT_MISSING :
			       VERDICT_NO;
}

/* To create, a missing node below a writable one is as good as a writable
 * one. */
static enum verdict verdict_for(enum wish wish, int err)
{
	return wish == WISH_CREATE && err == ENOENT ? VERDICT_YES :
						      verdict_of(err);
}

void touched_saw_through(struct touched *at, enum wish wish, int verdict)
{
	if (!at->through[wish])
		at->through[wish] = verdict_for(wish, verdict);
}

void touched_saw_at(struct touched *at, const struct node *node,
		    const struct who *who, enum wish wish, bool below)
{
	unsigned int rights = wish_rights(wish);
	uint8_t *verdict = below ? &at->below[wish] : &at->at[wish];

	if (!*verdict)
		*verdict = verdict_of(below ? access_below(node, who, rights) :
					      access_at(node, who, rights));
}

void touched_saw_perms(struct touched *at, const struct node *node)
{
	if (!(at->seen & SEEN_PERMS))
		at->nperms = node ? perms_count(node_perms(node)) : 0;
	touched_saw(at, SEEN_PERMS);
}

static struct blob value_of(const struct node *node)
{
	return node ? node_value(node) : (struct blob){ NULL, 0 };
}

static bool same_value(const struct node *a, const struct node *b)
{
	struct blob va = value_of(a), vb = value_of(b);

	return va.len == vb.len &&
	       (!va.len || va.data == vb.data ||
		!memcmp(va.data, vb.data, va.len));
}

static bool same_kids(const struct node *a, const struct node *b)
{
	if (a == b)
		return true;
	if (a && b)
		return node_same_kids(a, b);
	return !node_kids(a ? a : b);
}

static bool same_perms(const struct touched *at)
{
	const struct perms *base, *live;

	if (!at->base || !at->live)
		return !at->base && !at->live;
	base = node_perms(at->base);
	live = node_perms(at->live);
	return perms_count(live) == at->nperms && perms_equal(base, live);
}

static bool facets_hold(const struct touched *at)
{
	const struct node *base = at->base, *live = at->live;
	unsigned int seen = at->seen;

	if (!seen)
		return true;
	if (seen & (SEEN_EXISTS | SEEN_VALUE | SEEN_KIDS) && !base != !live)
		return false;
	if (seen & (SEEN_VALUE | SEEN_VALUE_OR_NONE) && !same_value(base, live))
		return false;
	if (seen & (SEEN_KIDS | SEEN_KIDS_OR_NONE) && !same_kids(base, live))
		return false;
	return !(seen & SEEN_PERMS) || same_perms(at);
}

static bool verdicts_hold(const struct touched *at, const struct who *who)
{
	for (int wish = 0; wish < WISHES; wish++) {
		unsigned int rights = wish_rights(wish);
		int now;

		if (at->through[wish]) {
			now = at->live ? access_at(at->live, who, rights) :
					 access_below(at->near, who, rights);
			if (verdict_for(wish, now) != at->through[wish])
				return false;
		}
		if (at->at[wish] &&
		    (!at->live || verdict_of(access_at(at->live, who,
						       rights)) !=
					  at->at[wish]))
			return false;
		if (at->below[wish] &&
		    (!at->live || verdict_of(access_below(at->live, who,
							  rights)) !=
					  at->below[wish]))
			return false;
	}
	return true;
}

/* The record after `at` and all below it. */
static struct touched *skip_below(struct touched *top, struct touched *at)
{
	for (; at != top; at = at->parent)
		if (at->siblings.next != &at->parent->kids)
			return list_entry(at->siblings.next, struct touched,
					  siblings);
	return NULL;
}

static void look_up(struct touched *at)
{
	const struct touched *up = at->parent;

	at->base = up->base ? node_kid(up->base, at->name, at->len) : NULL;
	at->live = up->live ? node_kid(up->live, at->name, at->len) : NULL;
	/* the root above "/" is nobody's ancestor */
	at->near = at->live ? at->live : up->parent ? up->near : NULL;
}

bool trail_holds(struct trail *trail, const struct node *base,
		 const struct node *live, const struct who *who, bool doubt,
		 struct touched **differs)
{
	struct touched *top = trail->top, *at;

	top->base = base;
	top->live = live;
	at = trail_next(top, top);
	while (at) {
		trail->compared++;
		look_up(at);
		if (at->base == at->live && at->base && !doubt) {
			at = skip_below(top, at);
			continue;
		}
		if (!facets_hold(at) || !verdicts_hold(at, who)) {
			if (differs)
				*differs = at;
			return false;
		}
		at = trail_next(top, at);
	}
	return true;
}

#define SEEN_ANY_VALUE (SEEN_VALUE | SEEN_VALUE_OR_NONE)
#define SEEN_ANY_KIDS (SEEN_KIDS | SEEN_KIDS_OR_NONE)

static bool has_verdicts(const struct touched *at)
{
	for (int wish = 0; wish < WISHES; wish++)
		if (at->through[wish] || at->at[wish] || at->below[wish])
			return true;
	return false;
}

bool trail_saw_of(const struct trail *trail, const char *path)
{
	const struct touched *at = trail_find(trail, path);

	return at && (at->seen || has_verdicts(at));
}

/* Is any facet recorded for the node or below it? `seen`: facets that count,
 * beside verdicts. */
static bool minds_below(const struct touched *top, unsigned int seen)
{
	struct touched *at = NULL;

	if (!top)
		return false;
	while ((at = trail_next((struct touched *)top, at)))
		if (at->seen & seen || has_verdicts(at))
			return true;
	return false;
}

static bool lists_kids(const struct touched *at)
{
	return at && at->seen & SEEN_ANY_KIDS;
}

bool trail_minds(const struct trail *trail, const struct node *live,
		 const char *path, enum deed deed)
{
	const struct touched *at = trail->top, *up = NULL;
	const struct node *node = live;
	const char *name = NULL;
	size_t len = 0;

	while (next_name(path, &name, &len)) {
		up = at;
		at = at ? kid_of(trail, at, name, len) : NULL;
		node = node_kid(node, name, len);
		if (node)
			continue;
		/* the first that is missing: it would be made, or not */
		if (deed == DEED_PERMS || deed == DEED_REMOVE)
			return false;
		return lists_kids(up) || minds_below(at, ~0u);
	}
	switch (deed) {
	case DEED_CREATE:
		return false;
	case DEED_WRITE:
		return at && at->seen & SEEN_ANY_VALUE;
	case DEED_PERMS:
		return minds_below(at, SEEN_PERMS);
	case DEED_REMOVE:
		return lists_kids(up) || minds_below(at, ~0u);
	}
	abort();
}
