/* SPDX-License-Identifier: MIT */
/*
 * The event loop: descriptors, timers, signals, and the end of each tick.
 *
 * Callbacks only note what is ready; the work is done in the tick function,
 * which runs once after every pass over what the kernel reported. A descriptor
 * is watched level-triggered and stays registered: serving it costs no system
 * call of its own. Nothing wakes an idle loop.
 *
 * The only file that includes libevent is loop.c. Objects unregister when they
 * are freed; they may be freed in any callback.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_signal;

enum {
	LOOP_READ = 1,
	LOOP_WRITE = 2,
};

int loop_new(TALLOC_CTX *ctx, struct loop **out);

/* Watches for `events`; does not own the descriptor. */
int loop_fd_new(TALLOC_CTX *ctx, struct loop *loop, int fd,
		unsigned int events,
		void (*ready)(void *arg, unsigned int events), void *arg,
		struct loop_fd **out);
/* Edge-triggered: reported once per arrival, for a descriptor that is never
 * read (an eventfd shared with a stranger), and once when it is wanted again.
 */
int loop_fd_new_edge(TALLOC_CTX *ctx, struct loop *loop, int fd,
		     void (*ready)(void *arg, unsigned int events), void *arg,
		     struct loop_fd **out);
/* Changes what is watched; costs a system call only if it differs. */
void loop_fd_want(struct loop_fd *fd, unsigned int events);

/* One-shot; not armed at first. */
int loop_timer_new(TALLOC_CTX *ctx, struct loop *loop, void (*fn)(void *arg),
		   void *arg, struct loop_timer **out);
void loop_timer_set(struct loop_timer *timer, uint64_t ms_from_now);
void loop_timer_cancel(struct loop_timer *timer);
bool loop_timer_armed(const struct loop_timer *timer);

/* The callback runs in the loop, not in the signal handler. */
int loop_signal_new(TALLOC_CTX *ctx, struct loop *loop, int signo,
		    void (*fn)(void *arg), void *arg,
		    struct loop_signal **out);

/*
 * Runs until loop_stop(). `tick` returns true while it has work left: then the
 * loop looks for new input without sleeping.
 */
int loop_run(struct loop *loop, bool (*tick)(void *arg), void *arg);
void loop_stop(struct loop *loop);

/* Monotonic milliseconds, read once per pass. */
uint64_t loop_now(const struct loop *loop);
/* Microseconds since then. */
uint64_t loop_busy_us(const struct loop *loop);

#endif
