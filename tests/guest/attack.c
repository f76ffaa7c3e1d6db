/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#include "bus.h"
#include "vmm.h"

#define WAIT_MS 5000

/* A guest that we are ourselves. */
struct mole {
	struct vmm_domain dom;
	struct bus *bus;
};

static struct {
	int vmm;
	int daemon;
	struct xs_handle *dom0;
	struct mole good;	/* a neighbour, to be served all the time */
	unsigned int released;	/* @releaseDomain events */
	int n, failed;
} all;

static void check(bool good, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void check(bool good, const char *fmt, ...)
{
	va_list args;

	printf("%s %d - ", good ? "ok" : "not ok", ++all.n);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	all.failed += !good;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "attack: %s\n", what);
	exit(1);
}

static void nap(void)
{
	usleep(1000);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- memory of the daemon: keeper and worker ---------------------------- */

static long status_number(const char *pid, const char *field)
{
	char path[300], line[256];
	long value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			value = atol(line + strlen(field));
	if (f)
		fclose(f);
	return value;
}

/* KiB, without mapped files, for the journal has limits of its own; 0: not
 * asked for, or a sanitizer's. */
static long daemon_rss(void)
{
	struct dirent *entry;
	long sum = 0;
	DIR *proc;

	if (!all.daemon || getenv("SANITIZED"))
		return 0;
	proc = opendir("/proc");
	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);

		if (pid == all.daemon ||
		    (pid > 0 && status_number(entry->d_name, "PPid:") ==
					all.daemon))
			sum += status_number(entry->d_name, "RssAnon:");
	}
	if (proc)
		closedir(proc);
	must(sum > 0, "the daemon's memory is not to be seen");
	return sum;
}

static void check_rss(long before, long allowed, const char *what)
{
	long more = daemon_rss() - before;

	check(!before || more < allowed, "%s: memory stays (%+ld KiB)", what,
	      before ? more : 0);
}

/* ---- moles -------------------------------------------------------------- */

static void mole_new(struct mole *mole, uint16_t domid)
{
	must(!vmm_domain_make(&mole->dom, domid) &&
	     !vmm_attach(all.vmm, &mole->dom, true), "cannot attach");
	mole->bus = bus_new(&mole->dom.ring, mole->dom.out);
}

static void mole_free(struct mole *mole)
{
	must(!vmm_detach(all.vmm, mole->dom.domid), "cannot detach");
	bus_free(mole->bus);
	vmm_domain_free(&mole->dom);
}

static bool served(struct mole *mole)
{
	long begin = now_ms();
	char *names;
	int err;

	alarm(20);
	err = bus_list(mole->bus, 0, "/", &names, NULL);
	alarm(0);
	if (!err)
		free(names);
	return err != -EIO && now_ms() - begin < WAIT_MS;
}

static bool others_served(void)
{
	char *value = xs_read(all.dom0, XBT_NULL, "/", NULL);

	free(value);
	return value && served(&all.good);
}

static bool reconnects(struct mole *mole)
{
	gring_reconnect(&mole->dom.ring);
	for (int i = 0; i < WAIT_MS; i++, nap())
		if (gring_connected(&mole->dom.ring)) {
			bus_move(mole->bus, &mole->dom.ring, mole->dom.out);
			return true;
		}
	return false;
}

static bool becomes(const uint32_t *field, uint32_t want)
{
	for (int i = 0; i < WAIT_MS; i++, nap())
		if (__atomic_load_n(field, __ATOMIC_RELAXED) == want)
			return true;
	return false;
}

static void mole_kick(struct mole *mole)
{
	mole->dom.ring.kick(mole->dom.ring.arg);
}

static size_t put_header(struct mole *mole, uint32_t type, uint32_t len)
{
	struct xsd_sockmsg hdr = { .type = type, .len = len };

	return gring_write(&mole->dom.ring, &hdr, sizeof(hdr));
}

static void count_releases(void)
{
	struct pollfd pfd = { .fd = xs_fileno(all.dom0), .events = POLLIN };
	char **event;

	do
		while ((event = xs_check_watch(all.dom0))) {
			all.released++;
			free(event);
		}
	while (poll(&pfd, 1, 100) > 0);
}

/* ---- the ring ----------------------------------------------------------- */

static void bad_indices(struct mole *mole)
{
	static const struct {
		const char *what;
		uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
	} add[] = {
		{ .what = "1025 requested bytes", .req_prod = 1025 },
		{ .what = "2^31 requested bytes", .req_prod = 0x80000000 },
		{ .what = "-1 requested bytes", .req_prod = -1 },
		{ .what = "more read than was written", .rsp_cons = 1 },
		{ .what = "far less read than was written",
		  .rsp_cons = -1025 },
		{ .what = "our req_cons moved", .req_cons = 3 },
		{ .what = "our rsp_prod moved", .rsp_prod = 3 },
	};
	struct xenstore_domain_interface *page = mole->dom.ring.page;

	for (size_t i = 0; i < sizeof(add) / sizeof(*add); i++) {
		must(served(mole), "not served");
		page->req_cons += add[i].req_cons;
		page->req_prod += add[i].req_prod;
		page->rsp_cons += add[i].rsp_cons;
		page->rsp_prod += add[i].rsp_prod;
		mole_kick(mole);
		check(becomes(&page->error, XENSTORE_ERROR_RINGIDX) &&
		      others_served() && reconnects(mole) && served(mole),
		      "XSA-38: %s: error 2, and a new beginning", add[i].what);
	}
}

static void bad_lengths(struct mole *mole)
{
	static const uint32_t len[] = { 4097, 0x40000000, 0x7fffffff,
					0xffffffff };

	for (size_t i = 0; i < sizeof(len) / sizeof(*len); i++) {
		put_header(mole, XS_WRITE, len[i]);
		check(becomes(&mole->dom.ring.page->error,
			      XENSTORE_ERROR_PROTO) && others_served() &&
		      reconnects(mole) && served(mole),
		      "XSA-%d: length %#x: error 3, and a new beginning",
		      i ? 420 : 38, len[i]);
	}
}

static void full_ring(struct mole *mole)
{
	char buf[1024] = "";
	struct xsd_sockmsg hdr = { .type = XS_WRITE, .req_id = 7, .len = 1008 };
	struct xsd_sockmsg back;
	size_t got = 0;

	memcpy(buf, &hdr, sizeof(hdr));
	strcpy(buf + sizeof(hdr), "data/full");
	must(reconnects(mole), "no new beginning");
	must(gring_write(&mole->dom.ring, buf, 1024) == 1024, "no room");
	for (int i = 0; i < WAIT_MS && got < sizeof(back); i++, nap())
		got += gring_read(&mole->dom.ring, (char *)&back + got,
				  sizeof(back) - got);
	check(got == sizeof(back) && back.req_id == 7,
	      "XSA-38: a ring that is full to the last byte is served");
	must(reconnects(mole), "no new beginning");
}

static void split_headers(struct mole *mole)
{
	bool good = true;

	for (size_t cut = 1; cut < 18; cut++) {
		struct xsd_sockmsg hdr = { .type = XS_GET_DOMAIN_PATH,
					   .req_id = cut, .len = 2 }, back;
		char buf[18], reply[64];
		size_t got = 0;

		memcpy(buf, &hdr, sizeof(hdr));
		memcpy(buf + sizeof(hdr), "9", 2);
		gring_write(&mole->dom.ring, buf, cut);
		good = good && becomes(&mole->dom.ring.page->req_cons,
				       mole->dom.ring.page->req_prod);
		gring_write(&mole->dom.ring, buf + cut, sizeof(buf) - cut);
		for (int i = 0; i < WAIT_MS && got < sizeof(back); i++, nap())
			got += gring_read(&mole->dom.ring, (char *)&back + got,
					  sizeof(back) - got);
		for (int i = 0; i < WAIT_MS && got < sizeof(back) + back.len;
		     i++, nap())
			got += gring_read(&mole->dom.ring, reply,
					  sizeof(back) + back.len - got);
		good = good && back.req_id == cut && !strcmp(reply,
							"/local/domain/9");
	}
	check(good, "a request cut at any byte is served");
}

static void empty_requests(struct mole *mole)
{
	long worst = 0;

	for (uint32_t type = 0; type < XS_TYPE_COUNT + 3; type++) {
		long begin = now_ms();

		alarm(20);
		bus_wait(mole->bus, bus_submit(mole->bus, type, 0, "", 0), NULL,
			 NULL);
		alarm(0);
		if (now_ms() - begin > worst)
			worst = now_ms() - begin;
	}
	check(worst < 1000, "every request without payload is answered "
	      "(worst %ld ms)", worst);
}

/* ---- hostile from the side ---------------------------------------------- */

struct flipper {
	struct xenstore_domain_interface *page;
	bool stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;
	unsigned int seed = 1;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		uint32_t prod = __atomic_load_n(&f->page->req_prod,
						__ATOMIC_RELAXED);

		__atomic_store_n(&f->page->req_prod, prod + rand_r(&seed),
				 __ATOMIC_RELAXED);
		__atomic_store_n(&f->page->req_prod, prod, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void flipping_index(struct mole *mole)
{
	struct flipper f = { .page = mole->dom.ring.page };
	long end = now_ms() + 500;
	unsigned int rounds = 0;
	pthread_t thread;
	bool good = true;

	pthread_create(&thread, NULL, flip, &f);
	while (now_ms() < end) {
		put_header(mole, XS_DIRECTORY, 0);
		mole_kick(mole);
		good = good && others_served();
		if (++rounds % 16 == 0)
			gring_reconnect(&mole->dom.ring);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	check(good && reconnects(mole) && served(mole),
	      "XSA-38: an index that flips while it is served");
}

static void __attribute__((noreturn)) scribble(struct mole *mole, long end)
{
	char *page = (char *)mole->dom.ring.page;
	unsigned int seed = 7;

	while (now_ms() < end) {
		for (int i = 0; i < 200; i++) {
			unsigned int what = rand_r(&seed) % 16;
			size_t at = what < 8 ? 2048 + rand_r(&seed) % 32 :
					       rand_r(&seed) % 2048;

			page[at] = what < 12 ? rand_r(&seed) : 0;
			if (what == 15)
				memset(page + 2048, 0, 32);
		}
		mole_kick(mole);
	}
	_exit(0);
}

static void scribbling(struct mole *mole)
{
	long end = now_ms() + 1500, rss = daemon_rss();
	unsigned int rounds = 0;
	bool good = true;
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i])
			scribble(mole, end);
	}
	for (; now_ms() < end; rounds++) {
		good = good && others_served();
		nap();
	}
	for (int i = 0; i < 2; i++)
		waitpid(pid[i], NULL, 0);
	check(good && rounds > 20 && reconnects(mole) && served(mole),
	      "two vCPUs scribble over the page: others are served (%u times)",
	      rounds);
	check_rss(rss, 4096, "scribbling");
}

/* ---- life and death ----------------------------------------------------- */

static void break_and_die(void)
{
	struct mole mole;
	unsigned int before;

	mole_new(&mole, 31);
	must(served(&mole), "not served");
	count_releases();
	before = all.released;
	mole.dom.ring.page->req_prod += 5000;
	mole_kick(&mole);
	must(becomes(&mole.dom.ring.page->error, XENSTORE_ERROR_RINGIDX),
	     "not noticed");
	count_releases();
	check(all.released == before,
	      "XSA-325: a broken ring is not a dead domain");
	check(xs_introduce_domain(all.dom0, 31, 0, 1) &&
	      becomes(&mole.dom.ring.page->error, 0), "XSA-325: INTRODUCE "
	      "revives it");
	bus_move(mole.bus, &mole.dom.ring, mole.dom.out);
	check(served(&mole), "XSA-325: and it is served");
	mole.dom.ring.page->req_prod += 5000;
	mole_kick(&mole);
	must(becomes(&mole.dom.ring.page->error, XENSTORE_ERROR_RINGIDX),
	     "not noticed");
	mole_free(&mole);
	count_releases();
	check(all.released == before + 1, "XSA-325: its death is told once");
}

/* ---- memory ------------------------------------------------------------- */

/* Requests in flight together; returns how many failed. */
static int ask_many(struct bus *bus, int n, uint32_t type,
		    const char *(*payload)(int i, size_t *len))
{
	enum { FLIGHT = 16 };
	uint32_t id[FLIGHT];
	int failed = 0;

	for (int i = 0; i < n + FLIGHT; i++) {
		uint32_t *slot = &id[i % FLIGHT];
		const char *text;
		size_t len;

		if (i >= FLIGHT && bus_wait(bus, *slot, NULL, NULL))
			failed++;
		if (i >= n)
			continue;
		text = payload(i, &len);
		*slot = bus_submit(bus, type, 0, text, len);
	}
	return failed;
}

static const char *watch_payload(int i, size_t *len)
{
	static char buf[300];
	int n = snprintf(buf, 200, "data/%0100d", i) + 1;

	*len = n + snprintf(buf + n, 100, "token-%d", i) + 1;
	return buf;
}

static void watches_come_and_go(struct mole *mole)
{
	enum { WARM = 50, LOOPS = 250, WATCHES = 100 };
	long rss = 0;
	int failed = 0;

	for (int i = 0; i < WARM + LOOPS; i++) {
		if (i == WARM)
			rss = daemon_rss();
		failed += ask_many(mole->bus, WATCHES, XS_WATCH, watch_payload);
		failed += bus_ask(mole->bus, XS_RESET_WATCHES, 0, "", 1, NULL,
				  NULL) != 0;
	}
	check(!failed, "XSA-330: watches are set and reset, over and over");
	check_rss(rss, 1024, "XSA-330");

	for (int i = 0; i < WARM + LOOPS; i++) {
		if (i == WARM)
			rss = daemon_rss();
		failed += ask_many(mole->bus, WATCHES, XS_WATCH, watch_payload);
		failed += !reconnects(mole);
	}
	check(!failed, "XSA-512: and so they are with reconnections");
	check_rss(rss, 1024, "XSA-512");
}

/* Puts requests until the daemon has taken none for a while; reads nothing. */
static long stuff(struct mole *mole, long n, const char *(*payload)(int i,
								   size_t *len),
		  uint32_t type)
{
	long sent = 0;

	for (; sent < n; sent++) {
		struct xsd_sockmsg hdr = { .type = type, .req_id = sent };
		char buf[512];
		size_t len, done = 0;
		const char *text = payload(sent, &len);
		int idle = 0;

		hdr.len = len;
		memcpy(buf, &hdr, sizeof(hdr));
		memcpy(buf + sizeof(hdr), text, len);
		while (done < sizeof(hdr) + len) {
			size_t k = gring_write(&mole->dom.ring, buf + done,
					       sizeof(hdr) + len - done);

			done += k;
			idle = k ? 0 : idle + 1;
			if (idle > 300)
				return sent;
			if (!k)
				nap();
		}
	}
	return sent;
}

static const char *write_payload(int i, size_t *len)
{
	static char buf[64];

	*len = snprintf(buf, sizeof(buf), "data/%d", i % 200) + 1;
	return buf;
}

static void unread_replies(void)
{
	long rss = daemon_rss(), sent;
	struct mole mole;

	mole_new(&mole, 32);
	sent = stuff(&mole, 100000, write_payload, XS_READ);
	check(sent < 1000 && others_served(),
	      "XSA-326: who does not read replies is not read (%ld requests)",
	      sent);
	check_rss(rss, 3072, "XSA-326");
	mole_free(&mole);
}

static const char *list_payload(int i, size_t *len)
{
	(void)i;
	*len = sizeof("data");
	return "data";
}

/* Each answer is large, and was a search and a list in the making. */
static void unread_listings(void)
{
	struct xs_permissions perms[] = { { 0, XS_PERM_NONE },
					  { 35, XS_PERM_READ } };
	struct mole mole;
	long rss, sent;

	for (int i = 0; i < 150; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/local/domain/35/data/%024d", i);
		xs_write(all.dom0, XBT_NULL, path, "", 0);
	}
	mole_new(&mole, 35);	/* who does not exist yet is given nothing */
	xs_set_permissions(all.dom0, XBT_NULL, "/local/domain/35/data", perms,
			   2);
	must(!bus_ask(mole.bus, XS_DIRECTORY, 0, "data", 5, NULL, NULL),
	     "cannot list");
	rss = daemon_rss();
	sent = stuff(&mole, 100000, list_payload, XS_DIRECTORY);
	check(sent < 1000 && others_served(),
	      "XSA-416: who does not read listings is not read (%ld requests)",
	      sent);
	check_rss(rss, 1024, "XSA-416");
	mole_free(&mole);
	xs_rm(all.dom0, XBT_NULL, "/local/domain/35");
}

/* Guest 34 watches what 33 writes, and does not read. */
static void unread_events(void)
{
	struct xs_permissions perms[] = { { 33, XS_PERM_NONE },
					  { 34, XS_PERM_READ } };
	struct mole writer, reader;
	long rss = daemon_rss(), sent;

	mole_new(&writer, 33);
	mole_new(&reader, 34);
	xs_write(all.dom0, XBT_NULL, "/local/domain/33/data", "", 0);
	xs_set_permissions(all.dom0, XBT_NULL, "/local/domain/33/data", perms,
			   2);
	for (int i = 0; i < 20; i++) {
		char token[160];

		snprintf(token, sizeof(token), "%0140d", i);
		must(!bus_watch(reader.bus, "/local/domain/33/data", token),
		     "cannot watch");
	}
	sent = stuff(&writer, 3000, write_payload, XS_WRITE);
	check(others_served(), "XSA-326: who writes what a guest does not read "
	      "is held (%ld requests), others are not", sent);
	check_rss(rss, 8192, "XSA-326");
	mole_free(&reader);
	check(served(&writer), "XSA-326: and goes on when that has gone");
	mole_free(&writer);
	xs_rm(all.dom0, XBT_NULL, "/local/domain/33");
}

/* The smallest events there are, until its quota of memory is full. */
static void small_events(void)
{
	struct xs_permissions perms[] = { { 0, XS_PERM_NONE },
					  { 36, XS_PERM_READ } };
	struct mole mole;
	long before;

	mole_new(&mole, 36);
	xs_write(all.dom0, XBT_NULL, "/e", "", 0);
	xs_set_permissions(all.dom0, XBT_NULL, "/e", perms, 2);
	for (int i = 0; i < 120; i++) {
		char token[12];

		snprintf(token, sizeof(token), "%d", i);
		must(!bus_watch(mole.bus, "/e", token), "cannot watch");
	}
	before = daemon_rss();
	for (int i = 0; i < 1000; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/e/%d", i);
		xs_write(all.dom0, XBT_NULL, path, "", 0);
	}
	check(others_served(), "XSA-326: small events that nobody reads");
	check_rss(before, 2 * 2560, "XSA-326, twice the quota");
	mole_free(&mole);
	xs_rm(all.dom0, XBT_NULL, "/e");
}

int attack_all(const char *vmm, int daemon)
{
	struct mole mole;
	struct xs_permissions own = { 30, XS_PERM_NONE };

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	all.daemon = daemon;
	all.vmm = vmm_dial(vmm);
	all.dom0 = xs_open(0);
	must(all.vmm >= 0 && all.dom0 &&
	     xs_watch(all.dom0, "@releaseDomain", "released"), "no daemon");
	mole_new(&all.good, 29);
	mole_new(&mole, 30);
	xs_write(all.dom0, XBT_NULL, "/local/domain/30/data", "", 0);
	xs_set_permissions(all.dom0, XBT_NULL, "/local/domain/30/data", &own,
			   1);
	bad_indices(&mole);
	bad_lengths(&mole);
	full_ring(&mole);
	split_headers(&mole);
	empty_requests(&mole);
	flipping_index(&mole);
	scribbling(&mole);
	break_and_die();
	watches_come_and_go(&mole);
	unread_replies();
	unread_listings();
	unread_events();
	small_events();
	check(served(&mole) && others_served(), "all are served in the end");
	mole_free(&mole);
	mole_free(&all.good);
	xs_rm(all.dom0, XBT_NULL, "/local/domain/30");
	xs_close(all.dom0);
	close(all.vmm);
	return all.failed;
}
