/* SPDX-License-Identifier: MIT */
/*
 * Load generator for xenstore daemons.
 *
 *   xsbench -s SOCKET [-p DAEMON_PID] [-l LABEL] SCENARIO [KEY=VALUE]...
 *
 * One scenario, one line of JSON (some: two) on stdout. It speaks the wire
 * protocol itself, over the socket or as guests over rings (fakexen), from
 * one thread, in a closed loop or with a window of requests in flight.
 * Parameters are told where the scenarios are, scn_*.c, and in bench.h.
 */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
	const char *name;
	void (*run)(struct bench *bench);
} scenarios[] = {
	{"read", scn_read},
	{"write", scn_write},
	{"getperms", scn_getperms},
	{"setperms", scn_setperms},
	{"lsleaf", scn_lsleaf},
	{"churn", scn_churn},
	{"mkrm", scn_mkrm},
	{"deepmk", scn_deepmk},
	{"dir", scn_dir},
	{"populate", scn_populate},
	{"depopulate", scn_depopulate},
	{"tx", scn_tx},
	{"fan", scn_fan},
	{"nomatch", scn_nomatch},
	{"bulk", scn_bulk},
};

#define SCENARIOS (sizeof(scenarios) / sizeof(*scenarios))

static void usage(void)
{
	size_t i;

	fprintf(stderr, "usage: xsbench -s SOCKET [-p PID] [-l LABEL] "
			"SCENARIO [KEY=VALUE]...\nscenarios:");
	for (i = 0; i < SCENARIOS; i++)
		fprintf(stderr, " %s", scenarios[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static struct bench bench = {.label = "?"};
	const char *socket_path = NULL;
	struct rlimit files;
	size_t i;
	int opt;

	while ((opt = getopt(argc, argv, "+s:p:l:")) != -1) {
		if (opt == 's')
			socket_path = optarg;
		else if (opt == 'p')
			bench.daemon = atoi(optarg);
		else if (opt == 'l')
			bench.label = optarg;
		else
			usage();
	}
	if (!socket_path || optind >= argc)
		usage();
	bench.scenario = argv[optind];
	bench.argv = argv + optind + 1;
	bench.argc = argc - optind - 1;
	memset(bench.value, 'x', sizeof(bench.value));
	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (i = 0; i < SCENARIOS; i++)
		if (!strcmp(scenarios[i].name, bench.scenario))
			break;
	if (i == SCENARIOS)
		usage();
	pool_init(&bench.pool, socket_path, &bench);
	bench.ctl = conn_connect(&bench.pool);
	scenarios[i].run(&bench);
	return 0;
}
