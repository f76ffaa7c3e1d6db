/* SPDX-License-Identifier: MIT */
/*
 * What the hypervisor says about its domains.
 *
 * Newer Xen has a stable library for the question (domlist_manage.c, with
 * unique ids); else libxenctrl answers, which belongs to one version of Xen
 * (domlist_ctrl.c). One of the two is built.
 */
#ifndef IO_DOMLIST_H
#define IO_DOMLIST_H

#include "io/xenport.h"

struct domlist;

/* -errno: the hypervisor cannot be asked. */
int domlist_new(TALLOC_CTX *ctx, struct domlist **out);

/* The first domain with a domid >= *domid; ENOENT: none. */
int domlist_next(struct domlist *list, uint16_t *domid, struct dom_state *out);

/* ENOENT: no such domain. */
int domlist_state(struct domlist *list, uint16_t domid, struct dom_state *out);

/*
 * Between load and unload, answers may come from what all domains were at
 * load: a hint that many questions follow at once.
 */
void domlist_load(struct domlist *list);
void domlist_unload(struct domlist *list);

#endif
