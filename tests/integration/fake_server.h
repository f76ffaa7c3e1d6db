/* SPDX-License-Identifier: MIT */
/*
 * A xenstore server that says exactly what a test tells it to, right or wrong:
 * a thread that listens on a socket in a directory of its own, for which
 * $XENSTORED_PATH is set.
 *
 * Functions called from the script fail the process when the client does not
 * do what was expected, or for ten seconds nothing.
 */
#ifndef TESTS_FAKE_SERVER_H
#define TESTS_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <xen/io/xs_wire.h>

struct fake;

/* Runs script(fake) in a thread; fake_stop() joins it and removes all. */
struct fake *fake_start(void (*script)(struct fake *fake));
void fake_stop(struct fake *fake);

/* ---- for the script ---- */

/* The next connection becomes the current one. */
void fake_accept(struct fake *fake);
void fake_hang_up(struct fake *fake);
/* Nobody can connect between these two. */
void fake_close_door(struct fake *fake);
void fake_open_door(struct fake *fake);

/* Reads a request, which must have that type. Returns its payload, valid until
 * the next call, with a NUL behind. */
const char *fake_expect(struct fake *fake, enum xsd_sockmsg_type type);
struct xsd_sockmsg fake_header(const struct fake *fake);
/* The client hangs up, without waiting ten seconds; what it says is ignored. */
void fake_expect_end(struct fake *fake);

void fake_send(struct fake *fake, enum xsd_sockmsg_type type,
	       const void *payload, size_t len);
void fake_ok(struct fake *fake, enum xsd_sockmsg_type type);
void fake_error(struct fake *fake, const char *name);
/* "path" and "token" */
void fake_event(struct fake *fake, const char *path, const char *token);
void fake_raw(struct fake *fake, const void *bytes, size_t len);

/* In place of assertions, which are for the test's own thread. */
#define fake_must(cond) fake_must_(cond, #cond, __FILE__, __LINE__)
void fake_must_(bool cond, const char *what, const char *file, int line);

/* Lets the test and the script wait for each other: done, and wait for it. */
void fake_signal(struct fake *fake);
void fake_wait(struct fake *fake);
/* The same for the other direction, where both are wanted. */
void fake_signal_back(struct fake *fake);
void fake_wait_back(struct fake *fake);

#endif
