/* SPDX-License-Identifier: MIT */
#include "store/view.h"

#include <errno.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#include "base/scoped.h"
#include "store/access.h"
#include "store/edit.h"
#include "store/path.h"
#include "store/txn_priv.h"

static const struct blob empty;

/* The tree that this view shows of `path`. */
static int view_look(const struct view *view, const char *path,
		     struct node **root)
{
	if (view->txn)
		return txn_look(view->txn, view->who, path, root);
	*root = store_root(view->store);
	return 0;
}

/* Access was granted, and still it failed, for lack of memory or for a quota:
 * then the transaction must not be committed without it. */
static int view_end(const struct view *view, int err)
{
	if (err && view->txn)
		txn_doom(view->txn);
	return err;
}

static int view_access(const struct view *view, const char *path,
		       enum wish wish, struct node **node)
{
	struct node *root;
	int err, verdict;

	err = view_look(view, path, &root);
	if (err)
		return err;
	verdict = access_check(root, path, view->who, wish_rights(wish), node);
	if (view->txn)
		txn_saw_access(view->txn, wish, verdict);
	return verdict;
}

int view_node(const struct view *view, const char *path, unsigned int facets,
	      struct node **out)
{
	int err;

	err = view_access(view, path, WISH_READ, out);
	if (!err && view->txn)
		txn_saw(view->txn, facets);
	return err;
}

/* One step on the live store, published at once. */
static int live_begin(const struct view *view, struct edit *edit)
{
	return edit_begin(edit, view->store, EDIT_SINGLE, view->who,
			  view->ledger);
}

static int live_end(struct edit *edit, int err)
{
	if (err)
		edit_drop(edit);
	else
		edit_publish(edit);
	return err;
}

static int live_write(const struct view *view, const char *path,
		      struct node *node, struct blob value)
{
	struct edit edit;
	int err;

	err = live_begin(view, &edit);
	if (err)
		return err;
	err = node ? edit_set_value(&edit, path, node, value) :
		     edit_create(&edit, path, value);
	return live_end(&edit, err);
}

static int live_remove(const struct view *view, const char *path,
		       struct node *node)
{
	struct edit edit;
	int err;

	err = live_begin(view, &edit);
	if (err)
		return err;
	err = edit_remove(&edit, path, node);
	return live_end(&edit, err);
}

static int live_set_perms(const struct view *view, const char *path,
			  struct node *node, struct perms *perms)
{
	struct edit edit;
	int err;

	err = live_begin(view, &edit);
	if (err)
		return err;
	err = edit_set_perms(&edit, path, node, perms);
	return live_end(&edit, err);
}

int view_write(const struct view *view, const char *path, struct blob value)
{
	struct node *node;
	int err;

	err = view_access(view, path, WISH_CREATE, &node);
	if (err && err != ENOENT)
		return err;
	if (view->txn)
		return view_end(view, txn_write(view->txn, value));
	return live_write(view, path, node, value);
}

int view_mkdir(const struct view *view, const char *path)
{
	struct node *node;
	int err;

	err = view_access(view, path, WISH_WRITE, &node);
	if (err != ENOENT)
		return err;
	if (view->txn)
		return view_end(view, txn_mkdir(view->txn));
	return live_write(view, path, NULL, empty);
}

/* A missing node may be removed if its parent exists. */
static int view_rm_missing(const struct view *view, const char *path)
{
	struct node *root, *node;
	size_t len;
	int err;

	err = view_look(view, path, &root);
	if (err)
		return err;
	if (path_is_special(path))
		return ENOENT;
	node = tree_nearest(root, path, &len);
	if (view->txn)
		txn_saw_parent(view->txn);
	return node && len == path_parent_len(path, strlen(path)) ? 0 : ENOENT;
}

int view_rm(const struct view *view, const char *path)
{
	struct node *node;
	int err;

	err = view_access(view, path, WISH_WRITE, &node);
	if (err == ENOENT)
		return view_rm_missing(view, path);
	if (err)
		return err;
	if (path_is_root(path) || path_is_special(path))
		return EINVAL;
	if (view->txn)
		return view_end(view, txn_remove(view->txn));
	return live_remove(view, path, node);
}

/* ENOENT: the entry is stale from the start. */
static int born_well(const struct view *view, const struct perm *perm)
{
	if (perm->domid == DOMID_ANY)
		return view->who->features & XENSTORE_SERVER_FEATURE_DOMID_ANY ?
			       0 :
			       ENOENT;
	return store_lives(view->store, perm->domid,
			   store_generation(view->store));
}

int view_admits_perms(const struct view *view, size_t n)
{
	if (!view->ledger || view->who->privileged)
		return 0;
	if (!ledger_fits(view->ledger, QUOTA_NODE_PERMS, n))
		return ENOSPC;
	ledger_saw(view->ledger, QUOTA_NODE_PERMS, n);
	return 0;
}

int view_judge_perms(const struct view *view, const struct perm *list)
{
	return born_well(view, &list[0]);
}

/* The list as it is stored; the caller owns a reference. */
static int view_intern(const struct view *view, const struct perm *list,
		       size_t n, struct perms **out)
{
	scoped_talloc struct perm *copy =
		talloc_memdup(view->store, list, n * sizeof(*list));

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int err = born_well(view, &copy[i]);

		if (err < 0)
			return err;
		copy[i].stale = err != 0;
	}
	return perms_intern(store_perms_table(view->store), copy, n, out);
}

/* The node, if the caller may make it `owner`'s. */
static int view_own(const struct view *view, const char *path, uint16_t owner,
		    struct node **node)
{
	int err;

	err = view_access(view, path, WISH_OWN, node);
	if (err)
		return err;
	if (!view->who->privileged) {
		if (view->txn)
			txn_saw_owner(view->txn);
		if (owner != perms_owner(node_perms(*node)))
			return EPERM;
	}
	return owner == DOMID_ANY ? ENOMEM : 0;
}

int view_set_perms(const struct view *view, const char *path,
		   const struct perm *list, size_t n)
{
	struct perms *perms;
	struct node *node;
	int err;

	err = view_admits_perms(view, n);
	if (!err)
		err = view_judge_perms(view, list);
	if (err)
		return err;
	/* before the node is looked up: who is asked about may turn out to be
	 * dead, and then the tree changes */
	err = view_intern(view, list, n, &perms);
	if (err)
		return view_end(view, err);
	err = view_own(view, path, list[0].domid, &node);
	if (!err)
		err = view->txn ? view_end(view, txn_set_perms(view->txn,
							       perms)) :
				  live_set_perms(view, path, node, perms);
	perms_unref(perms);
	return err;
}
