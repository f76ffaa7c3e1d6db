/* SPDX-License-Identifier: MIT */
/*
 * Fates: what of a journal file the checkpoint has to write. Most of it is
 * overwritten or removed again within the file.
 *
 * Two passes over the same records: the first tells, the second asks. A
 * position is where the record is, in units of 8 bytes, plus 1. Paths are
 * kept as pointers into the records.
 *
 * F1  Writing what the answers name, in order, gives the same rows at the end
 *     as writing all.
 * F2  A node that comes and goes within the file causes nothing but the
 *     generation of its parent, once for all; nor does what was below it.
 */
#ifndef PERSIST_FATE_H
#define PERSIST_FATE_H

#include <stdint.h>
#include <talloc.h>

#include "persist/record.h"

/* Beside REC_CREATE, REC_VALUE and REC_PERMS. */
enum {
	FATE_REMOVE = 8,	/* it and all below it */
	FATE_TOUCH = 16,	/* give the parent the generation */
};

struct fates;

int fates_new(TALLOC_CTX *ctx, struct fates **out);
/* Forgets all: before the first pass over another file. */
void fates_clear(struct fates *fates);

/* The first pass. -ENOMEM. */
int fates_tell_node(struct fates *fates, uint32_t here, const char *path,
		    unsigned int what);
int fates_tell_remove(struct fates *fates, uint32_t here, const char *path);

/* The second pass: what is to be written. -EPROTO: there is more than was
 * told. */
int fates_ask_node(struct fates *fates, uint32_t here, unsigned int what);
int fates_ask_remove(struct fates *fates, uint32_t here);

#endif
