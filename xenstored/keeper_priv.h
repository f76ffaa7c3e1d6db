/* SPDX-License-Identifier: MIT */
/*
 * What the keeper is, for its own files only: the processes (keeper.c), what a
 * worker asks for (keeper_verbs.c), and the step to another program
 * (keeper_update.c).
 *
 * Each process has a `struct keeper` of its own; what they share is `shared`
 * and the table of descriptors.
 */
#ifndef KEEPER_PRIV_H
#define KEEPER_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper.h"

#define KEEPER_REQUEST_MAX 8192

/* What outlives each of the processes: a page that they share. The kernel
 * writes the pidfds itself while cloning, so they are never unknown. */
struct keeper_shared {
	int self;		/* pidfd of the keeper */
	int standby;		/* -1: none */
	int worker;		/* -1: none */
	int link[2];		/* socketpair: keeper's end, worker's end */
	int pid_file;		/* open and locked, or -1 */
	int checking;		/* pidfd of a successor that looks, or -1 */
	int status;		/* what the worker returned, -1: nothing yet */
	bool ready;		/* this worker */
	bool ever_ready;
	bool done;		/* no standby is to take over */
	bool guarded;		/* a successor that begins */
	uint32_t starts, failures, quick;
	uint64_t started;	/* ms */
};

struct keeper {
	const struct keeper_options *options;
	keeper_worker_fn *run;
	void *arg;
	struct keeper_shared *shared;
	uint64_t start_at;	/* ms: when the next worker may start */
	uint64_t kill_at;	/* ms: patience with a worker told to end */
	uint64_t check_until;	/* ms */
	char *next;		/* a successor: state file, note, then argv,
				 * each with its NUL */
	size_t next_len;
	char *left;		/* a state file that a successor did not take,
				 * and its note */
	int *inherited;		/* see keeper_inherited(); NULL but while a
				 * worker is being started, and in it */
	size_t n_inherited;
	bool quit;
};

struct keeper_link {
	struct keeper *keeper;
};

uint64_t keeper_now_ms(void);
__attribute__((format(printf, 2, 3)))
void keeper_say(const struct keeper *k, const char *fmt, ...);

/* Like fork(), but the child shares our descriptors; *pidfd is its. */
pid_t keeper_fork(int *pidfd);

/* Nothing happens if `pidfd` is -1. */
void keeper_signal(int pidfd, int signo);

/* The handlers of a new program; those of a keeper. */
void keeper_signals_default(void);
void keeper_signals(void);

/* Waits for its end and closes *pidfd, which is -1 then. How it ended: status,
 * negative signal, or 0 when init is its parent because the keeper that was has
 * died. */
int keeper_reap(int *pidfd);
void keeper_kill_and_reap(int *pidfd);

/* Our number, if there is a pid file. */
void keeper_pid_file_write(const struct keeper *k);

/* When may the next worker start, after one that ended so? */
void keeper_back_off(struct keeper *k, int how);

/* Is the keeper until all is over; the status to end with. */
int keeper_keep(struct keeper *k);

/* Does what the worker has asked for, if it has. */
void keeper_serve(struct keeper *k);

/* Looks whether the successor that checks a state has finished, or has to. */
void keeper_check_end(struct keeper *k);

/* Becomes the program k->next. Returns if that cannot be executed; then the
 * state is removed, and there is no standby. */
void keeper_exec_next(struct keeper *k);

#endif
