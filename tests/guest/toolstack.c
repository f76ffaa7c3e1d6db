/* SPDX-License-Identifier: MIT */
#include "toolstack.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define PATH_LEN 192

/* "nD,rB" and the like: the first entry is the owner. */
struct perms {
	struct xs_permissions entry[2];
	unsigned int n;
};

static struct perms perms_of(unsigned int owner, int reader)
{
	return (struct perms){
		.entry = { { owner, XS_PERM_NONE },
			   { reader < 0 ? 0 : reader, XS_PERM_READ } },
		.n = reader < 0 ? 1 : 2,
	};
}

static void say(const struct toolstack *ts, const struct vm *vm,
		const char *what)
{
	if (ts->verbose)
		printf("%-8s %s (domain %u) %s\n", "tools", vm->name,
		       vm->dom.domid, what);
}

static void vpath(char *path, const char *fmt, va_list args)
{
	vsnprintf(path, PATH_LEN, fmt, args);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

/* ---- a transaction, once more while it is in conflict ------------------- */

struct batch {
	struct toolstack *ts;
	xs_transaction_t t;
	bool failed;
};

static void put(struct batch *b, const struct perms *perms, const char *value,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* A node with its value and, unless NULL, its permissions. */
static void put(struct batch *b, const struct perms *perms, const char *value,
		const char *fmt, ...)
{
	struct xs_handle *xs = b->ts->xs;
	char path[PATH_LEN];
	va_list args;

	va_start(args, fmt);
	vpath(path, fmt, args);
	va_end(args);
	if (!xs_write(xs, b->t, path, value, strlen(value)) ||
	    (perms && !xs_set_permissions(xs, b->t, path,
					  (struct xs_permissions *)perms->entry,
					  perms->n)))
		b->failed = true;
}

/* It may be missing. */
static void drop(struct batch *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void drop(struct batch *b, const char *fmt, ...)
{
	char path[PATH_LEN];
	va_list args;

	va_start(args, fmt);
	vpath(path, fmt, args);
	va_end(args);
	if (!xs_rm(b->ts->xs, b->t, path) && errno != ENOENT)
		b->failed = true;
}

static int batch_run(struct toolstack *ts,
		     void (*fill)(struct batch *b, void *arg), void *arg)
{
	for (;; ts->retries++) {
		struct batch b = { .ts = ts };

		b.t = xs_transaction_start(ts->xs);
		if (b.t == XBT_NULL)
			return -errno;
		fill(&b, arg);
		if (xs_transaction_end(ts->xs, b.t, b.failed))
			return b.failed ? -EIO : 0;
		if (errno != EAGAIN)
			return -errno;
	}
}

/* ---- waiting ------------------------------------------------------------ */

/* Takes what events have come; counts releases. False: there were none. */
static bool take_events(struct toolstack *ts)
{
	bool any = false;
	char **event;

	while ((event = xs_check_watch(ts->xs))) {
		if (!strcmp(event[XS_WATCH_TOKEN], "released"))
			ts->released++;
		free(event);
		any = true;
	}
	return any;
}

/* False: none has come in time. */
static bool wait_event(struct toolstack *ts, uint64_t until)
{
	struct pollfd pfd = { .fd = xs_fileno(ts->xs), .events = POLLIN };

	while (!take_events(ts)) {
		uint64_t now = now_ms();

		if (now >= until)
			return false;
		poll(&pfd, 1, until - now);
	}
	return true;
}

static long number(struct toolstack *ts, const char *path, long otherwise)
{
	char *value = xs_read(ts->xs, XBT_NULL, path, NULL);
	long n = value ? strtol(value, NULL, 0) : otherwise;

	free(value);
	return n;
}

/* By a watch on the node. */
static int wait_number(struct toolstack *ts, const char *path, long want)
{
	uint64_t until = now_ms() + TOOLSTACK_MS;
	int err = 0;

	if (!xs_watch(ts->xs, path, "wait"))
		return -errno;
	while (number(ts, path, -1) != want && !err)
		if (!wait_event(ts, until))
			err = -ETIMEDOUT;
	xs_unwatch(ts->xs, path, "wait");
	if (err)
		fprintf(stderr, "%s does not become %ld but %ld\n", path, want,
			number(ts, path, -1));
	return err;
}

enum xenbus_state vm_state(struct toolstack *ts, const char *fmt, ...)
{
	char path[PATH_LEN];
	va_list args;

	va_start(args, fmt);
	vpath(path, fmt, args);
	va_end(args);
	return number(ts, path, STATE_UNKNOWN);
}

/* ---- paths -------------------------------------------------------------- */

static const char *const kind_names[] = { "vif", "vbd", "console" };

static void front_dir(const struct vm *vm, const struct vm_device *d, char *to)
{
	snprintf(to, PATH_LEN, "/local/domain/%u/device/%s/%d", vm->dom.domid,
		 kind_names[d->kind], d->id);
}

static void back_dir(const struct vm *vm, const struct vm_device *d, char *to)
{
	snprintf(to, PATH_LEN, "/local/domain/0/backend/%s/%u/%d",
		 kind_names[d->kind], vm->dom.domid, d->id);
}

static void libxl_dir(const struct vm *vm, const struct vm_device *d, char *to)
{
	snprintf(to, PATH_LEN, "/libxl/%u/device/%s/%d", vm->dom.domid,
		 kind_names[d->kind], d->id);
}

/* ---- creation ----------------------------------------------------------- */

int toolstack_open(struct toolstack *ts, const char *vmm, bool verbose)
{
	*ts = (struct toolstack){ .verbose = verbose };
	ts->vmm = vmm_dial(vmm);
	if (ts->vmm < 0)
		return ts->vmm;
	ts->xs = xs_open(0);
	if (!ts->xs || !xs_watch(ts->xs, "@releaseDomain", "released"))
		return -errno;
	return 0;
}

void toolstack_close(struct toolstack *ts)
{
	xs_close(ts->xs);
	close(ts->vmm);
}

static void fill_skeleton(struct batch *b, void *arg)
{
	static const char *const readable[] = { "cpu", "memory", "device",
						"control" };
	static const char *const owned[] = {
		"device/suspend/event-channel", "control/shutdown",
		"control/feature-poweroff", "control/feature-reboot",
		"control/feature-suspend", "control/sysrq", "data", "drivers",
		"feature", "attr", "error",
	};
	const struct vm *vm = arg;
	unsigned int d = vm->dom.domid;
	struct perms mine = perms_of(0, -1), ro = perms_of(0, d);
	struct perms its = perms_of(d, -1);

	drop(b, "/local/domain/%u", d);
	put(b, &ro, "", "/local/domain/%u", d);
	drop(b, "/vm/%s", vm->uuid);
	put(b, &ro, "", "/vm/%s", vm->uuid);
	drop(b, "/libxl/%u", d);
	put(b, &mine, "", "/libxl/%u", d);
	put(b, &mine, "", "/libxl/%u/device", d);
	put(b, NULL, vm->uuid, "/local/domain/%u/vm", d);
	put(b, NULL, vm->name, "/local/domain/%u/name", d);
	for (size_t i = 0; i < sizeof(readable) / sizeof(*readable); i++)
		put(b, &ro, "", "/local/domain/%u/%s", d, readable[i]);
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++)
		put(b, &its, "", "/local/domain/%u/%s", d, owned[i]);
	put(b, NULL, vm->uuid, "/vm/%s/uuid", vm->uuid);
	put(b, NULL, vm->name, "/vm/%s/name", vm->uuid);
	put(b, NULL, "1",
	    "/local/domain/%u/control/platform-feature-multiprocessor-suspend",
	    d);
	put(b, NULL, "1",
	    "/local/domain/%u/control/platform-feature-xs_reset_watches", d);
	put(b, NULL, "pvh", "/libxl/%u/type", d);
}

static void fill_build(struct batch *b, void *arg)
{
	const struct vm *vm = arg;
	unsigned int d = vm->dom.domid;
	struct perms con = perms_of(0, d), its = perms_of(d, 0);
	char text[16];

	put(b, NULL, "131072", "/local/domain/%u/memory/static-max", d);
	put(b, NULL, "131072", "/local/domain/%u/memory/target", d);
	put(b, NULL, "-1", "/local/domain/%u/memory/videoram", d);
	snprintf(text, sizeof(text), "%u", d);
	put(b, NULL, text, "/local/domain/%u/domid", d);
	put(b, NULL, "1", "/local/domain/%u/store/port", d);
	put(b, NULL, "1044476", "/local/domain/%u/store/ring-ref", d);
	put(b, NULL, "online", "/local/domain/%u/cpu/0/availability", d);
	/* The primary console. */
	put(b, &its, "", "/local/domain/%u/console", d);
	put(b, &con, "xenconsoled", "/local/domain/%u/console/type", d);
	put(b, &con, "pty", "/local/domain/%u/console/output", d);
	put(b, &con, "1048576", "/local/domain/%u/console/limit", d);
	put(b, &con, "2", "/local/domain/%u/console/port", d);
	put(b, &con, "1044477", "/local/domain/%u/console/ring-ref", d);
	put(b, &con, "", "/local/domain/%u/console/tty", d);
}

int vm_create(struct toolstack *ts, struct vm *vm, uint16_t domid,
	      const char *name)
{
	int err;

	memset(vm, 0, sizeof(*vm));
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	snprintf(vm->uuid, sizeof(vm->uuid),
		 "5ca1ab1e-0000-4000-8000-%012x", domid);
	err = vmm_domain_make(&vm->dom, domid);
	/* The hypervisor knows it before any node names it. */
	if (!err)
		err = vmm_attach(ts->vmm, &vm->dom, false);
	if (!err)
		err = batch_run(ts, fill_skeleton, vm);
	if (!err)
		err = batch_run(ts, fill_build, vm);
	if (!err && !xs_introduce_domain(ts->xs, domid, 1044476, 1))
		err = -errno;
	if (!err)
		say(ts, vm, "is created and introduced");
	return err;
}

/* ---- devices ------------------------------------------------------------ */

struct device_job {
	struct vm *vm;
	const struct vm_device *d;
	char front[PATH_LEN], back[PATH_LEN], libxl[PATH_LEN];
};

static struct device_job job_of(struct vm *vm, const struct vm_device *d)
{
	struct device_job job = { .vm = vm, .d = d };

	front_dir(vm, d, job.front);
	back_dir(vm, d, job.back);
	libxl_dir(vm, d, job.libxl);
	return job;
}

struct pair {
	const char *name, *value;
};

static const struct pair front_keys[][6] = {
	[DEVICE_VIF] = { { "handle", "0" }, { "mac", "00:16:3e:00:00:01" },
			 { "mtu", "1500" }, { "trusted", "1" } },
	[DEVICE_VBD] = { { "virtual-device", "51712" },
			 { "device-type", "disk" }, { "trusted", "1" } },
	[DEVICE_CONSOLE] = { { "limit", "1048576" }, { "output", "pty" },
			     { "tty", "" } },
};

static const struct pair back_keys[][10] = {
	[DEVICE_VIF] = { { "script", "vif-bridge" }, { "mac",
			 "00:16:3e:00:00:01" }, { "bridge", "xenbr0" },
			 { "handle", "0" }, { "type", "vif" },
			 { "hotplug-status", "" } },
	[DEVICE_VBD] = { { "params", "/dev/vg/disk" }, { "script", "block" },
			 { "removable", "0" }, { "bootable", "1" },
			 { "dev", "xvda" }, { "type", "phy" }, { "mode", "w" },
			 { "device-type", "disk" },
			 { "discard-enable", "1" } },
	[DEVICE_CONSOLE] = { { "protocol", "vt100" } },
};

static void fill_device(struct batch *b, void *arg)
{
	const struct device_job *job = arg;
	unsigned int domid = job->vm->dom.domid;
	struct perms front = perms_of(domid, 0), back = perms_of(0, domid);
	const struct pair *k;
	char text[16];

	drop(b, "%s", job->libxl);
	put(b, NULL, job->front, "%s/frontend", job->libxl);
	put(b, NULL, job->back, "%s/backend", job->libxl);

	drop(b, "%s", job->front);
	put(b, &front, "", "%s", job->front);
	put(b, &front, job->back, "%s/backend", job->front);
	put(b, &front, "0", "%s/backend-id", job->front);
	put(b, &front, "1", "%s/state", job->front);
	for (k = front_keys[job->d->kind]; k->name; k++)
		put(b, &front, k->value, "%s/%s", job->front, k->name);

	drop(b, "%s", job->back);
	put(b, &back, "", "%s", job->back);
	put(b, NULL, job->front, "%s/frontend", job->back);
	snprintf(text, sizeof(text), "%u", domid);
	put(b, NULL, text, "%s/frontend-id", job->back);
	put(b, NULL, "1", "%s/online", job->back);
	put(b, NULL, "1", "%s/state", job->back);
	for (k = back_keys[job->d->kind]; k->name; k++) {
		put(b, NULL, k->value, "%s/%s", job->back, k->name);
		put(b, NULL, k->value, "%s/%s", job->libxl, k->name);
	}
}

/* Waits for the backend to have probed, and runs the hotplug script. */
static int hotplug(struct toolstack *ts, struct device_job *job)
{
	char path[PATH_LEN + 20];
	int err;

	snprintf(path, sizeof(path), "%s/state", job->back);
	err = wait_number(ts, path, STATE_INIT_WAIT);
	if (err || job->d->kind == DEVICE_CONSOLE)
		return err;
	if (job->d->kind == DEVICE_VBD) {
		snprintf(path, sizeof(path), "%s/physical-device", job->back);
		xs_write(ts->xs, XBT_NULL, path, "fd:3", 4);
	}
	snprintf(path, sizeof(path), "%s/hotplug-status", job->back);
	return xs_write(ts->xs, XBT_NULL, path, "connected", 9) ? 0 : -errno;
}

int vm_add_device(struct toolstack *ts, struct vm *vm, enum device_kind kind,
		  int id)
{
	struct vm_device *d = &vm->devices[vm->n_devices];
	struct device_job job;
	int err;

	if (vm->n_devices == VM_DEVICES)
		return -ENOSPC;
	vm->n_devices++;
	*d = (struct vm_device){ kind, id };
	job = job_of(vm, d);
	err = batch_run(ts, fill_device, &job);
	/* A running guest may be faster than the script. */
	if (!err && !vm->pid)
		err = hotplug(ts, &job);
	if (!err && ts->verbose)
		printf("%-8s %s gets %s/%d\n", "tools", vm->name,
		       kind_names[kind], id);
	return err;
}

static void drop_empty_parents(struct batch *b, const char *of)
{
	char path[PATH_LEN], *slash, *value, **names;
	unsigned int len, n;
	bool empty;

	snprintf(path, sizeof(path), "%s", of);
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = 0;
		value = xs_read(b->ts->xs, b->t, path, &len);
		names = value ? xs_directory(b->ts->xs, b->t, path, &n) : NULL;
		empty = names && !len && !n;
		free(value);
		free(names);
		if (!empty)
			return;
		drop(b, "%s", path);
	}
}

static void fill_removal(struct batch *b, void *arg)
{
	const struct device_job *job = arg;

	drop(b, "%s", job->front);
	drop_empty_parents(b, job->front);
	drop(b, "%s", job->libxl);
	drop_empty_parents(b, job->libxl);
	drop(b, "%s", job->back);
	drop_empty_parents(b, job->back);
}

static void fill_closing(struct batch *b, void *arg)
{
	const struct device_job *job = arg;
	char path[PATH_LEN + 8], *state;

	put(b, NULL, "0", "%s/online", job->back);
	snprintf(path, sizeof(path), "%s/state", job->back);
	state = xs_read(b->ts->xs, b->t, path, NULL);
	if (state && strcmp(state, "6"))
		put(b, NULL, "5", "%s", path);
	free(state);
}

int vm_remove_device(struct toolstack *ts, struct vm *vm, int index)
{
	struct device_job job = job_of(vm, &vm->devices[index]);
	char path[PATH_LEN + 8];
	int err;

	if (ts->verbose)
		printf("%-8s %s loses %s/%d\n", "tools", vm->name,
		       kind_names[job.d->kind], job.d->id);
	err = batch_run(ts, fill_closing, &job);
	snprintf(path, sizeof(path), "%s/state", job.back);
	if (!err)
		err = wait_number(ts, path, STATE_CLOSED);
	if (!err)
		err = batch_run(ts, fill_removal, &job);
	if (!err) {
		vm->n_devices--;
		memmove(&vm->devices[index], &vm->devices[index + 1],
			(vm->n_devices - index) * sizeof(*vm->devices));
	}
	return err;
}

/* ---- life --------------------------------------------------------------- */

int vm_start(struct toolstack *ts, struct vm *vm)
{
	int err = guest_start(&vm->dom, vm->name, ts->verbose, &vm->pid,
			      &vm->control);

	if (!err)
		say(ts, vm, "is unpaused");
	return err;
}

static int expect(struct vm *vm, int what)
{
	int did = guest_listen(vm->control, TOOLSTACK_MS);

	if (did == what)
		return 0;
	fprintf(stderr, "%s: did %d, not '%c'\n", vm->name, did, what);
	return did < 0 ? did : -EPROTO;
}

int vm_wait_up(struct toolstack *ts, struct vm *vm)
{
	(void)ts;
	return expect(vm, GUEST_UP);
}

int vm_wait_connected(struct toolstack *ts, struct vm *vm)
{
	char path[PATH_LEN + 8];
	int err = 0;

	for (int i = 0; i < vm->n_devices && !err; i++) {
		struct device_job job = job_of(vm, &vm->devices[i]);

		snprintf(path, sizeof(path), "%s/state", job.front);
		err = wait_number(ts, path, STATE_CONNECTED);
		snprintf(path, sizeof(path), "%s/state", job.back);
		if (!err)
			err = wait_number(ts, path, STATE_CONNECTED);
	}
	return err;
}

int vm_order(struct toolstack *ts, struct vm *vm, const char *order)
{
	char path[64];

	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown",
		 vm->dom.domid);
	if (ts->verbose)
		printf("%-8s %s is told: %s\n", "tools", vm->name, order);
	return xs_write(ts->xs, XBT_NULL, path, order, strlen(order)) ? 0 :
									-errno;
}

/* The hypervisor says what became of it, the daemon tells by @releaseDomain. */
static int report(struct toolstack *ts, struct vm *vm,
		  enum xenstore_vmm_state state)
{
	uint64_t until = now_ms() + TOOLSTACK_MS;
	unsigned int before;
	int err;

	take_events(ts);
	before = ts->released;
	err = vmm_state(ts->vmm, vm->dom.domid, state);
	while (!err && ts->released == before)
		if (!wait_event(ts, until))
			err = -ETIMEDOUT;
	return err;
}

static void vm_reap(struct vm *vm)
{
	if (!vm->pid)
		return;
	waitpid(vm->pid, NULL, 0);
	close(vm->control);
	vm->pid = 0;
}

int vm_wait_off(struct toolstack *ts, struct vm *vm)
{
	int did = guest_listen(vm->control, TOOLSTACK_MS);

	if (did != GUEST_OFF && did != GUEST_REBOOT)
		return did < 0 ? did : -EPROTO;
	vm_reap(vm);
	return report(ts, vm, XENSTORE_VMM_SHUTDOWN);
}

int vm_crash(struct toolstack *ts, struct vm *vm)
{
	kill(vm->pid, SIGKILL);
	vm_reap(vm);
	say(ts, vm, "crashes");
	return report(ts, vm, XENSTORE_VMM_CRASHED);
}

int vm_suspend(struct toolstack *ts, struct vm *vm)
{
	int err = vm_order(ts, vm, "suspend");

	if (!err)
		err = expect(vm, GUEST_SUSPENDED);
	return err ? err : report(ts, vm, XENSTORE_VMM_SUSPENDED);
}

int vm_resume(struct toolstack *ts, struct vm *vm)
{
	int err = vmm_state(ts->vmm, vm->dom.domid, XENSTORE_VMM_RUNNING);

	say(ts, vm, "is resumed");
	if (!err && !xs_resume_domain(ts->xs, vm->dom.domid))
		err = -errno;
	return err ? err : guest_resume(vm->control);
}

static void fill_purge(struct batch *b, void *arg)
{
	const struct vm *vm = arg;

	drop(b, "/vm/%s", vm->uuid);
	drop(b, "/local/domain/%u", vm->dom.domid);
	drop(b, "/libxl/%u", vm->dom.domid);
}

/* What a domain leaves behind, once it is dead. */
static int purge(struct toolstack *ts, struct vm *vm)
{
	int err = 0;

	for (int i = 0; i < vm->n_devices && !err; i++) {
		struct device_job job = job_of(vm, &vm->devices[i]);

		err = batch_run(ts, fill_removal, &job);
	}
	return err ? err : batch_run(ts, fill_purge, vm);
}

int vm_migrate(struct toolstack *ts, struct vm *vm, uint16_t domid)
{
	struct vm old = *vm;
	int err;

	err = vm_create(ts, vm, domid, old.name);
	for (int i = 0; i < old.n_devices && !err; i++)
		err = vm_add_device(ts, vm, old.devices[i].kind,
				    old.devices[i].id);
	vm->pid = old.pid;
	vm->control = old.control;
	old.pid = 0;		/* it lives on here */
	if (!err)
		err = guest_migrate(vm->control, &vm->dom);
	if (!err)
		err = vm_destroy(ts, &old);
	return err;
}

int vm_destroy(struct toolstack *ts, struct vm *vm)
{
	int err;

	if (vm->pid) {
		kill(vm->pid, SIGKILL);
		vm_reap(vm);
	}
	err = vmm_detach(ts->vmm, vm->dom.domid);
	if (!err)
		err = purge(ts, vm);
	vmm_domain_free(&vm->dom);
	if (!err)
		say(ts, vm, "is destroyed");
	return err;
}
