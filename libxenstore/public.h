/* SPDX-License-Identifier: MIT */
/*
 * The public headers, for the library itself: it is compiled with hidden
 * visibility, and only what is declared here leaves it.
 */
#ifndef LIBXENSTORE_PUBLIC_H
#define LIBXENSTORE_PUBLIC_H

#pragma GCC visibility push(default)
#include <xenstore.h>
#pragma GCC visibility pop

#endif
