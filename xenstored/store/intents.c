/* SPDX-License-Identifier: MIT */
#include "store/intents.h"

#include <errno.h>
#include <string.h>

#include "base/scoped.h"
#include "store/tree.h"

void intents_init(struct intents *intents)
{
	list_init(&intents->log);
	intents->count = intents->bytes = 0;
	intents->seq = 0;
	intents->last_create = 0;
}

static int intent_free(struct intent *intent)
{
	list_del(&intent->in_log);
	list_del(&intent->of_node);
	perms_unref(intent->perms);
	return 0;
}

int intent_new(TALLOC_CTX *ctx, enum deed deed, struct touched *at,
	       struct blob value, struct perms *perms, struct intent **out)
{
	scoped_talloc struct intent *intent = talloc_zero(ctx, struct intent);

	if (!intent)
		return -ENOMEM;
	list_init(&intent->in_log);
	list_init(&intent->of_node);
	intent->deed = deed;
	intent->at = at;
	if (value.len) {
		intent->value.data =
			talloc_memdup(intent, value.data, value.len);
		if (!intent->value.data)
			return -ENOMEM;
		intent->value.len = value.len;
	}
	if (perms)
		intent->perms = perms_ref(perms);
	talloc_set_destructor(intent, intent_free);
	*out = TAKE(intent);
	return 0;
}

static bool creates(const struct intent *intent)
{
	return intent->deed == DEED_CREATE || intent->deed == DEED_WRITE;
}

struct intent *intent_creating(const struct touched *at)
{
	struct intent *intent;

	list_for_each(intent, &at->intents, of_node)
	{
		if (creates(intent))
			return intent;
	}
	return NULL;
}

/* Puts it into the log before `pos`. */
static void intents_link(struct intents *intents, struct list *pos,
			 struct intent *intent)
{
	list_insert_before(pos, &intent->in_log);
	list_add_tail(&intent->at->intents, &intent->of_node);
	intents->count++;
	intents->bytes += sizeof(*intent) + intent->value.len;
}

static void intents_forget(struct intents *intents, struct intent *intent)
{
	intents->count--;
	intents->bytes -= sizeof(*intent) + intent->value.len;
	talloc_free(intent);
}

void intents_append(struct intents *intents, struct intent *intent)
{
	intent->seq = ++intents->seq;
	if (creates(intent))
		intents->last_create = intent->seq;
	intents_link(intents, &intents->log, intent);
}

void intents_add_create(struct intents *intents, struct intent *intent)
{
	struct intent *former = intent_creating(intent->at);

	if (former) {	/* in its place, for that is the child's place */
		intent->seq = former->seq;
		intents_link(intents, &former->in_log, intent);
		intents_forget(intents, former);
		return;
	}
	intents_append(intents, intent);
}

void intents_add_perms(struct intents *intents, struct intent *intent)
{
	struct intent *former, *tmp;

	/* Nodes created since the former one have its list. */
	list_for_each_safe(former, tmp, &intent->at->intents, of_node)
	{
		if (former->deed == DEED_PERMS &&
		    former->seq > intents->last_create)
			intents_forget(intents, former);
	}
	intents_append(intents, intent);
}

/*
 * What was wanted of a node below one that is removed. If it changed something
 * that was there its watches hear of it, as of a removal of its own: Linux,
 * told that device/vif went, does not see that device/vif/0 did. A node that
 * was made is not there to be removed, and nobody hears of it.
 */
static void intents_go(struct intents *intents, struct touched *at)
{
	struct intent *intent, *tmp;
	bool gone = false;

	list_for_each(intent, &at->intents, of_node)
		gone |= intent->deed == DEED_REMOVE;
	list_for_each_safe(intent, tmp, &at->intents, of_node) {
		if (intent->deed == DEED_REMOVE)
			continue;
		if (gone || intent->deed == DEED_CREATE) {
			intents_forget(intents, intent);
			continue;
		}
		intents->bytes -= intent->value.len;
		talloc_free((void *)intent->value.data);
		intent->value = (struct blob){ NULL, 0 };
		perms_unref(intent->perms);
		intent->perms = NULL;
		intent->deed = DEED_REMOVE;
		gone = true;
	}
}

void intents_add_remove(struct intents *intents, struct intent *intent,
			struct intent *parent)
{
	struct touched *top = intent->at, *at;
	struct intent *first = NULL, *former, *each, *tmp;

	for (at = trail_next(top, NULL); at; at = trail_next(top, at)) {
		each = intent_creating(at);
		if (each && (!first || each->seq < first->seq))
			first = each;
	}
	former = parent ? intent_creating(parent->at) : NULL;
	if (first && parent && !former) {
		parent->seq = first->seq;
		parent->at->ensured = true;
		intents_link(intents, &first->in_log, parent);
	} else {
		talloc_free(parent);
	}
	/* what is made on the way to `first` is made then, not later */
	if (first && former && former->seq > first->seq) {
		list_del(&former->in_log);
		list_insert_before(&first->in_log, &former->in_log);
		former->seq = first->seq;
	}
	list_for_each_safe(each, tmp, &top->intents, of_node)
		intents_forget(intents, each);
	for (at = trail_next(top, NULL); at; at = trail_next(top, at)) {
		intents_go(intents, at);
		at->cut = at->ensured = at->written = at->owned = false;
	}
	top->cut = true;
	intents_append(intents, intent);
}

bool intent_lost_its_parents(const struct intent *intent,
			     const struct node *root, const struct who *who)
{
	const struct touched *at = intent->at;
	size_t len, at_len = strlen(at->path);

	if (who->privileged || intent->deed == DEED_PERMS ||
	    intent->deed == DEED_REMOVE)
		return false;
	tree_nearest(root, at->path, &len);
	if (at_len == len)
		return false;
	for (at = touched_up(at, &at_len); at_len > len;
	     at = touched_up(at, &at_len))
		if (!at->ensured)
			return true;
	return false;
}
