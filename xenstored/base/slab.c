/* SPDX-License-Identifier: MIT */
#include "base/slab.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "base/list.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define SLAB_BYTES 65536u
#define HEADER 64u
#define STEP 16u
#define PAGE 4096u

/* At the start of each mapping. */
struct slab {
	struct list link;	/* of its class, or with the full ones */
	struct slabs *slabs;
	void *free;		/* chain through the first word */
	size_t mapped;
	uint32_t room;		/* bytes of an object; 0: it has all */
	uint32_t used;		/* objects */
	uint32_t fresh;		/* offset: from here on never used */
};
_Static_assert(sizeof(struct slab) <= HEADER, "header of a slab");

/* Classes: steps of 16 bytes, above that by how many fit into a slab. */
#define SMALL_MAX 512u
#define SMALL_CLASSES (SMALL_MAX / STEP)
static const uint8_t per_slab[] = {
	112, 96, 80, 64, 56, 48, 40, 32, 28, 24,
	20,  16, 14, 12, 10, 8,	 7,  6,	 5,  4,
};
#define LARGE_CLASSES (sizeof(per_slab) / sizeof(*per_slab))
#define CLASSES (SMALL_CLASSES + LARGE_CLASSES)

struct slabs {
	void *owner;
	struct list partial[CLASSES];	/* slabs with room left */
	struct list full;
	struct slab *spare;
	size_t mapped, bytes, count;
	uint64_t left;		/* allocations until they fail */
};

static size_t large_room(size_t i)
{
	return (SLAB_BYTES - HEADER) / per_slab[i] & ~(size_t)(STEP - 1);
}

/* CLASSES: too large for all. */
static size_t class_of(size_t size)
{
	size_t i;

	if (size <= SMALL_MAX)
		return size ? (size - 1) / STEP : 0;
	for (i = 0; i < LARGE_CLASSES && large_room(i) < size; i++)
		;

	return SMALL_CLASSES + i;
}

static size_t class_room(size_t c)
{
	return c < SMALL_CLASSES ? (c + 1) * STEP :
				   large_room(c - SMALL_CLASSES);
}

static size_t own_mapping(size_t size)
{
	return (HEADER + size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

size_t slab_round(size_t size)
{
	size_t c = class_of(size);

	return c < CLASSES ? class_room(c) : own_mapping(size) - HEADER;
}

static struct slab *slab_of(const void *object)
{
	uintptr_t in_slab = (uintptr_t)object % SLAB_BYTES;

	return (struct slab *)((uintptr_t)object - in_slab);
}

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The kernel puts mappings side by side: after the first, most are aligned. */
static void *map_aligned(size_t size)
{
	char *p = map(size), *start;
	size_t head;

	if (!p || (uintptr_t)p % SLAB_BYTES == 0)
		return p;
	munmap(p, size);

	p = map(size + SLAB_BYTES);
	if (!p)
		return NULL;
	head = -(uintptr_t)p % SLAB_BYTES;
	start = p + head;
	if (head)
		munmap(p, head);
	munmap(start + size, SLAB_BYTES - head);

	return start;
}

static void slab_unmap(struct slab *slab)
{
	slab->slabs->mapped -= slab->mapped;
	ASAN_UNPOISON_MEMORY_REGION(slab, slab->mapped);
	munmap(slab, slab->mapped);
}

static struct slab *slab_new(struct slabs *slabs, size_t mapped, size_t room)
{
	struct slab *slab = mapped == SLAB_BYTES ? slabs->spare : NULL;

	if (slab) {
		slabs->spare = NULL;
	} else {
		slab = map_aligned(mapped);
		if (!slab)
			return NULL;
		slabs->mapped += mapped;
		ASAN_POISON_MEMORY_REGION((char *)slab + HEADER,
					  mapped - HEADER);
	}

	*slab = (struct slab){
		.slabs = slabs,
		.mapped = mapped,
		.room = (uint32_t)room,
		.fresh = HEADER,
	};
	return slab;
}

static bool slab_is_full(const struct slab *slab)
{
	return !slab->free &&
	       (!slab->room || slab->fresh + slab->room > SLAB_BYTES);
}

static void *slab_take(struct slab *slab)
{
	void *object = slab->free;

	if (object) {
		ASAN_UNPOISON_MEMORY_REGION(object, sizeof(void *));
		slab->free = *(void **)object;
	} else {
		object = (char *)slab + slab->fresh;
		slab->fresh += slab->room;
	}
	slab->used++;

	return object;
}

void *slab_alloc(struct slabs *slabs, size_t size)
{
	size_t c = class_of(size), room = slab_round(size);
	struct slab *slab = NULL;
	void *object;

	if (size > SIZE_MAX / 2 || !slabs->left)
		return NULL;

	if (c < CLASSES)
		slab = list_first(&slabs->partial[c], struct slab, link);
	if (!slab && c < CLASSES) {
		slab = slab_new(slabs, SLAB_BYTES, room);
		if (slab)
			list_add_head(&slabs->partial[c], &slab->link);
	} else if (!slab) {
		slab = slab_new(slabs, own_mapping(size), 0);
		if (slab)
			list_add_head(&slabs->full, &slab->link);
	}
	if (!slab)
		return NULL;

	object = slab_take(slab);
	if (slab->room && slab_is_full(slab)) {
		list_del(&slab->link);
		list_add_head(&slabs->full, &slab->link);
	}
	if (slabs->left != SLABS_NEVER)
		slabs->left--;
	slabs->bytes += room;
	slabs->count++;
	ASAN_UNPOISON_MEMORY_REGION(object, room);

	return object;
}

void slab_free(void *object)
{
	struct slab *slab = slab_of(object);
	struct slabs *slabs = slab->slabs;
	size_t room = slab_room(object);

	slabs->bytes -= room;
	slabs->count--;
	if (!--slab->used) {
		list_del(&slab->link);
		ASAN_POISON_MEMORY_REGION(object, room);
		if (slab->room && !slabs->spare)
			slabs->spare = slab;
		else
			slab_unmap(slab);
		return;
	}

	if (slab_is_full(slab)) {
		list_del(&slab->link);
		list_add_head(&slabs->partial[class_of(room)], &slab->link);
	}
	*(void **)object = slab->free;
	slab->free = object;
	ASAN_POISON_MEMORY_REGION(object, room);
}

void *slab_owner(const void *object)
{
	return slab_of(object)->slabs->owner;
}

size_t slab_room(const void *object)
{
	const struct slab *slab = slab_of(object);

	return slab->room ? slab->room : slab->mapped - HEADER;
}

size_t slabs_mapped(const struct slabs *slabs)
{
	return slabs->mapped;
}

size_t slabs_bytes(const struct slabs *slabs)
{
	return slabs->bytes;
}

size_t slabs_count(const struct slabs *slabs)
{
	return slabs->count;
}

void slabs_fail_after(struct slabs *slabs, uint64_t n)
{
	slabs->left = n;
}

static void unmap_all(struct list *head)
{
	struct slab *slab, *next;

	list_for_each_safe(slab, next, head, link)
		slab_unmap(slab);
}

/* L3 */
static int slabs_destroy(struct slabs *slabs)
{
	size_t i;

	for (i = 0; i < CLASSES; i++)
		unmap_all(&slabs->partial[i]);
	unmap_all(&slabs->full);
	if (slabs->spare)
		slab_unmap(slabs->spare);

	return 0;
}

int slabs_new(TALLOC_CTX *ctx, void *owner, struct slabs **out)
{
	struct slabs *slabs = talloc_zero(ctx, struct slabs);
	size_t i;

	if (!slabs)
		return -ENOMEM;

	slabs->owner = owner;
	slabs->left = SLABS_NEVER;
	for (i = 0; i < CLASSES; i++)
		list_init(&slabs->partial[i]);
	list_init(&slabs->full);
	talloc_set_destructor(slabs, slabs_destroy);
	*out = slabs;
	return 0;
}
