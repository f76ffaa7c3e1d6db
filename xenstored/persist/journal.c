/* SPDX-License-Identifier: MIT */
#include "persist/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/scoped.h"

#define MAGIC "xsjournl"
#define VERSION 5
#define HEADER_SIZE 4096
#define STEP ((size_t)1 << 20)	/* by which files grow */
#define SIZE_MAX_MAPPED ((size_t)1 << 30)	/* address space kept for each */
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LEN 36
#define SPARE "journal.spare"
#define MEMORY "xenstored-journal"

/* At the start of each file. Positions are bytes of records. */
struct header {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	char boot_id[40];
	uint64_t epoch;
	uint64_t account;	/* end of the account */
	uint64_t committed;	/* J1 */
	uint64_t written;	/* J1: end of the last INPUT that counts */
	uint32_t stale;		/* J3 */
	uint32_t call, exec_tries;
	uint32_t spare;
	uint64_t call_conn, call_at;	/* at: written, when it was begun */
	uint64_t exec_conn;
	uint64_t exec_pos;
};

struct segment {
	struct list in_journal;
	struct journal *journal;
	uint64_t epoch;
	int fd;
	size_t size;		/* of the file */
	struct header *header;
	struct records records;
	uint32_t account_seq;	/* of the last record of the account */
	bool damaged;
	bool in_memory;		/* it has no name */
};

struct journal {
	char *dir;
	void (*say)(const char *text);
	char boot_id[40];
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

static void set_aside(const struct journal *journal, uint64_t epoch)
{
	char from[PATH_MAX], to[PATH_MAX];

	path_of(journal, epoch, "", from, sizeof(from));
	path_of(journal, epoch, ".bad", to, sizeof(to));
	if (rename(from, to))
		say(journal, "cannot set %s aside: %s", from, strerror(errno));
	else
		say(journal, "%s is kept as %s", from, to);
}

static void remove_file(const struct journal *journal, uint64_t epoch)
{
	char path[PATH_MAX];

	path_of(journal, epoch, "", path, sizeof(path));
	if (unlink(path) && errno != ENOENT)
		say(journal, "cannot remove %s: %s", path, strerror(errno));
}

static int segment_free(struct segment *segment)
{
	list_del(&segment->in_journal);
	if (segment->header)
		munmap(segment->header, SIZE_MAX_MAPPED);
	if (segment->fd >= 0)
		close(segment->fd);
	return 0;
}

/* Maps the file up to `size` bytes at the place kept for it. */
static int segment_map(struct segment *segment, size_t size)
{
	char *place = (char *)segment->header;

	if (!place) {
		place = mmap(NULL, SIZE_MAX_MAPPED, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			     0);
		if (place == MAP_FAILED)
			return -errno;
		segment->header = (struct header *)place;
	}
	/* What is mapped already keeps its pages. */
	if (mmap(place + segment->size, size - segment->size,
		 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, segment->fd,
		 segment->size) == MAP_FAILED)
		return -errno;
	segment->size = size;
	segment->records.data = (unsigned char *)place + HEADER_SIZE;
	segment->records.room = size - HEADER_SIZE;
	return 0;
}

/* Of a file that holds so many bytes of records. */
static size_t size_for(size_t records)
{
	return (HEADER_SIZE + records + STEP - 1) / STEP * STEP;
}

/* Memory must be there before it is touched: a full file system would be a
 * SIGBUS. The mapping grows in place, so nothing that points into it moves. */
static int segment_more(struct records *records, size_t need)
{
	struct segment *segment = list_entry(records, struct segment, records);
	size_t size = size_for(records->len + need);
	int err;

	if (size > SIZE_MAX_MAPPED)
		return -EFBIG;
	err = posix_fallocate(segment->fd, segment->size,
			      size - segment->size);
	return err ? -err : segment_map(segment, size);
}

static int segment_new(struct journal *journal, uint64_t epoch,
		       struct segment **out)
{
	struct segment *segment = talloc_zero(journal, struct segment);

	if (!segment)
		return -ENOMEM;
	segment->journal = journal;
	segment->epoch = epoch;
	segment->fd = -1;
	segment->records.more = segment_more;
	list_init(&segment->in_journal);
	talloc_set_destructor(segment, segment_free);
	*out = segment;
	return 0;
}

static struct segment *last_segment(const struct journal *journal)
{
	return list_empty(&journal->segments) ? NULL :
		list_entry(journal->segments.prev, struct segment, in_journal);
}

/* ---- opening what is there ----------------------------------------------- */

/* Why the file is none of ours; NULL: it is. */
static const char *header_fault(const struct journal *journal,
				const struct header *header, uint64_t epoch)
{
	if (memcmp(header->magic, MAGIC, sizeof(header->magic)))
		return "it is no journal";
	if (header->version != VERSION || header->header_size != HEADER_SIZE)
		return "it has another version";
	if (memcmp(header->boot_id, journal->boot_id,
		   sizeof(header->boot_id)))
		return "the host was started again since";
	if (header->epoch != epoch || header->committed > SIZE_MAX_MAPPED ||
	    header->written > SIZE_MAX_MAPPED ||
	    header->account > header->committed ||
	    header->committed & 7 || header->written & 7)
		return "it is damaged";
	return NULL;
}

static int segment_open(struct segment *segment, const char **why)
{
	char path[PATH_MAX];
	struct stat st;
	int err;

	path_of(segment->journal, segment->epoch, "", path, sizeof(path));
	segment->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (segment->fd < 0 || fstat(segment->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= HEADER_SIZE ||
	    (size_t)st.st_size > SIZE_MAX_MAPPED) {
		*why = "it is cut off";
		return -EPROTO;
	}
	err = segment_map(segment, st.st_size);
	if (err)
		return err;
	*why = header_fault(segment->journal, segment->header,
			    segment->epoch);
	return *why ? -EPROTO : 0;
}

static void segment_enter(struct segment *segment)
{
	struct segment *next;

	list_for_each(next, &segment->journal->segments, in_journal)
		if (next->epoch > segment->epoch)
			break;
	list_insert_before(&next->in_journal, &segment->in_journal);
}

static int journal_take(struct journal *journal, uint64_t epoch)
{
	struct segment *segment;
	const char *why = NULL;
	int err;

	err = segment_new(journal, epoch, &segment);
	if (err)
		return err;
	err = segment_open(segment, &why);
	if (err) {
		say(journal, "%s/journal.%llu is not used: %s", journal->dir,
		    (unsigned long long)epoch, why ? why : strerror(-err));
		talloc_free(segment);
		set_aside(journal, epoch);
		return 0;
	}
	segment_enter(segment);
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

/* A descriptor that a predecessor has left, which others may close. */
static int memory_open(struct segment *segment, int fd)
{
	struct stat st;
	int err;

	segment->in_memory = true;
	segment->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (segment->fd < 0 || fstat(segment->fd, &st))
		return -errno;
	if (st.st_size <= HEADER_SIZE || (size_t)st.st_size > SIZE_MAX_MAPPED)
		return -EPROTO;
	err = segment_map(segment, st.st_size);
	if (err)
		return err;
	segment->epoch = segment->header->epoch;
	return header_fault(segment->journal, segment->header,
			    segment->epoch) ||
	       !segment->header->committed ||
	       has_epoch(segment->journal, segment->epoch) ? -EPROTO : 0;
}

static int memory_take(struct journal *journal, int fd)
{
	struct segment *segment;
	int err;

	err = segment_new(journal, 0, &segment);
	if (err)
		return err;
	if (memory_open(segment, fd))
		talloc_free(segment);
	else
		segment_enter(segment);
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
		if (!strncmp(target, "/memfd:" MEMORY " ",
			     strlen("/memfd:" MEMORY " ")))
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
		return -errno;
	while (!err && (entry = readdir(dir))) {
		epoch = epoch_of_name(entry->d_name);
		if (epoch)
			err = journal_take(journal, epoch);
	}
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

static int remove_spare(const struct journal *journal)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" SPARE, journal->dir);
	return unlink(path) && errno != ENOENT && errno != EROFS ? -errno : 0;
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
	if (!err)
		err = remove_spare(journal);
	if (!err)
		err = journal_look(journal);
	if (!err)
		err = memory_look(journal);
	if (err)
		return err;
	*out = TAKE(journal);
	return 0;
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

static bool is_cut_off(const struct segment *segment)
{
	const struct header *header = segment->header;

	return header->written > segment->records.room ||
	       header->committed > segment->records.room;
}

/* A tail, as far as the file goes. */
static size_t within(const struct segment *segment, uint64_t tail)
{
	return tail < segment->records.room ? tail : segment->records.room;
}

/*
 * Of a tick that was not committed only what happened to the bytes and
 * descriptors of connections counts; what belongs to something that does not
 * count is skipped.
 */
static int replay_tail(const struct segment *segment, size_t pos, uint32_t seq,
		       const struct record_handlers *handlers, void *arg)
{
	const struct record_handlers some = {
		.conn = handlers->conn,
		.conn_gone = handlers->conn_gone,
		.input = handlers->input,
		.sent = handlers->sent,
	};
	const unsigned char *data = segment->records.data;
	const size_t end = within(segment, segment->header->written);
	size_t before;
	int err = 0;

	while (!err && pos < end) {
		before = pos;
		err = record_read(data, end, &pos, &seq, &some, arg);
		if (err == -EPROTO && pos != before)
			err = 0;	/* whole, but refused */
	}
	return err;
}

static int replay_segment(struct segment *segment,
			  const struct record_handlers *handlers, void *arg,
			  struct journal_found *found)
{
	const size_t end = within(segment, segment->header->committed);
	const unsigned char *data = segment->records.data;
	size_t pos = 0, at;
	uint32_t seq = 0;
	int err = 0;

	while (!err && pos < end) {
		at = pos;
		err = record_read(data, end, &pos, &seq, handlers, arg);
		if (!err && record_changes_nodes(data, at))
			segment->records.last = record_place(at);
		found->records++;
	}
	if (!err)
		err = replay_tail(segment, pos, seq, handlers, arg);
	if (!err && is_cut_off(segment))
		err = -EPROTO;
	if (err == -EPROTO) {
		say(segment->journal, "%s/journal.%llu is damaged at byte %zu",
		    segment->journal->dir, (unsigned long long)segment->epoch,
		    pos);
		segment->damaged = true;
		return 0;
	}
	return err;
}

static void tell_last(const struct segment *segment,
		      struct journal_found *found)
{
	const struct header *header = segment->header;

	found->stale = header->stale;
	/* What it did was recorded, if something was since it was begun. */
	found->call = header->call_at == header->written ? header->call :
							   JOURNAL_NO_CALL;
	found->call_conn = header->call_conn;
	found->exec_conn = header->exec_conn;
	found->exec_tries = header->exec_tries;
	found->exec_pos = header->exec_pos;
}

static int note_all(void *arg, const struct rec_begin *rec)
{
	*(bool *)arg = rec->all;
	return 0;
}

/* Can it be read without what was before it? */
static bool is_self_contained(const struct segment *segment)
{
	const struct record_handlers handlers = { .begin = note_all };
	uint32_t seq = 0;
	size_t pos = 0;
	bool all = false;

	return !record_read(segment->records.data,
			    within(segment, segment->header->committed), &pos,
			    &seq, &handlers, &all) && all;
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
	int err;

	*found = (struct journal_found){ 0 };
	if (journal->epoch < after)
		journal->epoch = after;
	drop_up_to(journal, after);
	list_for_each(segment, &journal->segments, in_journal)
	{
		if (is_self_contained(segment)) {
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
		err = replay_segment(segment, handlers, arg, found);
		if (err)
			return err;
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

/* Gives back what was not used the last time. */
static int spare_shrink(struct segment *segment)
{
	size_t size = size_for(segment->records.len);
	char *end = (char *)segment->header + size;

	if (size >= segment->size)
		return 0;
	if (mmap(end, segment->size - size, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED || ftruncate(segment->fd, size))
		return -errno;
	segment->size = size;
	segment->records.room = size - HEADER_SIZE;
	return 0;
}

static void spare_keep(struct journal *journal, struct segment *segment)
{
	char from[PATH_MAX], to[PATH_MAX];

	path_of(journal, segment->epoch, "", from, sizeof(from));
	snprintf(to, sizeof(to), "%s/" SPARE, journal->dir);
	if (journal->spare || spare_shrink(segment) || rename(from, to)) {
		remove_file(journal, segment->epoch);
		talloc_free(segment);
		return;
	}
	list_del(&segment->in_journal);
	segment->records.len = segment->records.seq = 0;
	segment->records.last = 0;
	segment->records.err = 0;
	segment->records.brought = (struct blob){ NULL, 0 };
	journal->spare = segment;
}

static int segment_create(struct segment *segment, const char *path)
{
	const struct journal *journal = segment->journal;

	if (segment->fd < 0) {
		segment->fd = segment->in_memory ?
			memfd_create(MEMORY, MFD_CLOEXEC) :
			open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC |
				   O_NOFOLLOW, 0600);
		if (segment->fd < 0)
			return -errno;
		segment->records.err = segment_more(&segment->records, 1);
		if (segment->records.err)
			return segment->records.err;
	}
	*segment->header = (struct header){
		.magic = MAGIC,
		.version = VERSION,
		.header_size = HEADER_SIZE,
		.epoch = segment->epoch,
	};
	memcpy(segment->header->boot_id, journal->boot_id,
	       sizeof(journal->boot_id));
	return 0;
}

static void segment_commit(struct segment *segment)
{
	struct header *header = segment->header;

	/* What the process has stored is there when it has died; only the
	 * compiler must keep the order. */
	__atomic_store_n(&header->written, segment->records.len,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&header->committed, segment->records.len,
			 __ATOMIC_RELEASE);
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
		if ((segment->damaged || segment->header->stale) &&
		    !segment->in_memory)
			set_aside(journal, segment->epoch);
		else
			remove_file(journal, segment->epoch);
		talloc_free(segment);
	}
}

/* The account makes it complete. */
static int segment_begin(struct segment *segment, const char *path, bool all,
			 journal_account_fn *account, void *arg)
{
	const struct rec_begin begin = { .all = all };
	int err;

	err = segment_create(segment, path);
	if (err)
		return err;
	record_begin(&segment->records, &begin);
	account(arg, &segment->records, all);
	if (segment->records.err)
		return segment->records.err;
	segment->header->account = segment->records.len;
	segment->account_seq = segment->records.seq;
	segment_commit(segment);
	return 0;
}

static void segment_use(struct segment *segment, bool all)
{
	struct journal *journal = segment->journal;

	list_add_tail(&journal->segments, &segment->in_journal);
	journal->current = segment;
	if (all)
		drop_older(journal, segment);
}

static uint64_t next_epoch(const struct journal *journal)
{
	const struct segment *last = last_segment(journal);

	return last ? last->epoch + 1 : journal->epoch + 1;
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
	err = segment_begin(segment, tmp, all, account, arg);
	if (!err)
		err = rename(tmp, path) ? -errno : 0;	/* J2 */
	if (err) {
		unlink(tmp);
		talloc_free(segment);
		return err;
	}
	segment_use(segment, all);
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
	err = segment_begin(segment, NULL, true, account, arg);
	if (err) {
		talloc_free(segment);
		return err;
	}
	segment_use(segment, true);
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
	struct segment *segment = journal->current;

	if (!segment)
		return -ENOSPC;
	if (segment->records.err) {
		segment->header->stale = 1;
		return segment->records.err;
	}
	segment_commit(segment);
	return 0;
}

void journal_happened(struct journal *journal)
{
	struct segment *segment = journal->current;

	if (!segment)
		return;
	if (segment->records.err)
		segment->header->stale = 1;
	else
		__atomic_store_n(&segment->header->written,
				 segment->records.len, __ATOMIC_RELEASE);
}

void journal_call(struct journal *journal, enum journal_call call,
		  uint64_t conn)
{
	struct header *header;

	if (!journal->current)
		return;
	header = journal->current->header;
	if (call) {
		header->call_conn = conn;
		header->call_at = header->written;
	}
	__atomic_store_n(&header->call, call, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void journal_execute(struct journal *journal, uint64_t conn, uint64_t pos,
		     uint32_t tries)
{
	struct header *header;

	if (!journal->current)
		return;
	header = journal->current->header;
	if (conn) {
		header->exec_pos = pos;
		header->exec_tries = tries;
	}
	__atomic_store_n(&header->exec_conn, conn, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
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
	*records = (struct blob){ segment->records.data,
				  within(segment, segment->header->committed) };
	*last = segment->records.last;
	return true;
}

void journal_drop_oldest(struct journal *journal)
{
	spare_keep(journal, list_first(&journal->segments, struct segment,
				       in_journal));
}
