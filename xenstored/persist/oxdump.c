/* SPDX-License-Identifier: MIT */
/*
 * The text dump that oxenstored leaves for its successor, one record a line:
 *
 *	$xenstored-dump-format
 *	global,<listening socket>
 *	evtchn-dev,<fd>,<port of the VIRQ>
 *	dom,<domid>,<mfn>,<remote port>,<local port>
 *	socket,<fd>
 *	watch,<domid, or minus fd>,<hex path>,<hex token>
 *	store,<hex path>,<hex permissions>,<hex value>
 *
 * A permission list is "n0\0r5": the letter and the domid of each entry.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "persist/stream.h"

#define HEADER "$xenstored-dump-format"
#define FD_MAX (1 << 20)
#define FIELDS_MAX 5

struct dump {
	const struct stream_handlers *handlers;
	void *arg;
	TALLOC_CTX *scratch;		/* emptied after each line */
	struct stream_global global;
	bool global_told;
	uint32_t n_conns;
	/* Who a watch belongs to: ids by domid and by descriptor, 0: none. */
	uint32_t *by_domid, *by_fd;
};

#define CALL(d, name, record)                                                  \
	((d)->handlers->name ? (d)->handlers->name((d)->arg, record) : 0)

bool stream_is_dump(const void *data, size_t len)
{
	return len > strlen(HEADER) && !memcmp(data, HEADER, strlen(HEADER)) &&
	       ((const char *)data)[strlen(HEADER)] == '\n';
}

static int number(const char *text, long long min, long long max,
		  long long *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno || end == text || *end || *out < min || *out > max ?
		-EPROTO : 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes in place, and adds a NUL. */
static int unhex(char *text, size_t *len)
{
	size_t n = strlen(text), i;
	int hi, lo;

	if (n & 1)
		return -EPROTO;
	for (i = 0; i < n / 2; i++) {
		hi = hex_digit(text[2 * i]);
		lo = hex_digit(text[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return -EPROTO;
		text[i] = hi << 4 | lo;
	}
	text[n / 2] = 0;
	*len = n / 2;
	return 0;
}

static int unhex_string(char *text)
{
	size_t len;
	int err = unhex(text, &len);

	if (err)
		return err;
	return len && strlen(text) == len ? 0 : -EPROTO;
}

/* ---- lines --------------------------------------------------------------- */

static int line_global(struct dump *d, char **field)
{
	long long fd;

	if (number(field[0], -1, FD_MAX - 1, &fd))
		return -EPROTO;
	d->global.socket_fd = fd;
	return 0;
}

static int line_evtchn(struct dump *d, char **field)
{
	long long fd, port;

	if (number(field[0], -1, FD_MAX - 1, &fd) ||
	    number(field[1], -1, UINT32_MAX, &port))
		return -EPROTO;
	d->global.evtchn_fd = fd;
	d->global.virq_port = port;
	return 0;
}

static int line_dom(struct dump *d, char **field)
{
	struct stream_conn conn = { .ring = true, .fd = -1,
				    .target = DOMID_INVALID };
	long long domid, gfn, remote, local;

	if (number(field[0], 0, DOMID_FIRST_RESERVED - 1, &domid) ||
	    number(field[1], 0, LLONG_MAX, &gfn) ||
	    number(field[2], -1, UINT32_MAX, &remote) ||
	    number(field[3], -1, UINT32_MAX, &local) || d->by_domid[domid])
		return -EPROTO;
	conn.id = d->by_domid[domid] = ++d->n_conns;
	conn.domid = domid;
	conn.gfn = gfn;
	conn.remote_port = remote;
	/* Without a port: 0 is never a valid one. */
	conn.port = local < 0 ? 0 : local;
	return CALL(d, conn, &conn);
}

static int line_socket(struct dump *d, char **field)
{
	struct stream_conn conn = { .target = DOMID_INVALID,
				    .remote_port = -1 };
	long long fd;

	if (number(field[0], 0, FD_MAX - 1, &fd) || d->by_fd[fd])
		return -EPROTO;
	conn.id = d->by_fd[fd] = ++d->n_conns;
	conn.fd = fd;
	return CALL(d, conn, &conn);
}

static int line_watch(struct dump *d, char **field)
{
	struct stream_watch watch = { .depth = STREAM_DEPTH_UNLIMITED };
	long long who;

	/* "-0" is descriptor 0, which no connection has. */
	if (number(field[0], -FD_MAX + 1, DOMID_FIRST_RESERVED - 1, &who) ||
	    unhex_string(field[1]) || unhex_string(field[2]))
		return -EPROTO;
	watch.conn = who < 0 ? d->by_fd[-who] : d->by_domid[who];
	watch.path = field[1];
	watch.token = field[2];
	return watch.conn ? CALL(d, watch, &watch) : -EPROTO;
}

static int parse_perms(struct dump *d, char *text, struct stream_node *node)
{
	const char *letters = "nrwb", *letter;
	struct perm *list;
	size_t len, n = 0;
	long long domid;
	char *p;

	if (unhex(text, &len) || !len || len > UINT16_MAX)
		return -EPROTO;
	list = talloc_array(d->scratch, struct perm, len / 2 + 1);
	if (!list)
		return -ENOMEM;
	for (p = text; p < text + len; p += strlen(p) + 1) {
		letter = *p ? strchr(letters, *p) : NULL;
		if (!letter || number(p + 1, 0, UINT16_MAX, &domid))
			return -EPROTO;
		list[n++] = (struct perm){ .domid = domid,
					   .rights = letter - letters };
	}
	node->perms = list;
	node->n_perms = n;
	return 0;
}

static int line_store(struct dump *d, char **field)
{
	struct stream_node node = { 0 };
	int err;

	if (unhex_string(field[0]))
		return -EPROTO;
	err = parse_perms(d, field[1], &node);
	if (err)
		return err;
	if (unhex(field[2], &node.value.len))
		return -EPROTO;
	/* Special nodes are children of the root there. */
	node.path = field[0][0] == '/' && field[0][1] == '@' ? field[0] + 1
							     : field[0];
	node.value.data = field[2];
	return CALL(d, node, &node);
}

static const struct {
	const char *name;
	unsigned int fields;
	int (*parse)(struct dump *dump, char **field);
} kinds[] = {
	{ "global", 1, line_global },	{ "evtchn-dev", 2, line_evtchn },
	{ "dom", 4, line_dom },		{ "socket", 1, line_socket },
	{ "watch", 3, line_watch },	{ "store", 3, line_store },
};

/* Splits at commas; what is too much goes into the last field. */
static unsigned int split(char *line, char **field, unsigned int max)
{
	unsigned int n = 0;

	do {
		field[n++] = line;
		line = strchr(line, ',');
		if (line)
			*line++ = 0;
	} while (line && n < max);
	return n;
}

static int tell_global(struct dump *d)
{
	d->global_told = true;
	return CALL(d, global, &d->global);
}

static int read_line(struct dump *d, char *line)
{
	char *field[FIELDS_MAX + 1];
	unsigned int n = split(line, field, FIELDS_MAX + 1);
	size_t i;
	int err;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(field[0], kinds[i].name))
			continue;
		if (n != kinds[i].fields + 1)
			return -EPROTO;
		/* Two lines tell the global record; it comes first. */
		if (!d->global_told && i > 1) {
			err = tell_global(d);
			if (err)
				return err;
		}
		return kinds[i].parse(d, field + 1);
	}
	return -EPROTO;
}

static int read_lines(struct dump *d, const char *text, size_t len,
		      struct stream_fault *fault)
{
	const char *end = text + len, *next;
	size_t number_of_line = 0;
	char *line;
	int err = 0;

	for (; !err && text < end; text = next + 1) {
		next = memchr(text, '\n', end - text);
		if (!next)
			next = end;
		if (++number_of_line == 1 || next == text)
			continue;
		line = talloc_strndup(d->scratch, text, next - text);
		if (!line)
			return -ENOMEM;
		err = read_line(d, line);
		talloc_free_children(d->scratch);
	}
	if (!err && !d->global_told)
		err = tell_global(d);
	if (err == -EPROTO && fault)
		*fault = (struct stream_fault){ number_of_line,
						"malformed line" };
	return err;
}

int stream_read_dump(const void *data, size_t len,
		     const struct stream_handlers *handlers, void *arg,
		     struct stream_fault *fault)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct dump d = { handlers, arg, talloc_new(ctx),
			  { -1, -1, -1 }, false, 0,
			  talloc_zero_array(ctx, uint32_t, UINT16_MAX + 1),
			  talloc_zero_array(ctx, uint32_t, FD_MAX) };
	int err = 0;

	if (!d.scratch || !d.by_domid || !d.by_fd)
		return -ENOMEM;
	if (handlers->begin)
		err = handlers->begin(arg, 0, false);
	return err ? err : read_lines(&d, data, len, fault);
}
