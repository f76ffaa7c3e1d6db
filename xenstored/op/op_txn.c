/* SPDX-License-Identifier: MIT */
/* Operations on transactions. */
#include <errno.h>
#include <string.h>

#include "op/args.h"
#include "op/op.h"

int op_transaction_start(struct request *req)
{
	uint32_t id;
	int err;

	if (req->view.txn)
		return EBUSY;
	if (live_update_holds(req->world, req->session))
		return OP_HOLD;
	if (!contender_may_begin(&req->session->contender))
		return op_wait(req);
	err = session_txn_begin(req->session, &id);
	if (err)
		return err;
	trace_line(req->world->trace, TRACE_OBJ, "CREATE transaction %u (d%u)",
		   id, req->session->who.domid);
	return reply_string(req, "%u", id);
}

static int commit(struct request *req)
{
	struct contender *contender = &req->session->contender;
	struct metrics *metrics = req->world->metrics;
	int err;

	if (!contender_may_commit(contender, req->view.txn))
		return op_wait(req);
	err = txn_commit(req->view.txn, &req->session->who);
	metrics->commits += !err;
	if (err == EAGAIN) {
		metrics->conflicts++;
		contender_failed(contender, req->view.txn, req->world->now);
	} else {
		contender_done(contender);
	}
	return err;
}

int op_transaction_end(struct request *req)
{
	const char *arg;
	int err;

	err = args_one(req, &arg);
	if (err || (strcmp(arg, "T") && strcmp(arg, "F")))
		return EINVAL;	/* it stays open */
	if (!req->view.txn)
		return ENOENT;
	if (*arg == 'T')
		err = commit(req);
	else
		contender_done(&req->session->contender);
	if (err == OP_HOLD)
		return err;
	trace_line(req->world->trace, TRACE_OBJ,
		   "DESTROY transaction %u (d%u)", req->hdr.tx_id,
		   req->session->who.domid);
	session_txn_end(req->session, req->hdr.tx_id);
	return err ? err : reply_ok(req);
}
