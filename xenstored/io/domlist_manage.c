/* SPDX-License-Identifier: MIT */
/*
 * By way of libxenmanage, whose interface is stable.
 *
 * Domains are asked for by number. The library could also tell which ones
 * changed; but a guest can make the hypervisor lose that list (XSA-496), and
 * then a death would never be noticed.
 */
#include "io/domlist.h"

#include <errno.h>

#include <xenmanage.h>

#include "base/scoped.h"
#include "base/who.h"

struct domlist {
	xenmanage_handle *handle;
};

static int domlist_free(struct domlist *list)
{
	if (list->handle)
		xenmanage_close(list->handle);
	return 0;
}

int domlist_new(TALLOC_CTX *ctx, struct domlist **out)
{
	scoped_talloc struct domlist *list = talloc_zero(ctx, struct domlist);

	if (!list)
		return -ENOMEM;
	talloc_set_destructor(list, domlist_free);
	list->handle = xenmanage_open(NULL, 0);
	if (!list->handle)
		return errno ? -errno : -EIO;

	*out = TAKE(list);
	return 0;
}

int domlist_state(struct domlist *list, uint16_t domid, struct dom_state *out)
{
	unsigned int state, caps;
	uint64_t unique_id;

	if (xenmanage_get_domain_info(list->handle, domid, &state, &caps,
				      &unique_id)) {
		if (errno == ESRCH || errno == ENOENT)
			return ENOENT;
		return errno ? -errno : -EIO;
	}
	if (!(state & XENMANAGE_GETDOMSTATE_STATE_EXIST))
		return ENOENT;

	*out = (struct dom_state){
		.shutdown = state & XENMANAGE_GETDOMSTATE_STATE_SHUTDOWN,
		.dying = state & (XENMANAGE_GETDOMSTATE_STATE_DYING |
				  XENMANAGE_GETDOMSTATE_STATE_DEAD),
		.unique_id = unique_id,
	};
	return 0;
}

int domlist_next(struct domlist *list, uint16_t *domid, struct dom_state *out)
{
	uint16_t next;
	int err;

	for (next = *domid; next < DOMID_FIRST_RESERVED; next++) {
		err = domlist_state(list, next, out);
		if (err == ENOENT)
			continue;
		if (!err)
			*domid = next;
		return err;
	}
	return ENOENT;
}

/* A question is one cheap call, and only known domains are asked for. */
void domlist_load(struct domlist *list)
{
	(void)list;
}

void domlist_unload(struct domlist *list)
{
	(void)list;
}
