/* SPDX-License-Identifier: MIT */
/*
 * A transaction as bytes, for a live update to a daemon of the same build:
 *
 *	struct saved_txn
 *	struct saved_touched and its path, in order of first access; leading
 *		records last
 *	struct saved_intent with its path, its value or its permissions, in
 *		order
 *
 * Every part begins at a multiple of 8 bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "store/path.h"
#include "store/store_priv.h"
#include "store/txn_priv.h"

#define SAVED_MAGIC 0x74786e31

enum { SAVED_REMOVED = 1, SAVED_DOOMED = 2, SAVED_DROPPED = 4,
       SAVED_ASTRAY = 8, SAVED_LOOKED = 16, SAVED_PRIVILEGED = 32,
       SAVED_DOUBT = 64 };

struct saved_txn {
	uint32_t magic;
	uint32_t flags;
	uint32_t touched;
	uint32_t intents;
	uint16_t domid, target;	/* who */
	uint32_t features;
};

enum { TOUCHED_CUT = 1, TOUCHED_ENSURED = 2, TOUCHED_WRITTEN = 4,
       TOUCHED_OWNED = 8, TOUCHED_LEADING = 16 };

struct saved_touched {
	uint32_t path_len;
	uint32_t nperms;
	uint8_t seen;
	uint8_t state;
	uint8_t through[WISHES], at[WISHES], below[WISHES];
};

struct saved_intent {
	uint32_t path_len;
	uint32_t value_len;
	uint32_t nperms;
	uint8_t deed;
	uint8_t silent;
};

/* ---- saving -------------------------------------------------------------- */

struct saver {
	TALLOC_CTX *ctx;
	char *data;
	size_t len;
	int err;		/* the first; then nothing more is put */
};

static void put(struct saver *saver, const void *data, size_t len)
{
	size_t padded = (len + 7) & ~(size_t)7;
	char *grown;

	if (saver->err)
		return;
	if (talloc_get_size(saver->data) < saver->len + padded) {
		grown = talloc_realloc_size(saver->ctx, saver->data,
					    (saver->len + padded) * 2);
		if (!grown) {
			saver->err = -ENOMEM;
			return;
		}
		saver->data = grown;
	}
	memset(saver->data + saver->len, 0, padded);
	if (len)
		memcpy(saver->data + saver->len, data, len);
	saver->len += padded;
}

/* Has anything happened to it, beside leading somewhere? */
static bool touched_matters(const struct touched *at)
{
	static const uint8_t none[WISHES];

	return at->path || at->seen || at->cut || at->ensured ||
	       memcmp(at->at, none, WISHES) || memcmp(at->below, none, WISHES);
}

static void save_touched(struct saver *saver, const struct touched *at)
{
	struct saved_touched saved = {
		.nperms = at->nperms,
		.seen = at->seen,
		.state = at->cut * TOUCHED_CUT |
			 at->ensured * TOUCHED_ENSURED |
			 at->written * TOUCHED_WRITTEN |
			 at->owned * TOUCHED_OWNED |
			 !at->path * TOUCHED_LEADING,
	};
	char *path = touched_path(at);

	if (!path) {
		saver->err = -ENOMEM;
		return;
	}
	memcpy(saved.through, at->through, WISHES);
	memcpy(saved.at, at->at, WISHES);
	memcpy(saved.below, at->below, WISHES);
	saved.path_len = strlen(path);
	put(saver, &saved, sizeof(saved));
	put(saver, path, saved.path_len);
	free(path);
}

static int by_order(const void *va, const void *vb)
{
	const struct touched *a = *(struct touched *const *)va;
	const struct touched *b = *(struct touched *const *)vb;

	if (!a->path != !b->path)
		return a->path ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static uint32_t save_trail(struct saver *saver, struct trail *trail)
{
	struct touched *top = trail_top(trail), *at = top;
	struct touched **all;
	size_t n = 0, i = 0;

	while ((at = trail_next(top, at)))
		n += touched_matters(at);
	all = talloc_array(saver->ctx, struct touched *, n ? n : 1);
	if (!all) {
		saver->err = -ENOMEM;
		return 0;
	}
	for (at = trail_next(top, top); at; at = trail_next(top, at))
		if (touched_matters(at))
			all[i++] = at;
	qsort(all, n, sizeof(struct touched *), by_order);
	for (i = 0; i < n; i++)
		save_touched(saver, all[i]);
	talloc_free(all);
	return n;
}

static void save_intent(struct saver *saver, const struct intent *intent)
{
	struct saved_intent saved = {
		.path_len = strlen(intent->at->path),
		.value_len = intent->value.len,
		.deed = intent->deed,
		.silent = intent->silent,
	};
	const struct perm *list = NULL;
	size_t n = 0;

	if (intent->perms)
		list = perms_list(intent->perms, &n);
	saved.nperms = n;
	put(saver, &saved, sizeof(saved));
	put(saver, intent->at->path, saved.path_len);
	put(saver, intent->value.data, saved.value_len);
	put(saver, list, n * sizeof(*list));
}

/* Only what holds in the live tree can be loaded on it. */
static bool txn_settle(struct txn *txn)
{
	if (txn->dropped || txn->outlived)
		return false;
	if (!txn->base || txn->version == txn->store->version)
		return true;
	txn->tried = txn->version;
	txn->credit = txn->intents.count;
	return txn_extend(txn);
}

int txn_save(TALLOC_CTX *ctx, struct txn *txn, struct blob *out)
{
	struct saver saver = { .ctx = ctx };
	struct saved_txn saved = { .magic = SAVED_MAGIC,
				   .domid = txn->who.domid,
				   .target = txn->who.target,
				   .features = txn->who.features };
	struct intent *intent;

	saved.flags = txn->removed * SAVED_REMOVED |
		      txn->doomed * SAVED_DOOMED |
		      txn->astray * SAVED_ASTRAY |
		      txn->doubt * SAVED_DOUBT |
		      !!txn->trail * SAVED_LOOKED |
		      txn->who.privileged * SAVED_PRIVILEGED;
	if (!txn_settle(txn))
		saved.flags |= SAVED_DROPPED;
	put(&saver, &saved, sizeof(saved));
	if (txn->trail)
		saved.touched = save_trail(&saver, txn->trail);
	list_for_each(intent, &txn->intents.log, in_log)
	{
		save_intent(&saver, intent);
		saved.intents++;
	}
	if (saver.err) {
		talloc_free(saver.data);
		return saver.err;
	}
	memcpy(saver.data, &saved, sizeof(saved));
	*out = (struct blob){ saver.data, saver.len };
	return 0;
}

/* ---- loading ------------------------------------------------------------- */

struct loader {
	const char *data;
	size_t left;
};

/* NULL: there are not so many bytes. */
static const void *take(struct loader *loader, size_t len)
{
	const char *data = loader->data;
	size_t padded = (len + 7) & ~(size_t)7;

	if (len > loader->left || padded > loader->left)
		return NULL;
	loader->data += padded;
	loader->left -= padded;
	return data;
}

static int take_path(struct loader *loader, size_t len, struct path *path)
{
	const char *name = take(loader, len);

	if (!name || memchr(name, 0, len))
		return EINVAL;
	return path_parse(name, len, 0, 0, true, path);
}

static int load_touched(struct txn *txn, struct loader *loader)
{
	const struct saved_touched *saved = take(loader, sizeof(*saved));
	struct touched *at;
	struct path path;
	int err;

	if (!saved)
		return EINVAL;
	err = take_path(loader, saved->path_len, &path);
	if (!err)
		err = trail_restore(txn->trail, path.text,
				    saved->state & TOUCHED_LEADING, &at);
	if (err)
		return err;
	at->cut = saved->state & TOUCHED_CUT;
	at->ensured = saved->state & TOUCHED_ENSURED;
	at->written = saved->state & TOUCHED_WRITTEN;
	at->owned = saved->state & TOUCHED_OWNED;
	at->nperms = saved->nperms;
	memcpy(at->through, saved->through, WISHES);
	memcpy(at->at, saved->at, WISHES);
	memcpy(at->below, saved->below, WISHES);
	touched_saw(at, saved->seen);
	return 0;
}

/* What no request asks for. */
static bool deed_is_absurd(enum deed deed, const char *path)
{
	return deed != DEED_PERMS &&
	       (path_is_special(path) ||
		(deed == DEED_REMOVE && path_is_root(path)));
}

static int load_intent(struct txn *txn, struct loader *loader)
{
	const struct saved_intent *saved = take(loader, sizeof(*saved));
	struct perms *perms = NULL;
	const struct perm *list;
	struct intent *intent;
	struct touched *at;
	struct path path;
	struct blob value;
	int err;

	if (!saved || saved->deed > DEED_REMOVE ||
	    saved->nperms > XENSTORE_PAYLOAD_MAX ||
	    !saved->nperms != (saved->deed != DEED_PERMS))
		return EINVAL;
	err = take_path(loader, saved->path_len, &path);
	if (err)
		return err;
	if (deed_is_absurd(saved->deed, path.text))
		return EINVAL;
	value.len = saved->value_len;
	value.data = take(loader, value.len);
	list = take(loader, saved->nperms * sizeof(*list));
	at = trail_find(txn->trail, path.text);
	if (!value.data || !list || !at || !at->path)
		return EINVAL;
	if (saved->nperms)
		err = perms_intern(txn->store->perms, list, saved->nperms,
				   &perms);
	if (err)
		return err;
	err = intent_new(txn, saved->deed, at, value, perms, &intent);
	perms_unref(perms);
	if (err)
		return err;
	intent->silent = saved->silent;
	intents_append(&txn->intents, intent);
	return 0;
}

static int load_all(struct txn *txn, const struct saved_txn *saved,
		    struct loader *loader)
{
	int err = 0;

	txn->who = (struct who){ .domid = saved->domid,
				 .target = saved->target,
				 .privileged = saved->flags & SAVED_PRIVILEGED,
				 .features = saved->features };
	txn->removed = saved->flags & SAVED_REMOVED;
	txn->doomed = saved->flags & SAVED_DOOMED;
	txn->astray = saved->flags & SAVED_ASTRAY;
	txn->doubt = saved->flags & SAVED_DOUBT;
	if (saved->flags & SAVED_LOOKED)
		err = trail_new(txn, txn->store->trail_names, &txn->trail);
	else if (saved->touched || saved->intents)
		err = EINVAL;
	for (uint32_t i = 0; !err && i < saved->touched; i++)
		err = load_touched(txn, loader);
	for (uint32_t i = 0; !err && i < saved->intents; i++)
		err = load_intent(txn, loader);
	if (err)
		return err;
	if (saved->flags & SAVED_DROPPED)
		txn->dropped = true;
	else if (txn->trail && (err = txn_rebase(txn)))
		return err;
	txn_pay(txn);
	return 0;
}

int txn_load(TALLOC_CTX *ctx, struct store *store, struct ledger *ledger,
	     struct blob bytes, struct txn **out)
{
	scoped_talloc struct txn *txn = NULL;
	struct loader loader = { bytes.data, bytes.len };
	const struct saved_txn *saved = take(&loader, sizeof(*saved));
	int err;

	if (!saved || saved->magic != SAVED_MAGIC)
		return EINVAL;
	err = txn_begin(ctx, store, ledger, &txn);
	if (err)
		return err;
	err = load_all(txn, saved, &loader);
	if (err)
		return err;
	*out = TAKE(txn);
	return 0;
}
