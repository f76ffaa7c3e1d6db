/* SPDX-License-Identifier: MIT */
/*
 * Transactions: start, k reads [4], k writes, commit, until it commits.
 *
 * Parameters: mode=own: nodes of one's own; same: the same nodes for all;
 * siblings: new children below one parent, the old ones removed. tree: that
 * many leaves of a populated store, anywhere.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned int k;
static char mode;

static void key(struct conn *conn, char *buf, size_t size, unsigned int i,
		unsigned int seq)
{
	struct bench *bench = bench_of(conn);
	char base[64];

	bench_base(conn, base, sizeof(base));
	if (bench->leaves)
		bench_leaf(buf, size,
			   (seq * 7919u + i * 131u + conn->index * 31u) %
				   bench->leaves);
	else if (mode == 's' && !conn->domid)
		snprintf(buf, size, "%s/tx/same/n%u", base, i);
	else if (mode == 'p')
		snprintf(buf, size, "%s/tx/p/%d-%u-%u", base, conn->index, i,
			 seq);
	else
		snprintf(buf, size, "%s/tx/c%d/n%u", base, conn->index, i);
}

static void issue(struct conn *conn)
{
	char path[256], value[32];

	if (conn->step == 0) {
		conn_put(conn, XS_TRANSACTION_START, 0, "", 1);
	} else if (conn->step <= k && mode == 'p') {
		key(conn, path, sizeof(path), conn->step - 1, conn->seq - 1);
		conn_put_path(conn, XS_RM, conn->tx, path);
	} else if (conn->step <= k) {
		key(conn, path, sizeof(path), conn->step - 1, conn->seq);
		conn_put_path(conn, XS_READ, conn->tx, path);
	} else if (conn->step <= 2 * k) {
		key(conn, path, sizeof(path), conn->step - k - 1, conn->seq);
		snprintf(value, sizeof(value), "%08x-%06x-", conn->seq,
			 conn->index & 0xffffff);
		conn_put_two(conn, XS_WRITE, conn->tx, path, value, 16);
	} else {
		conn_put_end(conn, conn->tx);
	}
}

static void ended(struct conn *conn, const struct reply *reply)
{
	struct bench *bench = bench_of(conn);

	conn->step = 0;
	if (reply->hdr.type != XS_ERROR) {
		bench_done(bench, conn->t0);
		conn->seq++;
		conn->t0 = now_ns();
	} else if (!strcmp(reply->body, "EAGAIN")) {
		bench->conflicts += bench->measuring;
	} else {
		die("commit: %s", reply->body);
	}
}

static void on_reply(struct conn *conn, const struct reply *reply)
{
	struct bench *bench = bench_of(conn);

	switch (reply->asked) {
	case XS_TRANSACTION_START:
		if (reply->hdr.type == XS_ERROR)
			die("start: %s", reply->body);
		conn->tx = strtoul(reply->body, NULL, 10);
		conn->step = 1;
		break;
	case XS_TRANSACTION_END:
		ended(conn, reply);
		if (bench->stopping)
			return;
		break;
	default:
		if (reply->hdr.type == XS_ERROR && reply->asked != XS_RM)
			bench->errors += bench->measuring;
		conn->step++;
	}
	issue(conn);
	conn_flush(conn);
}

static void start(struct conn *conn)
{
	conn->t0 = now_ns();
	issue(conn);
}

static void make_nodes(struct bench *bench, struct conn *client)
{
	struct conn *conn = client->domid ? client : bench->ctl;
	char path[256];
	unsigned int i;

	for (i = 0; i < k; i++) {
		key(client, path, sizeof(path), i, 0);
		conn_put_two(conn, XS_WRITE, 0, path, bench->value, 16);
		conn_must(conn, path);
	}
}

void scn_tx(struct bench *bench)
{
	uint64_t tries;
	int i;

	k = bench_param(bench, "k", 4);
	mode = bench_param_text(bench, "mode", "own")[0];
	if (!strcmp(bench_param_text(bench, "mode", ""), "siblings"))
		mode = 'p';
	bench->leaves = bench_param(bench, "tree", 0);
	bench_connect(bench);
	for (i = 0; i < bench->clients && !bench->leaves; i++)
		make_nodes(bench, bench->client[i]);
	bench->pool.on_reply = on_reply;
	bench_run(bench, start);
	tries = bench->ops + bench->conflicts;
	bench_note(bench, ",\"eagain_rate\":%.4f",
		   tries ? (double)bench->conflicts / tries : 0);
	bench_emit(bench, "tx-eagain", bench->ops, 0, 0, 0);
	bench_disconnect(bench);
}
