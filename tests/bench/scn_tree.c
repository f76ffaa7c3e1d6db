/* SPDX-License-Identifier: MIT */
/*
 * The shape of the tree: mkrm (mkdir, rm), deepmk (write k new levels [100],
 * remove them), dir (list n children [100], in parts where it must be),
 * populate and depopulate (a store of so many leaves).
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char deep_tail[3000];

/* Two requests that undo each other are one operation. */
static void issue_mkrm(struct conn *conn)
{
	char base[64], path[128];

	bench_base(conn, base, sizeof(base));
	snprintf(path, sizeof(path), "%s/m/%d", base, conn->index);
	conn_put_path(conn, conn->step ? XS_RM : XS_MKDIR, 0, path);
}

static void issue_deepmk(struct conn *conn)
{
	struct bench *bench = bench_of(conn);
	char path[3100];

	snprintf(path, sizeof(path), "/bench/dm/%d%s", conn->index,
		 conn->step ? "" : deep_tail);
	if (conn->step)
		conn_put_path(conn, XS_RM, 0, path);
	else
		conn_put_two(conn, XS_WRITE, 0, path, bench->value, 16);
}

static void (*issue)(struct conn *conn);

static void issue_pair(struct conn *conn)
{
	if (!conn->step)
		conn->t0 = now_ns();
	issue(conn);
}

static void pair_reply(struct conn *conn, const struct reply *reply)
{
	struct bench *bench = bench_of(conn);

	if (reply->hdr.type == XS_ERROR && bench->measuring)
		bench->errors++;
	conn->step ^= 1;
	if (!conn->step)
		bench_done(bench, conn->t0);
	if (bench->stopping && !conn->step)
		return;
	issue_pair(conn);
	conn_flush(conn);
}

static void pairs(struct bench *bench, void (*what)(struct conn *conn))
{
	issue = what;
	bench_connect(bench);
	bench->pool.on_reply = pair_reply;
	bench_run(bench, issue_pair);
	bench_disconnect(bench);
}

void scn_mkrm(struct bench *bench)
{
	pairs(bench, issue_mkrm);
}

void scn_deepmk(struct bench *bench)
{
	int i, levels = bench_param(bench, "k", 100);

	for (i = 0; i < levels; i++)
		sprintf(deep_tail + strlen(deep_tail), "/%d", i);
	pairs(bench, issue_deepmk);
}

/* ---- listing --------------------------------------------------------------
 */

static uint64_t children;

/* conn->step: in parts; conn->seq: offset of the next part */
static void issue_dir(struct conn *conn)
{
	char offset[32];
	int n;

	if (!conn->step) {
		conn->t0 = now_ns();
		conn_put_path(conn, XS_DIRECTORY, 0, "/bench/dir");
		return;
	}
	n = sprintf(offset, "%u", conn->seq) + 1;
	conn_put_two(conn, XS_DIRECTORY_PART, 0, "/bench/dir", offset, n);
}

static uint64_t strings(const char *data, size_t len)
{
	uint64_t count = 0;

	while (len--)
		count += !*data++;
	return count;
}

static void dir_part(struct conn *conn, const struct reply *reply)
{
	const char *part = reply->body + strlen(reply->body) + 1;
	size_t len = reply->hdr.len - (part - reply->body);
	bool end = len <= 1 || (!part[len - 1] && !part[len - 2]);

	if (!conn->seq)
		children = 0;
	children += strings(part, len) - end;
	conn->seq += len;
	if (!end)
		return;
	conn->step = 0;
	bench_done(bench_of(conn), conn->t0);
}

static void dir_reply(struct conn *conn, const struct reply *reply)
{
	struct bench *bench = bench_of(conn);

	if (reply->hdr.type == XS_ERROR && !strcmp(reply->body, "E2BIG")) {
		conn->step = 1;
		conn->seq = 0;
	} else if (reply->hdr.type == XS_ERROR) {
		bench->errors += bench->measuring;
		conn->step = 0;
		bench_done(bench, conn->t0);
	} else if (reply->asked == XS_DIRECTORY) {
		children = strings(reply->body, reply->hdr.len);
		bench_done(bench, conn->t0);
	} else {
		dir_part(conn, reply);
	}
	if (bench->stopping && !conn->step)
		return;
	issue_dir(conn);
	conn_flush(conn);
}

void scn_dir(struct bench *bench)
{
	long i, n = bench_param(bench, "n", 100);
	uint64_t t0;
	char path[64];

	conn_put_path(bench->ctl, XS_RM, 0, "/bench/dir");
	conn_wait(bench->ctl);
	t0 = now_ns();
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/bench/dir/c%05ld", i);
		conn_put_two(bench->ctl, XS_WRITE, 0, path, "x", 1);
		conn_feed(bench->ctl);
	}
	conn_drain(bench->ctl);
	bench_note(bench, ",\"make_ms\":%.1f", (now_ns() - t0) / 1e6);
	bench_connect(bench);
	bench->pool.on_reply = dir_reply;
	bench_run(bench, issue_dir);
	if (children != (uint64_t)n)
		die("dir: saw %llu children, not %ld",
		    (unsigned long long)children, n);
	conn_put_path(bench->ctl, XS_RM, 0, "/bench/dir");
	conn_wait(bench->ctl);
}

/* ---- size ------------------------------------------------------------------
 */

void scn_populate(struct bench *bench)
{
	long leaves = bench_param(bench, "leaves", 1000), i, rss;
	long nodes = leaves + leaves / 100 + leaves / 10000 + 2;
	uint64_t t0 = now_ns(), cpu = proc_cpu_ns(bench->daemon);
	uint64_t own = proc_cpu_ns(getpid());
	char path[64];

	rss = proc_rss_kb(bench->daemon);
	bench->value_len = bench_param(bench, "vlen", 16);
	for (i = 0; i < leaves; i++) {
		bench_leaf(path, sizeof(path), i);
		conn_put_two(bench->ctl, XS_WRITE, 0, path, bench->value,
			     bench->value_len);
		conn_feed(bench->ctl);
	}
	conn_drain(bench->ctl);
	bench_note(bench, ",\"bytes_node\":%.0f",
		   (proc_rss_kb(bench->daemon) - rss) * 1024.0 / nodes);
	bench_emit(bench, bench->scenario, leaves, now_ns() - t0,
		   proc_cpu_ns(bench->daemon) - cpu,
		   proc_cpu_ns(getpid()) - own);
}

/* The answer may come before the work is done; all of it counts. */
static uint64_t cpu_when_idle(struct bench *bench)
{
	uint64_t before, cpu = proc_cpu_ns(bench->daemon);

	do {
		before = cpu;
		usleep(100000);
		cpu = proc_cpu_ns(bench->daemon);
	} while (cpu - before > 1000000);
	return cpu;
}

void scn_depopulate(struct bench *bench)
{
	uint64_t t0 = now_ns(), cpu = proc_cpu_ns(bench->daemon), wall;

	conn_put_path(bench->ctl, XS_RM, 0, "/bench/s");
	conn_must(bench->ctl, "rm");
	wall = now_ns() - t0;
	hist_add(&bench->hist, wall);
	bench_emit(bench, bench->scenario, 1, wall, cpu_when_idle(bench) - cpu,
		   0);
}
