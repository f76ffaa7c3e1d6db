/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "link.h"
#include "public.h"

#ifndef XENSTORE_RUNDIR
#define XENSTORE_RUNDIR "/var/run/xenstored"
#endif

/* The device takes header and payload together in this many bytes. */
#define DEVICE_MESSAGE_MAX 4096

#define RECEIVE_WAIT_MS 1000

const char *link_rundir(void)
{
	const char *dir = getenv("XENSTORED_RUNDIR");

	return dir ? dir : XENSTORE_RUNDIR;
}

const char *link_socket_path(char *buf, size_t size)
{
	const char *path = getenv("XENSTORED_PATH");

	if (path)
		return path;
	snprintf(buf, size, "%s/socket", link_rundir());
	return buf;
}

static const char *device_path(void)
{
	const char *path = getenv("XENSTORED_PATH");

	if (path)
		return path;
	if (access("/dev/xen/xenbus", F_OK) == 0)
		return "/dev/xen/xenbus";
	return "/proc/xen/xenbus";
}

void link_init(struct link *link)
{
	link->fd = link->kick = -1;
}

static int open_socket(const char *path, int flags, int *out)
{
	struct timeval wait = { .tv_sec = RECEIVE_WAIT_MS / 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return EINVAL;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return errno;
	/* A Unix socket that is interrupted has not connected: do it again. */
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		err = errno;
		if (err == EINTR)
			continue;
		close(fd);
		return err;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (flags)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	*out = fd;
	return 0;
}

static int open_device(const char *path, struct link *link, int *out)
{
	int fd, err;

	if (link->kick < 0) {
		link->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (link->kick < 0)
			return errno;
	}
	/* A terminal (a stand-in's) must not become ours. */
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		err = errno;
		close(link->kick);
		link->kick = -1;
		return err;
	}
	*out = fd;
	return 0;
}

static int open_path(struct link *link, const char *path)
{
	struct stat st;
	int err;

	if (strlen(path) >= sizeof(link->path))
		return ENAMETOOLONG;
	if (stat(path, &st) < 0)
		return errno;
	link->is_socket = S_ISSOCK(st.st_mode);
	if (link->is_socket)
		err = open_socket(path, 0, &link->fd);
	else
		err = open_device(path, link, &link->fd);
	if (!err)
		strcpy(link->path, path);
	return err;
}

int link_open(struct link *link)
{
	char buf[PATH_MAX];

	if (open_path(link, link_socket_path(buf, sizeof(buf))) == 0)
		return 0;
	return open_path(link, device_path());
}

int link_renew(struct link *link)
{
	int fd, err;

	err = open_socket(link->path, SOCK_NONBLOCK, &fd);
	if (err)
		return err;
	if (dup3(fd, link->fd, O_CLOEXEC) < 0)	/* L1 */
		err = errno;
	close(fd);
	return err;
}

unsigned int link_payload_max(const struct link *link)
{
	if (link->is_socket)
		return XENSTORE_PAYLOAD_MAX;
	return DEVICE_MESSAGE_MAX - sizeof(struct xsd_sockmsg);
}

static void iov_skip(struct iovec **iov, unsigned int *n, size_t done)
{
	while (*n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		++*iov;
		--*n;
	}
	if (*n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

/*
 * No character device raises SIGPIPE, and a FIFO that was opened for reading
 * and writing has a reader: only the socket needs the flag for L3.
 */
int link_send(struct link *link, struct iovec *iov, unsigned int n,
	      bool dont_wait)
{
	int flags = MSG_NOSIGNAL | (dont_wait ? MSG_DONTWAIT : 0);
	struct msghdr msg = { 0 };
	ssize_t done;

	while (n) {
		if (link->is_socket) {
			msg.msg_iov = iov;
			msg.msg_iovlen = n;
			done = sendmsg(link->fd, &msg, flags);
		} else {
			done = writev(link->fd, iov, n);
		}
		if (done >= 0)
			iov_skip(&iov, &n, done);
		else if (errno != EINTR)
			return errno;
	}
	return 0;
}

/* Waits for the device to be readable or the link cut, as poll() does. */
static int device_poll(struct link *link, int ms)
{
	struct pollfd fds[2] = {
		{ .fd = link->fd, .events = POLLIN },
		{ .fd = link->kick, .events = POLLIN },
	};

	return poll(fds, 2, ms);
}

ssize_t link_receive(struct link *link, void *buf, size_t size, bool wait)
{
	struct pollfd kick = { .fd = link->kick, .events = POLLIN };
	ssize_t got;
	int ready;

	if (link->is_socket) {
		got = recv(link->fd, buf, size, wait ? 0 : MSG_DONTWAIT);
	} else {
		/* read() alone would wait, after a cut for ever. */
		ready = device_poll(link, wait ? RECEIVE_WAIT_MS : 0);
		if (ready <= 0)
			return ready < 0 ? -errno : -EAGAIN;
		if (poll(&kick, 1, 0) > 0)
			return 0;
		got = read(link->fd, buf, size);
	}
	return got >= 0 ? got : -errno;
}

void link_wait(struct link *link)
{
	struct pollfd fd = { .fd = link->fd, .events = POLLIN };

	if (link->is_socket)
		poll(&fd, 1, -1);
	else
		device_poll(link, -1);
}

void link_cut(struct link *link)
{
	uint64_t one = 1;

	if (link->is_socket)
		shutdown(link->fd, SHUT_RDWR);
	else if (write(link->kick, &one, sizeof(one)) < 0)
		return;	/* only when it is at its maximum: it is readable */
}

int link_replace_by_null(struct link *link)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err = 0;

	if (null < 0)
		return errno;
	if (dup3(null, link->fd, O_CLOEXEC) < 0)
		err = errno;
	close(null);
	return err;
}

void link_close(struct link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	if (link->kick >= 0)
		close(link->kick);
	link_init(link);
}
