/* SPDX-License-Identifier: MIT */
/*
 * Domains that were there before the daemon: those that a predecessor knew,
 * with the rings that it served, and those that can be introduced without being
 * told how, the daemon's own first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "domains_priv.h"
#include "io/ring.h"

/* ---- after a predecessor ------------------------------------------------- */

static int domain_restore_record(struct domains *domains,
				 const struct domain_past *past,
				 struct domain **out)
{
	struct domain *domain = domains_find(domains, past->domid);
	struct dom_state state;
	int i, err;

	if (!domain) {
		err = domain_new(domains, past->domid, past->unique_id,
				 &domain);
		if (err)
			return err;
	}
	domain->unique_id = past->unique_id;
	/* A predecessor may not have known. */
	if (!past->unique_id && !domain_state(domains, past->domid, &state))
		domain->unique_id = state.unique_id;
	domain->born = past->born;
	domain->features = past->features;
	domain->shutdown_seen = past->shutdown_seen;
	for (i = 0; past->limits && i < QUOTA_COUNT; i++) {
		ledger_set_limit(domain->ledger, i, past->limits->hard[i]);
		ledger_set_soft(domain->ledger, i, past->limits->soft[i]);
	}
	/* By its own limits: it may have more than others are allowed. */
	store_charge_ledger(domains->sessions->store, past->domid);
	*out = domain;
	return 0;
}

/* The ring as it was. Its port is bound again if it had to go. */
static int domain_restore_ring(struct domain *domain,
			       const struct domain_past *past,
			       struct transport **out)
{
	struct domains *domains = domain->domains;
	struct xenstore_domain_interface *page;
	uint32_t remote = past->remote;
	int err;

	if (!domains->port)
		return ENODEV;
	if (domain->domid == domains->options.self)
		err = domains->port->ops->own_ring(domains->port, &page,
						   &remote);
	else
		err = domain_map(domains, domain->domid, 0, &page);
	if (err)
		return err;
	if (past->bound)
		return ring_adopt(domain, domains->port, domain->domid, page,
				  remote, past->local, domain->features, out);
	return ring_new(domain, domains->port, domain->domid, page, remote,
			domain->features, true, out);
}

int domains_restore(struct domains *domains, const struct domain_past *past,
		    struct session **session, uint32_t *more)
{
	struct who who = {
		.domid = past->domid,
		.target = DOMID_INVALID,
		.privileged = past->domid == domains->options.priv,
		.features = past->features,
	};
	struct transport *ring;
	struct domain *domain;
	int err;

	*session = NULL;
	*more = 0;
	err = domain_restore_record(domains, past, &domain);
	if (err)
		return err;
	if (!past->introduced || !past->sequence)
		return 0;
	domain->introduced = true;
	err = domain_restore_ring(domain, past, &ring);
	if (err) {
		log_error("cannot connect domain %u again: %s", past->domid,
			  strerror(abs(err)));
		return 0;
	}
	if (!past->as_in_page)
		ring_resume(ring, past->cursor, past->sent, past->queued,
			    more);
	domains->sessions->sequence = past->sequence - 1;
	err = session_new(domain, domains->sessions, ring, &who,
			  domain->ledger, &domain->session);
	*session = domain->session;
	return err;
}

void domains_restore_target(struct domains *domains, uint16_t domid,
			    uint16_t target)
{
	struct domain *domain = domains_find(domains, domid);

	if (domain && domain->session && domains_find(domains, target))
		domain->session->who.target = target;
}

/* ---- at the start -------------------------------------------------------- */

static void domains_start_own(struct domains *domains)
{
	struct xenstore_domain_interface *page;
	struct domain *domain = domains_find(domains, domains->options.self);
	uint32_t remote;
	int err;

	if (domain->session)
		return;		/* it was restored */
	err = domains->port->ops->own_ring(domains->port, &page, &remote);
	if (err == ENODEV)
		return;
	if (!err)
		err = domain_connect(domain, page, remote, false);
	if (err)
		log_error("cannot connect domain %u, the daemon's own: %s",
			  domain->domid, strerror(abs(err)));
}

static void domains_start_existing(struct domains *domains, uint16_t domid)
{
	struct xenstore_domain_interface *page;
	const struct domain *domain = domains_find(domains, domid);
	uint32_t remote;

	if (domain_is_fixed(domains, domid) ||
	    (domain && domain->introduced) ||
	    domain_map(domains, domid, 0, &page))
		return;
	remote = __atomic_load_n(&page->evtchn_port, __ATOMIC_RELAXED);
	domains->port->ops->unmap(domains->port, domid, page);
	if (!remote)
		return;
	if (domains_introduce(domains, domid, 0, remote))
		log_warn("cannot introduce the existing domain %u", domid);
}

void domains_start(struct domains *domains)
{
	struct dom_state state;
	uint16_t domid = 0;

	store_set_lives(domains->sessions->store, domain_lives, domains);
	if (!domains->port)
		return;
	domains_start_own(domains);
	while (!domains->port->ops->next(domains->port, &domid, &state)) {
		if (!state.dying)
			domains_start_existing(domains, domid);
		if (domid++ >= DOMID_FIRST_RESERVED)
			break;
	}
}
