/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/socket.h>

static const int allowed[] = {
	/* descriptors and their bytes */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(lseek),
	SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(fcntl), SCMP_SYS(ioctl), SCMP_SYS(pipe2),
	SCMP_SYS(eventfd2), SCMP_SYS(memfd_create),
	/* sockets; new ones below */
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
	SCMP_SYS(recvmmsg), SCMP_SYS(recvmmsg_time64), SCMP_SYS(sendmmsg),
	SCMP_SYS(shutdown), SCMP_SYS(connect), SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	/* waiting and time */
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select),
	SCMP_SYS(pselect6), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(restart_syscall), SCMP_SYS(futex), SCMP_SYS(sched_yield),
	/* memory */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap),
	SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(msync),
	SCMP_SYS(brk),
	/* journal, checkpoint, trace */
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat),
	SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
	SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs),
	SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync),
	SCMP_SYS(fdatasync), SCMP_SYS(flock), SCMP_SYS(fchmod),
	SCMP_SYS(fchown), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
	SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(getdents64),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	SCMP_SYS(umask),
	/* oneself */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getrandom), SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(prlimit64),
	SCMP_SYS(getrlimit), SCMP_SYS(sched_getaffinity), SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* abort(), and the signals between worker and keeper */
	SCMP_SYS(tgkill), SCMP_SYS(kill),
};

/* syslog and the service manager listen on Unix sockets. */
static int allow_unix_sockets(scmp_filter_ctx filter)
{
	static const int calls[] = { SCMP_SYS(socket), SCMP_SYS(socketpair) };
	const struct scmp_arg_cmp is_unix = {
		.arg = 0,
		.op = SCMP_CMP_EQ,
		.datum_a = AF_UNIX,
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1,
					   is_unix);

		if (err)
			return err;
	}
	return 0;
}

static int filter_fill(scmp_filter_ctx filter)
{
	int err;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
		if (err && err != -EDOM)	/* not on this machine */
			return err;
	}
	return allow_unix_sockets(filter);
}

int sandbox_enter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!filter)
		return -ENOMEM;
	err = filter_fill(filter);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}
