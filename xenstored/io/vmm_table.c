/* SPDX-License-Identifier: MIT */
#include "io/vmm_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "xenstored-vmm"

static int table_map(struct vmm_table *table, size_t n)
{
	void *mem;

	/* Without memory behind it a store would be a SIGBUS. */
	if (posix_fallocate(table->fd, 0, n * sizeof(*table->slots)))
		return -ENOSPC;
	mem = mmap(NULL, n * sizeof(*table->slots), PROT_READ | PROT_WRITE,
		   MAP_SHARED, table->fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	if (table->slots)
		munmap(table->slots, table->n * sizeof(*table->slots));
	table->slots = mem;
	table->n = n;
	return 0;
}

int vmm_table_new(struct vmm_table *table)
{
	table->fd = memfd_create(NAME, MFD_CLOEXEC);
	if (table->fd < 0)
		return -errno;
	return table_map(table, 64);
}

int vmm_table_adopt(struct vmm_table *table, int fd)
{
	struct stat st;

	table->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(*table->slots))
		return -EINVAL;
	return table_map(table, st.st_size / sizeof(*table->slots));
}

bool vmm_table_is(int fd)
{
	static const char name[] = "/memfd:" NAME " ";
	char path[40], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 &&
	       !strncmp(target, name, strlen(name));
}

void vmm_table_free(struct vmm_table *table)
{
	if (table->slots)
		munmap(table->slots, table->n * sizeof(*table->slots));
	if (table->fd >= 0)
		close(table->fd);
}

int vmm_table_add(struct vmm_table *table, const struct vmm_slot *slot,
		  size_t *at)
{
	size_t i = 0;
	int err;

	while (i < table->n && table->slots[i].kind != SLOT_FREE)
		i++;
	if (i == table->n) {
		err = table_map(table, table->n * 2);
		if (err)
			return err;
	}
	table->slots[i] = *slot;
	table->slots[i].kind = SLOT_FREE;
	vmm_slot_set(&table->slots[i], slot->kind);
	*at = i;
	return 0;
}

void vmm_table_upgrade(struct vmm_table *table)
{
	struct vmm_slot *first = &table->slots[0];

	for (size_t i = 1; first->page < VMM_LAYOUT && i < table->n; i++)
		if (table->slots[i].kind == SLOT_CONN)
			table->slots[i].page = -1;
	first->page = VMM_LAYOUT;
}
