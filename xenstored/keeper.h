/* SPDX-License-Identifier: MIT */
/*
 * The keeper: the process of the pid file. It parses nothing; it holds the
 * descriptors and starts the worker again when that dies.
 *
 *	keeper  --- clone(CLONE_FILES) --->  worker    serves
 *	        --- clone(CLONE_FILES) --->  standby   becomes keeper if it dies
 *
 * All three have memory of their own and one descriptor table. So a socket, an
 * event channel or a file that the worker opened stays open when it dies, under
 * the same number, and a file that the keeper opens for a sandboxed worker
 * needs not be passed. The standby is what lets a dead keeper be replaced by a
 * process that is pristine and has no sandbox.
 *
 * K1  A worker that dies, however it dies, is followed by another one, unless
 *     it returned 0 or (K3) could not start. Others follow at once, from the
 *     third quick death in a row after a pause of 10 ms doubling to 1 s.
 * K2  The death of the keeper disturbs nobody: worker and descriptors go on,
 *     the pid file names the standby, another standby is made.
 * K3  A worker that returns a status other than 0 before any worker was ever
 *     ready ends the keeper with that status; so do five workers in a row that
 *     die before any was ready, with status 1.
 * K4  SIGTERM and SIGINT are handed on; the keeper ends when the worker has,
 *     after 10 s in any case. SIGHUP is handed on.
 * K5  What a worker may close is what keeper_inherited() tells. Keeper and
 *     standby open and close others in the same table, and at any moment: to
 *     look for oneself is to find what is theirs, and to close by then
 *     something else that has the number.
 * K6  Keeper and standby have nothing open but what is told in the shared page,
 *     and, in one call, what they say. A worker is started between such calls.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keeper_options {
	/* Written, locked and, at a clean end, removed. NULL: none. Absolute,
	 * or the working directory must stay. */
	const char *pid_file;
	/* No keeper: the worker runs in the calling process (debuggers,
	 * valgrind). Everything below works, without a safety net. */
	bool alone;
	/* One line, without newline, about what happened. May be NULL. */
	void (*say)(const char *text);
};

struct keeper_link;

/* What a worker returns to have keeper_exec()'s program take over. */
#define KEEPER_EXEC 75

/*
 * Called in a fresh process with default signal handlers, SIGPIPE ignored.
 * `arg` is as it was when keeper_run() was called.
 */
typedef int keeper_worker_fn(void *arg, struct keeper_link *link);

/*
 * Runs keeper and workers; returns, in the keeper only, the status to exit
 * with. 0 at once when another process holds the pid file.
 */
int keeper_run(const struct keeper_options *options, keeper_worker_fn *worker,
	       void *arg);

/* ---- for the worker ------------------------------------------------------ */

/* Which one in a row this worker is, from 1. */
uint32_t keeper_starts(const struct keeper_link *link);
/* How many before it died without having been ready, in a row, and not by
 * SIGKILL: a sign that what they all read is what kills them. */
uint32_t keeper_failures(const struct keeper_link *link);
/* The state file that the program of keeper_exec() was to take, and has not;
 * NULL: there was none. Who takes it removes it. */
const char *keeper_left(const struct keeper_link *link);
/* The note that keeper_exec() was given with it; "" if there was none. */
const char *keeper_left_note(const struct keeper_link *link);
/* This worker serves. */
void keeper_ready(struct keeper_link *link);

/*
 * The descriptors above 2 that were open before this worker began, without the
 * keeper's: what its predecessors left. The list is the worker's, to be
 * changed, but not freed.
 */
int *keeper_inherited(const struct keeper_link *link, size_t *n);

/* Closes all of those but the ones listed. Once. */
void keeper_close_others(const struct keeper_link *link, const int *keep,
			 size_t n);

/*
 * Opens a log file for appending (created, mode 0600). Waits for the keeper,
 * at most a second. Negative errno.
 */
int keeper_open_log(struct keeper_link *link, const char *path, int *fd);

/*
 * Has `file` looked at as a successor: it must be an executable, and with
 * `state` (not NULL) running `file --check-state state` must end with status
 * 0 within 10 s. The answer comes later: keeper_fd() becomes readable, then
 * keeper_checked() tells. One at a time; nothing else may be asked meanwhile.
 * An answer is lost when the keeper dies, so have a time limit.
 */
int keeper_check(struct keeper_link *link, const char *file,
		 const char *state);
/* EAGAIN: not yet. 0, or negative errno: -ENOENT, -EACCES: not accessible or
 * not executable; -EPROTO: it refuses the state; -ETIMEDOUT: it hangs. */
int keeper_checked(struct keeper_link *link);
int keeper_fd(const struct keeper_link *link);

/*
 * Prepares the exec of argv[0] in the keeper's process when this worker
 * returns KEEPER_EXEC. Descriptors that the program shall inherit are made so
 * by the worker (they share the table). If the exec fails, another worker
 * follows.
 *
 * `state` (or NULL) is a file that the program removes when it has taken over.
 * If it and all that it has started end before, or have not done so after 10 s
 * (they are killed then), another worker follows in another process, and finds
 * the file in keeper_left(). There is never a worker of both. `note` is for
 * that worker alone.
 *
 * Waits for the keeper, at most a second. Negative errno.
 */
int keeper_exec(struct keeper_link *link, const char *state, const char *note,
		char *const argv[]);

#endif
