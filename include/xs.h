/* SPDX-License-Identifier: MIT */
/* The name <xenstore.h> had long ago; for programs that still ask for it. */
#warning xs.h is the old name of xenstore.h: include <xenstore.h> instead
#include <xenstore.h>
