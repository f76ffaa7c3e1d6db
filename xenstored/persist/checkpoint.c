/* SPDX-License-Identifier: MIT */
#include "persist/checkpoint_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/scoped.h"
#include "store/path.h"

#define SCHEMA 1
#define STATEMENT_WORK 16	/* as many as records that are only read */
#define WAL_MAX (1 << 20)
#define REMOVE_SLICE 256	/* nodes of a subtree removed in one step */

static const char schema[] =
	"CREATE TABLE nodes (path TEXT PRIMARY KEY, value BLOB,"
	" permissions TEXT, owner INTEGER, generation INTEGER,"
	" created INTEGER, saved INTEGER) WITHOUT ROWID;"
	"CREATE TABLE purged (domid INTEGER PRIMARY KEY, at INTEGER);"
	"CREATE TABLE domains (domid INTEGER PRIMARY KEY, introduced INTEGER,"
	" shutdown INTEGER, target INTEGER, features INTEGER,"
	" remote_port INTEGER, local_port INTEGER, gfn INTEGER,"
	" unique_id INTEGER);"
	"CREATE TABLE connections (id INTEGER PRIMARY KEY, kind TEXT,"
	" domid INTEGER, descriptor INTEGER);"
	"CREATE TABLE watches (connection INTEGER, path TEXT, token TEXT,"
	" depth INTEGER);"
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;";

static const char *const sql_of[] = {
#define STATEMENT_SQL(name, sql) [ST_##name] = sql,
	CHECKPOINT_STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

/* ---- SQLite -------------------------------------------------------------- */

int checkpoint_error(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	}
	return -EIO;
}

sqlite3_stmt *checkpoint_statement(struct checkpoint *cp,
				   enum checkpoint_statement which)
{
	return cp->st[which];
}

int checkpoint_finish(struct checkpoint *cp, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	cp->work += STATEMENT_WORK;
	sqlite3_reset(st);
	return checkpoint_error(rc);
}

void checkpoint_bind_text(sqlite3_stmt *st, int i, const char *text)
{
	sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

static int run(struct checkpoint *cp, const char *sql)
{
	return checkpoint_error(sqlite3_exec(cp->db, sql, NULL, NULL, NULL));
}

static int put_meta(struct checkpoint *cp, const char *key, int64_t value)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_META);

	checkpoint_bind_text(st, 1, key);
	sqlite3_bind_int64(st, 2, value);
	return checkpoint_finish(cp, st);
}

static int put_meta_text(struct checkpoint *cp, const char *key,
			 const char *value)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_META);

	checkpoint_bind_text(st, 1, key);
	checkpoint_bind_text(st, 2, value);
	return checkpoint_finish(cp, st);
}

/* A value of meta: the text, "" if there is none. */
static int get_meta(struct checkpoint *cp, const char *key, char *out,
		    size_t len)
{
	sqlite3_stmt *st;
	int rc;

	rc = sqlite3_prepare_v2(cp->db, "SELECT value FROM meta WHERE key=?",
				-1, &st, NULL);
	if (rc)
		return checkpoint_error(rc);
	checkpoint_bind_text(st, 1, key);
	rc = sqlite3_step(st);
	snprintf(out, len, "%s", rc == SQLITE_ROW ?
		 (const char *)sqlite3_column_text(st, 0) : "");
	sqlite3_finalize(st);
	return checkpoint_error(rc);
}

/* ---- permissions as text ------------------------------------------------- */

#define PERM_TEXT 8		/* of one entry: "r65535!," */

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

/* ---- opening ------------------------------------------------------------- */

void checkpoint_abort(struct checkpoint *cp)
{
	if (cp->phase == IDLE)
		return;
	run(cp, "ROLLBACK");
	TALLOC_FREE(cp->removing);
	fates_clear(cp->fates);
	cp->phase = IDLE;
}

static void close_db(struct checkpoint *cp)
{
	int i;

	for (i = 0; i < ST_COUNT; i++) {
		sqlite3_finalize(cp->st[i]);
		cp->st[i] = NULL;
	}
	sqlite3_close(cp->db);
	cp->db = NULL;
}

static int checkpoint_free(struct checkpoint *cp)
{
	close_db(cp);
	return 0;
}

static int prepare_all(struct checkpoint *cp)
{
	int i, rc;

	for (i = 0; i < ST_COUNT; i++) {
		rc = sqlite3_prepare_v3(cp->db, sql_of[i], -1,
					SQLITE_PREPARE_PERSISTENT, &cp->st[i],
					NULL);
		if (rc)
			return checkpoint_error(rc);
	}
	return 0;
}

/* Opens the file and sets how it is written: it has to outlive this process
 * only, and people may read it meanwhile. */
static int open_db(struct checkpoint *cp)
{
	/* SQLite would let everybody read it. */
	int rc, fd = open(cp->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			  0600);

	if (fd < 0)
		return -errno;
	close(fd);
	rc = sqlite3_open_v2(cp->path, &cp->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
			     SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (rc)
		return checkpoint_error(rc);
	return run(cp, "PRAGMA journal_mode=WAL;PRAGMA synchronous=OFF;"
		       "PRAGMA cache_size=-2048;PRAGMA temp_store=MEMORY;"
		       "PRAGMA journal_size_limit=1048576");
}

static int make_tables(struct checkpoint *cp)
{
	int err;

	err = run(cp, "BEGIN");
	if (!err)
		err = run(cp, schema);
	if (!err)
		err = prepare_all(cp);
	if (!err)
		err = put_meta(cp, "schema", SCHEMA);
	if (!err)
		err = put_meta_text(cp, "boot_id", cp->boot_id);
	if (!err)
		err = put_meta(cp, "epoch", 0);
	if (!err)
		err = run(cp, "COMMIT");
	return err;
}

/* -EUCLEAN with *why: it is not to be used. ENOENT: it is empty. */
static int look_at(struct checkpoint *cp, const char **why)
{
	char text[64];
	int err;

	err = run(cp, "SELECT count(*) FROM sqlite_master");
	if (err)
		return err;
	if (get_meta(cp, "schema", text, sizeof(text)))
		return ENOENT;
	if (atoi(text) != SCHEMA) {
		*why = "it has another version";
		return -EUCLEAN;
	}
	err = get_meta(cp, "boot_id", text, sizeof(text));
	if (!err && strcmp(text, cp->boot_id)) {
		*why = "the host was started again since";
		return -EUCLEAN;
	}
	if (!err)
		err = get_meta(cp, "epoch", text, sizeof(text));
	cp->epoch = strtoull(text, NULL, 10);
	if (!err)
		err = get_meta(cp, "counter", text, sizeof(text));
	cp->counter = strtoll(text, NULL, 10);
	return err ? err : prepare_all(cp);
}

static void with_suffix(const struct checkpoint *cp, const char *suffix,
			char *out)
{
	snprintf(out, PATH_MAX, "%s%s", cp->path, suffix);
}

static void remove_files(const struct checkpoint *cp)
{
	char path[PATH_MAX];

	unlink(cp->path);
	with_suffix(cp, "-wal", path);
	unlink(path);
	with_suffix(cp, "-shm", path);
	unlink(path);
}

static void set_aside(struct checkpoint *cp, const char *why)
{
	char text[PATH_MAX + 128], bad[PATH_MAX];

	close_db(cp);
	with_suffix(cp, ".bad", bad);
	snprintf(text, sizeof(text), "%s is not used: %s; it is kept as %s",
		 cp->path, why, bad);
	cp->say(text);
	rename(cp->path, bad);
	remove_files(cp);
}

int checkpoint_open(TALLOC_CTX *ctx, const char *dir, const char *boot_id,
		    void (*say)(const char *text), struct checkpoint **out)
{
	scoped_talloc struct checkpoint *cp =
		talloc_zero(ctx, struct checkpoint);
	const char *why = "it is damaged";
	char real[PATH_MAX];
	int err;

	if (!cp)
		return -ENOMEM;
	cp->say = say;
	/* The directory may be reached by a link, as /var/run is one; SQLite
	 * would refuse all links, not only the file's. */
	if (!realpath(dir, real))
		return -errno;
	cp->path = talloc_asprintf(cp, "%s/state.db", real);
	cp->boot_id = talloc_strdup(cp, boot_id);
	if (!cp->path || !cp->boot_id)
		return -ENOMEM;
	talloc_set_destructor(cp, checkpoint_free);
	err = fates_new(cp, &cp->fates);
	if (err)
		return err;
	err = open_db(cp);
	if (!err)
		err = look_at(cp, &why);
	if (err == -EUCLEAN) {
		set_aside(cp, why);
		err = open_db(cp);
		if (!err)
			err = ENOENT;
	}
	if (err == ENOENT) {
		cp->epoch = 0;
		cp->counter = 0;
		err = make_tables(cp);
	}
	if (err)
		return err;
	*out = TAKE(cp);
	return 0;
}

int checkpoint_reset(struct checkpoint *cp)
{
	int err;

	checkpoint_abort(cp);
	close_db(cp);
	remove_files(cp);
	cp->epoch = 0;
	cp->counter = 0;
	err = open_db(cp);
	return err ? err : make_tables(cp);
}

uint64_t checkpoint_epoch(const struct checkpoint *cp)
{
	return cp->epoch;
}

/* ---- what is needed ------------------------------------------------------ */

static uint32_t here(const struct checkpoint *cp)
{
	return cp->here / 8 + 1;
}

static int survey_node(void *arg, const struct rec_node *rec)
{
	struct checkpoint *cp = arg;

	return fates_tell_node(cp->fates, here(cp), rec->path, rec->what);
}

static int survey_node_remove(void *arg, const struct rec_node_remove *rec)
{
	struct checkpoint *cp = arg;

	return fates_tell_remove(cp->fates, here(cp), rec->path);
}

/* ---- nodes --------------------------------------------------------------- */

static int apply_begin(void *arg, const struct rec_begin *rec)
{
	struct checkpoint *cp = arg;

	return rec->all ? run(cp, "DELETE FROM nodes; DELETE FROM purged") : 0;
}

/* A child came or went: its parent has that generation. */
static int touch_parent(struct checkpoint *cp, const char *path,
			uint64_t generation)
{
	size_t len = path_parent_len(path, strlen(path));
	sqlite3_stmt *st = checkpoint_statement(cp, ST_TOUCH);

	if (!len)
		return 0;
	sqlite3_bind_text(st, 1, path, len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, generation);
	return checkpoint_finish(cp, st);
}

static int apply_create(struct checkpoint *cp, const struct rec_node *rec,
			const char *perms)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_CREATE);

	checkpoint_bind_text(st, 1, rec->path);
	sqlite3_bind_blob(st, 2, rec->value.len ? rec->value.data : "",
			  rec->value.len, SQLITE_STATIC);
	checkpoint_bind_text(st, 3, perms);
	sqlite3_bind_int(st, 4, rec->perms[0].domid);
	sqlite3_bind_int64(st, 5, rec->generation);
	sqlite3_bind_int64(st, 6, ++cp->counter);
	sqlite3_bind_int64(st, 7, cp->counter);
	return checkpoint_finish(cp, st);
}

static int apply_value(struct checkpoint *cp, const struct rec_node *rec)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_VALUE);

	checkpoint_bind_text(st, 1, rec->path);
	sqlite3_bind_blob(st, 2, rec->value.len ? rec->value.data : "",
			  rec->value.len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, rec->generation);
	return checkpoint_finish(cp, st);
}

static int apply_perms(struct checkpoint *cp, const struct rec_node *rec,
		       const char *perms)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_PERMS);

	checkpoint_bind_text(st, 1, rec->path);
	checkpoint_bind_text(st, 2, perms);
	sqlite3_bind_int(st, 3, rec->perms[0].domid);
	sqlite3_bind_int64(st, 4, rec->generation);
	sqlite3_bind_int64(st, 5, ++cp->counter);
	return checkpoint_finish(cp, st);
}

static int apply_node(void *arg, const struct rec_node *rec)
{
	scoped_talloc const char *perms = NULL;
	struct checkpoint *cp = arg;
	int what = fates_ask_node(cp->fates, here(cp), rec->what), err = 0;

	if (what < 0)
		return what;
	if (what & REC_PERMS) {
		perms = perms_text(NULL, rec->perms, rec->n_perms);
		if (!perms)
			return -ENOMEM;
	}
	if (what & REC_CREATE)
		err = perms ? apply_create(cp, rec, perms) : -EPROTO;
	else if (what & REC_VALUE)
		err = apply_value(cp, rec);
	if (!err && perms && !(what & REC_CREATE))
		err = apply_perms(cp, rec, perms);
	if (!err && what & FATE_TOUCH)
		err = touch_parent(cp, rec->path, rec->generation);
	return err;
}

static int apply_node_remove(void *arg, const struct rec_node_remove *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = checkpoint_statement(cp, ST_REMOVE);
	int what = fates_ask_remove(cp->fates, here(cp)), err = 0;

	if (what < 0)
		return what;
	if (what & FATE_TOUCH)
		err = touch_parent(cp, rec->path, rec->generation);
	if (err || !(what & FATE_REMOVE))
		return err;
	checkpoint_bind_text(st, 1, rec->path);
	err = checkpoint_finish(cp, st);
	if (err)
		return err;
	cp->removing = talloc_strdup(cp, rec->path);
	if (!cp->removing)
		return -ENOMEM;
	cp->phase = REMOVING;
	return 0;
}

static int remove_some(struct checkpoint *cp)
{
	sqlite3_stmt *st = checkpoint_statement(cp, ST_REMOVE_BELOW);
	int err;

	checkpoint_bind_text(st, 1, cp->removing);
	sqlite3_bind_int(st, 2, REMOVE_SLICE);
	err = checkpoint_finish(cp, st);
	if (err || sqlite3_changes(cp->db))
		return err;
	TALLOC_FREE(cp->removing);
	cp->phase = APPLY;
	return 0;
}

static int apply_purge(void *arg, const struct rec_domid *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = checkpoint_statement(cp, ST_PURGE);

	sqlite3_bind_int(st, 1, rec->domid);
	sqlite3_bind_int64(st, 2, ++cp->counter);
	return checkpoint_finish(cp, st);
}

/* ---- slices -------------------------------------------------------------- */

static const struct record_handlers survey_handlers = {
	.node = survey_node,
	.node_remove = survey_node_remove,
};

static const struct record_handlers apply_handlers = {
	.begin = apply_begin,
	.node = apply_node,
	.node_remove = apply_node_remove,
	.purge = apply_purge,
};

static int next_phase(struct checkpoint *cp)
{
	cp->phase = cp->phase == SURVEY ? APPLY :
		    cp->phase == APPLY ? PEOPLE : COMMIT;
	cp->pos = 0;
	cp->seq = 0;
	if (cp->phase != PEOPLE || !cp->people.len)
		return 0;
	return run(cp, "DELETE FROM domains; DELETE FROM connections;"
		       "DELETE FROM watches");
}

static int read_one(struct checkpoint *cp, struct blob records,
		    const struct record_handlers *handlers)
{
	int err;

	cp->here = cp->pos;
	err = record_reread(records.data, records.len, &cp->pos, &cp->seq,
			    handlers, cp);
	return err == EAGAIN ? next_phase(cp) : err;
}

/* SQLite shortens its log only when it begins it anew; until then the file
 * system holds everything twice. */
static void trim_wal(struct checkpoint *cp)
{
	char path[PATH_MAX];
	struct stat st;

	with_suffix(cp, "-wal", path);
	if (!stat(path, &st) && st.st_size > WAL_MAX)
		run(cp, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static int commit(struct checkpoint *cp)
{
	int err;

	err = put_meta(cp, "epoch", cp->next_epoch);
	if (!err)
		err = put_meta(cp, "counter", cp->counter);
	fault_at(checkpoint_commit);
	if (!err)
		err = run(cp, "COMMIT");
	if (err)
		return err;
	cp->epoch = cp->next_epoch;
	cp->phase = IDLE;
	fates_clear(cp->fates);
	trim_wal(cp);
	return 0;
}

static int one_step(struct checkpoint *cp)
{
	switch (cp->phase) {
	case SURVEY:
		return read_one(cp, cp->records, &survey_handlers);
	case APPLY:
		return read_one(cp, cp->records, &apply_handlers);
	case REMOVING:
		return remove_some(cp);
	case PEOPLE:
		return read_one(cp, cp->people, &checkpoint_people);
	case COMMIT:
		return commit(cp);
	case IDLE:
		break;
	}
	return 0;
}

int checkpoint_begin(struct checkpoint *cp, uint64_t epoch,
		     struct blob records, struct blob people)
{
	int err = run(cp, "BEGIN IMMEDIATE");

	if (err)
		return err;
	cp->next_epoch = epoch;
	cp->records = records;
	cp->people = people;
	cp->phase = SURVEY;
	cp->pos = 0;
	cp->seq = 0;
	return 0;
}

bool checkpoint_running(const struct checkpoint *cp)
{
	return cp->phase != IDLE;
}

int checkpoint_step(struct checkpoint *cp, unsigned int budget)
{
	int err;

	cp->work = 0;
	while (cp->phase != IDLE) {
		if (cp->work >= budget)
			return EAGAIN;
		cp->work++;
		err = one_step(cp);
		fault_at(checkpoint_step);
		if (err) {
			checkpoint_abort(cp);
			return err;
		}
	}
	return 0;
}
