/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#ifdef FAULT_POINTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define FAULT_NAME(name) #name,
	FAULT_POINTS_LIST(FAULT_NAME)
#undef FAULT_NAME
};

static enum fault_point armed = FAULT_COUNT;
static unsigned long passes_left;
static int death;
static const char *poison;

void fault_init(uint32_t worker)
{
	const char *entry = getenv("XENSTORED_DIE_AT");
	size_t len;
	char *end;

	poison = getenv("XENSTORED_POISON");
	while (entry && --worker) {
		entry = strchr(entry, ',');
		entry = entry ? entry + 1 : NULL;
	}
	len = entry ? strcspn(entry, ":") : 0;
	for (int i = 0; len && i < FAULT_COUNT; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], entry, len))
			armed = i;
	if (armed == FAULT_COUNT)
		return;
	passes_left = strtoul(entry + len + 1, &end, 10);
	death = *end == '!' ? SIGABRT : SIGKILL;
}

void fault_pass(enum fault_point point)
{
	if (point == armed && !--passes_left)
		raise(death);
}

void fault_taste(const void *payload, size_t len)
{
	size_t dose = poison ? strlen(poison) : 0;

	if (dose && len >= dose && !memcmp(payload, poison, dose))
		raise(SIGKILL);
}

#endif
