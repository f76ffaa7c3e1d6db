/* SPDX-License-Identifier: MIT */
/*
 * The server: owns every object, runs the loop, and holds all output back
 * until the end of the tick.
 *
 * One tick = one pass over everything that is ready: rounds in which each
 * ready session gets one request, until none is left or the budget is spent;
 * then the gate: the journal commits, and only then replies, events and ring
 * indices leave. An idle server sleeps without a timer.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "domains.h"
#include "keeper.h"

enum server_port {
	SERVER_PORT_AUTO,	/* xen if there is one, else vmm */
	SERVER_PORT_XEN,
	SERVER_PORT_VMM,
	SERVER_PORT_NONE,
};

struct server_options {
	const char *rundir;
	const char *socket;		/* path of the clients' socket */
	const char *vmm_socket;		/* path of the VMMs' socket */
	enum server_port port;
	struct domains_options domains;
	uint32_t event_timeout;		/* seconds, 0: never */
	uint32_t scan_interval;		/* seconds between ring scans, 0: off */
	const char *journal;		/* directory; NULL: none */
	bool fresh;			/* forget what the journal holds */
	const char *trace_file;		/* NULL: none */
	const char *const *trace_switches;	/* "+io", NULL-terminated */
	bool sandbox;
	char *const *argv;		/* for a successor */
	bool live_update;		/* a predecessor's state is in the
					 * run directory */
	/* Called once when clients are served. */
	void (*ready)(void *arg);
	void *ready_arg;
};

/* Serves until SIGTERM (0). Could not start: one line on stderr, 1. */
int server_run(const struct server_options *options, struct keeper_link *link);

#endif
