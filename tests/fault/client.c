/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASK_MS 20000

uint64_t kills;
bool failed;
void (*kills_look)(void);

/* ---- what all share ------------------------------------------------------ */

static uint64_t dice = 1;

void roll_seed(uint64_t seed)
{
	dice = seed * 2654435769u + 1;
}

uint32_t roll(uint32_t n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (dice >> 20) % n;
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

void note(struct client *client, const char *fmt, ...)
{
	char *to = client->trace[client->trace_at++ % CLIENT_TRACE];
	va_list ap;
	int n = snprintf(to, 120, "k%llu ", (unsigned long long)kills);

	va_start(ap, fmt);
	vsnprintf(to + n, 120 - n, fmt, ap);
	va_end(ap);
}

static void tell_trace(const struct client *client)
{
	size_t i = client->trace_at > CLIENT_TRACE ?
			   client->trace_at - CLIENT_TRACE : 0;

	for (; i < client->trace_at; i++)
		printf("# %s: %s\n", client->name,
		       client->trace[i % CLIENT_TRACE]);
}

void fail(struct client *client, const char *fmt, ...)
{
	va_list ap;

	if (failed)
		return;
	failed = true;
	if (client)
		tell_trace(client);
	printf("# after %llu kills, %s: ", (unsigned long long)kills,
	       client ? client->name : "all");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* ---- expecting ----------------------------------------------------------- */

void client_init(struct client *client, const char *name)
{
	memset(client, 0, sizeof(*client));
	snprintf(client->name, sizeof(client->name), "%s", name);
	client->last = &client->first;
	client->link.fd = -1;
}

static struct expect *append(struct client *client)
{
	struct expect *expect = calloc(1, sizeof(*expect));

	if (!client->outstanding)
		client->progress_at = now_ms();
	expect->sent_at = client->received;
	expect->kills = kills;
	*client->last = expect;
	client->last = &expect->next;
	return expect;
}

static void expect_free(struct expect *expect)
{
	free(expect->data);
	free(expect->after);
	free(expect);
}

/* Takes out what *at points to. */
static void take_out(struct client *client, struct expect **at)
{
	struct expect *expect = *at;

	*at = expect->next;
	if (client->last == &expect->next)
		client->last = at;
	if (!expect->event)
		client->outstanding--;
	expect_free(expect);
}

static void drop_all(struct client *client)
{
	while (client->first)
		take_out(client, &client->first);
}

struct expect *client_put_aside(struct client *client)
{
	struct expect *aside = client->first;

	client->first = NULL;
	client->last = &client->first;
	client->outstanding = 0;
	return aside;
}

static void put_back(struct client *client, struct expect *aside)
{
	client->first = aside;
	client->last = &client->first;
	for (; aside; aside = aside->next) {
		client->outstanding += !aside->event;
		client->last = &aside->next;
	}
}

void client_forget(struct client *client, struct expect *aside)
{
	bool again = client->link.lost;

	if (again)
		drop_all(client);
	while (!again && aside) {
		struct expect *next = aside->next;

		expect_free(aside);
		aside = next;
	}
	if (again)
		put_back(client, aside);
}

void expect_data(struct expect *expect, const void *data, size_t len)
{
	free(expect->data);
	expect->data = malloc(len + 1);
	memcpy(expect->data, data, len);
	expect->len = len;
}

struct expect *client_send(struct client *client, uint32_t type, uint32_t tx,
			   const void *payload, size_t len)
{
	struct expect *expect = append(client);

	expect->type = type;
	expect->req = ++client->last_req;
	expect->tx = tx;
	expect_data(expect, "OK", 3);
	client->outstanding++;
	client->requests++;
	note(client, "> %u: type %u tx %u len %zu %.60s", expect->req, type, tx,
	     len, len ? (const char *)payload : "");
	link_send(&client->link, type, expect->req, tx, payload, len);
	return expect;
}

struct expect *client_await(struct client *client, const char *path,
			    const char *token)
{
	struct expect *expect = append(client);

	expect->event = true;
	snprintf(expect->path, sizeof(expect->path), "%s", path);
	snprintf(expect->token, sizeof(expect->token), "%s", token);
	return expect;
}

/* ---- events -------------------------------------------------------------- */

static uint32_t hash_event(const char *path, const char *token)
{
	uint32_t hash = 2166136261u;

	for (; *path; path++)
		hash = (hash ^ (unsigned char)*path) * 16777619u;
	hash *= 16777619u;
	for (; *token; token++)
		hash = (hash ^ (unsigned char)*token) * 16777619u;
	return hash;
}

/* X2: an equal one has come since. */
static bool was_merged(const struct client *client, const struct expect *event)
{
	uint32_t hash = hash_event(event->path, event->token);

	if (event->path[0] == '@')
		return false;
	for (size_t i = 0; i < CLIENT_HEARD; i++)
		if (client->heard[i].hash == hash &&
		    client->heard[i].at > event->sent_at)
			return true;
	return false;
}

static void heard(struct client *client, const char *path, const char *token)
{
	size_t i = client->heard_at++ % CLIENT_HEARD;

	client->events++;
	client->heard[i].hash = hash_event(path, token);
	client->heard[i].at = client->received;
}

static bool is_event(const struct expect *expect, const char *path,
		     const char *token)
{
	return expect->event && !expect->heard &&
	       !strcmp(expect->path, path) && !strcmp(expect->token, token);
}

/* All before it must have been merged with others, or be of its group. */
static void take_event(struct client *client, const char *path,
		       const char *token)
{
	struct expect **at = &client->first, *skipped = NULL, *target;

	while (*at && (*at)->event && !is_event(*at, path, token)) {
		if (!(*at)->heard && !was_merged(client, *at) && !skipped)
			skipped = *at;
		at = &(*at)->next;
	}
	if (!*at || !(*at)->event) {
		fail(client, "event %s %s was not to come, but %s", path, token,
		     client->first ? client->first->event ?
		     client->first->path : "a reply" : "nothing");
		return;
	}
	if (skipped && (!skipped->group || skipped->group != (*at)->group)) {
		fail(client, "event %s %s came, %s %s before it did not", path,
		     token, skipped->path, skipped->token);
		return;
	}
	heard(client, path, token);
	/* The others of a group have to be known until its reply. */
	if ((*at)->group) {
		(*at)->heard = true;
		return;
	}
	target = *at;
	while (client->first != target) {
		client->merged++;
		take_out(client, &client->first);
	}
	take_out(client, &client->first);
}

static void receive_event(struct client *client, const char *payload,
			  size_t len)
{
	char text[4200];
	const char *token;

	memcpy(text, payload, len);
	text[len] = '\0';
	token = text + strlen(text) + 1;
	if (token >= text + len || token + strlen(token) + 1 != text + len) {
		fail(client, "malformed event");
		return;
	}
	note(client, "< event %s %s", text, token);
	if (client->on_event) {
		client->events++;
		client->on_event(client, text, token);
	} else {
		take_event(client, text, token);
	}
}

/* ---- replies ------------------------------------------------------------- */

/* What is expected before the reply has not come. */
static void skip_events(struct client *client, bool is_void)
{
	while (client->first && client->first->event) {
		const struct expect *event = client->first;

		if (is_void && event->group && event->heard) {
			fail(client, "event %s %s of what was refused",
			     event->path, event->token);
			return;
		}
		if (!event->heard && !(is_void && event->group)) {
			if (!was_merged(client, event)) {
				fail(client, "event %s %s is missing",
				     event->path, event->token);
				return;
			}
			client->merged++;
		}
		take_out(client, &client->first);
	}
}

static bool is_as_expected(const struct expect *expect, const char *why,
			   const char *payload, size_t len)
{
	if (why || expect->error)
		return why && expect->error && !strcmp(why, expect->error);
	return expect->any || (len == expect->len &&
			       !memcmp(payload, expect->data, len));
}

static void check_reply(struct client *client, const struct xsd_sockmsg *head,
			const char *payload)
{
	struct expect *expect = client->first;
	char text[32] = "", *why = NULL;
	bool excused = false;

	while (expect && expect->event)
		expect = expect->next;
	if (head->type == XS_ERROR) {
		snprintf(text, sizeof(text), "%.*s", (int)head->len, payload);
		why = text;
	}
	note(client, "< %u: type %u tx %u len %u %.20s", head->req_id,
	     head->type, head->tx_id, head->len, text);
	if (!expect || expect->req != head->req_id ||
	    expect->tx != head->tx_id ||
	    (!why && expect->type != head->type)) {
		fail(client, "reply to %u, type %u, tx %u; expected: %u, type "
		     "%u, tx %u", head->req_id, head->type, head->tx_id,
		     expect ? expect->req : 0, expect ? expect->type : 0,
		     expect ? expect->tx : 0);
		return;
	}
	if (!is_as_expected(expect, why, payload, head->len)) {
		excused = expect->excuse &&
			  expect->excuse(client, expect, why);
		if (!excused) {
			fail(client, "request %u, type %u, is answered %s, "
			     "%u bytes: %.*s; expected: %s, %zu bytes: %.20s",
			     expect->req, expect->type,
			     why ? why : "with success", head->len,
			     head->len < 20 ? (int)head->len : 20, payload,
			     expect->error ? expect->error : "success",
			     expect->len, expect->data);
			return;
		}
	}
	skip_events(client, excused && why);
	if (failed)
		return;
	if (expect->done)
		expect->done(client, expect, why, payload, head->len);
	take_out(client, &client->first);
}

void client_receive(struct client *client)
{
	struct xsd_sockmsg head;
	const char *payload;

	link_fill(&client->link);
	if (kills_look)
		kills_look();
	while (!failed && link_next(&client->link, &head, &payload)) {
		client->received++;
		client->progress_at = now_ms();
		if (head.type == XS_WATCH_EVENT) {
			if (head.req_id || head.tx_id)
				fail(client, "an event with an id");
			else
				receive_event(client, payload, head.len);
		} else {
			check_reply(client, &head, payload);
		}
	}
}

/* ---- waiting ------------------------------------------------------------- */

struct answer {
	char why[32], data[XENSTORE_PAYLOAD_MAX + 1];
	size_t len;
	bool failed, there;
};

static struct answer answer;

static bool any_answer(struct client *client, const struct expect *expect,
		       const char *why)
{
	(void)client;
	(void)expect;
	(void)why;
	return true;
}

static void keep_answer(struct client *client, const struct expect *expect,
			const char *why, const char *payload, size_t len)
{
	(void)client;
	(void)expect;
	answer.there = true;
	answer.failed = why;
	snprintf(answer.why, sizeof(answer.why), "%s", why ? why : "");
	memcpy(answer.data, payload, len);
	answer.data[len] = '\0';
	answer.len = len;
}

const char *client_ask(struct client *client, uint32_t type,
		       const void *payload, size_t len, const char **reply,
		       size_t *reply_len)
{
	uint64_t until = now_ms() + ASK_MS;
	struct expect *expect;

	answer.there = false;
	expect = client_send(client, type, 0, payload, len);
	expect->excuse = any_answer;
	expect->any = true;
	expect->done = keep_answer;
	while (!answer.there && !failed && !client->link.lost) {
		struct pollfd p = { client->link.fd, POLLIN, 0 };

		poll(&p, 1, 100);
		if (p.revents)
			client_receive(client);
		if (now_ms() > until)
			fail(client, "no answer within %d ms", ASK_MS);
	}
	*reply = answer.data;
	*reply_len = answer.len;
	if (!answer.there)
		return "lost";
	return answer.failed ? answer.why : NULL;
}
