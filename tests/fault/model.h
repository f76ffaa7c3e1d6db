/* SPDX-License-Identifier: MIT */
/*
 * A small store beside the real one: the subtree that belongs to one actor, so
 * that what every request answers is known when it is sent.
 *
 * Paths are relative to its top, which is "". Values are told by length and
 * seed.
 */
#ifndef FAULT_MODEL_H
#define FAULT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_NODES 128
#define MODEL_PATH 16

struct model_node {
	char path[MODEL_PATH];
	uint32_t order;		/* of creation */
	uint32_t seed;
	uint16_t len;
	uint8_t perms;		/* one of the lists that the actor knows */
};

struct model {
	size_t n;
	uint32_t order;
	struct model_node nodes[MODEL_NODES];
};

/* Nothing but the top, with the empty value. */
void model_init(struct model *model);

struct model_node *model_find(const struct model *model, const char *path);
/* How many nodes it would take to create it; 0: it is there. */
size_t model_missing(const struct model *model, const char *path);
/* Makes it, and its parents, with the permissions of the nearest. */
struct model_node *model_ensure(struct model *model, const char *path);
/* Removes it and all below. `gone` hears of each, children before parents and
 * in order of creation. */
void model_remove(struct model *model, const char *path,
		  void (*gone)(void *arg, const char *path), void *arg);

/* The children's names, each with its NUL; returns their length. */
size_t model_list(const struct model *model, const char *path, char *out);
bool model_is_same(const struct model *a, const struct model *b);

void model_parent(const char *path, char *out);
/* Equal counts as below; 0 for equal, -1 for no. */
int model_depth_below(const char *path, const char *top);

void model_value(uint32_t seed, size_t len, char *out);

#endif
