/* SPDX-License-Identifier: MIT */
/* Memory for small objects (base/slab.h). */
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "base/slab.h"

#define KIB 1024u

static int setup(void **state)
{
	struct slabs *slabs;

	if (slabs_new(NULL, state, &slabs))
		return -1;
	*state = slabs;
	return 0;
}

static int teardown(void **state)
{
	return talloc_free(*state);
}

/* L1 */
static void every_size_has_room_and_alignment(void **state)
{
	struct slabs *slabs = *state;
	size_t size;
	char *p;

	for (size = 0; size < 200 * KIB; size += 1 + size / 7) {
		p = slab_alloc(slabs, size);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_true(slab_room(p) >= size);
		assert_int_equal(slab_room(p), slab_round(size));
		memset(p, 0xa5, slab_room(p));
		assert_ptr_equal(slab_owner(p), state);
		slab_free(p);
	}
	assert_int_equal(slabs_bytes(slabs), 0);
	assert_int_equal(slabs_count(slabs), 0);
}

static void an_absurd_size_is_refused(void **state)
{
	assert_null(slab_alloc(*state, SIZE_MAX));
	assert_null(slab_alloc(*state, SIZE_MAX - 100000));
}

static void waste_is_bounded(void **state)
{
	size_t size;

	(void)state;
	for (size = 1; size <= 16 * KIB; size++) {
		size_t room = slab_round(size);

		assert_true(room - size <= 15 || room - size <= room / 4);
	}
}

/* Random histories: objects keep their content, and do not overlap. */
static void objects_keep_to_themselves(void **state)
{
	enum { N = 2000, ROUNDS = 40000 };
	static struct {
		unsigned char *p;
		size_t size;
	} live[N];
	struct slabs *slabs = *state;
	size_t i, j, bytes = 0, count = 0;

	srand(7);
	for (i = 0; i < ROUNDS; i++) {
		size_t k = (size_t)rand() % N;

		if (live[k].p) {
			for (j = 0; j < live[k].size; j++)
				assert_int_equal(live[k].p[j], k & 0xff);
			bytes -= slab_room(live[k].p);
			count--;
			slab_free(live[k].p);
			live[k].p = NULL;
			continue;
		}
		live[k].size = (size_t)rand() % (rand() % 16 ? 200 : 6000);
		live[k].p = slab_alloc(slabs, live[k].size);
		assert_non_null(live[k].p);
		memset(live[k].p, (int)(k & 0xff), live[k].size);
		bytes += slab_room(live[k].p);
		count++;
		assert_int_equal(slabs_bytes(slabs), bytes);
		assert_int_equal(slabs_count(slabs), count);
		assert_true(slabs_mapped(slabs) >= bytes);
	}
	for (i = 0; i < N; i++) {
		if (live[i].p)
			slab_free(live[i].p);
		live[i].p = NULL;
	}
}

/* L2 */
static void empty_slabs_go_back(void **state)
{
	enum { N = 50000 };
	struct slabs *slabs = *state;
	void **p = calloc(N, sizeof(*p));
	size_t i;

	for (i = 0; i < N; i++)
		p[i] = slab_alloc(slabs, 64 + i % 3 * 100);
	assert_true(slabs_mapped(slabs) > N * 64);
	assert_true(slabs_mapped(slabs) < slabs_bytes(slabs) * 11 / 10);
	for (i = 0; i < N; i++)
		slab_free(p[(i * 7919) % N]);
	assert_int_equal(slabs_bytes(slabs), 0);
	assert_int_equal(slabs_mapped(slabs), 64 * KIB);
	free(p);
}

/* L3: valgrind and the sanitizers would tell. */
static void a_heap_goes_with_all_that_is_in_it(void **state)
{
	struct slabs *slabs;
	size_t i;

	(void)state;
	assert_int_equal(slabs_new(NULL, NULL, &slabs), 0);
	for (i = 0; i < 3000; i++)
		assert_non_null(slab_alloc(slabs, i * 10));
	talloc_free(slabs);
}

static void allocations_fail_when_a_test_wants_it(void **state)
{
	struct slabs *slabs = *state;
	void *a, *b;

	slabs_fail_after(slabs, 1);
	a = slab_alloc(slabs, 8);
	assert_non_null(a);
	assert_null(slab_alloc(slabs, 8));
	assert_null(slab_alloc(slabs, 8));
	slabs_fail_after(slabs, SLABS_NEVER);
	b = slab_alloc(slabs, 8);
	assert_non_null(b);
	slab_free(a);
	slab_free(b);
}

#define TEST(name) HARNESS_TEST(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_size_has_room_and_alignment),
		TEST(an_absurd_size_is_refused),
		TEST(waste_is_bounded),
		TEST(objects_keep_to_themselves),
		TEST(empty_slabs_go_back),
		TEST(a_heap_goes_with_all_that_is_in_it),
		TEST(allocations_fail_when_a_test_wants_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
