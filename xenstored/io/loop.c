/* SPDX-License-Identifier: MIT */
#include "io/loop.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

struct loop {
	struct event_base *base;
	uint64_t read_us;	/* when the clock was read */
	bool stop;
};

struct loop_fd {
	struct event event;
	struct loop *loop;
	void (*ready)(void *arg, unsigned int events);
	void *arg;
	int fd;
	unsigned int want;
	bool edge;
};

/* A descriptor: with a time to wake up each epoll_wait() would set a timer in
 * the kernel, and cancel it, beside most of the requests. */
struct loop_timer {
	struct loop_fd *watch;
	int fd;
	bool armed;
	void (*fn)(void *arg);
	void *arg;
};

struct loop_signal {
	struct event event;
	void (*fn)(void *arg);
	void *arg;
};

static uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int loop_free(struct loop *loop)
{
	event_base_free(loop->base);
	return 0;
}

int loop_new(TALLOC_CTX *ctx, struct loop **out)
{
	struct event_config *config = event_config_new();
	struct loop *loop = talloc_zero(ctx, struct loop);

	if (loop && config) {
		/* One thread: no locks. */
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		loop->base = event_base_new_with_config(config);
	}
	if (config)
		event_config_free(config);
	if (!loop || !loop->base) {
		talloc_free(loop);
		return -ENOMEM;
	}
	talloc_set_destructor(loop, loop_free);
	loop->read_us = clock_us();
	*out = loop;
	return 0;
}

static void loop_fd_fired(evutil_socket_t sock, short what, void *arg)
{
	struct loop_fd *fd = arg;

	(void)sock;
	/* Last: the callback may free the descriptor. */
	fd->ready(fd->arg, (what & EV_READ ? LOOP_READ : 0) |
			   (what & EV_WRITE ? LOOP_WRITE : 0));
}

static int loop_fd_free(struct loop_fd *fd)
{
	event_del(&fd->event);
	return 0;
}

static int loop_fd_add(TALLOC_CTX *ctx, struct loop *loop, int fd, short what,
		       void (*ready)(void *arg, unsigned int events), void *arg,
		       struct loop_fd **out)
{
	struct loop_fd *new = talloc_zero(ctx, struct loop_fd);

	if (!new)
		return -ENOMEM;
	new->loop = loop;
	new->ready = ready;
	new->arg = arg;
	new->fd = fd;
	new->edge = what & EV_ET;
	new->want = (what & EV_READ ? LOOP_READ : 0) |
		    (what & EV_WRITE ? LOOP_WRITE : 0);
	if (event_assign(&new->event, loop->base, fd, what | EV_PERSIST,
			 loop_fd_fired, new) < 0 ||
	    (new->want && event_add(&new->event, NULL) < 0)) {
		talloc_free(new);
		return -ENOMEM;
	}
	talloc_set_destructor(new, loop_fd_free);
	*out = new;
	return 0;
}

static short what_of(unsigned int events)
{
	return (events & LOOP_READ ? EV_READ : 0) |
	       (events & LOOP_WRITE ? EV_WRITE : 0);
}

int loop_fd_new(TALLOC_CTX *ctx, struct loop *loop, int fd,
		unsigned int events,
		void (*ready)(void *arg, unsigned int events), void *arg,
		struct loop_fd **out)
{
	return loop_fd_add(ctx, loop, fd, what_of(events), ready, arg, out);
}

int loop_fd_new_edge(TALLOC_CTX *ctx, struct loop *loop, int fd,
		     void (*ready)(void *arg, unsigned int events), void *arg,
		     struct loop_fd **out)
{
	return loop_fd_add(ctx, loop, fd, EV_READ | EV_ET, ready, arg, out);
}

void loop_fd_want(struct loop_fd *fd, unsigned int events)
{
	if (fd->want == events)
		return;
	fd->want = events;
	event_del(&fd->event);
	event_assign(&fd->event, fd->loop->base, fd->fd,
		     what_of(events) | EV_PERSIST | (fd->edge ? EV_ET : 0),
		     loop_fd_fired, fd);
	if (events)
		event_add(&fd->event, NULL);
}

static void loop_timer_fired(void *arg, unsigned int events)
{
	struct loop_timer *timer = arg;
	uint64_t times;

	(void)events;
	if (read(timer->fd, &times, sizeof(times)) != sizeof(times))
		return;		/* set again, or cancelled, meanwhile */
	timer->armed = false;
	timer->fn(timer->arg);
}

static int loop_timer_free(struct loop_timer *timer)
{
	TALLOC_FREE(timer->watch);
	if (timer->fd >= 0)
		close(timer->fd);
	return 0;
}

int loop_timer_new(TALLOC_CTX *ctx, struct loop *loop, void (*fn)(void *arg),
		   void *arg, struct loop_timer **out)
{
	struct loop_timer *timer = talloc_zero(ctx, struct loop_timer);
	int err;

	if (!timer)
		return -ENOMEM;
	timer->fn = fn;
	timer->arg = arg;
	timer->fd = timerfd_create(CLOCK_MONOTONIC,
				   TFD_NONBLOCK | TFD_CLOEXEC);
	err = timer->fd < 0 ? -errno : 0;
	talloc_set_destructor(timer, loop_timer_free);
	if (!err)
		err = loop_fd_new(timer, loop, timer->fd, LOOP_READ,
				  loop_timer_fired, timer, &timer->watch);
	if (err) {
		talloc_free(timer);
		return err;
	}
	*out = timer;
	return 0;
}

static void loop_timer_put(struct loop_timer *timer, uint64_t ns)
{
	const struct itimerspec at = {
		.it_value = { ns / 1000000000, ns % 1000000000 },
	};

	timerfd_settime(timer->fd, 0, &at, NULL);
	timer->armed = ns;
}

void loop_timer_set(struct loop_timer *timer, uint64_t ms_from_now)
{
	loop_timer_put(timer, ms_from_now ? ms_from_now * 1000000 : 1);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	loop_timer_put(timer, 0);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
	return timer->armed;
}

static void loop_signal_fired(evutil_socket_t sock, short what, void *arg)
{
	struct loop_signal *sig = arg;

	(void)sock;
	(void)what;
	sig->fn(sig->arg);
}

static int loop_signal_free(struct loop_signal *sig)
{
	evsignal_del(&sig->event);
	return 0;
}

int loop_signal_new(TALLOC_CTX *ctx, struct loop *loop, int signo,
		    void (*fn)(void *arg), void *arg, struct loop_signal **out)
{
	struct loop_signal *sig = talloc_zero(ctx, struct loop_signal);

	if (!sig)
		return -ENOMEM;
	sig->fn = fn;
	sig->arg = arg;
	if (evsignal_assign(&sig->event, loop->base, signo, loop_signal_fired,
			    sig) < 0 ||
	    evsignal_add(&sig->event, NULL) < 0) {
		talloc_free(sig);
		return -EINVAL;
	}
	talloc_set_destructor(sig, loop_signal_free);
	*out = sig;
	return 0;
}

int loop_run(struct loop *loop, bool (*tick)(void *arg), void *arg)
{
	/* What was adopted may be ready before anything is reported. */
	bool busy = true;

	loop->stop = false;
	while (!loop->stop) {
		if (event_base_loop(loop->base,
				    EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY |
				    (busy ? EVLOOP_NONBLOCK : 0)) < 0)
			return -EIO;
		loop->read_us = clock_us();
		busy = tick(arg);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->read_us / 1000;
}

uint64_t loop_busy_us(const struct loop *loop)
{
	return clock_us() - loop->read_us;
}
