/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE 65536
#define LINE_MAX_LEN (XENSTORE_PAYLOAD_MAX + 256)

struct trace {
	unsigned int live;	/* bits of the switches; 0 while closed */
	unsigned int switches;
	int fd;
	char *file;
	time_t stamp_of;	/* the second that `stamp` shows */
	char stamp[32];
	size_t used;
	char buffer[BUFFER_SIZE];
};

static const struct {
	const char *name;
	bool on;
} switches[TRACE_SWITCH_COUNT] = {
#define TRACE_ROW(sym, name, on) [TRACE_##sym] = { name, on },
	TRACE_SWITCHES(TRACE_ROW)
#undef TRACE_ROW
};

static int trace_free(struct trace *trace)
{
	trace_close(trace);
	return 0;
}

int trace_new(TALLOC_CTX *ctx, struct trace **out)
{
	struct trace *trace = talloc(ctx, struct trace);

	if (!trace)
		return -ENOMEM;
	trace->live = trace->switches = 0;
	trace->fd = -1;
	trace->file = NULL;
	trace->stamp_of = 0;
	trace->used = 0;
	for (int i = 0; i < TRACE_SWITCH_COUNT; i++)
		if (switches[i].on)
			trace->switches |= 1u << i;
	talloc_set_destructor(trace, trace_free);
	*out = trace;
	return 0;
}

static void trace_add(struct trace *trace, const char *text, size_t len)
{
	if (trace->used + len > BUFFER_SIZE)
		trace_flush(trace);
	memcpy(trace->buffer + trace->used, text, len);
	trace->used += len;
}

int trace_file_open(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
			    O_NOCTTY | O_NONBLOCK, 0600);

	return fd < 0 ? -errno : fd;
}

int trace_open(struct trace *trace, const char *file)
{
	char *name = talloc_strdup(trace, file);
	int fd;

	if (!name)
		return -ENOMEM;
	fd = trace_file_open(file);
	if (fd < 0) {
		talloc_free(name);
		return fd;
	}
	trace_close(trace);
	talloc_free(trace->file);
	trace->file = name;
	trace->fd = fd;
	trace->live = trace->switches;
	trace_add(trace, "\n***\n", 5);
	return 0;
}

void trace_close(struct trace *trace)
{
	trace_flush(trace);
	if (trace->fd >= 0)
		close(trace->fd);
	trace->fd = -1;
	trace->live = 0;
}

int trace_reopen(struct trace *trace)
{
	if (!trace->file)
		return -EBADF;
	return trace_open(trace, trace->file);
}

const char *trace_file(const struct trace *trace)
{
	return trace->fd >= 0 ? trace->file : NULL;
}

const char *trace_switch_name(enum trace_switch sw)
{
	return switches[sw].name;
}

bool trace_switch_get(const struct trace *trace, enum trace_switch sw)
{
	return trace->switches & 1u << sw;
}

int trace_switch_set(struct trace *trace, const char *text)
{
	for (int i = 0; i < TRACE_SWITCH_COUNT; i++) {
		if ((text[0] != '+' && text[0] != '-') ||
		    strcmp(text + 1, switches[i].name))
			continue;
		if (text[0] == '+')
			trace->switches |= 1u << i;
		else
			trace->switches &= ~(1u << i);
		if (trace->fd >= 0)
			trace->live = trace->switches;
		return 0;
	}
	return EINVAL;
}

bool trace_on(const struct trace *trace, enum trace_switch sw)
{
	return trace->live & 1u << sw;
}

void trace_line(struct trace *trace, enum trace_switch sw, const char *fmt,
		...)
{
	char line[LINE_MAX_LEN];
	va_list ap;
	int n, m;

	if (!trace_on(trace, sw))
		return;
	n = snprintf(line, sizeof(line), "%s: ", switches[sw].name);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	n = m < 0 ? n : n + m;
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	trace_add(trace, line, n);
}

static const char *trace_stamp(struct trace *trace)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != trace->stamp_of && localtime_r(&now, &tm)) {
		strftime(trace->stamp, sizeof(trace->stamp),
			 "%Y%m%d %H:%M:%S", &tm);
		trace->stamp_of = now;
	}
	return trace->stamp;
}

static size_t printable(char *out, const char *in, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = !in[i] ? ' ' :
			 in[i] >= ' ' && in[i] <= '~' ? in[i] : '?';
	return len;
}

void trace_io(struct trace *trace, const char *direction, const void *what,
	      uint16_t domid, const char *op, const void *payload, size_t len)
{
	char line[LINE_MAX_LEN];
	int n;

	if (!trace_on(trace, TRACE_IO))
		return;
	n = snprintf(line, LINE_MAX_LEN - XENSTORE_PAYLOAD_MAX - 2,
		     "io: %s %p (d%u) %s %s (", direction, what, domid,
		     trace_stamp(trace), op);
	if (len > XENSTORE_PAYLOAD_MAX)
		len = XENSTORE_PAYLOAD_MAX;
	n += printable(line + n, payload, len);
	line[n++] = ')';
	line[n++] = '\n';
	trace_add(trace, line, n);
}

void trace_print(struct trace *trace, const char *text)
{
	char line[LINE_MAX_LEN];
	size_t len = strlen(text), n;

	if (trace->fd < 0)
		return;
	n = snprintf(line, sizeof(line), "control: ");
	if (len > XENSTORE_PAYLOAD_MAX)
		len = XENSTORE_PAYLOAD_MAX;
	n += printable(line + n, text, len);
	line[n++] = '\n';
	trace_add(trace, line, n);
}

void trace_flush(struct trace *trace)
{
	size_t done = 0;

	while (trace->fd >= 0 && done < trace->used) {
		ssize_t n = write(trace->fd, trace->buffer + done,
				  trace->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;	/* a full disk loses the trace, not the host */
		done += n;
	}
	trace->used = 0;
}
