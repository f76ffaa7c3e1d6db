/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "public.h"

/* Indexed by XS_PERM_READ | XS_PERM_WRITE. */
static const char perm_letters[] = "nrwb";

int codec_error_number(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(xsd_errors) / sizeof(*xsd_errors); i++)
		if (!strcmp(xsd_errors[i].errstring, name))
			return xsd_errors[i].errnum;
	return EINVAL;
}

const char *codec_error_name(int err)
{
	size_t i;

	for (i = 0; i < sizeof(xsd_errors) / sizeof(*xsd_errors); i++)
		if (xsd_errors[i].errnum == err)
			return xsd_errors[i].errstring;
	return "EINVAL";
}

unsigned int codec_count_strings(const void *bytes, size_t len)
{
	const char *p = bytes, *end = p + len;
	unsigned int num = 0;

	while (p < end && (p = memchr(p, '\0', end - p))) {
		num++;
		p++;
	}
	return num;
}

int codec_perm_parse(const char *text, struct xs_permissions *out)
{
	const char *letter = *text ? strchr(perm_letters, *text) : NULL;
	char *end;
	long id;

	/* strtol() would skip blanks and take a sign; a domid has neither. */
	if (!letter || text[1] < '0' || text[1] > '9')
		return EINVAL;
	errno = 0;
	id = strtol(text + 1, &end, 0);
	if (*end || errno || id > INT_MAX)
		return EINVAL;
	out->id = id;
	out->perms = letter - perm_letters;
	return 0;
}

int codec_perm_format(const struct xs_permissions *perm, char *out)
{
	unsigned int right = perm->perms & ~XS_PERM_IGNORE;

	if (right > (XS_PERM_READ | XS_PERM_WRITE))
		return EINVAL;
	snprintf(out, CODEC_PERM_MAX, "%c%i", perm_letters[right],
		 (int)perm->id);
	return 0;
}
