/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fake_server.h"

#define PATIENCE_MS 10000

struct fake {
	pthread_t thread;
	void (*script)(struct fake *fake);
	char dir[64];
	struct sockaddr_un addr;
	int door, client;
	struct xsd_sockmsg hdr;
	char payload[65536];
	sem_t sem, back;
};

#define must(cond) fake_must(cond)

/* What a failure must not leave behind. */
static struct fake *running;

static void remove_files(struct fake *fake)
{
	unlink(fake->addr.sun_path);
	rmdir(fake->dir);
}

void fake_must_(bool cond, const char *what, const char *file, int line)
{
	if (cond)
		return;
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	printf("not ok 999 - the client spoke as the script expects\n");
	fflush(NULL);
	if (running)
		remove_files(running);
	_exit(1);
}

static void *run(void *arg)
{
	struct fake *fake = arg;

	fake->script(fake);
	fake_hang_up(fake);
	return NULL;
}

void fake_open_door(struct fake *fake)
{
	fake->door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fake->door >= 0);
	must(bind(fake->door, (struct sockaddr *)&fake->addr,
		  sizeof(fake->addr)) == 0);
	must(listen(fake->door, 10) == 0);
}

void fake_close_door(struct fake *fake)
{
	close(fake->door);
	fake->door = -1;
	unlink(fake->addr.sun_path);
}

struct fake *fake_start(void (*script)(struct fake *fake))
{
	const char *tmp = getenv("TMPDIR");
	struct fake *fake = calloc(1, sizeof(*fake));

	must(fake != NULL);
	running = fake;
	fake->script = script;
	fake->client = -1;
	sem_init(&fake->sem, 0, 0);
	sem_init(&fake->back, 0, 0);
	snprintf(fake->dir, sizeof(fake->dir), "%s/xsfake.XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	must(mkdtemp(fake->dir) != NULL);
	fake->addr.sun_family = AF_UNIX;
	snprintf(fake->addr.sun_path, sizeof(fake->addr.sun_path), "%s/socket",
		 fake->dir);
	fake_open_door(fake);
	setenv("XENSTORED_PATH", fake->addr.sun_path, 1);
	must(pthread_create(&fake->thread, NULL, run, fake) == 0);
	return fake;
}

void fake_stop(struct fake *fake)
{
	pthread_join(fake->thread, NULL);
	fake_close_door(fake);
	remove_files(fake);
	running = NULL;
	sem_destroy(&fake->sem);
	sem_destroy(&fake->back);
	free(fake);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

void fake_accept(struct fake *fake)
{
	fake_hang_up(fake);
	must(readable(fake->door, PATIENCE_MS));
	fake->client = accept4(fake->door, NULL, NULL, SOCK_CLOEXEC);
	must(fake->client >= 0);
}

void fake_hang_up(struct fake *fake)
{
	if (fake->client >= 0)
		close(fake->client);
	fake->client = -1;
}

static void read_all(struct fake *fake, void *buf, size_t len)
{
	char *p = buf;
	ssize_t got;

	while (len) {
		must(readable(fake->client, PATIENCE_MS));
		got = read(fake->client, p, len);
		must(got > 0);
		p += got;
		len -= got;
	}
}

const char *fake_expect(struct fake *fake, enum xsd_sockmsg_type type)
{
	read_all(fake, &fake->hdr, sizeof(fake->hdr));
	must(fake->hdr.len < sizeof(fake->payload));
	read_all(fake, fake->payload, fake->hdr.len);
	fake->payload[fake->hdr.len] = '\0';
	must(fake->hdr.type == (uint32_t)type);
	return fake->payload;
}

struct xsd_sockmsg fake_header(const struct fake *fake)
{
	return fake->hdr;
}

void fake_expect_end(struct fake *fake)
{
	char ignored[4096];

	do
		must(readable(fake->client, PATIENCE_MS));
	while (read(fake->client, ignored, sizeof(ignored)) > 0);
}

void fake_raw(struct fake *fake, const void *bytes, size_t len)
{
	const char *p = bytes;
	ssize_t done;

	while (len) {
		done = send(fake->client, p, len, MSG_NOSIGNAL);
		if (done <= 0)
			return;	/* the client may be gone: that is its right */
		p += done;
		len -= done;
	}
}

void fake_send(struct fake *fake, enum xsd_sockmsg_type type,
	       const void *payload, size_t len)
{
	struct xsd_sockmsg hdr = { .type = type, .len = len };
	char *message = malloc(sizeof(hdr) + len);

	must(message != NULL);
	if (type != XS_WATCH_EVENT) {
		hdr.req_id = fake->hdr.req_id;
		hdr.tx_id = fake->hdr.tx_id;
	}
	memcpy(message, &hdr, sizeof(hdr));
	memcpy(message + sizeof(hdr), payload, len);
	fake_raw(fake, message, sizeof(hdr) + len);
	free(message);
}

void fake_ok(struct fake *fake, enum xsd_sockmsg_type type)
{
	fake_send(fake, type, "OK", 3);
}

void fake_error(struct fake *fake, const char *name)
{
	fake_send(fake, XS_ERROR, name, strlen(name) + 1);
}

void fake_event(struct fake *fake, const char *path, const char *token)
{
	char payload[XENSTORE_PAYLOAD_MAX];
	int len = snprintf(payload, sizeof(payload), "%s%c%s", path, 0, token);

	fake_send(fake, XS_WATCH_EVENT, payload, len + 1);
}

static void wait_for(sem_t *sem)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	while (sem_timedwait(sem, &until) < 0)
		must(errno == EINTR);
}

void fake_signal(struct fake *fake)
{
	sem_post(&fake->sem);
}

void fake_wait(struct fake *fake)
{
	wait_for(&fake->sem);
}

void fake_signal_back(struct fake *fake)
{
	sem_post(&fake->back);
}

void fake_wait_back(struct fake *fake)
{
	wait_for(&fake->back);
}
