/* SPDX-License-Identifier: MIT */
/* What the other threads of a test do, as the kernel sees it. */
#ifndef TESTS_THREADS_H
#define TESTS_THREADS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether all threads but the first sleep, now and still a moment later. */
static inline bool others_sleep(void)
{
	bool asleep = true;
	int round;

	for (round = 0; round < 2 && asleep; round++) {
		DIR *dir = opendir("/proc/self/task");
		struct dirent *task;

		usleep(5000);
		while ((task = readdir(dir))) {
			char path[300], stat[200] = "", *end;
			FILE *file;

			if (*task->d_name == '.' ||
			    atoi(task->d_name) == getpid())
				continue;
			snprintf(path, sizeof(path), "/proc/self/task/%s/stat",
				 task->d_name);
			file = fopen(path, "re");
			if (file && fgets(stat, sizeof(stat), file)) {
				end = strrchr(stat, ')');
				asleep &= end && end[2] == 'S';
			}
			if (file)
				fclose(file);
		}
		closedir(dir);
	}
	return asleep;
}

/* Until those that were started have come to where they wait. */
static inline void await_others_asleep(void)
{
	while (!others_sleep())
		usleep(1000);
}

#endif
