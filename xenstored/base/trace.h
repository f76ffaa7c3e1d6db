/* SPDX-License-Identifier: MIT */
/*
 * The trace file: every message and object, for those who look.
 *
 *	io: IN 0x55d0c8 (d5) 20260102 10:11:12 READ (device/vif/0 )
 *	obj: CREATE watch 0x55d0d0
 *
 * Costs one test of a bit when off. When on, lines are collected and written
 * once a tick, or when 64 KiB are full; a file that cannot be written loses
 * lines, never time. Payloads are shown with zero bytes as blanks and other
 * unprintable bytes as '?'.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>
#include <xen/io/xs_wire.h>

/* X(symbol, switch, on by default) */
#define TRACE_SWITCHES(X)                                                      \
	X(OBJ, "obj", true)	/* objects made and freed */                   \
	X(IO, "io", true)	/* messages */                                 \
	X(WRL, "wrl", false)	/* who waits for others */                     \
	X(ACC, "acc", false)	/* limits that are crossed */                  \
	X(TDB, "tdb", false)	/* what checks find */

enum trace_switch {
#define TRACE_ENUM(sym, name, on) TRACE_##sym,
	TRACE_SWITCHES(TRACE_ENUM)
#undef TRACE_ENUM
	TRACE_SWITCH_COUNT
};

struct trace;

int trace_new(TALLOC_CTX *ctx, struct trace **out);
/* A file to append to, made with mode 0600 if need be. Neither opening it nor
 * writing ever waits, whatever it is: -ENXIO: a pipe that nobody reads. The
 * descriptor, or -errno. */
int trace_file_open(const char *file);
/* Opens the file, closes the one before. The file's name is kept for
 * trace_reopen(). -errno: nothing has changed. */
int trace_open(struct trace *trace, const char *file);
void trace_close(struct trace *trace);
/* SIGHUP: closes and opens the same name. */
int trace_reopen(struct trace *trace);
const char *trace_file(const struct trace *trace);	/* NULL: none */

const char *trace_switch_name(enum trace_switch sw);
bool trace_switch_get(const struct trace *trace, enum trace_switch sw);
/* "+io", "-obj". EINVAL: no such switch. */
int trace_switch_set(struct trace *trace, const char *text);

/* Open, and the switch is on. */
bool trace_on(const struct trace *trace, enum trace_switch sw);

void trace_line(struct trace *trace, enum trace_switch sw, const char *fmt,
		...) __attribute__((format(printf, 3, 4)));
/* `direction` is IN, OUT, OUT(ERR) ...; `what` names the connection. */
void trace_io(struct trace *trace, const char *direction, const void *what,
	      uint16_t domid, const char *op, const void *payload, size_t len);
/* Text for CONTROL print, whatever the switches say. */
void trace_print(struct trace *trace, const char *text);
/* End of a tick. */
void trace_flush(struct trace *trace);

#endif
