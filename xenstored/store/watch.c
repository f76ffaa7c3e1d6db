/* SPDX-License-Identifier: MIT */
#include "store/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/scoped.h"
#include "store/path.h"

/*
 * One component of a watched path. It lives while it carries watches or
 * children. Found by (parent, name) in one table for all, so that ten thousand
 * siblings are no matter.
 */
struct trie {
	struct hash_item by_name;
	struct trie *parent;	/* NULL: "/" or the place of special paths */
	struct list siblings;	/* in parent->kids */
	struct list kids;
	size_t nkids;
	struct list watches;
	size_t len;
	char name[];
};

struct watch {
	struct list in_watcher;
	struct list in_trie;
	struct hash_item by_token;
	struct watch_index *index;
	struct trie *at;
	struct watcher *watcher;
	uint64_t age;
	int depth;
	size_t relative;
	size_t path_len;
	const char *token;	/* behind the path */
	char path[];
};

/* A watch that matches a change, and its place in the order of W3. */
struct match {
	uint64_t sequence, age;
	struct watch *watch;
};

/* A trie node that names a removed node. */
struct removed {
	struct trie *trie;
	struct node *node;
	struct perms *parent;	/* of the node's parent */
	int64_t order;
};

struct watch_index {
	struct trie *root;	/* "/" */
	struct trie *special;	/* parent of "@..." */
	struct hash_table *names;
	struct hash_table *tokens;
	size_t ntries, nwatches;
	uint64_t age;
	uint64_t visits;
	/* Scratch, large enough for all tries and watches there are: firing
	 * never allocates and so never loses an event. */
	struct match *match;
	struct removed *removed, *todo;
	size_t match_room, removed_room;
};

static int reserve(TALLOC_CTX *ctx, void **array, size_t item, size_t n)
{
	void *grown = talloc_realloc_size(ctx, *array, item * n);

	if (!grown)
		return -ENOMEM;
	*array = grown;
	return 0;
}

/* Room for one more watch on a path of `depth` components. */
static int watch_index_reserve(struct watch_index *index, unsigned int depth)
{
	size_t tries = index->ntries + depth, n;
	int err;

	if (index->nwatches + 1 > index->match_room) {
		n = (index->nwatches + 1) * 2;
		err = reserve(index, (void **)&index->match,
			      sizeof(*index->match), n);
		if (err)
			return err;
		index->match_room = n;
	}
	if (tries > index->removed_room) {
		n = tries * 2;
		err = reserve(index, (void **)&index->removed,
			      sizeof(*index->removed), n);
		if (!err)
			err = reserve(index, (void **)&index->todo,
				      sizeof(*index->todo), n);
		if (err)
			return err;
		index->removed_room = n;
	}
	return 0;
}

static uint64_t name_hash(const struct watch_index *index,
			  const struct trie *parent, const char *name,
			  size_t len)
{
	return hash_bytes(index->names, (uintptr_t)parent, name, len);
}

static struct trie *trie_kid(const struct watch_index *index,
			     const struct trie *parent, const char *name,
			     size_t len)
{
	uint64_t hash = name_hash(index, parent, name, len);
	struct hash_item *item;

	for (item = hash_first(index->names, hash); item;
	     item = hash_next(item)) {
		struct trie *trie = hash_entry(item, struct trie, by_name);

		if (trie->parent == parent && trie->len == len &&
		    !memcmp(trie->name, name, len))
			return trie;
	}
	return NULL;
}

static struct trie *trie_new(struct watch_index *index, struct trie *parent,
			     const char *name, size_t len)
{
	struct trie *trie = malloc(sizeof(*trie) + len);

	if (!trie)
		return NULL;
	trie->parent = parent;
	trie->nkids = 0;
	trie->len = len;
	if (len)
		memcpy(trie->name, name, len);
	list_init(&trie->kids);
	list_init(&trie->watches);
	list_init(&trie->siblings);
	if (parent) {
		list_add_tail(&parent->kids, &trie->siblings);
		parent->nkids++;
		hash_add(index->names, &trie->by_name,
			 name_hash(index, parent, name, len));
	}
	index->ntries++;
	return trie;
}

/* Frees a trie node that nothing hangs on, and its ancestors likewise. */
static void trie_prune(struct watch_index *index, struct trie *trie)
{
	while (trie->parent && !trie->nkids && list_empty(&trie->watches)) {
		struct trie *parent = trie->parent;

		list_del(&trie->siblings);
		parent->nkids--;
		hash_del(index->names, &trie->by_name);
		index->ntries--;
		free(trie);
		trie = parent;
	}
}

static struct trie *trie_top(const struct watch_index *index, const char *path)
{
	return path_is_special(path) ? index->special : index->root;
}

static struct trie *trie_find(const struct watch_index *index,
			      const char *path)
{
	struct trie *trie = trie_top(index, path);
	const char *name = NULL;
	size_t len = 0;

	while (trie && path_next(path, &name, &len))
		trie = trie_kid(index, trie, name, len);
	return trie;
}

static struct trie *trie_make(struct watch_index *index, const char *path)
{
	struct trie *trie = trie_top(index, path), *kid;
	const char *name = NULL;
	size_t len = 0;

	while (path_next(path, &name, &len)) {
		kid = trie_kid(index, trie, name, len);
		if (!kid)
			kid = trie_new(index, trie, name, len);
		if (!kid) {
			trie_prune(index, trie);
			return NULL;
		}
		trie = kid;
	}
	return trie;
}

static int watch_index_free(struct watch_index *index)
{
	free(index->root);
	free(index->special);
	return 0;
}

int watch_index_new(TALLOC_CTX *ctx, struct watch_index **out)
{
	scoped_talloc struct watch_index *index =
		talloc_zero(ctx, struct watch_index);
	int err;

	if (!index)
		return -ENOMEM;
	err = hash_table_new(index, &index->names);
	if (!err)
		err = hash_table_new(index, &index->tokens);
	if (err)
		return err;
	talloc_set_destructor(index, watch_index_free);
	index->root = trie_new(index, NULL, NULL, 0);
	index->special = trie_new(index, NULL, NULL, 0);
	if (!index->root || !index->special)
		return -ENOMEM;
	err = watch_index_reserve(index, 0);
	if (err)
		return err;
	*out = TAKE(index);
	return 0;
}

void watcher_init(struct watcher *watcher, uint64_t sequence,
		  const struct who *who,
		  void (*event)(struct watcher *, const struct watch *,
				const char *path))
{
	list_init(&watcher->watches);
	watcher->sequence = sequence;
	watcher->who = who;
	watcher->event = event;
}

static uint64_t token_hash(const struct watch_index *index,
			   const struct watcher *watcher,
			   const struct trie *at, const char *token)
{
	uint64_t hash = hash_bytes(index->tokens, (uintptr_t)watcher, &at,
				   sizeof(at));

	return hash_bytes(index->tokens, hash, token, strlen(token));
}

static int watch_unlink(struct watch *watch)
{
	list_del(&watch->in_watcher);
	list_del(&watch->in_trie);
	hash_del(watch->index->tokens, &watch->by_token);
	watch->index->nwatches--;
	trie_prune(watch->index, watch->at);
	return 0;
}

static struct watch *watch_alloc(TALLOC_CTX *ctx, const char *path,
				 const char *token)
{
	size_t path_len = strlen(path), token_len = strlen(token);
	struct watch *watch = talloc_size(ctx, sizeof(*watch) + path_len +
						       token_len + 2);

	if (!watch)
		return NULL;
	talloc_set_name_const(watch, "struct watch");
	memset(watch, 0, sizeof(*watch));
	memcpy(watch->path, path, path_len + 1);
	memcpy(watch->path + path_len + 1, token, token_len + 1);
	watch->path_len = path_len;
	watch->token = watch->path + path_len + 1;
	return watch;
}

/* A path of two thousand bytes may have a thousand components, each with a
 * place in the trie and in the scratch. */
static uint64_t watch_bytes(const struct watch *watch)
{
	size_t component = sizeof(struct trie) + 2 * sizeof(struct removed);

	return watch->path_len + strlen(watch->token) +
	       path_depth(watch->path) * component;
}

static int watch_pay(struct watch *watch, struct ledger *payer)
{
	int err;

	if (!payer)
		return 0;
	err = quota_charge(watch, payer, QUOTA_WATCHES, 1);
	if (err)
		return err;
	return quota_charge(watch, payer, QUOTA_MEMORY, watch_bytes(watch));
}

int watch_add(TALLOC_CTX *ctx, struct watch_index *index,
	      struct watcher *watcher, struct ledger *payer, const char *path,
	      size_t relative, const char *token, int depth,
	      struct watch **out)
{
	scoped_talloc struct watch *watch = NULL;
	int err;

	if (watch_find(index, watcher, path, token))
		return EEXIST;
	err = watch_index_reserve(index, path_depth(path) + 1);
	if (err)
		return err;
	watch = watch_alloc(ctx, path, token);
	if (!watch)
		return -ENOMEM;
	err = watch_pay(watch, payer);
	if (err)
		return err;
	watch->at = trie_make(index, path);
	if (!watch->at)
		return -ENOMEM;

	watch->index = index;
	watch->watcher = watcher;
	watch->age = ++index->age;
	watch->depth = depth;
	watch->relative = relative;
	list_add_tail(&watcher->watches, &watch->in_watcher);
	list_add_tail(&watch->at->watches, &watch->in_trie);
	hash_add(index->tokens, &watch->by_token,
		 token_hash(index, watcher, watch->at, token));
	index->nwatches++;
	talloc_set_destructor(watch, watch_unlink);
	*out = TAKE(watch);
	return 0;
}

struct watch *watch_find(struct watch_index *index, struct watcher *watcher,
			 const char *path, const char *token)
{
	struct trie *at = trie_find(index, path);
	struct hash_item *item;

	if (!at)
		return NULL;
	item = hash_first(index->tokens,
			  token_hash(index, watcher, at, token));
	for (; item; item = hash_next(item)) {
		struct watch *watch = hash_entry(item, struct watch, by_token);

		if (watch->watcher == watcher && watch->at == at &&
		    !strcmp(watch->token, token))
			return watch;
	}
	return NULL;
}

struct watch *watch_next(const struct watcher *watcher, struct watch *prev)
{
	const struct list *next =
		prev ? prev->in_watcher.next : watcher->watches.next;

	return next == &watcher->watches ?
		       NULL :
		       list_entry(next, struct watch, in_watcher);
}

void watcher_free_watches(struct watcher *watcher)
{
	struct watch *watch;

	while ((watch = watch_next(watcher, NULL)))
		talloc_free(watch);
}

const char *watch_path(const struct watch *watch)
{
	return watch->path;
}

const char *watch_shown_path(const struct watch *watch)
{
	return watch->path + watch->relative;
}

const char *watch_token(const struct watch *watch)
{
	return watch->token;
}

int watch_depth(const struct watch *watch)
{
	return watch->depth;
}

size_t watch_relative(const struct watch *watch)
{
	return watch->relative;
}

/* The permission lists that decide whether a change may be told. */
struct lists {
	struct perms *before, *now, *parent;
};

static bool may_hear(const struct who *who, const struct lists *lists)
{
	const struct perms *list[] = { lists->before, lists->now,
				       lists->parent };

	for (size_t i = 0; i < 3; i++)
		if (list[i] && perms_rights(list[i], who) & PERM_READ)
			return true;
	return false;
}

/* The watches of one change, in index->match, and what they have to be. */
struct matches {
	const struct lists *lists;
	size_t n;
	const struct watcher *asked;	/* the last one, and the answer */
	bool may;
};

/* Those who may not hear of it do not cost a place in the order: there may be
 * very many of them. */
static void match_add(struct watch_index *index, struct matches *matches,
		      struct watch *watch)
{
	const struct watcher *watcher = watch->watcher;

	if (watcher != matches->asked) {
		matches->asked = watcher;
		matches->may = may_hear(watcher->who, matches->lists);
	}
	if (matches->may)
		index->match[matches->n++] = (struct match){
			watcher->sequence, watch->age, watch
		};
}

static void collect(struct watch_index *index, const struct trie *at, int below,
		    struct matches *matches)
{
	struct watch *watch;

	index->visits++;
	list_for_each(watch, &at->watches, in_trie)
	{
		index->visits++;
		if (watch->depth == WATCH_DEPTH_UNLIMITED ||
		    below <= watch->depth)
			match_add(index, matches, watch);
	}
}

static int match_order(const void *va, const void *vb)
{
	const struct match *a = va, *b = vb;

	if (a->sequence != b->sequence)
		return a->sequence < b->sequence ? -1 : 1;
	return a->age < b->age ? -1 : a->age > b->age;
}

/* W3: tells the watches that were collected. */
static void tell(struct watch_index *index, const struct matches *matches,
		 const char *path)
{
	if (matches->n > 1)
		qsort(index->match, matches->n, sizeof(*index->match),
		      match_order);
	for (size_t i = 0; i < matches->n; i++) {
		struct watch *watch = index->match[i].watch;

		watch->watcher->event(watch->watcher, watch,
				      path + watch->relative);
	}
}

/* Watches on the path and above it. */
static void fire_path(struct watch_index *index, const char *path,
		      const struct lists *lists)
{
	struct matches matches = { .lists = lists };
	struct trie *trie = index->root;
	int below = path_depth(path);
	const char *name = NULL;
	size_t len = 0;

	collect(index, trie, below, &matches);
	while (path_next(path, &name, &len)) {
		trie = trie_kid(index, trie, name, len);
		if (!trie)
			break;
		collect(index, trie, --below, &matches);
	}
	tell(index, &matches, path);
}

static int removed_order(const void *va, const void *vb)
{
	const struct removed *a = va, *b = vb;

	return a->order < b->order ? -1 : a->order > b->order;
}

/* Puts those children of trie->node that are watched or lead to watches into
 * out[], in creation order. Looks through the smaller of the two families. */
static size_t watched_kids(struct watch_index *index,
			   const struct removed *top, struct removed *out)
{
	struct perms *parent = node_perms(top->node);
	size_t n = 0;

	if (node_kids(top->node) < top->trie->nkids) {
		struct kid_iter iter = { 0 };
		struct node *kid;

		while ((kid = node_next_kid(top->node, &iter))) {
			struct blob name = node_name(kid);
			struct trie *trie = trie_kid(index, top->trie,
						     name.data, name.len);

			index->visits++;
			if (trie)
				out[n++] = (struct removed){ trie, kid, parent,
							     0 };
		}
	} else {
		struct trie *trie;

		list_for_each(trie, &top->trie->kids, siblings)
		{
			struct node *kid = node_kid(top->node, trie->name,
						    trie->len);

			index->visits++;
			if (kid)
				out[n++] = (struct removed){
					trie, kid, parent,
					node_kid_order(top->node, trie->name,
						       trie->len)
				};
		}
		if (n > 1)
			qsort(out, n, sizeof(*out), removed_order);
	}
	return n;
}

/* The path of a trie node, written backwards into the end of buf. */
static const char *trie_path(const struct trie *trie, char *buf, size_t size)
{
	char *p = buf + size - 1;

	*p = '\0';
	for (; trie->parent; trie = trie->parent) {
		p -= trie->len;
		memcpy(p, trie->name, trie->len);
		*--p = '/';
	}
	return p;
}

static void reverse(struct removed *items, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct removed item = items[i];

		items[i] = items[n - 1 - i];
		items[n - 1 - i] = item;
	}
}

static void fire_removed(struct watch_index *index, const struct removed *at)
{
	struct lists lists = { NULL, node_perms(at->node), at->parent };
	struct matches matches = { .lists = &lists };
	char buf[PATH_MAX_LEN + 2];

	if (list_empty(&at->trie->watches))
		return;
	collect(index, at->trie, 0, &matches);
	if (matches.n)
		tell(index, &matches, trie_path(at->trie, buf, sizeof(buf)));
}

/*
 * Watches set exactly on nodes below a removed one. The walk lists parents
 * first, and the children of each node in order if these are to be told after
 * it. Else in reverse order: told backwards, that is children first, in order.
 */
static void fire_below(struct watch_index *index, const struct change *change,
		       bool top_first)
{
	struct trie *top = trie_find(index, change->path);
	size_t ntodo = 0, n = 0, kids;

	if (!top || !top->nkids)
		return;
	index->todo[ntodo++] =
		(struct removed){ top, change->before, NULL, 0 };
	while (ntodo) {
		struct removed *at = &index->removed[n++];

		*at = index->todo[--ntodo];
		if (!at->trie->nkids)
			continue;
		kids = watched_kids(index, at, index->todo + ntodo);
		if (top_first)	/* the last one is looked at first */
			reverse(index->todo + ntodo, kids);
		ntodo += kids;
	}
	for (size_t i = 1; i < n; i++)	/* not the top itself */
		fire_removed(index, &index->removed[top_first ? i : n - i]);
}

void watch_fire(struct watch_index *index, const struct changeset *set)
{
	bool top_first = changeset_from_txn(set);

	for (size_t i = 0; i < changeset_count(set); i++) {
		const struct change *change = changeset_event(set, i);
		bool remove = change->kind == CHANGE_REMOVE;
		struct lists lists = { change->perms_before, change->perms_now,
				       change->perms_parent };

		/* Special nodes are told of by watch_fire_special() alone. */
		if (change->silent || path_is_special(change->path))
			continue;
		if (remove && !top_first)
			fire_below(index, change, false);
		fire_path(index, change->path, &lists);
		if (remove && top_first)
			fire_below(index, change, true);
	}
}

/* Collects by the rules for special events: `plain` is the form without a
 * domid. */
static void collect_special(struct watch_index *index, struct trie *at,
			    bool plain, struct matches *matches)
{
	struct watch *watch;

	list_for_each(watch, &at->watches, in_trie)
	{
		bool deep = watch->depth != WATCH_DEPTH_UNLIMITED;

		index->visits++;
		if (plain ? !deep : deep && watch->depth >= 1)
			match_add(index, matches, watch);
	}
}

void watch_fire_special(struct watch_index *index, const char *name,
			const uint16_t *domids, size_t n, struct perms *perms,
			struct perms *root_perms)
{
	struct lists lists = { NULL, perms, root_perms };
	struct trie *at = trie_kid(index, index->special, name, strlen(name));
	struct matches matches = { .lists = &lists };
	char path[64];

	if (at)
		collect_special(index, at, true, &matches);
	tell(index, &matches, name);
	for (size_t i = 0; i < n; i++) {
		struct trie *exact;
		size_t len;

		matches.n = 0;
		len = snprintf(path, sizeof(path), "%s/%u", name, domids[i]);
		exact = trie_kid(index, index->special, path, len);
		if (at)
			collect_special(index, at, false, &matches);
		if (exact)
			collect(index, exact, 0, &matches);
		tell(index, &matches, path);
	}
}

uint64_t watch_index_visits(const struct watch_index *index)
{
	return index->visits;
}

size_t watch_index_count(const struct watch_index *index)
{
	return index->nwatches;
}
