/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

/* Runs fn in a child that is in the sandbox; its result is the exit status. */
static int in_sandbox(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (sandbox_enter())
			_exit(99);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* 0: the call was refused. */
static int refused(long result)
{
	return result != -1 || errno != EPERM;
}

static int try_exec(void)
{
	char path[] = "/bin/true";
	char *argv[] = { path, NULL };

	return refused(execv(argv[0], argv));
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return refused(pid);
}

static int try_network(void)
{
	return refused(socket(AF_INET, SOCK_STREAM, 0)) ||
	       refused(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int try_more(void)
{
	return refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)) ||
	       refused(mount("none", "/", "tmpfs", 0, NULL)) ||
	       refused(unshare(CLONE_NEWUSER)) || refused(setuid(12)) ||
	       refused(chroot("/"));
}

static void what_serving_does_not_need_is_refused(void **state)
{
	(void)state;
	assert_int_equal(in_sandbox(try_exec), 0);
	assert_int_equal(in_sandbox(try_fork), 0);
	assert_int_equal(in_sandbox(try_network), 0);
	assert_int_equal(in_sandbox(try_more), 0);
}

static int serve(void)
{
	char name[] = "/tmp/test-sandbox.XXXXXX";
	int pair[2], fd = mkstemp(name);

	if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 4096) ||
	    unlink(name) || close(fd))
		return 1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    send(pair[0], "x", 1, MSG_NOSIGNAL) != 1)
		return 2;
	free(malloc(1 << 24));
	return 0;
}

static void what_serving_needs_works(void **state)
{
	(void)state;
	assert_int_equal(in_sandbox(serve), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_TEST(what_serving_does_not_need_is_refused, NULL,
			     NULL),
		HARNESS_TEST(what_serving_needs_works, NULL, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
