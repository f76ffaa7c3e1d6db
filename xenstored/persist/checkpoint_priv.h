/* SPDX-License-Identifier: MIT */
/* The checkpoint's inside, for the files that write and read it. */
#ifndef PERSIST_CHECKPOINT_PRIV_H
#define PERSIST_CHECKPOINT_PRIV_H

#include "persist/checkpoint.h"

#include <sqlite3.h>

#include "persist/fate.h"

/* X(name, SQL) */
#define CHECKPOINT_STATEMENTS(X)                                               \
	X(CREATE, "INSERT OR REPLACE INTO nodes VALUES (?,?,?,?,?,?,?)")       \
	X(VALUE, "UPDATE nodes SET value=?2,generation=?3 WHERE path=?1")      \
	X(PERMS, "UPDATE nodes SET permissions=?2,owner=?3,generation=?4,"     \
		 "saved=?5 WHERE path=?1")                                     \
	X(TOUCH, "UPDATE nodes SET generation=?2 WHERE path=?1")               \
	X(REMOVE, "DELETE FROM nodes WHERE path=?1")                           \
	X(REMOVE_BELOW, "DELETE FROM nodes WHERE path IN (SELECT path FROM"    \
			" nodes WHERE path>=?1||'/' AND path<?1||'0'"          \
			" LIMIT ?2)")                                          \
	X(PURGE, "INSERT INTO purged VALUES (?1,?2) ON CONFLICT DO UPDATE SET"  \
		 " at=max(at,?2)")                                             \
	X(META, "INSERT OR REPLACE INTO meta VALUES (?,?)")                    \
	X(DOMAIN, "INSERT OR REPLACE INTO domains VALUES (?,?,?,?,?,?,?,?,?)") \
	X(CONN, "INSERT OR REPLACE INTO connections VALUES (?,?,?,?)")         \
	X(WATCH, "INSERT INTO watches VALUES (?,?,?,?)")

enum checkpoint_statement {
#define STATEMENT_ENUM(name, sql) ST_##name,
	CHECKPOINT_STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
	ST_COUNT
};

/* Of adding a journal file: what was before if it tells all, what is needed of
 * its nodes, removing, with what is below, writing in order; then the rest. */
enum checkpoint_phase {
	IDLE, EMPTY, TELL, CLEAR, CLEAR_BELOW, SORT, WRITE, PEOPLE, COMMIT,
	TRIM
};

struct checkpoint {
	char *path;
	bool read_only;
	const char *boot_id;
	void (*say)(const char *text);
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	uint64_t epoch;
	int64_t counter;	/* stamps before the file */
	/* the file that is being added */
	enum checkpoint_phase phase;
	struct checkpoint_file file;
	uint32_t next, here;	/* places of the next record, of this one */
	uint32_t last;		/* the last one's number */
	size_t pos;		/* of the next one for people, ... */
	uint32_t seq;		/* ... and the number of the one before */
	struct fates *fates;
	size_t number;		/* of the next fate to be removed */
	unsigned int work;	/* of this slice */
};

/* Negative errno of a result of SQLite's, 0 for good ones. */
int checkpoint_error(int rc);

int checkpoint_run(struct checkpoint *checkpoint, const char *sql);

/* The statement, with nothing bound. */
sqlite3_stmt *checkpoint_statement(struct checkpoint *checkpoint,
				   enum checkpoint_statement which);
/* Executes it, and makes it ready for the next time. */
int checkpoint_finish(struct checkpoint *checkpoint, sqlite3_stmt *st);
void checkpoint_bind_text(sqlite3_stmt *st, int i, const char *text);

/* The phases of the nodes, one step; the one behind them is PEOPLE. */
int checkpoint_nodes_step(struct checkpoint *checkpoint);
/* What it remembers of a file. */
void checkpoint_nodes_forget(struct checkpoint *checkpoint);

/* The tables for people; the checkpoint is the argument. */
extern const struct record_handlers checkpoint_people;

#endif
