/* SPDX-License-Identifier: MIT */
/*
 * The image: what records tell about everything but the nodes, until the
 * daemon has made objects of it. Nodes are handed on at once.
 *
 * I1  Applying the records of a journal in order gives the state at its end.
 * I2  A record that contradicts what is known (input at the wrong position,
 *     more sent than was queued) is damage: -EPROTO, and the image is as it
 *     was before.
 */
#ifndef PERSIST_IMAGE_H
#define PERSIST_IMAGE_H

#include "base/hash.h"
#include "base/list.h"
#include "persist/record.h"

struct image_watch {
	struct list in_conn;		/* oldest first */
	struct hash_item by_key;
	struct image_conn *conn;
	const char *path, *token;
	uint16_t relative;
	int32_t depth;
};

struct image_message {
	struct list in_conn;		/* oldest first */
	size_t len;
	unsigned char data[];
};

struct image_txn {
	struct list in_conn;
	uint32_t id;
	struct blob saved;	/* see txn_save(); empty: it is lost */
};

struct image_conn {
	struct list in_image;		/* by number */
	struct hash_item by_number;
	struct image *image;
	struct rec_conn rec;
	unsigned char *in;		/* received, not executed */
	size_t in_len;
	struct list out;		/* messages */
	size_t out_sent;		/* bytes of the first that have left */
	size_t out_bytes;		/* of all, without those */
	struct list watches;
	struct list txns;
};

struct image_domain {
	struct list in_image;		/* in order of their records */
	struct hash_item by_domid;
	struct rec_domain rec;
	bool has_ring;			/* found by the revival */
};

struct image {
	uint64_t generation;		/* the highest that was told */
	struct limits limits;
	bool has_limits;
	struct list conns;
	struct list domains;
	int32_t listener, port;		/* descriptors, -1: none */
	int64_t virq_port;		/* that is to be let go, -1: none */
	/* private */
	struct hash_table *numbers, *domids, *keys;
	const struct record_handlers *nodes;
	void *nodes_arg;
};

/*
 * `nodes` gets begin (all), node, node_remove, purge and generation, each
 * before the image does.
 */
int image_new(TALLOC_CTX *ctx, const struct record_handlers *nodes,
	      void *nodes_arg, struct image **out);

/* For record_read() and journal_replay(), with the image as argument. */
extern const struct record_handlers image_handlers;

struct image_conn *image_conn(const struct image *image, uint64_t number);
/* A transaction that was handed over. -ENOMEM. */
int image_add_txn(struct image_conn *conn, uint32_t id, struct blob saved);

struct image_domain *image_domain(const struct image *image, uint16_t domid);

#endif
