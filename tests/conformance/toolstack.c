/* SPDX-License-Identifier: MIT */
/* What the runner does as a toolstack: run.h. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request of the runner; the reply is freed by the caller. */
static struct message *ctl_request(struct run *run, uint32_t type,
				   const void *data, size_t len)
{
	struct party *ctl = &run->ctl;

	if (!client_request(ctl->client, type, ctl->next_id++, 0, data, len))
		fail(run, "the daemon is gone");
	return party_take(run, ctl, ANY_REPLY);
}

static void ctl_must(struct run *run, uint32_t type, const void *data,
		     size_t len)
{
	struct message *msg = ctl_request(run, type, data, len);

	if (msg->hdr.type == XS_ERROR)
		fail(run, "%s \"%s\": %s", op_name(type), shown(data, len),
		     msg->body);
	free(msg);
}

struct party *toolstack_domain(struct run *run, const struct tokens *tokens)
{
	struct party *party;
	struct guest *guest;

	if (tokens->count != 3)
		fail(run, "%s NAME DOMID", tokens->token[0].bytes);
	if (!guests_possible())
		skip(run, "no guests here");
	guest = guest_create(strtoul(tokens->token[2].bytes, NULL, 10));
	if (!guest)
		fail(run, "cannot make domain %s", tokens->token[2].bytes);
	party = party_add(run, tokens->token[1].bytes);
	party->guest = guest;
	party->domid = guest_domid(guest);
	party->client = client_of_guest(guest);
	return party;
}

void toolstack_guest(struct run *run, const struct tokens *tokens)
{
	unsigned int domid = guest_domid(toolstack_domain(run, tokens)->guest);
	char buf[128];
	int n;

	n = sprintf(buf, "%u%c%u%c%u", domid, 0, domid + 1000, 0, 2) + 1;
	ctl_must(run, XS_INTRODUCE, buf, n);
	n = sprintf(buf, "/local/domain/%u", domid) + 1;
	ctl_must(run, XS_MKDIR, buf, n);
	n += sprintf(buf + n, "n%u", domid) + 1;
	ctl_must(run, XS_SET_PERMS, buf, n);
}

/* Removes all children of a node; the names in spare stay. */
static void clear_node(struct run *run, const char *path,
		       const char *const *spare)
{
	struct message *list =
		ctl_request(run, XS_DIRECTORY, path, strlen(path) + 1);
	const char *name = (char *)list->body;
	const char *end = name + list->hdr.len;
	char child[XENSTORE_PAYLOAD_MAX];
	int i, n;

	if (list->hdr.type == XS_ERROR)
		end = name;
	for (; name < end; name += strlen(name) + 1) {
		for (i = 0; spare[i] && strcmp(spare[i], name); i++)
			;
		if (spare[i] || name[0] == '@')
			continue;
		n = snprintf(child, sizeof(child), "%s/%s", path[1] ? path : "",
			     name);
		free(ctl_request(run, XS_RM, child, n + 1));
	}
	free(list);
}

void toolstack_clean_up(struct run *run)
{
	static const char *const top[] = {"tool", "local", NULL};
	static const char *const none[] = {NULL};
	struct party *party;
	char domid[16];

	for (; run->parties; free(party)) {
		party = run->party[--run->parties];
		if (party->domid) {
			sprintf(domid, "%u", party->domid);
			free(ctl_request(run, XS_RELEASE, domid,
					 strlen(domid) + 1));
		}
		party_hang_up(party);
	}
	clear_node(run, "/", top);
	clear_node(run, "/local/domain", none);
}
