/* SPDX-License-Identifier: MIT */
/* The port for VMMs (io/xenport_vmm.c, io/page.h). */
#include "harness/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/vmm.h"
#include "io/page.h"
#include "io/ring.h"
#include "io/xenport.h"
#include "unit/echo.h"

struct fixture {
	struct echo *echo;
	struct xenport *port;
	char dir[32], path[64];
	int vmm;
	struct vmm_domain dom;
	unsigned int changes, attached, introduced;
	struct channel channel;
	unsigned int fired;
	bool masks;		/* a channel that fired stays masked */
};

static void changed(void *arg)
{
	((struct fixture *)arg)->changes++;
}

static int attached(void *arg, uint16_t domid, bool introduce)
{
	struct fixture *f = arg;

	assert_true(domid > 0);
	f->attached++;
	f->introduced += introduce;
	return 0;
}

static void fired(struct channel *channel)
{
	struct fixture *f = (struct fixture *)((char *)channel -
					       offsetof(struct fixture,
							channel));

	f->fired++;
	if (!f->masks)
		f->port->ops->unmask(f->port, channel);
}

/* As the server does, with nothing to commit. */
static void run(struct fixture *f)
{
	echo_run(f->echo);
	f->port->ops->settle(f->port);
}

static void port_use(struct fixture *f, int fd)
{
	assert_int_equal(xenport_vmm_new(f->echo, f->echo->loop, f->path, fd,
					 &f->port), 0);
	f->port->changed = changed;
	f->port->attached = attached;
	f->port->arg = f;
}

static int setup(void **state)
{
	struct fixture *f = talloc_zero(NULL, struct fixture);

	f->echo = echo_new(f);
	strcpy(f->dir, "/tmp/test_vmm.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/vmm", f->dir);
	port_use(f, -1);
	f->vmm = vmm_dial(f->path);
	assert_true(f->vmm >= 0);
	assert_int_equal(vmm_domain_make(&f->dom, 5), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->vmm >= 0)
		close(f->vmm);
	vmm_domain_free(&f->dom);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	talloc_free(f);
	return 0;
}

static void take_answer(struct fixture *f, int fd, struct xenstore_vmm_msg *msg)
{
	ssize_t n = -1;

	for (int i = 0; i < 10 && n < 0; i++) {
		run(f);
		n = recv(fd, msg, sizeof(*msg), MSG_DONTWAIT);
	}
	assert_int_equal(n, sizeof(*msg));
}

/* The answer to a request: its error. */
static int ask(struct fixture *f, int fd, struct xenstore_vmm_msg *msg,
	       const int *fds, int n)
{
	uint32_t serial = ++msg->serial;

	assert_int_equal(vmm_send(fd, msg, fds, n), 0);
	take_answer(f, fd, msg);
	assert_int_equal(msg->serial, serial);
	assert_true(!msg->error == !msg->text[0]);
	assert_int_equal(msg->text[sizeof(msg->text) - 1], 0);
	return msg->error;
}

static int attach_as(struct fixture *f, int fd, uint16_t domid, bool introduce)
{
	struct xenstore_vmm_msg msg;
	int fds[3];

	vmm_attach_request(&f->dom, introduce, &msg, fds);
	msg.domid = domid;
	return ask(f, fd, &msg, fds, 3);
}

static int request(struct fixture *f, uint32_t type, uint32_t domid,
		   uint32_t state)
{
	struct xenstore_vmm_msg msg = {
		.version = XENSTORE_VMM_VERSION,
		.type = type,
		.domid = domid,
		.state = state,
	};

	return ask(f, f->vmm, &msg, NULL, 0);
}

static struct dom_state state_of(struct fixture *f, uint16_t domid)
{
	struct dom_state state;

	assert_int_equal(f->port->ops->state(f->port, domid, &state), 0);
	return state;
}

static bool exists(struct fixture *f, uint16_t domid)
{
	struct dom_state state;

	return f->port->ops->state(f->port, domid, &state) != ENOENT;
}

/* ---- what works --------------------------------------------------------- */

static void attaching_makes_a_domain_exist(void **state)
{
	struct fixture *f = *state;
	struct dom_state dom;
	uint16_t domid = 0;

	assert_false(exists(f, 5));
	assert_int_equal(f->port->ops->next(f->port, &domid, &dom), ENOENT);
	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	assert_int_equal(f->attached, 1);
	assert_int_equal(f->introduced, 0);
	dom = state_of(f, 5);
	assert_false(dom.shutdown);
	assert_false(dom.dying);
	assert_true(dom.unique_id != 0);

	assert_int_equal(attach_as(f, f->vmm, 9, true), 0);
	assert_int_equal(f->introduced, 1);
	assert_int_equal(f->port->ops->next(f->port, &domid, &dom), 0);
	assert_int_equal(domid++, 5);
	assert_int_equal(f->port->ops->next(f->port, &domid, &dom), 0);
	assert_int_equal(domid++, 9);
	assert_int_equal(f->port->ops->next(f->port, &domid, &dom), ENOENT);
}

static void the_page_is_shared(void **state)
{
	struct fixture *f = *state;
	struct xenstore_domain_interface *page;

	assert_int_equal(f->port->ops->map(f->port, 5, 0, &page), ENOENT);
	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	assert_int_equal(f->port->ops->map(f->port, 5, 0, &page), 0);
	f->dom.ring.page->req_prod = 77;
	assert_int_equal(page->req_prod, 77);
	page->rsp_prod = 88;
	assert_int_equal(f->dom.ring.page->rsp_prod, 88);
	assert_true(f->port->ops->page_ok(f->port, page));
	f->port->ops->unmap(f->port, 5, page);
}

static void bind_channel(struct fixture *f)
{
	f->channel.domid = 5;
	f->channel.fired = fired;
	assert_int_equal(f->port->ops->bind(f->port, &f->channel, 1), 0);
	assert_true(f->channel.local != 0);
}

static void kicks_go_both_ways(void **state)
{
	struct fixture *f = *state;
	char buf[8];

	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	f->channel.domid = 5;
	assert_int_equal(f->port->ops->bind(f->port, &f->channel, 0), EINVAL);
	bind_channel(f);
	for (unsigned int i = 1; i < 4; i++) {
		f->dom.ring.kick(f->dom.ring.arg);
		run(f);
		assert_int_equal(f->fired, i);
		run(f);
		assert_int_equal(f->fired, i);
	}
	assert_int_equal(read(f->dom.out, buf, 8), -1);
	f->port->ops->notify(f->port, &f->channel);
	assert_int_equal(read(f->dom.out, buf, 8), 1);

	f->port->ops->unbind(f->port, &f->channel);
	assert_int_equal(f->channel.local, 0);
	f->dom.ring.kick(f->dom.ring.arg);
	run(f);
	assert_int_equal(f->fired, 3);
	bind_channel(f);
}

static void a_masked_channel_is_kicked_for_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	bind_channel(f);
	f->masks = true;
	for (int i = 0; i < 5; i++) {
		f->dom.ring.kick(f->dom.ring.arg);
		run(f);
		assert_int_equal(f->fired, 1);
	}
	/* One kick for all. */
	f->port->ops->unmask(f->port, &f->channel);
	run(f);
	assert_int_equal(f->fired, 2);
	run(f);
	assert_int_equal(f->fired, 2);
	f->port->ops->unmask(f->port, &f->channel);
	run(f);
	assert_int_equal(f->fired, 2);
	f->dom.ring.kick(f->dom.ring.arg);
	run(f);
	assert_int_equal(f->fired, 3);
}

static void an_eventfd_can_be_kicked(void **state)
{
	struct fixture *f = *state;
	int theirs = f->dom.theirs, event = eventfd(0, EFD_NONBLOCK);
	eventfd_t n;

	f->dom.theirs = event;
	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	bind_channel(f);
	f->port->ops->notify(f->port, &f->channel);
	f->port->ops->notify(f->port, &f->channel);
	assert_int_equal(eventfd_read(event, &n), 0);
	assert_int_equal(n, 2);
	f->dom.theirs = theirs;
	close(event);
}

static void a_whole_ring_works_over_it(void **state)
{
	struct fixture *f = *state;
	struct xenstore_domain_interface *page;
	struct xsd_sockmsg hdr = { .type = XS_READ, .req_id = 4 }, back;
	struct transport *ring;
	struct echo_peer *peer;
	struct limits limits;

	limits_init(&limits);
	assert_int_equal(attach_as(f, f->vmm, 5, true), 0);
	assert_int_equal(f->port->ops->map(f->port, 5, 0, &page), 0);
	assert_int_equal(ring_new(NULL, f->port, 5, page, 1, 15, false, &ring),
			 0);
	peer = echo_add(f->echo, ring, &limits);
	for (int i = 0; i < 100; i++) {
		gring_write(&f->dom.ring, &hdr, sizeof(hdr));
		run(f);
		assert_int_equal(gring_read(&f->dom.ring, &back, sizeof(back)),
				 sizeof(back));
	}

	/* The page is punched: all zeros, a fresh start as any other. */
	assert_int_equal(fallocate(f->dom.page_fd, FALLOC_FL_PUNCH_HOLE |
				   FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
	gring_write(&f->dom.ring, &hdr, sizeof(hdr));
	run(f);
	assert_int_equal(gring_read(&f->dom.ring, &back, sizeof(back)),
			 sizeof(back));
	assert_false(conn_ignored(peer->conn));
	/* The domain goes, and then its ring: nothing is used twice. */
	close(f->vmm);
	f->vmm = -1;
	run(f);
	assert_int_equal(f->changes, 1);
	talloc_free(peer);
}

static void states_are_reported(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	for (uint32_t s = XENSTORE_VMM_SHUTDOWN; s < XENSTORE_VMM_DYING; s++) {
		assert_int_equal(request(f, XENSTORE_VMM_STATE, 5, s), 0);
		assert_true(state_of(f, 5).shutdown);
		assert_false(state_of(f, 5).dying);
		assert_int_equal(f->changes, s);
	}
	assert_int_equal(request(f, XENSTORE_VMM_STATE, 5,
				 XENSTORE_VMM_SUSPENDED), 0);
	assert_int_equal(f->changes, 3);	/* no change */
	assert_int_equal(request(f, XENSTORE_VMM_STATE, 5,
				 XENSTORE_VMM_RUNNING), 0);
	assert_false(state_of(f, 5).shutdown);
	assert_int_equal(request(f, XENSTORE_VMM_STATE, 5,
				 XENSTORE_VMM_DYING), 0);
	assert_true(state_of(f, 5).dying);
	assert_int_equal(request(f, XENSTORE_VMM_STATE, 5, 5), EINVAL);
	assert_int_equal(request(f, XENSTORE_VMM_STATE, 6, 1), ENOENT);
}

static void a_domid_that_is_used_again_has_another_id(void **state)
{
	struct fixture *f = *state;
	uint64_t first;

	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	first = state_of(f, 5).unique_id;
	bind_channel(f);
	assert_int_equal(request(f, XENSTORE_VMM_DETACH, 5, 0), 0);
	assert_int_equal(f->changes, 1);
	assert_int_equal(f->channel.local, 0);
	assert_false(exists(f, 5));
	assert_int_equal(request(f, XENSTORE_VMM_DETACH, 5, 0), ENOENT);
	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	assert_true(state_of(f, 5).unique_id != first);
}

static void a_closed_connection_is_the_death_of_its_domains(void **state)
{
	struct fixture *f = *state;
	int other = vmm_dial(f->path);

	for (int domid = 10; domid < 20; domid++)
		assert_int_equal(attach_as(f, f->vmm, domid, false), 0);
	assert_int_equal(attach_as(f, other, 20, false), 0);
	close(f->vmm);
	f->vmm = -1;
	run(f);
	assert_int_equal(f->changes, 1);
	for (int domid = 10; domid < 20; domid++)
		assert_false(exists(f, domid));
	assert_true(exists(f, 20));
	close(other);
}

/* ---- what is refused, or survived --------------------------------------- */

static void a_domid_has_one_owner(void **state)
{
	struct fixture *f = *state;
	int other = vmm_dial(f->path);

	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	assert_int_equal(attach_as(f, other, 5, false), EBUSY);
	assert_int_equal(attach_as(f, f->vmm, 5, false), EBUSY);
	close(f->vmm);
	f->vmm = other;
	run(f);
	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);

	/* Nor may another report its death. */
	other = vmm_dial(f->path);
	f->vmm ^= other, other ^= f->vmm, f->vmm ^= other;
	assert_int_equal(request(f, XENSTORE_VMM_STATE, 5,
				 XENSTORE_VMM_DYING), ENOENT);
	assert_int_equal(request(f, XENSTORE_VMM_DETACH, 5, 0), ENOENT);
	assert_true(exists(f, 5));
	close(other);
}

static int memfd_of(off_t size, unsigned int flags, int seals)
{
	int fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0)
		return fd;
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void expect_page_refused(struct fixture *f, int fd, uint64_t offset)
{
	struct xenstore_vmm_msg msg;
	int fds[3];

	vmm_attach_request(&f->dom, false, &msg, fds);
	fds[0] = fd;
	msg.offset = offset;
	assert_int_equal(ask(f, f->vmm, &msg, fds, 3), EINVAL);
	print_message("# %s\n", msg.text);
	assert_false(exists(f, 5));
}

static void pages_that_could_go_away_are_refused(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int fd, good;

	good = memfd_of(8192, 0, F_SEAL_SHRINK);
	expect_page_refused(f, good, 4096 + 8);
	expect_page_refused(f, good, 8192);
	expect_page_refused(f, good, UINT64_MAX - 4095);
	expect_page_refused(f, good, 1ull << 63);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", good);
	fd = open(path, O_RDONLY);
	expect_page_refused(f, fd, 0);
	close(fd);
	close(good);

	fd = memfd_of(4096, 0, 0);
	expect_page_refused(f, fd, 0);
	close(fd);
	fd = memfd_of(4095, 0, F_SEAL_SHRINK);
	expect_page_refused(f, fd, 0);
	close(fd);
	fd = memfd_of(4096, 0, F_SEAL_SHRINK | F_SEAL_WRITE);
	expect_page_refused(f, fd, 0);
	close(fd);
	fd = memfd_of(2 << 20, MFD_HUGETLB, F_SEAL_SHRINK);
	if (fd >= 0) {
		expect_page_refused(f, fd, 0);
		close(fd);
	}
	fd = open(f->dir, O_RDONLY);
	expect_page_refused(f, fd, 0);
	close(fd);
	expect_page_refused(f, f->dom.in, 0);
	expect_page_refused(f, f->dom.out, 0);
	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
}

static void expect_kick_refused(struct fixture *f, int which, int fd)
{
	struct xenstore_vmm_msg msg;
	int fds[3];

	vmm_attach_request(&f->dom, false, &msg, fds);
	fds[which] = fd;
	assert_int_equal(ask(f, f->vmm, &msg, fds, 3), EINVAL);
	print_message("# %s\n", msg.text);
}

static void kicks_of_the_wrong_kind_are_refused(void **state)
{
	struct fixture *f = *state;
	int file = open(f->dir, O_RDONLY), fds[2], inet;

	assert_int_equal(pipe(fds), 0);
	inet = socket(AF_INET, SOCK_DGRAM, 0);
	expect_kick_refused(f, 1, file);
	expect_kick_refused(f, 1, f->dom.page_fd);
	expect_kick_refused(f, 1, fds[0]);
	expect_kick_refused(f, 1, f->dom.out);
	expect_kick_refused(f, 2, file);
	expect_kick_refused(f, 2, fds[1]);	/* could block */
	expect_kick_refused(f, 2, f->dom.page_fd);
	if (inet >= 0)
		expect_kick_refused(f, 2, inet);
	close(file);
	close(fds[0]);
	close(fds[1]);
	close(inet);
}

static void another_users_eventfd_is_not_kicked(void **state)
{
	struct fixture *f = *state;
	struct xenstore_vmm_msg msg;
	int fds[3], status;
	pid_t pid;

	if (geteuid())
		skip();
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(chmod(f->path, 0666), 0);
	pid = fork();
	if (!pid) {
		int fd;

		if (setuid(65534))
			_exit(1);
		fd = vmm_dial(f->path);
		if (fd < 0)
			_exit(2);
		vmm_attach_request(&f->dom, false, &msg, fds);
		fds[2] = eventfd(0, 0);
		if (vmm_send(fd, &msg, fds, 3))
			_exit(3);
		fds[2] = f->dom.theirs;
		if (vmm_send(fd, &msg, fds, 3))
			_exit(3);
		vmm_receive(fd, &msg);
		if (msg.error != EINVAL)
			_exit(4);
		vmm_receive(fd, &msg);
		_exit(msg.error);
	}
	for (int i = 0; i < 2000 && !waitpid(pid, &status, WNOHANG); i++) {
		run(f);
		usleep(1000);
	}
	assert_int_equal(status, 0);
}

static void malformed_messages_are_refused(void **state)
{
	struct fixture *f = *state;
	struct xenstore_vmm_msg msg, good;
	int fds[8], n = sizeof(msg);
	char big[512] = "";

	vmm_attach_request(&f->dom, false, &good, fds);
	for (int i = 3; i < 8; i++)
		fds[i] = f->dom.in;

	for (int len = 1; len <= 300; len += 23) {
		memcpy(big, &good, sizeof(good));
		if (len == n)
			continue;
		assert_int_equal(send(f->vmm, big, len, 0), len);
		take_answer(f, f->vmm, &msg);
		assert_int_equal(msg.error, EINVAL);
	}
	msg = good;
	msg.version = 2;
	assert_int_equal(ask(f, f->vmm, &msg, fds, 3), EPROTONOSUPPORT);
	for (uint32_t type = 0; type < 40; type++) {
		if (type >= 1 && type <= 3)
			continue;
		msg = good;
		msg.type = type == 39 ? UINT32_MAX : type;
		assert_int_equal(ask(f, f->vmm, &msg, fds, 3), ENOSYS);
	}
	for (int count = 0; count < 8; count++) {
		if (count == 3)
			continue;
		msg = good;
		assert_int_equal(ask(f, f->vmm, &msg, fds, count),
				 count > 4 ? EMFILE : EINVAL);
	}
	for (uint32_t domid = 0x7ff0; domid < 0x20000; domid += 0x1234) {
		msg = good;
		msg.domid = domid;
		assert_int_equal(ask(f, f->vmm, &msg, fds, 3), EINVAL);
	}
	msg = good;
	msg.domid = 0;
	assert_int_equal(ask(f, f->vmm, &msg, fds, 3), EINVAL);
	msg = good;
	msg.flags = 2;
	assert_int_equal(ask(f, f->vmm, &msg, fds, 3), EINVAL);

	/* The connection is as good as before. */
	msg = good;
	assert_int_equal(ask(f, f->vmm, &msg, fds, 3), 0);
}

static void a_vmm_that_never_reads_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	struct xenstore_vmm_msg msg = {
		.version = XENSTORE_VMM_VERSION,
		.type = XENSTORE_VMM_DETACH,
		.domid = 99,
	}, answer;
	unsigned int sent = 0, ticks;
	int other = vmm_dial(f->path);

	for (int quiet = 0; quiet < 3;) {
		msg.serial = sent;
		if (send(f->vmm, &msg, sizeof(msg), MSG_DONTWAIT) > 0) {
			sent++;
			quiet = 0;
		} else {
			attach_as(f, other, 50 + quiet, false);
			quiet++;
		}
	}
	assert_true(sent > 100);
	ticks = f->echo->ticks;
	assert_int_equal(attach_as(f, other, 7, false), 0);
	assert_true(f->echo->ticks <= ticks + 1);
	for (unsigned int i = 0; i < sent; i++) {
		while (recv(f->vmm, &answer, sizeof(answer), MSG_DONTWAIT) < 0)
			run(f);
		assert_int_equal(answer.serial, i);
		assert_int_equal(answer.error, ENOENT);
	}
	close(other);
}

static void a_guest_that_ignores_kicks_does_not_block(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	bind_channel(f);
	for (int i = 0; i < 100000; i++)
		f->port->ops->notify(f->port, &f->channel);
	/* Nor one that has closed its end. */
	shutdown(f->dom.out, SHUT_RDWR);
	f->port->ops->notify(f->port, &f->channel);
}

static void a_lost_page_is_replaced_and_marked(void **state)
{
	struct xenstore_domain_interface *page, *other;
	int fd = memfd_create("page", MFD_CLOEXEC);
	int fd2 = memfd_of(4096, 0, F_SEAL_SHRINK), status;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(page_map(fd, 0, &page), 0);
	assert_int_equal(page_map(fd2, 0, &other), 0);
	page->req_prod = 3;
	assert_true(page_ok(page));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(*(volatile uint32_t *)&page->req_prod, 0);
	page->rsp_prod = 5;
	assert_false(page_ok(page));
	assert_true(page_ok(other));
	page_unmap(page);
	page_unmap(other);

	/* Another one's SIGBUS is still the end. */
	assert_int_equal(page_map(fd2, 0, &other), 0);
	if (!fork()) {
		char *mine;

		signal(SIGABRT, SIG_DFL);
		mine = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		_exit(*(volatile char *)mine);
	}
	assert_true(wait(&status) > 0);
	assert_int_not_equal(status, 0);
	page_unmap(other);
	close(fd);
	close(fd2);
}

/* ---- a successor -------------------------------------------------------- */

/* Takes the port over in another process, as the heir of all descriptors, and
 * answers one request of the VMM and one kick. */
static int succeed(struct fixture *f, int fd)
{
	struct dom_state dom;

	f->echo = echo_new(f);
	port_use(f, fd);
	if (!exists(f, 5) || !exists(f, 6) || exists(f, 7) ||
	    !state_of(f, 6).shutdown)
		return 1;
	dom = state_of(f, 5);
	if (!dom.unique_id)
		return 2;
	f->channel.domid = 5;
	f->channel.fired = fired;
	if (f->port->ops->adopt(f->port, &f->channel))
		return 3;
	while (!f->changes || !f->fired) {
		run(f);
		usleep(1000);
	}
	f->port->ops->notify(f->port, &f->channel);
	if (!state_of(f, 5).shutdown)
		return 4;
	return 0;
}

static void a_successor_goes_on(void **state)
{
	struct fixture *f = *state;
	struct xenstore_vmm_msg msg = {
		.version = XENSTORE_VMM_VERSION,
		.type = XENSTORE_VMM_STATE,
		.domid = 5,
		.state = XENSTORE_VMM_CRASHED,
	};
	int fds[32], status;
	size_t n;
	pid_t pid;
	char c;

	assert_int_equal(attach_as(f, f->vmm, 5, false), 0);
	assert_int_equal(attach_as(f, f->vmm, 6, false), 0);
	assert_int_equal(attach_as(f, f->vmm, 7, false), 0);
	assert_int_equal(request(f, XENSTORE_VMM_DETACH, 7, 0), 0);
	assert_int_equal(request(f, XENSTORE_VMM_STATE, 6,
				 XENSTORE_VMM_SHUTDOWN), 0);
	bind_channel(f);
	n = f->port->ops->descriptors(f->port, fds, 32);
	assert_int_equal(n, 1 + 1 + 2 + 2 * 3);
	assert_int_equal(f->port->ops->descriptors(f->port, fds, 1), n);
	for (size_t i = 0; i < n; i++)
		assert_true(fcntl(fds[i], F_GETFD) >= 0);
	pid = fork();
	if (!pid) {
		alarm(10);
		_exit(succeed(f, fds[0]));
	}
	assert_int_equal(vmm_send(f->vmm, &msg, NULL, 0), 0);
	assert_int_equal(vmm_receive(f->vmm, &msg), 0);
	assert_int_equal(msg.error, 0);
	f->dom.ring.kick(f->dom.ring.arg);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(f->dom.out, &c, 1), 1);
}

static void hundreds_of_domains_fit(void **state)
{
	struct fixture *f = *state;
	struct dom_state dom;
	uint16_t domid = 0;
	int n = 0;

	for (int i = 1; i <= 300; i++)
		assert_int_equal(attach_as(f, f->vmm, i, false), 0);
	for (; !f->port->ops->next(f->port, &domid, &dom); domid++)
		n++;
	assert_int_equal(n, 300);
}

static const struct CMUnitTest tests[] = {
#define T(f) HARNESS_TEST(f, setup, teardown)
	T(attaching_makes_a_domain_exist),
	T(the_page_is_shared),
	T(kicks_go_both_ways),
	T(a_masked_channel_is_kicked_for_nothing),
	T(an_eventfd_can_be_kicked),
	T(a_whole_ring_works_over_it),
	T(states_are_reported),
	T(a_domid_that_is_used_again_has_another_id),
	T(a_closed_connection_is_the_death_of_its_domains),
	T(a_domid_has_one_owner),
	T(pages_that_could_go_away_are_refused),
	T(kicks_of_the_wrong_kind_are_refused),
	T(another_users_eventfd_is_not_kicked),
	T(malformed_messages_are_refused),
	T(a_vmm_that_never_reads_blocks_nobody),
	T(a_guest_that_ignores_kicks_does_not_block),
	T(a_lost_page_is_replaced_and_marked),
	T(a_successor_goes_on),
	T(hundreds_of_domains_fit),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
