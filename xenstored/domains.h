/* SPDX-License-Identifier: MIT */
/*
 * Domains: who is known, introduced, shut down, or dead.
 *
 * A record is made when the daemon first has to do with a domain (a permission
 * entry, a quota, INTRODUCE) and the owner of the guests says that it exists;
 * it carries the ledger. It goes with the domain's death or RELEASE, in this
 * order: session (watches, transactions, queues), nodes, permission entries,
 * ledger, then @releaseDomain.
 *
 * M1  A record belongs to one instance of a domid: another unique id is a
 *     death and a new domain.
 * M2  The privileged domain and the daemon's own are introduced from the start,
 *     whether they have a ring or not, and never released.
 * M3  @introduceDomain is fired by the first INTRODUCE only; @releaseDomain
 *     once for a shutdown until RESUME, and once for the end.
 * M4  A peer that breaks its ring stays introduced; only its death or RELEASE
 *     ends it.
 */
#ifndef DOMAINS_H
#define DOMAINS_H

#include "base/trace.h"
#include "io/xenport.h"
#include "session.h"

struct domains;
struct domain;

struct domains_options {
	uint16_t priv;		/* privileged domain, normally 0 */
	uint16_t self;		/* where the daemon runs, normally 0 */
	uint32_t features;	/* what is offered to guests */
	bool keep_orphans;
	struct limits limits;	/* for domains that become known */
};

/*
 * `port` may be NULL: there are no guests, only the privileged domain. Comes
 * before the store, whose first nodes the privileged domain's ledger pays for.
 */
int domains_new(TALLOC_CTX *ctx, struct sessions *sessions,
		struct ledgers *ledgers, struct xenport *port,
		struct trace *trace, const struct domains_options *options,
		struct domains **out);

/* What somebody who writes a journal hears. */
struct domains_tap {
	/* A record was made, or something of it has changed. */
	void (*changed)(void *arg, const struct domain *domain);
	/* Permission entries for it are gone. */
	void (*purged)(void *arg, uint16_t domid);
	void (*gone)(void *arg, uint16_t domid);
};

void domains_set_tap(struct domains *domains, const struct domains_tap *tap,
		     void *arg);

/* What a predecessor knew of a domain. */
struct domain_past {
	uint16_t domid;
	uint16_t target;	/* DOMID_INVALID: none */
	bool introduced, shutdown_seen;
	uint32_t features;
	uint64_t unique_id, born;
	const struct limits *limits;	/* NULL: those of new domains */
	/* Of the ring, if it was introduced. */
	uint32_t remote, local;
	bool bound;		/* `local` is still bound */
	uint64_t sequence;	/* number of its session; 0: it had none */
	bool as_in_page;	/* the page's indices tell all there is */
	uint32_t cursor, sent;	/* else: see ring_resume() */
	size_t queued;
};

/*
 * Makes the record again and connects the ring. *session: NULL if it was not
 * introduced, or cannot be connected, which is logged.
 * *more: see ring_resume(). Before domains_start(); not for targets, which
 * follow when all are there. -ENOMEM.
 */
int domains_restore(struct domains *domains, const struct domain_past *past,
		    struct session **session, uint32_t *more);
void domains_restore_target(struct domains *domains, uint16_t domid,
			    uint16_t target);

/* At start: the daemon's own ring, and every domain that can be introduced
 * without being told how. Failures are logged. */
void domains_start(struct domains *domains);

/* The port of a daemon that has to find out about it first. */
void domains_set_port(struct domains *domains, struct xenport *port);

struct limits *domains_limits(struct domains *domains);
const struct domains_options *domains_options(const struct domains *domains);

/* ENOENT: the owner of the guests does not know it. */
int domains_know(struct domains *domains, uint16_t domid, struct domain **out);
/* NULL: not known so far. */
struct domain *domains_find(const struct domains *domains, uint16_t domid);
/* The known domains, in order of domid; NULL starts and ends. */
struct domain *domains_next(const struct domains *domains,
			    const struct domain *prev);

uint16_t domain_domid(const struct domain *domain);
struct ledger *domain_ledger(const struct domain *domain);
struct session *domain_session(const struct domain *domain);
bool domain_introduced(const struct domain *domain);
bool domain_shutdown_seen(const struct domain *domain);
uint32_t domain_features(const struct domain *domain);
uint16_t domain_target(const struct domain *domain);
uint64_t domain_unique_id(const struct domain *domain);
uint64_t domain_born(const struct domain *domain);

/* One limit of one domain; a connection throttled by it looks again. */
void domain_set_limit(struct domain *domain, enum quota_item item, bool soft,
		      uint32_t limit);

/* EINVAL: port 0; or what mapping the page says. */
int domains_introduce(struct domains *domains, uint16_t domid, uint64_t gfn,
		      uint32_t remote);
/* EINVAL: never for this one (M2). ENOENT: not introduced. */
int domains_release(struct domains *domains, uint16_t domid);
int domains_resume(struct domains *domains, uint16_t domid);
/* ENOENT: not introduced. EINVAL: no live connection. */
int domains_set_target(struct domains *domains, uint16_t domid,
		       uint16_t target);
/* ENOENT: unknown. EBUSY: introduced already. EINVAL: not supported. */
int domains_set_features(struct domains *domains, uint16_t domid,
			 uint32_t features);

/* Something changed its state: looks at all that are known. */
void domains_check(struct domains *domains);
/* Memory was short when a domain ended: look again in a while. */
bool domains_unfinished(const struct domains *domains);
/* The slow safety scan of all rings. */
void domains_scan(struct domains *domains);

#endif
