/* SPDX-License-Identifier: MIT */
/*
 * Half-built locals: freed when they go out of scope unless given away.
 *
 *	scoped_talloc struct foo *foo = talloc_zero(ctx, struct foo);
 *	...
 *	*out = TAKE(foo);
 */
#ifndef BASE_SCOPED_H
#define BASE_SCOPED_H

#include <talloc.h>

static inline void scoped_talloc_free(void *p)
{
	talloc_free(*(void **)p);
}

#define scoped_talloc __attribute__((cleanup(scoped_talloc_free)))

#define TAKE(p)                                                                \
	__extension__({                                                        \
		__typeof__(p) take_ = (p);                                     \
		(p) = NULL;                                                    \
		take_;                                                         \
	})

#endif
