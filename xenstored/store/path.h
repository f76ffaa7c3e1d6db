/* SPDX-License-Identifier: MIT */
/*
 * Canonical paths: the one parser and the one limit.
 *
 * A canonical path is absolute ("/", "/a/b": no trailing slash, no empty
 * component) or the name of a special node ("@introduceDomain"). Characters
 * are A-Z a-z 0-9 - / _ @ and nothing else. At most PATH_MAX_LEN bytes, for
 * everybody.
 */
#ifndef STORE_PATH_H
#define STORE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#define PATH_MAX_LEN XENSTORE_ABS_PATH_MAX

/* A canonical path and how it was spelled. */
struct path {
	size_t len;		/* strlen(text) */
	size_t relative;	/* bytes of text that the caller did not
				 * spell: "/local/domain/5/" of a relative
				 * path; 0 for an absolute one */
	char text[PATH_MAX_LEN + 1];
};

/*
 * Makes `name` (len bytes, no NUL inside) canonical. A relative name is put
 * below /local/domain/<home>. `limit` is the caller's path-max quota, 0 for
 * none: it bounds the length after a leading "/local/domain/<number>/".
 * EINVAL: not a valid path, or special where `special` is false.
 */
int path_parse(const char *name, size_t len, uint16_t home, uint32_t limit,
	       bool special, struct path *out);

static inline bool path_is_special(const char *path)
{
	return path[0] == '@';
}

static inline bool path_is_root(const char *path)
{
	return path[0] == '/' && !path[1];
}

/*
 * Component walk over a canonical path:
 *
 *	const char *c = NULL; size_t len = 0;
 *	while (path_next(path, &c, &len)) ...	"a", then "b" for "/a/b"
 *
 * No component for "/"; one, the whole name, for a special node.
 */
bool path_next(const char *path, const char **component, size_t *len);

/* Length of the parent's path: 1 for "/a" (the root is "/"), 2 for "/a/b".
 * The root and special nodes have no parent: 0. */
size_t path_parent_len(const char *path, size_t len);

/* Number of components: 0 for "/". */
unsigned int path_depth(const char *path);

/* Is `path` equal to or below `top`, by components? "@name/5" is below "@name";
 * no special node is below "/". */
bool path_is_below(const char *top, const char *path);

#endif
