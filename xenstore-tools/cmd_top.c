/* SPDX-License-Identifier: MIT */
/* top: which connections keep the daemon busy, again and again. */
#include "text.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define DELAY_DEFAULT 2		/* seconds */

/* A line of the daemon's list. */
struct conn {
	uint64_t number;	/* no two have the same, ever */
	char kind[8];		/* "ring" or "socket" */
	unsigned int domid;
	uint64_t requests, events, dropped;
	unsigned int queued, watches, txns;
	unsigned int pid;	/* 0: not known */
	char note[64];		/* why it is throttled; "" */

	double req_rate, event_rate;	/* per second */
};

/* All connections at one moment, by number; and what others have done, too. */
struct sample {
	struct conn *conns;
	unsigned int num;
	uint64_t requests, accepted;
	double when;		/* seconds */
};

/* ---- what the daemon says ---- */

static bool parse_conn(const char *line, struct conn *c)
{
	const char *rest;
	int len = 0;

	memset(c, 0, sizeof(*c));
	sscanf(line,
	       "%" SCNu64 " %7s d%u req %" SCNu64 " ev %" SCNu64
	       " dropped %" SCNu64 " queued %u watches %u txns %u%n",
	       &c->number, c->kind, &c->domid, &c->requests, &c->events,
	       &c->dropped, &c->queued, &c->watches, &c->txns, &len);
	if (!len)
		return false;
	rest = line + len;
	len = 0;
	sscanf(rest, " pid %u%n", &c->pid, &len);
	sscanf(rest + len, " throttled: %63[^\n]", c->note);
	return true;
}

/* Adds what the text holds; the argument for the rest, or NULL at the end. */
static char *add_lines(struct sample *s, char *text)
{
	static const char more[] = "more: connections ";
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (!strncmp(line, more, strlen(more)))
			return strdup(line + strlen(more));
		s->conns = text_alloc(s->conns,
				      (s->num + 1) * sizeof(*s->conns));
		s->num += parse_conn(line, &s->conns[s->num]);
	}
	return NULL;
}

/* The number behind a name. */
static bool counter(const char *text, const char *name, uint64_t *out)
{
	const char *p = strstr(text, name);

	if (p)
		*out = strtoull(p + strlen(name), NULL, 10);
	return p;
}

static bool take_sample(struct job *j, struct sample *s)
{
	char *text = xs_control_command(j->xs, "stats", NULL, 0);
	struct timespec now;
	char *arg = NULL;
	bool known;

	*s = (struct sample){ 0 };
	if (!text)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	s->when = now.tv_sec + now.tv_nsec / 1e9;
	known = counter(text, "Requests executed", &s->requests) &&
		counter(text, "Socket connections accepted", &s->accepted);
	free(text);
	if (!known) {
		/* oxenstored says yes to what it has never heard of. */
		errno = EINVAL;
		return false;
	}
	do {
		text = xs_control_command(j->xs, "connections", arg,
					  arg ? strlen(arg) + 1 : 0);
		free(arg);
		if (!text)
			return false;
		arg = add_lines(s, text);
		free(text);
	} while (arg);
	return true;
}

/* ---- rates ---- */

static int by_number(const void *a, const void *b)
{
	const struct conn *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int by_rate(const void *a, const void *b)
{
	const struct conn *x = a, *y = b;

	if (x->req_rate != y->req_rate)
		return x->req_rate < y->req_rate ? 1 : -1;
	if (x->event_rate != y->event_rate)
		return x->event_rate < y->event_rate ? 1 : -1;
	return by_number(a, b);
}

/* Per second. A daemon that died meanwhile counts from zero again. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
	return (now < before ? now : now - before) / seconds;
}

static void find_rates(struct sample *now, const struct sample *before)
{
	static const struct conn none;
	double seconds = now->when - before->when;
	unsigned int i;

	for (i = 0; i < now->num; i++) {
		struct conn *c = &now->conns[i];
		const struct conn *old = NULL;

		if (before->num)
			old = bsearch(c, before->conns, before->num,
				      sizeof(*c), by_number);
		if (!old)
			old = &none;
		c->req_rate = rate(c->requests, old->requests, seconds);
		c->event_rate = rate(c->events, old->events, seconds);
	}
}

/* ---- what is shown ---- */

/* Whose it is: a guest's name, or a process where we can see it. */
static void print_owner(struct job *j, const struct conn *c)
{
	char path[64], *name, comm[32] = "";
	FILE *f;

	if (!c->pid) {
		snprintf(path, sizeof(path), "/local/domain/%u/name",
			 c->domid);
		name = xs_read(j->xs, XBT_NULL, path, NULL);
		if (name)
			text_name(j->out, name, strlen(name));
		free(name);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%u/comm", c->pid);
	f = fopen(path, "re");
	if (f && !fgets(comm, sizeof(comm), f))
		*comm = '\0';
	if (f)
		fclose(f);
	text_name(j->out, comm, strcspn(comm, "\n"));
	fprintf(j->out, "[%u]", c->pid);
}

static void print_conn(struct job *j, const struct conn *c)
{
	fprintf(j->out, "%5u %7.1f %7.1f %7u %7u %5u %6" PRIu64 " %-6s ",
		c->domid, c->req_rate, c->event_rate, c->queued, c->watches,
		c->txns, c->number, c->kind);
	print_owner(j, c);
	if (*c->note) {
		fputs("  ", j->out);
		text_name(j->out, c->note, strlen(c->note));
	}
	putc('\n', j->out);
}

/* Lines for connections, on a terminal what it has besides ours. */
static unsigned int room(void)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) || ws.ws_row < 4)
		return UINT32_MAX;
	return ws.ws_row - 3;
}

static void print_sample(struct job *j, struct sample *s,
			 const struct sample *before)
{
	double seconds = s->when - before->when, events = 0;
	unsigned int i, lines = room();

	for (i = 0; i < s->num; i++)
		events += s->conns[i].event_rate;
	if (isatty(STDOUT_FILENO))
		fputs("\x1b[H\x1b[J", j->out);
	/* Who comes and goes in between is only seen here. */
	fprintf(j->out, "%u connections, %.1f more/s, %.1f requests/s, "
		"%.1f events/s\n", s->num,
		rate(s->accepted, before->accepted, seconds),
		rate(s->requests, before->requests, seconds), events);
	fputs("DOMID   REQ/S    EV/S  QUEUED WATCHES  TXNS   CONN KIND   "
	      "WHO\n", j->out);
	if (s->num)
		qsort(s->conns, s->num, sizeof(*s->conns), by_rate);
	for (i = 0; i < s->num && i < lines; i++)
		print_conn(j, &s->conns[i]);
	fflush(j->out);
	if (s->num)
		qsort(s->conns, s->num, sizeof(*s->conns), by_number);
}

int cmd_top(struct job *j)
{
	struct sample before, now;
	bool ok = take_sample(j, &before);

	while (ok && j->number) {
		sleep(j->depth > 0 ? j->depth : DELAY_DEFAULT);
		ok = take_sample(j, &now);
		if (ok) {
			find_rates(&now, &before);
			print_sample(j, &now, &before);
		}
		free(before.conns);
		before = now;
		if (ferror(j->out))
			break;
		if (j->number > 0)
			j->number--;
	}
	free(before.conns);
	if (ok)
		return 0;
	if (errno == EINVAL)
		text_warn("this daemon does not tell who is connected");
	else
		text_warn("connections: %s", strerror(errno));
	return 1;
}
