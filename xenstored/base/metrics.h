/* SPDX-License-Identifier: MIT */
/*
 * What the daemon has done so far: counters and latencies, for reports.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>
#include <xen/io/xs_wire.h>

/* X(field, description) */
#define METRICS(X)                                                             \
	X(ticks, "Passes of the main loop")                                    \
	X(requests, "Requests executed")                                       \
	X(refused, "Requests answered with an error")                          \
	X(commits, "Transactions committed")                                   \
	X(conflicts, "Transactions refused with EAGAIN")                       \
	X(waits, "Requests that waited for a transaction")             \
	X(accepted, "Socket connections accepted")

/* Latency classes: class i counts requests of less than 2^i microseconds. */
#define METRICS_CLASSES 24

struct op_metrics {
	uint64_t count;
	uint64_t refused;
	uint64_t ns;
	uint64_t max_ns;
};

struct metrics {
#define METRICS_FIELD(field, text) uint64_t field;
	METRICS(METRICS_FIELD)
#undef METRICS_FIELD
	struct op_metrics op[XS_TYPE_COUNT + 1];	/* the last: unknown */
	uint64_t latency[METRICS_CLASSES];
};

static inline void metrics_op(struct metrics *metrics, uint32_t type,
			      uint64_t ns, int refused)
{
	struct op_metrics *op =
		&metrics->op[type < XS_TYPE_COUNT ? type : XS_TYPE_COUNT];
	uint64_t us = ns / 1000;
	int class = us ? 64 - __builtin_clzll(us) : 0;

	metrics->requests++;
	metrics->refused += refused;
	op->count++;
	op->refused += refused;
	op->ns += ns;
	if (ns > op->max_ns)
		op->max_ns = ns;
	if (class >= METRICS_CLASSES)
		class = METRICS_CLASSES - 1;
	metrics->latency[class]++;
}

#endif
