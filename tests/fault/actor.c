/* SPDX-License-Identifier: MIT */
#include "actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST 24		/* requests under way, at most */

unsigned int poisons, poisons_out;

static struct actor *of(struct client *client)
{
	return (struct actor *)client;	/* its first member */
}

/* ---- paths --------------------------------------------------------------- */

static void some_path(char *out)
{
	static const char *const deep[] = { "a", "b", "c", "d" };
	size_t depth = 1 + roll(3), len = 0;

	for (size_t i = 0; i < depth; i++)
		len += sprintf(out + len, "%s%s", i ? "/" : "", deep[roll(4)]);
}

/* As it is sent: absolute, or relative to the home. */
size_t actor_spell(const struct actor *actor, const char *path, bool relative,
		   char *out)
{
	return sprintf(out, "%s%s%s", actor->top + (relative ?
		       actor->home_len : 0), *path ? "/" : "", path) + 1;
}

/* ---- events -------------------------------------------------------------- */

/* What the watches say of a change at `path`; `exact`: it was removed with
 * something above it. */
static void expect_events(struct actor *actor, const char *path, bool exact,
			  unsigned int group)
{
	for (size_t i = 0; i < actor->n_watches; i++) {
		const struct actor_watch *watch = &actor->watches[i];
		int depth = model_depth_below(path, watch->path);
		char text[96];

		if (depth < 0 || (exact && depth) ||
		    (watch->depth >= 0 && depth > watch->depth))
			continue;
		actor_spell(actor, path, watch->relative, text);
		client_await(&actor->client, text, watch->token)->group = group;
	}
}

/* ---- requests ------------------------------------------------------------ */

/* The state that a reply vouches for; clients are compared with it when their
 * connection was lost. */
static void remember(struct actor *actor, struct expect *expect)
{
	if (!actor->socket)
		return;
	expect->after = malloc(sizeof(struct model));
	memcpy(expect->after, &actor->model, sizeof(struct model));
}

static void acknowledge(struct client *client, const struct expect *expect,
			const char *why, const char *payload, size_t len)
{
	struct actor *actor = of(client);

	(void)why;
	(void)payload;
	(void)len;
	if (expect->after)
		memcpy(&actor->acked, expect->after, sizeof(struct model));
}

/* What a transaction answers after a crash is of no consequence: it cannot
 * commit. */
static bool txn_excuse(struct client *client, const struct expect *expect,
		       const char *why)
{
	(void)expect;
	return kills != of(client)->txn.kills &&
	       (!why || !strcmp(why, "ENOENT") || !strcmp(why, "EACCES"));
}

/* The model that a request in this transaction, or in none, works on. */
static struct model *model_of(struct actor *actor, uint32_t tx)
{
	return tx ? &actor->txn.model : &actor->model;
}

static void touch(struct actor *actor, const char *path)
{
	struct actor_txn *txn = &actor->txn;

	for (size_t i = 0; i < txn->n_touched; i++)
		if (!strcmp(txn->touched[i], path))
			return;
	strcpy(txn->touched[txn->n_touched++], path);
}

static void changed(struct actor *actor, uint32_t tx, const char *path)
{
	if (tx)
		touch(actor, path);
	else
		expect_events(actor, path, false, 0);
}

static struct expect *send_path(struct actor *actor, uint32_t type,
				uint32_t tx, const char *path,
				const void *rest, size_t rest_len)
{
	char payload[XENSTORE_PAYLOAD_MAX];
	size_t len = actor_spell(actor, path, roll(3) == 0, payload);
	struct expect *expect;

	if (rest_len)
		memcpy(payload + len, rest, rest_len);
	expect = client_send(&actor->client, type, tx, payload,
			     len + rest_len);
	if (tx)
		expect->excuse = txn_excuse;
	return expect;
}

static void mutated(struct actor *actor, uint32_t tx, struct expect *expect)
{
	if (tx)
		return;
	remember(actor, expect);
	expect->done = acknowledge;
}

static size_t some_length(const struct actor *actor)
{
	switch (roll(20)) {
	case 0:
		return roll(actor->socket ? 3900 : 1800);
	case 1 ... 4:
		return roll(400);
	default:
		return roll(24);
	}
}

static bool fits(const struct actor *actor, uint32_t tx, const char *path)
{
	if (tx && actor->txn.n_touched == 32)
		return false;
	return model_of((struct actor *)actor, tx)->n +
		       model_missing(model_of((struct actor *)actor, tx),
				     path) <= MODEL_NODES;
}

static void act_write(struct actor *actor, uint32_t tx)
{
	char path[MODEL_PATH], value[XENSTORE_PAYLOAD_MAX];
	struct model_node *node;

	some_path(path);
	if (!fits(actor, tx, path))
		return;
	node = model_ensure(model_of(actor, tx), path);
	node->seed = roll(1 << 30);
	node->len = some_length(actor);
	model_value(node->seed, node->len, value);
	changed(actor, tx, path);
	mutated(actor, tx, send_path(actor, XS_WRITE, tx, path, value,
				     node->len));
}

static void act_mkdir(struct actor *actor, uint32_t tx)
{
	char path[MODEL_PATH];

	some_path(path);
	if (!fits(actor, tx, path))
		return;
	if (!model_find(model_of(actor, tx), path)) {
		model_ensure(model_of(actor, tx), path);
		changed(actor, tx, path);
	}
	mutated(actor, tx, send_path(actor, XS_MKDIR, tx, path, NULL, 0));
}

struct removal {
	struct actor *actor;
	const char *top;
};

static void removed(void *arg, const char *path)
{
	const struct removal *removal = arg;

	expect_events(removal->actor, path, strcmp(path, removal->top), 0);
}

/* Not in transactions, for what that fires is not told by the protocol. */
static void act_rm(struct actor *actor)
{
	char path[MODEL_PATH], parent[MODEL_PATH];
	struct removal removal = { actor, path };
	const char *error = NULL;
	struct expect *expect;

	some_path(path);
	model_parent(path, parent);
	if (model_find(&actor->model, path))
		model_remove(&actor->model, path, removed, &removal);
	else if (!model_find(&actor->model, parent))
		error = "ENOENT";
	expect = send_path(actor, XS_RM, 0, path, NULL, 0);
	expect->error = error;
	mutated(actor, 0, expect);
}

static void act_set_perms(struct actor *actor, uint32_t tx)
{
	char path[MODEL_PATH];
	struct model_node *node;
	struct expect *expect;
	int i = roll(ACTOR_PERMS);

	some_path(path);
	if (!fits(actor, tx, path))
		return;
	node = model_find(model_of(actor, tx), path);
	if (node) {
		node->perms = i;
		changed(actor, tx, path);
	}
	expect = send_path(actor, XS_SET_PERMS, tx, path, actor->perms[i],
			   actor->perms_len[i]);
	if (!node)
		expect->error = "ENOENT";
	mutated(actor, tx, expect);
}

static void act_read(struct actor *actor, uint32_t tx)
{
	char path[MODEL_PATH], value[XENSTORE_PAYLOAD_MAX];
	const struct model_node *node;
	struct expect *expect;

	some_path(path);
	node = model_find(model_of(actor, tx), path);
	expect = send_path(actor, XS_READ, tx, path, NULL, 0);
	if (!node) {
		expect->error = "ENOENT";
		return;
	}
	model_value(node->seed, node->len, value);
	expect_data(expect, value, node->len);
}

static void act_list(struct actor *actor, uint32_t tx)
{
	char path[MODEL_PATH], list[MODEL_NODES * MODEL_PATH];
	struct expect *expect;
	size_t len;

	some_path(path);
	if (roll(3) == 0)
		*path = '\0';
	expect = send_path(actor, XS_DIRECTORY, tx, path, NULL, 0);
	if (!model_find(model_of(actor, tx), path)) {
		expect->error = "ENOENT";
		return;
	}
	len = model_list(model_of(actor, tx), path, list);
	expect_data(expect, list, len);
}

static void act_get_perms(struct actor *actor, uint32_t tx)
{
	char path[MODEL_PATH];
	const struct model_node *node;
	struct expect *expect;

	some_path(path);
	node = model_find(model_of(actor, tx), path);
	expect = send_path(actor, XS_GET_PERMS, tx, path, NULL, 0);
	if (node)
		expect_data(expect, actor->perms[node->perms],
			    actor->perms_len[node->perms]);
	else
		expect->error = "ENOENT";
}

/* Somebody else's node, which shows permissions and targets. */
static void act_secret(struct actor *actor)
{
	const char *path = "/local/domain/1/secret";
	struct expect *expect = client_send(&actor->client, XS_READ, 0, path,
					    strlen(path) + 1);

	expect_data(expect, "secret", 7);
	if (!actor->sees_secret)
		expect->error = "EACCES";
}

static void refused(struct client *client, const struct expect *expect,
		    const char *why, const char *payload, size_t len)
{
	(void)client;
	(void)expect;
	(void)why;
	(void)payload;
	(void)len;
	poisons_out--;
}

static void act_poison(struct actor *actor)
{
	struct expect *expect;

	if (!poisons)
		return;
	poisons--;
	poisons_out++;
	expect = client_send(&actor->client, XS_READ, 0, "/poison",
			     sizeof("/poison"));
	expect->error = "EIO";
	expect->done = refused;
}

/* ---- watches ------------------------------------------------------------- */

static bool watch_is(const struct actor_watch *a, const struct actor_watch *b)
{
	return !strcmp(a->path, b->path) && !strcmp(a->token, b->token);
}

static void some_watch(struct actor_watch *watch)
{
	memset(watch, 0, sizeof(*watch));
	some_path(watch->path);
	if (roll(3) == 0)
		watch->path[0] = '\0';
	sprintf(watch->token, "t%u", roll(3));
	watch->relative = roll(2);
	watch->depth = roll(3) ? -1 : (int)roll(3);
}

static size_t watch_payload(const struct actor *actor,
			    const struct actor_watch *watch, char *out)
{
	size_t len = actor_spell(actor, watch->path, watch->relative, out);

	return len + sprintf(out + len, "%s", watch->token) + 1;
}

static void act_watch(struct actor *actor)
{
	char payload[128], text[96];
	struct actor_watch watch;
	struct expect *expect;
	bool there = false;
	size_t len;

	some_watch(&watch);
	for (size_t i = 0; i < actor->n_watches; i++)
		there |= watch_is(&actor->watches[i], &watch);
	if (!there && actor->n_watches == ACTOR_WATCHES)
		return;
	len = watch_payload(actor, &watch, payload);
	if (watch.depth >= 0)
		len += sprintf(payload + len, "%d", watch.depth) + 1;
	expect = client_send(&actor->client, XS_WATCH, 0, payload, len);
	if (there) {
		expect->error = "EEXIST";
		return;
	}
	actor->watches[actor->n_watches++] = watch;
	actor_spell(actor, watch.path, watch.relative, text);
	client_await(&actor->client, text, watch.token);
}

static void act_unwatch(struct actor *actor)
{
	struct actor_watch watch;
	struct expect *expect;
	char payload[128];
	size_t i = 0;

	some_watch(&watch);
	if (actor->n_watches && roll(3))
		watch = actor->watches[roll(actor->n_watches)];
	expect = client_send(&actor->client, XS_UNWATCH, 0, payload,
			     watch_payload(actor, &watch, payload));
	while (i < actor->n_watches && !watch_is(&actor->watches[i], &watch))
		i++;
	if (i == actor->n_watches) {
		expect->error = "ENOENT";
		return;
	}
	memmove(&actor->watches[i], &actor->watches[i + 1],
		(--actor->n_watches - i) * sizeof(watch));
}

static void act_reset(struct actor *actor)
{
	if (actor->txn.open || actor->counting)
		return;
	client_send(&actor->client, XS_RESET_WATCHES, 0, "", 1);
	actor->n_watches = 0;
}

/* ---- transactions -------------------------------------------------------- */

static struct expect *begin(struct actor *actor, uint32_t *id)
{
	struct expect *expect = client_send(&actor->client,
					    XS_TRANSACTION_START, 0, "", 1);
	char text[16];

	*id = ++actor->txn.last_id;
	expect_data(expect, text, sprintf(text, "%u", *id) + 1);
	return expect;
}

static void act_begin(struct actor *actor)
{
	struct actor_txn *txn = &actor->txn;

	if (actor->counting)
		return;
	begin(actor, &txn->id);
	txn->open = true;
	txn->kills = kills;
	txn->n_touched = 0;
	memcpy(&txn->model, &actor->model, sizeof(txn->model));
}

/* EAGAIN, and only then, if it was open at a crash. A crash after its commit
 * is none of its business, but we cannot know. */
static bool end_excuse(struct client *client, const struct expect *expect,
		       const char *why)
{
	(void)expect;
	return why && !strcmp(why, "EAGAIN") && kills != of(client)->txn.kills;
}

static void ended(struct client *client, const struct expect *expect,
		  const char *why, const char *payload, size_t len)
{
	struct actor *actor = of(client);

	(void)payload;
	(void)len;
	actor->waits = false;
	if (why || !expect->after)
		return;
	memcpy(&actor->model, expect->after, sizeof(actor->model));
	memcpy(&actor->acked, expect->after, sizeof(actor->acked));
}

static void act_end(struct actor *actor)
{
	struct actor_txn *txn = &actor->txn;
	bool commit = roll(6) > 0;
	struct expect *expect;

	for (size_t i = 0; commit && i < txn->n_touched; i++)
		expect_events(actor, txn->touched[i], false, txn->id);
	expect = client_send(&actor->client, XS_TRANSACTION_END, txn->id,
			     commit ? "T" : "F", 2);
	expect->excuse = commit ? end_excuse : NULL;
	expect->done = ended;
	if (commit) {
		expect->after = malloc(sizeof(struct model));
		memcpy(expect->after, &txn->model, sizeof(struct model));
	}
	txn->open = false;
	actor->waits = true;
}

/* ---- the count ----------------------------------------------------------- */

static bool count_excuse(struct client *client, const struct expect *expect,
			 const char *why)
{
	(void)client;
	(void)expect;
	return why && !strcmp(why, "EAGAIN");
}

static void count_ended(struct client *client, const struct expect *expect,
			const char *why, const char *payload, size_t len)
{
	struct actor *actor = of(client);

	(void)expect;
	(void)payload;
	(void)len;
	actor->waits = false;
	actor->counting = COUNT_IDLE;
	actor->adding = false;
	if (!why)
		actor->added++;
}

static void write_number(struct actor *actor, const char *path, uint64_t n)
{
	char payload[96];
	int len = sprintf(payload, "%s%c%llu", path, 0, (unsigned long long)n);

	client_send(&actor->client, XS_WRITE, actor->counting_id, payload,
		    len);
}

static void count_read(struct client *client, const struct expect *expect,
		       const char *why, const char *payload, size_t len)
{
	struct actor *actor = of(client);
	char text[32], path[64];
	struct expect *end;

	(void)why;
	(void)expect;
	snprintf(text, sizeof(text), "%.*s", (int)len, payload);
	snprintf(path, sizeof(path), "/shared/last/%u", actor->number);
	write_number(actor, "/shared/count", strtoull(text, NULL, 10) + 1);
	write_number(actor, path, actor->added + 1);
	end = client_send(client, XS_TRANSACTION_END, actor->counting_id, "T",
			  2);
	end->excuse = count_excuse;
	end->done = count_ended;
	actor->adding = true;
	actor->counting = COUNT_ENDS;
}

static void act_count(struct actor *actor)
{
	struct expect *expect;

	if (actor->txn.open)
		return;
	begin(actor, &actor->counting_id);
	expect = client_send(&actor->client, XS_READ, actor->counting_id,
			     "/shared/count", sizeof("/shared/count"));
	expect->any = true;
	expect->done = count_read;
	actor->counting = COUNT_READS;
	actor->waits = true;
}

/* ---- the log ------------------------------------------------------------- */

static void log_done(struct client *client, const struct expect *expect,
		     const char *why, const char *payload, size_t len)
{
	(void)expect;
	(void)why;
	(void)payload;
	(void)len;
	of(client)->log_acked++;
}

static void act_log(struct actor *actor)
{
	char payload[64];
	int len;

	actor->logged++;
	if (actor->logged % LOG_LENGTH == 0) {
		len = sprintf(payload, "/shared/log/%u", actor->number) + 1;
		client_send(&actor->client, XS_RM, 0, payload, len)->done =
			log_done;
		return;
	}
	len = sprintf(payload, "/shared/log/%u/%u%cx", actor->number,
		      actor->logged, 0);
	client_send(&actor->client, XS_WRITE, 0, payload, len)->done =
		log_done;
}

/* ---- a new beginning ----------------------------------------------------- */

/* Only who has nothing under way does it, so that all is certain. */
static void act_leave(struct actor *actor)
{
	if (actor->client.first || actor->txn.open || actor->counting)
		return;
	if (actor->socket) {
		note(&actor->client, "hangs up");
		actor->client.link.lost = true;
		actor->left++;
		return;
	}
	note(&actor->client, "asks for a fresh ring");
	actor->resetting = now_ms();
	actor->waits = true;
	gring_reconnect(&actor->client.link.ring);
}

/* Until then a guest leaves the ring alone. */
static void await_ring(struct actor *actor)
{
	guest_clear(actor->client.link.guest);
	if (!gring_connected(&actor->client.link.ring))
		return;
	note(&actor->client, "has a fresh ring");
	actor->resetting = 0;
	actor->waits = false;
	actor->n_watches = 0;
}

/* ---- the load ------------------------------------------------------------ */

static void act_outside(struct actor *actor)
{
	switch (roll(24)) {
	case 0 ... 5:
		act_write(actor, 0);
		break;
	case 6:
		act_mkdir(actor, 0);
		break;
	case 7 ... 8:
		act_rm(actor);
		break;
	case 9:
		act_set_perms(actor, 0);
		break;
	case 10 ... 11:
		act_read(actor, 0);
		break;
	case 12:
		act_list(actor, 0);
		break;
	case 13:
		act_get_perms(actor, 0);
		break;
	case 14 ... 15:
		act_watch(actor);
		break;
	case 16:
		act_unwatch(actor);
		break;
	case 17 ... 18:
		act_begin(actor);
		break;
	case 19:
		act_count(actor);
		break;
	case 20 ... 21:
		act_log(actor);
		break;
	case 22:
		act_secret(actor);
		break;
	case 23:
		if (roll(20) == 0)
			act_reset(actor);
		else if (roll(20) == 0)
			act_leave(actor);
		else if (roll(40) == 0)
			act_poison(actor);
		break;
	}
}

static void act_inside(struct actor *actor)
{
	uint32_t tx = actor->txn.id;

	switch (roll(10)) {
	case 0 ... 2:
		act_write(actor, tx);
		break;
	case 3:
		act_mkdir(actor, tx);
		break;
	case 4:
		act_set_perms(actor, tx);
		break;
	case 5:
		act_read(actor, roll(4) ? tx : 0);
		break;
	case 6:
		act_list(actor, tx);
		break;
	case 7:
		act_get_perms(actor, tx);
		break;
	case 8:
		act_log(actor);
		break;
	case 9:
		act_end(actor);
		break;
	}
}

void actor_act(struct actor *actor)
{
	if (actor->resetting && now_ms() - actor->resetting > PATIENCE_MS)
		fail(&actor->client, "no fresh ring");
	if (actor->waits || actor->client.outstanding >= BURST ||
	    actor->client.link.lost)
		return;
	if (actor->txn.open)
		actor->stopped ? act_end(actor) : act_inside(actor);
	else if (!actor->stopped)
		act_outside(actor);
}

void actor_receive(struct actor *actor)
{
	const char *fault;

	if (actor->resetting) {
		await_ring(actor);
		return;
	}
	client_receive(&actor->client);
	fault = link_fault(&actor->client.link);
	if (fault)
		fail(&actor->client, "the ring: %s", fault);
}

bool actor_is_idle(const struct actor *actor)
{
	return !actor->client.outstanding && !actor->txn.open &&
	       !actor->resetting &&
	       !actor->client.first && !actor->client.link.lost;
}

/* ---- beginning ----------------------------------------------------------- */

static void add_perms(struct actor *actor, int i, const char *fmt)
{
	char text[32];
	int n = snprintf(text, sizeof(text), fmt, actor->domid);

	for (int at = 0; at <= n; at++)
		actor->perms[i][at] = text[at] == ' ' ? '\0' : text[at];
	actor->perms_len[i] = n + 1;
}

void actor_init(struct actor *actor, unsigned int number, const char *socket,
		struct guest *guest)
{
	char name[16];

	snprintf(name, sizeof(name), "%s%u", guest ? "guest" : "client",
		 number);
	client_init(&actor->client, name);
	actor->number = number;
	actor->socket = socket;
	actor->domid = guest ? guest_domid(guest) : 0;
	model_init(&actor->model);
	model_init(&actor->acked);
	snprintf(actor->top, sizeof(actor->top), "/local/domain/%u/own%u",
		 actor->domid, number);
	actor->home_len = strrchr(actor->top, '/') + 1 - actor->top;
	add_perms(actor, 0, "n%u");
	add_perms(actor, 1, "b%u");
	add_perms(actor, 2, "n%u r1");
	add_perms(actor, 3, "r%u w1 n900");
	actor->sees_secret = actor->domid <= 2;
	if (guest)
		link_attach(&actor->client.link, guest);
	else
		link_dial(&actor->client.link, socket);
}
