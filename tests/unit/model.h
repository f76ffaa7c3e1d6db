/* SPDX-License-Identifier: MIT */
/*
 * The store as a list of nodes: slow, obvious, and written without a look at
 * the real one. Replies are texts.
 */
#ifndef UNIT_MODEL_H
#define UNIT_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/who.h"
#include "store/perms.h"

#define MODEL_NODES 400
#define MODEL_PERMS 6

struct mnode {
	char path[40];
	char value[8];
	struct perm list[MODEL_PERMS];
	size_t n;
	uint64_t generation;
};

/* In order of creation. */
struct model {
	struct mnode node[MODEL_NODES];
	size_t n;
};

enum mop { M_READ, M_LIST, M_PERMS, M_WRITE, M_MKDIR, M_RM, M_CHMOD, M_OPS };

struct mreq {
	enum mop op;
	char path[40];
	char value[8];
	struct perm list[MODEL_PERMS];
	size_t n;
};

static struct mnode *m_find(struct model *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->node[i].path, path))
			return &m->node[i];
	return NULL;
}

static bool m_parent(const char *path, char *parent)
{
	const char *slash = strrchr(path, '/');

	if (path[0] != '/' || !path[1])
		return false;
	memmove(parent, path, slash - path + 1);
	parent[slash == path ? 1 : slash - path] = '\0';
	return true;
}

static struct mnode *m_nearest(struct model *m, const char *path)
{
	struct mnode *found;
	char at[40];

	snprintf(at, sizeof(at), "%s", path);
	while (!(found = m_find(m, at)))
		if (!m_parent(at, at))
			return NULL;
	return found;
}

static unsigned int m_rights(const struct mnode *node, const struct who *who)
{
	if (who->privileged || node->list[0].domid == who->domid ||
	    node->list[0].domid == who->target)
		return PERM_BOTH | PERM_OWNER;
	for (size_t i = 1; i < node->n; i++)
		if (!node->list[i].stale &&
		    (node->list[i].domid == who->domid ||
		     node->list[i].domid == who->target ||
		     node->list[i].domid == DOMID_ANY))
			return node->list[i].rights;
	return node->list[0].rights;
}

static const char *m_access(struct model *m, const char *path,
			    const struct who *who, unsigned int want)
{
	struct mnode *node = m_find(m, path), *near = m_nearest(m, path);

	if (node)
		return (m_rights(node, who) & want) == want ? NULL : "EACCES";
	if (!near)
		return who->privileged ? "ENOENT" : "EACCES";
	return m_rights(near, who) & want ? "ENOENT" : "EACCES";
}

static struct mnode *m_add(struct model *m, const char *path,
			   const struct mnode *like, uint64_t generation)
{
	struct mnode *node = &m->node[m->n++];

	if (m->n >= MODEL_NODES)
		abort();
	memset(node, 0, sizeof(*node));
	snprintf(node->path, sizeof(node->path), "%s", path);
	memcpy(node->list, like->list, sizeof(node->list));
	node->n = like->n;
	node->generation = generation;
	return node;
}

static struct mnode *m_create(struct model *m, const char *path,
			      const struct who *who)
{
	struct mnode *near = m_nearest(m, path), like;
	char above[40];

	if (!near)
		abort();
	like = *near;
	if (!who->privileged) {
		like.list[0].domid = who->domid;
		like.list[0].stale = 0;
	}
	m_parent(path, above);
	if (!m_find(m, above))
		m_create(m, above, who);
	return m_add(m, path, &like, 0);
}

static bool m_is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) && (!path[len] || path[len] == '/');
}

static void m_remove(struct model *m, const char *path)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		if (!m_is_below(m->node[i].path, path))
			m->node[n++] = m->node[i];
	m->n = n;
}

static void m_list_text(const struct perm *list, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		out += sprintf(out, "%c%u%s ", "nrwb"[list[i].rights],
			       list[i].domid, list[i].stale ? "?" : "");
	*out = '\0';
}

static void m_kids_text(struct model *m, const char *path, char *out)
{
	char parent[40];

	*out = '\0';
	for (size_t i = 0; i < m->n; i++)
		if (m_parent(m->node[i].path, parent) && !strcmp(parent, path))
			out += sprintf(out, "%s ",
				       strrchr(m->node[i].path, '/') + 1);
}

/* Executes a request; the reply, and whether the node existed, as far as the
 * caller could tell. */
static void m_exec(struct model *m, const struct mreq *req,
		   const struct who *who, char *reply, bool *existed)
{
	struct mnode *node = m_find(m, req->path);
	const char *no = NULL;
	char parent[40];

	*existed = node;
	switch (req->op) {
	case M_READ:
	case M_LIST:
	case M_PERMS:
		no = m_access(m, req->path, who, PERM_READ);
		break;
	case M_CHMOD:
		no = m_access(m, req->path, who, PERM_WRITE | PERM_OWNER);
		break;
	default:
		no = m_access(m, req->path, who, PERM_WRITE);
		break;
	}
	strcpy(reply, no ? no : "OK");
	switch (req->op) {
	case M_READ:
		if (!no && node)
			strcpy(reply, node->value);
		break;
	case M_LIST:
		if (!no)
			m_kids_text(m, req->path, reply);
		break;
	case M_PERMS:
		if (!no && node)
			m_list_text(node->list, node->n, reply);
		break;
	case M_WRITE:
		if (no && strcmp(no, "ENOENT"))
			break;
		if (!node)
			node = m_create(m, req->path, who);
		strcpy(node->value, req->value);
		strcpy(reply, "OK");
		break;
	case M_MKDIR:
		if (no && !strcmp(no, "ENOENT")) {
			m_create(m, req->path, who);
			strcpy(reply, "OK");
		}
		break;
	case M_RM:
		if (no && !strcmp(no, "ENOENT")) {
			if (m_parent(req->path, parent) && m_find(m, parent))
				strcpy(reply, "OK");
		} else if (!no) {
			if (!strcmp(req->path, "/"))
				strcpy(reply, "EINVAL");
			else
				m_remove(m, req->path);
		}
		break;
	case M_CHMOD:
		if (no || !node)
			break;
		if (!who->privileged &&
		    req->list[0].domid != node->list[0].domid) {
			strcpy(reply, "EPERM");
			break;
		}
		for (size_t i = 0; i < req->n; i++)
			node->list[i] = req->list[i];
		node->n = req->n;
		break;
	default:
		abort();
	}
	if (!strcmp(reply, "EACCES"))
		*existed = false;	/* he cannot tell */
}

/* A domain dies. */
static void m_purge(struct model *m, uint16_t domid, uint16_t priv)
{
	for (size_t i = 0; i < m->n;) {
		struct mnode *node = &m->node[i];
		bool stays = !strcmp(node->path, "/") || node->path[0] == '@';

		if (node->list[0].domid == domid && stays) {
			node->list[0].domid = priv;
		} else if (node->list[0].domid == domid) {
			char path[40];

			strcpy(path, node->path);
			m_remove(m, path);
			i = 0;
			continue;
		}
		i++;
	}
	for (size_t i = 0; i < m->n; i++) {
		struct mnode *node = &m->node[i];
		size_t n = 1;

		for (size_t j = 1; j < node->n; j++)
			if (node->list[j].domid != domid)
				node->list[n++] = node->list[j];
		node->n = n;
	}
}

#endif
