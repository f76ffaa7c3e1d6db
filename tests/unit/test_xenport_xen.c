/* SPDX-License-Identifier: MIT */
/* The port to Xen, over the pretended hypervisor of tests/peers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/scoped.h"
#include "io/loop.h"
#include "io/xenport.h"
#include "peers/fakexen.h"

/* Does the hypervisor tell one use of a domid from another? */
#ifndef UNIQUE_IDS
#define UNIQUE_IDS 0
#endif

static char dir[] = "/tmp/xenport.XXXXXX";

struct fixture {
	struct loop *loop;
	struct xenport *port;
	struct fx_state *xen;
	int evtchn;
	unsigned int changes;
	struct dom_state seen; /* of domain 5, in the last changed() */
	int seen_err;
};

struct peer {
	struct channel channel;
	unsigned int fired;
};

static void fired(struct channel *channel)
{
	((struct peer *)channel)->fired++;
}

static void changed(void *arg)
{
	struct fixture *f = arg;

	f->changes++;
	f->seen_err = f->port->ops->state(f->port, 5, &f->seen);
}

static bool stop_when_idle(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->loop);
	return false;
}

static void expire(void *arg)
{
	(void)arg;
}

/* One pass over what is ready. */
static void turn(struct fixture *f)
{
	scoped_talloc struct loop_timer *timer = NULL;

	assert_int_equal(loop_timer_new(f, f->loop, expire, NULL, &timer), 0);
	loop_timer_set(timer, 1);
	assert_int_equal(loop_run(f->loop, stop_when_idle, f), 0);
}

static struct fixture *given_a_port(TALLOC_CTX *ctx, int fd)
{
	struct fixture *f = talloc_zero(ctx, struct fixture);

	f->xen = fx_state();
	assert_non_null(f->xen);
	fx_dom_create(f->xen, 5);
	assert_int_equal(loop_new(f, &f->loop), 0);
	assert_int_equal(xenport_xen_new(f, f->loop, fd, &f->port), 0);
	f->port->changed = changed;
	f->port->arg = f;
	f->evtchn = fx_evtchn_open();
	return f;
}

static void then_end(struct fixture *f)
{
	close(f->evtchn);
	TALLOC_FREE(f->port);
	fx_dom_change(f->xen, -1, 5, 0);
}

static void a_page_is_shared_with_its_domain(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	struct xenstore_domain_interface *page;

	(void)state;
	assert_int_equal(f->port->ops->map(f->port, 5, 0, &page), 0);
	fx_page(5)->req_prod = 17;
	assert_int_equal(page->req_prod, 17);
	assert_true(f->port->ops->page_ok(f->port, page));
	f->port->ops->unmap(f->port, 5, page);
	assert_int_equal(f->port->ops->map(f->port, 6, 0, &page), ESRCH);
	then_end(f);
}

static void dom0_has_a_ring_of_its_own(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	struct xenstore_domain_interface *page;
	uint32_t remote;

	(void)state;
	assert_int_equal(f->port->ops->own_ring(f->port, &page, &remote), 0);
	assert_int_equal(remote, 2);
	fx_page(0)->rsp_cons = 3;
	assert_int_equal(page->rsp_cons, 3);
	f->port->ops->unmap(f->port, 0, page);
	then_end(f);
}

static void an_event_fires_once_until_it_is_unmasked(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	const struct xenport_ops *ops = f->port->ops;
	struct peer peer = {{.domid = 5, .fired = fired}, 0};

	(void)state;
	assert_int_equal(ops->bind(f->port, &peer.channel, 9), 0);
	assert_int_equal(f->xen->dom[5].remote_port, 9);
	turn(f); /* binding raises one, like the hypervisor */
	assert_int_equal(peer.fired, 1);

	fx_raise(f->xen, f->evtchn, peer.channel.local);
	turn(f);
	assert_int_equal(peer.fired, 1);
	ops->unmask(f->port, &peer.channel);
	turn(f);
	assert_int_equal(peer.fired, 2);

	ops->unbind(f->port, &peer.channel);
	assert_int_equal(peer.channel.local, 0);
	ops->notify(f->port, &peer.channel);
	ops->unmask(f->port, &peer.channel);
	ops->unbind(f->port, &peer.channel);
	then_end(f);
}

static void a_port_of_no_domain_cannot_be_bound(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	struct peer peer = {{.domid = 7, .fired = fired}, 0};

	(void)state;
	assert_int_equal(f->port->ops->bind(f->port, &peer.channel, 9), ESRCH);
	assert_int_equal(peer.channel.local, 0);
	then_end(f);
}

static void notifications_reach_the_domain(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	struct peer peer = {{.domid = 5, .fired = fired}, 0};
	int evt = fx_guest_evt_open(5);
	char byte;

	(void)state;
	assert_int_equal(f->port->ops->bind(f->port, &peer.channel, 9), 0);
	assert_true(read(evt, &byte, 1) < 0);
	f->port->ops->notify(f->port, &peer.channel);
	assert_int_equal(read(evt, &byte, 1), 1);
	close(evt);
	f->port->ops->unbind(f->port, &peer.channel);
	then_end(f);
}

static void a_successor_adopts_bound_ports(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	struct fixture *next;
	struct peer peer = {{.domid = 5, .fired = fired}, 0};
	int fd;

	(void)state;
	assert_int_equal(f->port->ops->bind(f->port, &peer.channel, 9), 0);
	turn(f); /* read, but never unmasked */
	assert_int_equal(f->port->ops->descriptors(f->port, &fd, 1), 1);
	fd = dup(fd);
	f->port->ops->retire(f->port);

	next = given_a_port(ctx, fd);
	assert_int_equal(next->port->ops->adopt(next->port, &peer.channel), 0);
	fx_raise(f->xen, f->evtchn, peer.channel.local);
	next->port->ops->unmask(next->port, &peer.channel);
	turn(next);
	assert_int_equal(peer.fired, 2);
	fx_dom_change(f->xen, f->evtchn, 5, FX_EXIST | FX_SHUTDOWN);
	turn(next);
	assert_int_equal(next->changes, 1);
	assert_int_equal(f->changes, 0);
	next->port->ops->unbind(next->port, &peer.channel);
	then_end(next);
	then_end(f);
}

/* XSA-496: the news is only that something changed; what, is asked domain by
 * domain, for a guest may make the hypervisor lose the list of it. */
static void a_change_of_any_domain_is_told_with_its_state(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);

	(void)state;
	turn(f);
	assert_int_equal(f->changes, 0);

	fx_dom_change(f->xen, f->evtchn, 5, FX_EXIST | FX_SHUTDOWN);
	turn(f);
	assert_int_equal(f->changes, 1);
	assert_int_equal(f->seen_err, 0);
	assert_true(f->seen.shutdown && !f->seen.dying);

	fx_dom_change(f->xen, f->evtchn, 5, FX_EXIST | FX_DYING);
	turn(f);
	assert_true(f->seen.dying);

	fx_dom_change(f->xen, f->evtchn, 5, 0);
	turn(f);
	assert_int_equal(f->changes, 3);
	assert_int_equal(f->seen_err, ENOENT);
	then_end(f);
}

static void domains_are_listed_in_order(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	struct dom_state dom;
	uint16_t domid = 1;

	(void)state;
	fx_dom_create(f->xen, 300);
	assert_int_equal(f->port->ops->next(f->port, &domid, &dom), 0);
	assert_int_equal(domid++, 5);
	assert_int_equal(f->port->ops->next(f->port, &domid, &dom), 0);
	assert_int_equal(domid++, 300);
	assert_int_equal(f->port->ops->next(f->port, &domid, &dom), ENOENT);
	fx_dom_change(f->xen, -1, 300, 0);
	assert_int_equal(f->port->ops->state(f->port, 300, &dom), ENOENT);
	then_end(f);
}

static void a_domid_in_use_again_has_another_unique_id(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	struct dom_state first, second;

	(void)state;
	assert_int_equal(f->port->ops->state(f->port, 5, &first), 0);
	fx_dom_create(f->xen, 5);
	assert_int_equal(f->port->ops->state(f->port, 5, &second), 0);
	assert_int_equal(first.unique_id != second.unique_id, UNIQUE_IDS);
	then_end(f);
}

static void many_domains_are_found_in_one_list(void **state)
{
	scoped_talloc TALLOC_CTX *ctx = talloc_new(NULL);
	struct fixture *f = given_a_port(ctx, -1);
	unsigned int domid;

	(void)state;
	for (domid = 1000; domid < 1700; domid++)
		fx_dom_create(f->xen, domid);
	fx_dom_change(f->xen, f->evtchn, 5, FX_EXIST | FX_SHUTDOWN);
	turn(f);
	assert_int_equal(f->changes, 1);
	assert_true(f->seen.shutdown);
	for (domid = 1000; domid < 1700; domid++)
		f->xen->dom[domid].flags = 0;
	then_end(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_shared_with_its_domain),
		cmocka_unit_test(dom0_has_a_ring_of_its_own),
		cmocka_unit_test(an_event_fires_once_until_it_is_unmasked),
		cmocka_unit_test(a_port_of_no_domain_cannot_be_bound),
		cmocka_unit_test(notifications_reach_the_domain),
		cmocka_unit_test(a_successor_adopts_bound_ports),
		cmocka_unit_test(a_change_of_any_domain_is_told_with_its_state),
		cmocka_unit_test(domains_are_listed_in_order),
		cmocka_unit_test(a_domid_in_use_again_has_another_unique_id),
		cmocka_unit_test(many_domains_are_found_in_one_list),
	};
	char clean[64];
	int rc;

	if (!mkdtemp(dir))
		return 1;
	setenv("FAKEXEN_DIR", dir, 1);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(clean, sizeof(clean), "rm -rf %s", dir);
	return system(clean) ? 1 : rc;
}
