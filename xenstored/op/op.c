/* SPDX-License-Identifier: MIT */
#include <errno.h>	/* before xs_wire.h, for its table of errors */

#include "op/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *name;
	int (*handler)(struct request *req);
	bool privileged;
	bool transaction;
} ops[] = {
#define OP_ROW(number, name, handler, privileged, tx)                          \
	[number] = { #name, handler, privileged, tx },
	OPS(OP_ROW)
#undef OP_ROW
};

#define OP_COUNT (sizeof(ops) / sizeof(ops[0]))

const char *op_name(uint32_t type)
{
	return type < OP_COUNT ? ops[type].name : "**UNKNOWN**";
}

int op_nosys(struct request *req)
{
	(void)req;
	return ENOSYS;
}

static const char *error_name(int err)
{
	for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
		if (xsd_errors[i].errnum == err)
			return xsd_errors[i].errstring;
	return "EINVAL";
}

int reply_string(struct request *req, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(req->out, sizeof(req->out), fmt, ap);
	va_end(ap);
	if (len < 0 || len >= (int)sizeof(req->out))
		return E2BIG;
	req->reply = (struct blob){ req->out, len + 1 };
	return 0;
}

int op_wait(struct request *req)
{
	req->world->metrics->waits++;
	trace_line(req->world->trace, TRACE_WRL, "d%u %s waits",
		   req->session->who.domid, op_name(req->hdr.type));
	return OP_HOLD;
}

int reply_ok(struct request *req)
{
	req->reply = (struct blob){ "OK", sizeof("OK") };
	return 0;
}

static int request_run(struct request *req)
{
	uint32_t type = req->hdr.type;
	int err;

	if (type >= OP_COUNT)
		return ENOSYS;
	if (ops[type].privileged && !req->session->who.privileged)
		return EACCES;
	if (ops[type].transaction && req->hdr.tx_id) {
		err = session_txn_find(req->session, req->hdr.tx_id,
				       &req->view.txn);
		if (err)
			return err;
	}
	err = ops[type].handler(req);
	if (!err && req->reply.len > XENSTORE_PAYLOAD_MAX)
		return E2BIG;
	return err;
}

/* A failure of ours: the client learns its name, the operator the rest. */
static int request_failed(const struct request *req, int err)
{
	if (log_limit(&req->world->failed, req->world->now, NULL))
		log_error("%s of domain %u failed: %s", op_name(req->hdr.type),
			  req->session->who.domid, strerror(-err));
	return -err;
}

static void request_answer(struct request *req, int err,
			   struct flight *flight)
{
	struct session *session = req->session;
	const char *direction = "OUT";

	if (err < 0)
		err = request_failed(req, err);
	if (err) {
		const char *name = error_name(err);

		req->type = XS_ERROR;
		req->reply = (struct blob){ name, strlen(name) + 1 };
		direction = "OUT(ERR)";
	}
	if (trace_on(req->world->trace, TRACE_IO))
		trace_io(req->world->trace, direction, session->conn,
			 session->who.domid, op_name(req->type),
			 req->reply.data, req->reply.len);
	conn_reply(session->conn, &req->hdr, req->type, req->reply, flight);
	if (req->announce)
		conn_event(session->conn, watch_shown_path(req->announce),
			   watch_token(req->announce), flight);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void request_init(struct request *req, struct op_world *world,
			 struct session *session,
			 const struct message *message)
{
	req->world = world;
	req->session = session;
	req->hdr = message->hdr;
	req->payload = message->payload;
	req->type = message->hdr.type;
	req->reply = (struct blob){ NULL, 0 };
	req->announce = NULL;
	req->view = (struct view){
		.store = world->store,
		.who = &session->who,
		.ledger = session->ledger,
	};
	if (trace_on(world->trace, TRACE_IO))
		trace_io(world->trace, "IN", session->conn, session->who.domid,
			 op_name(req->type), req->payload, req->hdr.len);
}

void op_refuse(struct op_world *world, struct request *req,
	       struct session *session, const struct message *message, int err)
{
	struct flight *flight = conn_flight(session->conn);

	request_init(req, world, session, message);
	request_answer(req, err, flight);
	flight_unref(flight);
}

void op_execute(struct op_world *world, struct request *req,
		struct session *session, const struct message *message)
{
	struct flight *flight = conn_flight(session->conn);
	uint64_t start = clock_ns();
	int err;

	request_init(req, world, session, message);
	world->sessions->cause = flight;
	err = request_run(req);
	world->sessions->cause = NULL;
	if (err == OP_HOLD)
		conn_hold(session->conn);
	else
		request_answer(req, err, flight);
	flight_unref(flight);
	talloc_free_children(req->ctx);
	if (err != OP_HOLD)
		metrics_op(world->metrics, req->hdr.type, clock_ns() - start,
			   err != 0);
}
