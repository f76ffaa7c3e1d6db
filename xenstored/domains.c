/* SPDX-License-Identifier: MIT */
#include "domains_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "io/ring.h"
#include "store/tree.h"

#define INTRODUCE_EVENT "@introduceDomain"
#define RELEASE_EVENT "@releaseDomain"

static void domain_changed(const struct domain *domain)
{
	const struct domains *domains = domain->domains;

	if (domains->tap)
		domains->tap->changed(domains->tap_arg, domain);
}

void domains_set_tap(struct domains *domains, const struct domains_tap *tap,
		     void *arg)
{
	domains->tap = tap;
	domains->tap_arg = arg;
}

static struct domain **domain_slot(const struct domains *domains,
				   uint16_t domid)
{
	struct domain **leaf = domains->leaf[domid >> 8];

	return leaf ? &leaf[domid & 0xff] : NULL;
}

struct domain *domains_find(const struct domains *domains, uint16_t domid)
{
	struct domain **slot = domain_slot(domains, domid);

	return slot ? *slot : NULL;
}

struct domain *domains_next(const struct domains *domains,
			    const struct domain *prev)
{
	const struct list *next =
		prev ? prev->in_all.next : domains->all.next;

	return next == &domains->all ?
		       NULL :
		       list_entry(next, struct domain, in_all);
}

uint16_t domain_domid(const struct domain *domain)
{
	return domain->domid;
}

struct ledger *domain_ledger(const struct domain *domain)
{
	return domain->ledger;
}

struct session *domain_session(const struct domain *domain)
{
	return domain->session;
}

bool domain_introduced(const struct domain *domain)
{
	return domain->introduced;
}

bool domain_shutdown_seen(const struct domain *domain)
{
	return domain->shutdown_seen;
}

uint32_t domain_features(const struct domain *domain)
{
	return domain->features;
}

uint16_t domain_target(const struct domain *domain)
{
	return domain->session ? domain->session->who.target : DOMID_INVALID;
}

uint64_t domain_unique_id(const struct domain *domain)
{
	return domain->unique_id;
}

uint64_t domain_born(const struct domain *domain)
{
	return domain->born;
}

void domain_set_limit(struct domain *domain, enum quota_item item, bool soft,
		      uint32_t limit)
{
	if (soft)
		ledger_set_soft(domain->ledger, item, limit);
	else
		ledger_set_limit(domain->ledger, item, limit);
	domain_changed(domain);
	if (domain->session)
		conn_recheck(domain->session->conn);
}

struct limits *domains_limits(struct domains *domains)
{
	return &domains->options.limits;
}

const struct domains_options *domains_options(const struct domains *domains)
{
	return &domains->options;
}

static void quota_crossed(void *arg, const struct ledger *ledger,
			  enum quota_item item, bool hard, bool above)
{
	struct domains *domains = arg;
	uint16_t domid = ledger_domid(ledger);
	struct domain *domain = domains_find(domains, domid);

	/* It may go on, also when others removed what was too much. */
	if (hard && !above && domain && domain->session)
		conn_recheck(domain->session->conn);

	trace_line(domains->trace, TRACE_ACC, "d%u %s %s %s limit", domid,
		   quota_name(item), above ? "above" : "below",
		   hard ? "hard" : "soft");
	if (item != QUOTA_MEMORY ||
	    !log_limit(&domains->quota_log, domains->sessions->now, NULL))
		return;
	if (hard && above)
		log_warn("Domain %u exceeds hard memory quota, "
			 "Xenstore interface to domain stalled", domid);
	else if (hard)
		log_warn("Domain %u below hard memory quota again", domid);
	else if (above)
		log_warn("Domain %u exceeds soft memory quota", domid);
	else
		log_warn("Domain %u below soft memory quota again", domid);
}

static int domain_unlink(struct domain *domain)
{
	struct domains *domains = domain->domains;

	TALLOC_FREE(domain->session);
	list_del(&domain->in_all);
	*domain_slot(domains, domain->domid) = NULL;
	if (domains->sessions->store)
		store_forget_ledger(domains->sessions->store, domain->domid);
	domains->over -= domain->over;
	if (domains->tap)
		domains->tap->gone(domains->tap_arg, domain->domid);
	trace_line(domains->trace, TRACE_OBJ, "DESTROY domain %u",
		   domain->domid);
	return 0;
}

static int domain_link(struct domain *domain)
{
	struct domains *domains = domain->domains;
	struct domain ***leaf = &domains->leaf[domain->domid >> 8];
	struct list *before = domains->all.prev;

	if (!*leaf)
		*leaf = talloc_zero_array(domains, struct domain *, 256);
	if (!*leaf)
		return -ENOMEM;
	(*leaf)[domain->domid & 0xff] = domain;
	/* From the end: domids are given out in their order. */
	while (before != &domains->all &&
	       list_entry(before, struct domain, in_all)->domid > domain->domid)
		before = before->prev;
	list_add_head(before, &domain->in_all);
	talloc_set_destructor(domain, domain_unlink);
	return 0;
}

bool domain_is_fixed(const struct domains *domains, uint16_t domid)
{
	return domid == domains->options.priv || domid == domains->options.self;
}

int domain_new(struct domains *domains, uint16_t domid,
	       uint64_t unique_id, struct domain **out)
{
	scoped_talloc struct domain *domain =
		talloc_zero(domains, struct domain);
	int err;

	if (!domain)
		return -ENOMEM;
	domain->domid = domid;
	domain->unique_id = unique_id;
	domain->introduced = domain_is_fixed(domains, domid);
	domain->features = domains->options.features;
	if (domains->sessions->store)
		domain->born = store_generation(domains->sessions->store);
	domain->domains = domains;
	err = ledger_new(domain, domid, domid == domains->options.priv,
			 &domains->options.limits, &domain->ledger);
	if (!err)
		err = ledgers_add(domains->ledgers, domain->ledger);
	if (!err)
		err = domain_link(domain);
	if (err)
		return err;
	ledger_set_notify(domain->ledger, quota_crossed, domains);
	trace_line(domains->trace, TRACE_OBJ, "CREATE domain %u", domid);
	domain_changed(domain);
	*out = TAKE(domain);
	return 0;
}

int domain_state(const struct domains *domains, uint16_t domid,
		 struct dom_state *out)
{
	*out = (struct dom_state){ 0 };
	if (domain_is_fixed(domains, domid))
		return 0;
	if (!domains->port)
		return ENOENT;
	return domains->port->ops->state(domains->port, domid, out);
}

static void domains_fire(struct domains *domains, const char *name,
			 const uint16_t *domids, size_t n)
{
	const struct node *root = store_root(domains->sessions->store);
	struct node *special = tree_find(root, name);

	watch_fire_special(domains->sessions->index, name, domids, n,
			   special ? node_perms(special) : NULL,
			   node_perms(tree_find(root, "/")));
}

/* No one may act for a target that is gone. */
static void domains_drop_target(struct domains *domains, uint16_t target)
{
	struct domain *domain;

	list_for_each(domain, &domains->all, in_all)
		if (domain->session &&
		    domain->session->who.target == target) {
			domain->session->who.target = DOMID_INVALID;
			domain_changed(domain);
		}
}

/*
 * Ends a domain up to its event, which the caller fires. Memory may be too
 * short to remove its nodes at once: then the record stays, and the next look
 * at the domains tries again, and tells.
 */
static int domain_end(struct domain *domain)
{
	struct domains *domains = domain->domains;
	int err;

	TALLOC_FREE(domain->session);
	domains_drop_target(domains, domain->domid);
	domains->over += !domain->over;
	domain->over = true;
	err = store_purge_domain(domains->sessions->store, domain->domid,
				 domains->options.keep_orphans);
	if (err) {
		if (log_limit(&domains->purge_log, domains->sessions->now,
			      NULL))
			log_error("cannot remove the nodes of domain %u: %s",
				  domain->domid, strerror(-err));
		domain_changed(domain);
		return err;
	}
	if (domains->tap)
		domains->tap->purged(domains->tap_arg, domain->domid);
	talloc_free(domain);
	return 0;
}

static int domain_end_and_tell(struct domain *domain)
{
	struct domains *domains = domain->domains;
	bool tell = domain->introduced;
	uint16_t domid = domain->domid;
	int err;

	err = domain_end(domain);
	if (!err && tell)
		domains_fire(domains, RELEASE_EVENT, &domid, 1);
	return err;
}

int domains_know(struct domains *domains, uint16_t domid, struct domain **out)
{
	struct dom_state state;
	int err = 0;

	*out = domains_find(domains, domid);
	if (*out && (*out)->over)
		err = domain_end_and_tell(*out);
	else if (*out)
		return 0;
	if (!err)
		err = domain_state(domains, domid, &state);
	if (err)
		return err;
	if (state.dying)
		return ENOENT;
	err = domain_new(domains, domid, state.unique_id, out);
	if (!err)
		store_charge_ledger(domains->sessions->store, domid);
	return err;
}

int domain_lives(void *arg, uint16_t domid, uint64_t since)
{
	struct domains *domains = arg;
	struct domain *domain;
	int err;

	err = domains_know(domains, domid, &domain);
	if (err)
		return err < 0 ? err : ENOENT;
	return domain->born <= since || domain_is_fixed(domains, domid) ?
		       0 :
		       ENOENT;
}

int domain_map(struct domains *domains, uint16_t domid, uint64_t gfn,
	       struct xenstore_domain_interface **page)
{
	if (!domains->port)
		return EINVAL;
	return domains->port->ops->map(domains->port, domid, gfn, page);
}

int domain_connect(struct domain *domain,
		   struct xenstore_domain_interface *page,
		   uint32_t remote, bool keep)
{
	struct domains *domains = domain->domains;
	struct who who = {
		.domid = domain->domid,
		.target = DOMID_INVALID,
		.privileged = domain->domid == domains->options.priv,
		.features = domain->features,
	};
	struct transport *transport;
	int err;

	err = ring_new(domain, domains->port, domain->domid, page, remote,
		       domain->features, keep, &transport);
	if (err)
		return err;
	err = session_new(domain, domains->sessions, transport, &who,
			  domain->ledger, &domain->session);
	if (err)
		return err;
	domain->introduced = true;
	domain_changed(domain);
	return 0;
}

static int domain_introduce_first(struct domain *domain, uint64_t gfn,
				  uint32_t remote)
{
	struct xenstore_domain_interface *page;
	uint32_t own;
	int err;

	err = domain_map(domain->domains, domain->domid, gfn, &page);
	if (err)
		return err;
	/* A domain made at boot tells its port in the page itself. */
	own = __atomic_load_n(&page->evtchn_port, __ATOMIC_RELAXED);
	err = domain_connect(domain, page, own ? own : remote, false);
	if (err)
		return err;
	if (!domain_is_fixed(domain->domains, domain->domid))
		domains_fire(domain->domains, INTRODUCE_EVENT, &domain->domid,
			     1);
	return 0;
}

/* M1, M3. True: the domain is over and shall be ended. */
static bool domain_is_over(const struct domain *domain,
			   const struct dom_state *state, int err)
{
	return domain->over || err == ENOENT ||
	       (!err && (state->dying ||
			 state->unique_id != domain->unique_id));
}

/* Who introduces a domain may be faster than the news of the death of the
 * former one. */
static int domains_end_former(struct domains *domains, uint16_t domid)
{
	struct domain *domain = domains_find(domains, domid);
	struct dom_state state;
	int err;

	if (!domain || domain_is_fixed(domains, domid))
		return 0;
	err = domain_state(domains, domid, &state);
	return domain_is_over(domain, &state, err) ?
		       domain_end_and_tell(domain) :
		       0;
}

int domains_introduce(struct domains *domains, uint16_t domid, uint64_t gfn,
		      uint32_t remote)
{
	struct domain *domain;
	bool known;
	int err;

	if (!remote)
		return EINVAL;
	err = domains_end_former(domains, domid);
	if (err)
		return err;
	known = domains_find(domains, domid);
	err = domains_know(domains, domid, &domain);
	if (err)
		return err;
	if (domain->session) {
		session_reset(domain->session, true);
		ring_reintroduce(conn_transport(domain->session->conn), remote);
		domain_changed(domain);
		return 0;
	}
	err = domain_introduce_first(domain, gfn, remote);
	if (err && !known)
		talloc_free(domain);
	return err;
}

static int domain_find_introduced(struct domains *domains, uint16_t domid,
				  struct domain **out)
{
	*out = domains_find(domains, domid);
	return *out && (*out)->introduced ? 0 : ENOENT;
}

int domains_release(struct domains *domains, uint16_t domid)
{
	struct domain *domain;
	int err;

	if (domain_is_fixed(domains, domid))
		return EINVAL;
	err = domain_find_introduced(domains, domid, &domain);
	return err ? err : domain_end_and_tell(domain);
}

int domains_resume(struct domains *domains, uint16_t domid)
{
	struct domain *domain;
	int err;

	if (domain_is_fixed(domains, domid))
		return EINVAL;
	err = domain_find_introduced(domains, domid, &domain);
	if (err)
		return err;
	domain->shutdown_seen = false;
	domain_changed(domain);
	return 0;
}

static bool domain_connected(const struct domain *domain)
{
	return domain->session && !conn_ignored(domain->session->conn);
}

int domains_set_target(struct domains *domains, uint16_t domid,
		       uint16_t target)
{
	struct domain *domain, *other;
	int err;

	err = domain_find_introduced(domains, domid, &domain);
	if (!err)
		err = domain_find_introduced(domains, target, &other);
	if (err)
		return err;
	if (!domain_connected(domain) || !domain_connected(other))
		return EINVAL;
	domain->session->who.target = target;
	domain_changed(domain);
	return 0;
}

int domains_set_features(struct domains *domains, uint16_t domid,
			 uint32_t features)
{
	struct domain *domain;
	int err;

	if (features & ~domains->options.features)
		return EINVAL;
	err = domains_know(domains, domid, &domain);
	if (err)
		return err;
	if (domain->introduced)
		return EBUSY;
	domain->features = features;
	domain_changed(domain);
	return 0;
}

static void domain_set_shutdown(struct domain *domain)
{
	domain->shutdown_seen = true;
	domain_changed(domain);
}

void domains_check(struct domains *domains)
{
	struct domain *domain, *next;
	scoped_talloc uint16_t *told = NULL;
	size_t n = 0, known = 0;

	list_for_each(domain, &domains->all, in_all)
		known++;
	told = talloc_array(NULL, uint16_t, known);
	list_for_each_safe(domain, next, &domains->all, in_all)
	{
		uint16_t domid = domain->domid;
		bool tell = domain->introduced;
		struct dom_state state;
		int err;

		if (domain_is_fixed(domains, domid))
			continue;
		err = domain_state(domains, domid, &state);
		if (domain_is_over(domain, &state, err))
			tell &= !domain_end(domain);
		else if (!err && state.shutdown && !domain->shutdown_seen)
			domain_set_shutdown(domain);
		else
			tell = false;	/* also if it cannot be known */
		if (tell && told)
			told[n++] = domid;
		else if (tell)
			domains_fire(domains, RELEASE_EVENT, &domid, 1);
	}
	if (n)
		domains_fire(domains, RELEASE_EVENT, told, n);
}

void domains_scan(struct domains *domains)
{
	struct domain *domain;

	list_for_each(domain, &domains->all, in_all)
		if (domain->session)
			ring_scan(conn_transport(domain->session->conn));
}

bool domains_unfinished(const struct domains *domains)
{
	return domains->over;
}

static void domains_changed(void *arg)
{
	domains_check(arg);
}

static int domains_attached(void *arg, uint16_t domid, bool introduce)
{
	struct domains *domains = arg;
	const struct domain *domain = domains_find(domains, domid);
	struct dom_state state;
	int err;

	if (!introduce || (domain && domain->introduced &&
			   !domain_state(domains, domid, &state) &&
			   domain->unique_id == state.unique_id))
		return 0;
	/* The VMM's channel needs no number: any but 0 will do. */
	err = domains_introduce(domains, domid, 0, 1);
	if (err)
		log_warn("cannot introduce domain %u: %s", domid,
			 strerror(abs(err)));
	return err;
}

void domains_set_port(struct domains *domains, struct xenport *port)
{
	domains->port = port;
	port->changed = domains_changed;
	port->attached = domains_attached;
	port->arg = domains;
}

/* Before the leaves that they leave. */
static int domains_free(struct domains *domains)
{
	struct domain *domain;

	while ((domain = list_first(&domains->all, struct domain, in_all)))
		talloc_free(domain);
	return 0;
}

int domains_new(TALLOC_CTX *ctx, struct sessions *sessions,
		struct ledgers *ledgers, struct xenport *port,
		struct trace *trace, const struct domains_options *options,
		struct domains **out)
{
	scoped_talloc struct domains *domains =
		talloc_zero(ctx, struct domains);
	struct domain *fixed;
	int err;

	if (!domains)
		return -ENOMEM;
	domains->sessions = sessions;
	domains->ledgers = ledgers;
	domains->trace = trace;
	domains->options = *options;
	list_init(&domains->all);
	talloc_set_destructor(domains, domains_free);
	err = domain_new(domains, options->priv, 0, &fixed);
	if (!err && options->self != options->priv)
		err = domain_new(domains, options->self, 0, &fixed);
	if (err)
		return err;
	if (port)
		domains_set_port(domains, port);
	*out = TAKE(domains);
	return 0;
}
