/* SPDX-License-Identifier: MIT */
/* The standard streams, at the beginning and at the end of a tool. */
#ifndef STREAMS_H
#define STREAMS_H

#include <stdbool.h>

/*
 * To be called first. Without it the connection to the daemon would take the
 * place of a stream that the caller has closed, and what a guest has written
 * would be sent to the daemon as the user's request. Output to a stream that
 * was closed fails with EBADF.
 */
void streams_begin(void);

/* Whether all of standard output could be written; complains if not. */
bool streams_end(void);

#endif
