/* SPDX-License-Identifier: MIT */
/*
 * One run of a mode of the xenstore command.
 *
 * J1  A mode that runs in a transaction may be run several times, until the
 *     transaction commits: it changes nothing but the store and j->out.
 * J2  j->out reaches standard output once, after the commit; a mode outside
 *     transactions has standard output itself there.
 * J3  Modes return the exit status and have told the user why it is not 0.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stdio.h>
#include <xenstore.h>

struct job {
	struct xs_handle *xs;
	xs_transaction_t tx;	/* XBT_NULL: none */
	FILE *out;
	char **args;		/* operands */
	int nargs;

	/* options */
	bool flat, prefix, tidy, upto, recurse, raw;
	int number;		/* watch: events to wait for; -1: no end;
				   top: how often */
	int depth;		/* watch: levels below the path; -1: all;
				   top: seconds; -1: the default */
};

int cmd_read(struct job *j);
int cmd_write(struct job *j);
int cmd_rm(struct job *j);
int cmd_exists(struct job *j);
int cmd_list(struct job *j);
int cmd_ls(struct job *j);
int cmd_chmod(struct job *j);
int cmd_watch(struct job *j);
int cmd_follow(struct job *j);
int cmd_devices(struct job *j);
int cmd_top(struct job *j);
int cmd_dump(struct job *j);
int cmd_load(struct job *j);

#endif
