/* SPDX-License-Identifier: MIT */
/*
 * What the operator is told: syslog, facility daemon, and stderr while the
 * daemon runs in the foreground.
 *
 * Guest data in a message must be made printable by the caller.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* `foreground`: also to stderr. A descriptor is opened by the first message. */
void log_open(bool foreground);
/* Closes it, until the next message: in a table that processes share nobody
 * can tell whose it is. */
void log_let_go(bool foreground);

#define log_error(...) syslog(LOG_ERR, __VA_ARGS__)
#define log_warn(...) syslog(LOG_WARNING, __VA_ARGS__)
#define log_info(...) syslog(LOG_INFO, __VA_ARGS__)

/*
 * For messages that a client can cause: at most one in ten seconds for each
 * struct. Returns whether to log now; *missed (optional) says how many were
 * not logged before. Zero-initialised.
 */
struct log_limit {
	uint64_t next;		/* ms */
	uint32_t missed;
};
bool log_limit(struct log_limit *limit, uint64_t now, uint32_t *missed);

#endif
