/* SPDX-License-Identifier: MIT */
/*
 * The end of a domain: what it owned goes, or goes to the privileged domain;
 * its entries go from the permission lists.
 */
#include <errno.h>
#include <string.h>

#include "store/edit.h"
#include "store/path.h"
#include "store/tree.h"
#include "store/txn_priv.h"

static bool owns(const struct node *node, uint16_t domid)
{
	return node && perms_owner(node_perms(node)) == domid;
}

/* A list like the node's, owned by the privileged domain. */
static int give_back(struct edit *edit, const char *path, struct node *node)
{
	struct store *store = edit->store;
	struct who priv = { .domid = store->priv };
	struct perms *perms;
	int err;

	err = perms_inherit(store->perms, node_perms(node), &priv, &perms);
	if (err)
		return err;
	err = edit_set_perms(edit, path, node, perms);
	perms_unref(perms);
	if (!err)
		edit->set.items[edit->set.n - 1].silent = true;
	return err;
}

/* Gives back all nodes of the domain that hang together below `path`. */
static int give_back_all(struct edit *edit, const char *path, uint16_t domid)
{
	struct tree_walk *walk;
	struct node *node;
	int err;

	err = tree_walk_new(edit->ctx, tree_find(edit->root, path), path,
			    &walk);
	while (!err && !(err = tree_walk_next(walk, &node, &path))) {
		if (owns(node, domid)) {
			path = changeset_path(&edit->set, path, strlen(path));
			err = path ? give_back(edit, path, node) : -ENOMEM;
		} else {
			tree_walk_skip(walk);
		}
	}
	talloc_free(walk);
	return err == ENOENT ? 0 : err;
}

static int purge_kids(struct edit *edit, const char *path, uint16_t domid,
		      bool keep);

static int purge_node(struct edit *edit, const char *path, uint16_t domid,
		      bool keep)
{
	struct node *node = tree_find(edit->root, path);
	int err;

	if (!owns(node, domid))
		return 0;	/* the claim outlived its truth */
	if (keep)
		return give_back_all(edit, path, domid);
	if (!path_is_root(path) && !path_is_special(path))
		return edit_remove(edit, path, node);
	/* these stay; what is below them does not */
	err = give_back(edit, path, node);
	return err ? err : purge_kids(edit, path, domid, keep);
}

static int purge_kids(struct edit *edit, const char *path, uint16_t domid,
		      bool keep)
{
	struct node *node = tree_find(edit->root, path), *kid;
	const char *sep = path_is_root(path) ? "" : "/";
	struct kid_iter iter = { 0 };
	int err = 0;

	if (!node)
		return 0;
	node_ref(node);	/* children go while we look */
	while (!err && (kid = node_next_kid(node, &iter))) {
		struct blob name = node_name(kid);
		char *kid_path;

		if (!owns(kid, domid))
			continue;
		kid_path = talloc_asprintf(edit->ctx, "%s%s%.*s", path, sep,
					   (int)name.len,
					   (const char *)name.data);
		err = kid_path ? purge_node(edit, kid_path, domid, keep) :
				 -ENOMEM;
	}
	node_unref(node);
	return err;
}

static int purge_claims(struct edit *edit, struct owner *owner, bool keep)
{
	struct claim *claim;
	int err = 0;

	list_for_each(claim, &owner->claims, in_owner)
	{
		const char *path = changeset_path(&edit->set, claim->path,
						  claim->len);

		if (!path)
			return -ENOMEM;
		/* the children first: if the node goes, so do they */
		if (claim->kinds & CLAIM_KIDS)
			err = purge_kids(edit, path, owner->domid, keep);
		if (!err && claim->kinds & CLAIM_NODE)
			err = purge_node(edit, path, owner->domid, keep);
		if (err)
			return err;
	}
	return 0;
}

int store_purge_domain(struct store *store, uint16_t domid, bool keep_orphans)
{
	struct owner *owner = owners_find(store->owners, domid);
	struct edit edit;
	int err;

	if (owner) {
		err = edit_begin(&edit, store, EDIT_SEVERAL, NULL, NULL);
		if (err)
			return err;
		err = purge_claims(&edit, owner, keep_orphans);
		if (err) {
			edit_drop(&edit);
			return err;
		}
		edit_publish(&edit);
		owner_purge(owner, reaper_last(store->reaper));
	}
	txns_purge(store, domid);
	perms_purge(store->perms, domid);
	store->purges++;
	store->version++;
	return 0;
}
