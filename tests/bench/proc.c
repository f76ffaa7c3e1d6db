/* SPDX-License-Identifier: MIT */
/* See proc.h. */
#include "proc.h"

#include <stdio.h>
#include <time.h>

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static uint64_t cpu_of(pid_t pid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	fclose(file);
	return ns;
}

static uint64_t rss_of(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	fclose(file);
	return kb;
}

/* The sum of a figure over a process and its children. */
static uint64_t sum(pid_t pid, uint64_t (*figure)(pid_t pid))
{
	uint64_t total;
	char path[64];
	int child;
	FILE *file;

	if (!pid)
		return 0;
	total = figure(pid);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "r");
	if (!file)
		return total;
	while (fscanf(file, "%d", &child) == 1)
		total += figure(child);
	fclose(file);
	return total;
}

uint64_t proc_cpu_ns(pid_t pid)
{
	return sum(pid, cpu_of);
}

long proc_rss_kb(pid_t pid)
{
	return sum(pid, rss_of);
}
