/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore_lib.h>

static bool printable(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e;
}

size_t text_byte(char *dst, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char plain[] = "\t\n\r\\", letter[] = "tnr\\";
	const char *p;

	if (printable(c) && c != '\\') {
		dst[0] = c;
		return 1;
	}

	dst[0] = '\\';
	p = memchr(plain, c, sizeof(plain) - 1);
	if (p) {
		dst[1] = letter[p - plain];
		return 2;
	}

	if (c < 8) {
		dst[1] = dst[2] = '0';
		dst[3] = '0' + c;
	} else {
		dst[1] = 'x';
		dst[2] = hex[c >> 4];
		dst[3] = hex[c & 15];
	}
	return 4;
}

void text_value(FILE *out, const char *val, size_t len)
{
	char buf[TEXT_BYTE_MAX];
	size_t i;

	for (i = 0; i < len; i++)
		fwrite_unlocked(buf, 1, text_byte(buf, val[i]), out);
}

void text_name(FILE *out, const char *name, size_t len)
{
	char buf[TEXT_BYTE_MAX];
	size_t i;

	for (i = 0; i < len; i++) {
		if (printable(name[i]))
			putc_unlocked(name[i], out);
		else
			fwrite_unlocked(buf, 1, text_byte(buf, name[i]), out);
	}
}

void text_perms(FILE *out, const struct xs_permissions *perms,
		unsigned int num)
{
	/* Indexed by XS_PERM_READ | XS_PERM_WRITE. */
	static const char letters[] = "nrwb";
	unsigned int i;

	for (i = 0; i < num; i++)
		fprintf(out, "%s%c%u", i ? "," : "",
			letters[perms[i].perms & 3], perms[i].id);
}

void text_lines(FILE *out, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n\t");

		text_name(out, text, len);
		text += len;
		if (*text)
			putc_unlocked(*text++, out);
	}
}

void text_warn(const char *fmt, ...)
{
	char *msg;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&msg, fmt, ap);
	va_end(ap);
	if (len < 0)
		err(1, NULL);

	fprintf(stderr, "%s: ", program_invocation_short_name);
	text_name(stderr, msg, len);
	putc('\n', stderr);
	free(msg);
}

/* Up to max digits of a base at *s, which is left behind them. */
static unsigned char parse_digits(const char **s, int max, int base)
{
	char digits[4] = "";
	int n;

	for (n = 0; n < max; n++) {
		unsigned char c = (*s)[n];

		if (base == 16 ? !isxdigit(c) : c < '0' || c > '7')
			break;
		digits[n] = c;
	}
	*s += n;
	return strtoul(digits, NULL, base);
}

/* What follows a backslash. Any other character stands for itself. */
static unsigned char parse_escape(const char **s)
{
	unsigned char c = **s;

	if (c >= '0' && c <= '7')
		return parse_digits(s, 3, 8);
	if (c)
		(*s)++;
	switch (c) {
	case 't':
		return '\t';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 'x':
		if (isxdigit((unsigned char)**s))
			return parse_digits(s, 2, 16);
		return c;
	default:
		return c;
	}
}

char *text_parse(const char *s, size_t *len)
{
	char *val = text_alloc(NULL, strlen(s) + 1);
	size_t n = 0;

	while (*s) {
		if (*s != '\\') {
			val[n++] = *s++;
			continue;
		}
		s++;
		val[n++] = parse_escape(&s);
	}
	*len = n;
	return val;
}

void *text_alloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		err(1, NULL);
	return p;
}
