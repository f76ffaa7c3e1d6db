/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <xenstore.h>

#include "frontend.h"

#define KEYS_MAX 10
#define BUCKETS 1024

struct key {
	const char *name, *value;
};

/* What a driver writes when it has probed, and before it is connected. */
static const struct kind {
	const char *type;
	struct key probe[KEYS_MAX], connect[KEYS_MAX];
} kinds[] = {
	{ "vif", {
		{ "feature-sg", "1" }, { "feature-gso-tcpv4", "1" },
		{ "feature-gso-tcpv6", "1" }, { "feature-rx-copy", "1" },
		{ "feature-rx-flip", "0" },
		{ "feature-ipv6-csum-offload", "1" },
		{ "feature-multicast-control", "1" },
		{ "feature-split-event-channels", "1" },
		{ "multi-queue-max-queues", "2" } }, { { 0 } } },
	{ "vbd", {
		{ "max-ring-page-order", "4" }, { "feature-persistent", "1" },
		{ "multi-queue-max-queues", "2" } }, {
		{ "feature-flush-cache", "1" }, { "feature-discard", "0" },
		{ "feature-barrier", "1" }, { "sectors", "2097152" },
		{ "info", "0" }, { "sector-size", "512" },
		{ "physical-sector-size", "512" } } },
	{ "console", { { 0 } }, { { 0 } } },
};

struct device {
	struct device *next;
	const struct kind *kind;
	char dir[64];		/* backend/vif/5/0, relative to dom0's home */
	char frontend[96];
	char watch[112];	/* its state */
	enum xenbus_state state;
};

struct dom0 {
	struct xs_handle *xs;
	bool verbose;
	struct device *bucket[BUCKETS];
	unsigned int ttys;
};

static char *dom0_read(struct dom0 *dom0, xs_transaction_t t, const char *path)
{
	return xs_read(dom0->xs, t, path, NULL);
}

static long dom0_number(struct dom0 *dom0, xs_transaction_t t,
			const char *path, long otherwise)
{
	char *value = dom0_read(dom0, t, path);
	long number = value ? strtol(value, NULL, 0) : otherwise;

	free(value);
	return number;
}

static bool dom0_write(struct dom0 *dom0, xs_transaction_t t, const char *dir,
		       const char *name, const char *value)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return xs_write(dom0->xs, t, path, value, strlen(value));
}

/* Once more until it is no conflict. */
static bool dom0_write_keys(struct dom0 *dom0, const struct device *dev,
			    const struct key *keys)
{
	xs_transaction_t t;
	bool ok;

	do {
		ok = true;
		t = xs_transaction_start(dom0->xs);
		for (int i = 0; i < KEYS_MAX && keys[i].name; i++)
			ok = ok && dom0_write(dom0, t, dev->dir, keys[i].name,
					      keys[i].value);
		if (xs_transaction_end(dom0->xs, t, !ok))
			return ok;
	} while (errno == EAGAIN);
	return false;
}

static void dev_switch(struct dom0 *dom0, struct device *dev,
		       enum xenbus_state state)
{
	char value[8], path[96];
	xs_transaction_t t;
	bool there;

	if (dev->state == state)
		return;
	snprintf(path, sizeof(path), "%s/state", dev->dir);
	snprintf(value, sizeof(value), "%u", state);
	do {
		t = xs_transaction_start(dom0->xs);
		there = dom0_number(dom0, t, path, -1) >= 0 &&
			xs_write(dom0->xs, t, path, value, strlen(value));
		if (xs_transaction_end(dom0->xs, t, !there))
			break;
	} while (errno == EAGAIN);
	if (!there)
		return;
	if (dom0->verbose)
		printf("%-8s %s: backend %s -> %s\n", "dom0", dev->dir + 8,
		       xenbus_state_name(dev->state),
		       xenbus_state_name(state));
	dev->state = state;
}

static struct device **dev_find(struct dom0 *dom0, const char *dir)
{
	struct device **p;
	unsigned int h = 0;

	for (const char *c = dir; *c; c++)
		h = h * 31 + *c;
	p = &dom0->bucket[h % BUCKETS];
	while (*p && strcmp((*p)->dir, dir))
		p = &(*p)->next;
	return p;
}

static void dev_forget(struct dom0 *dom0, struct device **p)
{
	struct device *dev = *p;

	xs_unwatch(dom0->xs, dev->watch, dev->dir);
	*p = dev->next;
	free(dev);
}

static void dev_look(struct dom0 *dom0, struct device **p)
{
	struct device *dev = *p;
	char online[96];

	switch (dom0_number(dom0, XBT_NULL, dev->watch, STATE_UNKNOWN)) {
	case STATE_INITIALISED:
	case STATE_CONNECTED:
		if (dev->state == STATE_INIT_WAIT &&
		    dom0_write_keys(dom0, dev, dev->kind->connect))
			dev_switch(dom0, dev, STATE_CONNECTED);
		break;
	case STATE_CLOSING:
		dev_switch(dom0, dev, STATE_CLOSING);
		break;
	case STATE_CLOSED:
		dev_switch(dom0, dev, STATE_CLOSED);
		snprintf(online, sizeof(online), "%s/online", dev->dir);
		if (!dom0_number(dom0, XBT_NULL, online, 0))
			dev_forget(dom0, p);
		break;
	}
}

static void dev_add(struct dom0 *dom0, const struct kind *kind,
		    const char *dir)
{
	struct device *dev, **p;
	char path[96], *frontend;

	snprintf(path, sizeof(path), "%s/state", dir);
	if (dom0_number(dom0, XBT_NULL, path, -1) != STATE_INITIALISING)
		return;
	snprintf(path, sizeof(path), "%s/frontend", dir);
	frontend = dom0_read(dom0, XBT_NULL, path);
	if (!frontend)
		return;
	dev = calloc(1, sizeof(*dev));
	dev->kind = kind;
	dev->state = STATE_INITIALISING;
	snprintf(dev->dir, sizeof(dev->dir), "%s", dir);
	snprintf(dev->frontend, sizeof(dev->frontend), "%s", frontend);
	snprintf(dev->watch, sizeof(dev->watch), "%s/state", frontend);
	free(frontend);
	p = dev_find(dom0, dir);
	dev->next = *p;
	*p = dev;
	if (dom0_write_keys(dom0, dev, kind->probe))
		dev_switch(dom0, dev, STATE_INIT_WAIT);
	xs_watch(dom0->xs, dev->watch, dev->dir);
}

/* Something changed at or below backend/<type>/<domid>/<id>. */
static void device_event(struct dom0 *dom0, const char *path)
{
	char type[16], dir[64];
	struct device **p;
	int domid, id;

	if (sscanf(path, "backend/%15[^/]/%d/%d", type, &domid, &id) != 3)
		return;
	snprintf(dir, sizeof(dir), "backend/%s/%d/%d", type, domid, id);
	p = dev_find(dom0, dir);
	if (*p) {
		char state[96];

		snprintf(state, sizeof(state), "%s/state", dir);
		if (dom0_number(dom0, XBT_NULL, state, -1) < 0)
			dev_forget(dom0, p);
		return;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].type, type))
			dev_add(dom0, &kinds[i], dir);
}

/* A primary console gets its terminal. */
static void console_look(struct dom0 *dom0, const char *domid)
{
	char dir[64], path[96], value[32], *ref, *tty;

	snprintf(dir, sizeof(dir), "/local/domain/%.8s/console", domid);
	snprintf(path, sizeof(path), "%s/ring-ref", dir);
	ref = dom0_read(dom0, XBT_NULL, path);
	snprintf(path, sizeof(path), "%s/tty", dir);
	tty = dom0_read(dom0, XBT_NULL, path);
	if (ref && tty && !*tty) {
		snprintf(value, sizeof(value), "/dev/pts/%u", ++dom0->ttys);
		dom0_write(dom0, XBT_NULL, dir, "tty", value);
	}
	free(ref);
	free(tty);
}

static void consoles_scan(struct dom0 *dom0)
{
	unsigned int n = 0;
	char **domid = xs_directory(dom0->xs, XBT_NULL, "/local/domain", &n);

	for (unsigned int i = 0; i < n; i++)
		console_look(dom0, domid[i]);
	free(domid);
}

static void dom0_event(struct dom0 *dom0, const char *path, const char *token)
{
	struct device **p;
	char domid[8];

	if (!strcmp(token, "backend")) {
		device_event(dom0, path);
	} else if (!strcmp(token, "introduced")) {
		if (sscanf(path, "@introduceDomain/%7[0-9]", domid) == 1)
			console_look(dom0, domid);
		else
			consoles_scan(dom0);
	} else {
		p = dev_find(dom0, token);
		if (*p)
			dev_look(dom0, p);
	}
}

static void dom0_run(struct dom0 *dom0)
{
	unsigned int n;
	char **event;

	while ((event = xs_read_watch(dom0->xs, &n))) {
		dom0_event(dom0, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
		free(event);
	}
}

static void __attribute__((noreturn)) live(bool verbose, int ready)
{
	static struct dom0 dom0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	dom0.verbose = verbose;
	dom0.xs = xs_open(0);
	if (!dom0.xs || !xs_watch(dom0.xs, "backend", "backend"))
		_exit(1);
	if (!xs_watch_depth(dom0.xs, "@introduceDomain", "introduced", 1) &&
	    !xs_watch(dom0.xs, "@introduceDomain", "introduced"))
		_exit(1);
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	dom0_run(&dom0);
	_exit(0);
}

int backend_start(bool verbose, pid_t *pid)
{
	int fds[2];
	char c;
	ssize_t n;

	if (pipe(fds) < 0)
		return -errno;
	fflush(stdout);
	*pid = fork();
	if (*pid == 0) {
		close(fds[0]);
		live(verbose, fds[1]);
	}
	close(fds[1]);
	n = *pid < 0 ? -1 : read(fds[0], &c, 1);
	close(fds[0]);
	return n == 1 ? 0 : -EIO;
}
