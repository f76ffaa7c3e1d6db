/* SPDX-License-Identifier: MIT */
/*
 * A small toolstack: hypervisor and VMM on one side, what libxl writes on the
 * other, in its order and with its permissions.
 *
 * Functions return 0 or -errno; what takes part on the other side is waited
 * for, at most TOOLSTACK_MS.
 */
#ifndef GUEST_TOOLSTACK_H
#define GUEST_TOOLSTACK_H

#include <stdbool.h>
#include <sys/types.h>
#include <xenstore.h>

#include "frontend.h"
#include "vmm.h"

#define TOOLSTACK_MS 20000

struct toolstack {
	struct xs_handle *xs;
	int vmm;		/* our connection as a VMM */
	bool verbose;
	unsigned int retries;	/* transactions that were begun again */
	unsigned int released;	/* @releaseDomain seen */
};

enum device_kind { DEVICE_VIF, DEVICE_VBD, DEVICE_CONSOLE };

struct vm_device {
	enum device_kind kind;
	int id;
};

#define VM_DEVICES 8

struct vm {
	struct vmm_domain dom;
	char name[16];
	char uuid[40];
	pid_t pid;		/* 0: not started, or ended */
	int control;
	struct vm_device devices[VM_DEVICES];
	int n_devices;
};

/* `vmm`: path of the daemon's socket for VMMs. */
int toolstack_open(struct toolstack *ts, const char *vmm, bool verbose);
void toolstack_close(struct toolstack *ts);

/* The domain and its nodes, up to INTRODUCE. */
int vm_create(struct toolstack *ts, struct vm *vm, uint16_t domid,
	      const char *name);
int vm_add_device(struct toolstack *ts, struct vm *vm, enum device_kind kind,
		  int id);
/* Lets it run, and waits until it is up. */
int vm_start(struct toolstack *ts, struct vm *vm);
int vm_wait_up(struct toolstack *ts, struct vm *vm);
/* Waits until both sides of all devices are Connected. */
int vm_wait_connected(struct toolstack *ts, struct vm *vm);

/* Has one device closed by both sides, then removes it. */
int vm_remove_device(struct toolstack *ts, struct vm *vm, int index);

/* Asks for "poweroff" and the like; then waits until the guest has done it and
 * the daemon has said that some domain is released. */
int vm_order(struct toolstack *ts, struct vm *vm, const char *order);
int vm_wait_off(struct toolstack *ts, struct vm *vm);
/* The guest process is killed, as a crash. */
int vm_crash(struct toolstack *ts, struct vm *vm);
int vm_suspend(struct toolstack *ts, struct vm *vm);
int vm_resume(struct toolstack *ts, struct vm *vm);
/* From suspended: goes on as another domain; the old one is destroyed. */
int vm_migrate(struct toolstack *ts, struct vm *vm, uint16_t domid);
/* The domain, and then all its nodes. */
int vm_destroy(struct toolstack *ts, struct vm *vm);

/* The state that a node has; STATE_UNKNOWN without it. */
enum xenbus_state vm_state(struct toolstack *ts, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
