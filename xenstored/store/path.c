/* SPDX-License-Identifier: MIT */
#include "store/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOME "/local/domain/"

static bool char_is_valid(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '/' || c == '_' ||
	       c == '@';
}

/* Length of a leading "/local/domain/<up to 5 digits>/", else 0. */
static size_t home_prefix_len(const char *path)
{
	const char *digits = path + strlen(HOME);
	size_t n;

	if (strncmp(path, HOME, strlen(HOME)) != 0)
		return 0;
	n = strspn(digits, "0123456789");
	if (n < 1 || n > 5 || digits[n] != '/')
		return 0;

	return strlen(HOME) + n + 1;
}

int path_parse(const char *name, size_t len, uint16_t home, uint32_t limit,
	       bool special, struct path *out)
{
	bool absolute = len && (name[0] == '/' || name[0] == '@');
	size_t prefix = 0, i;

	if (!len || (name[0] == '@' && !special))
		return EINVAL;
	if (!absolute)
		prefix = (size_t)snprintf(out->text, sizeof(out->text),
					  HOME "%u/", home);
	if (len > PATH_MAX_LEN - prefix)
		return EINVAL;

	for (i = 0; i < len; i++) {
		if (!char_is_valid(name[i]) ||
		    (i && name[i] == '/' && name[i - 1] == '/'))
			return EINVAL;
	}
	if (name[len - 1] == '/' && len > 1)
		return EINVAL;

	memcpy(out->text + prefix, name, len);
	out->len = prefix + len;
	out->text[out->len] = '\0';
	out->relative = prefix;
	if (limit && out->len - home_prefix_len(out->text) > limit)
		return EINVAL;

	return 0;
}

/* strcspn() is slower for names as short as they are. */
static size_t name_len(const char *name)
{
	size_t len = 0;

	while (name[len] && name[len] != '/')
		len++;

	return len;
}

bool path_next(const char *path, const char **component, size_t *len)
{
	const char *at = *component ? *component + *len : path;

	if (*at == '@' && at == path)
		*len = strlen(at);
	else if (*at == '/' && at[1])
		*len = name_len(++at);
	else
		return false;

	*component = at;
	return true;
}

size_t path_parent_len(const char *path, size_t len)
{
	if (path_is_special(path) || len <= 1)
		return 0;
	while (path[len - 1] != '/')
		len--;

	return len > 1 ? len - 1 : 1;
}

unsigned int path_depth(const char *path)
{
	const char *component = NULL;
	unsigned int depth = 0;
	size_t len = 0;

	while (path_next(path, &component, &len))
		depth++;

	return depth;
}

bool path_is_below(const char *top, const char *path)
{
	size_t len = strlen(top);

	if (path_is_root(top))
		return path[0] == '/';

	return strncmp(path, top, len) == 0 && (!path[len] || path[len] == '/');
}
