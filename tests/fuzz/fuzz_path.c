/* SPDX-License-Identifier: MIT */
/* Any bytes as a path: what is taken is canonical, by independent rules. */
#include <stdlib.h>
#include <string.h>

#include "store/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_walk(const struct path *p)
{
	const char *component = NULL;
	size_t n = 0, sum = 0, parent = p->len;
	unsigned int depth = 0;

	while (path_next(p->text, &component, &n)) {
		check(n);
		check(path_is_special(p->text) || !memchr(component, '/', n));
		sum += n;
		depth++;
	}
	check(depth == path_depth(p->text));
	check(path_is_special(p->text) || path_is_root(p->text) ||
	      sum + depth == p->len);
	while ((parent = path_parent_len(p->text, parent)) > 1)
		depth--;
	check(depth == (path_is_root(p->text) ? 0 : 1));
	check(path_is_below(p->text, p->text));
	check(path_is_below("/", p->text) != path_is_special(p->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct path p, again;
	uint16_t home;
	uint32_t limit;
	bool special;

	if (len < 4)
		return 0;
	home = (uint16_t)(data[0] << 8 | data[1]);
	limit = data[2] * 16u;
	special = data[3] & 1;
	data += 4;
	len -= 4;
	if (path_parse((const char *)data, len, home, limit, special, &p))
		return 0;

	check(p.len == strlen(p.text) && p.len <= PATH_MAX_LEN);
	check(p.text[0] == '/' || (special && p.text[0] == '@'));
	check(p.len == 1 || p.text[p.len - 1] != '/');
	check(!strstr(p.text, "//"));
	check(p.len - p.relative == len);
	check(memcmp(p.text + p.relative, data, len) == 0);
	/* One answer for both spellings (XSA-323). */
	check(!path_parse(p.text, p.len, 0, limit, special, &again));
	check(strcmp(p.text, again.text) == 0 && !again.relative);
	check_walk(&p);
	return 0;
}
