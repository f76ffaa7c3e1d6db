/* SPDX-License-Identifier: MIT */
/* Sessions: what a client holds besides its connection. */
#include "world.h"

#include <sys/socket.h>
#include <unistd.h>

#include "io/sock.h"
#include "session.h"

struct stage {
	struct loop *loop;
	struct trace *trace;
	struct watch_index *index;
	struct conn_pool *pool;
	struct turns *turns;
	struct sessions sessions;
	struct session *session;
	int peer;
};

static struct stage stage;

static int setup(void **state)
{
	struct transport *transport;
	struct world *w;
	int fd[2];

	world_setup(state);
	w = *state;
	assert_int_equal(loop_new(w, &stage.loop), 0);
	assert_int_equal(trace_new(w, &stage.trace), 0);
	assert_int_equal(watch_index_new(w, &stage.index), 0);
	assert_int_equal(conn_pool_new(w, &stage.pool), 0);
	assert_int_equal(turns_new(w, &stage.turns), 0);
	sessions_init(&stage.sessions, stage.index, stage.pool, stage.turns,
		      stage.trace);
	stage.sessions.store = w->store;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(sock_new(w, stage.loop, fd[0], &transport), 0);
	stage.peer = fd[1];
	assert_int_equal(session_new(w, &stage.sessions, transport, &w->who[5],
				     w->ledger[5], &stage.session), 0);
	return 0;
}

static int teardown(void **state)
{
	TALLOC_FREE(stage.session);
	close(stage.peer);
	return world_teardown(state);
}

static uint32_t next_id(void)
{
	uint32_t id = 0;

	assert_int_equal(session_txn_begin(stage.session, &id), 0);
	return id;
}

/* D2; an id of 0 means no transaction. */
static void ids_of_transactions_wrap_around_zero_and_those_in_use(void **state)
{
	(void)state;
	assert_int_equal(next_id(), 1);
	assert_int_equal(next_id(), 2);
	session_set_last_txn(stage.session, UINT32_MAX - 2);
	assert_int_equal(next_id(), UINT32_MAX - 1);
	assert_int_equal(next_id(), UINT32_MAX);
	assert_int_equal(next_id(), 3);
	session_txn_end(stage.session, 1);
	session_set_last_txn(stage.session, UINT32_MAX);
	assert_int_equal(next_id(), 1);
}

static void a_listing_is_paid_for_while_it_is_pinned(void **state)
{
	struct world *w = *state;
	uint64_t before = ledger_used(w->ledger[5], QUOTA_MEMORY);
	struct node *node;

	put(w, 0, "/d/one", "");
	put(w, 0, "/d/two", "");
	node = tree_find(store_root(w->store), "/d");
	assert_int_equal(session_list_begin(stage.session, "/d", node, NULL),
			 0);
	assert_ptr_equal(session_list_find(stage.session, "/d", NULL), node);
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_MEMORY) - before,
			 2 + 2 * 4);
	ledger_set_limit(w->ledger[5], QUOTA_MEMORY, before + 5);
	assert_int_equal(session_list_begin(stage.session, "/d", node, NULL),
			 ENOSPC);
	assert_null(session_list_find(stage.session, "/d", NULL));
	assert_int_equal(ledger_used(w->ledger[5], QUOTA_MEMORY), before);
}

#define TEST(name) HARNESS_TEST(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ids_of_transactions_wrap_around_zero_and_those_in_use),
		TEST(a_listing_is_paid_for_while_it_is_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
