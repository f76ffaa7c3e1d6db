/* SPDX-License-Identifier: MIT */
#include "store/edit.h"

#include <errno.h>
#include <string.h>

#include "store/path.h"
#include "store/tree.h"

/* A caller about to be refused first gets back what is his: so many removed
 * nodes are settled for that. */
#define REAP_BEFORE_REFUSAL 10000

int edit_begin(struct edit *edit, struct store *store, enum edit_form form,
	       const struct who *who, struct ledger *ledger)
{
	edit->ctx = talloc_new(store);
	if (!edit->ctx)
		return -ENOMEM;
	edit->store = store;
	edit->form = form;
	edit->root = form == EDIT_SINGLE ? store->root : node_ref(store->root);
	edit->who = who;
	edit->ledger = who && who->privileged ? NULL : ledger;
	edit->generation = store_next_generation(store);
	edit->created = 0;
	edit->accounts = edit->inline_accounts;
	edit->naccounts = 0;
	edit->accounts_room = ACCOUNTS_INLINE;
	list_init(&edit->claims);
	edit->lost = NULL;
	edit->nlost = 0;
	edit->jobs = NULL;
	edit->njobs = 0;
	edit->copied = nodes_work(store->nodes)->copied_bytes;
	changeset_init(&edit->set, edit->ctx, form == EDIT_TXN);
	return 0;
}

static void edit_end(struct edit *edit)
{
	changeset_fini(&edit->set);
	talloc_free(edit->ctx);
}

void edit_drop(struct edit *edit)
{
	if (edit->form != EDIT_SINGLE)
		node_unref(edit->root);
	edit_end(edit);
}

/* The account of whoever owns nodes with this list. -ENOMEM. */
static int edit_account(struct edit *edit, const struct perms *perms,
			int64_t nodes, int64_t memory)
{
	struct account *account = edit->accounts;
	struct owner *owner;
	size_t room = edit->accounts_room * 2;
	int err;

	err = owners_load(edit->store->owners, perms_owner(perms), &owner);
	if (err)
		return err;
	for (size_t i = 0; i < edit->naccounts; i++, account++) {
		if (account->owner == owner) {
			account->nodes += nodes;
			account->memory += memory;
			return 0;
		}
	}
	if (edit->naccounts == edit->accounts_room) {
		account = talloc_array(edit->ctx, struct account, room);
		if (!account)
			return -ENOMEM;
		memcpy(account, edit->accounts,
		       edit->naccounts * sizeof(*account));
		edit->accounts = account;
		edit->accounts_room = room;
	}
	edit->accounts[edit->naccounts++] =
		(struct account){ owner, nodes, memory };
	return 0;
}

static int edit_claim(struct edit *edit, const struct perms *perms,
		      enum claim_kind kind, const char *path, size_t len)
{
	struct owner *owner;
	struct claim *claim;
	int err;

	err = owners_load(edit->store->owners, perms_owner(perms), &owner);
	if (err)
		return err;
	err = claim_new(edit->ctx, owner, kind, path, len, &claim);
	if (!err)
		list_add_tail(&edit->claims, &claim->in_owner);
	return err;
}

static bool edit_fits(const struct edit *edit, size_t size)
{
	if (!edit->ledger)
		return true;
	if (!ledger_fits(edit->ledger, QUOTA_NODE_SIZE, size))
		return false;
	ledger_saw(edit->ledger, QUOTA_NODE_SIZE, size);
	return true;
}

bool missing_next(const char *path, struct missing *missing)
{
	const char *name = path + missing->len, *end;

	name += *name == '/';	/* not below the root, whose path it is */
	if (!*name)
		return false;
	end = strchrnul(name, '/');
	missing->name = end - name + 1;
	missing->len = end - path;
	missing->kid = *end ? strcspn(end + 1, "/") + 1 : 0;
	return true;
}

static size_t perms_size(const struct perms *perms)
{
	return 16 + 8 * perms_charged(perms);
}

bool create_fits(const struct ledger *ledger, const char *path, size_t len,
		 const struct node *above, const struct perms *perms,
		 struct blob value)
{
	struct missing missing = { .len = len };
	size_t size = node_quota_size(above);

	while (missing_next(path, &missing)) {
		if (!ledger_fits(ledger, QUOTA_NODE_SIZE, size + missing.name))
			return false;
		size = perms_size(perms) + (missing.kid ? 0 : value.len);
	}
	return ledger_fits(ledger, QUOTA_NODE_SIZE, size);
}

bool store_admits(struct store *store, const struct owner *owner,
		  const struct ledger *ledger, enum quota_item item,
		  uint64_t more)
{
	if (ledger_admits(ledger, item, more))
		return true;
	if (!reaper_pending(store->reaper))
		return false;
	reaper_step(store->reaper, store->root, owner, REAP_BEFORE_REFUSAL);
	return ledger_admits(ledger, item, more);
}

/* What the removals of this very edit will refund to an owner. */
static int edit_refunds(struct edit *edit, const struct owner *owner,
			struct account *sum)
{
	unsigned int budget = REAP_BEFORE_REFUSAL;

	for (size_t i = 0; i < edit->set.n; i++) {
		struct change *change = &edit->set.items[i];
		struct tree_walk *walk;
		struct node *node;
		const char *path;
		int err;

		if (change->kind != CHANGE_REMOVE)
			continue;
		err = tree_walk_new(edit->ctx, change->before, change->path,
				    &walk);
		for (; !err && budget; budget--) {
			err = tree_walk_next(walk, &node, &path);
			if (err)
				break;
			if (perms_owner(node_perms(node)) != owner->domid)
				continue;
			sum->nodes++;
			sum->memory += node_charge(node, strlen(path));
		}
		talloc_free(walk);
		if (err && err != ENOENT)
			return err;
	}
	return 0;
}

/* Asks for one item of one owner. `error`: what to say if it is refused. */
static int edit_admit_item(struct edit *edit, struct owner *owner,
			   enum quota_item item, int64_t more, int error)
{
	struct ledger *payer = owner_ledger(owner);
	struct account refund = { 0 };
	int err;

	if (!payer || more <= 0 ||
	    store_admits(edit->store, owner, payer, item, more))
		return 0;
	err = edit_refunds(edit, owner, &refund);
	if (err)
		return err;
	more -= item == QUOTA_NODES ? refund.nodes : refund.memory;
	return more <= 0 || ledger_admits(payer, item, more) ? 0 : error;
}

int edit_admit(struct edit *edit)
{
	int err = 0;

	if (!edit->ledger)
		return 0;
	for (size_t i = 0; !err && i < edit->naccounts; i++) {
		struct account *account = &edit->accounts[i];

		if (edit->created && account->owner->domid == edit->who->domid)
			err = edit_admit_item(edit, account->owner, QUOTA_NODES,
					      account->nodes, ENOSPC);
		if (!err)
			err = edit_admit_item(edit, account->owner,
					      QUOTA_MEMORY, account->memory,
					      edit->created ? EIO : ENOMEM);
	}
	return err;
}

static int edit_ask(struct edit *edit)
{
	return edit->form == EDIT_SINGLE ? edit_admit(edit) : 0;
}

/* The changes that creating `path` makes; of the implicit ancestors no watch
 * hears. */
static int plan_changes(struct edit *edit, const char *path, size_t len)
{
	struct missing missing = { .len = len };
	const char *told;

	while (missing_next(path, &missing)) {
		if (changeset_reserve(&edit->set, 1))
			return -ENOMEM;
		told = missing.kid ? changeset_path(&edit->set, path,
						    missing.len) :
				     path;
		if (!told)
			return -ENOMEM;
		changeset_add(&edit->set, CHANGE_CREATE, told, missing.len)
			->silent = missing.kid;
	}
	return 0;
}

/* The accounts and claims of the nodes that creating `path` makes below
 * `above`. */
static int plan_create(struct edit *edit, const char *path, size_t len,
		       const struct node *above, struct perms *perms,
		       struct blob value)
{
	struct missing missing = { .len = len };
	size_t size;
	int err;

	missing_next(path, &missing);
	err = edit_account(edit, node_perms(above), 0, missing.name);
	if (!err && perms_owner(perms) != perms_owner(node_perms(above)))
		err = edit_claim(edit, perms, CLAIM_NODE, path, missing.len);
	missing.len = len;
	while (!err && missing_next(path, &missing)) {
		size = perms_size(perms) +
		       (missing.kid ? missing.kid : value.len);
		err = edit_account(edit, perms, 1, size + missing.len);
		edit->created++;
	}
	return err;
}

int edit_create(struct edit *edit, const char *path, struct blob value)
{
	struct store *store = edit->store;
	struct node *above;
	struct perms *perms;
	size_t len;
	int err;

	above = tree_nearest(edit->root, path, &len);
	err = perms_inherit(store->perms, node_perms(above), edit->who, &perms);
	if (err)
		return err;
	if (edit->ledger &&
	    !(create_fits(edit->ledger, path, len, above, perms, value) &&
	      edit_fits(edit, perms_size(perms) + value.len)))
		err = ENOSPC;
	if (!err)
		err = plan_create(edit, path, len, above, perms, value);
	if (!err)
		err = plan_changes(edit, path, len);
	if (!err)
		err = edit_ask(edit);
	if (!err)
		err = tree_create(store->nodes, &edit->root, path, perms,
				  value, edit->generation, NULL);
	perms_unref(perms);
	return err;
}

int edit_set_value(struct edit *edit, const char *path, struct node *node,
		   struct blob value)
{
	size_t was = node_value(node).len;
	int err;

	if (!edit_fits(edit, node_quota_size(node) - was + value.len))
		return ENOSPC;
	err = edit_account(edit, node_perms(node), 0,
			   (int64_t)value.len - (int64_t)was);
	if (!err)
		err = edit_ask(edit);
	if (!err)
		err = changeset_reserve(&edit->set, 1);
	if (!err)
		err = tree_set_value(edit->store->nodes, &edit->root, path,
				     value, edit->generation);
	if (!err)
		changeset_add(&edit->set, CHANGE_VALUE, path, strlen(path));
	return err;
}

/* The node gets another owner: his claims, and those of the former one. */
static int plan_move(struct edit *edit, const char *path, struct node *node,
		     struct perms *perms)
{
	struct perms *was = node_perms(node);
	size_t len = strlen(path);
	struct node *parent;
	struct lost_claim *lost;
	struct owner *owner;
	struct claim *claim;
	int err = 0;

	tree_find_with_parent(edit->root, path, &parent);
	if (!parent || perms_owner(node_perms(parent)) != perms_owner(perms))
		err = edit_claim(edit, perms, CLAIM_NODE, path, len);
	/* without looking at the children, which may be many */
	if (!err && node_kids(node))
		err = edit_claim(edit, was, CLAIM_KIDS, path, len);
	if (err)
		return err;
	owner = owners_find(edit->store->owners, perms_owner(was));
	claim = claim_find(owner, path, len);
	if (claim && claim->kinds == CLAIM_NODE && !node_kids(node)) {
		lost = talloc_realloc(edit->ctx, edit->lost, struct lost_claim,
				      edit->nlost + 1);
		if (!lost)
			return -ENOMEM;
		lost[edit->nlost++] = (struct lost_claim){ owner, path, len };
		edit->lost = lost;
	}
	return 0;
}

int edit_set_perms(struct edit *edit, const char *path, struct node *node,
		   struct perms *perms)
{
	struct perms *was = node_perms(node);
	size_t size = node_quota_size(node) - perms_size(was) +
		      perms_size(perms);
	size_t len = strlen(path);
	int err;

	if (!edit_fits(edit, size))
		return ENOSPC;
	err = edit_account(edit, was, -1, -(int64_t)node_charge(node, len));
	if (!err)
		err = edit_account(edit, perms, 1, size + len);
	if (!err && perms_owner(was) != perms_owner(perms))
		err = plan_move(edit, path, node, perms);
	if (!err)
		err = edit_ask(edit);
	if (!err)
		err = changeset_reserve(&edit->set, 1);
	if (err)
		return err;
	perms_ref(was);
	err = tree_set_perms(edit->store->nodes, &edit->root, path, perms,
			     edit->generation);
	if (err)
		perms_unref(was);
	else
		changeset_add(&edit->set, CHANGE_PERMS, path, len)
			->perms_before = was;
	return err;
}

static int plan_reap(struct edit *edit, const char *path, size_t len)
{
	struct reap_job **jobs = talloc_realloc(
		edit->ctx, edit->jobs, struct reap_job *, edit->njobs + 1);
	int err;

	if (!jobs)
		return -ENOMEM;
	edit->jobs = jobs;
	err = reap_job_new(edit->ctx, path, len, &jobs[edit->njobs]);
	if (!err)
		edit->njobs++;
	return err;
}

int edit_remove(struct edit *edit, const char *path, struct node *node)
{
	struct node *parent, *removed;
	size_t len = strlen(path);
	struct change *change;
	int err;

	tree_find_with_parent(edit->root, path, &parent);
	err = edit_account(edit, node_perms(parent), 0,
			   -(int64_t)node_name(node).len - 1);
	if (!err)
		err = changeset_reserve(&edit->set, 1);
	if (!err && node_kids(node))
		err = plan_reap(edit, path, len);
	if (err)
		return err;
	err = tree_remove(edit->store->nodes, &edit->root, path,
			  edit->generation, &removed);
	if (err)
		return err;
	change = changeset_add(&edit->set, CHANGE_REMOVE, path, len);
	change->before = removed;
	return 0;
}

/* The node of a change, and its parent. That may be the node of the change
 * before, which is known: a deep path that is new costs one descent. */
static struct node *find_changed(struct node *root, const struct change *before,
				 const struct change *change,
				 struct node **parent)
{
	const char *path = change->path;
	size_t len = path_parent_len(path, change->path_len), at;

	if (!before || !before->after || before->path_len != len ||
	    memcmp(before->path, path, len))
		return tree_find_with_parent(root, path, parent);
	*parent = before->after;
	at = len > 1 ? len + 1 : len;
	return node_kid(*parent, path + at, change->path_len - at);
}

/* What the permission filter of watches is given. `before`: the change before
 * it, or NULL. `old`: the tree before a transaction's commit, else NULL. */
static void fill_change(struct change *change, const struct change *before,
			struct node *root, struct node *old)
{
	struct node *parent;
	struct node *node = find_changed(root, before, change, &parent);
	struct node *was = old ? tree_find(old, change->path) : NULL;

	if (change->kind != CHANGE_REMOVE)
		change->after = node;
	if (node)
		change->perms_now = node_perms(node);
	else if (!old)
		change->perms_now = node_perms(change->before);
	if (parent)
		change->perms_parent = node_perms(parent);
	if (!old)
		return;
	/* not that of a step on the way */
	perms_unref(change->perms_before);
	change->perms_before = was ? perms_ref(node_perms(was)) : NULL;
}

/* Ledgers and claims follow the new tree. */
static void settle_owners(struct edit *edit)
{
	struct claim *claim, *tmp;

	for (size_t i = 0; i < edit->naccounts; i++)
		owner_account(edit->accounts[i].owner, edit->accounts[i].nodes,
			      edit->accounts[i].memory);
	for (size_t i = 0; i < edit->nlost; i++) {
		const struct lost_claim *lost = &edit->lost[i];

		/* not found: lost twice, for it had changed hands back */
		claim = claim_find(lost->owner, lost->path, lost->len);
		if (claim)
			claim_drop(claim);
	}
	list_for_each_safe(claim, tmp, &edit->claims, in_owner)
	{
		list_del(&claim->in_owner);
		claim_enter(claim);
	}
}

/* A removed leaf is settled at once, a subtree when there is time. */
static void settle_removed(struct edit *edit)
{
	struct store *store = edit->store;
	struct reap_job **job = edit->jobs;

	for (size_t i = 0; i < edit->set.n; i++) {
		struct change *change = &edit->set.items[i];

		if (change->kind != CHANGE_REMOVE)
			continue;
		if (node_kids(change->before))
			reaper_add(store->reaper, *job++, change->before);
		else
			reap_node(store->owners, store->root, change->before,
				  change->path, change->path_len);
	}
}

void edit_publish(struct edit *edit)
{
	struct store *store = edit->store;
	struct node *old = edit->form == EDIT_SINGLE ? NULL : store->root;
	struct changeset *set = &edit->set;

	store->root = edit->root;
	store->version++;
	store->displaced += nodes_work(store->nodes)->copied_bytes -
			    edit->copied;
	set->generation = edit->generation;
	settle_owners(edit);
	settle_removed(edit);
	for (size_t i = 0; i < set->n; i++)
		fill_change(&set->items[i], i ? &set->items[i - 1] : NULL,
			    store->root, set->from_txn ? old : NULL);
	for (size_t i = 0; i < store->nconsumers; i++)
		store->consumers[i].fn(store->consumers[i].arg, set);
	node_unref(old);
	edit_end(edit);
}
