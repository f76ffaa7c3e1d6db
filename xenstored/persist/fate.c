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

/* Of one path; where things happened the last time, 0: nowhere. */
struct fate {
	const char *path;	/* may go on behind its end */
	uint32_t len;
	uint32_t hash;
	uint32_t parent;	/* its number, if it came or went; NONE */
	uint32_t value, perms;
	uint32_t touched;	/* a child came or went */
	uint32_t removed;	/* it, or in the second pass what it is below */
	bool unwritten;		/* there is no row, nor any below it */
};

#define NONE UINT32_MAX

struct fates {
	struct hash_table *key;	/* only for its secret */
	struct fate *all;	/* by number */
	size_t n, room;
	uint32_t *slots;	/* numbers + 1, open addressing */
	size_t mask;
	uint32_t *told;		/* the number for each record */
	size_t n_told, told_room, asked;
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
	free(fates->told);
	fates->all = NULL;
	fates->slots = fates->told = NULL;
	fates->n = fates->room = fates->mask = 0;
	fates->n_told = fates->told_room = fates->asked = 0;
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

/* Room for one more of `size` bytes each. */
static int make_room(void **array, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : ROOM_MIN;
	void *grown;

	if (n < *room)
		return 0;
	grown = realloc(*array, more * size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

static int add_fate(struct fates *fates, const char *path, size_t len,
		    uint32_t *number)
{
	uint32_t hash = hash_bytes(fates->key, 0, path, len), *slot;
	int err = 0;

	if (!fates->slots || fates->n * 2 > fates->mask)
		err = grow_slots(fates);
	if (!err)
		err = make_room((void **)&fates->all, fates->n, &fates->room,
				sizeof(*fates->all));
	if (err)
		return err;
	slot = slot_of(fates, hash, path, len);
	if (!*slot) {
		fates->all[fates->n++] = (struct fate){
			.path = path, .len = len, .hash = hash, .parent = NONE
		};
		*slot = fates->n;
	}
	*number = *slot - 1;
	return 0;
}

/* Records come in bunches: it may be the one told last, or its parent. */
static int find_fate(struct fates *fates, const char *path, size_t len,
		     uint32_t *number)
{
	uint32_t last = fates->n_told ? fates->told[fates->n_told - 1] : NONE;

	if (last != NONE && !is_of(&fates->all[last], path, len))
		last = fates->all[last].parent;
	if (last == NONE || !is_of(&fates->all[last], path, len))
		return add_fate(fates, path, len, number);
	*number = last;
	return 0;
}

/* ---- the first pass ------------------------------------------------------ */

static int tell_parent(struct fates *fates, uint32_t here, const char *path,
		       uint32_t number)
{
	size_t len = path_parent_len(path, fates->all[number].len);
	uint32_t parent;
	int err;

	if (!len)
		return 0;
	err = find_fate(fates, path, len, &parent);
	if (err)
		return err;
	fates->all[number].parent = parent;
	fates->all[parent].touched = here;
	return 0;
}

static int tell(struct fates *fates, uint32_t here, const char *path,
		bool parent, struct fate **out)
{
	uint32_t number;
	int err;

	err = make_room((void **)&fates->told, fates->n_told,
			&fates->told_room, sizeof(*fates->told));
	if (!err)
		err = find_fate(fates, path, strlen(path), &number);
	if (!err && parent)
		err = tell_parent(fates, here, path, number);
	if (err)
		return err;
	fates->told[fates->n_told++] = number;
	*out = &fates->all[number];
	return 0;
}

int fates_tell_node(struct fates *fates, uint32_t here, const char *path,
		    unsigned int what)
{
	struct fate *fate;
	int err = tell(fates, here, path, what & REC_CREATE, &fate);

	if (err)
		return err;
	if (what & REC_VALUE)
		fate->value = here;
	if (what & REC_PERMS)
		fate->perms = here;
	return 0;
}

int fates_tell_remove(struct fates *fates, uint32_t here, const char *path)
{
	struct fate *fate;
	int err = tell(fates, here, path, true, &fate);

	if (!err)
		fate->removed = here;
	return err;
}

/* ---- the second pass ----------------------------------------------------- */

static struct fate *next_fate(struct fates *fates)
{
	return fates->asked == fates->n_told ? NULL :
		&fates->all[fates->told[fates->asked++]];
}

static struct fate *parent_of(const struct fates *fates,
			      const struct fate *fate)
{
	return fate->parent == NONE ? NULL : &fates->all[fate->parent];
}

static int touch(const struct fates *fates, const struct fate *fate,
		 uint32_t here)
{
	const struct fate *parent = parent_of(fates, fate);

	return parent && parent->touched == here && parent->removed <= here ?
		FATE_TOUCH : 0;
}

/*
 * A parent is told before what is created below it, so the removal of a node
 * higher up is handed down from one to the next, as far as they came within
 * the file. Of a node that is there before the file less may be known, and
 * more is written than needed.
 */
static bool is_doomed(const struct fates *fates, struct fate *fate,
		      uint32_t here)
{
	const struct fate *parent = parent_of(fates, fate);

	if (parent && parent->removed > fate->removed)
		fate->removed = parent->removed;
	return fate->removed > here;
}

int fates_ask_node(struct fates *fates, uint32_t here, unsigned int what)
{
	struct fate *fate = next_fate(fates);
	bool doomed;

	if (!fate)
		return -EPROTO;
	doomed = is_doomed(fates, fate, here);
	/* It was absent, and so was all below it. What will be created there
	 * before it is removed is doomed as well. */
	if (what & REC_CREATE)
		fate->unwritten = doomed;
	if (doomed)
		return what & REC_CREATE ? touch(fates, fate, here) : 0;
	if (what & REC_CREATE)
		return what | touch(fates, fate, here);
	if (fate->value != here)
		what &= ~REC_VALUE;
	if (fate->perms != here)
		what &= ~REC_PERMS;
	return what;
}

int fates_ask_remove(struct fates *fates, uint32_t here)
{
	struct fate *fate = next_fate(fates);

	if (!fate)
		return -EPROTO;
	return touch(fates, fate, here) |
	       (fate->unwritten ? 0 : FATE_REMOVE);
}
