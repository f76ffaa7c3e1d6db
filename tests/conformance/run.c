/* SPDX-License-Identifier: MIT */
/*
 * Runs conformance scripts against any xenstored.
 *
 *   run -s SOCKET [-p PEER] SCRIPT.xst...
 *
 * PEER is the name by which scripts tell daemons apart: ours (the default),
 * c417, ox417. Guests are made when $FAKEXEN_DIR names the daemon's hypervisor
 * (tests/peers); tests that need one are skipped otherwise. Output is TAP, one
 * line a test; exit status 1 if a test failed.
 *
 * A script is a list of statements, one on a line, spelled as script.h tells:
 *
 *   test A written value is read back      a test begins; the rest is its name
 *   a WRITE /x "v" = OK                    client a sends, and expects OK
 *   a READ /nox = ENOENT
 *
 * Clients are named freely. A name used for the first time in a test connects
 * to the socket; guests are declared before:
 *
 *   domain g 5           domain 5 exists, with ring and event channel, as g
 *   guest g 5            the same, and it is introduced and owns its home
 *                        /local/domain/5, as a toolstack would make it
 *
 * Requests: NAME OP [tx=N] [id=N] [split=N] ARGUMENT... [= EXPECTED]. OP is the
 * name in the protocol (START and END for short) or op27. split sends the
 * message in pieces of N bytes, and waits until the daemon has seen each.
 * Without "=" the reply is left for later. That it answers the oldest request
 * in type, id and transaction is always checked. EXPECTED is one of
 *
 *   OK                   the request's type and "OK\0"
 *   EINVAL, ENOENT, ...  an error of that name
 *   len N                success, N bytes
 *   done, any            success, whatever
 *   sorted PATTERN       the strings of the reply, sorted
 *   PATTERN              success with that payload; empty: ""
 *
 * and may be followed by "| @PEER EXPECTED" where a daemon differs. Then:
 *
 *   a = EXPECTED         the next reply
 *   a ! PATTERN          the next event:  a ! /path token
 *   a ~ PATTERN          some event that has come, whatever the order
 *   a next = .., next !  the same as = and !, and nothing else came before
 *   a drain              forget events that have come so far
 *   a events N [M]       that N (to M) events have come; forget them
 *   a quiet              nothing else has come
 *   a hold, a send       requests in between leave together
 *   a header OP LEN      only a header, promising LEN bytes
 *   a raw PATTERN        any bytes
 *   a close, a shutdown  hang up; end the sending side only
 *   a eof                the daemon hangs up
 *   a page PATH N        DIRECTORY_PART to the end: N different children
 *   g set FIELD N|+N     a field of the ring's page; +N adds to it
 *   g field FIELD = N    waits for that value
 *   g kick, g silent     notify; no answer comes to a request
 *   g gone               it was released, so look at it no more
 *   g report shutdown    or dying, gone, alive: as the hypervisor sees it
 *   for i 0 5 ... end    i = 0, 1, 2, 3, 4; may be nested
 *   let v VALUE          sets a variable
 *
 * A statement, and the name of a test, may begin with @PEER,PEER or @!PEER:
 * only for, or not for, these daemons.
 *
 * At the end of a test every client must be quiet. Then all hang up, guests
 * die, and all nodes are removed but those that daemons start with.
 */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "guest.h"
#include "script.h"

#define REPLY_MS     5000
#define SILENCE_MS   200
#define CLIENTS_MAX  4096
#define REQUESTS_MAX 8192
#define NESTED_MAX   8
#define BARRIER_ID   0xba221e40u
#define BARRIERS     16

static const char *const op_names[] = {
	"CONTROL",	  "DIRECTORY",
	"READ",		  "GET_PERMS",
	"WATCH",	  "UNWATCH",
	"START",	  "END",
	"INTRODUCE",	  "RELEASE",
	"GET_DOMAIN_PATH", "WRITE",
	"MKDIR",	  "RM",
	"SET_PERMS",	  "WATCH_EVENT",
	"ERROR",	  "IS_DOMAIN_INTRODUCED",
	"RESUME",	  "SET_TARGET",
	"RESTRICT",	  "RESET_WATCHES",
	"DIRECTORY_PART", "GET_FEATURE",
	"SET_FEATURE",	  "GET_QUOTA",
	"SET_QUOTA",
};

struct request {
	uint32_t type, id, tx;
};

struct party {
	char name[32];
	struct client *client; /* NULL: hung up */
	struct guest *guest;
	unsigned int domid; /* of a guest, also when it is gone */
	uint32_t next_id;
	struct request *asked; /* without reply yet, oldest first */
	int asked_count;
	bool hold;
	char *held;
	size_t held_len;
};

struct run {
	const char *socket_path, *peer;
	struct script *script;
	struct vars *vars;
	const struct line *line;
	struct party *party[CLIENTS_MAX];
	int parties;
	struct party ctl; /* the runner's own client */
	struct tokens tokens[NESTED_MAX]; /* of the line of each open loop */
	int nested;
	jmp_buf stop; /* a test ends early: failed or skipped */
	char message[8192];
	bool skipped;
	int tests, failed;
};

/* ---- ending a test early ------------------------------------------------- */

__attribute__((format(printf, 2, 3), noreturn)) static void
fail(struct run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(run->message, sizeof(run->message), fmt, ap);
	va_end(ap);
	longjmp(run->stop, 1);
}

__attribute__((noreturn)) static void skip(struct run *run, const char *why)
{
	run->skipped = true;
	fail(run, "%s", why);
}

/* Bytes as one would write them in a script; a buffer of its own for a call. */
static const char *shown(const void *data, size_t len)
{
	static char buf[2][2048];
	static int turn;
	const unsigned char *s = data;
	char *p = buf[turn = !turn];
	size_t i, n = 0;

	for (i = 0; i < len && n < sizeof(buf[0]) - 32; i++) {
		if (!s[i] && !(i + 1 < len && isdigit(s[i + 1])))
			n += sprintf(p + n, "\\0");
		else if (s[i] == '\n')
			n += sprintf(p + n, "\\n");
		else if (s[i] < 32 || s[i] > 126)
			n += sprintf(p + n, "\\x%02x", s[i]);
		else
			p[n++] = s[i];
	}
	p[n] = 0;
	if (i < len)
		sprintf(p + n, "... (%zu bytes)", len);
	return p;
}

static const char *shown_message(const struct message *msg)
{
	static char buf[4096];
	uint32_t type = msg->hdr.type;

	snprintf(buf, sizeof(buf), "%s \"%s\"",
		 type < sizeof(op_names) / sizeof(*op_names) ? op_names[type]
							     : "?",
		 shown(msg->body, msg->hdr.len));
	return buf;
}

/* ---- parties ------------------------------------------------------------- */

static void party_init(struct party *party, const char *name)
{
	memset(party, 0, sizeof(*party));
	snprintf(party->name, sizeof(party->name), "%s", name);
	party->asked = calloc(REQUESTS_MAX, sizeof(*party->asked));
	party->next_id = 1;
}

/* Nobody talks to it any more; a guest still exists. */
static void party_forget(struct party *party)
{
	if (party->client)
		client_free(party->client);
	party->client = NULL;
}

static void party_hang_up(struct party *party)
{
	party_forget(party);
	if (party->guest)
		guest_free(party->guest);
	party->guest = NULL;
	free(party->asked);
	free(party->held);
	party->asked = NULL;
	party->held = NULL;
}

static struct party *party_find(struct run *run, const char *name)
{
	int i;

	for (i = 0; i < run->parties; i++)
		if (!strcmp(run->party[i]->name, name))
			return run->party[i];
	return NULL;
}

static struct party *party_add(struct run *run, const char *name)
{
	struct party *party;

	if (party_find(run, name) || run->parties == CLIENTS_MAX)
		fail(run, "no second %s", name);
	party = malloc(sizeof(*party));
	party_init(party, name);
	run->party[run->parties++] = party;
	return party;
}

static void party_connect(struct run *run, struct party *party)
{
	party->client = client_connect(run->socket_path);
	if (!party->client)
		fail(run, "%s: connect: %s", party->name, strerror(errno));
}

/* The party of a statement; connects it at first use. */
static struct party *party_of(struct run *run, const char *name)
{
	struct party *party = party_find(run, name);

	if (!party) {
		party = party_add(run, name);
		party_connect(run, party);
	}
	if (!party->client)
		fail(run, "%s has hung up", name);
	return party;
}

/* ---- messages ------------------------------------------------------------ */

static void ask(struct run *run, struct party *party, uint32_t type,
		uint32_t id, uint32_t tx)
{
	if (party->asked_count == REQUESTS_MAX)
		fail(run, "too many requests without reply");
	party->asked[party->asked_count++] = (struct request){ type, id, tx };
}

/* The oldest request is answered by this. */
static struct request answered(struct run *run, struct party *party,
			       const struct message *msg)
{
	struct request req;

	if (!party->asked_count)
		fail(run, "%s: reply to nothing: %s", party->name,
		     shown_message(msg));
	req = party->asked[0];
	memmove(party->asked, party->asked + 1,
		--party->asked_count * sizeof(*party->asked));
	if (msg->hdr.req_id != req.id || msg->hdr.tx_id != req.tx)
		fail(run, "%s: reply has id %u tx %u, expected %u and %u",
		     party->name, msg->hdr.req_id, msg->hdr.tx_id, req.id,
		     req.tx);
	if (msg->hdr.type != req.type && msg->hdr.type != XS_ERROR)
		fail(run, "%s: reply of type %u to %u", party->name,
		     msg->hdr.type, req.type);
	return req;
}

static struct message *take(struct run *run, struct party *party,
			    enum message_kind kind)
{
	struct message *msg = client_take(party->client, kind, REPLY_MS);

	if (!msg)
		fail(run, "%s: no %s: %s", party->name,
		     kind == ANY_EVENT ? "event" : "reply",
		     client_is_dead(party->client) ? "connection closed"
						   : "nothing came");
	return msg;
}

/*
 * A request of the runner itself, after whose reply everything that was to
 * happen before has happened, and all events of it are in the queue.
 */
static void barrier(struct run *run, struct party *party)
{
	uint32_t id = BARRIER_ID + party->next_id++ % BARRIERS;
	struct message *msg;
	bool ours;

	if (!client_request(party->client, XS_GET_DOMAIN_PATH, id, 0, "0", 2))
		fail(run, "%s: connection closed", party->name);
	msg = take(run, party, ANY_REPLY);
	ours = msg->hdr.req_id == id;
	if (!ours)
		fail(run, "%s: unexpected reply: %s", party->name,
		     shown_message(msg));
	free(msg);
}

static void party_send(struct run *run, struct party *party, const void *data,
		       size_t len)
{
	if (party->hold) {
		party->held = realloc(party->held, party->held_len + len);
		memcpy(party->held + party->held_len, data, len);
		party->held_len += len;
	} else if (!client_send(party->client, data, len)) {
		fail(run, "%s: cannot send: connection closed", party->name);
	}
}

static void party_send_split(struct run *run, struct party *party,
			     const char *data, size_t len, size_t piece)
{
	size_t n;

	for (; len; data += n, len -= n) {
		n = len < piece ? len : piece;
		party_send(run, party, data, n);
		barrier(run, &run->ctl);
	}
}

/* ---- what is expected ---------------------------------------------------- */

/* names is "@a,b" or "@!a,b" */
static bool is_for(const struct run *run, const char *names)
{
	size_t len = strlen(run->peer), n;
	bool found = false;

	names++;
	bool negated = *names == '!';

	for (names += negated; *names; names += n + (names[n] == ',')) {
		n = strcspn(names, ",");
		if (n == len && !strncmp(names, run->peer, n))
			found = true;
	}
	return found != negated;
}

static bool is_error_name(const struct token *token)
{
	const char *c = token->bytes;

	if (token->text || *c != 'E')
		return false;
	while (isupper((unsigned char)*c) || isdigit((unsigned char)*c))
		c++;
	return !*c && token->len > 2;
}

/* Narrows [from, to) to the alternative that is for this peer. */
static void choose(const struct run *run, const struct tokens *tokens,
		   int *from, int *to)
{
	int begin = *from, i;
	bool chosen = false;

	for (i = begin; i <= *to; i++) {
		if (i < *to && !token_is(&tokens->token[i], "|"))
			continue;
		if (begin == *from && !chosen) {
			chosen = true; /* the default; may be replaced */
			begin = i + 1;
			continue;
		}
		if (begin < i && is_for(run, tokens->token[begin].bytes)) {
			*from = begin + 1;
			*to = i;
			return;
		}
		begin = i + 1;
	}
	for (i = *from; i < *to; i++)
		if (token_is(&tokens->token[i], "|"))
			*to = i;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the strings in a payload. */
static void sort_strings(unsigned char *bytes, size_t len)
{
	char *copy = malloc(len + 1), **string = NULL, *s, *out;
	size_t count = 0, i;

	memcpy(copy, bytes, len);
	copy[len] = 0;
	for (s = copy; s < copy + len; s += strlen(s) + 1) {
		string = realloc(string, (count + 1) * sizeof(*string));
		string[count++] = s;
	}
	if (count)
		qsort(string, count, sizeof(*string), compare_strings);
	out = (char *)bytes;
	for (i = 0; i < count; i++)
		out = stpcpy(out, string[i]) + 1;
	free(string);
	free(copy);
}

static bool reply_matches(struct run *run, struct message *msg,
			  const struct tokens *tokens, int from, int to)
{
	const struct token *first = &tokens->token[from];
	bool error = msg->hdr.type == XS_ERROR;
	const char *body = (const char *)msg->body;
	size_t len = msg->hdr.len;

	if (from < to && token_is(first, "any"))
		return true;
	if (to - from == 1 && is_error_name(first))
		return error && len == first->len + 1 &&
		       !strcmp(body, first->bytes);
	if (error)
		return false;
	if (from < to && token_is(first, "done"))
		return true;
	if (to - from == 2 && token_is(first, "len"))
		return len == strtoul(first[1].bytes, NULL, 0);
	if (from < to && token_is(first, "sorted")) {
		sort_strings(msg->body, len);
		from++;
	}
	return tokens_match(tokens, from, to, body, len, run->vars);
}

static void expect_reply(struct run *run, struct party *party,
			 struct message *msg, const struct tokens *tokens,
			 int from, int to)
{
	char wanted[8192];
	size_t len;

	answered(run, party, msg);
	choose(run, tokens, &from, &to);
	if (!reply_matches(run, msg, tokens, from, to)) {
		len = tokens_payload(tokens, from, to, wanted, sizeof(wanted));
		fail(run, "%s: got %s, expected %s", party->name,
		     shown_message(msg), shown(wanted, len));
	}
	free(msg);
}

static void expect_event(struct run *run, struct party *party,
			 struct message *msg, const struct tokens *tokens,
			 int from, int to)
{
	char wanted[8192];
	size_t len;

	choose(run, tokens, &from, &to);
	if (msg->hdr.type != XS_WATCH_EVENT || msg->hdr.req_id ||
	    msg->hdr.tx_id ||
	    !tokens_match(tokens, from, to, (char *)msg->body, msg->hdr.len,
			  run->vars)) {
		len = tokens_payload(tokens, from, to, wanted, sizeof(wanted));
		fail(run, "%s: got %s (id %u tx %u), expected the event %s",
		     party->name, shown_message(msg), msg->hdr.req_id,
		     msg->hdr.tx_id, shown(wanted, len));
	}
	free(msg);
}

/* ---- statements on a client ---------------------------------------------- */

static bool op_number(const char *name, uint32_t *op)
{
	unsigned int i;

	for (i = 0; i < sizeof(op_names) / sizeof(*op_names); i++) {
		if (!strcmp(op_names[i], name)) {
			*op = i;
			return true;
		}
	}
	*op = strtoul(name + 2, NULL, 0);
	return !strncmp(name, "op", 2) && isdigit((unsigned char)name[2]);
}

struct options {
	uint32_t tx, id;
	size_t split;
};

/* The options of a request, from token i on; where its arguments begin. */
static int request_options(struct party *party, const struct tokens *tokens,
			   int i, struct options *opt)
{
	const struct token *token;

	*opt = (struct options){ .id = party->next_id++ };
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
	struct xsd_sockmsg hdr = { .type = type };
	struct options opt;
	int from = request_options(party, tokens, 2, &opt);
	int to = find_word(tokens, from, "=");

	hdr.req_id = opt.id;
	hdr.tx_id = opt.tx;
	hdr.len = tokens_payload(tokens, from, to, msg + sizeof(hdr),
				 TOKEN_SIZE);
	memcpy(msg, &hdr, sizeof(hdr));
	ask(run, party, type, opt.id, opt.tx);
	if (opt.split)
		party_send_split(run, party, msg, sizeof(hdr) + hdr.len,
				 opt.split);
	else
		party_send(run, party, msg, sizeof(hdr) + hdr.len);
	if (to < tokens->count)
		expect_reply(run, party, take(run, party, ANY_REPLY), tokens,
			     to + 1, tokens->count);
}

static void do_reply(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	expect_reply(run, party, take(run, party, ANY_REPLY), tokens, 2,
		     tokens->count);
}

static void do_event(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	expect_event(run, party, take(run, party, ANY_EVENT), tokens, 2,
		     tokens->count);
}

static void do_next(struct run *run, struct party *party,
		    const struct tokens *tokens)
{
	struct message *msg = take(run, party, ANY_MESSAGE);

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
	barrier(run, party);
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
	barrier(run, party);
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

static void be_quiet(struct run *run, struct party *party)
{
	if (party->asked_count)
		fail(run, "%s: %d replies not looked at", party->name,
		     party->asked_count);
	barrier(run, party);
	if (client_queue(party->client))
		fail(run, "%s: unexpected %s", party->name,
		     shown_message(client_queue(party->client)));
}

static void do_quiet(struct run *run, struct party *party,
		     const struct tokens *tokens)
{
	(void)tokens;
	be_quiet(run, party);
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
	struct xsd_sockmsg hdr = { .req_id = party->next_id++ };

	if (tokens->count != 4 ||
	    !op_number(tokens->token[2].bytes, &hdr.type))
		fail(run, "header OP LEN");
	hdr.len = strtoul(tokens->token[3].bytes, NULL, 0);
	ask(run, party, hdr.type, hdr.req_id, 0);
	party_send(run, party, &hdr, sizeof(hdr));
}

static void do_raw(struct run *run, struct party *party,
		   const struct tokens *tokens)
{
	static char bytes[TOKEN_SIZE];
	size_t len = tokens_payload(tokens, 2, tokens->count, bytes,
				    sizeof(bytes));

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
	while ((msg = client_take(party->client, ANY_MESSAGE, REPLY_MS)))
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
	ask(run, party, XS_DIRECTORY_PART, party->next_id, 0);
	if (!client_request(party->client, XS_DIRECTORY_PART, party->next_id++,
			    0, payload, n))
		fail(run, "%s: connection closed", party->name);
	msg = take(run, party, ANY_REPLY);
	answered(run, party, msg);
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
	struct xenstore_domain_interface *ring;
	const struct {
		const char *name;
		uint32_t *field;
	} fields[] = {
		{ "req_cons", &(ring = guest_page(party->guest))->req_cons },
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
	__atomic_store_n(field,
			 (*value == '+' ? *field : 0) +
				 (uint32_t)strtoul(value + (*value == '+'),
						   NULL, 0),
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
		fail(run, "%s: unexpected %s", party->name,
		     shown_message(msg));
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
	{ "=", false, do_reply },
	{ "!", false, do_event },
	{ "~", false, do_some_event },
	{ "next", false, do_next },
	{ "drain", false, do_events },
	{ "events", false, do_events },
	{ "quiet", false, do_quiet },
	{ "hold", false, do_hold },
	{ "send", false, do_send },
	{ "header", false, do_header },
	{ "raw", false, do_raw },
	{ "close", false, do_close },
	{ "shutdown", false, do_shutdown },
	{ "eof", false, do_eof },
	{ "page", false, do_page },
	{ "set", true, do_set },
	{ "field", true, do_field },
	{ "kick", true, do_kick },
	{ "silent", true, do_silent },
	{ "gone", true, do_gone },
	{ "report", true, do_report },
};

/* ---- the toolstack's part ------------------------------------------------ */

/* A request of the runner; the reply is freed by the caller. */
static struct message *ctl_request(struct run *run, uint32_t type,
				   const void *data, size_t len)
{
	struct party *ctl = &run->ctl;

	if (!client_request(ctl->client, type, ctl->next_id++, 0, data, len))
		fail(run, "the daemon is gone");
	return take(run, ctl, ANY_REPLY);
}

static void ctl_must(struct run *run, uint32_t type, const void *data,
		     size_t len)
{
	struct message *msg = ctl_request(run, type, data, len);

	if (msg->hdr.type == XS_ERROR)
		fail(run, "%s \"%s\": %s", op_names[type], shown(data, len),
		     msg->body);
	free(msg);
}

static struct party *do_domain(struct run *run, const struct tokens *tokens)
{
	struct party *party;
	struct guest *guest;

	if (tokens->count != 3)
		fail(run, "%s NAME DOMID", tokens->token[0].bytes);
	if (!guests_possible())
		skip(run, "no guests here");
	guest = guest_create(strtoul(tokens->token[2].bytes, NULL, 10));
	if (!guest)
		fail(run, "cannot make domain %s", tokens->token[2].bytes);
	party = party_add(run, tokens->token[1].bytes);
	party->guest = guest;
	party->domid = guest_domid(guest);
	party->client = client_of_guest(guest);
	return party;
}

static void do_guest(struct run *run, const struct tokens *tokens)
{
	unsigned int domid = guest_domid(do_domain(run, tokens)->guest);
	char buf[128];
	int n;

	n = sprintf(buf, "%u%c%u%c%u", domid, 0, domid + 1000, 0, 2) + 1;
	ctl_must(run, XS_INTRODUCE, buf, n);
	n = sprintf(buf, "/local/domain/%u", domid) + 1;
	ctl_must(run, XS_MKDIR, buf, n);
	n += sprintf(buf + n, "n%u", domid) + 1;
	ctl_must(run, XS_SET_PERMS, buf, n);
}

/* Removes all children of a node; the names in spare stay. */
static void clear_node(struct run *run, const char *path,
		       const char *const *spare)
{
	struct message *list = ctl_request(run, XS_DIRECTORY, path,
					   strlen(path) + 1);
	const char *name = (char *)list->body;
	const char *end = name + list->hdr.len;
	char child[XENSTORE_PAYLOAD_MAX];
	int i, n;

	if (list->hdr.type == XS_ERROR)
		end = name;
	for (; name < end; name += strlen(name) + 1) {
		for (i = 0; spare[i] && strcmp(spare[i], name); i++)
			;
		if (spare[i] || name[0] == '@')
			continue;
		n = snprintf(child, sizeof(child), "%s/%s",
			     path[1] ? path : "", name);
		free(ctl_request(run, XS_RM, child, n + 1));
	}
	free(list);
}

static void clean_up(struct run *run)
{
	static const char *const top[] = { "tool", "local", NULL };
	static const char *const none[] = { NULL };
	struct party *party;
	char domid[16];

	for (; run->parties; free(party)) {
		party = run->party[--run->parties];
		if (party->domid) {
			sprintf(domid, "%u", party->domid);
			free(ctl_request(run, XS_RELEASE, domid,
					 strlen(domid) + 1));
		}
		party_hang_up(party);
	}
	clear_node(run, "/", top);
	clear_node(run, "/local/domain", none);
}

/* ---- running ------------------------------------------------------------- */

static void statement(struct run *run, const struct tokens *tokens)
{
	struct party *party;
	unsigned int i;
	uint32_t op;

	if (tokens->count < 2)
		fail(run, "%s what?", tokens->token[0].bytes);
	if (token_is(&tokens->token[0], "domain")) {
		do_domain(run, tokens);
		return;
	}
	if (token_is(&tokens->token[0], "guest")) {
		do_guest(run, tokens);
		return;
	}
	if (token_is(&tokens->token[0], "let")) {
		vars_set(run->vars, tokens->token[1].bytes,
			 tokens->count > 2 ? tokens->token[2].bytes : "");
		return;
	}
	for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (!token_is(&tokens->token[1], verbs[i].name))
			continue;
		/* One may report on a guest that has died. */
		party = verbs[i].guest ? party_find(run,
						    tokens->token[0].bytes)
				       : party_of(run, tokens->token[0].bytes);
		if (verbs[i].guest && (!party || !party->guest))
			fail(run, "not a guest");
		verbs[i].run(run, party, tokens);
		return;
	}
	if (!op_number(tokens->token[1].bytes, &op))
		fail(run, "no operation %s", tokens->token[1].bytes);
	do_request(run, party_of(run, tokens->token[0].bytes), op, tokens);
}

/* Parses a line; false: it is not for this daemon. */
static bool parse(struct run *run, int number, struct tokens *tokens)
{
	const char *text, *why;
	char names[128];
	size_t n;

	run->line = &run->script->line[number];
	text = run->line->text + strspn(run->line->text, " \t");
	if (*text == '@') {
		n = strcspn(text, " \t");
		snprintf(names, sizeof(names), "%.*s", (int)n, text);
		if (!is_for(run, names))
			return false;
		text += n;
	}
	if (!tokens_parse(tokens, text, run->vars, &why))
		fail(run, "syntax: %s", why);
	return tokens->count > 0;
}

/* The first word of a line, whatever it is for. */
static bool begins(const struct run *run, int number, const char *word)
{
	const char *text = run->script->line[number].text;
	size_t n = strlen(word);

	text += strspn(text, " \t");
	return !strncmp(text, word, n) && (!text[n] || isspace(text[n]));
}

static int matching_end(struct run *run, int number, int to)
{
	int depth = 0;

	for (; number < to; number++) {
		depth += begins(run, number, "for");
		depth -= begins(run, number, "end");
		if (!depth)
			return number;
	}
	fail(run, "for without end");
}

static void run_lines(struct run *run, int from, int to);

static void run_loop(struct run *run, const struct tokens *tokens, int from,
		     int to)
{
	long i, begin, end;
	char value[32], name[64];

	if (tokens->count != 4)
		fail(run, "for VAR FROM TO");
	begin = strtol(tokens->token[2].bytes, NULL, 0);
	end = strtol(tokens->token[3].bytes, NULL, 0);
	snprintf(name, sizeof(name), "%s", tokens->token[1].bytes);
	for (i = begin; i < end; i++) {
		sprintf(value, "%ld", i);
		vars_set(run->vars, name, value);
		run_lines(run, from, to);
	}
}

static void run_lines(struct run *run, int from, int to)
{
	struct tokens *tokens = &run->tokens[run->nested];
	int end;

	if (++run->nested == NESTED_MAX)
		fail(run, "loops nested too deep");
	for (; from < to; from++) {
		if (!parse(run, from, tokens))
			continue;
		if (token_is(&tokens->token[0], "for")) {
			end = matching_end(run, from, to);
			run_loop(run, tokens, from + 1, end);
			from = end;
		} else {
			statement(run, tokens);
		}
		tokens_free(tokens);
	}
	run->nested--;
}

/* Everything said and nothing left over, for all that are still there. */
static void all_quiet(struct run *run)
{
	int i;

	for (i = 0; i < run->parties; i++)
		if (run->party[i]->client)
			be_quiet(run, run->party[i]);
}

/* What went wrong, or NULL. */
static const char *attempt(struct run *run, int from, int to)
{
	if (setjmp(run->stop)) {
		for (run->nested = 0; run->nested < NESTED_MAX; run->nested++)
			tokens_free(&run->tokens[run->nested]);
		run->nested = 0;
		return run->message;
	}
	run_lines(run, from, to);
	run->line = NULL;
	all_quiet(run);
	return NULL;
}

static void run_test(struct run *run, const char *title, int from, int to)
{
	const char *why;

	run->skipped = false;
	run->tests++;
	why = attempt(run, from, to);
	if (!why)
		printf("ok %d - %s: %s\n", run->tests, run->script->name,
		       title);
	else if (run->skipped)
		printf("ok %d - %s: %s # skip %s\n", run->tests,
		       run->script->name, title, why);
	else
		printf("not ok %d - %s: %s\n# line %d: %s\n# %s\n", run->tests,
		       run->script->name, title,
		       run->line ? run->line->number : 0,
		       run->line ? run->line->text : "(at its end)", why);
	run->failed += why && !run->skipped;
	if (setjmp(run->stop)) {
		printf("not ok - %s: the daemon does not live on: %s\n",
		       run->script->name, run->message);
		exit(1);
	}
	clean_up(run);
	fflush(stdout);
}

static void run_script(struct run *run)
{
	struct script *script = run->script;
	const char *title;
	char names[128];
	int from, to;
	size_t n;

	for (from = 0; from < script->count; from = to) {
		to = from + 1;
		while (to < script->count && !begins(run, to, "test"))
			to++;
		if (!begins(run, from, "test")) {
			printf("not ok - %s:%d: no test\n", script->name,
			       script->line[from].number);
			run->failed++;
			continue;
		}
		title = script->line[from].text + 4;
		title += strspn(title, " \t");
		n = strcspn(title, " \t");
		snprintf(names, sizeof(names), "%.*s", (int)n, title);
		if (names[0] == '@') {
			if (!is_for(run, names))
				continue;
			title += n + strspn(title + n, " \t");
		}
		run_test(run, title, from + 1, to);
	}
}

int main(int argc, char **argv)
{
	struct run run = { .peer = "ours", .vars = vars_new() };
	int opt;

	while ((opt = getopt(argc, argv, "s:p:")) != -1) {
		if (opt == 's')
			run.socket_path = optarg;
		else if (opt == 'p')
			run.peer = optarg;
		else
			return 2;
	}
	if (!run.socket_path || optind == argc) {
		fprintf(stderr, "usage: run -s SOCKET [-p PEER] SCRIPT...\n");
		return 2;
	}
	party_init(&run.ctl, "the runner");
	run.ctl.client = client_connect(run.socket_path);
	if (!run.ctl.client) {
		perror(run.socket_path);
		return 1;
	}
	for (; optind < argc; optind++) {
		run.script = script_load(argv[optind]);
		if (!run.script) {
			perror(argv[optind]);
			return 1;
		}
		run_script(&run);
		script_free(run.script);
	}
	party_hang_up(&run.ctl);
	vars_free(run.vars);
	printf("1..%d\n", run.tests);
	return run.failed != 0;
}
