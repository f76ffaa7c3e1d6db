/* SPDX-License-Identifier: MIT */
/*
 * One measurement: parameters, clients, and the frame in which a scenario
 * runs. A scenario prepares, sets the pool's handlers and calls bench_run().
 *
 * Parameters of all scenarios ([default]): c clients [1], or g guests; secs
 * [2] measured after warm [0.3]; idle, gidle: further clients and guests that
 * are silent. The result is one line of JSON.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "hist.h"
#include "proc.h"

#define VALUE_MAX 8192

struct bench {
	const char *label, *scenario;
	pid_t daemon;
	int argc;
	char **argv; /* key=value */

	struct pool pool;
	struct conn *ctl;
	struct conn **client, **idler;
	int clients, idlers;

	bool measuring, stopping;
	struct hist hist;
	uint64_t ops, errors, conflicts;
	char notes[1024]; /* further members of the JSON object */

	/* what simple requests are about */
	char value[VALUE_MAX];
	int value_len, keys, leaves;
};

struct bench *bench_of(struct conn *conn);

long bench_param(const struct bench *bench, const char *key, long def);
const char *bench_param_text(const struct bench *bench, const char *key,
			     const char *def);
double bench_param_real(const struct bench *bench, const char *key, double def);

__attribute__((format(printf, 2, 3))) void bench_note(struct bench *bench,
						      const char *fmt, ...);

/* Makes clients and idlers as the parameters say; unmakes guests. */
void bench_connect(struct bench *bench);
void bench_disconnect(struct bench *bench);

/* start() sends the first requests of a client; handlers keep it going. */
void bench_run(struct bench *bench, void (*start)(struct conn *conn));

/* One operation is complete. */
void bench_done(struct bench *bench, uint64_t t0);

/* Prints a line; for what is not measured by bench_run(). */
void bench_emit(struct bench *bench, const char *name, uint64_t ops,
		uint64_t wall_ns, uint64_t cpu_ns, uint64_t own_cpu_ns);

/* Below which a client has its nodes. */
void bench_base(const struct conn *conn, char *buf, size_t size);

/* Path of leaf i of the populated store: fan-out 100, 100, 100. */
void bench_leaf(char *buf, size_t size, unsigned int i);

unsigned int bench_random(unsigned int below);

/* The scenarios. */
void scn_read(struct bench *bench);
void scn_write(struct bench *bench);
void scn_getperms(struct bench *bench);
void scn_setperms(struct bench *bench);
void scn_lsleaf(struct bench *bench);
void scn_churn(struct bench *bench);
void scn_mkrm(struct bench *bench);
void scn_deepmk(struct bench *bench);
void scn_dir(struct bench *bench);
void scn_populate(struct bench *bench);
void scn_depopulate(struct bench *bench);
void scn_tx(struct bench *bench);
void scn_fan(struct bench *bench);
void scn_nomatch(struct bench *bench);
void scn_bulk(struct bench *bench);

#endif /* BENCH_H */
