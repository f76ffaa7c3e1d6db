/* SPDX-License-Identifier: MIT */
/*
 * devices: how far the handshakes between frontends and backends have got.
 *
 * The backends' side is believed: a frontend belongs to guests, which may
 * write there what they like. Frontends are only looked at in addition, for
 * those that no backend knows of.
 */
#include "text.h"
#include "tool.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { INIT_WAIT = 2, INITIALISED = 3, CONNECTED = 4, CLOSING = 5, CLOSED = 6 };

static const char *const state_names[] = {
	"Unknown", "Initialising", "InitWait", "Initialised", "Connected",
	"Closing", "Closed", "Reconfiguring", "Reconfigured",
};

/* One side of a device. */
struct side {
	const char *dir;	/* NULL: not there */
	char *text;		/* of its state; NULL: none */
	int state;		/* 0: unknown */
};

struct device {
	const char *domid;	/* of the frontend */
	const char *name;	/* ends with its type, a slash, its number */
	struct side front, back;
	char *hotplug;		/* status of the script; NULL: has none */
};

struct count {
	unsigned int printed, waiting;
};

/* What xs_directory() returned. */
struct list {
	char **names;
	unsigned int num;
};

/* Texts that are ours. */
struct bag {
	char **texts;
	unsigned int num;
};

static char *text_join(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static char *text_join(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		err(1, NULL);
	va_end(ap);
	return text;
}

static void bag_add(struct bag *bag, char *text)
{
	bag->texts = text_alloc(bag->texts, (bag->num + 1) * sizeof(char *));
	bag->texts[bag->num++] = text;
}

static void bag_free(struct bag *bag)
{
	while (bag->num)
		free(bag->texts[--bag->num]);
	free(bag->texts);
}

/* ---- what is there ---- */

static char *value(struct job *j, const char *dir, const char *name)
{
	char *path = text_join("%s/%s", dir, name);
	char *val = xs_read(j->xs, j->tx, path, NULL);

	free(path);
	return val;
}

/* What cannot be listed is empty: not everybody may see everything. */
static struct list children(struct job *j, const char *path)
{
	struct list l = { 0 };

	l.names = xs_directory(j->xs, j->tx, path, &l.num);
	return l;
}

static void look_at(struct job *j, struct side *s)
{
	if (!s->dir)
		return;
	s->text = value(j, s->dir, "state");
	if (s->text)
		s->state = atoi(s->text);
}

static const char *state_name(const struct side *s)
{
	const int num = sizeof(state_names) / sizeof(*state_names);

	if (!s->text)
		return s->dir ? "no state" : "missing";
	return s->state >= 0 && s->state < num ? state_names[s->state] :
						 state_names[0];
}

/* ---- what it means ---- */

static bool is_connected(const struct device *d)
{
	return d->front.state == CONNECTED && d->back.state == CONNECTED;
}

/* Whose turn it is, by the rules of the handshake. */
static const char *waits_for(const struct device *d)
{
	int front = d->front.state, back = d->back.state;

	if (is_connected(d) || (front == CLOSED && back == CLOSED))
		return "-";
	if (!d->back.dir || !d->front.dir)
		return "toolstack";
	if (front > CLOSED || back > CLOSED)
		return front > back ? "backend" : "frontend";
	/* A closed backend begins anew when it sees that its frontend did. */
	if (back >= CLOSING)
		return front < back && front > INITIALISED ? "frontend" :
							     "backend";
	if (front >= CLOSING)
		return "backend";
	if (back < INIT_WAIT)
		return "backend";
	if (d->hotplug && strcmp(d->hotplug, "connected"))
		return "hotplug";
	if (back == CONNECTED || front < INITIALISED)
		return "frontend";
	return "backend";
}

/* ---- one device ---- */

/* "vbd/51712" */
static const char *short_name(const struct device *d)
{
	const char *p = d->name + strlen(d->name);
	int slashes = 0;

	while (p > d->name && (p[-1] != '/' || ++slashes < 2))
		p--;
	return p;
}

static void print_column(struct job *j, const char *text, int width)
{
	int len = strlen(text);

	text_name(j->out, text, len);
	fprintf(j->out, "%*s", len < width ? width - len + 1 : 1, "");
}

/* A driver says in "error/..." of its domain's home what went wrong. */
static void print_error(struct job *j, const char *who, const char *dir)
{
	static const char homes[] = "/local/domain/";
	const char *rest;
	char *path, *text;

	if (!dir || strncmp(dir, homes, strlen(homes)))
		return;
	rest = strchr(dir + strlen(homes), '/');
	if (!rest)
		return;
	path = text_join("%.*s/error%s", (int)(rest - dir), dir, rest);
	text = value(j, path, "error");
	if (text) {
		fprintf(j->out, "\t%s: ", who);
		text_name(j->out, text, strlen(text));
		putc('\n', j->out);
	}
	free(text);
	free(path);
}

static void print_hotplug(struct job *j, const struct device *d)
{
	char *text = d->back.dir ? value(j, d->back.dir, "hotplug-error") :
				   NULL;

	if (text) {
		fputs("\thotplug: ", j->out);
		text_name(j->out, text, strlen(text));
		putc('\n', j->out);
	}
	free(text);
}

static void print_titles(struct job *j)
{
	print_column(j, "DOMID", 5);
	print_column(j, "DEVICE", 15);
	print_column(j, "FRONTEND", 13);
	print_column(j, "BACKEND", 13);
	fputs("WAITS FOR  NAME\n", j->out);
}

static void print_device(struct job *j, const struct device *d)
{
	char *home = text_join("/local/domain/%s", d->domid);
	char *name = value(j, home, "name");

	print_column(j, d->domid, 5);
	print_column(j, short_name(d), 15);
	print_column(j, state_name(&d->front), 13);
	print_column(j, state_name(&d->back), 13);
	print_column(j, waits_for(d), 10);
	if (name)
		text_name(j->out, name, strlen(name));
	putc('\n', j->out);
	print_error(j, "frontend", d->front.dir);
	print_error(j, "backend", d->back.dir);
	print_hotplug(j, d);
	free(name);
	free(home);
}

/* Prints it if it is of interest. */
static void tell(struct job *j, struct device *d, struct count *count)
{
	bool asked = false;
	int i;

	for (i = 0; i < j->nargs; i++)
		asked |= !strcmp(j->args[i], d->domid);
	if (j->nargs && !asked)
		return;
	look_at(j, &d->front);
	look_at(j, &d->back);
	if (d->back.dir)
		d->hotplug = value(j, d->back.dir, "hotplug-status");
	count->waiting += !is_connected(d);
	if (asked || !is_connected(d)) {
		if (!count->printed++)
			print_titles(j);
		print_device(j, d);
	}
	free(d->front.text);
	free(d->back.text);
	free(d->hotplug);
}

/* ---- all devices ---- */

static bool is_there(struct job *j, const char *path)
{
	char *val = xs_read(j->xs, j->tx, path, NULL);

	free(val);
	return val;
}

/* A primary console has no handshake: its backend stays as it was made. */
static bool is_console(const char *frontend)
{
	const char *slash = frontend ? strrchr(frontend, '/') : NULL;

	return slash && !strcmp(slash, "/console");
}

typedef void teller(struct job *j, const char *dir, const char *domid,
		    struct count *count);

static void tell_backend(struct job *j, const char *dir, const char *domid,
			 struct count *count)
{
	char *frontend = value(j, dir, "frontend");
	struct device d = { .domid = domid, .back.dir = dir,
			    .name = frontend ? frontend : dir };

	if (!is_console(frontend)) {
		if (frontend && is_there(j, frontend))
			d.front.dir = frontend;
		tell(j, &d, count);
	}
	free(frontend);
}

/* One that a backend knows was told of, and what names no backend is none. */
static void tell_frontend(struct job *j, const char *dir, const char *domid,
			  struct count *count)
{
	char *backend = value(j, dir, "backend");
	struct device d = { .domid = domid, .front.dir = dir, .name = dir };
	char *frontend = backend ? value(j, backend, "frontend") : NULL;

	if (backend && (!frontend || strcmp(frontend, dir)))
		tell(j, &d, count);
	free(frontend);
	free(backend);
}

static void tell_each(struct job *j, const char *dir, const char *domid,
		      teller *device, struct count *count)
{
	struct list l = children(j, dir);
	unsigned int i;
	char *path;

	for (i = 0; i < l.num; i++) {
		path = text_join("%s/%s", dir, l.names[i]);
		device(j, path, domid, count);
		free(path);
	}
	free(l.names);
}

static void tell_domain(struct job *j, const char *domid,
			const struct bag *types, struct count *count)
{
	char *path = text_join("/local/domain/%s/device", domid);
	struct list front = children(j, path);
	unsigned int i;

	free(path);
	for (i = 0; i < types->num; i++) {
		path = text_join("%s/%s", types->texts[i], domid);
		tell_each(j, path, domid, tell_backend, count);
		free(path);
	}
	for (i = 0; i < front.num; i++) {
		path = text_join("/local/domain/%s/device/%s", domid,
				 front.names[i]);
		tell_each(j, path, domid, tell_frontend, count);
		free(path);
	}
	free(front.names);
}

/* "dir/child" of all, or their names alone. */
static void add_children(struct job *j, struct bag *bag, const char *dir,
			 bool whole)
{
	struct list l = children(j, dir);
	unsigned int i;

	for (i = 0; i < l.num; i++)
		bag_add(bag, text_join("%s%s%s", whole ? dir : "",
				       whole ? "/" : "", l.names[i]));
	free(l.names);
}

static int by_number(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	unsigned long m = strtoul(x, NULL, 10), n = strtoul(y, NULL, 10);

	return m != n ? (m < n ? -1 : 1) : strcmp(x, y);
}

int cmd_devices(struct job *j)
{
	struct bag domids = { 0 }, types = { 0 };
	struct count count = { 0 };
	unsigned int i, num;
	char *path;

	add_children(j, &domids, "/local/domain", false);
	num = domids.num;
	for (i = 0; i < num; i++) {
		path = text_join("/local/domain/%s/backend", domids.texts[i]);
		add_children(j, &types, path, true);
		free(path);
	}
	/* Backends may outlive their guest. */
	for (i = 0; i < types.num; i++)
		add_children(j, &domids, types.texts[i], false);

	if (domids.num)
		qsort(domids.texts, domids.num, sizeof(char *), by_number);
	for (i = 0; i < domids.num; i++)
		if (!i || strcmp(domids.texts[i], domids.texts[i - 1]))
			tell_domain(j, domids.texts[i], &types, &count);
	bag_free(&domids);
	bag_free(&types);
	return count.waiting ? 1 : 0;
}
