/* SPDX-License-Identifier: MIT */
/*
 * Watches. fan: one write, then all its events, then the next write; w
 * watches [10] over wc connections [1], sub=1: set on an ancestor. nomatch:
 * writes while w watches [1000] elsewhere never match.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	struct conn *writer;
	const char *path;
	int want, got;
} fan;

static void fan_write(void)
{
	struct bench *bench = bench_of(fan.writer);

	fan.got = 0;
	fan.writer->t0 = now_ns();
	conn_put_two(fan.writer, XS_WRITE, 0, fan.path, bench->value, 16);
	conn_flush(fan.writer);
}

/* The reply and all events make one round. */
static void fan_count(struct bench *bench)
{
	if (++fan.got == fan.want + 1 && !bench->stopping)
		fan_write();
}

static void fan_event(struct conn *conn, const char *path)
{
	struct bench *bench = bench_of(conn);

	(void)path;
	bench_done(bench, fan.writer->t0);
	fan_count(bench);
}

static void fan_reply(struct conn *conn, const struct reply *reply)
{
	struct bench *bench = bench_of(conn);

	if (reply->hdr.type == XS_ERROR)
		bench->errors += bench->measuring;
	fan_count(bench);
}

static void fan_start(struct conn *conn)
{
	if (conn == bench_of(conn)->client[0])
		fan_write();
}

static struct conn **watchers(struct bench *bench, int n)
{
	struct conn **conn = calloc(n, sizeof(*conn));
	int i;

	for (i = 0; i < n; i++)
		conn[i] = conn_connect(&bench->pool);
	return conn;
}

void scn_fan(struct bench *bench)
{
	int w = bench_param(bench, "w", 10), n = bench_param(bench, "wc", 1), i;
	char token[32];

	fan.path = bench_param(bench, "sub", 0) ? "/bench/fan/a/b/c"
						: "/bench/fan";
	conn_put_two(bench->ctl, XS_WRITE, 0, fan.path, bench->value, 16);
	conn_must(bench->ctl, "fan");
	bench->client = watchers(bench, n);
	bench->clients = n;
	for (i = 0; i < w; i++) {
		sprintf(token, "t%d", i);
		conn_put_watch(bench->client[i % n], XS_WATCH, "/bench/fan",
			       token);
		conn_feed(bench->client[i % n]);
	}
	for (i = 0; i < n; i++)
		conn_drain(bench->client[i]);
	while (pool_pump(&bench->pool, 100))
		; /* the first event of each watch */
	fan.writer = conn_connect(&bench->pool);
	fan.want = w;
	bench->pool.on_event = fan_event;
	bench->pool.on_reply = fan_reply;
	bench_run(bench, fan_start);
}

void scn_nomatch(struct bench *bench)
{
	int w = bench_param(bench, "w", 1000), n = bench_param(bench, "wc", 1);
	struct conn **conn = watchers(bench, n);
	uint64_t cpu = proc_cpu_ns(bench->daemon);
	char path[64], token[32];
	int i;

	for (i = 0; i < w; i++) {
		snprintf(path, sizeof(path), "/nm/%d/%d/state", i / 100,
			 i % 100);
		sprintf(token, "t%d", i);
		conn_put_watch(conn[i % n], XS_WATCH, path, token);
		conn_feed(conn[i % n]);
	}
	for (i = 0; i < n; i++)
		conn_drain(conn[i]);
	bench_note(bench, ",\"reg_cpu_us\":%.2f",
		   (proc_cpu_ns(bench->daemon) - cpu) / 1e3 / w);
	scn_write(bench);
}
