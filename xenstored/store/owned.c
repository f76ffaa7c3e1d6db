/* SPDX-License-Identifier: MIT */
#include "store/owned.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"

#define LEAF_BITS 8
#define LEAF_SIZE (1 << LEAF_BITS)

struct owners {
	struct ledgers *ledgers;
	struct hash_table *claims;
	uint64_t nodes, memory;
	/* Sparse by domid: guests are few and their domids lie together. */
	struct owner **leaf[(UINT16_MAX + 1) / LEAF_SIZE];
};

int owners_new(TALLOC_CTX *ctx, struct ledgers *ledgers, struct owners **out)
{
	scoped_talloc struct owners *owners = talloc_zero(ctx, struct owners);
	int err;

	if (!owners)
		return -ENOMEM;
	err = hash_table_new(owners, &owners->claims);
	if (err)
		return err;
	owners->ledgers = ledgers;
	*out = TAKE(owners);
	return 0;
}

struct owner *owners_find(const struct owners *owners, uint16_t domid)
{
	struct owner **leaf = owners->leaf[domid >> LEAF_BITS];

	return leaf ? leaf[domid & (LEAF_SIZE - 1)] : NULL;
}

int owners_load(struct owners *owners, uint16_t domid, struct owner **out)
{
	struct owner ***leaf = &owners->leaf[domid >> LEAF_BITS];
	struct owner *owner = owners_find(owners, domid);

	if (owner) {
		*out = owner;
		return 0;
	}
	if (!*leaf)
		*leaf = talloc_zero_array(owners, struct owner *, LEAF_SIZE);
	if (!*leaf)
		return -ENOMEM;
	owner = talloc_zero(owners, struct owner);
	if (!owner)
		return -ENOMEM;
	owner->owners = owners;
	owner->domid = domid;
	list_init(&owner->claims);
	(*leaf)[domid & (LEAF_SIZE - 1)] = owner;
	*out = owner;
	return 0;
}

struct owner *owners_next(const struct owners *owners,
			  const struct owner *prev)
{
	for (unsigned int i = prev ? prev->domid + 1u : 0; i <= UINT16_MAX;
	     i++) {
		struct owner *owner;

		if (!owners->leaf[i >> LEAF_BITS]) {
			i |= LEAF_SIZE - 1;
			continue;
		}
		owner = owners_find(owners, i);
		if (owner)
			return owner;
	}
	return NULL;
}

uint64_t owners_nodes(const struct owners *owners)
{
	return owners->nodes;
}

uint64_t owners_memory(const struct owners *owners)
{
	return owners->memory;
}

struct ledger *owner_ledger(struct owner *owner)
{
	struct ledger *ledger =
		ledgers_find(owner->owners->ledgers, owner->domid);

	if (ledger != owner->payer) {	/* B2 */
		owner->payer = ledger;
		if (ledger && owner->nodes)
			ledger_charge(ledger, QUOTA_NODES, owner->nodes);
		if (ledger && owner->memory)
			ledger_charge(ledger, QUOTA_MEMORY, owner->memory);
	}
	return ledger;
}

static void account(struct ledger *ledger, enum quota_item item,
		    int64_t amount)
{
	if (amount > 0)
		ledger_charge(ledger, item, amount);
	else if (amount < 0)
		ledger_refund(ledger, item, -amount);
}

void owner_account(struct owner *owner, int64_t nodes, int64_t memory)
{
	struct ledger *ledger = owner_ledger(owner);

	owner->nodes += nodes;
	owner->memory += memory;
	owner->owners->nodes += nodes;
	owner->owners->memory += memory;
	if (ledger) {
		account(ledger, QUOTA_NODES, nodes);
		account(ledger, QUOTA_MEMORY, memory);
	}
}

void owner_purge(struct owner *owner, uint64_t settled)
{
	struct claim *claim;

	while ((claim = list_first(&owner->claims, struct claim, in_owner)))
		claim_drop(claim);
	owner_account(owner, -owner->nodes, -owner->memory);
	owner->payer = NULL;
	owner->deaths++;
	owner->purged = settled;
}

int claim_new(TALLOC_CTX *ctx, struct owner *owner, enum claim_kind kind,
	      const char *path, size_t len, struct claim **out)
{
	struct claim *claim = talloc_size(ctx, sizeof(*claim) + len + 1);

	if (!claim)
		return -ENOMEM;
	talloc_set_name_const(claim, "struct claim");
	memset(claim, 0, sizeof(*claim));
	list_init(&claim->in_owner);
	claim->owner = owner;
	claim->kinds = kind;
	claim->len = len;
	memcpy(claim->path, path, len);
	claim->path[len] = '\0';
	*out = claim;
	return 0;
}

static struct claim *claim_same(struct hash_item *item, const char *path,
				size_t len)
{
	for (; item; item = hash_next(item)) {
		struct claim *claim = hash_entry(item, struct claim, by_path);

		if (claim->len == len && !memcmp(claim->path, path, len))
			return claim;
	}
	return NULL;
}

struct claim *claim_find(const struct owner *owner, const char *path,
			 size_t len)
{
	const struct hash_table *claims = owner->owners->claims;
	struct hash_item *item =
		hash_first(claims, hash_bytes(claims, 0, path, len));
	struct claim *claim;

	for (; (claim = claim_same(item, path, len));
	     item = hash_next(&claim->by_path))
		if (claim->owner == owner)
			return claim;
	return NULL;
}

void claim_enter(struct claim *claim)
{
	struct owner *owner = claim->owner;
	struct hash_table *claims = owner->owners->claims;
	struct claim *same = claim_find(owner, claim->path, claim->len);

	if (same) {
		same->kinds |= claim->kinds;
		talloc_free(claim);
		return;
	}
	talloc_steal(owner, claim);
	claim->entered = true;
	list_add_tail(&owner->claims, &claim->in_owner);
	hash_add(claims, &claim->by_path,
		 hash_bytes(claims, 0, claim->path, claim->len));
}

void claim_drop(struct claim *claim)
{
	if (claim->entered) {
		list_del(&claim->in_owner);
		hash_del(claim->owner->owners->claims, &claim->by_path);
	}
	talloc_free(claim);
}

void claims_on(const struct owners *owners, const char *path, size_t len,
	       void (*fn)(void *arg, struct claim *claim), void *arg)
{
	struct hash_item *item;
	struct claim *claim;

	if (!hash_count(owners->claims))
		return;
	item = hash_first(owners->claims,
			  hash_bytes(owners->claims, 0, path, len));
	while ((claim = claim_same(item, path, len))) {
		item = hash_next(&claim->by_path);
		fn(arg, claim);
	}
}
