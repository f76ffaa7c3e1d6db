/* SPDX-License-Identifier: MIT */
/* Any bytes as the state of a predecessor. */
#include "persist/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static FILE *null;

	if (!null)
		null = fopen("/dev/null", "w");
	stream_print(data, len, null, NULL);
	return 0;
}
