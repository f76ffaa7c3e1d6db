/* SPDX-License-Identifier: MIT */
/* What a process, or a tree of processes, has used so far. */
#ifndef PROC_H
#define PROC_H

#include <stdint.h>
#include <sys/types.h>

/* Monotonic time, nanoseconds. */
uint64_t now_ns(void);

/*
 * CPU time in nanoseconds of a process, its threads and its direct children
 * (a daemon may work in a child); 0 for pid 0.
 */
uint64_t proc_cpu_ns(pid_t pid);

/* Resident memory of the same processes, in KiB. */
long proc_rss_kb(pid_t pid);

#endif /* PROC_H */
