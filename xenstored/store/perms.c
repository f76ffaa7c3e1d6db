/* SPDX-License-Identifier: MIT */
#include "store/perms.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/slab.h"

/* An entry 1.. and its place among the entries of all lists that name the same
 * domain. */
struct mention {
	struct list link;
	struct perms *perms;
};

struct perms {
	struct hash_item item;
	struct perms_table *table;
	struct mention *mentions;	/* behind the list; [0] is not used */
	uint32_t refs;
	uint32_t count;
	uint32_t charged;	/* entries when it was interned */
	bool interned;		/* a purged list is not found any more */
	struct perm list[];
};

#define PAGE_DOMIDS 256

struct mention_page {
	struct list head[PAGE_DOMIDS];
};

struct perms_table {
	struct slabs *slabs;
	struct hash_table *hash;
	struct mention_page *pages[(UINT16_MAX + 1) / PAGE_DOMIDS];
};

int perms_table_new(TALLOC_CTX *ctx, struct perms_table **out)
{
	struct perms_table *table = talloc_zero(ctx, struct perms_table);
	int err;

	if (!table)
		return -ENOMEM;

	err = slabs_new(table, table, &table->slabs);
	if (!err)
		err = hash_table_new(table, &table->hash);
	if (err) {
		talloc_free(table);
		return err;
	}

	*out = table;
	return 0;
}

size_t perms_table_count(const struct perms_table *table)
{
	return slabs_count(table->slabs);
}

void perms_table_fail_after(struct perms_table *table, uint64_t n)
{
	slabs_fail_after(table->slabs, n);
}

/* NULL: no memory. */
static struct list *mentions_of(struct perms_table *table, uint16_t domid)
{
	struct mention_page **page = &table->pages[domid / PAGE_DOMIDS];
	size_t i;

	if (!*page) {
		*page = talloc(table, struct mention_page);
		if (!*page)
			return NULL;
		for (i = 0; i < PAGE_DOMIDS; i++)
			list_init(&(*page)->head[i]);
	}

	return &(*page)->head[domid % PAGE_DOMIDS];
}

static struct perms *lookup(const struct perms_table *table, uint64_t hash,
			    const struct perm *list, size_t n)
{
	struct hash_item *item = hash_first(table->hash, hash);
	struct perms *perms;

	for (; item; item = hash_next(item)) {
		perms = hash_entry(item, struct perms, item);
		if (perms->count == n &&
		    memcmp(perms->list, list, n * sizeof(*list)) == 0)
			return perms;
	}

	return NULL;
}

int perms_intern(struct perms_table *table, const struct perm *list, size_t n,
		 struct perms **out)
{
	uint64_t hash = hash_bytes(table->hash, 0, list, n * sizeof(*list));
	struct perms *perms = lookup(table, hash, list, n);
	size_t i, mentions;

	if (perms) {
		*out = perms_ref(perms);
		return 0;
	}

	for (i = 1; i < n; i++) {
		if (!mentions_of(table, list[i].domid))
			return -ENOMEM;
	}
	mentions = sizeof(*perms) + n * sizeof(*list);
	mentions = (mentions + _Alignof(struct mention) - 1) &
		   ~(_Alignof(struct mention) - 1);
	perms = slab_alloc(table->slabs,
			   mentions + n * sizeof(struct mention));
	if (!perms)
		return -ENOMEM;

	perms->table = table;
	perms->mentions = (struct mention *)((char *)perms + mentions);
	perms->refs = 1;
	perms->count = perms->charged = (uint32_t)n;
	perms->interned = true;
	memcpy(perms->list, list, n * sizeof(*list));
	for (i = 1; i < n; i++) {
		perms->mentions[i].perms = perms;
		list_add_tail(mentions_of(table, list[i].domid),
			      &perms->mentions[i].link);
	}
	hash_add(table->hash, &perms->item, hash);
	*out = perms;
	return 0;
}

struct perms *perms_ref(struct perms *perms)
{
	perms->refs++;
	return perms;
}

static void forget(struct perms *perms)
{
	if (perms->interned)
		hash_del(perms->table->hash, &perms->item);
	perms->interned = false;
}

void perms_unref(struct perms *perms)
{
	uint32_t i;

	if (!perms || --perms->refs)
		return;

	forget(perms);
	for (i = 1; i < perms->count; i++)
		list_del(&perms->mentions[i].link);
	slab_free(perms);
}

const struct perm *perms_list(const struct perms *perms, size_t *n)
{
	*n = perms->count;
	return perms->list;
}

size_t perms_count(const struct perms *perms)
{
	return perms->count;
}

size_t perms_charged(const struct perms *perms)
{
	return perms->charged;
}

uint16_t perms_owner(const struct perms *perms)
{
	return perms->list[0].domid;
}

bool perms_equal(const struct perms *a, const struct perms *b)
{
	return a == b ||
	       (a->count == b->count &&
		memcmp(a->list, b->list, a->count * sizeof(*a->list)) == 0);
}

int perms_inherit(struct perms_table *table, struct perms *parent,
		  const struct who *creator, struct perms **out)
{
	struct perm buf[16], *list = buf;
	size_t n = parent->count;
	int err;

	if (creator->privileged || creator->domid == perms_owner(parent)) {
		*out = perms_ref(parent);
		return 0;
	}

	if (n > sizeof(buf) / sizeof(*buf)) {
		list = talloc_array(table, struct perm, n);
		if (!list)
			return -ENOMEM;
	}
	memcpy(list, parent->list, n * sizeof(*list));
	list[0].domid = creator->domid;
	list[0].stale = 0;
	err = perms_intern(table, list, n, out);
	if (list != buf)
		talloc_free(list);

	return err;
}

/* Does an entry for `domid` speak of `who`? */
static bool names(uint16_t domid, const struct who *who)
{
	return domid == who->domid || domid == DOMID_ANY ||
	       (domid == who->target && domid != DOMID_INVALID);
}

unsigned int perms_rights(const struct perms *perms, const struct who *who)
{
	uint32_t i;

	if (who->privileged || names(perms->list[0].domid, who))
		return PERM_BOTH | PERM_OWNER;

	for (i = 1; i < perms->count; i++) {
		if (!perms->list[i].stale && names(perms->list[i].domid, who))
			return perms->list[i].rights;
	}

	return perms->list[0].rights;
}

/* Drops entry i; the later ones move up, and so do their mentions. */
static void drop_entry(struct perms *perms, uint32_t i)
{
	struct mention *m = perms->mentions;

	list_del(&m[i].link);
	for (; i + 1 < perms->count; i++) {
		perms->list[i] = perms->list[i + 1];
		list_insert_before(&m[i + 1].link, &m[i].link);
		list_del(&m[i + 1].link);
	}
	perms->count--;
}

void perms_purge(struct perms_table *table, uint16_t domid)
{
	struct mention_page *page = table->pages[domid / PAGE_DOMIDS];
	struct mention *m;
	struct list *head;

	if (!page)
		return;

	head = &page->head[domid % PAGE_DOMIDS];
	while (!list_empty(head)) {
		m = list_first(head, struct mention, link);
		forget(m->perms);
		drop_entry(m->perms, (uint32_t)(m - m->perms->mentions));
	}
}
