/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <string.h>

#include "persist/stream.h"

/* Text of any bytes: printable ASCII as it is, else \xx; quoted. */
static void print_bytes(FILE *out, struct blob blob)
{
	const unsigned char *p = blob.data;
	size_t i;

	fputc('"', out);
	for (i = 0; i < blob.len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			fprintf(out, "\\%c", p[i]);
		else if (p[i] < 128 && isprint(p[i]))
			fputc(p[i], out);
		else
			fprintf(out, "\\x%02x", p[i]);
	}
	fputc('"', out);
}

static void print_string(FILE *out, const char *text)
{
	print_bytes(out, (struct blob){ text, strlen(text) });
}

static int print_begin(void *arg, unsigned int version, bool big_endian)
{
	if (!version)
		fputs("dump of oxenstored\n", arg);
	else
		fprintf(arg, "version %u, %s endian\n", version,
			big_endian ? "big" : "little");
	return 0;
}

static int print_global(void *arg, const struct stream_global *global)
{
	fprintf(arg, "global: socket %d, event channels %d",
		global->socket_fd, global->evtchn_fd);
	if (global->virq_port >= 0)
		fprintf(arg, ", virq port %lld", (long long)global->virq_port);
	fputc('\n', arg);
	return 0;
}

static int print_conn(void *arg, const struct stream_conn *conn)
{
	FILE *out = arg;

	fprintf(out, "connection %u: ", conn->id);
	if (!conn->ring) {
		fprintf(out, "socket %d", conn->fd);
	} else {
		fprintf(out, "domain %u, port %u", conn->domid, conn->port);
		if (conn->remote_port >= 0)
			fprintf(out, ", remote port %lld",
				(long long)conn->remote_port);
		if (conn->gfn)
			fprintf(out, ", page %llu",
				(unsigned long long)conn->gfn);
		if (conn->target != DOMID_INVALID)
			fprintf(out, ", target %u", conn->target);
		if (conn->has_unique_id)
			fprintf(out, ", unique id %llu",
				(unsigned long long)conn->unique_id);
	}
	if (conn->in.len) {
		fputs(", in ", out);
		print_bytes(out, conn->in);
	}
	if (conn->out.len) {
		fprintf(out, ", out (%u begun) ", conn->out_begun);
		print_bytes(out, conn->out);
	}
	fputc('\n', out);
	return 0;
}

static int print_watch(void *arg, const struct stream_watch *watch)
{
	fprintf(arg, "watch of connection %u: ", watch->conn);
	print_string(arg, watch->path);
	fputs(", token ", arg);
	print_string(arg, watch->token);
	if (watch->depth != STREAM_DEPTH_UNLIMITED)
		fprintf(arg, ", depth %d", watch->depth);
	fputc('\n', arg);
	return 0;
}

static int print_txn(void *arg, const struct stream_txn *txn)
{
	fprintf(arg, "transaction of connection %u: %u\n", txn->conn, txn->id);
	return 0;
}

static int print_node(void *arg, const struct stream_node *node)
{
	static const char *const access[] = { "deleted", "read", "written" };
	FILE *out = arg;
	size_t i;

	fputs("node ", out);
	print_string(out, node->path);
	if (node->conn)
		fprintf(out, " of transaction %u of connection %u, %s",
			node->txn, node->conn,
			node->access < 3 ? access[node->access] : "?");
	fputs(" = ", out);
	print_bytes(out, node->value);
	fputs(" (", out);
	for (i = 0; i < node->n_perms; i++)
		fprintf(out, "%s%c%u%s", i ? "," : "",
			"nrwb"[node->perms[i].rights & PERM_BOTH],
			node->perms[i].domid,
			node->perms[i].stale ? " stale" : "");
	fputs(")\n", out);
	return 0;
}

static void print_quotas(FILE *out, const struct stream_quota *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		fprintf(out, " %s=%u", list[i].name, list[i].value);
}

static int print_global_quotas(void *arg, const struct stream_quotas *quotas)
{
	fputs("quotas of each domain:", arg);
	print_quotas(arg, quotas->list, quotas->n_domain);
	fputs("\nquotas of all:", arg);
	print_quotas(arg, quotas->list + quotas->n_domain, quotas->n_global);
	fputc('\n', arg);
	return 0;
}

static int print_domain(void *arg, const struct stream_domain *domain)
{
	fprintf(arg, "domain %u: features %u, quotas", domain->domid,
		domain->features);
	print_quotas(arg, domain->quotas, domain->n_quotas);
	fputc('\n', arg);
	return 0;
}

static int print_other(void *arg, uint32_t type, struct blob body)
{
	fprintf(arg, "record of type %u: ", type);
	print_bytes(arg, body);
	fputc('\n', arg);
	return 0;
}

int stream_print(const void *data, size_t len, FILE *out,
		 struct stream_fault *fault)
{
	static const struct stream_handlers handlers = {
		.begin = print_begin,
		.global = print_global,
		.conn = print_conn,
		.watch = print_watch,
		.txn = print_txn,
		.node = print_node,
		.quotas = print_global_quotas,
		.domain = print_domain,
		.other = print_other,
	};

	return stream_read(data, len, &handlers, out, fault);
}
