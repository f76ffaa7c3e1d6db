/* SPDX-License-Identifier: MIT */
#include "op/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char letters[] = "nrwb";	/* by PERM_READ | PERM_WRITE */

int args_one(const struct request *req, const char **out)
{
	uint32_t len = req->hdr.len;

	if (!len || memchr(req->payload, 0, len) != req->payload + len - 1)
		return EINVAL;
	*out = req->payload;
	return 0;
}

size_t args_strings(const struct request *req, const char **out, size_t n)
{
	const char *p = req->payload, *end = p + req->hdr.len;
	size_t count = 0;

	while (p < end) {
		const char *nul = memchr(p, 0, end - p);

		if (!nul)
			break;
		if (count < n)
			out[count] = p;
		count++;
		p = nul + 1;
	}
	return count;
}

size_t args_count(const struct request *req)
{
	return args_strings(req, NULL, 0);
}

int args_parse_path(struct request *req, const char *text, bool special)
{
	const struct session *session = req->session;
	uint32_t limit = 0;

	if (session->ledger && !session->who.privileged)
		limit = ledger_limit(session->ledger, QUOTA_PATH_MAX);
	return path_parse(text, strlen(text), session->who.domid, limit,
			  special, &req->path);
}

int args_path(struct request *req, bool special)
{
	const char *text;
	int err;

	err = args_one(req, &text);
	if (err)
		return err;
	return args_parse_path(req, text, special);
}

int args_path_value(struct request *req, struct blob *value)
{
	const char *text;
	size_t len;

	if (!args_strings(req, &text, 1))
		return EINVAL;
	len = strlen(text) + 1;
	*value = (struct blob){ req->payload + len, req->hdr.len - len };
	return args_parse_path(req, text, false);
}

int64_t args_number(const char *text)
{
	return strtoll(text, NULL, 10);
}

int args_parse_number(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (!*text)
		return EINVAL;
	for (; *text; text++) {
		unsigned int digit = *text - '0';

		if (digit > 9 || digit > max || value > (max - digit) / 10)
			return EINVAL;
		value = value * 10 + digit;
	}
	*out = value;
	return 0;
}

int args_parse_domid(const char *text, uint16_t *out)
{
	unsigned long domid;
	char *end;

	errno = 0;
	domid = strtoul(text, &end, 10);
	if (errno || *end || domid > UINT16_MAX)
		return EINVAL;
	*out = domid;
	return 0;
}

int args_domid(const struct request *req, uint16_t *out)
{
	const char *text;
	int err;

	err = args_one(req, &text);
	if (err)
		return err;
	return args_parse_domid(text, out);
}

int args_parse_perm(const char *text, struct perm *out)
{
	const char *letter = *text ? strchr(letters, *text) : NULL;
	char *end;
	long domid;

	if (!letter || !text[1])
		return EINVAL;
	errno = 0;
	domid = strtol(text + 1, &end, 0);
	if (errno || *end || domid < 0 || domid > UINT16_MAX)
		return EINVAL;
	*out = (struct perm){ .domid = domid, .rights = letter - letters };
	return 0;
}

char perm_letter(const struct perm *perm)
{
	return letters[perm->rights & PERM_BOTH];
}
