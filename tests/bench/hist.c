/* SPDX-License-Identifier: MIT */
/* See hist.h. */
#include "hist.h"

#include <string.h>

void hist_reset(struct hist *hist)
{
	memset(hist, 0, sizeof(*hist));
}

void hist_add(struct hist *hist, uint64_t ns)
{
	unsigned int shift = 0;

	if (ns >= HIST_SUB)
		shift = 63 - __builtin_clzll(ns) - 5;
	hist->bucket[shift * HIST_SUB + ((ns >> shift) & (HIST_SUB - 1))]++;
	hist->count++;
	if (ns > hist->max)
		hist->max = ns;
}

double hist_percentile_us(const struct hist *hist, double percent)
{
	uint64_t want = hist->count * percent / 100, seen = 0, middle;
	unsigned int i, shift;

	for (i = 0; i < 64 * HIST_SUB; i++) {
		seen += hist->bucket[i];
		if (!hist->bucket[i] || seen <= want)
			continue;
		shift = i / HIST_SUB;
		middle = ((uint64_t)(i % HIST_SUB) << shift) +
			 ((1ull << shift) >> 1);
		return middle / 1e3;
	}
	return hist->max / 1e3;
}
