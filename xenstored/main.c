/* SPDX-License-Identifier: MIT */
/*
 * xenstored: options, then keeper, then server.
 *
 * The process that was started exits when clients are served, with 0, or with
 * 1 after one line on stderr when it cannot be.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scoped.h"
#include "keeper.h"
#include "options.h"
#include "persist/handover.h"
#include "server.h"

struct process {
	struct options options;
	int ready_fd;		/* who waits for the start; -1: nobody */
	bool *started;		/* shared by keeper and worker */
};

/* For the keeper, who has no descriptor but its own (K6). */
static void say(const char *text)
{
	log_warn("%s", text);
	log_let_go(false);
}

static void say_aloud(const char *text)
{
	log_warn("%s", text);
	log_let_go(true);
}

/* Thousands of clients need descriptors. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t most = 1 << 20;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	if (limit.rlim_max < most) {
		struct rlimit more = { most, most };

		if (!setrlimit(RLIMIT_NOFILE, &more))
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The service manager's protocol: a datagram to $NOTIFY_SOCKET. */
static void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, len);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		   (struct sockaddr *)&to,
		   offsetof(struct sockaddr_un, sun_path) + len) < 0)
		log_warn("cannot tell the service manager: %s",
			 strerror(errno));
	close(fd);
}

static void to_null(void)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd < 0)
		return;
	for (int i = 0; i <= STDERR_FILENO; i++)
		dup2(fd, i);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* The process that was started may exit. */
static void tell_started(struct process *process)
{
	if (*process->started || process->ready_fd < 0)
		return;
	*process->started = true;
	if (write(process->ready_fd, "1", 1) < 0)
		log_warn("nobody waits for the start any more");
	close(process->ready_fd);
}

static void ready(void *arg)
{
	struct process *process = arg;

	notify_manager("READY=1\nSTATUS=xenstored is ready\n");
	if (!process->options.foreground)
		to_null();
	tell_started(process);
}

static int work(void *arg, struct keeper_link *link)
{
	struct process *process = arg;

	return server_run(&process->options.server, link);
}

/* In the process that was started: waits for the daemon's word. */
static void __attribute__((noreturn)) wait_for_start(int fd)
{
	char byte;

	exit(read(fd, &byte, 1) == 1 ? 0 : 1);
}

static int daemonize(struct process *process)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		close(fds[1]);
		wait_for_start(fds[0]);
	}
	close(fds[0]);
	process->ready_fd = fds[1];
	setsid();
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid)
		_exit(0);
	umask(0);
	return chdir("/") ? -errno : 0;
}

/* For people; or for a predecessor, who wants to know only whether. */
static int look_at_state(TALLOC_CTX *ctx, const char *file, bool print)
{
	struct stream_fault fault = { 0, "" };
	struct blob state;
	int err;

	err = stream_load(ctx, file, &state);
	if (err) {
		fprintf(stderr, "xenstored: %s: %s\n", file, strerror(-err));
		return 1;
	}
	err = print ? stream_print(state.data, state.len, stdout, &fault) :
		      handover_check(state, &fault);
	if (err == -EPROTO)
		fprintf(stderr, "xenstored: %s: at %zu: %s\n", file,
			fault.offset, fault.why);
	else if (err)
		fprintf(stderr, "xenstored: %s: %s\n", file, strerror(-err));
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct process process = { .ready_fd = -1 };
	struct keeper_options keeper;
	int err;

	options_parse(ctx, argc, argv, &process.options);
	if (process.options.print_state)
		return look_at_state(ctx, process.options.print_state, true);
	if (process.options.check_state)
		return look_at_state(ctx, process.options.check_state, false);
	process.options.server.ready = ready;
	process.options.server.ready_arg = &process;
	process.started = mmap(NULL, sizeof(bool), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (process.started == MAP_FAILED) {
		fputs("xenstored: no memory\n", stderr);
		return 1;
	}
	log_open(process.options.foreground);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	/* A live update changes the program, not the process. */
	if (!process.options.foreground &&
	    !process.options.server.live_update) {
		err = daemonize(&process);
		if (err) {
			fprintf(stderr, "xenstored: cannot run in the "
					"background: %s\n", strerror(-err));
			return 1;
		}
	}
	if (process.options.print_pid) {
		printf("%d\n", getpid());
		fflush(stdout);
	}
	keeper = (struct keeper_options){
		.pid_file = process.options.pid_file,
		.alone = process.options.alone,
		.say = process.options.foreground ? say_aloud : say,
	};
	err = keeper_run(&keeper, work, &process);
	if (!err)
		tell_started(&process);	/* another daemon has the pid file */
	return err;
}
