/* SPDX-License-Identifier: MIT */
/*
 * libxenstore.so.4: a client's view of xenstore.
 *
 * A handle is one connection to the daemon, through its socket or, in a guest
 * (and in dom0 when there is no socket), through the kernel's device.
 *
 * Errors. Functions returning a pointer give NULL, functions returning bool
 * give false, and errno says why: the daemon's answer (ENOENT, EACCES, EINVAL,
 * EEXIST, EAGAIN, ENOSPC, E2BIG, ENOSYS, ...), or one of
 *   E2BIG   the request does not fit into a message (4096 bytes of payload,
 *           4080 through the device); nothing was sent, the handle lives on.
 *           Or the daemon's answer did not fit; then the connection is lost
 *   ENOMEM  no memory; the handle lives on
 *   EBADF   the connection is lost or was closed. Also from then on
 *   EINVAL  the same, from xs_read_watch() and xs_check_watch()
 *   ECONNRESET, ETIMEDOUT, ECONNREFUSED  see XS_OPEN_RECONNECT
 * errno is 0 after success.
 *
 * Ownership. What a function returns is malloc'ed, is one block even when it
 * holds pointers to strings, and is released by one free() of the caller. A
 * NUL byte that is not counted follows every value. Arguments are only read
 * during the call.
 *
 * Threads. Any number of threads may use a handle at once, without locks of
 * their own. There is no hidden thread: those who wait take turns in reading
 * the connection for all. Requests of one handle are executed one after the
 * other. xs_close() may be called while other threads wait in the library:
 * they fail with EBADF (EINVAL) before it returns; nobody may enter with that
 * handle any more.
 *
 * Cancellation. Functions that wait may be cancelled (deferred type only) and
 * leave the handle in order. A thread that waits for an event or for its turn
 * is cancelled at once; one whose request was sent at the answer or, should
 * there be none, after one second: the request may then be executed or not.
 *
 * Signals. A signal handler that returns does not disturb any function; there
 * is no EINTR and no SIGPIPE. No function may be called in a signal handler.
 *
 * Processes. All descriptors are close-on-exec. A handle belongs to the
 * process that opened it; after fork() the child may only call
 * xs_daemon_destroy_postfork() or xs_close().
 */
#ifndef XENSTORE_H
#define XENSTORE_H

#include <xenstore_lib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The transaction of those who have none. */
#define XBT_NULL 0

/* Flags of xs_open(). The first two have had no effect for a long time. */
#define XS_OPEN_READONLY (1UL << 0)
#define XS_OPEN_SOCKETONLY (1UL << 1)
/*
 * xs_unwatch() also discards the events of that watch which are still queued.
 * Without it they can be returned after xs_unwatch().
 */
#define XS_UNWATCH_FILTER (1UL << 2)
/*
 * This library's own; others ignore it. When the connection is lost, connect
 * again (to the same socket) and register the watches again.
 *
 * - The request that was in flight fails with ECONNRESET: it may have been
 *   executed or not. An xs_watch() or xs_unwatch() that fails so leaves no
 *   watch behind.
 * - A transaction does not survive: requests in it fail with ECONNRESET,
 *   xs_transaction_end() with EAGAIN (aborting it succeeds). Its number stays
 *   reserved until xs_transaction_end().
 * - Requests made meanwhile wait for the new connection up to ten seconds;
 *   after that they fail, ETIMEDOUT or the reason why connect() failed.
 *   xs_read_watch() waits as long as it takes.
 * - Each watch's first event comes again, as after xs_watch(): look at what is
 *   being watched, anything may have changed. Events that were received before
 *   are still returned. A watch which the daemon refuses now is forgotten.
 * - xs_fileno() stays the same descriptor. While there is no connection it
 *   becomes readable now and then without an event, for the sake of the
 *   attempts that xs_check_watch() makes, without waiting.
 * - With the kernel's device there is nothing to do; it never loses the
 *   connection.
 */
#define XS_OPEN_RECONNECT (1UL << 24)

struct xs_handle;
typedef uint32_t xs_transaction_t;

/*
 * Connects to the daemon: its socket (see xs_daemon_socket()) or else the
 * device ($XENSTORED_PATH, /dev/xen/xenbus or /proc/xen/xenbus). The other
 * three are xs_open(0). NULL, errno of the last attempt (ENOENT: no xenstore
 * here).
 */
struct xs_handle *xs_open(unsigned long flags);
struct xs_handle *xs_daemon_open(void);
struct xs_handle *xs_domain_open(void);
struct xs_handle *xs_daemon_open_readonly(void);

/*
 * Ends the connection with its watches and transactions; frees h. NULL is
 * allowed in xs_close(). xs_daemon_destroy_postfork() is for the child after
 * fork(): frees its copy without any effect on the parent's.
 */
void xs_close(struct xs_handle *h);
void xs_daemon_close(struct xs_handle *h);
void xs_daemon_destroy_postfork(struct xs_handle *h);

/*
 * Names of the children, in the daemon's order; *num is their number. A node
 * without children gives an empty array, not NULL.
 */
char **xs_directory(struct xs_handle *h, xs_transaction_t t,
		    const char *path, unsigned int *num);

/*
 * The value, which may hold any bytes; *len (unless len is NULL) is its
 * length in bytes without the added NUL.
 */
void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
	      unsigned int *len);

/* Sets the value, len bytes; creates the node and its ancestors. */
bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
	      const void *data, unsigned int len);

/* Creates an empty node if it is not there; no error if it is. */
bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path);

/* Removes a node and all below. Missing: ENOENT only without its parent. */
bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path);

/* Always false; once took privileges from a connection. errno untouched. */
bool xs_restrict(struct xs_handle *h, unsigned int domid);

/* The permission list; *num (at least 1) is its length. */
struct xs_permissions *xs_get_permissions(struct xs_handle *h,
					  xs_transaction_t t,
					  const char *path,
					  unsigned int *num);

/* Replaces the permission list. EINVAL: an entry that is none of NONE..BOTH. */
bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t,
			const char *path, struct xs_permissions *perms,
			unsigned int num_perms);

/*
 * Asks for an event whenever the node or one below it changes. The first
 * event comes at once. `token` comes with each event. EEXIST: this handle has
 * that watch. `depth` limits it to nodes so many levels below (0: the node
 * alone); ENOSYS: the daemon cannot. xs_watch_try_depth() then, and on any
 * other error, tries xs_watch().
 */
bool xs_watch(struct xs_handle *h, const char *path, const char *token);
bool xs_watch_depth(struct xs_handle *h, const char *path, const char *token,
		    unsigned int depth);
bool xs_watch_try_depth(struct xs_handle *h, const char *path,
			const char *token, unsigned int depth);

/* Ends a watch. ENOENT: there is none. See XS_UNWATCH_FILTER. */
bool xs_unwatch(struct xs_handle *h, const char *path, const char *token);

/*
 * A descriptor for poll(): readable while xs_read_watch() has something to
 * return without (noticeable) waiting, an event or the loss of the
 * connection; the answers of requests that other threads make do not show
 * (only that of a thread which was cancelled without waiting for it). The
 * same one each time; owned by h; to be neither read nor closed. -1: could
 * not be made.
 */
int xs_fileno(struct xs_handle *h);

/*
 * The next event: strings [XS_WATCH_PATH], [XS_WATCH_TOKEN] and perhaps more;
 * *num is their number. xs_check_watch() never waits: EAGAIN if there is no
 * event. Of several threads that wait, one gets it.
 */
char **xs_read_watch(struct xs_handle *h, unsigned int *num);
char **xs_check_watch(struct xs_handle *h);

/*
 * Begins a transaction: requests with its number, which is never 0, see one
 * state of the store, and take effect together, or not at all, at the end.
 * 0: failed. At the end EAGAIN says that others interfered: begin again.
 * Whatever the result, the transaction is over, but for EINVAL and EBADF.
 */
xs_transaction_t xs_transaction_start(struct xs_handle *h);
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort);

/*
 * For toolstacks. domids are 0..65535. mfn: frame number of the domain's
 * xenstore page (in its own numbering); eventchn: the domain's port for it.
 */
bool xs_introduce_domain(struct xs_handle *h, unsigned int domid,
			 unsigned long mfn, unsigned int eventchn);
bool xs_set_target(struct xs_handle *h, unsigned int domid,
		   unsigned int target);
bool xs_resume_domain(struct xs_handle *h, unsigned int domid);
bool xs_release_domain(struct xs_handle *h, unsigned int domid);
/* False is also the answer of a daemon that refuses to tell. */
bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid);

/* "/local/domain/<domid>", whether there is such a domain or not. */
char *xs_get_domain_path(struct xs_handle *h, unsigned int domid);

/*
 * Whether child is parent or below it. By text alone: nothing but "/" itself
 * is below "/".
 */
bool xs_path_is_subpath(const char *parent, const char *child);

/*
 * CONTROL: cmd with len bytes of data, which holds further arguments, each
 * with its NUL. Returns the daemon's text.
 */
char *xs_control_command(struct xs_handle *h, const char *cmd, void *data,
			 unsigned int len);
char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data,
		       unsigned int len);

/*
 * The event channel by which domain domid wants to be told to suspend, as it
 * wrote it below its device/suspend node; -1: none. Uses a connection of its
 * own.
 */
int xs_suspend_evtchn_port(int domid);

/*
 * Writes len bytes to fd, in as many pieces as it takes. False: error (errno)
 * or nothing more is accepted.
 */
bool xs_write_all(int fd, const void *data, unsigned int len);

/*
 * Features (XENSTORE_SERVER_FEATURE_* of <xen/io/xs_wire.h>, or'ed): of the
 * daemon, of a domain, and for a domain that is not introduced yet. ENOSYS:
 * a daemon that has none.
 */
bool xs_get_features_supported(struct xs_handle *h, unsigned int *features);
bool xs_get_features_domain(struct xs_handle *h, unsigned int domid,
			    unsigned int *features);
bool xs_set_features_domain(struct xs_handle *h, unsigned int domid,
			    unsigned int features);

/*
 * Quotas: the names the daemon knows, and values by name; 0 is unlimited. The
 * global ones apply to domains that come later.
 */
const char **xs_get_quota_names(struct xs_handle *h, unsigned int *num);
bool xs_get_global_quota(struct xs_handle *h, const char *quota,
			 unsigned int *value);
bool xs_set_global_quota(struct xs_handle *h, const char *quota,
			 unsigned int value);
bool xs_get_domain_quota(struct xs_handle *h, unsigned int domid,
			 const char *quota, unsigned int *value);
bool xs_set_domain_quota(struct xs_handle *h, unsigned int domid,
			 const char *quota, unsigned int value);

#ifdef __cplusplus
}
#endif

#endif /* XENSTORE_H */
