/* SPDX-License-Identifier: MIT */
/*
 * The command line: what C xenstored takes, old options included, and ours.
 * Options that make no sense any more are accepted and ignored.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "server.h"

#define OPTIONS_MAX_SWITCHES 16

struct options {
	struct server_options server;
	const char *pid_file;
	bool foreground;
	bool alone;		/* no keeper */
	bool print_pid;
	const char *check_state, *print_state;	/* only do that; NULL: no */
	const char *switches[OPTIONS_MAX_SWITCHES + 1];
};

/*
 * Parses; strings are children of ctx. May print help and exit(0); a bad
 * command line ends in one line on stderr and exit(1).
 */
void options_parse(TALLOC_CTX *ctx, int argc, char **argv,
		   struct options *out);

#endif
