/* SPDX-License-Identifier: MIT */
/*
 * Fates: what of a journal file the checkpoint has to write. Most of it is
 * overwritten or removed again within the file.
 *
 * The records are told from the last to the first, so that what is known of a
 * path already is what happened to it later. A position is where the record is,
 * in units of 8 bytes, plus 1; 0: nowhere. Paths are kept as pointers into the
 * records, and may go on behind their end.
 *
 * F1  Removing first what fate_removes() says, with all that is below, and then
 *     writing what fate_writes() says, in any order, gives the same rows as
 *     applying all records in theirs.
 * F2  What comes and goes within the file causes nothing but the generation of
 *     its parent.
 */
#ifndef PERSIST_FATE_H
#define PERSIST_FATE_H

#include <stdint.h>
#include <talloc.h>

#include "persist/record.h"

struct fates;

/* Of one path. */
struct fate {
	const char *path;
	uint32_t len;
	uint32_t hash;
	uint32_t created;	/* it is new; else its row is there */
	uint32_t value, perms;	/* the records that have what it has now */
	uint32_t latest;	/* the record that has its generation */
	uint32_t removed;	/* for the last time */
	bool settled;		/* what was before does not matter */
	bool absent;		/* it was, before the file */
};

int fates_new(TALLOC_CTX *ctx, struct fates **out);
/* Forgets all: before another file. */
void fates_clear(struct fates *fates);

/* Returns how many nodes that told of. -ENOMEM. */
int fates_tell_node(struct fates *fates, uint32_t here,
		    const struct rec_node *rec);
int fates_tell_remove(struct fates *fates, uint32_t here, const char *path);

size_t fates_count(const struct fates *fates);
/* When all was told: by number, NULL behind the last. */
const struct fate *fates_get(const struct fates *fates, size_t number);
/*
 * Then by path, more or less: so the database touches each of its pages once,
 * and packs them best. Sorting takes some calls, each of which does as much as
 * FATES_RUN records; EAGAIN: there is more to do. -ENOMEM.
 */
#define FATES_RUN 512
int fates_sort(struct fates *fates);
const struct fate *fates_next(struct fates *fates);
bool fate_removes(const struct fate *fate);
/* Is there something to write, and is it not below what was removed later? */
bool fate_writes(const struct fates *fates, const struct fate *fate);

#endif
