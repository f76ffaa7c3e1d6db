/* SPDX-License-Identifier: MIT */
/* Operations on domains, their features and quotas. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "op/args.h"
#include "op/op.h"

int op_introduce(struct request *req)
{
	const char *arg[3];
	uint16_t domid;
	int err;

	if (args_strings(req, arg, 3) < 3)
		return EINVAL;
	err = args_parse_domid(arg[0], &domid);
	if (!err)
		err = domains_introduce(req->world->domains, domid,
					args_number(arg[1]),
					args_number(arg[2]));
	return err ? err : reply_ok(req);
}

static int with_domid(struct request *req,
		      int (*fn)(struct domains *domains, uint16_t domid))
{
	uint16_t domid;
	int err;

	err = args_domid(req, &domid);
	if (!err)
		err = fn(req->world->domains, domid);
	return err ? err : reply_ok(req);
}

int op_release(struct request *req)
{
	return with_domid(req, domains_release);
}

int op_resume(struct request *req)
{
	return with_domid(req, domains_resume);
}

int op_get_domain_path(struct request *req)
{
	uint16_t domid;
	int err;

	err = args_domid(req, &domid);
	return err ? err : reply_string(req, "/local/domain/%u", domid);
}

int op_is_domain_introduced(struct request *req)
{
	struct domain *domain;
	uint16_t domid;
	bool yes;
	int err;

	err = args_domid(req, &domid);
	if (err)
		return err;
	domain = domains_find(req->world->domains, domid);
	yes = domid == DOMID_SELF || (domain && domain_introduced(domain));
	return reply_string(req, yes ? "T" : "F");
}

int op_set_target(struct request *req)
{
	uint16_t domid, target;
	const char *arg[2];
	int err;

	if (args_strings(req, arg, 2) < 2)
		return EINVAL;
	err = args_parse_domid(arg[0], &domid);
	if (!err)
		err = args_parse_domid(arg[1], &target);
	if (!err)
		err = domains_set_target(req->world->domains, domid, target);
	return err ? err : reply_ok(req);
}

/* A domain that an argument names; the hypervisor is asked if need be. */
static int known_domain(struct request *req, const char *text,
			struct domain **out)
{
	uint16_t domid;
	int err;

	err = args_parse_domid(text, &domid);
	if (err)
		return err;
	return domains_know(req->world->domains, domid, out);
}

int op_get_feature(struct request *req)
{
	struct domain *domain;
	const char *arg;
	int err;

	if (!req->hdr.len)
		return reply_string(req, "%u", req->session->who.features);
	if (!req->session->who.privileged)
		return EACCES;
	if (args_strings(req, &arg, 1) != 1)
		return EINVAL;
	err = known_domain(req, arg, &domain);
	if (err)
		return err;
	return reply_string(req, "%u", domain_features(domain));
}

int op_set_feature(struct request *req)
{
	const char *arg[2];
	uint16_t domid;
	int err;

	if (args_strings(req, arg, 2) != 2)
		return EINVAL;
	err = args_parse_domid(arg[0], &domid);
	if (!err)
		err = domains_set_features(req->world->domains, domid,
					   args_number(arg[1]));
	return err ? err : reply_ok(req);
}

/* A quota by its name on the wire: "soft-" before the name of an item that has
 * a soft limit names that. */
static int find_quota(const char *name, enum quota_item *item, bool *soft)
{
	int err;

	*soft = !strncmp(name, "soft-", 5);
	err = quota_find(*soft ? name + 5 : name, item);
	if (!err && *soft && !quota_has_soft(*item))
		return EINVAL;
	return err;
}

static int quota_names(struct request *req)
{
	char *names = talloc_strdup(req->ctx, "");

	for (int i = 0; names && i < QUOTA_COUNT; i++) {
		names = talloc_asprintf_append(names, "%s%s", i ? " " : "",
					       quota_name(i));
		if (names && quota_has_soft(i))
			names = talloc_asprintf_append(names, " soft-%s",
						       quota_name(i));
	}
	return names ? reply_string(req, "%s", names) : -ENOMEM;
}

int op_get_quota(struct request *req)
{
	const struct limits *limits = domains_limits(req->world->domains);
	struct domain *domain = NULL;
	struct ledger *ledger;
	enum quota_item item;
	const char *arg[2];
	size_t n = args_strings(req, arg, 2);
	bool soft;
	int err;

	if (!n)
		return quota_names(req);
	if (n > 2)
		return EINVAL;
	err = find_quota(arg[n - 1], &item, &soft);
	if (!err && n == 2)
		err = known_domain(req, arg[0], &domain);
	if (err)
		return err;
	if (!domain)
		return reply_string(req, "%u", soft ? limits->soft[item] :
						      limits->hard[item]);
	ledger = domain_ledger(domain);
	return reply_string(req, "%u", soft ? ledger_soft(ledger, item) :
					      ledger_limit(ledger, item));
}

int op_set_quota(struct request *req)
{
	struct limits *limits = domains_limits(req->world->domains);
	struct domain *domain = NULL;
	enum quota_item item;
	const char *arg[3];
	size_t n = args_strings(req, arg, 3);
	uint64_t value;
	bool soft;
	int err;

	if (n != 2 && n != 3)
		return EINVAL;
	err = find_quota(arg[n - 2], &item, &soft);
	if (!err)
		err = args_parse_number(arg[n - 1], UINT32_MAX - 1, &value);
	if (!err && n == 3)
		err = known_domain(req, arg[0], &domain);
	if (err)
		return err;
	if (domain)
		domain_set_limit(domain, item, soft, value);
	else if (soft)
		limits->soft[item] = value;
	else
		limits->hard[item] = value;
	return reply_ok(req);
}
