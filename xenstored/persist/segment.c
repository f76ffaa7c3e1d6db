/* SPDX-License-Identifier: MIT */
#include "persist/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "xsjournl"
#define VERSION 6
#define HEADER_SIZE 4096
#define STEP ((size_t)1 << 20)	/* by which files grow */
#define SIZE_MAX_MAPPED ((size_t)1 << 30)	/* address space kept for each */

/* ---- its memory ---------------------------------------------------------- */

static int segment_free(struct segment *segment)
{
	list_del(&segment->in_journal);
	if (segment->header)
		munmap(segment->header, SIZE_MAX_MAPPED);
	if (segment->fd >= 0)
		close(segment->fd);
	return 0;
}

/*
 * All the file may ever be is mapped at once: behind its end there is nothing
 * to be touched, until it has grown.
 */
static int segment_map(struct segment *segment, size_t size, int flags)
{
	void *place = segment->header;

	if (!place) {
		place = mmap(NULL, SIZE_MAX_MAPPED, PROT_READ | PROT_WRITE,
			     flags, segment->fd, 0);
		if (place == MAP_FAILED)
			return -errno;
		segment->header = place;
	}
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
 * SIGBUS. Nothing that points into it moves. */
static int segment_more(struct records *records, size_t need)
{
	struct segment *segment = list_entry(records, struct segment, records);
	size_t size = size_for(records->len + need);
	int err;

	if (size > SIZE_MAX_MAPPED)
		return -EFBIG;
	err = posix_fallocate(segment->fd, segment->size,
			      size - segment->size);
	return err ? -err : segment_map(segment, size, MAP_SHARED);
}

int segment_new(TALLOC_CTX *ctx, uint64_t epoch, struct segment **out)
{
	struct segment *segment = talloc_zero(ctx, struct segment);

	if (!segment)
		return -ENOMEM;
	segment->epoch = epoch;
	segment->fd = -1;
	segment->records.more = segment_more;
	list_init(&segment->in_journal);
	talloc_set_destructor(segment, segment_free);
	*out = segment;
	return 0;
}

int segment_shrink(struct segment *segment)
{
	size_t size = size_for(segment->records.len);

	if (size >= segment->size)
		return 0;
	if (ftruncate(segment->fd, size))
		return -errno;
	segment->size = size;
	segment->records.room = size - HEADER_SIZE;
	return 0;
}

void segment_reset(struct segment *segment)
{
	segment->records.len = segment->records.seq = 0;
	segment->records.last = 0;
	segment->records.err = 0;
	segment->records.brought = (struct blob){ NULL, 0 };
}

/* ---- opening what is there ----------------------------------------------- */

/* Why the file is none of ours; NULL: it is. */
static const char *header_fault(const struct segment_header *header,
				uint64_t epoch, const char *boot_id)
{
	if (memcmp(header->magic, MAGIC, sizeof(header->magic)))
		return "it is no journal";
	if (header->version != VERSION || header->header_size != HEADER_SIZE)
		return "it has another version";
	if (memcmp(header->boot_id, boot_id, sizeof(header->boot_id)))
		return "the host was started again since";
	if (header->epoch != epoch || header->committed > SIZE_MAX_MAPPED ||
	    header->written > SIZE_MAX_MAPPED ||
	    header->account > header->committed ||
	    header->committed & 7 || header->written & 7)
		return "it is damaged";
	return NULL;
}

int segment_open(struct segment *segment, const char *path,
		 const char *boot_id, const char **why)
{
	int err, flags = MAP_SHARED;
	struct stat st;

	segment->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (segment->fd < 0 && errno == EROFS) {
		/* To be read, that is all that a predecessor's is for. */
		segment->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		flags = MAP_PRIVATE | MAP_NORESERVE;
	}
	if (segment->fd < 0 || fstat(segment->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= HEADER_SIZE ||
	    (size_t)st.st_size > SIZE_MAX_MAPPED) {
		*why = "it is cut off";
		return -EPROTO;
	}
	err = segment_map(segment, st.st_size, flags);
	if (err)
		return err;
	*why = header_fault(segment->header, segment->epoch, boot_id);
	return *why ? -EPROTO : 0;
}

int segment_inherit(struct segment *segment, int fd, const char *boot_id)
{
	struct stat st;
	int err;

	segment->in_memory = true;
	/* Others may close theirs. */
	segment->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (segment->fd < 0 || fstat(segment->fd, &st))
		return -errno;
	if (st.st_size <= HEADER_SIZE || (size_t)st.st_size > SIZE_MAX_MAPPED)
		return -EPROTO;
	err = segment_map(segment, st.st_size, MAP_SHARED);
	if (err)
		return err;
	segment->epoch = segment->header->epoch;
	return header_fault(segment->header, segment->epoch, boot_id) ||
	       !segment->header->committed ? -EPROTO : 0;
}

/* ---- replay -------------------------------------------------------------- */

static bool is_cut_off(const struct segment *segment)
{
	const struct segment_header *header = segment->header;

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

int segment_replay(struct segment *segment,
		   const struct record_handlers *handlers, void *arg,
		   uint64_t *records, size_t *at)
{
	const size_t end = within(segment, segment->header->committed);
	const unsigned char *data = segment->records.data;
	size_t pos = 0, before;
	uint32_t seq = 0;
	int err = 0;

	while (!err && pos < end) {
		before = pos;
		err = record_read(data, end, &pos, &seq, handlers, arg);
		if (!err && record_changes_nodes(data, before))
			segment->records.last = record_place(before);
		++*records;
	}
	if (!err)
		err = replay_tail(segment, pos, seq, handlers, arg);
	if (!err && is_cut_off(segment))
		err = -EPROTO;
	*at = pos;
	if (err == -EPROTO) {
		segment->damaged = true;
		return 0;
	}
	return err;
}

static int note_all(void *arg, const struct rec_begin *rec)
{
	*(bool *)arg = rec->all;
	return 0;
}

bool segment_is_self_contained(const struct segment *segment)
{
	const struct record_handlers handlers = { .begin = note_all };
	uint32_t seq = 0;
	size_t pos = 0;
	bool all = false;

	return !record_read(segment->records.data,
			    within(segment, segment->header->committed), &pos,
			    &seq, &handlers, &all) && all;
}

struct blob segment_committed(const struct segment *segment)
{
	return (struct blob){ segment->records.data,
			      within(segment, segment->header->committed) };
}

/* ---- writing ------------------------------------------------------------- */

static int segment_create(struct segment *segment, const char *path,
			  const char *boot_id)
{
	if (segment->fd < 0) {
		segment->fd = segment->in_memory ?
			memfd_create(SEGMENT_MEMORY, MFD_CLOEXEC) :
			open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC |
				   O_NOFOLLOW, 0600);
		if (segment->fd < 0)
			return -errno;
		segment->records.err = segment_more(&segment->records, 1);
		if (segment->records.err)
			return segment->records.err;
	}
	*segment->header = (struct segment_header){
		.magic = MAGIC,
		.version = VERSION,
		.header_size = HEADER_SIZE,
		.epoch = segment->epoch,
	};
	memcpy(segment->header->boot_id, boot_id, SEGMENT_BOOT_ID);
	return 0;
}

static void store_committed(struct segment *segment)
{
	struct segment_header *header = segment->header;

	/* What the process has stored is there when it has died; only the
	 * compiler must keep the order. */
	__atomic_store_n(&header->written, segment->records.len,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&header->committed, segment->records.len,
			 __ATOMIC_RELEASE);
}

int segment_begin(struct segment *segment, const char *path,
		  const char *boot_id, bool all,
		  void (*account)(void *arg, struct records *to, bool all),
		  void *arg)
{
	const struct rec_begin begin = { .all = all };
	int err;

	err = segment_create(segment, path, boot_id);
	if (err)
		return err;
	record_begin(&segment->records, &begin);
	account(arg, &segment->records, all);
	if (segment->records.err)
		return segment->records.err;
	segment->header->account = segment->records.len;
	segment->account_seq = segment->records.seq;
	store_committed(segment);
	return 0;
}

int segment_commit(struct segment *segment)
{
	if (segment->records.err) {
		segment->header->stale = 1;
		return segment->records.err;
	}
	store_committed(segment);
	return 0;
}

void segment_happened(struct segment *segment)
{
	if (segment->records.err)
		segment->header->stale = 1;
	else
		__atomic_store_n(&segment->header->written,
				 segment->records.len, __ATOMIC_RELEASE);
}

void segment_call(struct segment *segment, uint32_t call, uint64_t conn)
{
	struct segment_header *header = segment->header;

	if (call) {
		header->call_conn = conn;
		header->call_at = header->written;
	}
	__atomic_store_n(&header->call, call, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void segment_execute(struct segment *segment, uint64_t conn, uint64_t pos,
		     uint32_t tries)
{
	struct segment_header *header = segment->header;

	if (conn) {
		header->exec_pos = pos;
		header->exec_tries = tries;
	}
	__atomic_store_n(&header->exec_conn, conn, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}
