/* SPDX-License-Identifier: MIT */
#include "persist/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/scoped.h"
#include "persist/segment.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LEN 36
#define SPARE "journal.spare"

struct journal {
	char *dir;
	void (*say)(const char *text);
	char boot_id[SEGMENT_BOOT_ID];
	uint64_t epoch;		/* the newest there ever was */
	struct list segments;	/* by epoch; the last one is current, once
				 * begun */
	struct segment *current;
	struct segment *spare;	/* not in the list; its pages are there */
	struct records none;	/* before the first one: drops everything */
};

__attribute__((format(printf, 2, 3)))
static void say(const struct journal *journal, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	journal->say(text);
}

/* ---- files --------------------------------------------------------------- */

static void path_of(const struct journal *journal, uint64_t epoch,
		    const char *suffix, char *out, size_t len)
{
	snprintf(out, len, "%s/journal.%llu%s", journal->dir,
		 (unsigned long long)epoch, suffix);
}

void journal_passed(struct journal *journal, uint64_t epoch)
{
	if (journal->epoch < epoch)
		journal->epoch = epoch;
}

static void set_aside(struct journal *journal, uint64_t epoch)
{
	char from[PATH_MAX], to[PATH_MAX];

	path_of(journal, epoch, "", from, sizeof(from));
	path_of(journal, epoch, ".bad", to, sizeof(to));
	if (!rename(from, to)) {
		say(journal, "%s is kept as %s", from, to);
		return;
	}
	say(journal, "cannot set %s aside: %s", from, strerror(errno));
	journal_passed(journal, epoch);
}

static void remove_file(const struct journal *journal, uint64_t epoch)
{
	char path[PATH_MAX];

	path_of(journal, epoch, "", path, sizeof(path));
	if (unlink(path) && errno != ENOENT)
		say(journal, "cannot remove %s: %s", path, strerror(errno));
}

static struct segment *last_segment(const struct journal *journal)
{
	return list_empty(&journal->segments) ? NULL :
		list_entry(journal->segments.prev, struct segment, in_journal);
}

/* ---- opening what is there ----------------------------------------------- */

static void journal_enter(struct journal *journal, struct segment *segment)
{
	struct segment *next;

	list_for_each(next, &journal->segments, in_journal)
		if (next->epoch > segment->epoch)
			break;
	list_insert_before(&next->in_journal, &segment->in_journal);
}

static int journal_take(struct journal *journal, uint64_t epoch)
{
	struct segment *segment;
	const char *why = NULL;
	char path[PATH_MAX];
	int err;

	err = segment_new(journal, epoch, &segment);
	if (err)
		return err;
	path_of(journal, epoch, "", path, sizeof(path));
	err = segment_open(segment, path, journal->boot_id, &why);
	if (err) {
		say(journal, "%s/journal.%llu is not used: %s", journal->dir,
		    (unsigned long long)epoch, why ? why : strerror(-err));
		talloc_free(segment);
		set_aside(journal, epoch);
		return 0;
	}
	journal_enter(journal, segment);
	return 0;
}

static bool has_epoch(const struct journal *journal, uint64_t epoch)
{
	const struct segment *segment;

	list_for_each(segment, &journal->segments, in_journal)
		if (segment->epoch == epoch)
			return true;
	return false;
}

static int memory_take(struct journal *journal, int fd)
{
	struct segment *segment;
	int err;

	err = segment_new(journal, 0, &segment);
	if (err)
		return err;
	if (segment_inherit(segment, fd, journal->boot_id) ||
	    has_epoch(journal, segment->epoch))
		talloc_free(segment);
	else
		journal_enter(journal, segment);
	return 0;
}

static int memory_look(struct journal *journal)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char target[64];
	ssize_t n;
	int err = 0;

	while (dir && !err && (entry = readdir(dir))) {
		n = readlinkat(dirfd(dir), entry->d_name, target,
			       sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (!strncmp(target, "/memfd:" SEGMENT_MEMORY " ",
			     strlen("/memfd:" SEGMENT_MEMORY " ")))
			err = memory_take(journal, atoi(entry->d_name));
	}
	if (dir)
		closedir(dir);
	return err;
}

/* journal.N and nothing else; 0: it is not. */
static uint64_t epoch_of_name(const char *name)
{
	const char *prefix = "journal.";
	size_t len = strlen(prefix);
	unsigned long long epoch;
	char *end;

	if (strncmp(name, prefix, len) || name[len] < '1' || name[len] > '9')
		return 0;
	epoch = strtoull(name + len, &end, 10);
	return *end ? 0 : epoch;
}

static int journal_look(struct journal *journal)
{
	DIR *dir = opendir(journal->dir);
	struct dirent *entry;
	uint64_t epoch;
	int err = 0;

	if (!dir)
		say(journal, "cannot look for a journal in %s: %s",
		    journal->dir, strerror(errno));
	while (dir && !err && (entry = readdir(dir))) {
		epoch = epoch_of_name(entry->d_name);
		if (epoch)
			err = journal_take(journal, epoch);
	}
	if (dir)
		closedir(dir);
	return err;
}

static int read_boot_id(struct journal *journal)
{
	int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, journal->boot_id, BOOT_ID_LEN);
	close(fd);
	return n == BOOT_ID_LEN ? 0 : -EIO;
}

static void remove_spare(const struct journal *journal)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" SPARE, journal->dir);
	unlink(path);
}

static int no_more(struct records *records, size_t need)
{
	(void)records;
	(void)need;
	return -ENOSPC;
}

int journal_new(TALLOC_CTX *ctx, const char *dir,
		void (*say_fn)(const char *text), struct journal **out)
{
	scoped_talloc struct journal *journal =
		talloc_zero(ctx, struct journal);
	int err;

	if (!journal)
		return -ENOMEM;
	list_init(&journal->segments);
	journal->say = say_fn;
	journal->none.more = no_more;
	journal->dir = talloc_strdup(journal, dir);
	if (!journal->dir)
		return -ENOMEM;
	err = read_boot_id(journal);
	if (err)
		return err;
	remove_spare(journal);
	err = journal_look(journal);
	if (!err)
		err = memory_look(journal);
	if (err)
		return err;
	*out = TAKE(journal);
	return 0;
}

void journal_leave(struct journal *journal)
{
	struct segment *segment;

	list_for_each(segment, &journal->segments, in_journal)
		segment->header->left = 1;
}

bool journal_is_left(const struct journal *journal)
{
	const struct segment *last = last_segment(journal);

	return last && last->header->left;
}

void journal_discard(struct journal *journal, bool keep)
{
	struct segment *segment, *next;

	journal->current = NULL;
	list_for_each_safe(segment, next, &journal->segments, in_journal)
	{
		if (keep && !segment->in_memory)
			set_aside(journal, segment->epoch);
		else
			remove_file(journal, segment->epoch);
		talloc_free(segment);
	}
}

/* ---- replay -------------------------------------------------------------- */

static void tell_last(const struct segment *segment,
		      struct journal_found *found)
{
	const struct segment_header *header = segment->header;

	found->stale = header->stale;
	/* What it did was recorded, if something was since it was begun. */
	found->call = header->call_at == header->written ? header->call :
							   JOURNAL_NO_CALL;
	found->call_conn = header->call_conn;
	found->exec_conn = header->exec_conn;
	found->exec_tries = header->exec_tries;
	found->exec_pos = header->exec_pos;
}

/* What is in the checkpoint is not needed again. */
static void drop_up_to(struct journal *journal, uint64_t epoch)
{
	struct segment *segment, *next;

	list_for_each_safe(segment, next, &journal->segments, in_journal)
		if (segment->epoch <= epoch) {
			remove_file(journal, segment->epoch);
			talloc_free(segment);
		}
}

int journal_replay(struct journal *journal, uint64_t after,
		   const struct record_handlers *handlers, void *arg,
		   struct journal_found *found)
{
	struct segment *segment;
	bool usable = true;
	size_t pos;
	int err;

	*found = (struct journal_found){ 0 };
	journal_passed(journal, after);
	drop_up_to(journal, after);
	list_for_each(segment, &journal->segments, in_journal)
	{
		if (segment_is_self_contained(segment)) {
			usable = true;
		} else if (segment->epoch != after + 1) {
			say(journal, "%s/journal.%llu is missing",
			    journal->dir, (unsigned long long)after + 1);
			usable = false;
		}
		after = segment->epoch;
		found->damaged |= !usable;
		if (!usable)
			continue;
		found->segments++;
		err = segment_replay(segment, handlers, arg, &found->records,
				     &pos);
		if (err)
			return err;
		if (segment->damaged)
			say(journal, "%s/journal.%llu is damaged at byte %zu",
			    journal->dir, (unsigned long long)segment->epoch,
			    pos);
		usable = !segment->damaged;
		found->damaged |= segment->damaged;
		tell_last(segment, found);
	}
	return 0;
}

/* ---- writing ------------------------------------------------------------- */

/* The spare one becomes the file of this epoch, at `path`. */
static int spare_take(struct journal *journal, uint64_t epoch,
		      const char *path, struct segment **out)
{
	struct segment *segment = journal->spare;
	char from[PATH_MAX];

	if (!segment)
		return ENOENT;
	journal->spare = NULL;
	snprintf(from, sizeof(from), "%s/" SPARE, journal->dir);
	if (rename(from, path)) {
		talloc_free(segment);
		return ENOENT;
	}
	segment->epoch = epoch;
	*out = segment;
	return 0;
}

static void spare_keep(struct journal *journal, struct segment *segment)
{
	char from[PATH_MAX], to[PATH_MAX];

	path_of(journal, segment->epoch, "", from, sizeof(from));
	snprintf(to, sizeof(to), "%s/" SPARE, journal->dir);
	if (journal->spare || segment_shrink(segment) || rename(from, to)) {
		remove_file(journal, segment->epoch);
		talloc_free(segment);
		return;
	}
	list_del(&segment->in_journal);
	segment_reset(segment);
	journal->spare = segment;
}

static void drop_older(struct journal *journal, struct segment *but)
{
	struct segment *segment, *next;

	list_for_each_safe(segment, next, &journal->segments, in_journal)
	{
		if (segment == but)
			continue;
		if (but->in_memory && !segment->in_memory)
			continue;	/* old, but all that has a name */
		if (segment->damaged && !segment->in_memory)
			set_aside(journal, segment->epoch);
		else
			remove_file(journal, segment->epoch);
		talloc_free(segment);
	}
}

static void journal_use(struct journal *journal, struct segment *segment,
			bool all)
{
	list_add_tail(&journal->segments, &segment->in_journal);
	journal->current = segment;
	if (all)
		drop_older(journal, segment);
}

static uint64_t next_epoch(const struct journal *journal)
{
	const struct segment *last = last_segment(journal);

	return (last && last->epoch > journal->epoch ? last->epoch :
						       journal->epoch) + 1;
}

int journal_begin(struct journal *journal, bool all,
		  journal_account_fn *account, void *arg)
{
	uint64_t epoch = next_epoch(journal);
	char tmp[PATH_MAX], path[PATH_MAX];
	struct segment *segment;
	int err;

	path_of(journal, epoch, "", path, sizeof(path));
	path_of(journal, epoch, ".tmp", tmp, sizeof(tmp));
	err = spare_take(journal, epoch, tmp, &segment);
	if (err)
		err = segment_new(journal, epoch, &segment);
	if (err)
		return err;
	/* Nothing of the one before is to be left out, also what came between
	 * two ticks. */
	journal_commit(journal);
	err = segment_begin(segment, tmp, journal->boot_id, all, account, arg);
	if (!err)
		err = rename(tmp, path) ? -errno : 0;	/* J2 */
	if (err) {
		unlink(tmp);
		talloc_free(segment);
		return err;
	}
	journal_use(journal, segment, all);
	return 0;
}

int journal_begin_in_memory(struct journal *journal,
			    journal_account_fn *account, void *arg)
{
	struct segment *segment;
	int err;

	err = segment_new(journal, next_epoch(journal), &segment);
	if (err)
		return err;
	segment->in_memory = true;
	err = segment_begin(segment, NULL, journal->boot_id, true, account,
			    arg);
	if (err) {
		talloc_free(segment);
		return err;
	}
	journal_use(journal, segment, true);
	return 0;
}

bool journal_in_memory(const struct journal *journal)
{
	return journal->current && journal->current->in_memory;
}

struct records *journal_records(struct journal *journal)
{
	return journal->current ? &journal->current->records : &journal->none;
}

int journal_commit(struct journal *journal)
{
	return journal->current ? segment_commit(journal->current) : -ENOSPC;
}

void journal_happened(struct journal *journal)
{
	if (journal->current)
		segment_happened(journal->current);
}

void journal_call(struct journal *journal, enum journal_call call,
		  uint64_t conn)
{
	if (journal->current)
		segment_call(journal->current, call, conn);
}

void journal_execute(struct journal *journal, uint64_t conn, uint64_t pos,
		     uint32_t tries)
{
	if (journal->current)
		segment_execute(journal->current, conn, pos, tries);
}

bool journal_has_spare(const struct journal *journal)
{
	return journal->spare;
}

void journal_drop_spare(struct journal *journal)
{
	if (journal->spare)
		remove_spare(journal);
	TALLOC_FREE(journal->spare);
}

/* ---- state --------------------------------------------------------------- */

size_t journal_used(const struct journal *journal)
{
	return journal->current ? journal->current->records.len : 0;
}

size_t journal_account(const struct journal *journal)
{
	return journal->current ? journal->current->header->account : 0;
}

uint32_t journal_changes(const struct journal *journal)
{
	return journal->current ? journal->current->records.seq -
				  journal->current->account_seq : 0;
}

struct blob journal_account_records(const struct journal *journal)
{
	const struct segment *segment = journal->current;

	if (!segment)
		return (struct blob){ NULL, 0 };
	return (struct blob){ segment->records.data, segment->header->account };
}

const char *journal_boot_id(const struct journal *journal)
{
	return journal->boot_id;
}

bool journal_broken(const struct journal *journal)
{
	return !journal->current || journal->current->records.err;
}

size_t journal_bytes(const struct journal *journal)
{
	struct segment *segment;
	size_t bytes = 0;

	list_for_each(segment, &journal->segments, in_journal)
		bytes += segment->size;
	return bytes + (journal->spare ? journal->spare->size : 0);
}

uint64_t journal_epoch(const struct journal *journal)
{
	return journal->current ? journal->current->epoch : 0;
}

bool journal_oldest(const struct journal *journal, uint64_t *epoch,
		    struct blob *records, uint32_t *last)
{
	struct segment *segment = list_first(&journal->segments,
					     struct segment, in_journal);

	if (!segment || segment == journal->current)
		return false;
	*epoch = segment->epoch;
	*records = segment_committed(segment);
	*last = segment->records.last;
	return true;
}

void journal_drop_oldest(struct journal *journal)
{
	spare_keep(journal, list_first(&journal->segments, struct segment,
				       in_journal));
}
