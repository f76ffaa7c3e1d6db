/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a daemon: lets allocations fail as the file that FAILING
 * names says, which the test writes at any time.
 *
 * Numbers of 64 bits: how many allocations succeed before the next failure
 * (UINT64_MAX: all), how many do between two failures after that, and, from
 * here to the test, how many have failed and how many there were.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct control {
	volatile uint64_t left, between, failed, seen;
};

static struct control *control;

static bool fails(void)
{
	if (!control)
		return false;
	control->seen++;
	if (control->left == UINT64_MAX || control->left--)
		return false;
	control->left = control->between;
	control->failed++;
	errno = ENOMEM;
	return true;
}

#define NEXT(name)                                                             \
	static __typeof__(&name) next;                                         \
	if (!next)                                                             \
		next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void *malloc(size_t size)
{
	NEXT(malloc);
	return fails() ? NULL : next(size);
}

void *calloc(size_t n, size_t size)
{
	NEXT(calloc);
	return fails() ? NULL : next(n, size);
}

void *realloc(void *p, size_t size)
{
	NEXT(realloc);
	return fails() ? NULL : next(p, size);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	NEXT(mmap);
	return fails() ? MAP_FAILED :
			 next(addr, len, prot, flags, fd, offset);
}

static void __attribute__((constructor)) failing_start(void)
{
	const char *file = getenv("FAILING");
	int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
	struct control *mem;

	if (fd < 0)
		return;
	mem = mmap(NULL, sizeof(*mem), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   0);
	close(fd);
	if (mem != MAP_FAILED)
		control = mem;
}
