/* SPDX-License-Identifier: MIT */
/* Whether a reply or an event is what a script expects: run.h. */
#include "run.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* names is "@a,b" or "@!a,b" */
bool is_for_peer(const struct run *run, const char *names)
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
void choose(const struct run *run, const struct tokens *tokens, int *from,
	    int *to)
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
		if (begin < i && is_for_peer(run, tokens->token[begin].bytes)) {
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
void sort_strings(unsigned char *bytes, size_t len)
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

void expect_reply(struct run *run, struct party *party, struct message *msg,
		  const struct tokens *tokens, int from, int to)
{
	char wanted[8192];
	size_t len;

	party_answered(run, party, msg);
	choose(run, tokens, &from, &to);
	if (!reply_matches(run, msg, tokens, from, to)) {
		len = tokens_payload(tokens, from, to, wanted, sizeof(wanted));
		fail(run, "%s: got %s, expected %s", party->name,
		     shown_message(msg), shown(wanted, len));
	}
	free(msg);
}

void expect_event(struct run *run, struct party *party, struct message *msg,
		  const struct tokens *tokens, int from, int to)
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
