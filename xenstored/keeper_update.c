/* SPDX-License-Identifier: MIT */
/*
 * The step to another program: it is executed in the place of the keeper, and
 * the old program guards it until it has taken the state that it was left.
 *
 * U1  There are never two who serve: the guard goes on only when the new
 *     program, and whatever process it has made, has ended.
 * U2  The state is taken when its file has gone, whatever has its name since:
 *     the next update may. After that the guard does nothing but end; before
 *     it, the new program has changed nothing.
 * U3  What a new program has not taken in TAKE_MS is taken from it.
 */
#include "keeper_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAKE_MS 10000		/* for a successor to take the state, ... */
#define TAKE_LOOK_MS 10		/* ... which is looked at so often */
#define LEASH_MAX 64		/* processes that are dealt with at once */

/*
 * The program that begins has inherited one end of a pipe, and so has every
 * process that it makes, whose numbers nobody knows when it has died itself.
 * They keep it until the state is taken.
 */
struct leash {
	int end[2];		/* ours, theirs */
	int state;		/* the file */
};

static bool is_on(const char *pid, const char *leash)
{
	char path[300], target[64] = "";
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target,
				       sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		found = n > 0 && !strcmp(target, leash);
	}
	if (dir)
		closedir(dir);
	return found;
}

static size_t who_is_on(const struct leash *leash, pid_t *pids)
{
	char name[64] = "";
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir("/proc");
	size_t n = 0;
	pid_t pid;

	if (!fstat(leash->end[0], &st))
		snprintf(name, sizeof(name), "pipe:[%lu]",
			 (unsigned long)st.st_ino);
	while (dir && n < LEASH_MAX && (entry = readdir(dir))) {
		pid = atoi(entry->d_name);
		if (pid > 0 && pid != getpid() && is_on(entry->d_name, name))
			pids[n++] = pid;
	}
	if (dir)
		closedir(dir);
	return n;
}

static void signal_all(const struct keeper *k, const pid_t *pids, size_t n,
		       int signo)
{
	while (n)
		kill(pids[--n], signo);
	keeper_signal(k->shared->self, signo);
}

/* Has the program, and whoever it has made, ended? Looks for `ms` at most. */
static bool has_ended(const struct keeper *k, const struct leash *leash, int ms)
{
	struct pollfd p[] = {
		{ .fd = leash->end[0] },
		{ .fd = k->shared->self, .events = POLLIN },
	};

	/* Both: one that has let go its end may live. */
	poll(p, 1, ms);
	return p[0].revents && poll(p + 1, 1, 0) > 0;
}

static bool is_taken(const struct keeper *k, const struct leash *leash)
{
	struct stat st;

	return !k->shared->guarded || fstat(leash->state, &st) || !st.st_nlink;
}

/* U3. Not in the moment in which it takes it: they are stopped, and who was
 * goes on, even if he has let go his end meanwhile. */
static void take_away(const struct keeper *k, const struct leash *leash)
{
	pid_t pids[LEASH_MAX];
	size_t n = who_is_on(leash, pids);

	signal_all(k, pids, n, SIGSTOP);
	poll(NULL, 0, TAKE_LOOK_MS);
	signal_all(k, pids, n, is_taken(k, leash) ? SIGCONT : SIGKILL);
}

/* Waits until the state is taken (false), or nobody is left who could take it:
 * there are never two who serve. */
static bool successor_failed(const struct keeper *k, const struct leash *leash)
{
	uint64_t until = keeper_now_ms() + TAKE_MS;

	while (!is_taken(k, leash)) {
		if (has_ended(k, leash, TAKE_LOOK_MS))
			return !is_taken(k, leash);
		if (keeper_now_ms() >= until)
			take_away(k, leash);
	}
	return false;
}

/*
 * The old program, while the new one begins: all is open here still; and until
 * the new one has taken the state it has changed nothing. If it never does, the
 * state is what a worker of ours goes on with.
 */
static void __attribute__((noreturn)) guard_main(struct keeper *k,
						 const struct leash *leash)
{
	struct keeper_shared *s = k->shared;

	keeper_signals_default();
	close(leash->end[1]);
	if (!successor_failed(k, leash))
		_exit(0);
	close(leash->end[0]);
	close(leash->state);
	k->left = k->next;
	k->next = NULL;
	close(s->self);
	s->self = syscall(SYS_pidfd_open, getpid(), 0);
	s->done = false;
	keeper_signals();
	if (s->pid_file >= 0 && !lockf(s->pid_file, F_TLOCK, 0))
		keeper_pid_file_write(k);
	keeper_say(k, "the new program failed, process %d goes on",
		   (int)getpid());
	keeper_back_off(k, 0);
	_exit(keeper_keep(k));
}

/* A child of nobody's, for the new program would not know it; with a descriptor
 * table of its own, for the new program must not hold its leash itself. */
static void guard_start(struct keeper *k)
{
	struct leash leash;
	int fd = -1;
	pid_t pid;

	k->shared->guarded = *k->next;
	if (!*k->next)
		return;
	leash.state = open(k->next, O_RDONLY | O_CLOEXEC);
	if (leash.state < 0)
		return;
	if (pipe2(leash.end, O_CLOEXEC)) {
		close(leash.state);
		return;
	}
	fflush(NULL);
	pid = keeper_fork(&fd);
	if (pid == 0) {
		if (!fork())
			guard_main(k, &leash);
		_exit(0);
	}
	if (pid > 0)
		keeper_reap(&fd);
	close(leash.end[0]);
	close(leash.state);
	fcntl(leash.end[1], F_SETFD, 0);
}

void keeper_exec_next(struct keeper *k)
{
	char *argv[KEEPER_REQUEST_MAX / 2 + 1];
	const char *note = k->next + strlen(k->next) + 1;
	char *p = (char *)note + strlen(note) + 1;
	struct keeper_shared *s = k->shared;
	size_t n = 0;

	for (; p < k->next + k->next_len; p += strlen(p) + 1)
		argv[n++] = p;
	argv[n] = NULL;
	s->done = true;
	keeper_kill_and_reap(&s->standby);
	keeper_say(k, "%s takes over", argv[0]);
	if (!k->options->alone)
		guard_start(k);
	/* The lock would stay with the guard. */
	if (s->pid_file >= 0 && lockf(s->pid_file, F_ULOCK, 0))
		keeper_say(k, "cannot unlock the pid file: %s",
			   strerror(errno));
	keeper_signals_default();
	signal(SIGPIPE, SIG_DFL);
	execv(argv[0], argv);
	keeper_say(k, "%s: %s", argv[0], strerror(errno));
	keeper_signals();
	s->guarded = false;
	s->done = false;
	if (s->pid_file >= 0 && lockf(s->pid_file, F_TLOCK, 0))
		keeper_say(k, "cannot lock the pid file again: %s",
			   strerror(errno));
	unlink(k->next);
}
