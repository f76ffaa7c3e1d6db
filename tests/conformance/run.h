/* SPDX-License-Identifier: MIT */
/*
 * A run of conformance scripts; run.c tells what scripts are.
 *
 * party.c      clients, what they asked and what came; ends of tests
 * expect.c     compares replies and events with what is expected
 * verbs.c      the statements on a client
 * toolstack.c  domains, and the state in which a test begins
 * run.c        files, tests, loops
 *
 * Functions that cannot do what a script wants do not return: fail() ends the
 * test.
 */
#ifndef RUN_H
#define RUN_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "guest.h"
#include "script.h"

#define CLIENTS_MAX  4096
#define REQUESTS_MAX 8192
#define NESTED_MAX   8

/* A request whose reply is awaited. */
struct request {
	uint32_t type, id, tx;
};

/* A client of the script, by name. */
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

/* The whole of it. What is said on stdout is in run.c alone. */
struct run {
	const char *socket_path, *peer;
	int reply_ms; /* until nothing is expected to come any more */
	struct script *script;
	struct vars *vars;
	const struct line *line;
	struct party *party[CLIENTS_MAX];
	int parties;
	struct party ctl;		  /* the runner's own client */
	struct tokens tokens[NESTED_MAX]; /* of the line of each open loop */
	int nested;
	jmp_buf stop; /* a test ends early: failed or skipped */
	char message[8192];
	bool skipped;
	int tests, failed;
};

/* ---- party.c --------------------------------------------------------------
 */

__attribute__((format(printf, 2, 3), noreturn)) void fail(struct run *run,
							  const char *fmt, ...);

/* The test cannot be done here. */
__attribute__((noreturn)) void skip(struct run *run, const char *why);

/* As one would write it in a script; valid until the next call but one. */
const char *shown(const void *data, size_t len);
const char *shown_message(const struct message *msg);

/* Operations by the names that scripts use; "op27" for any number. */
const char *op_name(uint32_t op);
bool op_number(const char *name, uint32_t *op);

void party_init(struct party *party, const char *name);

/* Nobody talks to it any more; a guest still exists. */
void party_forget(struct party *party);
void party_hang_up(struct party *party);

/* NULL: no such client yet. party_of() connects it then. */
struct party *party_find(struct run *run, const char *name);
struct party *party_of(struct run *run, const char *name);
struct party *party_add(struct run *run, const char *name);

/* Notes a request that is to be answered; checks that this answers it. */
void party_ask(struct run *run, struct party *party, uint32_t type, uint32_t id,
	       uint32_t tx);
void party_answered(struct run *run, struct party *party,
		    const struct message *msg);

/* Waits for a message; the caller frees it. */
struct message *party_take(struct run *run, struct party *party,
			   enum message_kind kind);

/*
 * A request of the runner itself, after whose reply everything that was to
 * happen before has happened, and all events of it are in the queue.
 */
void party_barrier(struct run *run, struct party *party);

/* Nothing is there that nobody looked at. */
void party_be_quiet(struct run *run, struct party *party);

void party_send(struct run *run, struct party *party, const void *data,
		size_t len);
void party_send_split(struct run *run, struct party *party, const char *data,
		      size_t len, size_t piece);

/* ---- expect.c --------------------------------------------------------------
 */

/* names: "@a,b" or "@!a,b" */
bool is_for_peer(const struct run *run, const char *names);

/* Narrows [from, to) to the alternative that is for this peer. */
void choose(const struct run *run, const struct tokens *tokens, int *from,
	    int *to);

void sort_strings(unsigned char *bytes, size_t len);

/* Both free the message. */
void expect_reply(struct run *run, struct party *party, struct message *msg,
		  const struct tokens *tokens, int from, int to);
void expect_event(struct run *run, struct party *party, struct message *msg,
		  const struct tokens *tokens, int from, int to);

/* ---- verbs.c ---------------------------------------------------------------
 */

/* NAME VERB ... or NAME OP ... */
void verb_run(struct run *run, const struct tokens *tokens);

/* ---- toolstack.c -----------------------------------------------------------
 */

/* domain NAME DOMID, guest NAME DOMID */
struct party *toolstack_domain(struct run *run, const struct tokens *tokens);
void toolstack_guest(struct run *run, const struct tokens *tokens);

/* All hang up, guests die, and the store is as it was. */
void toolstack_clean_up(struct run *run);

#endif /* RUN_H */
