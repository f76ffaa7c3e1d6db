/* SPDX-License-Identifier: MIT */
/* Operations on watches. */
#include <errno.h>
#include <limits.h>

#include "op/args.h"
#include "op/op.h"

int op_watch(struct request *req)
{
	struct session *session = req->session;
	int depth = WATCH_DEPTH_UNLIMITED;
	const char *arg[3];
	size_t n = args_strings(req, arg, 3);
	int64_t number;
	int err;

	if (n == 3 &&
	    session->who.features & XENSTORE_SERVER_FEATURE_WATCHDEPTH) {
		number = args_number(arg[2]);
		if (number < 0 || number > INT_MAX)
			return EINVAL;
		depth = number;
	} else if (n != 2) {
		return EINVAL;
	}
	err = args_parse_path(req, arg[0], true);
	if (!err)
		err = session_watch(session, req->path.text,
				    req->path.relative, arg[1], depth,
				    &req->announce);
	if (err)
		return err;
	trace_line(req->world->trace, TRACE_OBJ, "CREATE watch %p",
		   (void *)req->announce);
	return reply_ok(req);
}

int op_unwatch(struct request *req)
{
	struct watch *watch;
	const char *arg[2];
	int err;

	if (args_strings(req, arg, 2) != 2)
		return EINVAL;
	err = args_parse_path(req, arg[0], true);
	if (err)
		return err;
	watch = watch_find(req->world->index, &req->session->watcher,
			   req->path.text, arg[1]);
	if (!watch)
		return ENOENT;
	trace_line(req->world->trace, TRACE_OBJ, "DESTROY watch %p",
		   (void *)watch);
	session_unwatch(req->session, watch);
	return reply_ok(req);
}

/* Also inside a transaction, which it ends. */
int op_reset_watches(struct request *req)
{
	req->view.txn = NULL;
	session_txns_end(req->session);
	session_unwatch_all(req->session);
	return reply_ok(req);
}
