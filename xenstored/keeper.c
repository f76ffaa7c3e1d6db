/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"

#define QUICK_MS 1000		/* a worker that lived shorter died quickly */
#define TERM_MS 10000		/* for an orderly end */
#define CHECK_MS 10000		/* for a successor to check the state */
#define TAKE_MS 10000		/* for it to take what it was left, ... */
#define TAKE_LOOK_MS 10		/* ... which is looked at so often */
#define REPLY_MS 1000		/* that a worker waits for an answer */
#define GIVE_UP 5		/* deaths without anybody ever ready */
#define REQUEST_MAX 8192

/* What outlives each of the processes: a page that they share. The kernel
 * writes the pidfds itself while cloning, so they are never unknown. */
struct shared {
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
	struct shared *shared;
	uint64_t start_at;	/* ms: when the next worker may start */
	uint64_t kill_at;	/* ms: patience with a worker told to end */
	uint64_t check_until;	/* ms */
	char *next;		/* a successor: state file, then argv, each with
				 * its NUL */
	size_t next_len;
	char *left;		/* a state file that a successor did not take */
	bool quit;
};

struct keeper_link {
	struct keeper *keeper;
};

enum verb { VERB_LOG, VERB_CHECK, VERB_EXEC };

/* Requests and replies; text is one or more strings, each with its NUL. */
struct request {
	enum verb verb;
	int result;		/* of replies: descriptor, 0, or -errno */
	char text[REQUEST_MAX];
};

#define REQUEST_HEAD offsetof(struct request, text)

static volatile sig_atomic_t got_term, got_hup;

static void on_signal(int signo)
{
	if (signo == SIGHUP)
		got_hup = 1;
	else
		got_term = 1;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3)))
static void say(const struct keeper *k, const char *fmt, ...)
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
static pid_t fork_sharing_files(int *pidfd)
{
	fflush(NULL);
	return syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD | SIGCHLD, NULL,
		       pidfd, NULL, 0);
}

static void send_signal(int pidfd, int signo)
{
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

/* A child begins with the handlers of a new program, not with ours. */
static void signals_default(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		if (i != SIGPIPE)
			signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void signals_of_keeper(void)
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

/* How it ended: status, negative signal, or 0 when init is its parent because
 * the keeper that was has died. */
static int reap(int *pidfd)
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

static void kill_and_reap(int *pidfd)
{
	if (*pidfd < 0)
		return;
	send_signal(*pidfd, SIGKILL);
	reap(pidfd);
}

/* ---- pid file ------------------------------------------------------------ */

static void pid_file_write(const struct keeper *k)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (k->shared->pid_file < 0)
		return;
	if (pwrite(k->shared->pid_file, text, len, 0) != len ||
	    ftruncate(k->shared->pid_file, len))
		say(k, "cannot write %s: %s", k->options->pid_file,
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
		say(k, "cannot open pid file %s: %s", k->options->pid_file,
		    strerror(-err));
		return err;
	}
	if (lockf(fd, F_TLOCK, 0)) {
		close(fd);
		return EEXIST;
	}
	k->shared->pid_file = fd;
	pid_file_write(k);
	return 0;
}

static void pid_file_remove(const struct keeper *k)
{
	if (k->shared->pid_file >= 0)
		unlink(k->options->pid_file);
}

/* ---- verbs --------------------------------------------------------------- */

static int open_log(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
		      O_NOCTTY, 0600);

	return fd < 0 ? -errno : fd;
}

static int look_at(const char *file)
{
	struct stat st;

	if (stat(file, &st))
		return -errno;
	return S_ISREG(st.st_mode) && !access(file, X_OK) ? 0 : -EACCES;
}

/* EINPROGRESS: it runs, the answer is given when it ends. */
static int check_begin(struct keeper *k, const char *file, const char *state)
{
	char *argv[] = { (char *)file, (char *)"--check-state", (char *)state,
			 NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int err;

	err = look_at(file);
	if (err || !*state)
		return err;
	kill_and_reap(&k->shared->checking);
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	err = posix_spawn(&pid, file, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (err)
		return -err;
	k->shared->checking = syscall(SYS_pidfd_open, pid, 0);
	k->check_until = now_ms() + CHECK_MS;
	return EINPROGRESS;
}

static void check_end(struct keeper *k)
{
	struct request reply = { .verb = VERB_CHECK };
	struct pollfd p = { .fd = k->shared->checking, .events = POLLIN };

	if (poll(&p, 1, 0) > 0) {
		if (reap(&k->shared->checking))
			reply.result = -EPROTO;
	} else if (now_ms() >= k->check_until) {
		kill_and_reap(&k->shared->checking);
		reply.result = -ETIMEDOUT;
	} else {
		return;
	}
	send(k->shared->link[0], &reply, REQUEST_HEAD,
	     MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int exec_prepare(struct keeper *k, const char *text, size_t len)
{
	char *copy;
	const char *file = text + strlen(text) + 1;
	int err;

	err = file < text + len ? look_at(file) : -EINVAL;
	if (err)
		return err;
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	free(k->next);
	k->next = copy;
	k->next_len = len;
	return 0;
}

static void serve(struct keeper *k)
{
	struct request req;
	size_t len, first;
	ssize_t n;

	n = recv(k->shared->link[0], &req, sizeof(req), MSG_DONTWAIT);
	if (n <= (ssize_t)REQUEST_HEAD || ((char *)&req)[n - 1])
		return;
	len = n - REQUEST_HEAD;
	first = strlen(req.text) + 1;
	switch (req.verb) {
	case VERB_LOG:
		req.result = open_log(req.text);
		break;
	case VERB_CHECK:
		req.result = first < len ?
			check_begin(k, req.text, req.text + first) : -EINVAL;
		break;
	case VERB_EXEC:
		req.result = exec_prepare(k, req.text, len);
		break;
	default:
		req.result = -EINVAL;
	}
	/* A worker that does not listen is dead; what was opened for it is
	 * closed by the next. */
	if (req.result != EINPROGRESS || req.verb != VERB_CHECK)
		send(k->shared->link[0], &req, REQUEST_HEAD,
		     MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- worker -------------------------------------------------------------- */

static void __attribute__((noreturn)) worker_main(struct keeper *k)
{
	struct keeper_link link = { .keeper = k };
	int status;

	signals_default();
	status = k->run(k->arg, &link);
	fflush(NULL);
	k->shared->status = status;
	exit(status);
}

/* What a dead worker asked for, or was told, is not for the next one. */
static int link_renew(struct shared *s)
{
	if (s->link[0] >= 0) {
		close(s->link[0]);
		close(s->link[1]);
	}
	s->link[0] = s->link[1] = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->link))
		return -errno;
	return 0;
}

static void worker_start(struct keeper *k)
{
	struct shared *s = k->shared;
	pid_t pid = -1;

	if (k->left && access(k->left, F_OK)) {
		free(k->left);
		k->left = NULL;
	}
	s->status = -1;
	s->ready = false;
	s->starts++;
	s->started = now_ms();
	if (!link_renew(s))
		pid = fork_sharing_files(&s->worker);
	if (pid == 0)
		worker_main(k);
	if (pid > 0)
		return;
	say(k, "cannot start a worker: %s", strerror(errno));
	s->worker = -1;
	k->start_at = now_ms() + 1000;
}

/* That a worker is killed from outside, by hand or for want of memory, says
 * nothing about what it has read. */
static void back_off(struct keeper *k, int how)
{
	struct shared *s = k->shared;

	if (s->ready)
		s->failures = 0;
	else if (how != -SIGKILL)
		s->failures++;
	s->quick = now_ms() - s->started < QUICK_MS ? s->quick + 1 : 0;
	k->start_at = now_ms();
	if (s->quick > 2)
		k->start_at += s->quick > 9 ? 1000 : 10 << (s->quick - 3);
}

static void exec_next(struct keeper *k);

/* The worker has gone: what now? False: an end, with *status. */
static bool worker_ended(struct keeper *k, int *status)
{
	struct shared *s = k->shared;
	int how = reap(&s->worker);

	*status = s->status;
	if (k->quit || s->status == 0) {
		*status = 0;
		return false;
	}
	if (s->status == KEEPER_EXEC && k->next)
		exec_next(k);
	free(k->next);
	k->next = NULL;
	if (s->status > 0 && s->status != KEEPER_EXEC && !s->ever_ready)
		return false;

	back_off(k, how);
	if (!s->ever_ready && s->failures >= GIVE_UP) {
		say(k, "no worker came up, giving up");
		*status = 1;
		return false;
	}
	say(k, "worker %u ended with %s %d, another one is started", s->starts,
	    how < 0 ? "signal" : "status", how < 0 ? -how : how);
	return true;
}

/* ---- keeper -------------------------------------------------------------- */

static int keep(struct keeper *k);

static void __attribute__((noreturn)) standby_main(struct keeper *k)
{
	struct shared *s = k->shared;
	struct pollfd p = { .fd = s->self, .events = POLLIN };

	signals_default();
	signal(SIGHUP, SIG_IGN);
	while (poll(&p, 1, -1) <= 0)
		;
	if (s->done)
		_exit(0);
	signals_of_keeper();
	close(s->self);
	s->self = s->standby;
	s->standby = -1;
	pid_file_write(k);
	say(k, "the keeper died, process %d replaces it", (int)getpid());
	_exit(keep(k));
}

static void standby_start(struct keeper *k)
{
	pid_t pid = fork_sharing_files(&k->shared->standby);

	if (pid == 0)
		standby_main(k);
	if (pid < 0)
		k->shared->standby = -1;
}

/* ---- a successor --------------------------------------------------------- */

/*
 * The program that begins has inherited one end of a pipe, and so has every
 * process that it makes, whose numbers nobody knows when it has died itself.
 * They keep it until the state is taken.
 */
struct leash {
	int end[2];		/* ours, theirs */
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

static void leash_signal(const struct keeper *k, const struct leash *leash,
			 int signo)
{
	char name[64];
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir("/proc");
	pid_t pid;

	if (!fstat(leash->end[0], &st))
		snprintf(name, sizeof(name), "pipe:[%lu]",
			 (unsigned long)st.st_ino);
	while (dir && (entry = readdir(dir))) {
		pid = atoi(entry->d_name);
		if (pid > 0 && pid != getpid() && is_on(entry->d_name, name))
			kill(pid, signo);
	}
	if (dir)
		closedir(dir);
	send_signal(k->shared->self, signo);
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

static bool is_taken(const struct keeper *k)
{
	return !k->shared->guarded || access(k->next, F_OK);
}

/* Waits until the state is taken (false), or nobody is left who could take it:
 * there are never two who serve. */
static bool successor_failed(const struct keeper *k, const struct leash *leash)
{
	uint64_t until = now_ms() + TAKE_MS;

	while (!is_taken(k)) {
		if (has_ended(k, leash, TAKE_LOOK_MS))
			return !is_taken(k);
		if (now_ms() < until)
			continue;
		/* Not in the moment in which it takes it. */
		leash_signal(k, leash, SIGSTOP);
		poll(NULL, 0, TAKE_LOOK_MS);
		leash_signal(k, leash, is_taken(k) ? SIGCONT : SIGKILL);
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
	struct shared *s = k->shared;

	signals_default();
	close(leash->end[1]);
	if (!successor_failed(k, leash))
		_exit(0);
	close(leash->end[0]);
	k->left = k->next;
	k->next = NULL;
	close(s->self);
	s->self = syscall(SYS_pidfd_open, getpid(), 0);
	s->done = false;
	signals_of_keeper();
	if (s->pid_file >= 0 && !lockf(s->pid_file, F_TLOCK, 0))
		pid_file_write(k);
	say(k, "the new program failed, process %d goes on", (int)getpid());
	back_off(k, 0);
	_exit(keep(k));
}

/* A child of nobody's, for the new program would not know it; with a descriptor
 * table of its own, for the new program must not hold its leash itself. */
static void guard_start(struct keeper *k)
{
	struct leash leash;
	int fd = -1;
	pid_t pid;

	k->shared->guarded = *k->next;
	if (!*k->next || pipe2(leash.end, O_CLOEXEC))
		return;
	fflush(NULL);
	pid = fork_sharing_files(&fd);
	if (pid == 0) {
		if (!fork())
			guard_main(k, &leash);
		_exit(0);
	}
	if (pid > 0)
		reap(&fd);
	close(leash.end[0]);
	fcntl(leash.end[1], F_SETFD, 0);
}

static void exec_next(struct keeper *k)
{
	char *argv[REQUEST_MAX / 2 + 1], *p = k->next + strlen(k->next) + 1;
	struct shared *s = k->shared;
	size_t n = 0;

	for (; p < k->next + k->next_len; p += strlen(p) + 1)
		argv[n++] = p;
	argv[n] = NULL;
	s->done = true;
	kill_and_reap(&s->standby);
	say(k, "%s takes over", argv[0]);
	if (!k->options->alone)
		guard_start(k);
	/* The lock would stay with the guard. */
	if (s->pid_file >= 0 && lockf(s->pid_file, F_ULOCK, 0))
		say(k, "cannot unlock the pid file: %s", strerror(errno));
	signals_default();
	signal(SIGPIPE, SIG_DFL);
	execv(argv[0], argv);
	say(k, "%s: %s", argv[0], strerror(errno));
	signals_of_keeper();
	s->guarded = false;
	s->done = false;
	if (s->pid_file >= 0 && lockf(s->pid_file, F_TLOCK, 0))
		say(k, "cannot lock the pid file again: %s", strerror(errno));
	unlink(k->next);
}

static void handle_signals(struct keeper *k)
{
	if (got_hup)
		send_signal(k->shared->worker, SIGHUP);
	got_hup = 0;
	if (got_term) {
		send_signal(k->shared->worker, SIGTERM);
		if (!k->quit)
			k->kill_at = now_ms() + TERM_MS;
		k->quit = true;
	}
	got_term = 0;
	if (k->quit && now_ms() >= k->kill_at)
		send_signal(k->shared->worker, SIGKILL);
}

static void wait_for_news(struct keeper *k, struct pollfd *p)
{
	struct shared *s = k->shared;
	uint64_t now = now_ms(), until = UINT64_MAX, ms;
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
static int keep(struct keeper *k)
{
	struct shared *s = k->shared;
	struct pollfd p[4];
	int status = 0;

	while (!k->quit || s->worker >= 0) {
		/* First, so that a worker is never without a keeper. */
		if (s->standby < 0)
			standby_start(k);
		if (s->worker < 0 && now_ms() >= k->start_at)
			worker_start(k);
		wait_for_news(k, p);
		handle_signals(k);
		if (p[2].revents)
			kill_and_reap(&s->standby);
		if (p[1].revents)
			serve(k);
		if (s->checking >= 0)
			check_end(k);
		if (p[0].revents && !worker_ended(k, &status))
			break;
	}
	s->done = true;
	kill_and_reap(&s->checking);
	kill_and_reap(&s->standby);
	pid_file_remove(k);
	return status;
}

static int run_alone(struct keeper *k)
{
	struct keeper_link link = { .keeper = k };
	int status = link_renew(k->shared);

	if (status)
		return 1;
	k->shared->starts = 1;
	status = k->run(k->arg, &link);
	if (status == KEEPER_EXEC && k->next)
		exec_next(k);
	free(k->next);
	pid_file_remove(k);
	return status;
}

int keeper_run(const struct keeper_options *options, keeper_worker_fn *worker,
	       void *arg)
{
	struct keeper k = { .options = options, .run = worker, .arg = arg };
	struct shared *s;
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
	signals_of_keeper();
	return keep(&k);
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

void keeper_ready(struct keeper_link *link)
{
	link->keeper->shared->ready = true;
	link->keeper->shared->ever_ready = true;
}

int keeper_fd(const struct keeper_link *link)
{
	return link->keeper->shared->link[1];
}

static bool is_own(const struct shared *s, int fd)
{
	return fd == s->self || fd == s->standby || fd == s->worker ||
	       fd == s->link[0] || fd == s->link[1] || fd == s->pid_file ||
	       fd == s->checking;
}

int keeper_inherited(const struct keeper_link *link, int **fds, size_t *n)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t room = 0;
	int fd, *more;

	*fds = NULL;
	*n = 0;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		fd = atoi(entry->d_name);
		if (fd <= 2 || fd == dirfd(dir) ||
		    is_own(link->keeper->shared, fd))
			continue;
		if (*n == room) {
			room = room ? room * 2 : 64;
			more = realloc(*fds, room * sizeof(*more));
			if (!more)
				break;
			*fds = more;
		}
		(*fds)[(*n)++] = fd;
	}
	closedir(dir);
	return entry ? -ENOMEM : 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void keeper_close_others(const struct keeper_link *link, const int *keep_fds,
			 size_t n)
{
	const struct shared *s = link->keeper->shared;
	const int own[] = { 2, s->self, s->standby, s->worker, s->link[0],
			    s->link[1], s->pid_file };
	const size_t n_own = sizeof(own) / sizeof(own[0]);
	int *all = malloc((n + n_own) * sizeof(*all));
	size_t i;

	/* Too many open descriptors hurt less than a missing one. */
	if (!all)
		return;
	memcpy(all, own, sizeof(own));
	if (n)
		memcpy(all + n_own, keep_fds, n * sizeof(*all));
	n += n_own;
	qsort(all, n, sizeof(*all), by_number);
	for (i = 0; i < n; i++) {
		unsigned int from = all[i] < 2 ? 3 : all[i] + 1;
		unsigned int to = i + 1 < n ? (unsigned int)all[i + 1] - 1
					    : ~0U;

		if (all[i] >= 2 && from <= to)
			close_range(from, to, 0);
	}
	free(all);
}

static int request(struct keeper_link *link, enum verb verb, const char *text,
		   size_t len)
{
	struct request req = { .verb = verb };

	if (len > sizeof(req.text))
		return -E2BIG;
	memcpy(req.text, text, len);
	if (send(keeper_fd(link), &req, REQUEST_HEAD + len,
		 MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	if (link->keeper->options->alone)
		serve(link->keeper);
	return 0;
}

static int reply(struct keeper_link *link, enum verb verb, int timeout)
{
	struct pollfd p = { .fd = keeper_fd(link), .events = POLLIN };
	struct request req;

	do {
		if (poll(&p, 1, timeout) <= 0)
			return timeout ? -ETIMEDOUT : EAGAIN;
		if (recv(p.fd, &req, sizeof(req), MSG_DONTWAIT) <
		    (ssize_t)REQUEST_HEAD)
			return -EIO;
		/* An older answer that came too late is skipped. */
	} while (req.verb != verb);
	return req.result;
}

int keeper_open_log(struct keeper_link *link, const char *path, int *fd)
{
	int err = request(link, VERB_LOG, path, strlen(path) + 1);

	if (err)
		return err;
	err = reply(link, VERB_LOG, REPLY_MS);
	if (err < 0)
		return err;
	*fd = err;
	return 0;
}

int keeper_check(struct keeper_link *link, const char *file, const char *state)
{
	char text[REQUEST_MAX];
	int len = snprintf(text, sizeof(text), "%s%c%s", file, 0,
			   state ? state : "");

	if (len >= (int)sizeof(text))
		return -E2BIG;
	return request(link, VERB_CHECK, text, len + 1);
}

int keeper_checked(struct keeper_link *link)
{
	struct keeper *k = link->keeper;

	if (k->options->alone && k->shared->checking >= 0)
		check_end(k);
	return reply(link, VERB_CHECK, 0);
}

/* Adds a string with its NUL to a request. */
static int add_text(char *text, size_t *len, const char *what)
{
	size_t n = strlen(what) + 1;

	if (*len + n > REQUEST_MAX)
		return -E2BIG;
	memcpy(text + *len, what, n);
	*len += n;
	return 0;
}

int keeper_exec(struct keeper_link *link, const char *state,
		char *const argv[])
{
	char text[REQUEST_MAX];
	size_t len = 0, i;
	int err;

	err = add_text(text, &len, state ? state : "");
	for (i = 0; !err && argv[i]; i++)
		err = add_text(text, &len, argv[i]);
	if (err)
		return err;
	err = request(link, VERB_EXEC, text, len);
	return err ? err : reply(link, VERB_EXEC, REPLY_MS);
}
