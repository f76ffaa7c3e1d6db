/* SPDX-License-Identifier: MIT */
/* The tables of the checkpoint that only people read. */
#include "persist/checkpoint_priv.h"

static int people_domain(void *arg, const struct rec_domain *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = checkpoint_statement(cp, ST_DOMAIN);

	sqlite3_bind_int(st, 1, rec->domid);
	sqlite3_bind_int(st, 2, rec->introduced);
	sqlite3_bind_int(st, 3, rec->shutdown);
	if (rec->target == DOMID_INVALID)
		sqlite3_bind_null(st, 4);
	else
		sqlite3_bind_int(st, 4, rec->target);
	sqlite3_bind_int64(st, 5, rec->features);
	sqlite3_bind_int64(st, 6, rec->remote);
	sqlite3_bind_int64(st, 7, rec->local);
	sqlite3_bind_int64(st, 8, rec->gfn);
	sqlite3_bind_int64(st, 9, rec->unique_id);
	return checkpoint_finish(cp, st);
}

static int people_conn(void *arg, const struct rec_conn *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = checkpoint_statement(cp, ST_CONN);

	sqlite3_bind_int64(st, 1, rec->conn);
	checkpoint_bind_text(st, 2, rec->fd < 0 ? "ring" : "socket");
	if (rec->fd < 0) {
		sqlite3_bind_int(st, 3, rec->domid);
		sqlite3_bind_null(st, 4);
	} else {
		sqlite3_bind_null(st, 3);
		sqlite3_bind_int(st, 4, rec->fd);
	}
	return checkpoint_finish(cp, st);
}

static int people_watch(void *arg, const struct rec_watch *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = checkpoint_statement(cp, ST_WATCH);

	sqlite3_bind_int64(st, 1, rec->conn);
	checkpoint_bind_text(st, 2, rec->path);
	checkpoint_bind_text(st, 3, rec->token);
	if (rec->depth < 0)
		sqlite3_bind_null(st, 4);
	else
		sqlite3_bind_int(st, 4, rec->depth);
	return checkpoint_finish(cp, st);
}

const struct record_handlers checkpoint_people = {
	.domain = people_domain,
	.conn = people_conn,
	.watch = people_watch,
};
