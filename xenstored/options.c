/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quota.h"

#define DEFAULT_RUNDIR "/var/run/xenstored"
#define DEFAULT_EVENT_TIMEOUT 20
#define DEFAULT_SCAN_INTERVAL 20
/* Sanitizers run helpers of their own. */
#ifdef SANITIZED
#define USE_SANDBOX false
#else
#define USE_SANDBOX true
#endif
#define FEATURES                                                               \
	(XENSTORE_SERVER_FEATURE_RECONNECTION |                                \
	 XENSTORE_SERVER_FEATURE_ERROR | XENSTORE_SERVER_FEATURE_WATCHDEPTH |  \
	 XENSTORE_SERVER_FEATURE_DOMID_ANY)

static void __attribute__((noreturn, format(printf, 1, 2)))
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("FATAL: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static uint32_t number(const char *text)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || value > INT_MAX)
		fatal("invalid parameter value \"%s\"", text);
	return value;
}

static uint16_t domid_number(const char *text)
{
	uint32_t domid = number(text);

	if (domid >= DOMID_FIRST_RESERVED)
		fatal("invalid parameter value \"%s\"", text);
	return domid;
}

/* "what=n" */
static const char *split(TALLOC_CTX *ctx, const char *text, const char *kind,
			 uint32_t *value)
{
	const char *equals = strchr(text, '=');

	if (!equals)
		fatal("%s must be specified via <what>=<%s>", kind,
		      !strcmp(kind, "timeouts") ? "seconds" : "nb");
	*value = number(equals + 1);
	return talloc_strndup(ctx, text, equals - text);
}

static void set_quota(TALLOC_CTX *ctx, struct options *options,
		      const char *text, bool soft)
{
	struct limits *limits = &options->server.domains.limits;
	enum quota_item item;
	uint32_t value;
	const char *what = split(ctx, text, "quotas", &value);

	if (quota_find(what, &item) || (soft && !quota_has_soft(item)))
		fatal("unknown quota \"%s\"", what);
	if (soft)
		limits->soft[item] = value;
	else
		limits->hard[item] = value;
}

static void set_timeout(TALLOC_CTX *ctx, struct options *options,
			const char *text)
{
	uint32_t value;
	const char *what = split(ctx, text, "timeouts", &value);

	if (strcmp(what, "watch-event"))
		fatal("unknown timeout \"%s\"", what);
	options->server.event_timeout = value;
}

static void add_switch(struct options *options, const char *text)
{
	size_t n = 0;

	if (*text == '+' || *text == '-')
		for (int i = 0; i < TRACE_SWITCH_COUNT; i++)
			if (!strcmp(text + 1, trace_switch_name(i)))
				goto found;
	fatal("illegal trace switch \"%s\"", text);
found:
	while (options->switches[n])
		n++;
	if (n == OPTIONS_MAX_SWITCHES)
		fatal("too many trace switches");
	options->switches[n] = text;
	options->server.trace_switches = options->switches;
}

static const char *const port_names[] = {
	[SERVER_PORT_AUTO] = "auto",
	[SERVER_PORT_XEN] = "xen",
	[SERVER_PORT_VMM] = "vmm",
	[SERVER_PORT_NONE] = "none",
};

static void set_port(struct options *options, const char *text)
{
	for (int i = SERVER_PORT_AUTO; i <= SERVER_PORT_NONE; i++) {
		if (!strcmp(text, port_names[i])) {
			options->server.port = i;
			return;
		}
	}
	fatal("--xenport must be auto, xen, vmm or none, not \"%s\"", text);
}

/* The daemon changes its directory, and opens the file again on SIGHUP. */
static const char *absolute(TALLOC_CTX *ctx, const char *file)
{
	char cwd[PATH_MAX];

	if (*file == '/' || !getcwd(cwd, sizeof(cwd)))
		return file;
	return talloc_asprintf(ctx, "%s/%s", cwd, file);
}

/* Long options without a letter. */
enum {
	OPT_PRIV_DOMID = 256,
	OPT_EVENT,
	OPT_TRACE_CONTROL,
	OPT_XENPORT,
	OPT_VMM_SOCKET,
	OPT_SCAN_INTERVAL,
	OPT_NO_KEEPER,
	OPT_JOURNAL,
	OPT_CHECK_STATE,
	OPT_PRINT_STATE,
	OPT_LIVE,
	OPT_IGNORED,
};

/* X(letter or number, long name, argument, placeholder, help); no help: old,
 * accepted and ignored, or an alias */
#define OPTIONS(X)                                                             \
	X('F', "pid-file", required_argument, "<file>",                        \
	  "write the process id to <file>")                                    \
	X('H', "help", no_argument, "", "print this")                          \
	X('N', "no-fork", no_argument, "", "stay in the foreground")           \
	X('T', "trace-file", required_argument, "<file>",                      \
	  "trace messages and objects into <file>")                            \
	X(OPT_TRACE_CONTROL, "trace-control", required_argument, "+|-<switch>",\
	  "switch obj, io, wrl, acc or tdb traces on or off")                  \
	X('E', "entry-nb", required_argument, "<nb>",                          \
	  "quota: nodes per domain")                                           \
	X('S', "entry-size", required_argument, "<size>",                      \
	  "quota: size of a node")                                             \
	X('W', "watch-nb", required_argument, "<nb>",                          \
	  "quota: watches per domain")                                         \
	X('t', "transaction", required_argument, "<nb>",                       \
	  "quota: open transactions per domain")                               \
	X('A', "perm-nb", required_argument, "<nb>",                           \
	  "quota: permissions per node")                                       \
	X('M', "path-max", required_argument, "<chars>",                       \
	  "quota: length of a path, at most 2048")                             \
	X('Q', "quota", required_argument, "<what>=<nb>",                      \
	  "quota by name: nodes, watches, outstanding, memory, transactions, " \
	  "transaction-nodes, node-permissions, path-max, node-size")          \
	X('q', "quota-soft", required_argument, "<what>=<nb>",                 \
	  "soft quota by name: memory")                                        \
	X('w', "timeout", required_argument, "<what>=<seconds>",               \
	  "watch-event: drop events not taken in time (0: never)")             \
	X('K', "keep-orphans", no_argument, "",                                \
	  "keep the nodes of dead domains")                                    \
	X('m', "master-domid", required_argument, "<domid>",                   \
	  "domain that the daemon runs in")                                    \
	X(OPT_PRIV_DOMID, "priv-domid", required_argument, "<domid>",          \
	  "privileged domain")                                                 \
	X(OPT_XENPORT, "xenport", required_argument, "auto|xen|vmm|none",      \
	  "who owns the guests: Xen, VMMs on a socket, or nobody")             \
	X(OPT_VMM_SOCKET, "vmm-socket", required_argument, "<path>",           \
	  "where VMMs attach (default <rundir>/vmm)")                          \
	X(OPT_SCAN_INTERVAL, "ring-scan-interval", required_argument,          \
	  "<seconds>", "safety scan of all rings (default 20, 0: never)")      \
	X(OPT_JOURNAL, "journal", required_argument, "<dir>|off",              \
	  "where to keep what a crash must not lose (default <rundir>)")       \
	X('R', "no-recovery", no_argument, "",                                 \
	  "start empty, forget what the journal holds")                        \
	X(OPT_NO_KEEPER, "no-keeper", no_argument, "",                         \
	  "one process without a sandbox, for debuggers: a crash is the end")  \
	X(OPT_PRINT_STATE, "print-state", required_argument, "<file>",         \
	  "print the state that a live update hands over")                     \
	X(OPT_CHECK_STATE, "check-state", required_argument, "<file>",         \
	  "exit with 0 if this program can go on with that state")             \
	X('U', "live-update", no_argument, "",                                 \
	  "go on with the state that another daemon left in <rundir>")         \
	X(OPT_LIVE, "live", no_argument, "", NULL)                             \
	X(OPT_IGNORED, "restart", no_argument, "", NULL)                       \
	X(OPT_IGNORED, "no-access-log", no_argument, "", NULL)                 \
	X(OPT_IGNORED, "reraise-top-level", no_argument, "", NULL)             \
	X(OPT_IGNORED, "disable-socket", no_argument, "", NULL)                \
	X(OPT_IGNORED, "config-file", required_argument, "", NULL)             \
	X(OPT_EVENT, "event", required_argument, "", NULL)                     \
	X('D', "no-domain-init", no_argument, "", NULL)                        \
	X('P', "output-pid", no_argument, "", NULL)                            \
	X('I', "internal-db", optional_argument, "", NULL)                     \
	X('V', "verbose", no_argument, "", NULL)

static const struct option long_options[] = {
#define OPTION_LONG(letter, name, arg, place, help) { name, arg, NULL, letter },
	OPTIONS(OPTION_LONG)
#undef OPTION_LONG
	{ NULL, 0, NULL, 0 }
};

static void help(int letter, const char *name, const char *place,
		 const char *text)
{
	char shortened[] = "-x, ";

	if (!text)
		return;
	shortened[1] = letter;
	fprintf(stderr, "  %s--%s %s\n      %s\n",
		letter < 256 ? shortened : "    ", name, place, text);
}

static void __attribute__((noreturn)) usage(void)
{
	fputs("Usage: xenstored [options]\n\n"
	      "The xenstore daemon; see xenstored(8).\n\n", stderr);
#define OPTION_HELP(letter, name, arg, place, text)                            \
	help(letter, name, place, text);
	OPTIONS(OPTION_HELP)
#undef OPTION_HELP
	exit(0);
}

/* The letters, as getopt() wants them. */
static const char *short_options(TALLOC_CTX *ctx)
{
	char *text = talloc_strdup(ctx, "");

	for (const struct option *o = long_options; text && o->name; o++)
		if (o->val < 256)
			text = talloc_asprintf_append(
				text, "%c%.*s", o->val,
				o->has_arg == required_argument ? 1 :
				o->has_arg == optional_argument ? 2 :
								  0,
				"::");
	if (!text)
		fatal("no memory");
	return text;
}

/* The quotas that have a letter. */
static bool take_quota(struct options *options, int letter)
{
	static const struct {
		int letter;
		enum quota_item item;
	} quotas[] = {
		{ 'E', QUOTA_NODES },	     { 'S', QUOTA_NODE_SIZE },
		{ 'W', QUOTA_WATCHES },	     { 't', QUOTA_TRANSACTIONS },
		{ 'A', QUOTA_NODE_PERMS },   { 'M', QUOTA_PATH_MAX },
	};

	for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
		if (quotas[i].letter != letter)
			continue;
		options->server.domains.limits.hard[quotas[i].item] =
			number(optarg);
		return true;
	}
	return false;
}

static void take(TALLOC_CTX *ctx, struct options *options, int letter)
{
	struct server_options *server = &options->server;

	if (take_quota(options, letter))
		return;
	switch (letter) {
	case 'F':
		options->pid_file = absolute(ctx, optarg);
		break;
	case 'H':
		usage();
	case 'N':
		options->foreground = true;
		break;
	case 'T':
		server->trace_file = absolute(ctx, optarg);
		break;
	case OPT_TRACE_CONTROL:
		add_switch(options, optarg);
		break;
	case 'Q':
	case 'q':
		set_quota(ctx, options, optarg, letter == 'q');
		break;
	case 'w':
		set_timeout(ctx, options, optarg);
		break;
	case 'K':
		server->domains.keep_orphans = true;
		break;
	case 'm':
		server->domains.self = domid_number(optarg);
		break;
	case OPT_PRIV_DOMID:
		server->domains.priv = domid_number(optarg);
		break;
	case OPT_XENPORT:
		set_port(options, optarg);
		break;
	case OPT_VMM_SOCKET:
		server->vmm_socket = absolute(ctx, optarg);
		break;
	case OPT_SCAN_INTERVAL:
		server->scan_interval = number(optarg);
		break;
	case OPT_JOURNAL:
		server->journal = strcmp(optarg, "off") ?
					  absolute(ctx, optarg) : NULL;
		break;
	case 'R':
		server->fresh = true;
		break;
	case OPT_CHECK_STATE:
		options->check_state = optarg;
		break;
	case OPT_PRINT_STATE:
		options->print_state = optarg;
		break;
	case 'U':
	case OPT_LIVE:
		server->live_update = true;
		break;
	case OPT_NO_KEEPER:
		options->alone = true;
		server->sandbox = false;
		break;
	case 'D':
		server->port = SERVER_PORT_NONE;
		break;
	case 'P':
		options->print_pid = true;
		break;
	case '?':
		exit(1);	/* getopt() has told */
	}
}

void options_parse(TALLOC_CTX *ctx, int argc, char **argv,
		   struct options *out)
{
	struct server_options *server = &out->server;
	const char *rundir = getenv("XENSTORED_RUNDIR");
	const char *path = getenv("XENSTORED_PATH");
	const char *letters = short_options(ctx);
	uint32_t *path_max = &server->domains.limits.hard[QUOTA_PATH_MAX];
	int letter;

	*out = (struct options){ 0 };
	limits_init(&server->domains.limits);
	server->domains.features = FEATURES;
	server->event_timeout = DEFAULT_EVENT_TIMEOUT;
	server->scan_interval = DEFAULT_SCAN_INTERVAL;
	server->sandbox = USE_SANDBOX;
	server->rundir = absolute(ctx, rundir && *rundir ? rundir :
							   DEFAULT_RUNDIR);
	server->journal = server->rundir;
	server->argv = argv;

	while ((letter = getopt_long(argc, argv, letters, long_options,
				     NULL)) != -1)
		take(ctx, out, letter);
	if (optind != argc)
		fatal("%s: No arguments desired", argv[0]);

	if (!*path_max || *path_max > XENSTORE_REL_PATH_MAX)
		*path_max = XENSTORE_REL_PATH_MAX;
	if (path && *path)
		server->socket = absolute(ctx, path);
	else
		server->socket = talloc_asprintf(ctx, "%s/socket",
						 server->rundir);
	if (!server->vmm_socket)
		server->vmm_socket = talloc_asprintf(ctx, "%s/vmm",
						     server->rundir);
	if (!server->socket || !server->vmm_socket)
		fatal("no memory");
}
