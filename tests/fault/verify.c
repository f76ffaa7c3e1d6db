/* SPDX-License-Identifier: MIT */
/* The part of an actor that compares its model with the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor.h"

/* ---- comparing ----------------------------------------------------------- */

/* What the store has: as the model, but with contents in full. */
struct found {
	size_t n;
	struct {
		char path[MODEL_PATH];
		char *value, *perms, *list;
		size_t value_len, perms_len, list_len;
	} nodes[MODEL_NODES + 1];
};

static bool fetch(struct actor *actor, uint32_t type, const char *path,
		  char **out, size_t *len)
{
	char payload[96];
	const char *reply, *why;

	why = client_ask(&actor->client, type, payload,
			 actor_spell(actor, path, false, payload), &reply, len);
	*out = NULL;
	if (why) {
		note(&actor->client, "fetching %s: %s", path, why);
		return false;
	}
	*out = malloc(*len + 1);
	memcpy(*out, reply, *len);
	(*out)[*len] = '\0';
	return true;
}

/* The connection may be lost while we look; then it is looked again. */
static bool gave_up(const struct actor *actor)
{
	return failed || actor->client.link.lost;
}

static void explore(struct actor *actor, struct found *found, const char *path)
{
	size_t i = found->n++;

	if (found->n > MODEL_NODES) {
		fail(&actor->client, "too many nodes are there");
		return;
	}
	strcpy(found->nodes[i].path, path);
	if (!fetch(actor, XS_READ, path, &found->nodes[i].value,
		   &found->nodes[i].value_len) ||
	    !fetch(actor, XS_GET_PERMS, path, &found->nodes[i].perms,
		   &found->nodes[i].perms_len) ||
	    !fetch(actor, XS_DIRECTORY, path, &found->nodes[i].list,
		   &found->nodes[i].list_len)) {
		if (!actor->client.link.lost)
			fail(&actor->client, "%s cannot be read", path);
		return;
	}
	for (size_t at = 0; !gave_up(actor) && at < found->nodes[i].list_len;
	     at += strlen(found->nodes[i].list + at) + 1) {
		char child[MODEL_PATH];

		if (snprintf(child, sizeof(child), "%s%s%s", path,
			     *path ? "/" : "", found->nodes[i].list + at) >=
		    (int)sizeof(child))
			fail(&actor->client, "a strange node is there");
		else
			explore(actor, found, child);
	}
}

static void found_free(struct found *found)
{
	for (size_t i = 0; i < found->n && i <= MODEL_NODES; i++) {
		free(found->nodes[i].value);
		free(found->nodes[i].perms);
		free(found->nodes[i].list);
	}
	free(found);
}

/* NULL: it is this one; or the first that differs. */
static const char *differs(const struct actor *actor, const struct found *found,
			   const struct model *model)
{
	char value[XENSTORE_PAYLOAD_MAX], list[MODEL_NODES * MODEL_PATH];

	for (size_t i = 0; i < found->n; i++) {
		const struct model_node *node =
			model_find(model, found->nodes[i].path);

		if (!node || node->len != found->nodes[i].value_len ||
		    actor->perms_len[node->perms] !=
			    found->nodes[i].perms_len ||
		    memcmp(actor->perms[node->perms], found->nodes[i].perms,
			   found->nodes[i].perms_len) ||
		    model_list(model, node->path, list) !=
			    found->nodes[i].list_len ||
		    memcmp(list, found->nodes[i].list,
			   found->nodes[i].list_len))
			return found->nodes[i].path;
		model_value(node->seed, node->len, value);
		if (memcmp(value, found->nodes[i].value, node->len))
			return found->nodes[i].path;
	}
	return found->n == model->n ? NULL : "(a missing node)";
}

static struct found *explore_all(struct actor *actor)
{
	struct found *found = calloc(1, sizeof(*found));

	explore(actor, found, "");
	return found;
}

void actor_verify(struct actor *actor)
{
	struct found *found = explore_all(actor);
	const char *path = gave_up(actor) ? NULL :
					   differs(actor, found, &actor->model);

	if (path)
		fail(&actor->client, "%s/%s is not as it should be",
		     actor->top, path);
	found_free(found);
}

/* ---- coming again -------------------------------------------------------- */

/* The store is as it was answered, or further by a beginning of what was not
 * answered yet. */
static void recognise(struct actor *actor, const struct expect *unanswered)
{
	struct found *found = explore_all(actor);
	const struct model *model = &actor->acked;
	const char *path = NULL;

	if (!gave_up(actor))
		path = differs(actor, found, model);
	for (; path && unanswered; unanswered = unanswered->next) {
		if (!unanswered->after)
			continue;
		model = unanswered->after;
		if (!differs(actor, found, model))
			path = NULL;
	}
	if (path)
		fail(&actor->client, "after the connection was lost, %s/%s is "
		     "neither as it was answered nor as it was asked for",
		     actor->top, path);
	if (!gave_up(actor)) {
		memcpy(&actor->model, model, sizeof(*model));
		memcpy(&actor->acked, model, sizeof(*model));
	}
	found_free(found);
}

static uint64_t ask_number(struct actor *actor, const char *path)
{
	const char *reply;
	size_t len;

	if (client_ask(&actor->client, XS_READ, path, strlen(path) + 1, &reply,
		       &len))
		return 0;
	return strtoull(reply, NULL, 10);
}

static void recognise_count(struct actor *actor)
{
	char path[64];
	uint64_t now;

	snprintf(path, sizeof(path), "/shared/last/%u", actor->number);
	now = ask_number(actor, path);
	if (gave_up(actor))
		return;
	if (now != actor->added && !(actor->adding && now == actor->added + 1))
		fail(&actor->client, "%llu commits were answered, %llu are "
		     "there", (unsigned long long)actor->added,
		     (unsigned long long)now);
	actor->added = now;
	actor->adding = false;
	actor->counting = COUNT_IDLE;
}

/* The end of the log. */
static void recognise_log(struct actor *actor)
{
	uint32_t last = actor->logged;
	char path[64];
	const char *reply;
	size_t len;

	for (; last > actor->log_acked; last--) {
		const char *why;
		int n;

		if (last % LOG_LENGTH == 0)
			n = sprintf(path, "/shared/log/%u", actor->number);
		else
			n = sprintf(path, "/shared/log/%u/%u", actor->number,
				    last);
		why = client_ask(&actor->client, XS_READ, path, n + 1, &reply,
				 &len);
		if (gave_up(actor))
			return;
		if (!why == (last % LOG_LENGTH != 0))
			break;
	}
	actor->logged = actor->log_acked = last;
}

bool actor_return(struct actor *actor)
{
	struct client *client = &actor->client;
	struct expect *unanswered;

	link_close(&client->link);
	if (!link_dial(&client->link, actor->socket)) {
		client->link.lost = true;
		return false;
	}
	note(client, "connected again");
	actor->lost++;
	actor->n_watches = 0;
	actor->waits = false;
	actor->txn.open = false;
	actor->txn.last_id = 0;
	unanswered = client_put_aside(client);
	recognise(actor, unanswered);
	if (!gave_up(actor))
		recognise_count(actor);
	if (!gave_up(actor))
		recognise_log(actor);
	client_forget(client, unanswered);
	return true;
}
