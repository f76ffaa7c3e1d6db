/* SPDX-License-Identifier: MIT */
/* By way of libxenctrl. There are no unique ids. */
#include "io/domlist.h"

#include <errno.h>

#include <xenctrl.h>

#include "base/scoped.h"

/* Domains asked for in one hypercall. */
#define BATCH 256

struct domlist {
	xc_interface *xc;
	/* While loaded: all domains, in order of domid. */
	xc_domaininfo_t *all;
	size_t n;
};

static int domlist_free(struct domlist *list)
{
	if (list->xc)
		xc_interface_close(list->xc);
	return 0;
}

int domlist_new(TALLOC_CTX *ctx, struct domlist **out)
{
	scoped_talloc struct domlist *list = talloc_zero(ctx, struct domlist);

	if (!list)
		return -ENOMEM;
	talloc_set_destructor(list, domlist_free);
	list->xc = xc_interface_open(NULL, NULL, XC_OPENFLAG_NON_REENTRANT);
	if (!list->xc)
		return errno ? -errno : -EIO;

	*out = TAKE(list);
	return 0;
}

/* The first of the loaded ones with a domid >= `domid`; NULL: none. */
static const xc_domaininfo_t *loaded_find(const struct domlist *list,
					  uint16_t domid)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (list->all[mid].domain < domid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < list->n ? &list->all[low] : NULL;
}

int domlist_next(struct domlist *list, uint16_t *domid, struct dom_state *out)
{
	const xc_domaininfo_t *found = NULL;
	xc_domaininfo_t info;
	int n;

	if (list->all) {
		found = loaded_find(list, *domid);
	} else {
		n = xc_domain_getinfolist(list->xc, *domid, 1, &info);
		if (n < 0)
			return errno ? -errno : -EIO;
		if (n > 0)
			found = &info;
	}
	if (!found)
		return ENOENT;

	*domid = found->domain;
	*out = (struct dom_state){
		.shutdown = found->flags & XEN_DOMINF_shutdown,
		.dying = found->flags & XEN_DOMINF_dying,
	};
	return 0;
}

int domlist_state(struct domlist *list, uint16_t domid, struct dom_state *out)
{
	struct dom_state state;
	uint16_t found = domid;
	int err;

	err = domlist_next(list, &found, &state);
	if (err)
		return err;
	if (found != domid)
		return ENOENT;

	*out = state;
	return 0;
}

/* One hypercall for many domains. Without memory, or an answer, there is no
 * list and they are asked for one by one. */
void domlist_load(struct domlist *list)
{
	xc_domaininfo_t *all = NULL, *grown;
	size_t n = 0;
	int got;

	do {
		grown = talloc_realloc(list, all, xc_domaininfo_t, n + BATCH);
		if (!grown)
			break;
		all = grown;
		got = xc_domain_getinfolist(list->xc,
					    n ? all[n - 1].domain + 1 : 0,
					    BATCH, all + n);
		if (got < 0)
			break;
		n += got;
		if (got < BATCH) {
			list->all = all;
			list->n = n;
			return;
		}
	} while (n <= UINT16_MAX);
	talloc_free(all);
}

void domlist_unload(struct domlist *list)
{
	TALLOC_FREE(list->all);
	list->n = 0;
}
