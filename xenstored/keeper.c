/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper_priv.h"

#define QUICK_MS 1000		/* a worker that lived shorter died quickly */
#define TERM_MS 10000		/* for an orderly end */
#define GIVE_UP 5		/* deaths without anybody ever ready */

static volatile sig_atomic_t got_term, got_hup;

static void on_signal(int signo)
{
	if (signo == SIGHUP)
		got_hup = 1;
	else
		got_term = 1;
}

uint64_t keeper_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void keeper_say(const struct keeper *k, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!k->options->say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	k->options->say(text);
}

/* ---- processes ----------------------------------------------------------- */

/*
 * fork() with a shared descriptor table; glibc has no name for it. Nothing
 * here has threads, so its fork handlers are not missed.
 */
pid_t keeper_fork(int *pidfd)
{
	fflush(NULL);
	return syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD | SIGCHLD, NULL,
		       pidfd, NULL, 0);
}

void keeper_signal(int pidfd, int signo)
{
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

/* A child begins with the handlers of a new program, not with ours. */
void keeper_signals_default(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		if (i != SIGPIPE)
			signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void keeper_signals(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigset_t set;

	sigemptyset(&act.sa_mask);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Taken only inside ppoll(), so that none comes in between. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int keeper_reap(int *pidfd)
{
	siginfo_t info = { 0 };
	int how = 0;

	if (!waitid(P_PIDFD, *pidfd, &info, WEXITED) && info.si_pid)
		how = info.si_code == CLD_EXITED ? info.si_status
						 : -info.si_status;
	close(*pidfd);
	*pidfd = -1;
	return how;
}

void keeper_kill_and_reap(int *pidfd)
{
	if (*pidfd < 0)
		return;
	keeper_signal(*pidfd, SIGKILL);
	keeper_reap(pidfd);
}

/* ---- pid file ------------------------------------------------------------ */

void keeper_pid_file_write(const struct keeper *k)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (k->shared->pid_file < 0)
		return;
	if (pwrite(k->shared->pid_file, text, len, 0) != len ||
	    ftruncate(k->shared->pid_file, len))
		keeper_say(k, "cannot write %s: %s", k->options->pid_file,
			   strerror(errno));
}

/* EEXIST: somebody else holds it. The lock belongs to the descriptor table and
 * lives as long as any of the processes. */
static int pid_file_open(struct keeper *k)
{
	int fd, err;

	if (!k->options->pid_file)
		return 0;
	fd = open(k->options->pid_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		keeper_say(k, "cannot open pid file %s: %s",
			   k->options->pid_file, strerror(-err));
		return err;
	}
	if (lockf(fd, F_TLOCK, 0)) {
		close(fd);
		return EEXIST;
	}
	k->shared->pid_file = fd;
	keeper_pid_file_write(k);
	return 0;
}

static void pid_file_remove(const struct keeper *k)
{
	if (k->shared->pid_file >= 0)
		unlink(k->options->pid_file);
}

/* ---- worker -------------------------------------------------------------- */

static void __attribute__((noreturn)) worker_main(struct keeper *k)
{
	struct keeper_link link = { .keeper = k };
	int status;

	keeper_signals_default();
	status = k->run(k->arg, &link);
	fflush(NULL);
	k->shared->status = status;
	exit(status);
}

static bool is_own(const struct keeper_shared *s, int fd)
{
	return fd == s->self || fd == s->standby || fd == s->worker ||
	       fd == s->link[0] || fd == s->link[1] || fd == s->pid_file ||
	       fd == s->checking;
}

static int add_inherited(struct keeper *k, int fd)
{
	size_t n = k->n_inherited;
	int *more;

	if (n % 64 == 0) {
		more = realloc(k->inherited, (n + 64) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		k->inherited = more;
	}
	k->inherited[k->n_inherited++] = fd;
	return 0;
}

static void forget_inherited(struct keeper *k)
{
	free(k->inherited);
	k->inherited = NULL;
	k->n_inherited = 0;
}

/* While nobody else opens or closes anything: what is open is then either ours
 * or of somebody who is dead. */
static int list_inherited(struct keeper *k)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int fd, err = dir ? 0 : -errno;

	forget_inherited(k);
	while (!err && (entry = readdir(dir))) {
		fd = atoi(entry->d_name);
		if (fd > 2 && fd != dirfd(dir) && !is_own(k->shared, fd))
			err = add_inherited(k, fd);
	}
	if (dir)
		closedir(dir);
	return err;
}

static void link_close(struct keeper_shared *s)
{
	if (s->link[0] >= 0) {
		close(s->link[0]);
		close(s->link[1]);
	}
	s->link[0] = s->link[1] = -1;
}

/* What a dead worker asked for, or was told, is not for the next one. And where
 * no more can be opened there is room now for a look at what is. */
static int prepare_worker(struct keeper *k)
{
	struct keeper_shared *s = k->shared;
	int err;

	link_close(s);
	err = list_inherited(k);
	if (!err && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			       s->link))
		err = -errno;
	return err;
}

static void worker_start(struct keeper *k)
{
	struct keeper_shared *s = k->shared;
	pid_t pid = -1;
	int err;

	if (k->left && access(k->left, F_OK)) {
		free(k->left);
		k->left = NULL;
	}
	s->status = -1;
	s->ready = false;
	s->starts++;
	s->started = keeper_now_ms();
	err = prepare_worker(k);
	if (!err) {
		pid = keeper_fork(&s->worker);
		err = pid < 0 ? -errno : 0;
	}
	if (pid == 0)
		worker_main(k);
	forget_inherited(k);
	if (!err)
		return;
	keeper_say(k, "cannot start a worker: %s", strerror(-err));
	s->worker = -1;
	k->start_at = keeper_now_ms() + 1000;
}

/* That a worker is killed from outside, by hand or for want of memory, says
 * nothing about what it has read. Nor does the end of one (0) whose keeper has
 * died as well. */
void keeper_back_off(struct keeper *k, int how)
{
	struct keeper_shared *s = k->shared;

	if (s->ready)
		s->failures = 0;
	else if (how && how != -SIGKILL)
		s->failures++;
	s->quick = keeper_now_ms() - s->started < QUICK_MS ? s->quick + 1 : 0;
	k->start_at = keeper_now_ms();
	if (s->quick > 2)
		k->start_at += s->quick > 9 ? 1000 : 10 << (s->quick - 3);
}

/* The worker has gone: what now? False: an end, with *status. */
static bool worker_ended(struct keeper *k, int *status)
{
	struct keeper_shared *s = k->shared;
	int how = keeper_reap(&s->worker);

	*status = s->status;
	if (k->quit || s->status == 0) {
		*status = 0;
		return false;
	}
	if (s->status == KEEPER_EXEC && k->next)
		keeper_exec_next(k);
	free(k->next);
	k->next = NULL;
	if (s->status > 0 && s->status != KEEPER_EXEC && !s->ever_ready)
		return false;

	keeper_back_off(k, how);
	if (!s->ever_ready && s->failures >= GIVE_UP) {
		keeper_say(k, "no worker came up, giving up");
		*status = 1;
		return false;
	}
	if (how)
		keeper_say(k, "worker %u ended with %s %d, another one is "
			      "started", s->starts, how < 0 ? "signal" :
			      "status", how < 0 ? -how : how);
	else	/* a former keeper's child */
		keeper_say(k, "worker %u ended, another one is started",
			   s->starts);
	return true;
}

/* ---- standby ------------------------------------------------------------- */

static void __attribute__((noreturn)) standby_main(struct keeper *k)
{
	struct keeper_shared *s = k->shared;
	struct pollfd p = { .fd = s->self, .events = POLLIN };

	keeper_signals_default();
	signal(SIGHUP, SIG_IGN);
	while (poll(&p, 1, -1) <= 0)
		;
	if (s->done)
		_exit(0);
	keeper_signals();
	close(s->self);
	s->self = s->standby;
	s->standby = -1;
	keeper_pid_file_write(k);
	keeper_say(k, "the keeper died, process %d replaces it", (int)getpid());
	_exit(keeper_keep(k));
}

static void standby_start(struct keeper *k)
{
	pid_t pid = keeper_fork(&k->shared->standby);

	if (pid == 0)
		standby_main(k);
	if (pid < 0)
		k->shared->standby = -1;
}

/* ---- the loop ------------------------------------------------------------ */

static void handle_signals(struct keeper *k)
{
	if (got_hup)
		keeper_signal(k->shared->worker, SIGHUP);
	got_hup = 0;
	if (got_term) {
		keeper_signal(k->shared->worker, SIGTERM);
		if (!k->quit)
			k->kill_at = keeper_now_ms() + TERM_MS;
		k->quit = true;
	}
	got_term = 0;
	if (k->quit && keeper_now_ms() >= k->kill_at)
		keeper_signal(k->shared->worker, SIGKILL);
}

static void wait_for_news(struct keeper *k, struct pollfd *p)
{
	struct keeper_shared *s = k->shared;
	uint64_t now = keeper_now_ms(), until = UINT64_MAX, ms;
	struct timespec ts;
	sigset_t none;

	if (s->worker < 0)
		until = k->start_at;
	else if (k->quit)
		until = k->kill_at;
	if (s->checking >= 0 && k->check_until < until)
		until = k->check_until;
	ms = until > now ? until - now : 0;
	ts.tv_sec = ms / 1000;
	ts.tv_nsec = ms % 1000 * 1000000;
	p[0] = (struct pollfd){ .fd = s->worker, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = s->link[0], .events = POLLIN };
	p[2] = (struct pollfd){ .fd = s->standby, .events = POLLIN };
	p[3] = (struct pollfd){ .fd = s->checking, .events = POLLIN };
	sigemptyset(&none);
	if (ppoll(p, 4, until == UINT64_MAX ? NULL : &ts, &none) < 0)
		p[0].revents = p[1].revents = p[2].revents = 0;
}

/* Also entered by a standby that takes over: it goes on with whatever worker
 * the shared page names. */
int keeper_keep(struct keeper *k)
{
	struct keeper_shared *s = k->shared;
	struct pollfd p[4];
	int status = 0;

	while (!k->quit || s->worker >= 0) {
		/* First, so that a worker is never without a keeper. */
		if (s->standby < 0)
			standby_start(k);
		if (s->worker < 0 && keeper_now_ms() >= k->start_at)
			worker_start(k);
		wait_for_news(k, p);
		handle_signals(k);
		if (p[2].revents)
			keeper_kill_and_reap(&s->standby);
		if (p[1].revents)
			keeper_serve(k);
		if (s->checking >= 0)
			keeper_check_end(k);
		if (p[0].revents && !worker_ended(k, &status))
			break;
	}
	s->done = true;
	keeper_kill_and_reap(&s->checking);
	keeper_kill_and_reap(&s->standby);
	pid_file_remove(k);
	return status;
}

static int run_alone(struct keeper *k)
{
	struct keeper_link link = { .keeper = k };
	int status = prepare_worker(k);

	if (status)
		return 1;
	k->shared->starts = 1;
	status = k->run(k->arg, &link);
	if (status == KEEPER_EXEC && k->next)
		keeper_exec_next(k);
	free(k->next);
	forget_inherited(k);
	pid_file_remove(k);
	return status;
}

int keeper_run(const struct keeper_options *options, keeper_worker_fn *worker,
	       void *arg)
{
	struct keeper k = { .options = options, .run = worker, .arg = arg };
	struct keeper_shared *s;
	int err;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return 1;
	k.shared = s;
	s->standby = s->worker = s->pid_file = s->checking = -1;
	s->link[0] = s->link[1] = -1;
	s->self = syscall(SYS_pidfd_open, getpid(), 0);
	err = pid_file_open(&k);
	if (err)
		return err < 0;
	if (options->alone)
		return run_alone(&k);
	keeper_signals();
	return keeper_keep(&k);
}

/* ---- the worker's side --------------------------------------------------- */

uint32_t keeper_starts(const struct keeper_link *link)
{
	return link->keeper->shared->starts;
}

uint32_t keeper_failures(const struct keeper_link *link)
{
	return link->keeper->shared->failures;
}

const char *keeper_left(const struct keeper_link *link)
{
	return link->keeper->left;
}

const char *keeper_left_note(const struct keeper_link *link)
{
	const char *left = link->keeper->left;

	return left ? left + strlen(left) + 1 : "";
}

void keeper_ready(struct keeper_link *link)
{
	link->keeper->shared->ready = true;
	link->keeper->shared->ever_ready = true;
}

int keeper_fd(const struct keeper_link *link)
{
	return link->keeper->shared->link[1];
}

int *keeper_inherited(const struct keeper_link *link, size_t *n)
{
	*n = link->keeper->n_inherited;
	return link->keeper->inherited;
}

static bool is_among(int fd, const int *fds, size_t n)
{
	while (n)
		if (fds[--n] == fd)
			return true;
	return false;
}

void keeper_close_others(const struct keeper_link *link, const int *keep,
			 size_t n)
{
	const struct keeper *k = link->keeper;
	size_t i;

	for (i = 0; i < k->n_inherited; i++)
		if (!is_among(k->inherited[i], keep, n))
			close(k->inherited[i]);
}
