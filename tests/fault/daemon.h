/* SPDX-License-Identifier: MIT */
/*
 * The daemon under test, in a process group of its own: keeper, worker and
 * standby, which are told apart by looking at /proc.
 *
 * D1  Whatever happens to the test, no process of the daemon outlives it: the
 *     leader of the group is a watchdog that kills it when the test has gone.
 */
#ifndef FAULT_DAEMON_H
#define FAULT_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct daemon {
	const char *program;
	const char *dir;	/* run directory; the log is "log" in it */
	char *argv[32];		/* options, NULL at the end */
	const char *preload;	/* NULL: none */
	char socket[200];
	/* private */
	pid_t group;		/* the watchdog */
	int leash;		/* closed by our end, whatever that is */
};

/* Becomes the parent of orphans; 0 or -errno. */
int daemon_init(struct daemon *daemon, const char *program, const char *dir);
void daemon_option(struct daemon *daemon, const char *option);

/* Starts it, and waits until it serves. */
bool daemon_start(struct daemon *daemon);
/* SIGTERM, and waits. False: it had to be killed. */
bool daemon_stop(struct daemon *daemon);

/* These return false when there was nothing to kill. */
bool daemon_kill_worker(struct daemon *daemon);
bool daemon_kill_keeper(struct daemon *daemon);
/* All at the same moment. */
void daemon_kill_all(struct daemon *daemon);

/* 0: there is none (at the moment). */
pid_t daemon_worker(const struct daemon *daemon);
pid_t daemon_keeper(const struct daemon *daemon);
/* How many processes, beside the watchdog. */
int daemon_processes(const struct daemon *daemon);

#endif
