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
#define BUSY_MS 2000		/* patience with others, at the start only */
#define TRIM_STEP (64 << 10)
#define TRIM_WORK 32
#define STATEMENT_WORK 16	/* as many as records that are only read */

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

int checkpoint_run(struct checkpoint *cp, const char *sql)
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

/* ---- opening ------------------------------------------------------------- */

void checkpoint_abort(struct checkpoint *cp)
{
	if (cp->phase == IDLE)
		return;
	if (cp->phase != TRIM)
		checkpoint_run(cp, "ROLLBACK");
	checkpoint_nodes_forget(cp);
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

/*
 * Opens the file and sets how it is written: it has to outlive this process
 * only. With a rollback journal and a small cache the pages go to the file as
 * the slices fill the cache; a write-ahead log would be copied as a whole, in
 * one step of many milliseconds.
 */
static int open_db(struct checkpoint *cp)
{
	int rc, fd;

	if (cp->read_only)
		return checkpoint_error(sqlite3_open_v2(cp->path, &cp->db,
			SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_NOFOLLOW, NULL));
	/* SQLite would let everybody read it. */
	fd = open(cp->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	rc = sqlite3_open_v2(cp->path, &cp->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
			     SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (rc)
		return checkpoint_error(rc);
	sqlite3_busy_timeout(cp->db, BUSY_MS);
	return checkpoint_run(cp, "PRAGMA journal_mode=PERSIST;"
				  "PRAGMA synchronous=OFF;"
				  "PRAGMA cache_size=-512;"
				  "PRAGMA temp_store=MEMORY");
}

static int make_tables(struct checkpoint *cp)
{
	int err;

	err = checkpoint_run(cp, "BEGIN");
	if (!err)
		err = checkpoint_run(cp, schema);
	if (!err)
		err = prepare_all(cp);
	if (!err)
		err = put_meta(cp, "schema", SCHEMA);
	if (!err)
		err = put_meta_text(cp, "boot_id", cp->boot_id);
	if (!err)
		err = put_meta(cp, "epoch", 0);
	if (!err)
		err = checkpoint_run(cp, "COMMIT");
	return err;
}

static int count_tables(struct checkpoint *cp, int *n)
{
	sqlite3_stmt *st;
	int rc;

	rc = sqlite3_prepare_v2(cp->db, "SELECT count(*) FROM sqlite_master",
				-1, &st, NULL);
	if (rc)
		return checkpoint_error(rc);
	rc = sqlite3_step(st);
	*n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return checkpoint_error(rc);
}

/* It can be read, but has not what it should have. */
static int damage(int err)
{
	return err == -EIO ? -EUCLEAN : err;
}

/* -EUCLEAN with *why: it is not to be used. ENOENT: it is empty. */
static int look_at(struct checkpoint *cp, const char **why)
{
	char text[64];
	int err, n = 0;

	err = count_tables(cp, &n);
	if (err)
		return err;
	if (!n)
		return ENOENT;
	err = get_meta(cp, "schema", text, sizeof(text));
	if (err)
		return damage(err);
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
	return damage(err ? err : prepare_all(cp));
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
	with_suffix(cp, "-journal", path);
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
		    bool read_only, void (*say)(const char *text),
		    struct checkpoint **out)
{
	scoped_talloc struct checkpoint *cp =
		talloc_zero(ctx, struct checkpoint);
	const char *why = "it is damaged";
	char real[PATH_MAX];
	int err;

	if (!cp)
		return -ENOMEM;
	cp->say = say;
	cp->read_only = read_only;
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
	if (err && read_only)
		return -EROFS;
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

int checkpoint_reset(struct checkpoint *cp, const char *why)
{
	int err;

	checkpoint_abort(cp);
	if (why) {
		set_aside(cp, why);
	} else {
		close_db(cp);
		remove_files(cp);
	}
	cp->epoch = 0;
	cp->counter = 0;
	err = open_db(cp);
	return err ? err : make_tables(cp);
}

uint64_t checkpoint_epoch(const struct checkpoint *cp)
{
	return cp->epoch;
}

/* ---- slices -------------------------------------------------------------- */

/* People's tables are made anew. */
static int begin_people(struct checkpoint *cp)
{
	cp->pos = 0;
	cp->seq = 0;
	if (!cp->file.people.len)
		return 0;
	return checkpoint_run(cp, "DELETE FROM domains;"
				  "DELETE FROM connections;"
				  "DELETE FROM watches");
}

static int write_people(struct checkpoint *cp)
{
	int err;

	err = record_reread(cp->file.people.data, cp->file.people.len, &cp->pos,
			    &cp->seq, &checkpoint_people, cp);
	if (err != EAGAIN)
		return err;
	cp->phase = COMMIT;
	return 0;
}

static int write_nodes(struct checkpoint *cp)
{
	int err = checkpoint_nodes_step(cp);

	return err || cp->phase != PEOPLE ? err : begin_people(cp);
}

static int commit(struct checkpoint *cp)
{
	const int64_t counter = cp->counter + cp->last;
	int err;

	err = put_meta(cp, "epoch", cp->file.epoch);
	if (!err)
		err = put_meta(cp, "counter", counter);
	fault_at(checkpoint_commit);
	if (!err)
		err = checkpoint_run(cp, "COMMIT");
	if (err)
		return err == -EBUSY ? EBUSY : err;	/* it stays open */
	cp->epoch = cp->file.epoch;
	cp->counter = counter;
	cp->phase = TRIM;
	checkpoint_nodes_forget(cp);
	return 0;
}

/* SQLite would give back what the transaction took in one step, of a
 * millisecond for 6 MB. What is left between transactions means nothing. */
static void trim(struct checkpoint *cp)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	cp->phase = IDLE;
	with_suffix(cp, "-journal", path);
	fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size > TRIM_STEP) {
		if (!ftruncate(fd, st.st_size - TRIM_STEP))
			cp->phase = TRIM;
		cp->work += TRIM_WORK;
	}
	close(fd);
}

static int one_step(struct checkpoint *cp)
{
	switch (cp->phase) {
	case PEOPLE:
		return write_people(cp);
	case COMMIT:
		return commit(cp);
	case TRIM:
		trim(cp);
		return 0;
	default:
		return write_nodes(cp);
	}
}

int checkpoint_begin(struct checkpoint *cp, const struct checkpoint_file *file)
{
	int err;

	sqlite3_busy_timeout(cp->db, 0);
	err = checkpoint_run(cp, "BEGIN IMMEDIATE");
	if (err)
		return err;
	cp->file = *file;
	cp->next = file->last;
	cp->last = 0;
	cp->phase = EMPTY;
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
		if (err < 0)
			checkpoint_abort(cp);
		if (err)
			return err;
	}
	return 0;
}
