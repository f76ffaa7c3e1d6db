/* SPDX-License-Identifier: MIT */
/*
 * What payloads are made of: names of errors, permissions, lists of strings.
 *
 * Pure functions on bytes; no allocation, no state. Also linked by the daemon.
 * Those that can fail return 0 or EINVAL and write `out` only on success.
 */
#ifndef LIBXENSTORE_CODEC_H
#define LIBXENSTORE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

struct xs_permissions;

/* The errno value behind a name on the wire; EINVAL for unknown ones. */
int codec_error_number(const char *name);

/* The name that goes on the wire for an errno value: "EINVAL" for those which
 * have none. */
const char *codec_error_name(int err);

/* Number of NUL bytes in len bytes, which is that of complete strings. */
unsigned int codec_count_strings(const void *bytes, size_t len);

/* Longest text of a permission with its NUL: letter, sign, ten digits. */
#define CODEC_PERM_MAX 13

/* "r12" and the like. The number's base is found as strtol() does. */
int codec_perm_parse(const char *text, struct xs_permissions *out);

/* Writes text and NUL to out[CODEC_PERM_MAX]; EINVAL: no such right. */
int codec_perm_format(const struct xs_permissions *perm, char *out);

#endif
