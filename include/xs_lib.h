/* SPDX-License-Identifier: MIT */
/* The name <xenstore_lib.h> had long ago; for programs that still ask. */
#warning xs_lib.h is the old name of xenstore_lib.h: include <xenstore_lib.h>
#include <xenstore_lib.h>
