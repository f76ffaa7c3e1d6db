/* SPDX-License-Identifier: MIT */
/* See bench.h. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_NS 30000000000ull

struct bench *bench_of(struct conn *conn)
{
	return conn->pool->owner;
}

const char *bench_param_text(const struct bench *bench, const char *key,
			     const char *def)
{
	size_t len = strlen(key);
	int i;

	for (i = 0; i < bench->argc; i++)
		if (!strncmp(bench->argv[i], key, len) &&
		    bench->argv[i][len] == '=')
			return bench->argv[i] + len + 1;
	return def;
}

long bench_param(const struct bench *bench, const char *key, long def)
{
	const char *text = bench_param_text(bench, key, NULL);

	return text ? atol(text) : def;
}

double bench_param_real(const struct bench *bench, const char *key, double def)
{
	const char *text = bench_param_text(bench, key, NULL);

	return text ? atof(text) : def;
}

void bench_note(struct bench *bench, const char *fmt, ...)
{
	size_t len = strlen(bench->notes);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(bench->notes + len, sizeof(bench->notes) - len, fmt, ap);
	va_end(ap);
}

unsigned int bench_random(unsigned int below)
{
	static unsigned int x = 12345;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x % below;
}

void bench_base(const struct conn *conn, char *buf, size_t size)
{
	if (conn->domid)
		snprintf(buf, size, "/local/domain/%u/b", conn->domid);
	else
		snprintf(buf, size, "/bench");
}

void bench_leaf(char *buf, size_t size, unsigned int i)
{
	snprintf(buf, size, "/bench/s/%u/%u/%u", i / 10000, i / 100 % 100,
		 i % 100);
}

void bench_connect(struct bench *bench)
{
	int guests = bench_param(bench, "g", 0);
	int idle = bench_param(bench, "idle", 0), i;
	int n = guests ? guests : bench_param(bench, "c", 1);

	bench->client = calloc(n, sizeof(*bench->client));
	for (i = 0; i < n; i++)
		bench->client[i] =
			guests ? conn_guest(&bench->pool, bench->ctl, 1 + i)
			       : conn_connect(&bench->pool);
	bench->clients = n;
	bench->idlers = idle + bench_param(bench, "gidle", 0);
	bench->idler = calloc(bench->idlers + 1, sizeof(*bench->idler));
	for (i = 0; i < bench->idlers; i++)
		bench->idler[i] = i < idle ? conn_connect(&bench->pool)
					   : conn_guest(&bench->pool,
							bench->ctl, 1 + n + i);
}

void bench_disconnect(struct bench *bench)
{
	int i;

	for (i = 0; i < bench->clients; i++)
		if (bench->client[i]->domid)
			conn_guest_gone(bench->client[i], bench->ctl);
	for (i = 0; i < bench->idlers; i++)
		if (bench->idler[i]->domid)
			conn_guest_gone(bench->idler[i], bench->ctl);
}

void bench_done(struct bench *bench, uint64_t t0)
{
	if (!bench->measuring)
		return;
	hist_add(&bench->hist, now_ns() - t0);
	bench->ops++;
}

static void pump_until(struct bench *bench, uint64_t end)
{
	while (now_ns() < end)
		pool_pump(&bench->pool, 100);
}

static void reset(struct bench *bench)
{
	hist_reset(&bench->hist);
	bench->ops = bench->errors = bench->conflicts = 0;
	bench->pool.events = bench->pool.requests = 0;
}

void bench_run(struct bench *bench, void (*start)(struct conn *conn))
{
	double secs = bench_param_real(bench, "secs", 2);
	double warm = bench_param_real(bench, "warm", 0.3);
	uint64_t begin, wall, cpu, own, end;
	int i;

	reset(bench);
	bench->measuring = bench->stopping = false;
	for (i = 0; i < bench->clients; i++) {
		start(bench->client[i]);
		conn_flush(bench->client[i]);
	}
	pump_until(bench, now_ns() + warm * 1e9);
	reset(bench);
	cpu = proc_cpu_ns(bench->daemon);
	own = proc_cpu_ns(getpid());
	bench->measuring = true;
	begin = now_ns();
	pump_until(bench, begin + secs * 1e9);
	bench->measuring = false;
	wall = now_ns() - begin;
	cpu = proc_cpu_ns(bench->daemon) - cpu;
	own = proc_cpu_ns(getpid()) - own;
	if (bench->pool.events)
		bench_note(bench, ",\"events_s\":%.1f",
			   bench->pool.events / (wall / 1e9));
	bench_note(bench, ",\"req_s\":%.1f",
		   bench->pool.requests / (wall / 1e9));
	bench_emit(bench, bench->scenario, bench->ops, wall, cpu, own);

	bench->stopping = true;
	end = now_ns() + DRAIN_NS;
	while (bench->pool.inflight && now_ns() < end)
		pool_pump(&bench->pool, 200);
}

void bench_emit(struct bench *bench, const char *name, uint64_t ops,
		uint64_t wall_ns, uint64_t cpu_ns, uint64_t own_cpu_ns)
{
	const char *mode = getenv("MODE");
	double secs = wall_ns / 1e9;
	int i;

	printf("{\"peer\":\"%s\",\"scn\":\"%s\",\"mode\":\"%s\",\"par\":\"",
	       bench->label, name, mode ? mode : "two");
	for (i = 0; i < bench->argc; i++)
		printf("%s%s", i ? " " : "", bench->argv[i]);
	printf("\",\"ops\":%llu,\"ops_s\":%.1f,\"p50\":%.2f,\"p99\":%.2f,"
	       "\"p999\":%.2f,\"max\":%.1f,\"cpu_us_op\":%.3f,\"gen_cpu\":%.2f,"
	       "\"rss_kb\":%ld,\"err\":%llu%s}\n",
	       (unsigned long long)ops, secs ? ops / secs : 0,
	       hist_percentile_us(&bench->hist, 50),
	       hist_percentile_us(&bench->hist, 99),
	       hist_percentile_us(&bench->hist, 99.9), bench->hist.max / 1e3,
	       ops ? cpu_ns / 1e3 / ops : 0,
	       wall_ns ? (double)own_cpu_ns / wall_ns : 0,
	       proc_rss_kb(bench->daemon), (unsigned long long)bench->errors,
	       bench->notes);
	fflush(stdout);
	bench->notes[0] = 0;
}
