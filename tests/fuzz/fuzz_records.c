/* SPDX-License-Identifier: MIT */
/* Any bytes as the body of a journal record, behind a head that fits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "persist/image.h"
#include "persist/revive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int grow(struct records *records, size_t need)
{
	records->room += need + 4096;
	records->data = realloc(records->data, records->room);
	return records->data ? 0 : -1;
}

/* Chunks of the input, each as a record: type, length, body. */
static void fill(struct records *to, const uint8_t *data, size_t len)
{
	while (len >= 2) {
		unsigned int type = data[0] % 26;
		size_t n = data[1];

		data += 2;
		len -= 2;
		if (n > len)
			n = len;
		record_raw(to, type, (struct blob){ data, n });
		data += n;
		len -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct records records = { .more = grow };
	TALLOC_CTX *ctx = talloc_new(NULL);
	struct revival nodes = { 0 };
	struct ledgers *ledgers;
	struct image *image;
	uint32_t seq = 0;
	size_t pos = 0;
	int err = 0;

	fill(&records, data, len);
	if (!ledgers_new(ctx, &ledgers) &&
	    !store_new(ctx, ledgers, 0, &nodes.store) &&
	    !image_new(ctx, &revival_nodes, &nodes, &image))
		while (err != EAGAIN) {
			size_t before = pos;

			err = record_read(records.data, records.len, &pos,
					  &seq, &image_handlers, image);
			if (pos == before)
				break;
		}
	node_unref(nodes.root);
	talloc_free(ctx);
	free(records.data);
	return 0;
}
