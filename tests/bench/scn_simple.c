/* SPDX-License-Identifier: MIT */
/*
 * One request after the other: read, write, getperms, setperms, lsleaf;
 * churn: connect, one read, close.
 *
 * Parameters: d requests in flight for each client [1]; vlen bytes of a value
 * [16]; keys nodes for each base [64]; deep: instead, one node so many levels
 * down; tree: instead, that many leaves of a populated store.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

static void (*issue)(struct conn *conn);

static void pick_key(struct conn *conn, char *buf, size_t size)
{
	struct bench *bench = bench_of(conn);
	char base[64];

	if (bench->leaves) {
		bench_leaf(buf, size, bench_random(bench->leaves));
	} else if (conn->path[0]) {
		snprintf(buf, size, "%s", conn->path);
	} else {
		bench_base(conn, base, sizeof(base));
		snprintf(buf, size, "%s/r/%u/v%d", base,
			 bench_random(bench->keys), bench->value_len);
	}
}

static void issue_read(struct conn *conn)
{
	char path[3100];

	pick_key(conn, path, sizeof(path));
	conn_put_path(conn, XS_READ, 0, path);
}

static void issue_write(struct conn *conn)
{
	struct bench *bench = bench_of(conn);
	char path[3100];

	pick_key(conn, path, sizeof(path));
	conn_put_two(conn, XS_WRITE, 0, path, bench->value, bench->value_len);
}

static void issue_getperms(struct conn *conn)
{
	char path[3100];

	pick_key(conn, path, sizeof(path));
	conn_put_path(conn, XS_GET_PERMS, 0, path);
}

static void issue_setperms(struct conn *conn)
{
	char path[3100], perms[32];
	int n;

	pick_key(conn, path, sizeof(path));
	n = sprintf(perms, "n%u%cr%u", conn->domid, 0, conn->seq++ & 1) + 1;
	conn_put_two(conn, XS_SET_PERMS, 0, path, perms, n);
}

static void issue_list(struct conn *conn)
{
	char path[3100];

	pick_key(conn, path, sizeof(path));
	conn_put_path(conn, XS_DIRECTORY, 0, path);
}

static void on_reply(struct conn *conn, const struct reply *reply)
{
	struct bench *bench = bench_of(conn);

	if (reply->hdr.type == XS_ERROR && bench->measuring) {
		if (!bench->errors++)
			fprintf(stderr, "%s: %s\n", bench->scenario,
				reply->body);
	}
	bench_done(bench, reply->t0);
	if (bench->stopping)
		return;
	issue(conn);
	conn_flush(conn);
}

static void start(struct conn *conn)
{
	int i, depth = bench_param(bench_of(conn), "d", 1);

	for (i = 0; i < depth; i++)
		issue(conn);
}

static void make_keys(struct bench *bench, struct conn *conn)
{
	char base[64], path[128];
	int i;

	bench_base(conn, base, sizeof(base));
	for (i = 0; i < bench->keys; i++) {
		snprintf(path, sizeof(path), "%s/r/%d/v%d", base, i,
			 bench->value_len);
		conn_put_two(conn, XS_WRITE, 0, path, bench->value,
			     bench->value_len);
		conn_feed(conn);
	}
	conn_drain(conn);
}

static void make_deep(struct bench *bench, int levels)
{
	char *path = bench->client[0]->path;
	int i;

	strcpy(path, "/bench/deep");
	for (i = 0; i < levels; i++)
		sprintf(path + strlen(path), "/%d", i);
	conn_put_two(bench->ctl, XS_WRITE, 0, path, bench->value,
		     bench->value_len);
	conn_must(bench->ctl, "deep");
	for (i = 1; i < bench->clients; i++)
		strcpy(bench->client[i]->path, path);
}

static void simple(struct bench *bench, void (*what)(struct conn *conn))
{
	int i;

	issue = what;
	bench->value_len = bench_param(bench, "vlen", 16);
	bench->keys = bench_param(bench, "keys", 64);
	bench->leaves = bench_param(bench, "tree", 0);
	bench_connect(bench);
	if (bench_param(bench, "deep", 0))
		make_deep(bench, bench_param(bench, "deep", 0));
	else if (!bench->leaves && bench->client[0]->domid)
		for (i = 0; i < bench->clients; i++)
			make_keys(bench, bench->client[i]);
	else if (!bench->leaves)
		make_keys(bench, bench->ctl);
	bench->pool.on_reply = on_reply;
	bench_run(bench, start);
	bench_disconnect(bench);
}

void scn_read(struct bench *bench)
{
	simple(bench, issue_read);
}

void scn_write(struct bench *bench)
{
	simple(bench, issue_write);
}

void scn_getperms(struct bench *bench)
{
	simple(bench, issue_getperms);
}

void scn_setperms(struct bench *bench)
{
	simple(bench, issue_setperms);
}

void scn_lsleaf(struct bench *bench)
{
	simple(bench, issue_list);
}

/* ---- churn --------------------------------------------------------------- */

static void churn_start(struct conn *conn)
{
	conn->t0 = now_ns();
	conn_open(conn);
	conn_put_path(conn, XS_READ, 0, "/bench/r/0/v16");
}

static void churn_reply(struct conn *conn, const struct reply *reply)
{
	struct bench *bench = bench_of(conn);

	if (reply->hdr.type == XS_ERROR && bench->measuring)
		bench->errors++;
	conn_close(conn);
	bench_done(bench, conn->t0);
	if (bench->stopping)
		return;
	churn_start(conn);
	conn_flush(conn);
}

void scn_churn(struct bench *bench)
{
	struct conn *client[256];
	int i, n = bench_param(bench, "c", 1);

	bench->value_len = 16;
	bench->keys = 1;
	make_keys(bench, bench->ctl);
	for (i = 0; i < n && i < 256; i++)
		client[i] = conn_new(&bench->pool);
	bench->client = client;
	bench->clients = i;
	bench->pool.on_reply = churn_reply;
	bench_run(bench, churn_start);
}
