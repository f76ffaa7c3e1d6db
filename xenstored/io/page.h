/* SPDX-License-Identifier: MIT */
/*
 * Pages of shared memory that a stranger has made and may yet take away.
 *
 * A memfd that cannot shrink still can lose a page that was never filled, when
 * the kernel finds no memory for it: then the access raises SIGBUS. The handler
 * puts a page of zeros there, for this process alone, and marks it bad.
 *
 * The list of pages is the one thing here that is global: a signal handler has
 * no other way to it.
 */
#ifndef IO_PAGE_H
#define IO_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

/* Is it what page_map() needs? NULL: yes; else why not. */
const char *page_refusal(int fd, uint64_t offset);

/* -errno. Installs the handler the first time. */
int page_map(int fd, uint64_t offset, struct xenstore_domain_interface **out);
void page_unmap(struct xenstore_domain_interface *page);
bool page_ok(const struct xenstore_domain_interface *page);

#endif
