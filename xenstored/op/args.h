/* SPDX-License-Identifier: MIT */
/*
 * Payloads to typed arguments. Total: any bytes give arguments or EINVAL.
 */
#ifndef OP_ARGS_H
#define OP_ARGS_H

#include "op/op.h"

/* The payload is exactly one string with its terminator as the last byte. */
int args_one(const struct request *req, const char **out);
/* Number of zero bytes. */
size_t args_count(const struct request *req);
/* Cuts the payload at zero bytes; fills in up to n strings and returns how
 * many there are. Bytes behind the last zero byte are ignored. */
size_t args_strings(const struct request *req, const char **out, size_t n);

/* Into req->path, by the caller's home and limits. */
int args_parse_path(struct request *req, const char *text, bool special);
/* The payload is one path. */
int args_path(struct request *req, bool special);
/* A path, and everything behind its terminator. */
int args_path_value(struct request *req, struct blob *value);

/* As atoi() reads it: what follows a number, or is none, is not looked at.
 * Operations have always been lenient so; what sets a limit is not. */
int64_t args_number(const char *text);
/* One or more decimal digits and nothing else, at most `max`. */
int args_parse_number(const char *text, uint64_t max, uint64_t *out);
/* Decimal as strtoul() reads it, nothing behind, at most 65535; an empty
 * string is 0. */
int args_parse_domid(const char *text, uint16_t *out);
/* The payload is one domid. */
int args_domid(const struct request *req, uint16_t *out);

/* One entry of a permission list: a letter of "nrwb" and a domid in any base
 * that strtol() knows. */
int args_parse_perm(const char *text, struct perm *out);
char perm_letter(const struct perm *perm);

#endif
