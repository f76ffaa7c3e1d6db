/* SPDX-License-Identifier: MIT */
#include "toolstack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const quotas[TOOLSTACK_QUOTAS] = {
	"nodes", "watches", "transactions",
};

static struct toolstack *of(struct client *client)
{
	return (struct toolstack *)client;
}

/* Text with | for NUL, which also ends it. */
static size_t strings(char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] == '|')
			text[i] = '\0';
	return len + 1;
}

static struct expect *ask(struct toolstack *toolstack, uint32_t type,
			  char *text)
{
	return client_send(&toolstack->client, type, 0, text, strings(text));
}

/* ---- what changes -------------------------------------------------------- */

static void acknowledge(struct client *client, const struct expect *expect,
			const char *why, const char *payload, size_t len)
{
	(void)why;
	(void)payload;
	(void)len;
	memcpy(&of(client)->acked, expect->after, sizeof(struct fate));
}

static void changes(struct toolstack *toolstack, struct expect *expect)
{
	expect->after = malloc(sizeof(struct fate));
	memcpy(expect->after, &toolstack->now, sizeof(struct fate));
	expect->done = acknowledge;
}

static void set_quota(struct toolstack *toolstack)
{
	unsigned int domid = 1 + roll(toolstack->domains);
	unsigned int i = roll(TOOLSTACK_QUOTAS);
	uint32_t value = 2000 + roll(1000000);
	char text[64];

	toolstack->now.quota[domid][i] = value;
	sprintf(text, "%u|%s|%u", domid, quotas[i], value);
	changes(toolstack, ask(toolstack, XS_SET_QUOTA, text));
}

static void get_quota(struct toolstack *toolstack)
{
	unsigned int domid = 1 + roll(toolstack->domains);
	unsigned int i = roll(TOOLSTACK_QUOTAS);
	struct expect *expect;
	char text[64];

	sprintf(text, "%u|%s", domid, quotas[i]);
	expect = ask(toolstack, XS_GET_QUOTA, text);
	expect->any = !toolstack->now.quota[domid][i];
	sprintf(text, "%u", toolstack->now.quota[domid][i]);
	expect_data(expect, text, strlen(text) + 1);
}

static void introduce(struct toolstack *toolstack)
{
	struct fate *now = &toolstack->now;
	struct expect *expect;
	char text[64];

	if (now->introduced)
		return;
	now->introduced = true;
	client_await(&toolstack->client, "@introduceDomain", "ti");
	sprintf(text, "%u|1|1", toolstack->spare);
	expect = ask(toolstack, XS_INTRODUCE, text);
	changes(toolstack, expect);
}

static void release(struct toolstack *toolstack)
{
	struct fate *now = &toolstack->now;
	struct expect *expect;
	char text[64];

	sprintf(text, "%u", toolstack->spare);
	if (!now->introduced) {
		ask(toolstack, XS_RELEASE, text)->error = "ENOENT";
		return;
	}
	now->introduced = now->known = false;
	client_await(&toolstack->client, "@releaseDomain", "tr");
	expect = ask(toolstack, XS_RELEASE, text);
	changes(toolstack, expect);
}

static void is_introduced(struct toolstack *toolstack)
{
	struct expect *expect;
	char text[64];

	sprintf(text, "%u", toolstack->spare);
	expect = ask(toolstack, XS_IS_DOMAIN_INTRODUCED, text);
	if (toolstack->now.introduced)
		expect_data(expect, "T", 2);
	else
		expect_data(expect, "F", 2);
}

static void set_feature(struct toolstack *toolstack)
{
	struct fate *now = &toolstack->now;
	uint32_t features = roll(8) * 2;
	struct expect *expect;
	char text[64];

	sprintf(text, "%u|%u", toolstack->spare, features);
	expect = ask(toolstack, XS_SET_FEATURE, text);
	if (now->introduced) {
		expect->error = "EBUSY";
		return;
	}
	now->features = features;
	now->known = true;
	changes(toolstack, expect);
}

static void get_feature(struct toolstack *toolstack)
{
	struct expect *expect;
	char text[64];

	if (!toolstack->now.known)
		return;
	sprintf(text, "%u", toolstack->spare);
	expect = ask(toolstack, XS_GET_FEATURE, text);
	sprintf(text, "%u", toolstack->now.features);
	expect_data(expect, text, strlen(text) + 1);
}

void toolstack_act(struct toolstack *toolstack)
{
	if (toolstack->stopped || toolstack->client.link.lost ||
	    toolstack->client.outstanding > 12)
		return;
	switch (roll(toolstack->spare ? 9 : 4)) {
	case 0 ... 1:
		set_quota(toolstack);
		break;
	case 2 ... 3:
		get_quota(toolstack);
		break;
	case 4:
		introduce(toolstack);
		break;
	case 5:
		release(toolstack);
		break;
	case 6:
		is_introduced(toolstack);
		break;
	case 7:
		set_feature(toolstack);
		break;
	case 8:
		get_feature(toolstack);
		break;
	}
}

/* ---- comparing ----------------------------------------------------------- */

static uint32_t number(struct toolstack *toolstack, uint32_t type, char *text)
{
	const char *reply;
	size_t len;
	const char *why = client_ask(&toolstack->client, type, text,
				     strings(text), &reply, &len);

	if (why && !toolstack->client.link.lost)
		fail(&toolstack->client, "%s: %s", text, why);
	return why ? 0 : strtoul(reply, NULL, 10);
}

static struct fate look(struct toolstack *toolstack)
{
	struct fate is = toolstack->now;
	const char *reply;
	char text[64];
	size_t len;

	for (unsigned int d = 1; d <= toolstack->domains; d++)
		for (int i = 0; i < TOOLSTACK_QUOTAS; i++) {
			sprintf(text, "%u|%s", d, quotas[i]);
			is.quota[d][i] = number(toolstack, XS_GET_QUOTA, text);
		}
	if (!toolstack->spare)
		return is;
	sprintf(text, "%u", toolstack->spare);
	client_ask(&toolstack->client, XS_IS_DOMAIN_INTRODUCED, text,
		   strings(text), &reply, &len);
	is.introduced = *reply == 'T';
	return is;
}

/* A quota that was never set is whatever it is. Notes what differs. */
static bool is_fate(struct toolstack *toolstack, const struct fate *is,
		    const struct fate *wanted)
{
	for (unsigned int d = 1; d <= toolstack->domains; d++)
		for (int i = 0; i < TOOLSTACK_QUOTAS; i++) {
			if (!wanted->quota[d][i] ||
			    wanted->quota[d][i] == is->quota[d][i])
				continue;
			note(&toolstack->client, "domain %u has %s %u, not %u",
			     d, quotas[i], is->quota[d][i],
			     wanted->quota[d][i]);
			return false;
		}
	if (is->introduced != wanted->introduced)
		note(&toolstack->client, "the spare is %sintroduced",
		     is->introduced ? "" : "not ");
	return is->introduced == wanted->introduced;
}

void toolstack_verify(struct toolstack *toolstack)
{
	struct fate is = look(toolstack);

	if (!toolstack->client.link.lost &&
	    !is_fate(toolstack, &is, &toolstack->now))
		fail(&toolstack->client, "quotas or domains are not as set");
}

static void watch(struct toolstack *toolstack, const char *path,
		  const char *token)
{
	char text[64];

	sprintf(text, "%s|%s", path, token);
	ask(toolstack, XS_WATCH, text);
	client_await(&toolstack->client, path, token);
}

static void set_watches(struct toolstack *toolstack)
{
	watch(toolstack, "@introduceDomain", "ti");
	watch(toolstack, "@releaseDomain", "tr");
}

bool toolstack_return(struct toolstack *toolstack)
{
	struct client *client = &toolstack->client;
	struct expect *unanswered, *next;
	const struct fate *fate = &toolstack->acked;
	struct fate is;

	link_close(&client->link);
	if (!link_dial(&client->link, toolstack->socket)) {
		client->link.lost = true;
		return false;
	}
	note(client, "connected again");
	toolstack->lost++;
	unanswered = client_put_aside(client);
	is = look(toolstack);
	if (client->link.lost) {
		client_forget(client, unanswered);
		return true;
	}
	for (next = unanswered; next && !is_fate(toolstack, &is, fate);
	     next = next->next)
		if (next->after)
			fate = next->after;
	if (!is_fate(toolstack, &is, fate))
		fail(client, "after the connection was lost, quotas or domains "
		     "are neither as before nor as asked for");
	toolstack->now = *fate;
	toolstack->now.known = false;
	toolstack->acked = toolstack->now;
	client_forget(client, unanswered);
	set_watches(toolstack);
	return true;
}

void toolstack_init(struct toolstack *toolstack, const char *socket,
		    unsigned int domains, unsigned int spare)
{
	memset(toolstack, 0, sizeof(*toolstack));
	client_init(&toolstack->client, "toolstack");
	toolstack->socket = socket;
	toolstack->domains = domains < TOOLSTACK_DOMAINS ? domains :
							   TOOLSTACK_DOMAINS;
	toolstack->spare = spare;
	link_dial(&toolstack->client.link, socket);
	set_watches(toolstack);
}
