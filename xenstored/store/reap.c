/* SPDX-License-Identifier: MIT */
#include "store/reap.h"

#include <errno.h>
#include <string.h>

#include "base/list.h"
#include "base/scoped.h"
#include "store/tree.h"

struct reap_job {
	struct list link;
	struct node *top;
	struct tree_walk *walk;	/* NULL: not begun */
	uint64_t number;
	size_t len;
	char path[];
};

struct reaper {
	struct nodes *nodes;
	struct owners *owners;
	struct list jobs;
	uint64_t last, settled;
	bool starved;
};

static int reaper_free(struct reaper *reaper)
{
	struct reap_job *job;

	while ((job = list_first(&reaper->jobs, struct reap_job, link)))
		talloc_free(job);
	return 0;
}

int reaper_new(TALLOC_CTX *ctx, struct nodes *nodes, struct owners *owners,
	       struct reaper **out)
{
	struct reaper *reaper = talloc_zero(ctx, struct reaper);

	if (!reaper)
		return -ENOMEM;
	reaper->nodes = nodes;
	reaper->owners = owners;
	list_init(&reaper->jobs);
	talloc_set_destructor(reaper, reaper_free);
	*out = reaper;
	return 0;
}

static int reap_job_free(struct reap_job *job)
{
	list_del(&job->link);
	talloc_free(job->walk);
	node_unref(job->top);
	return 0;
}

int reap_job_new(TALLOC_CTX *ctx, const char *path, size_t len,
		 struct reap_job **out)
{
	struct reap_job *job = talloc_size(ctx, sizeof(*job) + len + 1);

	if (!job)
		return -ENOMEM;
	talloc_set_name_const(job, "struct reap_job");
	memset(job, 0, sizeof(*job));
	list_init(&job->link);
	job->len = len;
	memcpy(job->path, path, len);
	job->path[len] = '\0';
	talloc_set_destructor(job, reap_job_free);
	*out = job;
	return 0;
}

void reaper_add(struct reaper *reaper, struct reap_job *job, struct node *top)
{
	talloc_steal(reaper, job);
	job->top = node_ref(top);
	job->number = ++reaper->last;
	list_add_tail(&reaper->jobs, &job->link);
}

bool reaper_pending(const struct reaper *reaper)
{
	return !list_empty(&reaper->jobs);
}

bool reaper_starved(const struct reaper *reaper)
{
	return reaper->starved;
}

uint64_t reaper_last(const struct reaper *reaper)
{
	return reaper->last;
}

uint64_t reaper_settled(const struct reaper *reaper)
{
	return reaper->settled;
}

uint64_t node_charge(const struct node *node, size_t len)
{
	return node_quota_size(node) + len;
}

/* A claim on the path of a removed node: is it true of what is there now? */
static void claim_review(void *arg, struct claim *claim)
{
	const struct node *root = arg;

	if (!tree_find(root, claim->path))
		claim_drop(claim);
}

static void settle(struct owners *owners, const struct node *root,
		   const struct node *node, const char *path, size_t len,
		   uint64_t number)
{
	struct owner *owner = owners_find(owners,
					  perms_owner(node_perms(node)));

	if (owner && number > owner->purged)
		owner_account(owner, -1, -(int64_t)node_charge(node, len));
	claims_on(owners, path, len, claim_review, (void *)root);
}

void reap_node(struct owners *owners, const struct node *root,
	       const struct node *node, const char *path, size_t len)
{
	settle(owners, root, node, path, len, UINT64_MAX);
}

static bool job_starves(struct reaper *reaper, unsigned int *budget)
{
	reaper->starved = true;
	*budget = 0;	/* later, then */
	return false;
}

/* Spends budget on one job. True: the job is done, and freed. */
static bool job_step(struct reaper *reaper, struct reap_job *job,
		     const struct node *root, unsigned int *budget)
{
	struct node *node;
	const char *path;
	int err;

	if (!job->walk) {
		err = tree_walk_new(job, job->top, job->path, &job->walk);
		if (err)
			return job_starves(reaper, budget);
	}
	for (; *budget; (*budget)--) {
		err = tree_walk_next(job->walk, &node, &path);
		if (err == ENOENT) {
			talloc_free(job);
			return true;
		}
		if (err)
			return job_starves(reaper, budget);
		settle(reaper->owners, root, node, path, strlen(path),
		       job->number);
		reaper->settled++;
	}
	return false;
}

bool reaper_step(struct reaper *reaper, const struct node *root,
		 const struct owner *first, unsigned int budget)
{
	struct reap_job *job, *tmp;
	unsigned int left = budget;

	reaper->starved = false;
	if (first) {
		list_for_each_safe(job, tmp, &reaper->jobs, link)
		{
			if (perms_owner(node_perms(job->top)) != first->domid)
				continue;
			if (!job_step(reaper, job, root, &left))
				break;
		}
	}
	while (left && reaper_pending(reaper)) {
		job = list_first(&reaper->jobs, struct reap_job, link);
		job_step(reaper, job, root, &left);
	}
	return nodes_reap(reaper->nodes, budget) ||
	       (reaper_pending(reaper) && !reaper->starved);
}
