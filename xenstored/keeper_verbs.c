/* SPDX-License-Identifier: MIT */
/*
 * What a worker asks of its keeper, both ends of it: a log file to be opened,
 * a successor to check a state, another program to be executed.
 *
 * One packet of the socketpair is one request or one reply. A keeper never
 * waits for a worker; a worker waits REPLY_MS, and skips what comes too late.
 * With no keeper the worker serves itself.
 */
#include "keeper_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK_MS 10000		/* for a successor to check the state */
#define REPLY_MS 1000		/* that a worker waits for an answer */

enum verb { VERB_LOG, VERB_CHECK, VERB_EXEC };

/* Requests and replies; text is one or more strings, each with its NUL. */
struct request {
	enum verb verb;
	int result;		/* of replies: descriptor, 0, or -errno */
	char text[KEEPER_REQUEST_MAX];
};

#define REQUEST_HEAD offsetof(struct request, text)

/* ---- the keeper's side --------------------------------------------------- */

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
	keeper_kill_and_reap(&k->shared->checking);
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	err = posix_spawn(&pid, file, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (err)
		return -err;
	k->shared->checking = syscall(SYS_pidfd_open, pid, 0);
	k->check_until = keeper_now_ms() + CHECK_MS;
	return EINPROGRESS;
}

void keeper_check_end(struct keeper *k)
{
	struct request reply = { .verb = VERB_CHECK };
	struct pollfd p = { .fd = k->shared->checking, .events = POLLIN };

	if (poll(&p, 1, 0) > 0) {
		if (keeper_reap(&k->shared->checking))
			reply.result = -EPROTO;
	} else if (keeper_now_ms() >= k->check_until) {
		keeper_kill_and_reap(&k->shared->checking);
		reply.result = -ETIMEDOUT;
	} else {
		return;
	}
	send(k->shared->link[0], &reply, REQUEST_HEAD,
	     MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int exec_prepare(struct keeper *k, const char *text, size_t len)
{
	const char *end = text + len, *file = text;
	char *copy;
	int err;

	for (int i = 0; i < 2 && file < end; i++)
		file += strlen(file) + 1;
	err = file < end ? look_at(file) : -EINVAL;
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

void keeper_serve(struct keeper *k)
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

/* ---- the worker's side --------------------------------------------------- */

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
		keeper_serve(link->keeper);
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
	char text[KEEPER_REQUEST_MAX];
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
		keeper_check_end(k);
	return reply(link, VERB_CHECK, 0);
}

/* Adds a string with its NUL to a request. */
static int add_text(char *text, size_t *len, const char *what)
{
	size_t n = strlen(what) + 1;

	if (*len + n > KEEPER_REQUEST_MAX)
		return -E2BIG;
	memcpy(text + *len, what, n);
	*len += n;
	return 0;
}

int keeper_exec(struct keeper_link *link, const char *state, const char *note,
		char *const argv[])
{
	char text[KEEPER_REQUEST_MAX];
	size_t len = 0, i;
	int err;

	err = add_text(text, &len, state ? state : "");
	if (!err)
		err = add_text(text, &len, note);
	for (i = 0; !err && argv[i]; i++)
		err = add_text(text, &len, argv[i]);
	if (err)
		return err;
	err = request(link, VERB_EXEC, text, len);
	return err ? err : reply(link, VERB_EXEC, REPLY_MS);
}
