/* SPDX-License-Identifier: MIT */
/*
 * Text forms of values, names and messages.
 *
 * Whatever the daemon returns may have been written by a guest, and scripts
 * put such data on our command lines; none of it may reach a terminal as it
 * is, unless the user asked for raw bytes.
 *
 * X1  Values, names and messages are printed as bytes 0x20-0x7e only;
 *     text_lines() also lets newlines and tabs through.
 * X2  text_parse() undoes text_value() exactly.
 * X3  Printable ASCII, and so every name a correct daemon accepts, passes
 *     text_name() and text_warn() unchanged.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdio.h>

struct xs_permissions;

/* Longest form of one byte: \xff or \001. */
#define TEXT_BYTE_MAX 4

/* Puts the form of one byte of a value at dst; returns its length, 1 to 4. */
size_t text_byte(char *dst, unsigned char c);

/* Prints len bytes of a value, a backslash as two. */
void text_value(FILE *out, const char *val, size_t len);

/* Prints len bytes of a name; a backslash stands for itself. */
void text_name(FILE *out, const char *name, size_t len);

/* Prints a list of permissions as "n0,r5". */
void text_perms(FILE *out, const struct xs_permissions *perms,
		unsigned int num);

/* Prints text of the daemon: as a name, but lines and tabs stay. */
void text_lines(FILE *out, const char *text);

/* Prints "program: message" and a newline on stderr, the message as a name. */
void text_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Turns the escaped form of a value into its *len bytes, in a block that the
 * caller frees. A backslash at the very end is one zero byte.
 */
char *text_parse(const char *s, size_t *len);

/* Ends the program if memory is short; tools have nothing better to do. */
void *text_alloc(void *old, size_t size);

#endif
