/* SPDX-License-Identifier: MIT */
/*
 * Slabs: memory for millions of small objects.
 *
 * Objects of like size share mappings of 64 KiB, aligned to their size, so
 * that the slab, and with it the heap, is found from the object's address. An
 * object has no header of its own. Objects above 16 KiB have a mapping for
 * themselves.
 *
 * L1  Objects are aligned to 16 bytes; their content is undefined.
 * L2  A slab without objects goes back to the system, but for one that is kept.
 * L3  Freeing the heap gives back everything, whatever is still in use.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

struct slabs;			/* a heap */

/* `owner` is what slab_owner() of its objects answers. -ENOMEM. */
int slabs_new(TALLOC_CTX *ctx, void *owner, struct slabs **out);

/* NULL: no memory. */
void *slab_alloc(struct slabs *slabs, size_t size);
void slab_free(void *object);

void *slab_owner(const void *object);
/* Bytes that the object may use, at least what was asked for. */
size_t slab_room(const void *object);
/* The room that slab_alloc(size) gives. */
size_t slab_round(size_t size);

/* Bytes mapped; bytes of room and number of the objects in use. */
size_t slabs_mapped(const struct slabs *slabs);
size_t slabs_bytes(const struct slabs *slabs);
size_t slabs_count(const struct slabs *slabs);

/* For tests: n more allocations succeed, then all fail. */
#define SLABS_NEVER UINT64_MAX
void slabs_fail_after(struct slabs *slabs, uint64_t n);

#endif
