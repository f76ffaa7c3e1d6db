/* SPDX-License-Identifier: MIT */
/*
 * libxenstore: permissions in their text form, and where the daemon lives.
 *
 * Usually included through <xenstore.h>. Usable from C and C++.
 */
#ifndef XENSTORE_LIB_H
#define XENSTORE_LIB_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a domain may do with a node: values of xs_permissions.perms. */
#define XS_PERM_NONE 0
#define XS_PERM_READ 1
#define XS_PERM_WRITE 2

/* Never in a permission list that travels; daemons use them internally. */
#define XS_PERM_ENOENT_OK 4
#define XS_PERM_OWNER 8
#define XS_PERM_IGNORE 16

/*
 * One entry of a node's permission list. In the first entry `id` is the
 * owner, who may do everything, and `perms` is what domains without an entry
 * of their own may do.
 */
struct xs_permissions {
	unsigned int id;	/* domid, 0..65535 */
	unsigned int perms;	/* XS_PERM_NONE, or READ and WRITE or'ed */
};

/* Bytes that an integer of the type of x needs in decimal, sign and NUL too. */
#define MAX_STRLEN(x) ((sizeof(x) * CHAR_BIT + CHAR_BIT - 1) / 10 * 3 + 2)

/*
 * Directory of the daemon's files: $XENSTORED_RUNDIR, or the compiled
 * default. Never NULL; not to be freed.
 */
const char *xs_daemon_rundir(void);

/*
 * Path of the daemon's socket: $XENSTORED_PATH, or "socket" in
 * xs_daemon_rundir(). Never NULL; not to be freed; may be overwritten by a
 * later call after the environment was changed. Both are the same socket.
 */
const char *xs_daemon_socket(void);
const char *xs_daemon_socket_ro(void);

/*
 * Turns `num` consecutive NUL-terminated strings such as "r0" or "n5" into
 * perms[0..num-1]. The number may be decimal, 0x hexadecimal or 0 octal.
 * False with errno EINVAL if one of them is not a letter of "rwbn" followed
 * by a number; perms is then partly written.
 */
bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num,
			 const char *strings);

#ifdef __cplusplus
}
#endif

#endif /* XENSTORE_LIB_H */
