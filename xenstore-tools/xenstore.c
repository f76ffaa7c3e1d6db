/* SPDX-License-Identifier: MIT */
/*
 * xenstore: reads and changes the store from the command line. One program
 * with many names: as xenstore-MODE it runs that mode, under any other name
 * the first argument is the mode.
 */
#include "streams.h"
#include "text.h"
#include "tool.h"

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Who runs in a transaction; a snapshot is one that is never committed. */
enum tx_use { TX_NEVER, TX_ALWAYS, TX_IF_SEVERAL, TX_SNAPSHOT };

static const struct mode {
	const char *name;
	const char *options;	/* of those below; all take -h and -s */
	const char *usage;
	int min_args;
	int args_each;		/* operands come in groups of so many */
	enum tx_use tx;
	int (*run)(struct job *j);
} modes[] = {
	{ "read", "pR", "[-h] [-p] [-R] key [...]", 1, 1, TX_IF_SEVERAL,
	  cmd_read },
	{ "write", "R", "[-h] [-R] key value [...]", 2, 2, TX_IF_SEVERAL,
	  cmd_write },
	{ "rm", "t", "[-h] [-t] key [...]", 1, 1, TX_ALWAYS, cmd_rm },
	{ "exists", "", "[-h] key", 1, 1, TX_ALWAYS, cmd_exists },
	{ "list", "p", "[-h] [-p] key [...]", 1, 1, TX_ALWAYS, cmd_list },
	{ "ls", "fp", "[-h] [-f] [-p] [path]", 0, 1, TX_NEVER, cmd_ls },
	{ "chmod", "ur", "[-h] [-u] [-r] key <mode [modes...]>", 1, 1,
	  TX_ALWAYS, cmd_chmod },
	{ "watch", "nd", "[-h] [-n NR] key", 1, 1, TX_NEVER, cmd_watch },
	{ "follow", "nd", "[-h] [-n NR] [-d levels] [path ...]", 0, 1,
	  TX_NEVER, cmd_follow },
	{ "devices", "", "[-h] [domid ...]", 0, 1, TX_SNAPSHOT, cmd_devices },
	{ "top", "nd", "[-h] [-d seconds] [-n NR]", 0, 1, TX_NEVER, cmd_top },
	{ "dump", "", "[-h] [path ...]", 0, 1, TX_SNAPSHOT, cmd_dump },
	{ "load", "", "[-h]", 0, 1, TX_ALWAYS, cmd_load },
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "flat", no_argument, NULL, 'f' },
	{ "prefix", no_argument, NULL, 'p' },
	{ "tidy", no_argument, NULL, 't' },
	{ "upto", no_argument, NULL, 'u' },
	{ "recurse", no_argument, NULL, 'r' },
	{ "number", required_argument, NULL, 'n' },
	{ "raw", no_argument, NULL, 'R' },
	{ "depth", required_argument, NULL, 'd' },
	{ NULL, 0, NULL, 0 },
};

/* What the user typed before the options. */
struct called {
	const char *program;
	const char *mode_arg;	/* NULL: the mode is part of the name */
};

static const struct mode *find_mode(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(modes[i].name, name))
			return &modes[i];
	}
	text_warn("unknown mode %s", name);
	putc('\n', stderr);
	exit(1);
}

static void usage(const struct called *c, const struct mode *m, int status)
{
	if (!m)
		text_warn("Usage: %s <mode> [-h] [...]", c->program);
	else
		text_warn("Usage: %s %s%s%s", c->program,
			  c->mode_arg ? c->mode_arg : "",
			  c->mode_arg ? " " : "", m->usage);
	exit(status);
}

/*
 * getopt() repeats a wrong option as it is. If one is unprintable, which
 * happens when a script passes on what a guest wrote, it is to be silent.
 */
static void check_options(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		const char *p = argv[i];

		if (*p != '-')
			continue;
		while (*p >= 0x20 && *p <= 0x7e)
			p++;
		if (*p) {
			text_warn("invalid option '%s'", argv[i]);
			opterr = 0;
		}
	}
}

/* Depths are new, so there is no habit of atoi() to respect. -1: wrong. */
static int parse_depth(const char *arg)
{
	char *end;
	unsigned long depth = strtoul(arg, &end, 10);

	return isdigit((unsigned char)*arg) && !*end && depth <= INT_MAX ?
		(int)depth : -1;
}

/* Whether it makes sense. */
static bool set_option(struct job *j, int opt, const char *arg)
{
	switch (opt) {
	case 'f':
		j->flat = true;
		break;
	case 'p':
		j->prefix = true;
		break;
	case 't':
		j->tidy = true;
		break;
	case 'u':
		j->upto = true;
		break;
	case 'r':
		j->recurse = true;
		break;
	case 'R':
		j->raw = true;
		break;
	case 'n':
		j->number = atoi(arg);
		if (j->number < -1)
			j->number = 0;
		break;
	case 'd':
		j->depth = parse_depth(arg);
		return j->depth >= 0;
	}
	return true;
}

static void parse_options(struct job *j, const struct called *c,
			  const struct mode *m, int argc, char **argv)
{
	int opt;

	check_options(argc, argv);
	while ((opt = getopt_long(argc, argv, "hfspturn:Rd:", long_options,
				  NULL)) != -1) {
		switch (opt) {
		case 'h':
			usage(c, m, 0);
			break;
		case 's':	/* old scripts ask for the socket with it */
		case '?':	/* getopt has complained, go on as always */
			break;
		default:
			if (!strchr(m->options, opt) ||
			    !set_option(j, opt, optarg))
				usage(c, m, 1);
		}
	}
	j->args = argv + optind;
	j->nargs = argc - optind;
	if (j->nargs < m->min_args || j->nargs % m->args_each)
		usage(c, m, 1);
}

/* Output is held back until it is known to come from one state of the store. */
static int run_in_transaction(struct job *j, const struct mode *m)
{
	bool ended;
	int ret;

	do {
		char *text;
		size_t len;

		j->tx = xs_transaction_start(j->xs);
		if (j->tx == XBT_NULL)
			errx(1, "couldn't start transaction");
		j->out = open_memstream(&text, &len);
		if (!j->out)
			err(1, NULL);

		ret = m->run(j);

		ended = xs_transaction_end(j->xs, j->tx,
					   ret || m->tx == TX_SNAPSHOT);
		if (!ended && (ret || errno != EAGAIN))
			errx(1, "couldn't end transaction");
		if (fclose(j->out))
			err(1, NULL);
		if (ended)
			fwrite(text, 1, len, stdout);
		free(text);
	} while (!ended);
	return ret;
}

static int run(struct job *j, const struct mode *m)
{
	if (m->tx == TX_ALWAYS || m->tx == TX_SNAPSHOT ||
	    (m->tx == TX_IF_SEVERAL && j->nargs > m->args_each))
		return run_in_transaction(j, m);
	j->tx = XBT_NULL;
	j->out = stdout;
	return m->run(j);
}

int main(int argc, char **argv)
{
	static const char prefix[] = "xenstore-";
	struct called c = { .program = argv[0] };
	struct job j = { .number = -1, .depth = -1 };
	const char *name = program_invocation_short_name;
	const struct mode *m;
	int ret;

	streams_begin();
	if (!strncmp(name, prefix, strlen(prefix))) {
		m = find_mode(name + strlen(prefix));
	} else {
		if (argc < 2)
			usage(&c, NULL, 1);
		m = find_mode(argv[1]);
		c.mode_arg = argv[1];
		argc--;
		argv++;
	}
	parse_options(&j, &c, m, argc, argv);

	j.xs = xs_open(0);
	if (!j.xs)
		err(1, "xs_open");
	ret = run(&j, m);
	xs_close(j.xs);

	return streams_end() ? ret : 1;
}
