/* SPDX-License-Identifier: MIT */
/*
 * xentoolcore_restrict_all() is how a process that knows how to drop its
 * privileges over domains tells all Xen libraries in it. A process without
 * libxentoolcore cannot call it, so this library does not need that one; it
 * only looks whether it is there.
 */
#ifndef LIBXENSTORE_TOOLCORE_H
#define LIBXENSTORE_TOOLCORE_H

#include <stdint.h>

/*
 * libxentoolcore's record of something to restrict: a callback, and two
 * pointers of its own. The callback gets the record, runs under
 * libxentoolcore's lock, and returns 0 or -1 and errno.
 */
struct toolcore_record {
	int (*restrict_callback)(struct toolcore_record *record,
				 uint16_t domid);
	void *list[2];
};

struct toolcore {
	struct toolcore_record record;
	void *library;		/* NULL: not registered */
};

/* Does nothing where there is no libxentoolcore. */
void toolcore_register(struct toolcore *tc,
		       int (*callback)(struct toolcore_record *, uint16_t));
void toolcore_deregister(struct toolcore *tc);

#endif
