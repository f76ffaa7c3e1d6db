/* SPDX-License-Identifier: MIT */
/* The inside of domains, for domains.c, which keeps them, and domains_start.c,
 * which makes those that were there before the daemon. */
#ifndef DOMAINS_PRIV_H
#define DOMAINS_PRIV_H

#include "base/log.h"
#include "domains.h"

struct domain {
	struct list in_all;	/* by domid */
	uint16_t domid;
	bool introduced;
	bool shutdown_seen;
	bool over;		/* but its nodes could not be removed yet */
	uint32_t features;
	uint64_t unique_id;
	uint64_t born;		/* generation when the record was made */
	struct domains *domains;
	struct ledger *ledger;
	struct session *session;	/* NULL: not introduced */
};

struct domains {
	struct sessions *sessions;
	struct ledgers *ledgers;
	struct xenport *port;
	struct trace *trace;
	struct domains_options options;
	struct list all;
	/* Sparse, like the ledgers. */
	struct domain **leaf[256];
	size_t over;		/* domains that are */
	struct log_limit quota_log, purge_log;
	const struct domains_tap *tap;	/* NULL: nobody listens */
	void *tap_arg;
};

/* ---- domains.c ----------------------------------------------------------- */

/* M2 */
bool domain_is_fixed(const struct domains *domains, uint16_t domid);
int domain_new(struct domains *domains, uint16_t domid, uint64_t unique_id,
	       struct domain **out);
/* As the owner of the guests sees it. ENOENT: it does not know it. */
int domain_state(const struct domains *domains, uint16_t domid,
		 struct dom_state *out);
int domain_map(struct domains *domains, uint16_t domid, uint64_t gfn,
	       struct xenstore_domain_interface **page);
/* A session over a page that is mapped; the ring unmaps it if this fails. */
int domain_connect(struct domain *domain,
		   struct xenstore_domain_interface *page, uint32_t remote,
		   bool keep);
/* For the store: see store_set_lives(). */
int domain_lives(void *arg, uint16_t domid, uint64_t since);

#endif
