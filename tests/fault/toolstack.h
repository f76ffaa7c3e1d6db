/* SPDX-License-Identifier: MIT */
/*
 * A toolstack: quotas of domains, and a spare domain that is introduced and
 * released, which its watches on the special nodes tell.
 */
#ifndef FAULT_TOOLSTACK_H
#define FAULT_TOOLSTACK_H

#include "client.h"

#define TOOLSTACK_QUOTAS 3
#define TOOLSTACK_DOMAINS 8

struct toolstack {
	struct client client;
	const char *socket;
	unsigned int domains;		/* 1..domains have quotas */
	unsigned int spare;		/* 0: none */
	struct fate {
		uint32_t quota[TOOLSTACK_DOMAINS + 1][TOOLSTACK_QUOTAS];
		bool introduced;
		uint32_t features;	/* of the spare, set before */
		bool known;
	} now, acked;			/* sent; answered */
	bool stopped;
	uint32_t lost;
};

void toolstack_init(struct toolstack *toolstack, const char *socket,
		    unsigned int domains, unsigned int spare);
void toolstack_act(struct toolstack *toolstack);
bool toolstack_return(struct toolstack *toolstack);
void toolstack_verify(struct toolstack *toolstack);

#endif
