/* SPDX-License-Identifier: MIT */
/* The statements of a script on one client: run.h, run.c. */
#include "run.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_MS 200

struct options {
	uint32_t tx, id;
	size_t split;
};

/* The options of a request, from token i on; where its arguments begin. */
static int request_options(struct party *party, const struct tokens *tokens,
			   int i, struct options *opt)
{
	const struct token *token;

	*opt = (struct options){.id = party->next_id++};
	for (; i < tokens->count; i++) {
		token = &tokens->token[i];
		if (token->text)
			break;
		if (!strncmp(token->bytes, "tx=", 3))
			opt->tx = strtoul(token->bytes + 3, NULL, 0);
		else if (!strncmp(token->bytes, "id=", 3))
			opt->id = strtoul(token->bytes + 3, NULL, 0);
		else if (!strncmp(token->bytes, "split=", 6))
			opt->split = strtoul(token->bytes + 6, NULL, 0);
		else
			break;
	}
	return i;
}

static int find_word(const struct tokens *tokens, int from, const char *word)
{
	while (from < tokens->count && !token_is(&tokens->token[from], word))
		from++;
	return from;
}

static void do_request(struct run *run, struct party *party, uint32_t type,
		       const struct tokens *tokens)
{
	static char msg[sizeof(struct xsd_sockmsg) + TOKEN_SIZE];
	struct xsd_sockmsg hdr = {.type = type};
	struct options opt;
	int from = request_options(party, tokens, 2, &opt);
	int to = find_word(tokens, from, "=");

	hdr.req_id = opt.id;
	hdr.tx_id = opt.tx;
	hdr.len =
		tokens_payload(tokens, from, to, msg + sizeof(hdr), TOKEN_SIZE);
	memcpy(msg, &hdr, sizeof(hdr));
	party_ask(run, party, type, opt.id, opt.tx);
	if (opt.split)
		party_send_split(run, party, msg, sizeof(hdr) + hdr.len,
				 opt.split);
	else
		party_send(run, party, msg, sizeof(hdr) + hdr.len);
	if (to < tokens->count)
		expect_reply(run, party, party_take(run, party, ANY_REPLY),
			     tokens, to + 1, tokens->count);
}

static void do_reply(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	expect_reply(run, party, party_take(run, party, ANY_REPLY), tokens, 2,
		     tokens->count);
}

static void do_event(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	expect_event(run, party, party_take(run, party, ANY_EVENT), tokens, 2,
		     tokens->count);
}

static void do_next(struct run *run, struct party *party,
		    const struct tokens *tokens)
{
	struct message *msg = party_take(run, party, ANY_MESSAGE);

	if (tokens->count > 2 && token_is(&tokens->token[2], "="))
		expect_reply(run, party, msg, tokens, 3, tokens->count);
	else
		expect_event(run, party, msg, tokens, 3, tokens->count);
}

/* Some event that has come; the others stay in order. */
static void do_some_event(struct run *run, struct party *party,
			  const struct tokens *tokens)
{
	int from = 2, to = tokens->count;
	char wanted[8192];
	struct message *msg;
	size_t len;

	choose(run, tokens, &from, &to);
	party_barrier(run, party);
	for (msg = client_queue(party->client); msg; msg = msg->next) {
		if (msg->hdr.type == XS_WATCH_EVENT &&
		    tokens_match(tokens, from, to, (char *)msg->body,
				 msg->hdr.len, run->vars)) {
			client_drop(party->client, msg);
			return;
		}
	}
	len = tokens_payload(tokens, from, to, wanted, sizeof(wanted));
	fail(run, "%s: no event %s", party->name, shown(wanted, len));
}

static void do_events(struct run *run, struct party *party,
		      const struct tokens *tokens)
{
	unsigned long least = 0, most = -1ul, count = 0;
	struct message *msg;

	if (tokens->count > 2)
		least = most = strtoul(tokens->token[2].bytes, NULL, 0);
	if (tokens->count > 3)
		most = strtoul(tokens->token[3].bytes, NULL, 0);
	party_barrier(run, party);
	while ((msg = client_queue(party->client))) {
		if (msg->hdr.type != XS_WATCH_EVENT)
			fail(run, "%s: reply nobody waited for: %s",
			     party->name, shown_message(msg));
		client_drop(party->client, msg);
		count++;
	}
	if (count < least || count > most)
		fail(run, "%s: %lu events, expected %lu to %lu", party->name,
		     count, least, most);
}

static void do_quiet(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	(void)tokens;
	party_be_quiet(run, party);
}

static void do_hold(struct run *run, struct party *party,
		    const struct tokens *tokens)
{
	(void)run;
	(void)tokens;
	party->hold = true;
}

static void do_send(struct run *run, struct party *party,
		    const struct tokens *tokens)
{
	(void)tokens;
	party->hold = false;
	party_send(run, party, party->held, party->held_len);
	party->held_len = 0;
}

static void do_header(struct run *run, struct party *party,
		      const struct tokens *tokens)
{
	struct xsd_sockmsg hdr = {.req_id = party->next_id++};

	if (tokens->count != 4 || !op_number(tokens->token[2].bytes, &hdr.type))
		fail(run, "header OP LEN");
	hdr.len = strtoul(tokens->token[3].bytes, NULL, 0);
	party_ask(run, party, hdr.type, hdr.req_id, 0);
	party_send(run, party, &hdr, sizeof(hdr));
}

static void do_raw(struct run *run, struct party *party,
		   const struct tokens *tokens)
{
	static char bytes[TOKEN_SIZE];
	size_t len =
		tokens_payload(tokens, 2, tokens->count, bytes, sizeof(bytes));

	party_send(run, party, bytes, len);
}

static void do_close(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	(void)run;
	(void)tokens;
	party_hang_up(party);
}

static void do_shutdown(struct run *run, struct party *party,
			const struct tokens *tokens)
{
	(void)run;
	(void)tokens;
	client_shutdown(party->client);
}

static void do_eof(struct run *run, struct party *party,
		   const struct tokens *tokens)
{
	struct message *msg;

	(void)tokens;
	while ((msg = client_take(party->client, ANY_MESSAGE, run->reply_ms)))
		free(msg);
	if (!client_is_dead(party->client))
		fail(run, "%s: still connected", party->name);
	party_hang_up(party);
}

/* One DIRECTORY_PART; the length of its part of the list, without the end. */
static size_t page(struct run *run, struct party *party, const char *path,
		   size_t offset, char *names, char *gen, bool *end)
{
	char payload[XENSTORE_PAYLOAD_MAX], *part;
	size_t len, n = strlen(path) + 1;
	struct message *msg;

	memcpy(payload, path, n);
	n += sprintf(payload + n, "%zu", offset) + 1;
	party_ask(run, party, XS_DIRECTORY_PART, party->next_id, 0);
	if (!client_request(party->client, XS_DIRECTORY_PART, party->next_id++,
			    0, payload, n))
		fail(run, "%s: connection closed", party->name);
	msg = party_take(run, party, ANY_REPLY);
	party_answered(run, party, msg);
	n = strnlen((char *)msg->body, msg->hdr.len) + 1;
	if (msg->hdr.type == XS_ERROR || n >= msg->hdr.len || n > 32)
		fail(run, "%s: %s", party->name, shown_message(msg));
	if (offset && strcmp(gen, (char *)msg->body))
		fail(run, "%s: generation changed", party->name);
	strcpy(gen, (char *)msg->body);
	part = (char *)msg->body + n;
	len = msg->hdr.len - n;
	/* The end: a zero byte alone, or one behind that of the last name. */
	*end = len == 1 || (len >= 2 && !part[len - 1] && !part[len - 2]);
	len -= *end;
	memcpy(names, part, len);
	free(msg);
	return len;
}

static void do_page(struct run *run, struct party *party,
		    const struct tokens *tokens)
{
	size_t len = 0, n, size = 1 << 20, count = 0, want;
	char *list = malloc(size), *s, *last = NULL, gen[32];
	bool end = false;

	if (tokens->count != 4)
		fail(run, "page PATH N");
	want = strtoul(tokens->token[3].bytes, NULL, 0);
	while (!end) {
		n = page(run, party, tokens->token[2].bytes, len, list + len,
			 gen, &end);
		if (!n && !end)
			fail(run, "%s: an empty part", party->name);
		len += n;
	}
	sort_strings((unsigned char *)list, len);
	for (s = list; s < list + len; s += strlen(s) + 1) {
		if (last && !strcmp(last, s))
			fail(run, "%s: child %s came twice", party->name, s);
		last = s;
		count++;
	}
	free(list);
	if (count != want)
		fail(run, "%s: %zu children, expected %zu", party->name, count,
		     want);
}

/* ---- statements on a guest ----------------------------------------------- */

static uint32_t *ring_field(struct run *run, struct party *party,
			    const char *name)
{
	struct xenstore_domain_interface *ring = guest_page(party->guest);
	const struct {
		const char *name;
		uint32_t *field;
	} fields[] = {
		{ "req_cons", &ring->req_cons },
		{ "req_prod", &ring->req_prod },
		{ "rsp_cons", &ring->rsp_cons },
		{ "rsp_prod", &ring->rsp_prod },
		{ "server_features", &ring->server_features },
		{ "connection", &ring->connection },
		{ "error", &ring->error },
		{ "evtchn_port", &ring->evtchn_port },
	};
	unsigned int i;

	for (i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (!strcmp(fields[i].name, name))
			return fields[i].field;
	fail(run, "no field %s", name);
}

static void do_set(struct run *run, struct party *party,
		   const struct tokens *tokens)
{
	uint32_t *field;
	const char *value;

	if (tokens->count != 4)
		fail(run, "set FIELD N");
	field = ring_field(run, party, tokens->token[2].bytes);
	value = tokens->token[3].bytes;
	__atomic_store_n(
		field,
		(*value == '+' ? *field : 0) +
			(uint32_t)strtoul(value + (*value == '+'), NULL, 0),
		__ATOMIC_SEQ_CST);
}

static void do_field(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	int from = 4, to = tokens->count, tries;
	uint32_t *field, value;

	if (tokens->count < 5)
		fail(run, "field FIELD = N");
	choose(run, tokens, &from, &to);
	field = ring_field(run, party, tokens->token[2].bytes);
	value = strtoul(tokens->token[from].bytes, NULL, 0);
	for (tries = 0; tries < 400; tries++) {
		if (__atomic_load_n(field, __ATOMIC_SEQ_CST) == value)
			return;
		usleep(5000);
	}
	fail(run, "%s is %u, expected %u", tokens->token[2].bytes, *field,
	     value);
}

static void do_kick(struct run *run, struct party *party,
		    const struct tokens *tokens)
{
	(void)run;
	(void)tokens;
	guest_kick(party->guest);
}

static void do_silent(struct run *run, struct party *party,
		      const struct tokens *tokens)
{
	struct message *msg;

	(void)tokens;
	guest_kick(party->guest);
	msg = client_take(party->client, ANY_MESSAGE, SILENCE_MS);
	if (msg)
		fail(run, "%s: unexpected %s", party->name, shown_message(msg));
	party_forget(party);
}

/* Released: nobody serves it any more. */
static void do_gone(struct run *run, struct party *party,
		    const struct tokens *tokens)
{
	(void)run;
	(void)tokens;
	party_forget(party);
}

static void do_report(struct run *run, struct party *party,
		      const struct tokens *tokens)
{
	static const char *const events[] = {
		[GUEST_ALIVE] = "alive",
		[GUEST_SHUTDOWN] = "shutdown",
		[GUEST_DYING] = "dying",
		[GUEST_GONE] = "gone",
	};
	unsigned int i;

	for (i = 0; i < sizeof(events) / sizeof(*events); i++) {
		if (tokens->count == 3 &&
		    token_is(&tokens->token[2], events[i])) {
			guest_report(party->guest, i);
			/* Whoever dies has nothing more to say. */
			if (i == GUEST_DYING || i == GUEST_GONE)
				party_forget(party);
			return;
		}
	}
	fail(run, "report what?");
}

static const struct {
	const char *name;
	bool guest; /* only for guests */
	void (*run)(struct run *, struct party *, const struct tokens *);
} verbs[] = {
	{"=", false, do_reply},		  {"!", false, do_event},
	{"~", false, do_some_event},	  {"next", false, do_next},
	{"drain", false, do_events},	  {"events", false, do_events},
	{"quiet", false, do_quiet},	  {"hold", false, do_hold},
	{"send", false, do_send},	  {"header", false, do_header},
	{"raw", false, do_raw},		  {"close", false, do_close},
	{"shutdown", false, do_shutdown}, {"eof", false, do_eof},
	{"page", false, do_page},	  {"set", true, do_set},
	{"field", true, do_field},	  {"kick", true, do_kick},
	{"silent", true, do_silent},	  {"gone", true, do_gone},
	{"report", true, do_report},
};

void verb_run(struct run *run, const struct tokens *tokens)
{
	const char *name = tokens->token[0].bytes;
	struct party *party;
	unsigned int i;
	uint32_t op;

	for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (!token_is(&tokens->token[1], verbs[i].name))
			continue;
		/* One may report on a guest that has died. */
		party = verbs[i].guest ? party_find(run, name)
				       : party_of(run, name);
		if (verbs[i].guest && (!party || !party->guest))
			fail(run, "not a guest");
		verbs[i].run(run, party, tokens);
		return;
	}
	if (!op_number(tokens->token[1].bytes, &op))
		fail(run, "no operation %s", tokens->token[1].bytes);
	do_request(run, party_of(run, name), op, tokens);
}
