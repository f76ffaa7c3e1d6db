/* SPDX-License-Identifier: MIT */
#include "io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define BACKLOG 4096
#define ACCEPTS_PER_PASS 64
#define RETRY_MS 1000

struct listener {
	int fd;
	struct loop_fd *watch;
	struct loop_timer *retry;	/* armed: accepting pauses */
	void (*accepted)(void *arg, int fd);
	void *arg;
	bool complained;
};

/* Does somebody listen there? A full backlog is somebody, too. */
static int probe(int fd, const struct sockaddr_un *addr)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ||
	    errno == EAGAIN)
		return -EADDRINUSE;
	if (errno == ECONNREFUSED)
		return unlink(addr->sun_path) < 0 ? -errno : 0;
	return errno == ENOENT ? 0 : -errno;
}

static int socket_of(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int bind_0600(int fd, const struct sockaddr_un *addr)
{
	mode_t mask = umask(0177);
	int err = 0;

	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		err = -errno;
	umask(mask);
	return err;
}

static int listen_at(const struct sockaddr_un *addr, int type, int *out)
{
	int test = socket_of(type), fd, err;

	if (test < 0)
		return test;
	err = probe(test, addr);
	close(test);
	if (err)
		return err;
	fd = socket_of(type);
	if (fd < 0)
		return fd;
	err = bind_0600(fd, addr);
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

/* The directory, locked: two daemons that find a stale file at once must not
 * unlink each other's fresh one. */
static int lock_dir_of(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;

	strcpy(copy, path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int listener_bind(const char *path, int type, int *fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int dir, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	dir = lock_dir_of(path);
	if (dir < 0)
		return dir;
	err = listen_at(&addr, type, fd);
	close(dir);
	return err;
}

static void listener_go(void *arg)
{
	struct listener *listener = arg;

	loop_timer_cancel(listener->retry);
	loop_fd_want(listener->watch, LOOP_READ);
}

void listener_retry(struct listener *listener)
{
	if (loop_timer_armed(listener->retry))
		listener_go(listener);
}

/* What is waiting stays in the backlog meanwhile. */
static void listener_pause(struct listener *listener, int err)
{
	if (!listener->complained)
		log_error("cannot accept clients for now: %s", strerror(err));
	listener->complained = true;
	loop_fd_want(listener->watch, 0);
	loop_timer_set(listener->retry, RETRY_MS);
}

static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM ||
	       err == ENOBUFS;
}

static void listener_ready(void *arg, unsigned int events)
{
	struct listener *listener = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_PASS; i++) {
		int fd = accept4(listener->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (is_shortage(errno))
				listener_pause(listener, errno);
			else if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (listener->complained)
			log_info("accepting clients again");
		listener->complained = false;
		listener->accepted(listener->arg, fd);
	}
}

static int listener_free(struct listener *listener)
{
	TALLOC_FREE(listener->watch);
	close(listener->fd);
	return 0;
}

int listener_new(TALLOC_CTX *ctx, struct loop *loop, int fd,
		 void (*accepted)(void *arg, int fd), void *arg,
		 struct listener **out)
{
	struct listener *listener = talloc_zero(ctx, struct listener);
	int err;

	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	listener->fd = fd;
	listener->accepted = accepted;
	listener->arg = arg;
	talloc_set_destructor(listener, listener_free);
	err = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (!err)
		err = loop_timer_new(listener, loop, listener_go, listener,
				     &listener->retry);
	if (!err)
		err = loop_fd_new(listener, loop, fd, LOOP_READ,
				  listener_ready, listener, &listener->watch);
	if (err) {
		talloc_free(listener);
		return err;
	}
	*out = listener;
	return 0;
}

int listener_fd(const struct listener *listener)
{
	return listener->fd;
}
