/* SPDX-License-Identifier: MIT */
/*
 * Watches: who wants to hear of changes, in one trie by path component.
 *
 * W1  A change visits the trie along its path only; a removal also those trie
 *     nodes below it that name removed nodes. Watches elsewhere cost nothing.
 * W2  A change of P fires watches on P and on its ancestors (within their
 *     depth) and reports P. A removal of R fires, for each removed node below
 *     R, the watches set exactly on it, children before parents, then treats R
 *     as a change; in a transaction R first, and parents before children.
 * W3  Order of one change: by the owner's sequence number, then by the
 *     watch's age.
 * W4  A watch unlinks itself when it is freed.
 * W5  Permissions are looked at only for watches that match.
 */
#ifndef STORE_WATCH_H
#define STORE_WATCH_H

#include "base/list.h"
#include "base/quota.h"
#include "base/who.h"
#include "store/change.h"

#define WATCH_DEPTH_UNLIMITED (-1)

struct watch_index;
struct watch;

/*
 * One per connection: its watches, its rights, where its events go. `sequence`
 * orders the owners. `event` must not add or free watches.
 */
struct watcher {
	struct list watches;	/* oldest first; watch_next() walks it */
	uint64_t sequence;
	const struct who *who;
	/* path as the watch spells it: relative to the connection's home for
	 * a relative watch */
	void (*event)(struct watcher *watcher, const struct watch *watch,
		      const char *path);
};

int watch_index_new(TALLOC_CTX *ctx, struct watch_index **out);

void watcher_init(struct watcher *watcher, uint64_t sequence,
		  const struct who *who,
		  void (*event)(struct watcher *, const struct watch *,
				const char *path));

/*
 * Registers. `path` is canonical or special; its first `relative` bytes are cut
 * off in events. Charges payer (NULL: nobody) one watch and its bytes, those
 * that the components of its path take in the trie among them.
 * EEXIST: same path and token. ENOSPC: quota. -ENOMEM.
 */
int watch_add(TALLOC_CTX *ctx, struct watch_index *index,
	      struct watcher *watcher, struct ledger *payer, const char *path,
	      size_t relative, const char *token, int depth,
	      struct watch **out);
/* NULL: no such watch. */
struct watch *watch_find(struct watch_index *index, struct watcher *watcher,
			 const char *path, const char *token);
/* Oldest first; NULL starts and ends. */
struct watch *watch_next(const struct watcher *watcher, struct watch *prev);
void watcher_free_watches(struct watcher *watcher);

const char *watch_path(const struct watch *watch);	/* canonical */
const char *watch_shown_path(const struct watch *watch);	/* as spelled */
const char *watch_token(const struct watch *watch);
int watch_depth(const struct watch *watch);
size_t watch_relative(const struct watch *watch);

/* Fires for all changes of the set, in order. */
void watch_fire(struct watch_index *index, const struct changeset *set);

/*
 * Fires a special event for a domain: `name` is "@introduceDomain" or
 * "@releaseDomain". The plain form goes to watches without depth on the name;
 * name/domid to watches on exactly that and to those on the name with a depth
 * of at least 1. `perms` of the special node and of "/" filter.
 */
void watch_fire_special(struct watch_index *index, const char *name,
			const uint16_t *domids, size_t n, struct perms *perms,
			struct perms *root_perms);

/* Work done, for the tests that count: trie nodes and watches looked at. */
uint64_t watch_index_visits(const struct watch_index *index);
size_t watch_index_count(const struct watch_index *index);

#endif
