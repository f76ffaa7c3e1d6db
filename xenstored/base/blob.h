/* SPDX-License-Identifier: MIT */
/* Borrowed bytes; never NUL-terminated by promise. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stddef.h>

struct blob {
	const void *data;
	size_t len;
};

#endif
