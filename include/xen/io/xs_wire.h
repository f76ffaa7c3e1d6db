/* SPDX-License-Identifier: MIT */
/*
 * The xenstore wire protocol: what clients, guests and the daemon agree on.
 *
 * Every message, in both directions, is a struct xsd_sockmsg followed by
 * `len` bytes of payload (0..XENSTORE_PAYLOAD_MAX), without padding. Integers
 * are in the byte order of the host. The same messages travel over the Unix
 * socket and through the shared page of a guest (struct
 * xenstore_domain_interface).
 *
 * This header is self-contained: plain C or C++, nothing but <stdint.h>. The
 * error table appears only when <errno.h> was included before.
 */
#ifndef _XS_WIRE_H
#define _XS_WIRE_H

#include <stdint.h>

enum xsd_sockmsg_type {
	XS_CONTROL = 0,
#define XS_DEBUG XS_CONTROL
	XS_DIRECTORY = 1,
	XS_READ = 2,
	XS_GET_PERMS = 3,
	XS_WATCH = 4,
	XS_UNWATCH = 5,
	XS_TRANSACTION_START = 6,
	XS_TRANSACTION_END = 7,
	XS_INTRODUCE = 8,
	XS_RELEASE = 9,
	XS_GET_DOMAIN_PATH = 10,
	XS_WRITE = 11,
	XS_MKDIR = 12,
	XS_RM = 13,
	XS_SET_PERMS = 14,
	XS_WATCH_EVENT = 15,	/* daemon to client only */
	XS_ERROR = 16,		/* daemon to client only */
	XS_IS_DOMAIN_INTRODUCED = 17,
	XS_RESUME = 18,
	XS_SET_TARGET = 19,
	/* 20 was RESTRICT: always ENOSYS */
	XS_RESET_WATCHES = 21,
	XS_DIRECTORY_PART = 22,
	XS_GET_FEATURE = 23,
	XS_SET_FEATURE = 24,
	XS_GET_QUOTA = 25,
	XS_SET_QUOTA = 26,

	XS_TYPE_COUNT,		/* first number beyond the valid ones */

	XS_INVALID = 0xffff	/* never to be a valid type */
};

struct xsd_sockmsg {
	uint32_t type;		/* enum xsd_sockmsg_type */
	uint32_t req_id;	/* chosen by the client, echoed in the reply */
	uint32_t tx_id;		/* transaction, 0: none; echoed in the reply */
	uint32_t len;		/* bytes of payload that follow */
};

/* The strings of an XS_WATCH_EVENT, in order. */
enum xs_watch_type {
	XS_WATCH_PATH = 0,
	XS_WATCH_TOKEN
};

/* Limits of the protocol, in bytes. */
#define XENSTORE_PAYLOAD_MAX 4096
#define XENSTORE_ABS_PATH_MAX 3072
#define XENSTORE_REL_PATH_MAX 2048

/* Of WRITE's former arguments; kept for programs that mention them. */
#define XS_WRITE_NONE "NONE"
#define XS_WRITE_CREATE "CREATE"
#define XS_WRITE_CREATE_EXCL "CREATE|EXCL"

/* XS_ERROR carries one of these names as text. Append only. */
#ifdef EINVAL
struct xsd_errors {
	int errnum;
	const char *errstring;
};
#define XSD_ERROR(x) { x, #x }
static const struct xsd_errors xsd_errors[]
#if defined(__GNUC__)
__attribute__((unused))
#endif
	= {
	XSD_ERROR(EINVAL),
	XSD_ERROR(EACCES),
	XSD_ERROR(EEXIST),
	XSD_ERROR(EISDIR),
	XSD_ERROR(ENOENT),
	XSD_ERROR(ENOMEM),
	XSD_ERROR(ENOSPC),
	XSD_ERROR(EIO),
	XSD_ERROR(ENOTEMPTY),
	XSD_ERROR(ENOSYS),
	XSD_ERROR(EROFS),
	XSD_ERROR(EBUSY),
	XSD_ERROR(EAGAIN),
	XSD_ERROR(EISCONN),
	XSD_ERROR(E2BIG),
	XSD_ERROR(EPERM)
};
#endif

/*
 * The page shared with a guest. Indices run freely modulo 2^32; the byte at
 * stream position i lives at MASK_XENSTORE_IDX(i). prod - cons is the fill,
 * 0..XENSTORE_RING_SIZE. Each side writes only its own indices; an index of
 * the other side is loaded once, checked, and never trusted.
 */
#define XENSTORE_RING_SIZE 1024
typedef uint32_t XENSTORE_RING_IDX;
#define MASK_XENSTORE_IDX(idx) ((idx) & (XENSTORE_RING_SIZE - 1))

struct xenstore_domain_interface {
	char req[XENSTORE_RING_SIZE];	/* requests, guest to daemon */
	char rsp[XENSTORE_RING_SIZE];	/* replies, events, daemon to guest */
	XENSTORE_RING_IDX req_cons, req_prod;
	XENSTORE_RING_IDX rsp_cons, rsp_prod;
	uint32_t server_features;	/* XENSTORE_SERVER_FEATURE_* */
	uint32_t connection;		/* XENSTORE_CONNECTED, _RECONNECT */
	uint32_t error;			/* XENSTORE_ERROR_* */
	uint32_t evtchn_port;		/* of a domain made at boot, else 0 */
};

#define XENSTORE_SERVER_FEATURE_RECONNECTION 1
#define XENSTORE_SERVER_FEATURE_ERROR 2
#define XENSTORE_SERVER_FEATURE_WATCHDEPTH 4
#define XENSTORE_SERVER_FEATURE_DOMID_ANY 8

#define XENSTORE_CONNECTED 0	/* steady state */
#define XENSTORE_RECONNECT 1	/* reconnect in progress */

#define XENSTORE_ERROR_NONE 0
#define XENSTORE_ERROR_COMM 1	/* event channel or mapping lost */
#define XENSTORE_ERROR_RINGIDX 2	/* prod - cons out of range */
#define XENSTORE_ERROR_PROTO 3	/* payload longer than allowed */

#endif /* _XS_WIRE_H */
