/* SPDX-License-Identifier: MIT */
/* The harness notices what tests leave behind (harness/harness.h). */
#include "harness/harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup_byte(void **state)
{
	*state = talloc_size(NULL, 1);
	return *state ? 0 : -1;
}

static int teardown_byte(void **state)
{
	return talloc_free(*state);
}

static void clean(void **state)
{
	int fd = open("/dev/null", O_RDONLY);

	assert_int_equal(talloc_get_size(*state), 1);
	assert_true(fd >= 0);
	close(fd);
	talloc_free(talloc_size(NULL, 1));
}

static void leaks_fd(void **state)
{
	(void)state;
	assert_true(open("/dev/null", O_RDONLY) >= 0);
}

static void leaks_byte(void **state)
{
	(void)state;
	assert_non_null(talloc_size(NULL, 1));
}

static void leaks_empty_block(void **state)
{
	(void)state;
	assert_non_null(talloc_new(NULL));
}

/* A byte more in a block that was there before. */
static void *old_block;

static void grows_block(void **state)
{
	(void)state;
	old_block = talloc_realloc_size(NULL, old_block, 11);
	assert_non_null(old_block);
}

/*
 * Runs one test in a process of its own; was it counted as failed? The answer
 * does not come as exit status: valgrind changes that.
 */
static bool fails(const struct CMUnitTest *test)
{
	int *failed = mmap(NULL, sizeof(*failed), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, null, n;
	pid_t pid;

	assert_ptr_not_equal(failed, MAP_FAILED);
	*failed = -1;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		close(null);
		*failed = _cmocka_run_group_tests("inner", test, 1, NULL, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	n = *failed;
	munmap(failed, sizeof(*failed));
	assert_true(n >= 0);
	return n > 0;
}

static void a_clean_test_passes(void **state)
{
	struct CMUnitTest t = HARNESS_TEST(clean, setup_byte, teardown_byte);

	(void)state;
	assert_false(fails(&t));
}

/* H1 */
static void a_leaked_descriptor_fails_the_test(void **state)
{
	struct CMUnitTest t = HARNESS_TEST(leaks_fd, NULL, NULL);

	(void)state;
	assert_true(fails(&t));
}

/* H2 */
static void a_leaked_talloc_byte_fails_the_test(void **state)
{
	struct CMUnitTest t = HARNESS_TEST(leaks_byte, NULL, NULL);
	struct CMUnitTest u = HARNESS_TEST(leaks_empty_block, NULL, NULL);
	struct CMUnitTest v = HARNESS_TEST(grows_block, NULL, NULL);

	(void)state;
	assert_true(fails(&t));
	assert_true(fails(&u));
	old_block = talloc_size(NULL, 10);
	assert_true(fails(&v));
	talloc_free(old_block);
}

/* H2: what a setup allocates is a leak unless the teardown frees it. */
static void a_forgetful_teardown_fails_the_test(void **state)
{
	struct CMUnitTest t = HARNESS_TEST(clean, setup_byte, NULL);

	(void)state;
	assert_true(fails(&t));
}

static void talloc_fails_at_its_limit(void **state)
{
	TALLOC_CTX *ctx = talloc_new(NULL);

	(void)state;
	harness_talloc_limit(ctx, 1000);
	assert_non_null(talloc_size(ctx, 500));
	assert_null(talloc_size(ctx, 500));
	harness_talloc_limit(ctx, 0);
	assert_non_null(talloc_size(ctx, 500));
	talloc_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HARNESS_TEST(a_clean_test_passes, NULL, NULL),
		HARNESS_TEST(a_leaked_descriptor_fails_the_test, NULL, NULL),
		HARNESS_TEST(a_leaked_talloc_byte_fails_the_test, NULL, NULL),
		HARNESS_TEST(a_forgetful_teardown_fails_the_test, NULL, NULL),
		HARNESS_TEST(talloc_fails_at_its_limit, NULL, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
