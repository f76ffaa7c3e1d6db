/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#define LIMIT_MS 10000

void log_open(bool foreground)
{
	openlog("xenstored", foreground ? LOG_PERROR : 0, LOG_DAEMON);
}

void log_let_go(bool foreground)
{
	closelog();
	log_open(foreground);
}

bool log_limit(struct log_limit *limit, uint64_t now, uint32_t *missed)
{
	if (limit->next && now < limit->next) {
		limit->missed++;
		return false;
	}
	if (missed)
		*missed = limit->missed;
	limit->missed = 0;
	limit->next = now + LIMIT_MS;
	return true;
}
