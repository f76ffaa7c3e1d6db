/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>
#include <string.h>

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->n = 1;
	model->order = 1;
}

struct model_node *model_find(const struct model *model, const char *path)
{
	for (size_t i = 0; i < model->n; i++)
		if (!strcmp(model->nodes[i].path, path))
			return (struct model_node *)&model->nodes[i];
	return NULL;
}

void model_parent(const char *path, char *out)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	memcpy(out, path, len);
	out[len] = '\0';
}

int model_depth_below(const char *path, const char *top)
{
	size_t len = strlen(top);
	int depth = 0;

	if (!strcmp(path, top))
		return 0;
	if (len && (strncmp(path, top, len) || path[len] != '/'))
		return -1;
	for (path += len ? len + 1 : 0, depth = 1; *path; path++)
		depth += *path == '/';
	return depth;
}

size_t model_missing(const struct model *model, const char *path)
{
	char up[MODEL_PATH];
	size_t n = 0;

	strcpy(up, path);
	while (!model_find(model, up)) {
		n++;
		model_parent(up, up);
	}
	return n;
}

struct model_node *model_ensure(struct model *model, const char *path)
{
	struct model_node *node = model_find(model, path), *parent;
	char up[MODEL_PATH];

	if (node)
		return node;
	model_parent(path, up);
	parent = model_ensure(model, up);
	node = &model->nodes[model->n++];
	*node = (struct model_node){
		.order = model->order++,
		.perms = parent->perms,
	};
	strcpy(node->path, path);
	return node;
}

/* The child with the lowest order above `after`. */
static const struct model_node *next_child(const struct model *model,
					   const char *path, uint32_t after)
{
	const struct model_node *best = NULL;

	for (size_t i = 1; i < model->n; i++) {
		const struct model_node *node = &model->nodes[i];

		if (node->order > after &&
		    (!best || node->order < best->order) &&
		    model_depth_below(node->path, path) == 1)
			best = node;
	}
	return best;
}

void model_remove(struct model *model, const char *path,
		  void (*gone)(void *arg, const char *path), void *arg)
{
	const struct model_node *child;
	char name[MODEL_PATH];
	struct model_node *node;

	while ((child = next_child(model, path, 0))) {
		strcpy(name, child->path);
		model_remove(model, name, gone, arg);
	}
	strcpy(name, path);
	node = model_find(model, name);
	*node = model->nodes[--model->n];
	gone(arg, name);
}

size_t model_list(const struct model *model, const char *path, char *out)
{
	const struct model_node *child;
	uint32_t order = 0;
	size_t len = 0;

	while ((child = next_child(model, path, order))) {
		const char *slash = strrchr(child->path, '/');
		const char *leaf = slash ? slash + 1 : child->path;

		strcpy(out + len, leaf);
		len += strlen(leaf) + 1;
		order = child->order;
	}
	return len;
}

bool model_is_same(const struct model *a, const struct model *b)
{
	char list_a[MODEL_NODES * MODEL_PATH], list_b[sizeof(list_a)];
	size_t len;

	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct model_node *x = &a->nodes[i];
		const struct model_node *y = model_find(b, x->path);

		if (!y || x->len != y->len || x->perms != y->perms ||
		    (x->len && x->seed != y->seed))
			return false;
		len = model_list(a, x->path, list_a);
		if (len != model_list(b, x->path, list_b) ||
		    memcmp(list_a, list_b, len))
			return false;
	}
	return true;
}

void model_value(uint32_t seed, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		out[i] = seed >> 24;
	}
}
