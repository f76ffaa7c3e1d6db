/* SPDX-License-Identifier: MIT */
#include "persist/fate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/scoped.h"
#include "store/path.h"

#define SLOTS_MIN 4096
#define ROOM_MIN 1024

/* A place in the order: some bytes of the path, and the number. */
struct place {
	uint64_t key;
	uint32_t number;
};

/* A part of the order that is sorted; `next` is not given out yet. */
struct run {
	uint32_t next, end;
};

struct fates {
	struct hash_table *key;	/* only for its secret */
	struct fate *all;	/* by number */
	size_t n, room;
	uint32_t *slots;	/* numbers + 1, open addressing */
	size_t mask;
	bool removals;		/* there are some */
	size_t common;		/* bytes that all paths begin with */
	struct place *order;
	struct run *runs;	/* of FATES_RUN, the last one shorter; when all
				 * are sorted a heap, the least one first */
	size_t n_runs;
};

static int fates_free(struct fates *fates)
{
	fates_clear(fates);
	return 0;
}

int fates_new(TALLOC_CTX *ctx, struct fates **out)
{
	scoped_talloc struct fates *fates = talloc_zero(ctx, struct fates);
	int err;

	if (!fates)
		return -ENOMEM;
	err = hash_table_new(fates, &fates->key);
	if (err)
		return err;
	talloc_set_destructor(fates, fates_free);
	*out = TAKE(fates);
	return 0;
}

void fates_clear(struct fates *fates)
{
	free(fates->all);
	free(fates->slots);
	free(fates->order);
	free(fates->runs);
	fates->all = NULL;
	fates->slots = NULL;
	fates->order = NULL;
	fates->runs = NULL;
	fates->n = fates->room = fates->mask = fates->n_runs = 0;
	fates->removals = false;
}

/* ---- the table ----------------------------------------------------------- */

static bool is_of(const struct fate *fate, const char *path, size_t len)
{
	return fate->len == len && !memcmp(fate->path, path, len);
}

static uint32_t *slot_of(const struct fates *fates, uint32_t hash,
			 const char *path, size_t len)
{
	uint32_t *slot;
	size_t i = hash;

	for (;; i++) {
		slot = &fates->slots[i & fates->mask];
		if (!*slot || (fates->all[*slot - 1].hash == hash &&
			       is_of(&fates->all[*slot - 1], path, len)))
			return slot;
	}
}

static int grow_slots(struct fates *fates)
{
	size_t n = fates->slots ? (fates->mask + 1) * 2 : SLOTS_MIN, i;
	uint32_t *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(fates->slots);
	fates->slots = slots;
	fates->mask = n - 1;
	for (i = 0; i < fates->n; i++) {
		const struct fate *fate = &fates->all[i];

		*slot_of(fates, fate->hash, fate->path, fate->len) = i + 1;
	}
	return 0;
}

static int grow_all(struct fates *fates)
{
	size_t room = fates->room ? fates->room * 2 : ROOM_MIN;
	struct fate *all = realloc(fates->all, room * sizeof(*all));

	if (!all)
		return -ENOMEM;
	fates->all = all;
	fates->room = room;
	return 0;
}

static uint32_t hash_of(const struct fates *fates, const char *path, size_t len)
{
	return hash_bytes(fates->key, 0, path, len);
}

static const struct fate *look_up(const struct fates *fates, const char *path,
				  size_t len)
{
	uint32_t number = 0;

	if (fates->slots)
		number = *slot_of(fates, hash_of(fates, path, len), path, len);
	return number ? &fates->all[number - 1] : NULL;
}

static void share(struct fates *fates, const char *path, size_t len)
{
	const char *first = fates->all[0].path;
	size_t i = 0;

	if (fates->n == 1)
		fates->common = len;
	while (i < fates->common && i < len && path[i] == first[i])
		i++;
	fates->common = i;
}

/* What is known of a path; good until the next call. */
static int find_fate(struct fates *fates, const char *path, size_t len,
		     struct fate **out)
{
	uint32_t hash = hash_of(fates, path, len), *slot;
	int err = 0;

	if (!fates->slots || fates->n * 2 > fates->mask)
		err = grow_slots(fates);
	if (!err && fates->n == fates->room)
		err = grow_all(fates);
	if (err)
		return err;
	slot = slot_of(fates, hash, path, len);
	if (!*slot) {
		fates->all[fates->n++] = (struct fate){
			.path = path, .len = len, .hash = hash,
		};
		*slot = fates->n;
		share(fates, path, len);
	}
	*out = &fates->all[*slot - 1];
	return 0;
}

/* ---- telling ------------------------------------------------------------- */

static void later(uint32_t *place, uint32_t here)
{
	if (!*place)
		*place = here;
}

/* A child came or went: its parent has that generation. */
static int touch_parent(struct fates *fates, uint32_t here, const char *path,
			size_t len)
{
	struct fate *parent;
	int err;

	len = path_parent_len(path, len);
	if (!len)
		return 0;
	err = find_fate(fates, path, len, &parent);
	if (err)
		return err;
	if (!parent->settled)
		later(&parent->latest, here);
	parent->absent = false;
	return 0;
}

static void tell_created(struct fate *fate, uint32_t here)
{
	if (!fate->settled) {
		later(&fate->value, here);
		later(&fate->perms, here);
		later(&fate->latest, here);
		fate->created = here;
	}
	fate->settled = fate->absent = true;
}

static void tell_changed(struct fate *fate, uint32_t here, unsigned int what)
{
	fate->absent = false;
	if (fate->settled)
		return;
	if (what & REC_VALUE)
		later(&fate->value, here);
	if (what & REC_PERMS)
		later(&fate->perms, here);
	later(&fate->latest, here);
}

/* The nodes from `top` on, one in the other. When the top one is removed later,
 * so is what is below it. */
static int tell_levels(struct fates *fates, uint32_t here,
		       const struct rec_node *rec)
{
	size_t len = strlen(rec->path), at = rec->top;
	struct fate *fate;
	int err, n;

	for (n = 1;; n++) {
		err = find_fate(fates, rec->path, at, &fate);
		if (err)
			return err;
		tell_created(fate, here);
		if (at == len || fate->removed)
			return n;
		at += 1 + strcspn(rec->path + at + 1, "/");
	}
}

int fates_tell_node(struct fates *fates, uint32_t here,
		    const struct rec_node *rec)
{
	bool levels = rec->what & REC_LEVELS;
	size_t len = levels ? rec->top : strlen(rec->path);
	struct fate *fate;
	int err;

	if (levels) {
		err = tell_levels(fates, here, rec);
		if (err < 0)
			return err;
		return touch_parent(fates, here, rec->path, len) ? -ENOMEM :
								   err;
	}
	err = find_fate(fates, rec->path, len, &fate);
	if (err)
		return err;
	if (!(rec->what & REC_CREATE)) {
		tell_changed(fate, here, rec->what);
		return 1;
	}
	tell_created(fate, here);
	err = touch_parent(fates, here, rec->path, len);
	return err ? err : 1;
}

int fates_tell_remove(struct fates *fates, uint32_t here, const char *path)
{
	size_t len = strlen(path);
	struct fate *fate;
	int err = find_fate(fates, path, len, &fate);

	if (err)
		return err;
	later(&fate->removed, here);
	fate->settled = true;
	fate->absent = false;
	fates->removals = true;
	return touch_parent(fates, here, path, len);
}

/* ---- asking -------------------------------------------------------------- */

size_t fates_count(const struct fates *fates)
{
	return fates->n;
}

const struct fate *fates_get(const struct fates *fates, size_t number)
{
	return number < fates->n ? &fates->all[number] : NULL;
}

static int by_key(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

/* The bytes behind those that all have, so that numbers sort like them. */
static uint64_t key_of(const struct fates *fates, const struct fate *fate)
{
	uint64_t key = 0;
	size_t i;

	for (i = 0; i < 8; i++) {
		size_t at = fates->common + i;

		key = key << 8 |
		      (at < fate->len ? (unsigned char)fate->path[at] : 0);
	}
	return key;
}

static int begin_sort(struct fates *fates)
{
	size_t runs = (fates->n + FATES_RUN - 1) / FATES_RUN;

	fates->order = malloc((fates->n + 1) * sizeof(*fates->order));
	fates->runs = malloc((runs + 1) * sizeof(*fates->runs));
	return fates->order && fates->runs ? 0 : -ENOMEM;
}

static uint64_t least_key(const struct fates *fates, size_t run)
{
	return fates->order[fates->runs[run].next].key;
}

static void sift_down(struct fates *fates, size_t at)
{
	size_t least = at, i;
	struct run run;

	for (;;) {
		for (i = 2 * at + 1; i <= 2 * at + 2 && i < fates->n_runs; i++)
			if (least_key(fates, i) < least_key(fates, least))
				least = i;
		if (least == at)
			return;
		run = fates->runs[at];
		fates->runs[at] = fates->runs[least];
		fates->runs[least] = run;
		at = least;
	}
}

static void make_heap(struct fates *fates)
{
	size_t i;

	for (i = fates->n_runs / 2; i--;)
		sift_down(fates, i);
}

int fates_sort(struct fates *fates)
{
	size_t begin = fates->n_runs * FATES_RUN, end = begin + FATES_RUN, i;
	int err = fates->order ? 0 : begin_sort(fates);

	if (err)
		return err;
	if (begin >= fates->n) {
		make_heap(fates);
		return 0;
	}
	if (end > fates->n)
		end = fates->n;
	for (i = begin; i < end; i++)
		fates->order[i] = (struct place){
			key_of(fates, &fates->all[i]), i
		};
	qsort(fates->order + begin, end - begin, sizeof(*fates->order),
	      by_key);
	fates->runs[fates->n_runs++] = (struct run){ begin, end };
	return EAGAIN;
}

const struct fate *fates_next(struct fates *fates)
{
	struct run *run = fates->runs;
	const struct fate *fate;

	if (!fates->n_runs)
		return NULL;
	fate = &fates->all[fates->order[run->next++].number];
	if (run->next == run->end)
		*run = fates->runs[--fates->n_runs];
	sift_down(fates, 0);
	return fate;
}

bool fate_removes(const struct fate *fate)
{
	return fate->removed && !fate->absent;
}

bool fate_writes(const struct fates *fates, const struct fate *fate)
{
	uint32_t at = fate->created ? fate->created : fate->latest;
	size_t len = fate->len;
	const struct fate *above;

	if (!fate->latest || fate->removed > at)
		return false;
	while (fates->removals && (len = path_parent_len(fate->path, len))) {
		above = look_up(fates, fate->path, len);
		if (above && above->removed > at)
			return false;
	}
	return true;
}
