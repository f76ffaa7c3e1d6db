/* SPDX-License-Identifier: MIT */
/* The port to Xen with the domain list of newer hypervisors. */
#define UNIQUE_IDS 1
#include "test_xenport_xen.c"
