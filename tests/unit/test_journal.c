/* SPDX-License-Identifier: MIT */
/* The journal's files: what is kept, what is refused, what it costs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "persist/image.h"
#include "persist/journal.h"

static char dir[64];
static char said[4096];

static void say(const char *text)
{
	strncat(said, text, sizeof(said) - strlen(said) - 2);
	strcat(said, "\n");
}

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct journal *open_journal(void)
{
	struct journal *j;

	said[0] = 0;
	assert_int_equal(journal_new(NULL, dir, say, &j), 0);
	return j;
}

/* Adds up what it is told: generations seen, input bytes, accounts. */
struct sums {
	uint64_t generation, count, input, conns, begins;
};

static int sum_generation(void *arg, const struct rec_generation *rec)
{
	struct sums *sums = arg;

	sums->generation = rec->generation;
	sums->count++;
	return 0;
}

static int sum_input(void *arg, const struct rec_input *rec)
{
	((struct sums *)arg)->input += rec->data.len;
	return 0;
}

static int sum_conn(void *arg, const struct rec_conn *rec)
{
	(void)rec;
	((struct sums *)arg)->conns++;
	return 0;
}

static int sum_begin(void *arg, const struct rec_begin *rec)
{
	(void)rec;
	((struct sums *)arg)->begins++;
	return 0;
}

static const struct record_handlers summing = {
	.begin = sum_begin,
	.generation = sum_generation,
	.input = sum_input,
	.conn = sum_conn,
};

static void put_generation(struct journal *j, uint64_t generation)
{
	record_generation(journal_records(j),
			  &(struct rec_generation){ generation });
}

static void put_input(struct journal *j, size_t n)
{
	static const char data[4096];

	record_input(journal_records(j),
		     &(struct rec_input){ 1, 0, { data, n } });
}

static void account(void *arg, struct records *to, bool all)
{
	(void)all;
	record_generation(to, &(struct rec_generation){ *(uint64_t *)arg });
}

static void begin(struct journal *j, bool all, uint64_t generation)
{
	assert_int_equal(journal_begin(j, all, account, &generation), 0);
}

static struct sums replay(struct journal *j, uint64_t after,
			  struct journal_found *found)
{
	struct sums sums = { 0 };

	assert_int_equal(journal_replay(j, after, &summing, &sums, found), 0);
	return sums;
}

/* Ten ticks behind the account. */
static void write_some(void)
{
	struct journal *j = open_journal();
	uint64_t i;

	begin(j, true, 100);
	for (i = 101; i <= 110; i++) {
		put_generation(j, i);
		assert_int_equal(journal_commit(j), 0);
	}
	talloc_free(j);
}

static void an_empty_directory_tells_nothing(void **state)
{
	struct journal *j = open_journal();
	struct journal_found found;

	(void)state;
	assert_int_equal(replay(j, 0, &found).count, 0);
	assert_false(found.damaged || found.stale || found.segments);
	assert_true(journal_broken(j));
	talloc_free(j);
}

/* J1 */
static void only_what_was_committed_or_received_counts(void **state)
{
	struct journal *j = open_journal();
	struct journal_found found;
	struct sums sums;

	(void)state;
	begin(j, true, 1);
	put_generation(j, 2);
	assert_int_equal(journal_commit(j), 0);
	put_generation(j, 3);
	record_conn(journal_records(j), &(struct rec_conn){ .conn = 1 });
	put_input(j, 30);
	journal_happened(j);
	put_input(j, 500);
	talloc_free(j);

	j = open_journal();
	sums = replay(j, 0, &found);
	assert_int_equal(sums.generation, 2);
	assert_int_equal(sums.input, 30);
	assert_int_equal(sums.conns, 1);
	assert_false(found.damaged);
	talloc_free(j);
}

static void what_it_was_doing_is_found(void **state)
{
	struct journal *j = open_journal();
	struct journal_found found;

	(void)state;
	begin(j, true, 1);
	journal_call(j, JOURNAL_SEND, 7);
	journal_execute(j, 9, 1234, 2);
	talloc_free(j);

	j = open_journal();
	replay(j, 0, &found);
	assert_int_equal(found.call, JOURNAL_SEND);
	assert_int_equal(found.call_conn, 7);
	assert_int_equal(found.exec_conn, 9);
	assert_int_equal(found.exec_pos, 1234);
	assert_int_equal(found.exec_tries, 2);
	begin(j, false, 1);
	journal_call(j, JOURNAL_RECV, 3);
	journal_call(j, JOURNAL_NO_CALL, 0);
	journal_execute(j, 9, 1234, 2);
	journal_execute(j, 0, 0, 0);
	talloc_free(j);

	j = open_journal();
	replay(j, 0, &found);
	assert_int_equal(found.call, JOURNAL_NO_CALL);
	assert_int_equal(found.exec_conn, 0);
	talloc_free(j);
}

/* J2 */
static void files_go_when_they_are_in_the_checkpoint(void **state)
{
	struct journal *j;
	struct journal_found found;
	struct blob records;
	struct sums sums;
	uint64_t epoch;
	uint32_t last;

	(void)state;
	write_some();
	j = open_journal();
	replay(j, 0, &found);
	begin(j, false, 110);
	put_generation(j, 111);
	assert_int_equal(journal_commit(j), 0);
	assert_true(journal_oldest(j, &epoch, &records, &last));
	assert_int_equal(epoch, 1);
	assert_true(records.len > 0);
	talloc_free(j);

	/* Both are read as long as both are there. */
	j = open_journal();
	sums = replay(j, 0, &found);
	assert_int_equal(found.segments, 2);
	assert_int_equal(sums.begins, 2);
	assert_int_equal(sums.generation, 111);
	journal_drop_oldest(j);
	assert_int_equal(access(in_dir("journal.1"), F_OK), -1);
	talloc_free(j);

	/* The checkpoint may have been ahead of the removal. */
	write_some();
	j = open_journal();
	replay(j, 1, &found);
	assert_int_equal(found.segments, 1);
	assert_false(found.damaged);
	assert_int_equal(access(in_dir("journal.1"), F_OK), -1);
	talloc_free(j);
}

static void a_missing_file_is_noticed(void **state)
{
	struct journal *j;
	struct journal_found found;

	(void)state;
	write_some();
	j = open_journal();
	replay(j, 0, &found);
	begin(j, false, 110);
	begin(j, false, 110);
	talloc_free(j);
	unlink(in_dir("journal.2"));

	j = open_journal();
	replay(j, 0, &found);
	assert_true(found.damaged);
	assert_int_equal(found.segments, 1);
	assert_non_null(strstr(said, "journal.2 is missing"));
	talloc_free(j);
}

/* J2: what is in the checkpoint is passed, even if nothing can be read. */
static void numbers_go_on_behind_the_checkpoint(void **state)
{
	struct journal *j = open_journal();
	struct journal_found found;

	(void)state;
	journal_passed(j, 7);
	begin(j, true, 110);
	assert_int_equal(journal_epoch(j), 8);
	talloc_free(j);
	j = open_journal();
	replay(j, 7, &found);
	assert_int_equal(found.segments, 1);
	talloc_free(j);
}

static void patch(const char *name, off_t at, const void *data, size_t len)
{
	int fd = open(in_dir(name), O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, at), len);
	close(fd);
}

/* V2 */
static void damage_anywhere_ends_the_reading_before_it(void **state)
{
	struct journal_found found;
	struct journal *j;
	struct sums sums;
	uint64_t generation = 112;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		unsigned char byte = 0xa5 + i;

		write_some();
		/* 2 records of 24 are the account, 10 of 24 follow */
		patch("journal.1", 4096 + 48 + i * 240 / 100, &byte, 1);
		j = open_journal();
		sums = replay(j, 0, &found);
		if (!found.damaged) {	/* it was that byte before */
			assert_int_equal(sums.generation, 110);
			talloc_free(j);
			unlink(in_dir("journal.1"));
			continue;
		}
		assert_int_equal(sums.generation, 100 + i / 10);
		assert_non_null(strstr(said, "is damaged at byte"));
		/* It is kept when a new one is complete. */
		assert_int_equal(journal_begin(j, true, account, &generation),
				 0);
		assert_int_equal(access(in_dir("journal.1.bad"), F_OK), 0);
		assert_int_equal(access(in_dir("journal.1"), F_OK), -1);
		talloc_free(j);
		j = open_journal();
		assert_int_equal(replay(j, 0, &found).generation, 112);
		assert_false(found.damaged);
		journal_discard(j, false);
		talloc_free(j);
	}
}

static void refuses(const char *why)
{
	struct journal *j = open_journal();
	struct journal_found found;

	assert_non_null(strstr(said, why));
	assert_int_equal(replay(j, 0, &found).count, 0);
	assert_int_equal(access(in_dir("journal.1.bad"), F_OK), 0);
	talloc_free(j);
	unlink(in_dir("journal.1.bad"));
}

static void foreign_files_are_set_aside(void **state)
{
	static const char garbage[8192] = "garbage";

	(void)state;
	write_some();
	patch("journal.1", 16, "00000000", 8);
	refuses("the host was started again");
	write_some();
	patch("journal.1", 8, "\x63", 1);
	refuses("it has another version");
	write_some();
	patch("journal.1", 0, garbage, sizeof(garbage));
	refuses("it is no journal");
	write_some();
	assert_int_equal(truncate(in_dir("journal.1"), 100), 0);
	refuses("it is cut off");
	write_some();
	patch("journal.1", 72, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	refuses("it is damaged");
}

static void a_file_that_is_cut_off_is_read_up_to_there(void **state)
{
	struct journal *j;
	struct journal_found found;
	uint64_t seen = 0, before;
	off_t size;

	(void)state;
	for (size = 4096 + 80; size < 8192; size += 24) {
		write_some();
		assert_int_equal(truncate(in_dir("journal.1"), size), 0);
		j = open_journal();
		before = seen;
		seen = replay(j, 0, &found).generation;
		talloc_free(j);
		unlink(in_dir("journal.1"));
		if (seen == 110)
			break;
		assert_true(found.damaged);
		assert_true(seen >= before);
	}
	assert_int_equal(before, 109);
	assert_false(found.damaged);
}

/* J3 */
static void a_full_file_system_is_told_and_healed(void **state)
{
	struct rlimit before, limit;
	struct journal_found found;
	struct journal *j = open_journal();
	uint64_t i = 1, generation = 5;

	(void)state;
	begin(j, true, 1);
	getrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_IGN);
	limit = before;
	limit.rlim_cur = 3 << 20;
	setrlimit(RLIMIT_FSIZE, &limit);
	do {
		put_input(j, 4000);
		put_generation(j, ++i);
	} while (!journal_commit(j) && i < 5000);
	assert_true(i < 5000);
	assert_true(journal_broken(j));
	put_generation(j, i);
	assert_true(journal_commit(j) < 0);
	/* Nor is there room for another one. */
	limit.rlim_cur = 1 << 19;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_true(journal_begin(j, true, account, &generation) < 0);
	setrlimit(RLIMIT_FSIZE, &before);
	talloc_free(j);

	j = open_journal();
	assert_int_equal(replay(j, 0, &found).generation, i - 1);
	assert_true(found.stale);
	begin(j, true, i);
	assert_false(journal_broken(j));
	/* All of it was read: it is not kept, for there was no room. */
	assert_int_equal(access(in_dir("journal.1"), F_OK), -1);
	assert_int_equal(access(in_dir("journal.1.bad"), F_OK), -1);
	put_generation(j, i + 1);
	assert_int_equal(journal_commit(j), 0);
	talloc_free(j);
	j = open_journal();
	assert_int_equal(replay(j, 0, &found).generation, i + 1);
	assert_false(found.stale);
	talloc_free(j);
}

static void a_file_grows_without_moving(void **state)
{
	struct journal *j = open_journal();
	struct journal_found found;
	const unsigned char *data;
	int i;

	(void)state;
	begin(j, true, 1);
	data = journal_records(j)->data;
	record_conn(journal_records(j), &(struct rec_conn){ .conn = 1 });
	for (i = 0; i < 2000; i++)
		put_input(j, 4096);
	assert_int_equal(journal_commit(j), 0);
	assert_ptr_equal(journal_records(j)->data, data);
	assert_true(journal_bytes(j) >= 2000 * 4096);
	talloc_free(j);
	j = open_journal();
	assert_int_equal(replay(j, 0, &found).input, 2000 * 4096);
	talloc_free(j);
}

/* ---- values that came with the input ------------------------------------ */

static unsigned char bytes[4093];

static int same_value(void *arg, const struct rec_node *rec)
{
	const struct blob *value = arg;

	assert_int_equal(rec->value.len, value->len);
	assert_memory_equal(rec->value.data, value->data, value->len);
	return 0;
}

/* Receives `bytes` and records a value; how much that takes. */
static size_t put_value(struct journal *j, struct blob value)
{
	struct records *to = journal_records(j);
	unsigned char *room = record_input_room(to, 65536);
	size_t before;

	assert_non_null(room);
	memcpy(room, bytes, sizeof(bytes));
	record_input(to, &(struct rec_input){ 1, 0, { room, sizeof(bytes) } });
	assert_memory_equal(room, bytes, sizeof(bytes));
	before = to->len;
	record_bring(to, (struct blob){ room + 16, sizeof(bytes) - 16 });
	record_node(to, &(struct rec_node){ .what = REC_VALUE, .path = "/a",
					    .value = value });
	record_bring(to, (struct blob){ NULL, 0 });
	assert_int_equal(journal_commit(j), 0);
	return to->len - before;
}

static void a_value_that_came_in_is_told_once(void **state)
{
	const struct record_handlers handlers = { .node = same_value };
	unsigned char other[4000];
	/* the tail of what came; all of it, and more; other bytes; a few */
	struct blob values[] = {
		{ bytes + 93, 4000 }, { bytes + 16, 4077 }, { bytes, 4093 },
		{ other, 4000 }, { bytes + 4083, 10 }, { bytes + 93, 3999 },
	};
	const bool told_again[] = { false, false, true, true, true, true };
	struct journal_found found;
	struct journal *j;
	size_t i, used;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = i * 7 + i / 256;
	memcpy(other, bytes + 93, sizeof(other));
	other[1234] ^= 1;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		j = open_journal();
		begin(j, true, 1);
		used = put_value(j, values[i]);
		assert_true(told_again[i] ? used >= values[i].len : used < 80);
		talloc_free(j);
		j = open_journal();
		assert_int_equal(journal_replay(j, 0, &handlers, &values[i],
						&found), 0);
		assert_int_equal(found.records, 4);
		assert_false(found.damaged);
		journal_discard(j, false);
		talloc_free(j);
	}
}

/* V2: also with a good sum */
static void a_value_from_elsewhere_is_damage(void **state)
{
	const struct blob value = { bytes + 93, 4000 };
	const struct record_handlers handlers = { .node = same_value };
	struct { uint32_t at, len; } cases[] = {
		{ 1 << 20, 4000 }, { 4216, 4000 }, { 100, 1u << 31 },
		{ UINT32_MAX, 2 },
	};
	unsigned char body[128];
	struct journal_found found;
	struct journal *j;
	size_t i, used, pos;
	uint32_t seq;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct records *to;

		j = open_journal();
		begin(j, true, 1);
		used = put_value(j, value);
		to = journal_records(j);
		memcpy(body, to->data + to->len - used + 16, used - 16);
		pos = to->len;
		seq = to->seq;
		memcpy(body + 12, &cases[i].len, 4);
		memcpy(body + 24, &cases[i].at, 4);
		record_raw(to, RECORD_NODE, (struct blob){ body, used - 16 });
		assert_int_equal(record_reread(to->data, to->len, &pos, &seq,
					       &handlers, NULL), -EPROTO);
		assert_int_equal(journal_commit(j), 0);
		talloc_free(j);
		j = open_journal();
		assert_int_equal(journal_replay(j, 0, &handlers,
						(void *)&value, &found), 0);
		assert_true(found.damaged);
		journal_discard(j, false);
		talloc_free(j);
	}
}

/* ---- memory ------------------------------------------------------------- */

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(in_dir(name), &st) ? 0 : st.st_size;
}

static void fill(struct journal *j, size_t n)
{
	while (journal_used(j) < n && !journal_broken(j))
		put_input(j, 4096);
	assert_int_equal(journal_commit(j), 0);
}

static void a_file_is_kept_as_large_as_it_was_used(void **state)
{
	struct journal *j = open_journal();

	(void)state;
	begin(j, true, 1);
	fill(j, 5 << 20);
	begin(j, false, 1);
	journal_drop_oldest(j);
	assert_int_equal(size_of("journal.1"), 0);
	assert_int_equal(size_of("journal.spare"), 6 << 20);
	begin(j, false, 1);
	assert_int_equal(size_of("journal.3"), 6 << 20);
	assert_false(journal_has_spare(j));
	fill(j, 3 << 20);
	journal_drop_oldest(j);
	begin(j, false, 1);
	assert_int_equal(size_of("journal.4"), 1 << 20);
	journal_drop_oldest(j);
	assert_int_equal(size_of("journal.spare"), 4 << 20);
	assert_int_equal(journal_bytes(j), 5 << 20);
	/* What was cut off is there again when it is needed. */
	begin(j, false, 1);
	fill(j, 7 << 20);
	assert_int_equal(size_of("journal.5"), 8 << 20);
	assert_int_equal(record_reread(journal_records(j)->data,
				       journal_used(j), &(size_t){ 0 },
				       &(uint32_t){ 0 }, &summing,
				       &(struct sums){ 0 }), 0);
	journal_drop_oldest(j);
	journal_drop_spare(j);
	assert_false(journal_has_spare(j));
	assert_int_equal(size_of("journal.spare"), 0);
	talloc_free(j);
}

static void it_is_cheap(void **state)
{
	struct journal *j = open_journal();
	struct timespec a, b;
	const struct rec_node node = { REC_VALUE, "/local/domain/1/device/x",
				       0, 7, { "0123456789abcdef", 16 }, NULL, 0 };
	const int n = 200000;
	int i;

	(void)state;
	begin(j, true, 1);
	for (i = 0; i < n; i++) {	/* touch the pages */
		record_node(journal_records(j), &node);
		journal_commit(j);
	}
	begin(j, true, 1);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (i = 0; i < n; i++) {
		record_node(journal_records(j), &node);
		journal_commit(j);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	print_message("# %.0f ns for a small record and its commit, "
		      "fresh pages included\n",
		      ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) /
			      n);
	talloc_free(j);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/dev/shm/journal.XXXXXX");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_directory_tells_nothing),
		TEST(only_what_was_committed_or_received_counts),
		TEST(what_it_was_doing_is_found),
		TEST(files_go_when_they_are_in_the_checkpoint),
		TEST(a_missing_file_is_noticed),
		TEST(numbers_go_on_behind_the_checkpoint),
		TEST(damage_anywhere_ends_the_reading_before_it),
		TEST(foreign_files_are_set_aside),
		TEST(a_file_that_is_cut_off_is_read_up_to_there),
		TEST(a_full_file_system_is_told_and_healed),
		TEST(a_file_grows_without_moving),
		TEST(a_value_that_came_in_is_told_once),
		TEST(a_value_from_elsewhere_is_damage),
		TEST(a_file_is_kept_as_large_as_it_was_used),
		TEST(it_is_cheap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
