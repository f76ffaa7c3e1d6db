/* SPDX-License-Identifier: MIT */
/* Reading the checkpoint: nodes, in the order of their creation. */
#include "persist/checkpoint_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/path.h"

/* *n: room of `list`, then how many. */
static int parse_perms(const char *text, struct perm *list, size_t *n)
{
	const char *letters = "nrwb", *letter;
	size_t max = *n;
	char *end;

	for (*n = 0; *text; text = end) {
		letter = strchr(letters, *text);
		if (!letter || *n == max)
			return -EUCLEAN;
		list[*n].rights = letter - letters;
		list[*n].domid = strtoul(text + 1, &end, 10);
		list[*n].stale = *end == '!';
		end += list[*n].stale;
		if (*end && *end++ != ',')
			return -EUCLEAN;
		++*n;
	}
	return *n ? 0 : -EUCLEAN;
}

struct row {
	int64_t created;
	size_t pos;		/* of its record */
	uint32_t seq;
	bool inner;		/* has children */
};

struct loaded {
	struct records records;
	struct row *rows;
	size_t n, room;
	int64_t *purged;	/* by domid */
	/* Rows come by path. Those whose paths the last one begins with: */
	size_t chain[PATH_MAX_LEN + 1];
	size_t depth;
};

static int grow_memory(struct records *records, size_t need)
{
	size_t room = records->room ? records->room * 2 : 1 << 20;
	unsigned char *data;

	while (room - records->len < need)
		room *= 2;
	data = realloc(records->data, room);
	if (!data)
		return -ENOMEM;
	records->data = data;
	records->room = room;
	return 0;
}

static int load_purged(struct checkpoint *cp, struct loaded *l)
{
	sqlite3_stmt *st;
	int rc;

	rc = sqlite3_prepare_v2(cp->db, "SELECT domid, at FROM purged", -1,
				&st, NULL);
	if (rc)
		return checkpoint_error(rc);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		l->purged[sqlite3_column_int(st, 0) & 0xffff] =
			sqlite3_column_int64(st, 1);
	sqlite3_finalize(st);
	return checkpoint_error(rc);
}

/* Drops the entries that were purged since the list was saved. */
static size_t purge_list(const struct loaded *l, int64_t saved,
			 struct perm *list, size_t n)
{
	size_t i, kept = 1;

	for (i = 1; i < n; i++)
		if (l->purged[list[i].domid] <= saved)
			list[kept++] = list[i];
	return kept;
}

/* Finds the parent of the row that comes next. */
static void mark_parent(struct loaded *l, const char *path)
{
	const char *other;
	size_t len;

	while (l->depth) {
		other = record_node_path(l->records.data +
					 l->rows[l->chain[l->depth - 1]].pos);
		len = strlen(other);
		if (!strncmp(path, other, len)) {
			if (path[len] == '/' || !strcmp(other, "/"))
				l->rows[l->chain[l->depth - 1]].inner = true;
			break;
		}
		l->depth--;
	}
	if (l->depth <= PATH_MAX_LEN)
		l->chain[l->depth++] = l->n;
}

static int load_row(struct loaded *l, sqlite3_stmt *st)
{
	struct perm list[XENSTORE_PAYLOAD_MAX];
	struct rec_node rec = { .what = REC_CREATE | REC_VALUE | REC_PERMS,
				.perms = list,
				.n_perms = XENSTORE_PAYLOAD_MAX };
	const char *perms = (const char *)sqlite3_column_text(st, 2);
	struct row *rows;
	int err;

	rec.path = (const char *)sqlite3_column_text(st, 0);
	rec.value.data = sqlite3_column_blob(st, 1);
	rec.value.len = sqlite3_column_bytes(st, 1);
	rec.generation = sqlite3_column_int64(st, 3);
	if (!rec.path || !perms)
		return -EUCLEAN;
	err = parse_perms(perms, list, &rec.n_perms);
	if (err)
		return err;
	rec.n_perms = purge_list(l, sqlite3_column_int64(st, 5), list,
				 rec.n_perms);
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 4096;
		rows = realloc(l->rows, l->room * sizeof(*rows));
		if (!rows)
			return -ENOMEM;
		l->rows = rows;
	}
	mark_parent(l, rec.path);
	l->rows[l->n++] = (struct row){ sqlite3_column_int64(st, 4),
					l->records.len, l->records.seq,
					false };
	record_node(&l->records, &rec);
	return l->records.err;
}

static int load_rows(struct checkpoint *cp, struct loaded *l)
{
	sqlite3_stmt *st;
	int rc, err = 0;

	rc = sqlite3_prepare_v2(cp->db, "SELECT path, value, permissions,"
				" generation, created, saved FROM nodes", -1,
				&st, NULL);
	if (rc)
		return checkpoint_error(rc);
	while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
		err = load_row(l, st);
	sqlite3_finalize(st);
	return err ? err : checkpoint_error(rc);
}

static int by_creation(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->created < y->created ? -1 : x->created > y->created;
}

struct retell {
	const struct record_handlers *handlers;
	void *arg;
};

static int retell_node(void *arg, const struct rec_node *rec)
{
	const struct retell *to = arg;
	struct rec_node again = *rec;

	again.what = REC_VALUE;
	return to->handlers->node(to->arg, &again);
}

/* A node that gets a child takes over the child's generation; so those of
 * inner nodes are told once more, when all are there. */
static int tell_rows(const struct loaded *l,
		     const struct record_handlers *handlers, void *arg)
{
	const struct record_handlers again = { .node = retell_node };
	struct retell to = { handlers, arg };
	size_t i, pos;
	uint32_t seq;
	int err = 0;

	for (i = 0; !err && i < l->n; i++) {
		pos = l->rows[i].pos;
		seq = l->rows[i].seq;
		err = record_reread(l->records.data, l->records.len, &pos,
				    &seq, handlers, arg);
	}
	for (i = 0; !err && i < l->n; i++) {
		if (!l->rows[i].inner)
			continue;
		pos = l->rows[i].pos;
		seq = l->rows[i].seq;
		err = record_reread(l->records.data, l->records.len, &pos,
				    &seq, &again, &to);
	}
	return err;
}

int checkpoint_load(struct checkpoint *cp,
		    const struct record_handlers *handlers, void *arg)
{
	struct loaded l = { .records = { .more = grow_memory } };
	int err = -ENOMEM;

	l.purged = calloc(UINT16_MAX + 1, sizeof(*l.purged));
	if (l.purged)
		err = load_purged(cp, &l);
	if (!err)
		err = load_rows(cp, &l);
	if (!err && l.n && handlers->node) {
		qsort(l.rows, l.n, sizeof(*l.rows), by_creation);
		err = tell_rows(&l, handlers, arg);
	}
	free(l.records.data);
	free(l.rows);
	free(l.purged);
	return err;
}

