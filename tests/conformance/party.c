/* SPDX-License-Identifier: MIT */
/* Clients of a script, their messages, and the ways to end a test: run.h. */
#include "run.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BARRIER_ID 0xba221e40u
#define BARRIERS   16

static const char *const op_names[] = {
	"CONTROL",
	"DIRECTORY",
	"READ",
	"GET_PERMS",
	"WATCH",
	"UNWATCH",
	"START",
	"END",
	"INTRODUCE",
	"RELEASE",
	"GET_DOMAIN_PATH",
	"WRITE",
	"MKDIR",
	"RM",
	"SET_PERMS",
	"WATCH_EVENT",
	"ERROR",
	"IS_DOMAIN_INTRODUCED",
	"RESUME",
	"SET_TARGET",
	"RESTRICT",
	"RESET_WATCHES",
	"DIRECTORY_PART",
	"GET_FEATURE",
	"SET_FEATURE",
	"GET_QUOTA",
	"SET_QUOTA",
};

const char *op_name(uint32_t op)
{
	return op < sizeof(op_names) / sizeof(*op_names) ? op_names[op] : "?";
}

bool op_number(const char *name, uint32_t *op)
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

/* ---- ending a test early ------------------------------------------------- */

void fail(struct run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(run->message, sizeof(run->message), fmt, ap);
	va_end(ap);
	longjmp(run->stop, 1);
}

void skip(struct run *run, const char *why)
{
	run->skipped = true;
	fail(run, "%s", why);
}

/* Bytes as one would write them in a script; a buffer of its own for a call. */
const char *shown(const void *data, size_t len)
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

const char *shown_message(const struct message *msg)
{
	static char buf[4096];
	uint32_t type = msg->hdr.type;

	snprintf(buf, sizeof(buf), "%s \"%s\"", op_name(type),
		 shown(msg->body, msg->hdr.len));
	return buf;
}

/* ---- parties ------------------------------------------------------------- */

void party_init(struct party *party, const char *name)
{
	memset(party, 0, sizeof(*party));
	snprintf(party->name, sizeof(party->name), "%s", name);
	party->asked = calloc(REQUESTS_MAX, sizeof(*party->asked));
	party->next_id = 1;
}

void party_forget(struct party *party)
{
	if (party->client)
		client_free(party->client);
	party->client = NULL;
}

void party_hang_up(struct party *party)
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

struct party *party_find(struct run *run, const char *name)
{
	int i;

	for (i = 0; i < run->parties; i++)
		if (!strcmp(run->party[i]->name, name))
			return run->party[i];
	return NULL;
}

struct party *party_add(struct run *run, const char *name)
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
struct party *party_of(struct run *run, const char *name)
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

void party_ask(struct run *run, struct party *party, uint32_t type, uint32_t id,
	       uint32_t tx)
{
	if (party->asked_count == REQUESTS_MAX)
		fail(run, "too many requests without reply");
	party->asked[party->asked_count++] = (struct request){type, id, tx};
}

/* The oldest request is answered by this. */
void party_answered(struct run *run, struct party *party,
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
}

struct message *party_take(struct run *run, struct party *party,
			   enum message_kind kind)
{
	struct message *msg = client_take(party->client, kind, run->reply_ms);

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
void party_barrier(struct run *run, struct party *party)
{
	uint32_t id = BARRIER_ID + party->next_id++ % BARRIERS;
	struct message *msg;
	bool ours;

	if (!client_request(party->client, XS_GET_DOMAIN_PATH, id, 0, "0", 2))
		fail(run, "%s: connection closed", party->name);
	msg = party_take(run, party, ANY_REPLY);
	ours = msg->hdr.req_id == id;
	if (!ours)
		fail(run, "%s: unexpected reply: %s", party->name,
		     shown_message(msg));
	free(msg);
}

void party_send(struct run *run, struct party *party, const void *data,
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

void party_send_split(struct run *run, struct party *party, const char *data,
		      size_t len, size_t piece)
{
	size_t n;

	for (; len; data += n, len -= n) {
		n = len < piece ? len : piece;
		party_send(run, party, data, n);
		party_barrier(run, &run->ctl);
	}
}

void party_be_quiet(struct run *run, struct party *party)
{
	if (party->asked_count)
		fail(run, "%s: %d replies not looked at", party->name,
		     party->asked_count);
	party_barrier(run, party);
	if (client_queue(party->client))
		fail(run, "%s: unexpected %s", party->name,
		     shown_message(client_queue(party->client)));
}
