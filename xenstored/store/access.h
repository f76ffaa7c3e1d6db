/* SPDX-License-Identifier: MIT */
/*
 * The access check: one rule for every node and everybody.
 *
 * A node that is missing or not accessible is reported as what it is only to a
 * caller with one of the wanted rights on the nearest existing ancestor;
 * everybody else gets EACCES.
 */
#ifndef STORE_ACCESS_H
#define STORE_ACCESS_H

#include <errno.h>

#include "store/tree.h"

/* The verdict on an existing node. */
static inline int access_at(const struct node *node, const struct who *who,
			    unsigned int rights)
{
	return (perms_rights(node_perms(node), who) & rights) == rights ?
		       0 :
		       EACCES;
}

/* The verdict on a missing node; `above`: its nearest existing ancestor, NULL
 * if there is none. */
static inline int access_below(const struct node *above, const struct who *who,
			       unsigned int rights)
{
	if (!above)
		return who->privileged ? ENOENT : EACCES;
	return perms_rights(node_perms(above), who) & rights ? ENOENT : EACCES;
}

/* 0, ENOENT or EACCES. *node: the node if it exists, accessible or not, else
 * NULL. */
static inline int access_check(const struct node *root, const char *path,
			       const struct who *who, unsigned int rights,
			       struct node **node)
{
	size_t len = 0;
	struct node *nearest = tree_nearest(root, path, &len);

	*node = nearest && !path[len] ? nearest : NULL;
	return *node ? access_at(nearest, who, rights) :
		       access_below(nearest, who, rights);
}

#endif
