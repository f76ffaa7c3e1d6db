/* SPDX-License-Identifier: MIT */
/* Operations on nodes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "op/args.h"
#include "op/op.h"

int op_read(struct request *req)
{
	struct node *node;
	int err;

	err = args_path(req, false);
	if (!err)
		err = view_node(&req->view, req->path.text,
				FACET_EXISTS | FACET_VALUE, &node);
	if (!err)
		req->reply = node_value(node);
	return err;
}

/* Has another client's transaction the first turn on the node? */
static int take_turn(struct request *req, enum deed deed)
{
	if (req->view.txn ||
	    contender_may(&req->session->contender, req->world->store,
			  req->path.text, deed))
		return 0;
	return op_wait(req);
}

int op_write(struct request *req)
{
	struct blob value;
	int err;

	err = args_path_value(req, &value);
	if (!err)
		err = take_turn(req, DEED_WRITE);
	if (!err)
		err = view_write(&req->view, req->path.text, value);
	return err ? err : reply_ok(req);
}

int op_mkdir(struct request *req)
{
	int err;

	err = args_path(req, false);
	if (!err)
		err = take_turn(req, DEED_CREATE);
	if (!err)
		err = view_mkdir(&req->view, req->path.text);
	return err ? err : reply_ok(req);
}

int op_rm(struct request *req)
{
	int err;

	err = args_path(req, false);
	if (!err)
		err = take_turn(req, DEED_REMOVE);
	if (!err)
		err = view_rm(&req->view, req->path.text);
	return err ? err : reply_ok(req);
}

int op_directory(struct request *req)
{
	struct node *node;
	size_t len;
	bool end;
	int err;

	err = args_path(req, false);
	if (!err)
		err = view_node(&req->view, req->path.text,
				FACET_EXISTS | FACET_KIDS, &node);
	if (err)
		return err;
	if (node_kids_bytes(node) > sizeof(req->out))
		return E2BIG;
	len = node_list_kids(node, 0, req->out, sizeof(req->out), &end);
	req->reply = (struct blob){ req->out, len };
	return 0;
}

/*
 *	generation \0 name \0 name \0 ... [\0 when the last name is included]
 */
static int list_part(struct request *req, const struct node *node,
		     size_t offset, bool *end)
{
	size_t used, room;

	used = snprintf(req->out, sizeof(req->out), "%" PRIu64,
			node_generation(node)) + 1;
	room = sizeof(req->out) - used - 1;
	if (offset >= node_kids_bytes(node))
		*end = true;
	else
		used += node_list_kids(node, offset, req->out + used, room,
				       end);
	if (*end)
		req->out[used++] = '\0';
	req->reply = (struct blob){ req->out, used };
	return 0;
}

int op_directory_part(struct request *req)
{
	struct session *session = req->session;
	struct txn *txn = req->view.txn;
	struct node *node, *pinned;
	const char *arg[2];
	int64_t offset;
	bool end = false;
	int err;

	if (args_strings(req, arg, 2) != 2)
		return EINVAL;
	err = args_parse_path(req, arg[0], false);
	if (!err)
		err = view_node(&req->view, req->path.text,
				FACET_EXISTS | FACET_KIDS, &node);
	if (err)
		return err;
	offset = args_number(arg[1]);
	pinned = session_list_find(session, req->path.text, txn);
	if (offset > 0 && pinned)
		node = pinned;
	err = list_part(req, node, offset < 0 ? 0 : offset, &end);
	if (end)
		session_list_end(session);
	else if (offset <= 0)
		err = session_list_begin(session, req->path.text, node, txn);
	/* Who cannot pay for that sees the list as it is each time. */
	return err == ENOSPC ? 0 : err;
}

int op_get_perms(struct request *req)
{
	const struct perm *list;
	struct node *node;
	size_t n, len = 0;
	int err;

	err = args_path(req, true);
	if (!err)
		err = view_node(&req->view, req->path.text,
				FACET_EXISTS | FACET_PERMS, &node);
	if (err)
		return err;
	list = perms_list(node_perms(node), &n);
	for (size_t i = 0; i < n; i++) {
		len += snprintf(req->out + len, sizeof(req->out) - len, "%c%u",
				perm_letter(&list[i]), list[i].domid) + 1;
		if (len > sizeof(req->out))
			return E2BIG;
	}
	req->reply = (struct blob){ req->out, len };
	return 0;
}

int op_set_perms(struct request *req)
{
	size_t n = args_count(req);
	const char **text;
	struct perm *list;
	int err;

	if (n < 2)
		return EINVAL;
	err = view_admits_perms(&req->view, n - 1);
	if (err)
		return err;
	text = talloc_array(req->ctx, const char *, n);
	list = talloc_array(req->ctx, struct perm, n - 1);
	if (!text || !list)
		return -ENOMEM;
	args_strings(req, text, n);
	for (size_t i = 1; i < n; i++) {
		err = args_parse_perm(text[i], &list[i - 1]);
		if (err)
			return err;
	}
	err = view_judge_perms(&req->view, list);
	if (!err)
		err = args_parse_path(req, text[0], true);
	if (!err)
		err = take_turn(req, DEED_PERMS);
	if (!err)
		err = view_set_perms(&req->view, req->path.text, list, n - 1);
	return err ? err : reply_ok(req);
}
