/* SPDX-License-Identifier: MIT */
/*
 * Visits every node below a path, parents first, children in the daemon's
 * order. Not recursive: guests decide how deep the tree is.
 *
 * W1  A node's children are listed after the caller has dealt with the node.
 * W2  A node that vanishes meanwhile has no children; that is no error.
 */
#ifndef WALK_H
#define WALK_H

#include "tool.h"

struct level;

struct walk {
	struct job *job;
	char *path;		/* the node visited */
	size_t len;		/* of path */
	size_t name;		/* where its last component starts in path */
	unsigned int depth;	/* 1: child of the top */

	/* private */
	size_t room;
	struct level *levels;	/* lists of children not yet visited */
	unsigned int max_depth;
};

/* The first walk_next() lists the children of top, which is not visited. */
void walk_start(struct walk *w, struct job *j, const char *top);

/*
 * 1: w->path is the next node. 0: no more. -1: children of w->path cannot be
 * listed, errno says why; ENOENT is only told about the top.
 */
int walk_next(struct walk *w);

void walk_stop(struct walk *w);

#endif
