/* SPDX-License-Identifier: MIT */
/*
 * Permission lists: who may do what to a node.
 *
 * A list is immutable, counted and interned: equal lists are one object while
 * nothing is purged. Lists are indexed by the domids they name in entries 1..,
 * so that a dead domain is purged by editing the lists that name it, not the
 * nodes that carry them (the object keeps its identity; every node and
 * snapshot that carries it sees the edit).
 *
 * Entry 0 is the owner and the rights of everybody who has no entry of his
 * own; the first later entry that names the caller decides.
 *
 * A list that was purged is not handed out by perms_intern() any more: what its
 * nodes are charged for it (perms_charged) stays as it was.
 *
 * A stale entry names a domain that did not exist when it was stored. It
 * grants nothing, is still listed, is inherited, and never recovers.
 */
#ifndef STORE_PERMS_H
#define STORE_PERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

#include "base/who.h"

enum {
	PERM_NONE = 0,
	PERM_READ = 1,
	PERM_WRITE = 2,
	PERM_BOTH = PERM_READ | PERM_WRITE,
	PERM_OWNER = 8,		/* only in answers and wishes */
};

struct perm {
	uint16_t domid;
	uint8_t rights;		/* PERM_NONE .. PERM_BOTH */
	uint8_t stale;		/* 0 or 1 */
};

struct perms;
struct perms_table;

int perms_table_new(TALLOC_CTX *ctx, struct perms_table **out);
/* Lists that somebody holds. */
size_t perms_table_count(const struct perms_table *table);
/* For tests: n more lists can be made, then there is no memory. */
void perms_table_fail_after(struct perms_table *table, uint64_t n);

/* Interns a list of n >= 1 entries; the caller owns one reference. -ENOMEM. */
int perms_intern(struct perms_table *table, const struct perm *list, size_t n,
		 struct perms **out);
struct perms *perms_ref(struct perms *perms);
void perms_unref(struct perms *perms);	/* NULL is fine */

const struct perm *perms_list(const struct perms *perms, size_t *n);
size_t perms_count(const struct perms *perms);
/* Entries that nodes with this list are charged for: those it was made with. */
size_t perms_charged(const struct perms *perms);
uint16_t perms_owner(const struct perms *perms);
/* By content, stale marks included. */
bool perms_equal(const struct perms *a, const struct perms *b);

/* The list a new child of a node with list `parent` gets: a copy, with the
 * owner replaced by `creator` unless that is privileged. -ENOMEM. */
int perms_inherit(struct perms_table *table, struct perms *parent,
		  const struct who *creator, struct perms **out);

/* PERM_* bits that `who` has, with PERM_OWNER for the owner. */
unsigned int perms_rights(const struct perms *perms, const struct who *who);

/* Drops entries 1.. that name domid from every list. Costs what these lists
 * hold, whatever other lists there are. */
void perms_purge(struct perms_table *table, uint16_t domid);

#endif
