/* SPDX-License-Identifier: MIT */
/* What a journal file makes of the table of nodes. */
#include "persist/checkpoint_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"

#define REMOVE_SLICE 16		/* nodes of a subtree removed in one step */
#define PERM_TEXT 8		/* of one entry: "r65535!," */
#define DEFER_WORK 4		/* as many as records that are only read */

/* ---- what is needed of them ---------------------------------------------- */

/* A number for the columns created, saved and at, which grows from one record
 * to the next. */
static int64_t stamp(const struct checkpoint *cp, uint32_t place)
{
	return cp->counter + record_seq_at(cp->file.records.data,
					   record_pos(place));
}

static int empty(void *arg, const struct rec_begin *rec)
{
	struct checkpoint *cp = arg;

	return rec->all ? checkpoint_run(cp, "DELETE FROM nodes;"
					     "DELETE FROM purged") : 0;
}

static const struct record_handlers empty_handlers = {
	.begin = empty,
};

static int tell_node(void *arg, const struct rec_node *rec)
{
	struct checkpoint *cp = arg;
	int n;

	if (rec->what & REC_CREATE && !rec->n_perms)
		return -EPROTO;
	n = fates_tell_node(cp->fates, cp->here, rec);
	if (n < 0)
		return n;
	cp->work += n - 1;	/* the first one is counted */
	return 0;
}

static int tell_remove(void *arg, const struct rec_node_remove *rec)
{
	struct checkpoint *cp = arg;

	return fates_tell_remove(cp->fates, cp->here, rec->path);
}

static int tell_purge(void *arg, const struct rec_domid *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = checkpoint_statement(cp, ST_PURGE);

	sqlite3_bind_int(st, 1, rec->domid);
	sqlite3_bind_int64(st, 2, stamp(cp, cp->here));
	return checkpoint_finish(cp, st);
}

static const struct record_handlers tell_handlers = {
	.node = tell_node,
	.node_remove = tell_remove,
	.purge = tell_purge,
};

/* From the last one to the first. */
static int tell(struct checkpoint *cp)
{
	const unsigned char *data = cp->file.records.data;
	size_t pos;

	if (!cp->next) {
		cp->phase = CLEAR;
		cp->number = 0;
		return 0;
	}
	pos = record_pos(cp->next);
	if (!record_is_whole(data, cp->file.records.len, pos) ||
	    !record_changes_nodes(data, pos))
		return -EPROTO;
	if (!cp->last)
		cp->last = record_seq_at(data, pos);
	cp->here = cp->next;
	cp->next = record_before_at(data, pos);
	if (cp->next >= cp->here)
		return -EPROTO;
	/* It is a while since they were written. */
	if (cp->next)
		__builtin_prefetch(data + record_pos(cp->next));
	return record_read_at(data, pos, &tell_handlers, cp);
}

/* ---- removing ------------------------------------------------------------ */

static void bind_path(sqlite3_stmt *st, const struct fate *fate)
{
	sqlite3_bind_text(st, 1, fate->path, fate->len, SQLITE_STATIC);
}

static int clear(struct checkpoint *cp)
{
	const struct fate *fate = fates_get(cp->fates, cp->number);
	sqlite3_stmt *st = checkpoint_statement(cp, ST_REMOVE);

	if (!fate) {
		cp->phase = SORT;
		return 0;
	}
	if (!fate_removes(fate)) {
		cp->number++;
		return 0;
	}
	bind_path(st, fate);
	cp->phase = CLEAR_BELOW;
	return checkpoint_finish(cp, st);
}

static int clear_below(struct checkpoint *cp)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_REMOVE_BELOW);
	int err;

	bind_path(st, fates_get(cp->fates, cp->number));
	sqlite3_bind_int(st, 2, REMOVE_SLICE);
	err = checkpoint_finish(cp, st);
	if (err || sqlite3_changes(cp->db))
		return err;
	cp->number++;
	cp->phase = CLEAR;
	return 0;
}

/* ---- writing ------------------------------------------------------------- */

/* What is to be written of one node. */
struct row {
	const struct fate *fate;
	struct rec_node value, perms;
	uint64_t generation;
};

static int read_row(const struct checkpoint *cp, const struct fate *fate,
		    struct row *row)
{
	const unsigned char *data = cp->file.records.data;
	int err = 0;

	row->fate = fate;
	row->generation = record_generation_at(data, record_pos(fate->latest));
	if (fate->value)
		err = record_node_at(data, record_pos(fate->value), &row->value);
	if (!err && fate->perms)
		err = record_node_at(data, record_pos(fate->perms), &row->perms);
	if (err || !fate->value)
		return err;
	/* One on the way to the node that the value is for. */
	if (row->value.path[fate->len])
		row->value.value.len = 0;
	return 0;
}

static void bind_value(sqlite3_stmt *st, int i, struct blob value)
{
	sqlite3_bind_blob(st, i, value.len ? value.data : "", value.len,
			  SQLITE_STATIC);
}

static const char *perms_text(TALLOC_CTX *ctx, const struct perm *list,
			      size_t n)
{
	char *text = talloc_size(ctx, n * PERM_TEXT + 1), *p = text;
	size_t i;

	if (!text)
		return NULL;
	*p = 0;
	for (i = 0; i < n; i++)
		p += sprintf(p, "%s%c%u%s", i ? "," : "",
			     "nrwb"[list[i].rights & PERM_BOTH],
			     list[i].domid, list[i].stale ? "!" : "");
	return text;
}

static int write_new(struct checkpoint *cp, const struct row *row)
{
	scoped_talloc const char *perms = perms_text(NULL, row->perms.perms,
						     row->perms.n_perms);
	sqlite3_stmt *st = checkpoint_statement(cp, ST_CREATE);
	const struct fate *fate = row->fate;

	if (!perms)
		return -ENOMEM;
	bind_path(st, fate);
	bind_value(st, 2, row->value.value);
	checkpoint_bind_text(st, 3, perms);
	sqlite3_bind_int(st, 4, row->perms.perms[0].domid);
	sqlite3_bind_int64(st, 5, row->generation);
	sqlite3_bind_int64(st, 6, stamp(cp, fate->created));
	sqlite3_bind_int64(st, 7, stamp(cp, fate->perms));
	return checkpoint_finish(cp, st);
}

static int write_value(struct checkpoint *cp, const struct row *row)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_VALUE);

	bind_path(st, row->fate);
	bind_value(st, 2, row->value.value);
	sqlite3_bind_int64(st, 3, row->generation);
	return checkpoint_finish(cp, st);
}

static int write_perms(struct checkpoint *cp, const struct row *row)
{
	scoped_talloc const char *perms = perms_text(NULL, row->perms.perms,
						     row->perms.n_perms);
	sqlite3_stmt *st = checkpoint_statement(cp, ST_PERMS);

	if (!perms)
		return -ENOMEM;
	bind_path(st, row->fate);
	checkpoint_bind_text(st, 2, perms);
	sqlite3_bind_int(st, 3, row->perms.perms[0].domid);
	sqlite3_bind_int64(st, 4, row->generation);
	sqlite3_bind_int64(st, 5, stamp(cp, row->fate->perms));
	return checkpoint_finish(cp, st);
}

static int write_generation(struct checkpoint *cp, const struct row *row)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_TOUCH);

	bind_path(st, row->fate);
	sqlite3_bind_int64(st, 2, row->generation);
	return checkpoint_finish(cp, st);
}

static int sort(struct checkpoint *cp)
{
	int err = fates_sort(cp->fates);

	if (err == EAGAIN) {
		cp->work += FATES_RUN - 1;
		return 0;
	}
	cp->phase = WRITE;
	return err;
}

/* Is it only a value, which is told again elsewhere? */
static bool defer(struct checkpoint *cp, const struct fate *fate)
{
	if (fates_count(cp->fates) > cp->file.defer_max || fate->created ||
	    fate->perms || !fate->value || fate->path[fate->len])
		return false;
	cp->work += DEFER_WORK;
	return cp->file.defer(cp->file.defer_arg, fate->path);
}

static int write_row(struct checkpoint *cp)
{
	const struct fate *fate = fates_next(cp->fates);
	struct row row;
	int err;

	if (!fate) {
		cp->phase = PEOPLE;
		return 0;
	}
	if (!fate_writes(cp->fates, fate) || defer(cp, fate))
		return 0;
	err = read_row(cp, fate, &row);
	if (err)
		return err;
	if (fate->created)
		return write_new(cp, &row);
	if (!fate->value && !fate->perms)
		return write_generation(cp, &row);
	if (fate->value)
		err = write_value(cp, &row);
	if (!err && fate->perms)
		err = write_perms(cp, &row);
	return err;
}

/* ---- slices -------------------------------------------------------------- */

int checkpoint_nodes_step(struct checkpoint *cp)
{
	switch (cp->phase) {
	case EMPTY:
		cp->phase = TELL;
		return record_read_at(cp->file.records.data, 0, &empty_handlers,
				      cp);
	case TELL:
		return tell(cp);
	case CLEAR:
		return clear(cp);
	case CLEAR_BELOW:
		return clear_below(cp);
	case SORT:
		return sort(cp);
	case WRITE:
		return write_row(cp);
	default:
		return 0;
	}
}

void checkpoint_nodes_forget(struct checkpoint *cp)
{
	fates_clear(cp->fates);
}
