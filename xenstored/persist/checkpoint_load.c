/* SPDX-License-Identifier: MIT */
/* Reading the checkpoint. */
#include "persist/checkpoint_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/path.h"

#define TEXT_MAX 64		/* of permissions that are remembered */

struct loading {
	checkpoint_node_fn *fn;
	void *arg;
	int64_t *purged;	/* by domid */
	/* The permissions of the row before; most are those of the next. */
	char text[TEXT_MAX];
	size_t text_len;
	int64_t newest;		/* purge of an entry, 0: none */
	bool whole;		/* nothing was purged since they were saved */
	size_t n_list;
	struct perm list[XENSTORE_PAYLOAD_MAX], kept[XENSTORE_PAYLOAD_MAX];
};

static int load_purged(struct checkpoint *cp, struct loading *l)
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

/* ---- permissions --------------------------------------------------------- */

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

static int parse_new(struct loading *l, const char *text, size_t len)
{
	size_t i;
	int err;

	l->text_len = 0;
	l->newest = 0;
	l->n_list = XENSTORE_PAYLOAD_MAX;
	err = parse_perms(text, l->list, &l->n_list);
	if (err)
		return err;
	for (i = 1; i < l->n_list; i++)
		if (l->newest < l->purged[l->list[i].domid])
			l->newest = l->purged[l->list[i].domid];
	if (len < TEXT_MAX) {
		memcpy(l->text, text, len);
		l->text_len = len;
	}
	return 0;
}

/* Without the entries that were purged since the list was saved. */
static size_t purge_list(struct loading *l, int64_t saved)
{
	size_t i, kept = 1;

	l->kept[0] = l->list[0];
	for (i = 1; i < l->n_list; i++)
		if (l->purged[l->list[i].domid] <= saved)
			l->kept[kept++] = l->list[i];
	return kept;
}

static int load_perms(struct loading *l, sqlite3_stmt *st,
		      struct checkpoint_node *row)
{
	/* A value costs less than asking for a column twice. */
	sqlite3_value *value = sqlite3_column_value(st, 2);
	const char *text = (const char *)sqlite3_value_text(value);
	const size_t len = sqlite3_value_bytes(value);
	const bool again = text && len && len == l->text_len &&
			   !memcmp(text, l->text, len);
	const bool was_whole = l->whole;
	int64_t saved;
	int err = 0;

	if (!again)
		err = text ? parse_new(l, text, len) : -EUCLEAN;
	if (err)
		return err;
	saved = l->newest ? sqlite3_column_int64(st, 5) : 0;
	l->whole = l->newest <= saved;
	row->same_perms = again && was_whole && l->whole;
	row->node.perms = l->whole ? l->list : l->kept;
	row->node.n_perms = l->whole ? l->n_list : purge_list(l, saved);
	return 0;
}

/* ---- rows ---------------------------------------------------------------- */

static int load_row(struct loading *l, sqlite3_stmt *st)
{
	struct checkpoint_node row = {
		.node.what = REC_CREATE | REC_VALUE | REC_PERMS,
	};
	sqlite3_value *value = sqlite3_column_value(st, 1);
	int err;

	row.node.path = (const char *)sqlite3_column_text(st, 0);
	row.node.value.data = sqlite3_value_blob(value);
	row.node.value.len = sqlite3_value_bytes(value);
	row.node.generation = sqlite3_column_int64(st, 3);
	row.created = sqlite3_column_int64(st, 4);
	if (!row.node.path)
		return -EUCLEAN;
	err = load_perms(l, st, &row);
	return err ? err : l->fn(l->arg, &row);
}

static int load_rows(struct checkpoint *cp, struct loading *l)
{
	sqlite3_stmt *st;
	int rc, err = 0;

	/* The table is sorted so. */
	rc = sqlite3_prepare_v2(cp->db, "SELECT path, value, permissions,"
				" generation, created, saved FROM nodes"
				" ORDER BY path", -1, &st, NULL);
	if (rc)
		return checkpoint_error(rc);
	while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
		err = load_row(l, st);
	sqlite3_finalize(st);
	return err ? err : checkpoint_error(rc);
}

int checkpoint_load(struct checkpoint *cp, checkpoint_node_fn *fn, void *arg)
{
	struct loading *l = calloc(1, sizeof(*l));
	int err = -ENOMEM;

	if (l)
		l->purged = calloc(UINT16_MAX + 1, sizeof(*l->purged));
	if (l && l->purged) {
		l->fn = fn;
		l->arg = arg;
		err = load_purged(cp, l);
		if (!err)
			err = load_rows(cp, l);
	}
	if (l)
		free(l->purged);
	free(l);
	return err;
}
