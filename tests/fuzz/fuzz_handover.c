/* SPDX-License-Identifier: MIT */
/* Any bytes as the state of a predecessor, up to the tree that comes of it. */
#include "persist/handover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct stream_fault fault;

	handover_check((struct blob){ data, len }, &fault);
	return 0;
}
