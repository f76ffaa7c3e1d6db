/* SPDX-License-Identifier: MIT */
#include "store/store_priv.h"

#include <errno.h>
#include <string.h>

#include "base/scoped.h"
#include "store/path.h"
#include "store/tree.h"

static int store_free(struct store *store)
{
	/* before the heap that their nodes live in */
	talloc_free(store->reaper);
	node_unref(store->root);
	return 0;
}

/* What a tree that did not come about by edits holds: neighbours mostly have
 * the same owner. */
struct entering {
	struct store *store;
	struct owner *owner;	/* of the last nodes, NULL: none yet */
	int64_t nodes, memory;	/* of his, not accounted yet */
};

static int enter_owner(struct entering *e, uint16_t domid)
{
	if (e->owner && e->owner->domid == domid)
		return 0;
	if (e->owner)
		owner_account(e->owner, e->nodes, e->memory);
	e->nodes = e->memory = 0;
	return owners_load(e->store->owners, domid, &e->owner);
}

static int enter_node(struct entering *e, const struct node *node,
		      const struct node *parent, const char *path)
{
	size_t len = strlen(path);
	struct claim *claim;
	int err;

	err = enter_owner(e, perms_owner(node_perms(node)));
	if (err)
		return err;
	e->nodes++;
	e->memory += (int64_t)node_charge(node, len);
	if (parent && perms_owner(node_perms(parent)) == e->owner->domid)
		return 0;
	err = claim_new(e->store, e->owner, CLAIM_NODE, path, len, &claim);
	if (!err)
		claim_enter(claim);
	return err;
}

static int enter_tree(struct store *store, struct node *root)
{
	struct entering e = { .store = store };
	struct tree_walk *walk;
	struct node *node;
	const char *path;
	int err;

	err = tree_walk_new(store, root, "", &walk);
	if (err)
		return err;
	while (!err && !(err = tree_walk_next(walk, &node, &path)))
		err = enter_node(&e, node, tree_walk_parent(walk), path);
	talloc_free(walk);
	if (e.owner)
		owner_account(e.owner, e.nodes, e.memory);
	return err == ENOENT ? 0 : err;
}

int store_install(struct store *store, struct node *root, uint64_t generation)
{
	struct owner *owner = NULL;
	int err;

	while ((owner = owners_next(store->owners, owner)))
		owner_purge(owner, reaper_last(store->reaper));
	err = enter_tree(store, root);
	if (err)
		return err;
	node_unref(store->root);
	store->root = root;
	store->version++;
	store->generation = generation;
	return 0;
}

/* Creates those of the first nodes that are missing. */
static int first_nodes(struct store *store, struct perms *priv,
		       struct perms *all, uint64_t generation,
		       struct node **root)
{
	const struct {
		const char *path;
		struct perms *perms;
	} first[] = {
		{ "/tool/xenstored", priv },
		{ "@releaseDomain", all },
		{ "@introduceDomain", priv },
	};
	struct blob empty = { NULL, 0 };
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(first) / sizeof(first[0]); i++)
		if (!tree_find(*root, first[i].path))
			err = tree_create(store->nodes, root, first[i].path,
					  first[i].perms, empty, generation,
					  NULL);
	return err;
}

/* From a root without children, or from what is there. */
static int install_first(struct store *store, struct perms *priv,
			 struct perms *all, uint64_t generation)
{
	struct node *root;
	int err = 0;

	if (store->root)
		root = node_ref(store->root);
	else
		err = tree_new(store->nodes, priv, generation, &root);
	if (err)
		return err;
	err = first_nodes(store, priv, all, generation, &root);
	if (!err)
		err = store_install(store, root, generation);
	if (err)
		node_unref(root);
	return err;
}

int store_complete(struct store *store)
{
	struct perm list[] = {
		{ .domid = store->priv, .rights = PERM_NONE },
		{ .domid = DOMID_ANY, .rights = PERM_READ },
	};
	struct perms *priv, *all = NULL;
	int err;

	err = perms_intern(store->perms, list, 1, &priv);
	if (err)
		return err;
	err = perms_intern(store->perms, list, 2, &all);
	if (!err)
		err = install_first(store, priv, all,
				    store_next_generation(store));
	perms_unref(priv);
	perms_unref(all);
	return err;
}

int store_new(TALLOC_CTX *ctx, struct ledgers *ledgers, uint16_t priv,
	      struct store **out)
{
	scoped_talloc struct store *store = talloc_zero(ctx, struct store);
	int err;

	if (!store)
		return -ENOMEM;
	store->priv = priv;
	list_init(&store->txns);
	err = perms_table_new(store, &store->perms);
	if (!err)
		err = nodes_new(store, &store->nodes);
	if (!err)
		err = owners_new(store, ledgers, &store->owners);
	if (!err)
		err = hash_table_new(store, &store->trail_names);
	if (!err)
		err = reaper_new(store, store->nodes, store->owners,
				 &store->reaper);
	if (err)
		return err;
	talloc_set_destructor(store, store_free);
	err = store_complete(store);
	if (err)
		return err;
	*out = TAKE(store);
	return 0;
}

void store_charge_ledger(struct store *store, uint16_t domid)
{
	struct owner *owner = owners_find(store->owners, domid);

	if (owner)
		owner_ledger(owner);
}

void store_forget_ledger(struct store *store, uint16_t domid)
{
	struct owner *owner = owners_find(store->owners, domid);

	if (owner)
		owner->payer = NULL;
}

struct node *store_root(const struct store *store)
{
	return store->root;
}

struct nodes *store_nodes(const struct store *store)
{
	return store->nodes;
}

struct perms_table *store_perms_table(const struct store *store)
{
	return store->perms;
}

uint64_t store_generation(const struct store *store)
{
	return store->generation;
}

uint64_t store_next_generation(struct store *store)
{
	return ++store->generation;
}

int store_add_consumer(struct store *store, store_consumer_fn *fn, void *arg)
{
	struct consumer *grown = talloc_realloc(store, store->consumers,
						struct consumer,
						store->nconsumers + 1);

	if (!grown)
		return -ENOMEM;
	grown[store->nconsumers++] = (struct consumer){ fn, arg };
	store->consumers = grown;
	return 0;
}

void store_set_lives(struct store *store, store_lives_fn *fn, void *arg)
{
	store->lives = fn;
	store->lives_arg = arg;
}

int store_lives(const struct store *store, uint16_t domid, uint64_t since)
{
	return store->lives ? store->lives(store->lives_arg, domid, since) : 0;
}

bool store_reap(struct store *store, unsigned int budget)
{
	return reaper_step(store->reaper, store->root, NULL, budget);
}

bool store_reap_waits(const struct store *store)
{
	return reaper_starved(store->reaper);
}
