/* SPDX-License-Identifier: MIT */
/* The checkpoint: what is in the tables, its slices, and its damage. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "persist/checkpoint.h"

#define BOOT "01234567-89ab-cdef-0123-456789abcdef"

static char dir[64];
static char said[4096];

static void say(const char *text)
{
	strncat(said, text, sizeof(said) - strlen(said) - 1);
}

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int grow(struct records *records, size_t need)
{
	records->room += need + 65536;
	records->data = realloc(records->data, records->room);
	return records->data ? 0 : -ENOMEM;
}

static struct checkpoint *open_checkpoint(const char *boot)
{
	struct checkpoint *cp;

	said[0] = 0;
	assert_int_equal(checkpoint_open(NULL, dir, boot, false, say, &cp), 0);
	return cp;
}

static const struct perm perms[] = {
	{ .domid = 0, .rights = PERM_NONE },
	{ .domid = 5, .rights = PERM_READ },
	{ .domid = 7, .rights = PERM_BOTH, .stale = 1 },
};

static void put(struct records *to, const char *path, unsigned int what,
		const char *value, uint64_t generation)
{
	record_node(to, &(struct rec_node){ what, path, 0, generation,
					    { value, strlen(value) }, perms,
					    3 });
}

#define ALL (REC_CREATE | REC_VALUE | REC_PERMS)

static int finish(struct checkpoint *cp, unsigned int budget, size_t *slices)
{
	int err;

	do {
		err = checkpoint_step(cp, budget);
		++*slices;
	} while (err == EAGAIN);
	return err;
}

/* As if these were journal file `epoch`. */
static int add(struct checkpoint *cp, uint64_t epoch, struct records *records,
	       unsigned int budget, size_t *slices)
{
	int err = checkpoint_begin(cp, &(struct checkpoint_file){
		.epoch = epoch,
		.records = { records->data, records->len },
		.last = records->last });

	*slices = 0;
	return err ? err : finish(cp, budget, slices);
}

static void add_all(struct checkpoint *cp, uint64_t epoch,
		    struct records *records)
{
	size_t slices;

	assert_int_equal(add(cp, epoch, records, 1000, &slices), 0);
	records->len = 0;
	records->seq = records->last = 0;
}

struct text {
	char text[8192];
};

/* Rows as text, in the order of their creation. */
struct rows {
	struct {
		uint64_t created;
		char text[128];
	} row[64];
	size_t n;
	char last[64];
};

static int print_node(void *arg, const struct checkpoint_node *node)
{
	static struct perm list[8];
	static size_t n_list;
	const struct rec_node *rec = &node->node;
	struct rows *rows = arg;
	char *out;
	size_t i, j;

	assert_true(strcmp(rec->path, rows->last) > 0);
	strcpy(rows->last, rec->path);
	if (node->same_perms) {
		assert_int_equal(rec->n_perms, n_list);
		assert_memory_equal(rec->perms, list,
				    n_list * sizeof(*list));
	}
	n_list = rec->n_perms;
	memcpy(list, rec->perms, n_list * sizeof(*list));
	for (i = rows->n++; i && rows->row[i - 1].created > node->created; i--)
		rows->row[i] = rows->row[i - 1];
	rows->row[i].created = node->created;
	out = rows->row[i].text;
	out += sprintf(out, "%s=%.*s@%d", rec->path, (int)rec->value.len,
		       (const char *)rec->value.data, (int)rec->generation);
	for (j = 0; j < rec->n_perms; j++)
		out += sprintf(out, "%c%d%s", "nrwb"[rec->perms[j].rights],
			       rec->perms[j].domid,
			       rec->perms[j].stale ? "!" : "");
	strcpy(out, " ");
	return 0;
}

static void print_all(struct checkpoint *cp, struct text *text)
{
	struct rows rows = { .n = 0 };
	size_t i;

	assert_int_equal(checkpoint_load(cp, print_node, &rows), 0);
	text->text[0] = 0;
	for (i = 0; i < rows.n; i++)
		strcat(text->text, rows.row[i].text);
}

static void holds(struct checkpoint *cp, const char *expected)
{
	struct text text;

	print_all(cp, &text);
	assert_string_equal(text.text, expected);
}

static void fill(struct checkpoint *cp)
{
	struct records r = { .more = grow };

	put(&r, "/", ALL, "", 1);
	put(&r, "/b", ALL, "x", 2);
	put(&r, "/a", ALL, "y", 3);
	put(&r, "/b/c", ALL, "z", 4);
	add_all(cp, 1, &r);
	free(r.data);
}

static void nodes_come_back_in_the_order_of_their_creation(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);

	(void)state;
	assert_int_equal(checkpoint_epoch(cp), 0);
	fill(cp);
	talloc_free(cp);
	cp = open_checkpoint(BOOT);
	assert_string_equal(said, "");
	assert_int_equal(checkpoint_epoch(cp), 1);
	holds(cp, "/=@3n0r5b7! /b=x@4n0r5b7! /a=y@3n0r5b7! /b/c=z@4n0r5b7! ");
	talloc_free(cp);
}

static void changes_removals_and_purges_are_applied(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };

	(void)state;
	fill(cp);
	put(&r, "/a", REC_VALUE, "overwritten", 5);
	record_purge(&r, &(struct rec_domid){ 5 });
	put(&r, "/b/c", REC_PERMS, "", 6);
	put(&r, "/a", REC_VALUE, "last", 7);
	record_node_remove(&r, &(struct rec_node_remove){ "/b", 8 });
	put(&r, "/b", ALL, "again", 9);
	add_all(cp, 2, &r);
	holds(cp, "/=@9n0b7! /a=last@7n0b7! /b=again@9n0r5b7! ");
	/* A later instance of the domain is another one. */
	put(&r, "/a", REC_PERMS, "", 10);
	add_all(cp, 3, &r);
	holds(cp, "/=@9n0b7! /a=last@10n0r5b7! /b=again@9n0r5b7! ");
	record_begin(&r, &(struct rec_begin){ true });
	put(&r, "/", ALL, "", 11);
	add_all(cp, 4, &r);
	holds(cp, "/=@11n0r5b7! ");
	free(r.data);
	talloc_free(cp);
}

static void only_whole_names_are_below(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };

	(void)state;
	put(&r, "/", ALL, "", 1);
	put(&r, "/a", ALL, "", 2);
	put(&r, "/a-b", ALL, "", 3);
	put(&r, "/a/b", ALL, "", 4);
	put(&r, "/a0", ALL, "", 5);
	put(&r, "/a/b/c", ALL, "", 6);
	record_node_remove(&r, &(struct rec_node_remove){ "/a", 7 });
	add_all(cp, 1, &r);
	holds(cp, "/=@7n0r5b7! /a-b=@3n0r5b7! /a0=@5n0r5b7! ");
	free(r.data);
	talloc_free(cp);
}

/* H2 */
static void a_large_removal_takes_several_slices(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };
	size_t slices;
	char path[32];
	int i;

	(void)state;
	put(&r, "/", ALL, "", 1);
	put(&r, "/a", ALL, "", 2);
	for (i = 0; i < 5000; i++) {
		sprintf(path, "/a/%d", i);
		put(&r, path, ALL, "", 3);
	}
	add_all(cp, 1, &r);
	record_node_remove(&r, &(struct rec_node_remove){ "/a", 4 });
	assert_int_equal(add(cp, 2, &r, 1, &slices), 0);
	assert_true(slices >= 5000 / 16);
	holds(cp, "/=@4n0r5b7! ");
	free(r.data);
	talloc_free(cp);
}

static void a_value_written_often_is_written_once(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };
	char value[16], path[32];
	int i;

	(void)state;
	put(&r, "/", ALL, "", 1);
	for (i = 0; i < 10000; i++) {
		sprintf(path, "/%d", i);
		put(&r, path, ALL, "", 2);
	}
	for (i = 0; i < 30000; i++) {
		sprintf(path, "/%d", i % 10000);
		sprintf(value, "%d", i);
		put(&r, path, REC_VALUE, value, 3 + i);
	}
	put(&r, "/x", ALL, "", 99999);
	record_node_remove(&r, &(struct rec_node_remove){ "/x", 100000 });
	add_all(cp, 1, &r);
	for (i = 0; i < 9990; i++) {
		sprintf(path, "/%d", i);
		record_node_remove(&r,
				   &(struct rec_node_remove){ path, 100001 });
	}
	add_all(cp, 2, &r);
	holds(cp, "/=@100001n0r5b7! /9990=29990@29993n0r5b7! "
		  "/9991=29991@29994n0r5b7! /9992=29992@29995n0r5b7! "
		  "/9993=29993@29996n0r5b7! /9994=29994@29997n0r5b7! "
		  "/9995=29995@29998n0r5b7! /9996=29996@29999n0r5b7! "
		  "/9997=29997@30000n0r5b7! /9998=29998@30001n0r5b7! "
		  "/9999=29999@30002n0r5b7! ");
	free(r.data);
	talloc_free(cp);
}

/* F2 */
static void what_comes_and_goes_in_one_file_costs_nothing(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };
	size_t slices;
	int i;

	(void)state;
	fill(cp);
	for (i = 0; i < 1000; i++) {
		put(&r, "/b/c/d", ALL, "", 5);
		put(&r, "/b/c/d/e", ALL, "", 5);
		put(&r, "/b/c/d/e", REC_VALUE | REC_PERMS, "x", 6);
		record_node_remove(&r, &(struct rec_node_remove){ "/b/c/d",
								  7 });
	}
	/* 8000 records to look at, and few rows to write */
	assert_int_equal(add(cp, 2, &r, 1000, &slices), 0);
	assert_in_range(slices, 1, 9);
	holds(cp, "/=@3n0r5b7! /b=x@4n0r5b7! /a=y@3n0r5b7! /b/c=z@7n0r5b7! ");
	free(r.data);
	talloc_free(cp);
}

#define PATHS 40		/* /a, /b, /c, /a/a, ... */

static size_t parent(size_t i)
{
	return (i - 1) / 3;
}

/* Creates it, and all that is missing above it, in one record. */
static void put_levels(struct records *to, char paths[PATHS][16], bool *there,
		       size_t i, uint64_t generation)
{
	struct rec_node rec = { ALL, paths[i], 0, generation, { "new", 3 },
				perms, 3 };

	there[i] = true;
	while (!there[parent(i)]) {
		i = parent(i);
		there[i] = true;
		rec.what |= REC_LEVELS;
		rec.top = strlen(paths[i]);
	}
	record_node(to, &rec);
}

/* Some valid records on nodes with few paths; each ends at one of `ends`. */
static void put_random(struct records *to, unsigned int *seed, size_t *ends,
		       size_t n)
{
	char paths[PATHS][16] = { "" };
	bool there[PATHS] = { true };
	size_t i, j;

	for (i = 1; i < PATHS; i++)
		sprintf(paths[i], "%s/%c", paths[parent(i)],
			(char)('a' + (i - 1) % 3));
	put(to, "/", ALL, "", 1);
	ends[0] = to->len;
	for (i = 1; i < n;) {
		const int what = rand_r(seed) % 4;
		const uint64_t generation = i + 1;

		j = 1 + rand_r(seed) % (PATHS - 1);
		if (there[j] == (what == 0))
			continue;
		if (what == 1) {
			record_node_remove(to, &(struct rec_node_remove){
				paths[j], generation });
			there[j] = false;
			for (j = j + 1; j < PATHS; j++)
				there[j] &= there[parent(j)];
		} else if (what == 0) {
			put_levels(to, paths, there, j, generation);
		} else {
			put(to, paths[j], what == 2 ? REC_VALUE : REC_PERMS,
			    paths[j], generation);
		}
		ends[i++] = to->len;
	}
}

static int keep_node(void *arg, const struct rec_node *rec)
{
	if (rec->what & REC_LEVELS)
		return record_node_levels(rec, keep_node, arg);
	record_node(arg, rec);
	return 0;
}

static int keep_remove(void *arg, const struct rec_node_remove *rec)
{
	record_node_remove(arg, rec);
	return 0;
}

static int copy_node(void *arg, const struct rec_node *rec)
{
	record_node(arg, rec);
	return 0;
}

static void write_again(struct records *to, const struct records *from,
			size_t begin, size_t end,
			int (*node)(void *arg, const struct rec_node *rec))
{
	const struct record_handlers handlers = {
		.node = node,
		.node_remove = keep_remove,
	};
	uint32_t len;

	to->len = to->seq = to->last = 0;
	for (; begin < end; begin += len) {
		memcpy(&len, from->data + begin, sizeof(len));
		assert_int_equal(record_read_at(from->data, begin, &handlers,
						to), 0);
	}
}

/* Some of them, each node by itself. */
static void keep_records(struct records *to, const struct records *from,
			 size_t begin, size_t end)
{
	write_again(to, from, begin, end, keep_node);
}

/* Some of them as they are. */
static void copy_records(struct records *to, const struct records *from,
			 size_t begin, size_t end)
{
	write_again(to, from, begin, end, copy_node);
}

static void empty(struct checkpoint *cp, uint64_t epoch)
{
	struct records r = { .more = grow };

	record_begin(&r, &(struct rec_begin){ true });
	add_all(cp, epoch, &r);
	free(r.data);
}

/* F1: in one file, or two, or each in its own, where all are written. */
static void what_is_not_written_is_not_missed(void **state)
{
	enum { N = 60 };
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records all = { .more = grow }, one = { .more = grow };
	static struct text whole;
	unsigned int seed = 1;
	size_t ends[N], slices, round, i, cut;
	uint64_t epoch = 0;

	(void)state;
	for (round = 0; round < 300; round++) {
		all.len = all.seq = all.last = 0;
		put_random(&all, &seed, ends, N);
		empty(cp, ++epoch);
		cut = ends[round % N];
		copy_records(&one, &all, 0, cut);
		assert_int_equal(add(cp, ++epoch, &one, 50, &slices), 0);
		copy_records(&one, &all, cut, ends[N - 1]);
		assert_int_equal(add(cp, ++epoch, &one, 50, &slices), 0);
		print_all(cp, &whole);
		empty(cp, ++epoch);
		for (i = 0; i < N; i++) {
			keep_records(&one, &all, i ? ends[i - 1] : 0, ends[i]);
			assert_int_equal(add(cp, ++epoch, &one, 50, &slices),
					 0);
		}
		holds(cp, whole.text);
	}
	free(all.data);
	free(one.data);
	talloc_free(cp);
}

/* H3 */
static void foreign_or_damaged_databases_are_set_aside(void **state)
{
	static const char garbage[20000] = "no database";
	struct checkpoint *cp = open_checkpoint(BOOT);
	int fd;

	(void)state;
	fill(cp);
	talloc_free(cp);
	cp = open_checkpoint("another boot");
	assert_non_null(strstr(said, "the host was started again since"));
	assert_int_equal(checkpoint_epoch(cp), 0);
	holds(cp, "");
	assert_int_equal(access(in_dir("state.db.bad"), F_OK), 0);
	talloc_free(cp);

	fd = open(in_dir("state.db"), O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	close(fd);
	cp = open_checkpoint(BOOT);
	assert_non_null(strstr(said, "it is damaged"));
	fill(cp);
	assert_int_equal(checkpoint_reset(cp, NULL), 0);
	holds(cp, "");
	fill(cp);
	assert_int_equal(checkpoint_epoch(cp), 1);
	talloc_free(cp);
}

/* H1 */
static void a_full_file_system_leaves_the_last_epoch(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };
	struct rlimit before, limit;
	size_t slices;
	char path[32];
	int i, err;

	(void)state;
	fill(cp);
	for (i = 0; i < 20000; i++) {
		sprintf(path, "/%d", i);
		put(&r, path, ALL, "0123456789012345678901234567890123456789",
		    5);
	}
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 300000;
	setrlimit(RLIMIT_FSIZE, &limit);
	err = add(cp, 2, &r, 100, &slices);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_true(err < 0);
	assert_false(checkpoint_running(cp));
	assert_int_equal(checkpoint_epoch(cp), 1);
	holds(cp, "/=@3n0r5b7! /b=x@4n0r5b7! /a=y@3n0r5b7! /b/c=z@4n0r5b7! ");
	/* And it is begun again. */
	assert_int_equal(add(cp, 2, &r, 100, &slices), 0);
	assert_int_equal(checkpoint_epoch(cp), 2);
	free(r.data);
	talloc_free(cp);
}

static void damaged_records_leave_the_last_epoch(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };
	size_t slices, second, i;
	uint32_t places[3];

	(void)state;
	fill(cp);
	put(&r, "/a", REC_VALUE, "new", 5);
	second = r.len;
	put(&r, "/b", REC_VALUE, "new", 6);
	r.data[second + 8] ^= 1;	/* its number */
	assert_int_equal(add(cp, 2, &r, 100, &slices), -EPROTO);
	assert_int_equal(checkpoint_epoch(cp), 1);
	r.data[second + 8] ^= 1;
	places[0] = record_place(second) + 1;		/* none begins there */
	places[1] = record_place(r.len);
	places[2] = UINT32_MAX;
	for (i = 0; i < 3; i++) {
		r.last = places[i];
		assert_int_equal(add(cp, 2, &r, 100, &slices), -EPROTO);
	}
	r.last = record_place(second);
	assert_int_equal(record_before_at(r.data, second), record_place(0));
	holds(cp, "/=@3n0r5b7! /b=x@4n0r5b7! /a=y@3n0r5b7! /b/c=z@4n0r5b7! ");
	free(r.data);
	talloc_free(cp);
}

struct asked {
	char paths[256];
	const char *never;
};

static bool defer(void *arg, const char *path)
{
	struct asked *asked = arg;

	strcat(strcat(asked->paths, path), " ");
	return !asked->never || strcmp(path, asked->never);
}

static void values_that_are_told_again_are_not_written(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };
	struct asked asked = { .never = "/b/c" };
	struct checkpoint_file file = {
		.epoch = 2, .defer = defer, .defer_arg = &asked,
		.defer_max = 100,
	};
	size_t slices = 0;

	(void)state;
	fill(cp);
	put(&r, "/a", REC_VALUE, "new", 5);
	put(&r, "/b", REC_VALUE, "with perms", 6);
	put(&r, "/b", REC_PERMS, "", 7);
	put(&r, "/b/c", REC_VALUE, "refused", 8);
	put(&r, "/d", ALL, "created", 9);
	put(&r, "/d", REC_VALUE, "and written", 10);
	file.records = (struct blob){ r.data, r.len };
	file.last = r.last;
	assert_int_equal(checkpoint_begin(cp, &file), 0);
	assert_int_equal(finish(cp, 3, &slices), 0);
	assert_string_equal(asked.paths, "/a /b/c ");
	holds(cp, "/=@9n0r5b7! /b=with perms@7n0r5b7! /a=y@3n0r5b7! "
		  "/b/c=refused@8n0r5b7! /d=and written@10n0r5b7! ");
	/* Too many have changed. */
	file.epoch = 3;
	file.defer_max = 4;
	asked.paths[0] = 0;
	assert_int_equal(checkpoint_begin(cp, &file), 0);
	assert_int_equal(finish(cp, 3, &slices), 0);
	assert_string_equal(asked.paths, "");
	holds(cp, "/=@9n0r5b7! /b=with perms@7n0r5b7! /a=new@5n0r5b7! "
		  "/b/c=refused@8n0r5b7! /d=and written@10n0r5b7! ");
	free(r.data);
	talloc_free(cp);
}

static void people_read_it_with_sqlite3(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow }, people = { .more = grow };
	char command[512], line[128] = "";
	size_t slices = 0;
	FILE *out;

	(void)state;
	if (system("sqlite3 --version >/dev/null 2>&1"))
		skip();
	put(&r, "/", ALL, "", 1);
	put(&r, "/a", ALL, "value", 2);
	record_domain(&people, &(struct rec_domain){ .domid = 3,
						     .introduced = true,
						     .target = 9 });
	record_conn(&people, &(struct rec_conn){ .conn = 4, .fd = 11 });
	record_watch(&people, &(struct rec_watch){ 4, "/a", "tok", 0, -1 });
	assert_int_equal(checkpoint_begin(cp, &(struct checkpoint_file){
		.epoch = 1,
		.records = { r.data, r.len },
		.last = r.last,
		.people = { people.data, people.len } }), 0);
	assert_int_equal(finish(cp, 3, &slices), 0);
	snprintf(command, sizeof(command),
		 "sqlite3 %s/state.db \"SELECT n.path, n.value, n.permissions,"
		 " n.owner, n.generation, d.domid, d.target, c.kind, w.token"
		 " FROM nodes n, domains d, connections c, watches w"
		 " WHERE n.path = w.path AND c.id = w.connection\"", dir);
	/* While the daemon has it open. */
	out = popen(command, "r");
	assert_non_null(fgets(line, sizeof(line), out));
	assert_int_equal(pclose(out), 0);
	assert_string_equal(line, "/a|value|n0,r5,b7!|0|2|3|9|socket|tok\n");
	free(r.data);
	free(people.data);
	talloc_free(cp);
}

static void who_reads_is_waited_for(void **state)
{
	struct checkpoint *cp = open_checkpoint(BOOT);
	struct records r = { .more = grow };
	sqlite3_stmt *st;
	size_t slices;
	sqlite3 *db;
	int i;

	(void)state;
	fill(cp);
	assert_int_equal(sqlite3_open(in_dir("state.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT path FROM nodes", -1,
					    &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	put(&r, "/a", REC_VALUE, "new", 5);
	assert_int_equal(add(cp, 2, &r, 10, &slices), EBUSY);
	for (i = 0; i < 3; i++)
		assert_int_equal(checkpoint_step(cp, 10), EBUSY);
	assert_int_equal(checkpoint_epoch(cp), 1);
	sqlite3_finalize(st);
	assert_int_equal(finish(cp, 10, &slices), 0);
	assert_int_equal(checkpoint_epoch(cp), 2);
	holds(cp, "/=@3n0r5b7! /b=x@4n0r5b7! /a=new@5n0r5b7! "
		  "/b/c=z@4n0r5b7! ");
	sqlite3_close(db);
	free(r.data);
	talloc_free(cp);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/dev/shm/checkpoint.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* As /var/run is one, the default's parent. */
static void the_directory_may_be_reached_by_a_link(void **state)
{
	struct checkpoint *cp;
	char link[80];

	(void)state;
	snprintf(link, sizeof(link), "%s.link", dir);
	assert_int_equal(symlink(dir, link), 0);
	assert_int_equal(checkpoint_open(NULL, link, "boot", false, say, &cp),
			 0);
	talloc_free(cp);
	unlink(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nodes_come_back_in_the_order_of_their_creation),
		TEST(changes_removals_and_purges_are_applied),
		TEST(only_whole_names_are_below),
		TEST(a_large_removal_takes_several_slices),
		TEST(a_value_written_often_is_written_once),
		TEST(what_comes_and_goes_in_one_file_costs_nothing),
		TEST(what_is_not_written_is_not_missed),
		TEST(foreign_or_damaged_databases_are_set_aside),
		TEST(a_full_file_system_leaves_the_last_epoch),
		TEST(damaged_records_leave_the_last_epoch),
		TEST(values_that_are_told_again_are_not_written),
		TEST(people_read_it_with_sqlite3),
		TEST(who_reads_is_waited_for),
		TEST(the_directory_may_be_reached_by_a_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
