/* SPDX-License-Identifier: MIT */
/* CONTROL: what the operator asks the daemon about itself. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "op/args.h"
#include "op/op.h"
#include "persist/recorder.h"

#define LOG_DIR "/var/lib/xen/xenstore/"
#define MAX_ARGS 16

/* Text of a reply under construction: what does not fit is cut at a line. */
struct text {
	struct request *req;
	size_t len;
	bool full;
};

static void text_add(struct text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void text_add(struct text *text, const char *fmt, ...)
{
	size_t room = sizeof(text->req->out) - text->len;
	va_list ap;
	int n;

	if (text->full)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text->req->out + text->len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		text->full = true;
	else
		text->len += n;
}

static int text_reply(struct text *text)
{
	text->req->out[text->len] = '\0';
	text->req->reply = (struct blob){ text->req->out, text->len + 1 };
	return 0;
}

/* ---- check ---------------------------------------------------------------*/

static void check_say(void *arg, const char *what)
{
	struct op_world *world = arg;

	log_error("check: %s", what);
	trace_line(world->trace, TRACE_TDB, "check: %s", what);
}

static int control_check(struct request *req, const char **arg, size_t n)
{
	struct op_world *world = req->world;
	int err;

	(void)arg;
	if (n)
		return EINVAL;
	if (world->checker == req->session && world->checked) {
		world->checker = NULL;
		return world->check_err ? world->check_err : reply_ok(req);
	}
	if (world->checker == req->session)
		return OP_HOLD;	/* it was woken for something else */
	if (world->checker)
		return EBUSY;
	err = store_check_new(world->store, world->store, check_say, world,
			      &world->check);
	if (err)
		return err;
	world->checker = req->session;
	world->checked = false;
	return OP_HOLD;
}

bool op_work(struct op_world *world)
{
	if (!world->checker || world->checked)
		return false;
	world->check_err = store_check_step(world->check, 1000);
	if (world->check_err == EAGAIN)
		return true;
	TALLOC_FREE(world->check);
	world->checked = true;
	conn_resume(world->checker->conn);
	return true;
}

void op_forget(struct op_world *world, const struct session *session)
{
	live_update_forget(world, session);
	if (world->checker != session)
		return;
	world->checker = NULL;
	TALLOC_FREE(world->check);
}

/* ---- logging -------------------------------------------------------------*/

static int log_show(struct request *req)
{
	struct text text = { .req = req };

	text_add(&text, "Log switch settings:\n");
	for (int i = 0; i < TRACE_SWITCH_COUNT; i++)
		text_add(&text, "%-8s: %s\n", trace_switch_name(i),
			 trace_switch_get(req->world->trace, i) ? "on" : "off");
	return text_reply(&text);
}

static int control_log(struct request *req, const char **arg, size_t n)
{
	struct trace *trace = req->world->trace;
	int err = 0;

	if (!n)
		return log_show(req);
	if (n != 1)
		return EINVAL;
	if (!strcmp(arg[0], "on"))
		trace_reopen(trace);	/* no effect without a trace file */
	else if (!strcmp(arg[0], "off"))
		trace_close(trace);
	else
		err = trace_switch_set(trace, arg[0]);
	return err ? err : reply_ok(req);
}

/* What a file could not be opened or written for. EIO: it has no name on the
 * wire. */
static int file_failed(const char *file, int err)
{
	log_warn("cannot open or write %s: %s", file, strerror(err));
	return err == ENXIO || err == EPIPE ? EIO : err;
}

static char *below_log_dir(struct request *req, const char *file)
{
	return talloc_asprintf(req->ctx, "%s%s", *file == '/' ? "" : LOG_DIR,
			       file);
}

static int control_logfile(struct request *req, const char **arg, size_t n)
{
	char *file;
	int err;

	if (n != 1 || !*arg[0])
		return EINVAL;
	file = below_log_dir(req, arg[0]);
	if (!file)
		return -ENOMEM;
	err = trace_open(req->world->trace, file);
	return err ? file_failed(file, -err) : reply_ok(req);
}

static void memreport(const struct op_world *world, FILE *f)
{
	const struct nodes *nodes = store_nodes(world->store);
	const void *top = world->store;

	while (talloc_parent(top))
		top = talloc_parent(top);
	fprintf(f, "nodes: %zu bytes in use, %zu bytes mapped\n",
		nodes_bytes(nodes), nodes_mapped(nodes));
	talloc_report_full(top, f);
	malloc_info(0, f);
}

static int control_memreport(struct request *req, const char **arg, size_t n)
{
	const char *file = n ? arg[0] : trace_file(req->world->trace);
	FILE *f;
	int fd;

	if (n > 1 || !file)
		return EINVAL;
	trace_flush(req->world->trace);
	fd = trace_file_open(file);
	if (fd < 0)
		return file_failed(file, -fd);
	f = fdopen(fd, "a");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	memreport(req->world, f);
	return fclose(f) ? file_failed(file, errno) : reply_ok(req);
}

static int control_print(struct request *req, const char **arg, size_t n)
{
	char line[XENSTORE_PAYLOAD_MAX + 1];
	size_t i;

	if (n != 1)
		return EINVAL;
	for (i = 0; arg[0][i]; i++)
		line[i] = arg[0][i] >= ' ' && arg[0][i] <= '~' ? arg[0][i] :
								 '?';
	line[i] = '\0';
	fprintf(stderr, "control: %s\n", line);
	trace_print(req->world->trace, line);
	return reply_ok(req);
}

/* ---- quotas --------------------------------------------------------------*/

static int quota_show(struct request *req, bool soft)
{
	const struct limits *limits = domains_limits(req->world->domains);
	struct text text = { .req = req };

	text_add(&text, "Quota settings:\n");
	for (int i = 0; i < QUOTA_COUNT; i++)
		if (!soft || quota_has_soft(i))
			text_add(&text, "%-17s: %8u %s\n", quota_name(i),
				 soft ? limits->soft[i] : limits->hard[i],
				 quota_text(i));
	return text_reply(&text);
}

static int quota_set(struct request *req, const char **arg, bool soft)
{
	struct limits *limits = domains_limits(req->world->domains);
	enum quota_item item;
	uint64_t value;
	int err;

	err = quota_find(arg[0], &item);
	if (!err)
		err = args_parse_number(arg[1], INT32_MAX, &value);
	if (err)
		return err;
	if (!value || (soft && !quota_has_soft(item)))
		return EINVAL;
	if (soft)
		limits->soft[item] = value;
	else
		limits->hard[item] = value;
	return reply_ok(req);
}

static int quota_of_domain(struct request *req, const char *arg)
{
	struct text text = { .req = req };
	const struct ledger *ledger;
	struct domain *domain;
	uint16_t domid;
	int err;

	err = args_parse_domid(arg, &domid);
	if (err)
		return err;
	domain = domains_find(req->world->domains, domid);
	if (!domain)
		return ENOENT;
	ledger = domain_ledger(domain);
	text_add(&text, "Domain %u:\n", domid);
	for (int i = 0; i < QUOTA_COUNT; i++)
		text_add(&text, "%-17s: %8" PRIu64 " (max %8" PRIu64 ")\n",
			 quota_name(i), ledger_used(ledger, i),
			 ledger_max(ledger, i));
	return text_reply(&text);
}

static int quota_max(struct request *req, const char **arg, size_t n)
{
	struct ledgers *ledgers = req->world->ledgers;
	struct text text = { .req = req };

	if (n > 1 || (n && strcmp(arg[0], "-r")))
		return EINVAL;
	if (n)
		ledgers_reset_max(ledgers);
	text_add(&text, "Max. seen accounting values:\n");
	for (int i = 0; i < QUOTA_COUNT; i++)
		text_add(&text, "%-17s: %8" PRIu64 "\n", quota_name(i),
			 ledgers_max(ledgers, i));
	return text_reply(&text);
}

static int control_quota(struct request *req, const char **arg, size_t n)
{
	if (!n)
		return quota_show(req, false);
	if (!strcmp(arg[0], "set"))
		return n == 3 ? quota_set(req, arg + 1, false) : EINVAL;
	if (!strcmp(arg[0], "max"))
		return quota_max(req, arg + 1, n - 1);
	return n == 1 ? quota_of_domain(req, arg[0]) : EINVAL;
}

static int control_quota_soft(struct request *req, const char **arg, size_t n)
{
	if (!n)
		return quota_show(req, true);
	if (n == 3 && !strcmp(arg[0], "set"))
		return quota_set(req, arg + 1, true);
	return EINVAL;
}

/* ---- looking inside ------------------------------------------------------*/

static int control_stats(struct request *req, const char **arg, size_t n)
{
	const struct op_world *world = req->world;
	const struct metrics *metrics = world->metrics;
	struct nodes *nodes = store_nodes(world->store);
	struct text text = { .req = req };

	(void)arg;
	if (n)
		return EINVAL;
#define STAT_LINE(field, what)                                                 \
	text_add(&text, "%-40s %12" PRIu64 "\n", what, metrics->field);
	METRICS(STAT_LINE)
#undef STAT_LINE
	text_add(&text, "%-40s %12zu\n", "Connections",
		 world->sessions->count);
	text_add(&text, "%-40s %12zu\n", "Watches",
		 watch_index_count(world->index));
	text_add(&text, "%-40s %12zu\n", "Bytes in nodes", nodes_bytes(nodes));
	text_add(&text, "\n%-20s %10s %10s %8s %8s\n", "Operation", "count",
		 "refused", "mean us", "max us");
	for (uint32_t i = 0; i <= XS_TYPE_COUNT; i++) {
		const struct op_metrics *op = &metrics->op[i];

		if (op->count)
			text_add(&text,
				 "%-20s %10" PRIu64 " %10" PRIu64
				 " %8.1f %8.1f\n",
				 op_name(i), op->count, op->refused,
				 op->ns / 1e3 / op->count, op->max_ns / 1e3);
	}
	text_add(&text, "\nRequests that took less than\n");
	for (int i = 0; i < METRICS_CLASSES; i++)
		if (metrics->latency[i])
			text_add(&text, "%10u us %12" PRIu64 "\n", 1u << i,
				 metrics->latency[i]);
	return text_reply(&text);
}

static void connection_line(struct text *text, const struct session *session)
{
	const struct conn_stats *stats = conn_stats(session->conn);
	const char *throttled = conn_throttled(session->conn);
	size_t watches = 0;
	struct watch *watch = NULL;

	while ((watch = watch_next(&session->watcher, watch)))
		watches++;
	text_add(text,
		 "%5" PRIu64 " %-6s d%-5u req %" PRIu64 " ev %" PRIu64
		 " dropped %" PRIu64 " queued %zu watches %zu txns %zu",
		 session->sequence, session->ring ? "ring" : "socket",
		 session->who.domid, stats->requests, stats->events,
		 stats->events_dropped, conn_queued(session->conn), watches,
		 session->ntxns);
	if (!session->ring)
		text_add(text, " pid %d",
			 sock_peer_pid(conn_transport(session->conn)));
	text_add(text, "%s%s\n", throttled ? " throttled: " : "",
		 throttled ? throttled : "");
}

/* Lists are longer than a reply: they end with the command for the rest, which
 * has the number to begin with. */
static int parse_from(const char **arg, size_t n, uint64_t *from)
{
	*from = 0;
	if (n > 1)
		return EINVAL;
	return n ? args_parse_number(arg[0], UINT64_MAX, from) : 0;
}

static int control_connections(struct request *req, const char **arg, size_t n)
{
	struct text text = { .req = req };
	struct session *session;
	uint64_t from;
	int err;

	err = parse_from(arg, n, &from);
	if (err)
		return err;
	list_for_each(session, &req->world->sessions->all, in_all)
	{
		if (session->sequence < from)
			continue;
		if (text.len > sizeof(req->out) - 256) {
			text_add(&text, "more: connections %" PRIu64 "\n",
				 session->sequence);
			break;
		}
		connection_line(&text, session);
	}
	return text_reply(&text);
}

static int control_domains(struct request *req, const char **arg, size_t n)
{
	struct text text = { .req = req };
	struct domain *domain = NULL;
	uint64_t from;
	int err;

	err = parse_from(arg, n, &from);
	if (err)
		return err;
	while ((domain = domains_next(req->world->domains, domain))) {
		const struct ledger *ledger = domain_ledger(domain);

		if (domain_domid(domain) < from)
			continue;
		if (text.len > sizeof(req->out) - 256) {
			text_add(&text, "more: domains %u\n",
				 domain_domid(domain));
			break;
		}
		text_add(&text,
			 "d%-5u %s%s nodes %" PRIu64 " memory %" PRIu64
			 " watches %" PRIu64 " transactions %" PRIu64 "\n",
			 domain_domid(domain),
			 domain_introduced(domain) ? "introduced" : "known",
			 domain_shutdown_seen(domain) ? " shutdown" : "",
			 ledger_used(ledger, QUOTA_NODES),
			 ledger_used(ledger, QUOTA_MEMORY),
			 ledger_used(ledger, QUOTA_WATCHES),
			 ledger_used(ledger, QUOTA_TRANSACTIONS));
	}
	return text_reply(&text);
}

/* Tokens are the clients' bytes. */
static void add_printable(struct text *text, const char *s)
{
	for (; *s; s++)
		text_add(text, "%c", *s >= ' ' && *s <= '~' ? *s : '?');
}

static void watch_line(struct text *text, const struct watch *watch)
{
	text_add(text, "%s ", watch_shown_path(watch));
	add_printable(text, watch_token(watch));
	if (watch_depth(watch) != WATCH_DEPTH_UNLIMITED)
		text_add(text, " depth %d", watch_depth(watch));
	text_add(text, "\n");
}

/* Did the line that begins at `start` leave no room for the one that tells of
 * the rest? Then it is taken back; but one that is too long alone is cut. */
static bool text_overflows(struct text *text, size_t start)
{
	const size_t room = sizeof(text->req->out) - 64;

	if (!text->full && text->len <= room)
		return false;
	text->full = false;
	text->len = start ? start : room;
	if (!start)
		text_add(text, "\n");
	return start;
}

static int control_watches(struct request *req, const char **arg, size_t n)
{
	struct text text = { .req = req };
	struct session *session;
	struct watch *watch = NULL;
	uint64_t number, from, i = 0;
	int err;

	if (!n || args_parse_number(arg[0], UINT64_MAX, &number))
		return EINVAL;
	err = parse_from(arg + 1, n - 1, &from);
	if (err)
		return err;
	list_for_each(session, &req->world->sessions->all, in_all)
		if (session->sequence == number)
			break;
	if (&session->in_all == &req->world->sessions->all)
		return ENOENT;
	while ((watch = watch_next(&session->watcher, watch))) {
		size_t start = text.len;

		if (i++ < from)
			continue;
		watch_line(&text, watch);
		if (text_overflows(&text, start)) {
			text_add(&text, "more: watches %" PRIu64 " %" PRIu64
				 "\n", number, i - 1);
			break;
		}
	}
	return text_reply(&text);
}

/* ---- journal -------------------------------------------------------------*/

static int control_journal(struct request *req, const char **arg, size_t n)
{
	const struct recorder *recorder = req->world->recorder;
	struct text text = { .req = req };
	struct recorder_report report;

	(void)arg;
	if (n)
		return EINVAL;
	if (!recorder) {
		text_add(&text, "off: a crash would lose everything\n");
		return text_reply(&text);
	}
	recorder_report(recorder, &report);
	text_add(&text, "%s\n", report.broken ?
		 "BROKEN: a crash would lose what happens now" :
		 report.unnamed ?
		 "IN MEMORY: a death of the whole daemon would lose what "
		 "happens now" :
		 report.cramped ?
		 "CRAMPED: written, but no other file can be begun, and this "
		 "one grows" : "written");
	text_add(&text, "%-40s %12" PRIu64 "\n", "File", report.epoch);
	text_add(&text, "%-40s %12zu\n", "Bytes in files", report.bytes);
	text_add(&text, "%-40s %12" PRIu64 "\n", "Checkpoints",
		 report.checkpoints);
	text_add(&text, "%-40s %12" PRIu64 "\n", "Failures", report.failures);
	return text_reply(&text);
}

/* ---- the table -----------------------------------------------------------*/

static int control_help(struct request *req, const char **arg, size_t n);

/* X(name, handler, parameters) */
#define COMMANDS(X)                                                            \
	X("check", control_check, "")                                          \
	X("log", control_log, "[on|off|+<switch>|-<switch>]")                  \
	X("live-update", control_live_update,                                  \
	  "[-c <cmdline>] [-F] [-t <timeout>] [-v <version>] <file>\n"         \
	  "    Default timeout is 60 seconds, default version is 2.")          \
	X("logfile", control_logfile, "<file>")                                \
	X("memreport", control_memreport, "[<file>]")                          \
	X("print", control_print, "<string>")                                  \
	X("quota", control_quota, "[set <name> <val>|<domid>|max [-r]]")       \
	X("quota-soft", control_quota_soft, "[set <name> <val>]")              \
	X("help", control_help, "")                                            \
	X("stats", control_stats, "")                                          \
	X("connections", control_connections, "[<first number>]")              \
	X("domains", control_domains, "[<first domid>]")                       \
	X("watches", control_watches, "<connection number> [<first watch>]")   \
	X("journal", control_journal, "")

static const struct {
	const char *name;
	int (*handler)(struct request *req, const char **arg, size_t n);
	const char *params;
} commands[] = {
#define COMMAND_ROW(name, handler, params) { name, handler, params },
	COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static int control_help(struct request *req, const char **arg, size_t n)
{
	struct text text = { .req = req };

	(void)arg;
	if (n)
		return EINVAL;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		text_add(&text, "%-15s %s\n", commands[i].name,
			 commands[i].params);
	return text_reply(&text);
}

int op_control(struct request *req)
{
	const char *arg[MAX_ARGS];
	size_t n = args_strings(req, arg, MAX_ARGS);

	if (!n || n > MAX_ARGS)
		return EINVAL;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(arg[0], commands[i].name))
			return commands[i].handler(req, arg + 1, n - 1);
	return EINVAL;
}
