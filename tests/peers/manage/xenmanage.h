/* SPDX-License-Identifier: MIT */
/*
 * What a xenstore daemon uses of libxenmanage, which comes with Xen 4.21 and
 * newer, declared for tests where there is none. fakexen.so implements it.
 */
#ifndef XENMANAGE_H
#define XENMANAGE_H

#include <stdint.h>

typedef struct xenmanage_handle xenmanage_handle;
struct xentoollog_logger;

#define XENMANAGE_GETDOMSTATE_STATE_EXIST    0x0001
#define XENMANAGE_GETDOMSTATE_STATE_SHUTDOWN 0x0002
#define XENMANAGE_GETDOMSTATE_STATE_DYING    0x0004
#define XENMANAGE_GETDOMSTATE_STATE_DEAD     0x0008

xenmanage_handle *xenmanage_open(struct xentoollog_logger *logger,
				 unsigned int open_flags);
int xenmanage_close(xenmanage_handle *hdl);
int xenmanage_get_domain_info(xenmanage_handle *hdl, unsigned int domid,
			      unsigned int *state, unsigned int *caps,
			      uint64_t *unique_id);

#endif
