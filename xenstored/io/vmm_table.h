/* SPDX-License-Identifier: MIT */
/*
 * Which descriptor of the port for VMMs is what: a small table of shared
 * memory, so that a successor that has inherited the descriptors can go on.
 *
 * The first slot is that of the listener. The table owns its memory and its own
 * descriptor, not those that are entered. Its slots move when it grows: keep an
 * index, not an address, across vmm_table_add(). All return -errno.
 */
#ifndef IO_VMM_TABLE_H
#define IO_VMM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMM_LAYOUT 1		/* of the table: connections have a page */

enum vmm_slot_kind {
	SLOT_FREE = 0,
	SLOT_LISTENER,		/* the first; also `unique_id`, the last used,
				 * and `page`, the VMM_LAYOUT */
	SLOT_CONN,
	SLOT_DOM,
};

/* Valid while `kind` is not SLOT_FREE, which is written last and unwritten
 * first. */
struct vmm_slot {
	uint32_t kind;
	int32_t fd;		/* of the listener, or the connection */
	int32_t page;		/* of the domain, or the connection: below */
	int32_t kick_in, kick_out;
	uint32_t domid, state;
	uint64_t offset, unique_id;
};

struct vmm_table {
	int fd;
	struct vmm_slot *slots;
	size_t n;
};

static inline void vmm_slot_set(struct vmm_slot *slot, enum vmm_slot_kind kind)
{
	__atomic_store_n(&slot->kind, kind, __ATOMIC_SEQ_CST);
}

/* With the first slots free; or what a predecessor has left, takes over `fd`.
 * If they fail, vmm_table_free() still is to be called. */
int vmm_table_new(struct vmm_table *table);
int vmm_table_adopt(struct vmm_table *table, int fd);
void vmm_table_free(struct vmm_table *table);

/* Is it the descriptor of one? */
bool vmm_table_is(int fd);

/* Enters `slot`; *at is its index. */
int vmm_table_add(struct vmm_table *table, const struct vmm_slot *slot,
		  size_t *at);

/* From when a connection had no page. */
void vmm_table_upgrade(struct vmm_table *table);

#endif
