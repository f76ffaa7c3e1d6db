/* SPDX-License-Identifier: MIT */
/*
 * Removed subtrees on their way out: refunds to the owners of their nodes, in
 * slices, so that whoever removes a hundred thousand nodes gets his answer at
 * once.
 */
#ifndef STORE_REAP_H
#define STORE_REAP_H

#include "store/node.h"
#include "store/owned.h"

struct reaper;
struct reap_job;

int reaper_new(TALLOC_CTX *ctx, struct nodes *nodes, struct owners *owners,
	       struct reaper **out);

/* Prepared before the removal, so that the removal cannot fail. -ENOMEM. */
int reap_job_new(TALLOC_CTX *ctx, const char *path, size_t len,
		 struct reap_job **out);
/* The subtree at the job's path was removed. Takes the job, and a reference
 * of its own on the node. */
void reaper_add(struct reaper *reaper, struct reap_job *job, struct node *top);

/*
 * Settles up to `budget` removed nodes, those of `first` (may be NULL) before
 * those of others, and frees as many. `root`: the live tree. True: more can be
 * done at once.
 */
bool reaper_step(struct reaper *reaper, const struct node *root,
		 const struct owner *first, unsigned int budget);
/* Did the last step end for want of memory? */
bool reaper_starved(const struct reaper *reaper);
/* Is there anything to refund? */
bool reaper_pending(const struct reaper *reaper);
/* Number of the last removal so far. */
uint64_t reaper_last(const struct reaper *reaper);
/* How many nodes were settled so far. */
uint64_t reaper_settled(const struct reaper *reaper);

/* Settles one removed node at once. */
void reap_node(struct owners *owners, const struct node *root,
	       const struct node *node, const char *path, size_t len);
/* What a node at the end of a path of `len` bytes costs its owner. */
uint64_t node_charge(const struct node *node, size_t len);

#endif
