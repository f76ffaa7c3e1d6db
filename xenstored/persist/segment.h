/* SPDX-License-Identifier: MIT */
/*
 * A segment: one file of the journal, mapped. A header tells how far its
 * records count, and what the daemon is about to do; the records follow.
 *
 * It knows neither the journal's other files nor its directory: who names,
 * renames and removes files is the journal, which also keeps it in its list
 * (freeing it takes it out). The segment owns its descriptor and its mapping;
 * freeing it leaves the file as it is.
 *
 * Functions that return int give a negative errno; after one, a segment that
 * was being opened or begun can only be freed.
 *
 * X1  Its mapping never moves while it lives: it grows at the place that is
 *     kept for it, and what points into it stays good.
 * X2  Memory is there before it is touched, so a full file system is an error
 *     of its records, and no signal.
 * X3  What cannot be read ends the replay and marks it damaged; nothing is read
 *     behind the end of the file, whatever the header says.
 */
#ifndef PERSIST_SEGMENT_H
#define PERSIST_SEGMENT_H

#include <talloc.h>

#include "base/list.h"
#include "persist/record.h"

/* The host's boot, as bytes padded with 0. */
#define SEGMENT_BOOT_ID 40
/* The kernel's name for those without a name, of which it makes a link to
 * "/memfd:NAME (deleted)". */
#define SEGMENT_MEMORY "xenstored-journal"

/* At the start of each file. Positions are bytes of records. */
struct segment_header {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	char boot_id[SEGMENT_BOOT_ID];
	uint64_t epoch;
	uint64_t account;	/* end of the account */
	uint64_t committed;	/* J1 of the journal */
	uint64_t written;	/* end of the last INPUT that counts */
	uint32_t stale;		/* J3 of the journal */
	uint32_t call, exec_tries;
	uint32_t left;		/* another daemon goes on from here */
	uint64_t call_conn, call_at;	/* at: written, when it was begun */
	uint64_t exec_conn;
	uint64_t exec_pos;
};

struct segment {
	struct list in_journal;
	uint64_t epoch;
	int fd;
	size_t size;		/* of the file */
	struct segment_header *header;
	struct records records;
	uint32_t account_seq;	/* of the last record of the account */
	bool damaged;
	bool in_memory;		/* it has no name */
};

/* Nothing is behind it yet: it is to be opened, inherited or begun. */
int segment_new(TALLOC_CTX *ctx, uint64_t epoch, struct segment **out);

/* The file at `path`. -EPROTO: it is not to be used, for the reason in `*why`,
 * which is static. */
int segment_open(struct segment *segment, const char *path,
		 const char *boot_id, const char **why);

/* One in memory, by a descriptor that a predecessor has left and that stays the
 * caller's. Sets the epoch. */
int segment_inherit(struct segment *segment, int fd, const char *boot_id);

/*
 * Tells the handlers what counts. Adds the number of records to
 * `*records`, and sets `*at` to where it ended. Damage is no error, but
 * noted in the segment. Negative errno of a handler.
 */
int segment_replay(struct segment *segment,
		   const struct record_handlers *handlers, void *arg,
		   uint64_t *records, size_t *at);

/* Can it be read without what was before it? */
bool segment_is_self_contained(const struct segment *segment);

/* The records that count, as far as the file goes. They stay the segment's. */
struct blob segment_committed(const struct segment *segment);

/*
 * Makes a new file at `path`, or takes what it already has (or, in memory, no
 * path), and writes the account, which makes it complete.
 */
int segment_begin(struct segment *segment, const char *path,
		  const char *boot_id, bool all,
		  void (*account)(void *arg, struct records *to, bool all),
		  void *arg);

/* See the functions of the journal with these names. */
int segment_commit(struct segment *segment);
void segment_happened(struct segment *segment);
void segment_call(struct segment *segment, uint32_t call, uint64_t conn);
void segment_execute(struct segment *segment, uint64_t conn, uint64_t pos,
		     uint32_t tries);

/* For one that is to be begun again: gives back what was not used the last
 * time, and forgets the records. */
int segment_shrink(struct segment *segment);
void segment_reset(struct segment *segment);

#endif
