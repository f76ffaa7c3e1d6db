/* SPDX-License-Identifier: MIT */
#include "persist/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/scoped.h"
#include "persist/fate.h"
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

/* X(name, SQL) */
#define STATEMENTS(X)                                                          \
	X(CREATE, "INSERT OR REPLACE INTO nodes VALUES (?,?,?,?,?,?,?)")       \
	X(VALUE, "UPDATE nodes SET value=?2,generation=?3 WHERE path=?1")      \
	X(PERMS, "UPDATE nodes SET permissions=?2,owner=?3,generation=?4,"     \
		 "saved=?5 WHERE path=?1")                                     \
	X(TOUCH, "UPDATE nodes SET generation=?2 WHERE path=?1")               \
	X(REMOVE, "DELETE FROM nodes WHERE path=?1")                           \
	X(REMOVE_BELOW, "DELETE FROM nodes WHERE path IN (SELECT path FROM"    \
			" nodes WHERE path>=?1||'/' AND path<?1||'0'"          \
			" LIMIT ?2)")                                          \
	X(PURGE, "INSERT OR REPLACE INTO purged VALUES (?,?)")                 \
	X(META, "INSERT OR REPLACE INTO meta VALUES (?,?)")                    \
	X(DOMAIN, "INSERT OR REPLACE INTO domains VALUES (?,?,?,?,?,?,?,?,?)") \
	X(CONN, "INSERT OR REPLACE INTO connections VALUES (?,?,?,?)")         \
	X(WATCH, "INSERT INTO watches VALUES (?,?,?,?)")

enum statement {
#define STATEMENT_ENUM(name, sql) ST_##name,
	STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
	ST_COUNT
};

static const char *const sql_of[] = {
#define STATEMENT_SQL(name, sql) [ST_##name] = sql,
	STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

enum phase { IDLE, SURVEY, APPLY, REMOVING, PEOPLE, COMMIT };

struct checkpoint {
	char *path;
	const char *boot_id;
	void (*say)(const char *text);
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	uint64_t epoch;
	int64_t counter;	/* stamps created and saved */
	/* the file that is being added */
	enum phase phase;
	uint64_t next_epoch;
	struct blob records, people;
	size_t pos, here;	/* of the next record, of this one */
	uint32_t seq;
	struct fates *fates;
	char *removing;		/* below this path nodes are removed */
	unsigned int work;	/* of this slice */
};

/* ---- SQLite -------------------------------------------------------------- */

static int from_sqlite(int rc)
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

static int run(struct checkpoint *cp, const char *sql)
{
	return from_sqlite(sqlite3_exec(cp->db, sql, NULL, NULL, NULL));
}

/* The statement, with nothing bound. */
static sqlite3_stmt *statement(struct checkpoint *cp, enum statement which)
{
	return cp->st[which];
}

/* Executes it, and makes it ready for the next time. */
static int finish(struct checkpoint *cp, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	cp->work += STATEMENT_WORK;
	sqlite3_reset(st);
	return from_sqlite(rc);
}

static void bind_text(sqlite3_stmt *st, int i, const char *text)
{
	sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

static int put_meta(struct checkpoint *cp, const char *key, int64_t value)
{
	sqlite3_stmt *st = statement(cp, ST_META);

	bind_text(st, 1, key);
	sqlite3_bind_int64(st, 2, value);
	return finish(cp, st);
}

static int put_meta_text(struct checkpoint *cp, const char *key,
			 const char *value)
{
	sqlite3_stmt *st = statement(cp, ST_META);

	bind_text(st, 1, key);
	bind_text(st, 2, value);
	return finish(cp, st);
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
		return from_sqlite(rc);
	bind_text(st, 1, key);
	rc = sqlite3_step(st);
	snprintf(out, len, "%s", rc == SQLITE_ROW ?
		 (const char *)sqlite3_column_text(st, 0) : "");
	sqlite3_finalize(st);
	return from_sqlite(rc);
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
			return from_sqlite(rc);
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
		return from_sqlite(rc);
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

/* ---- loading ------------------------------------------------------------- */

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
		return from_sqlite(rc);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		l->purged[sqlite3_column_int(st, 0) & 0xffff] =
			sqlite3_column_int64(st, 1);
	sqlite3_finalize(st);
	return from_sqlite(rc);
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
				.perms = list, .n_perms = XENSTORE_PAYLOAD_MAX };
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
		return from_sqlite(rc);
	while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
		err = load_row(l, st);
	sqlite3_finalize(st);
	return err ? err : from_sqlite(rc);
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
	sqlite3_stmt *st = statement(cp, ST_TOUCH);

	if (!len)
		return 0;
	sqlite3_bind_text(st, 1, path, len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, generation);
	return finish(cp, st);
}

static int apply_create(struct checkpoint *cp, const struct rec_node *rec,
			const char *perms)
{
	sqlite3_stmt *st = statement(cp, ST_CREATE);

	bind_text(st, 1, rec->path);
	sqlite3_bind_blob(st, 2, rec->value.len ? rec->value.data : "",
			  rec->value.len, SQLITE_STATIC);
	bind_text(st, 3, perms);
	sqlite3_bind_int(st, 4, rec->perms[0].domid);
	sqlite3_bind_int64(st, 5, rec->generation);
	sqlite3_bind_int64(st, 6, ++cp->counter);
	sqlite3_bind_int64(st, 7, cp->counter);
	return finish(cp, st);
}

static int apply_value(struct checkpoint *cp, const struct rec_node *rec)
{
	sqlite3_stmt *st = statement(cp, ST_VALUE);

	bind_text(st, 1, rec->path);
	sqlite3_bind_blob(st, 2, rec->value.len ? rec->value.data : "",
			  rec->value.len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, rec->generation);
	return finish(cp, st);
}

static int apply_perms(struct checkpoint *cp, const struct rec_node *rec,
		       const char *perms)
{
	sqlite3_stmt *st = statement(cp, ST_PERMS);

	bind_text(st, 1, rec->path);
	bind_text(st, 2, perms);
	sqlite3_bind_int(st, 3, rec->perms[0].domid);
	sqlite3_bind_int64(st, 4, rec->generation);
	sqlite3_bind_int64(st, 5, ++cp->counter);
	return finish(cp, st);
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
	sqlite3_stmt *st = statement(cp, ST_REMOVE);
	int what = fates_ask_remove(cp->fates, here(cp)), err = 0;

	if (what < 0)
		return what;
	if (what & FATE_TOUCH)
		err = touch_parent(cp, rec->path, rec->generation);
	if (err || !(what & FATE_REMOVE))
		return err;
	bind_text(st, 1, rec->path);
	err = finish(cp, st);
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
	sqlite3_stmt *st = statement(cp, ST_REMOVE_BELOW);
	int err;

	bind_text(st, 1, cp->removing);
	sqlite3_bind_int(st, 2, REMOVE_SLICE);
	err = finish(cp, st);
	if (err || sqlite3_changes(cp->db))
		return err;
	TALLOC_FREE(cp->removing);
	cp->phase = APPLY;
	return 0;
}

static int apply_purge(void *arg, const struct rec_domid *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = statement(cp, ST_PURGE);

	sqlite3_bind_int(st, 1, rec->domid);
	sqlite3_bind_int64(st, 2, ++cp->counter);
	return finish(cp, st);
}

/* ---- for people ---------------------------------------------------------- */

static int people_domain(void *arg, const struct rec_domain *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = statement(cp, ST_DOMAIN);

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
	return finish(cp, st);
}

static int people_conn(void *arg, const struct rec_conn *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = statement(cp, ST_CONN);

	sqlite3_bind_int64(st, 1, rec->conn);
	bind_text(st, 2, rec->fd < 0 ? "ring" : "socket");
	if (rec->fd < 0) {
		sqlite3_bind_int(st, 3, rec->domid);
		sqlite3_bind_null(st, 4);
	} else {
		sqlite3_bind_null(st, 3);
		sqlite3_bind_int(st, 4, rec->fd);
	}
	return finish(cp, st);
}

static int people_watch(void *arg, const struct rec_watch *rec)
{
	struct checkpoint *cp = arg;
	sqlite3_stmt *st = statement(cp, ST_WATCH);

	sqlite3_bind_int64(st, 1, rec->conn);
	bind_text(st, 2, rec->path);
	bind_text(st, 3, rec->token);
	if (rec->depth < 0)
		sqlite3_bind_null(st, 4);
	else
		sqlite3_bind_int(st, 4, rec->depth);
	return finish(cp, st);
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

static const struct record_handlers people_handlers = {
	.domain = people_domain,
	.conn = people_conn,
	.watch = people_watch,
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
		return read_one(cp, cp->people, &people_handlers);
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
