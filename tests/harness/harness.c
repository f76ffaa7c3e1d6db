/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Of the test that runs. */
static const struct harness_case *current;
static struct harness_mark before;

/* Before anything is allocated: what has no parent is to be counted. */
static void __attribute__((constructor)) track_orphans(void)
{
	talloc_enable_null_tracking();
	atexit(talloc_disable_null_tracking);
}

/* What is above the limit is not ours but valgrind's. */
static unsigned int fd_limit(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit.rlim_cur < HARNESS_FDS ? (unsigned int)limit.rlim_cur :
					      HARNESS_FDS;
}

void harness_mark(struct harness_mark *mark)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int limit = fd_limit();
	struct dirent *entry;
	int fd;

	assert_non_null(dir);
	*mark = (struct harness_mark){ 0 };
	while ((entry = readdir(dir))) {
		fd = atoi(entry->d_name);
		if (entry->d_name[0] == '.' || fd == dirfd(dir) ||
		    (unsigned int)fd >= limit)
			continue;
		mark->fds[fd / 64] |= UINT64_C(1) << fd % 64;
	}
	closedir(dir);
	mark->blocks = talloc_total_blocks(NULL);
	mark->bytes = talloc_total_size(NULL);
}

static bool is_open(const struct harness_mark *mark, unsigned int fd)
{
	return mark->fds[fd / 64] >> fd % 64 & 1;
}

bool harness_leaks(const struct harness_mark *mark)
{
	struct harness_mark now;
	char link[40], name[200];
	unsigned int fd;
	bool leaks = false;
	ssize_t len;

	harness_mark(&now);
	for (fd = 0; fd < HARNESS_FDS; fd++) {
		if (!is_open(&now, fd) || is_open(mark, fd))
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%u", fd);
		len = readlink(link, name, sizeof(name));
		fprintf(stderr, "left open: fd %u, %.*s\n", fd,
			len > 0 ? (int)len : 0, name);
		leaks = true;
	}
	if (now.blocks > mark->blocks || now.bytes > mark->bytes) {
		fprintf(stderr, "left in talloc: %zd blocks, %zd bytes\n",
			(ssize_t)(now.blocks - mark->blocks),
			(ssize_t)(now.bytes - mark->bytes));
		talloc_report_full(NULL, stderr);
		leaks = true;
	}

	return leaks;
}

int harness_setup(void **state)
{
	current = *state;
	harness_mark(&before);
	*state = NULL;

	return current->setup ? current->setup(state) : 0;
}

int harness_teardown(void **state)
{
	int err = current->teardown ? current->teardown(state) : 0;

	return harness_leaks(&before) ? -1 : err;
}

bool harness_in_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

void harness_talloc_limit(TALLOC_CTX *ctx, size_t bytes)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	assert_int_equal(talloc_set_memlimit(ctx, bytes), 0);
#pragma GCC diagnostic pop
}
