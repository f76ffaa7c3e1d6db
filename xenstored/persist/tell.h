/* SPDX-License-Identifier: MIT */
/*
 * Telling: what there is in the daemon, and what changed in it, as records.
 *
 * It reads the objects and adds to the records that it is given; it keeps
 * nothing and owns nothing. When the records cannot take more, their `err`
 * says so, and what is told to them is dropped; no function here fails.
 *
 * Y1  Only tell_progress() and tell_account() change something of a session:
 *     `told_in`, and which messages of its connection are new. What they have
 *     told is not told again by the next tell_progress().
 */
#ifndef PERSIST_TELL_H
#define PERSIST_TELL_H

#include "domains.h"
#include "persist/record.h"

/* The nodes that were changed. */
void tell_changes(struct records *out, const struct changeset *set);

/* The value that a node has, and its generation. */
void tell_value(struct records *out, const char *path,
		const struct node *node);

/* What there is to tell of a domain, to a journal or to a successor. */
struct rec_domain tell_of_domain(const struct domain *domain);
void tell_domain(struct records *out, const struct domain *domain);

/* `sent_of_first`: so much of the first message of its output was sent, and the
 * whole of it is going to be told. Bytes. */
void tell_session(struct records *out, const struct session *session,
		  uint64_t sent_of_first);
/* With `record` as the kind of record: that it is there, or gone. */
void tell_watch(struct records *out, const struct session *session,
		const struct watch *watch,
		void (*record)(struct records *, const struct rec_watch *));
/* The messages that were queued, and how far requests are executed. */
void tell_progress(struct records *out, struct session *session);

/* Borrowed. */
struct tell_what {
	struct sessions *sessions;
	struct domains *domains;
	struct store *store;
	const struct rec_descriptor *descriptors;
	size_t n_descriptors;
};

/* Everything but the nodes; with `all` those, too. */
void tell_account(struct records *out, const struct tell_what *what, bool all);

#endif
