/* SPDX-License-Identifier: MIT */
/*
 * Runs conformance scripts against any xenstored.
 *
 *   run -s SOCKET [-p PEER] [-t MS] SCRIPT.xst...
 *
 * PEER is the name by which scripts tell daemons apart: ours (the default),
 * c417, ox417. Guests are made when $FAKEXEN_DIR names the daemon's hypervisor
 * (tests/peers), or $VMM_SOCKET its socket for VMMs; tests that need one are
 * skipped otherwise. MS is how long a reply or an event is waited for (5000).
 * Output is TAP, one line a test; exit status 1 if a test failed.
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
#include "run.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void statement(struct run *run, const struct tokens *tokens)
{
	if (tokens->count < 2)
		fail(run, "%s what?", tokens->token[0].bytes);
	if (token_is(&tokens->token[0], "domain")) {
		toolstack_domain(run, tokens);
		return;
	}
	if (token_is(&tokens->token[0], "guest")) {
		toolstack_guest(run, tokens);
		return;
	}
	if (token_is(&tokens->token[0], "let")) {
		vars_set(run->vars, tokens->token[1].bytes,
			 tokens->count > 2 ? tokens->token[2].bytes : "");
		return;
	}
	verb_run(run, tokens);
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
		if (!is_for_peer(run, names))
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
			party_be_quiet(run, run->party[i]);
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
	toolstack_clean_up(run);
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
			if (!is_for_peer(run, names))
				continue;
			title += n + strspn(title + n, " \t");
		}
		run_test(run, title, from + 1, to);
	}
}

int main(int argc, char **argv)
{
	struct run run = {.peer = "ours", .reply_ms = 5000, .vars = vars_new()};
	int opt;

	while ((opt = getopt(argc, argv, "s:p:t:")) != -1) {
		if (opt == 's')
			run.socket_path = optarg;
		else if (opt == 'p')
			run.peer = optarg;
		else if (opt == 't')
			run.reply_ms = atoi(optarg);
		else
			return 2;
	}
	if (!run.socket_path || optind == argc) {
		fprintf(stderr, "usage: run -s SOCKET [-p PEER] [-t MS] "
				"SCRIPT...\n");
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
