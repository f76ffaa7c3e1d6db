/* SPDX-License-Identifier: MIT */
/*
 * bulk: whole domains made and removed as a toolstack does, with two disks
 * and two network interfaces each and a backend that looks at their states.
 *
 * Parameters: n domains [50], base: the first domid [100], keep=1: watches of
 * states stay, bg: so many watches of others.
 */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fakexen.h>

static struct {
	struct conn *backend;
	bool keep;
} bulk;

static void backend_event(struct conn *conn, const char *path)
{
	size_t len = strlen(path);

	if (conn != bulk.backend || len < 6 ||
	    strcmp(path + len - 6, "/state") ||
	    conn_inflight(conn) >= WINDOW / 2)
		return;
	conn_put_path(conn, XS_READ, 0, path);
	conn_flush(conn);
}

static void ask(struct conn *conn, uint32_t type, uint32_t tx, const char *path)
{
	conn_put_path(conn, type, tx, path);
	conn_wait(conn);
}

static void must_write(struct conn *conn, uint32_t tx, const char *path,
		       const char *value)
{
	conn_put_two(conn, XS_WRITE, tx, path, value, strlen(value));
	conn_must(conn, path);
}

__attribute__((format(printf, 5, 6))) static void put_in(struct conn *conn,
							 uint32_t tx,
							 const char *dir,
							 const char *name,
							 const char *fmt, ...)
{
	char path[256], value[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	must_write(conn, tx, path, value);
}

static void set_perms(struct conn *conn, uint32_t tx, const char *path,
		      int owner, int reader)
{
	char perms[32];
	int n;

	n = sprintf(perms, "n%d%cr%d", owner, 0, reader) + 1;
	conn_put_two(conn, XS_SET_PERMS, tx, path, perms, n);
	conn_must(conn, path);
}

static void make_dir(struct conn *conn, uint32_t tx, const char *path,
		     int owner, int reader)
{
	ask(conn, XS_RM, tx, path); /* mostly it is not there */
	conn_put_path(conn, XS_MKDIR, tx, path);
	conn_must(conn, path);
	set_perms(conn, tx, path, owner, reader);
}

static uint32_t begin(struct conn *conn)
{
	conn_put(conn, XS_TRANSACTION_START, 0, "", 1);
	conn_must(conn, "start");
	return strtoul(conn->body, NULL, 10);
}

static bool commit(struct conn *conn, uint32_t tx)
{
	conn_put_end(conn, tx);
	if (conn_wait(conn))
		return true;
	if (strcmp(conn->body, "EAGAIN"))
		die("commit: %s", conn->body);
	bench_of(conn)->conflicts++;
	return false;
}

/* ---- devices ---------------------------------------------------------------
 */

struct device {
	int domid, id, number;
	bool net;
	char front[128], back[128], lib[128];
};

static void device_name(struct device *dev, int domid, int number)
{
	const char *kind;

	dev->domid = domid;
	dev->net = number >= 2;
	dev->number = number & 1;
	dev->id = dev->net ? dev->number : 51712 + 16 * dev->number;
	kind = dev->net ? "vif" : "vbd";
	snprintf(dev->front, sizeof(dev->front),
		 "/local/domain/%d/device/%s/%d", domid, kind, dev->id);
	snprintf(dev->back, sizeof(dev->back),
		 "/local/domain/0/backend/%s/%d/%d", kind, domid, dev->id);
	snprintf(dev->lib, sizeof(dev->lib), "/libxl/%d/device/%s/%d", domid,
		 kind, dev->id);
}

static void make_front(struct conn *conn, uint32_t tx, const struct device *dev)
{
	make_dir(conn, tx, dev->front, dev->domid, 0);
	put_in(conn, tx, dev->front, "backend", "%s", dev->back);
	put_in(conn, tx, dev->front, "backend-id", "0");
	put_in(conn, tx, dev->front, "state", "1");
	if (dev->net) {
		put_in(conn, tx, dev->front, "handle", "%d", dev->number);
		put_in(conn, tx, dev->front, "mac", "00:16:3e:%02x:%02x:%02x",
		       dev->domid >> 8 & 255, dev->domid & 255, dev->number);
		put_in(conn, tx, dev->front, "mtu", "1500");
	} else {
		put_in(conn, tx, dev->front, "virtual-device", "%d", dev->id);
		put_in(conn, tx, dev->front, "device-type", "disk");
	}
}

static void make_back(struct conn *conn, uint32_t tx, const struct device *dev)
{
	static const char *const disk[][2] =
		{
			{"script", "/etc/xen/scripts/block"},
			{"params", "/dev/vg0/disk"},
			{"physical-device", "fd:1"},
			{"dev", "xvda"},
			{"type", "phy"},
			{"mode", "w"},
			{"removable", "0"},
			{"bootable", "1"},
			{"device-type", "disk"},
			{"discard-enable", "1"},
		},
				 *const net[][2] = {
					 {"script",
					  "/etc/xen/scripts/vif-bridge"},
					 {"bridge", "xenbr0"},
					 {"mac", "00:16:3e:00:00:00"},
					 {"handle", "0"},
					 {"type", "vif"},
					 {"hotplug-status", ""},
				 };
	size_t i;

	make_dir(conn, tx, dev->back, 0, dev->domid);
	put_in(conn, tx, dev->back, "frontend", "%s", dev->front);
	put_in(conn, tx, dev->back, "frontend-id", "%d", dev->domid);
	put_in(conn, tx, dev->back, "online", "1");
	put_in(conn, tx, dev->back, "state", "1");
	for (i = 0; dev->net && i < sizeof(net) / sizeof(*net); i++)
		put_in(conn, tx, dev->back, net[i][0], "%s", net[i][1]);
	for (i = 0; !dev->net && i < sizeof(disk) / sizeof(*disk); i++)
		put_in(conn, tx, dev->back, disk[i][0], "%s", disk[i][1]);
}

/* The toolstack waits for the backend, then both ends shake hands. */
static void connect_device(struct conn *conn, const struct device *dev)
{
	char state[160];

	snprintf(state, sizeof(state), "%s/state", dev->back);
	conn_put_watch(conn, XS_WATCH, state, state);
	conn_must(conn, "watch");
	must_write(conn, 0, state, "2");
	ask(conn, XS_READ, 0, state);
	put_in(conn, 0, dev->back, "hotplug-status", "connected");
	put_in(conn, 0, dev->front, "ring-ref", "8");
	put_in(conn, 0, dev->front, "event-channel", "5");
	put_in(conn, 0, dev->front, "state", "4");
	must_write(conn, 0, state, "4");
	if (bulk.keep)
		return;
	conn_put_watch(conn, XS_UNWATCH, state, state);
	conn_must(conn, "unwatch");
}

static void make_device(struct conn *conn, int domid, int number)
{
	struct device dev;
	uint32_t tx;

	device_name(&dev, domid, number);
	do {
		tx = begin(conn);
		ask(conn, XS_READ, tx, dev.lib);
		make_dir(conn, tx, dev.lib, 0, 0);
		put_in(conn, tx, dev.lib, "frontend", "%s", dev.front);
		put_in(conn, tx, dev.lib, "backend", "%s", dev.back);
		make_front(conn, tx, &dev);
		make_back(conn, tx, &dev);
	} while (!commit(conn, tx));
	connect_device(conn, &dev);
}

static void remove_device(struct conn *conn, int domid, int number)
{
	struct device dev;
	char state[160];
	uint32_t tx;

	device_name(&dev, domid, number);
	snprintf(state, sizeof(state), "%s/state", dev.back);
	if (bulk.keep) {
		conn_put_watch(conn, XS_UNWATCH, state, state);
		conn_wait(conn);
	}
	do {
		tx = begin(conn);
		ask(conn, XS_READ, tx, state);
		put_in(conn, tx, dev.back, "online", "0");
		put_in(conn, tx, dev.back, "state", "5");
	} while (!commit(conn, tx));
	must_write(conn, 0, state, "6");
	do {
		tx = begin(conn);
		ask(conn, XS_RM, tx, dev.front);
		ask(conn, XS_RM, tx, dev.back);
		ask(conn, XS_RM, tx, dev.lib);
	} while (!commit(conn, tx));
}

/* ---- domains ----------------------------------------------------------------
 */

struct homes {
	char dom[64], vm[64], lib[64];
};

static void home_names(struct homes *homes, int domid)
{
	sprintf(homes->dom, "/local/domain/%d", domid);
	sprintf(homes->vm, "/vm/%08x-0000-4000-8000-00000000%04x", domid,
		domid & 0xffff);
	sprintf(homes->lib, "/libxl/%d", domid);
}

static void fill_home(struct conn *conn, uint32_t tx, const char *dom,
		      int domid)
{
	static const char *const nodes[][2] = {
		{"memory/static-max", "1048576"},
		{"memory/target", "1048576"},
		{"memory/videoram", "-1"},
		{"store/port", "1"},
		{"store/ring-ref", "4096"},
		{"console/port", "2"},
		{"console/ring-ref", "4095"},
		{"console/type", "xenconsoled"},
		{"console/limit", "1048576"},
		{"control/platform-feature-multiprocessor-suspend", "1"},
		{"cpu/0/availability", "online"},
		{"cpu/1/availability", "online"},
		{"cpu/2/availability", "online"},
		{"cpu/3/availability", "online"},
	};
	static const char *const writable[] = {
		"control/shutdown",
		"control/feature-poweroff",
		"control/feature-reboot",
		"control/feature-suspend",
		"control/sysrq",
		"device/suspend/event-channel",
		"data",
		"drivers",
		"feature",
		"attr",
		"error",
	};
	char path[160];
	size_t i;

	for (i = 0; i < sizeof(writable) / sizeof(*writable); i++) {
		snprintf(path, sizeof(path), "%s/%s", dom, writable[i]);
		conn_put_path(conn, XS_MKDIR, tx, path);
		conn_must(conn, path);
		set_perms(conn, tx, path, domid, 0);
	}
	for (i = 0; i < sizeof(nodes) / sizeof(*nodes); i++)
		put_in(conn, tx, dom, nodes[i][0], "%s", nodes[i][1]);
}

static void make_domain(struct conn *conn, int domid)
{
	struct homes homes;
	uint32_t tx;
	int i;

	home_names(&homes, domid);
	do {
		tx = begin(conn);
		make_dir(conn, tx, homes.dom, 0, domid);
		make_dir(conn, tx, homes.vm, 0, domid);
		make_dir(conn, tx, homes.lib, 0, 0);
		put_in(conn, tx, homes.dom, "vm", "%s", homes.vm);
		put_in(conn, tx, homes.dom, "name", "guest-%d", domid);
		put_in(conn, tx, homes.dom, "domid", "%d", domid);
		put_in(conn, tx, homes.vm, "name", "guest-%d", domid);
		put_in(conn, tx, homes.vm, "uuid", "%s", homes.vm + 4);
		put_in(conn, tx, homes.vm, "image/ostype", "linux");
		put_in(conn, tx, homes.vm, "image/kernel", "/boot/vmlinuz");
		put_in(conn, tx, homes.lib, "type", "pvh");
		fill_home(conn, tx, homes.dom, domid);
	} while (!commit(conn, tx));
	for (i = 0; i < 4; i++)
		make_device(conn, domid, i);
}

static void remove_domain(struct conn *conn, int domid)
{
	struct homes homes;
	char path[160];
	int i;

	home_names(&homes, domid);
	snprintf(path, sizeof(path), "%s/device", homes.dom);
	ask(conn, XS_DIRECTORY, 0, path);
	for (i = 0; i < 4; i++)
		remove_device(conn, domid, i);
	sprintf(path, "/local/domain/0/backend/vbd/%d", domid);
	ask(conn, XS_RM, 0, path);
	sprintf(path, "/local/domain/0/backend/vif/%d", domid);
	ask(conn, XS_RM, 0, path);
	ask(conn, XS_RM, 0, homes.vm);
	ask(conn, XS_RM, 0, homes.lib);
	ask(conn, XS_RM, 0, homes.dom);
}

static void phase(struct bench *bench, const char *name,
		  void (*what)(struct conn *conn, int domid), int n, int base)
{
	uint64_t begin_ns = now_ns(), cpu = proc_cpu_ns(bench->daemon);
	uint64_t own = proc_cpu_ns(getpid()), t0;
	int i;

	hist_reset(&bench->hist);
	bench->pool.requests = 0;
	for (i = 0; i < n; i++) {
		t0 = now_ns();
		what(bench->ctl, base + i);
		hist_add(&bench->hist, now_ns() - t0);
	}
	bench_note(bench, ",\"cpu_us_req\":%.2f",
		   (proc_cpu_ns(bench->daemon) - cpu) / 1e3 /
			   (bench->pool.requests + 1));
	bench_emit(bench, name, n, now_ns() - begin_ns,
		   proc_cpu_ns(bench->daemon) - cpu,
		   proc_cpu_ns(getpid()) - own);
}

void scn_bulk(struct bench *bench)
{
	int n = bench_param(bench, "n", 50),
	    base = bench_param(bench, "base", 100);
	int others = bench_param(bench, "bg", 0), i;
	struct conn *other = conn_connect(&bench->pool);
	char path[64];

	bulk.keep = bench_param(bench, "keep", 0);
	bulk.backend = conn_connect(&bench->pool);
	conn_put_watch(bulk.backend, XS_WATCH, "/local/domain/0/backend/vif",
		       "v");
	conn_put_watch(bulk.backend, XS_WATCH, "/local/domain/0/backend/vbd",
		       "b");
	conn_drain(bulk.backend);
	for (i = 0; i < others; i++) {
		sprintf(path, "/other/%d/state", i);
		conn_put_watch(other, XS_WATCH, path, path);
		conn_feed(other);
	}
	conn_drain(other);
	bench->pool.on_event = backend_event;
	/* Only domains that exist may own nodes. */
	for (i = 0; fx_state() && i < n; i++)
		fx_dom_create(fx_state(), base + i);
	phase(bench, "bulk-create", make_domain, n, base);
	phase(bench, "bulk-destroy", remove_domain, n, base);
	conn_drain(bulk.backend);
}
