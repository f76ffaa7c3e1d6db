/* SPDX-License-Identifier: MIT */
/*
 * cmocka, and a check that a test leaves nothing behind.
 *
 *	static const struct CMUnitTest tests[] = {
 *		HARNESS_TEST(a_sentence, setup, teardown),
 *		HARNESS_TEST(another_one, NULL, NULL),
 *	};
 *
 * H1  A test fails if, after its teardown, a file descriptor is open that was
 *     not open before its setup.
 * H2  So it does if talloc holds a block or a byte more than before; the
 *     report on stderr names them.
 */
#ifndef HARNESS_HARNESS_H
#define HARNESS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <talloc.h>

struct harness_case {
	CMFixtureFunction setup;
	CMFixtureFunction teardown;
};

int harness_setup(void **state);
int harness_teardown(void **state);

#define HARNESS_TEST(name, setup, teardown)                                    \
	{ #name, name, harness_setup, harness_teardown,                        \
	  &(struct harness_case){ setup, teardown } }

/* The check by itself: what is held at one time, and what was left since. */
#define HARNESS_FDS 65536

struct harness_mark {
	uint64_t fds[HARNESS_FDS / 64];	/* bit set: open */
	size_t blocks, bytes;
};

void harness_mark(struct harness_mark *mark);
/* Is more held than at the mark? Then says what on stderr. */
bool harness_leaks(const struct harness_mark *mark);

/* Some limits of the kernel are not the same there. */
bool harness_in_valgrind(void);

/* The failing allocator: from now on `ctx` and all below it may hold so many
 * bytes, headers included; 0: no limit again. */
void harness_talloc_limit(TALLOC_CTX *ctx, size_t bytes);

#endif
