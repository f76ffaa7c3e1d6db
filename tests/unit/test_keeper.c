/* SPDX-License-Identifier: MIT */
/* A keeper with a toy worker, killed in all ways. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "keeper.h"

enum mode {
	MODE_SERVE,		/* ready, then wait for orders */
	MODE_RETURN,		/* return `arg` before being ready */
	MODE_CRASH,		/* abort before being ready */
	MODE_SLOW,		/* as MODE_SERVE, but never ready */
};

enum order {
	ORDER_NONE,
	ORDER_RETURN,
	ORDER_LOG,
	ORDER_CHECK,
	ORDER_EXEC,
	ORDER_CLOSE,
	ORDER_LOOK,
};

/* What test and workers share. */
struct toy {
	enum mode mode;
	int arg;
	volatile int order;
	char text[2][256], state[256];
	volatile int result;
	volatile pid_t worker;
	volatile unsigned int starts, failures, hups;
	volatile int pipe[2];	/* made by the first worker */
	volatile int said;	/* opened while something is said */
};

static struct toy *toy;
static char dir[64], pid_path[96];
static volatile sig_atomic_t term, hup;

static void on_term(int signo)
{
	(void)signo;
	term = 1;
}

static void on_hup(int signo)
{
	(void)signo;
	hup = 1;
}

static void nap(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

static int check_and_wait(struct keeper_link *link)
{
	int err = keeper_check(link, toy->text[0],
			       *toy->text[1] ? toy->text[1] : NULL);

	while (!err) {
		err = keeper_checked(link);
		if (err != EAGAIN)
			return err;
		nap(1000);
		err = 0;
	}
	return err;
}

/* Is what somebody else has open for a moment taken for a dead worker's? */
static bool finds_what_is_said(const struct keeper_link *link)
{
	bool found = false;
	const int *fds;
	size_t n;

	for (int i = 0; i < 3000 && !found && !toy->said; i++)
		nap(1000);
	fds = keeper_inherited(link, &n);
	while (n && !found)
		found = fds[--n] == toy->said;
	return found || !toy->said;
}

static void obey(struct keeper_link *link)
{
	char *argv[] = { toy->text[0], toy->text[1], NULL };
	int fd;

	switch (toy->order) {
	case ORDER_LOG:
		toy->result = keeper_open_log(link, toy->text[0], &fd);
		if (!toy->result)
			toy->result = write(fd, "hello\n", 6) == 6 ? fd : -EIO;
		break;
	case ORDER_CHECK:
		toy->result = check_and_wait(link);
		break;
	case ORDER_EXEC:
		toy->result = keeper_exec(link, toy->state, "note", argv);
		break;
	case ORDER_CLOSE:
		fd = toy->pipe[0];
		keeper_close_others(link, &fd, 1);
		toy->result = fcntl(toy->pipe[0], F_GETFD) >= 0 &&
			      fcntl(toy->pipe[1], F_GETFD) < 0;
		break;
	case ORDER_LOOK:
		toy->result = finds_what_is_said(link);
		break;
	}
}

static int worker(void *arg, struct keeper_link *link)
{
	int fds[2];

	(void)arg;
	signal(SIGTERM, on_term);
	signal(SIGHUP, on_hup);
	toy->starts = keeper_starts(link);
	toy->failures = keeper_failures(link);
	if (toy->mode == MODE_RETURN)
		return toy->arg;
	if (toy->mode == MODE_CRASH)
		abort();
	if (!toy->pipe[1]) {
		if (pipe(fds))
			return 9;
		toy->pipe[0] = fds[0];
		toy->pipe[1] = fds[1];
	}
	if (toy->mode != MODE_SLOW)
		keeper_ready(link);
	toy->worker = getpid();
	for (;;) {
		if (hup)
			toy->hups++;
		hup = 0;
		if (term)
			return 0;
		if (toy->order == ORDER_RETURN) {
			toy->order = ORDER_NONE;
			return toy->arg;
		}
		if (toy->order)
			obey(link);
		toy->order = ORDER_NONE;
		nap(200);
	}
}

/* As syslog() does. */
static void say(const char *text)
{
	int fd = open("/dev/null", O_RDWR);

	(void)text;
	toy->said = fd;
	nap(200000);
	toy->said = 0;
	close(fd);
}

static pid_t start_with(void (*say_fn)(const char *text), enum mode mode,
			int arg)
{
	const struct keeper_options options = {
		.pid_file = pid_path,
		.say = say_fn,
	};
	pid_t pid;

	memset(toy, 0, sizeof(*toy));
	toy->mode = mode;
	toy->arg = arg;
	pid = fork();
	if (pid == 0)
		_exit(keeper_run(&options, worker, toy));
	return pid;
}

static pid_t start(enum mode mode, int arg)
{
	return start_with(NULL, mode, arg);
}

#define eventually(what)                                                       \
	do {                                                                   \
		int tries_ = 50000;                                            \
		while (!(what) && --tries_)                                    \
			nap(200);                                              \
		assert_true(what);                                             \
	} while (0)

static pid_t in_pid_file(void)
{
	FILE *f = fopen(pid_path, "r");
	int pid = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

/* Has the keeper a child that is not the worker? */
static bool has_standby(pid_t keeper)
{
	char path[64];
	bool found = false;
	int pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper,
		 keeper);
	f = fopen(path, "r");
	while (f && fscanf(f, "%d", &pid) == 1)
		found |= pid != toy->worker;
	if (f)
		fclose(f);
	return found;
}

static int ended(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static pid_t next_worker(pid_t before)
{
	eventually(toy->worker && toy->worker != before);
	return toy->worker;
}

static void give(enum order order, const char *a, const char *b)
{
	snprintf(toy->text[0], sizeof(toy->text[0]), "%s", a);
	snprintf(toy->text[1], sizeof(toy->text[1]), "%s", b);
	toy->result = 12345;
	toy->order = order;
	eventually(toy->order == ORDER_NONE);
}

static void script(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
}

static void stop(pid_t keeper)
{
	kill(keeper, SIGTERM);
	assert_int_equal(ended(keeper), 0);
}

/* K1, K5 */
static void killed_workers_are_followed_by_others_with_the_same_files(
	void **state)
{
	pid_t keeper = start(MODE_SERVE, 0), w = 0;
	int i;

	(void)state;
	for (i = 1; i <= 12; i++) {
		w = next_worker(w);
		assert_int_equal(toy->starts, i);
		assert_int_equal(toy->failures, 0);
		kill(w, i & 1 ? SIGKILL : SIGSEGV);
	}
	w = next_worker(w);
	/* Still the pipe of the first one: only its reading end is kept. */
	give(ORDER_CLOSE, "", "");
	assert_int_equal(toy->result, 1);
	kill(w, SIGKILL);
	w = next_worker(w);
	assert_int_equal(in_pid_file(), keeper);
	stop(keeper);
	assert_int_equal(access(pid_path, F_OK), -1);
	eventually(kill(w, 0) < 0);
}

/* K2 */
static void a_killed_keeper_is_replaced_and_nobody_notices(void **state)
{
	pid_t first = start(MODE_SERVE, 0), keeper = first, w, next;
	int i;

	(void)state;
	w = next_worker(0);
	for (i = 0; i < 20; i++) {
		eventually(has_standby(keeper));
		kill(keeper, SIGKILL);
		if (!i)
			assert_int_equal(ended(first), -SIGKILL);
		eventually((next = in_pid_file()) && next != keeper);
		keeper = next;
		assert_int_equal(kill(w, 0), 0);
		if (i % 4 == 3) {
			kill(w, SIGKILL);
			w = next_worker(w);
		}
	}
	kill(keeper, SIGHUP);
	eventually(toy->hups == 1);
	kill(keeper, SIGTERM);
	eventually(kill(keeper, 0) < 0 && kill(w, 0) < 0);
	eventually(access(pid_path, F_OK));
}

/* K5, K6 */
static void a_worker_does_not_find_what_a_keeper_has_open(void **state)
{
	pid_t keeper = start_with(say, MODE_SERVE, 0), w = next_worker(0);

	(void)state;
	kill(w, SIGKILL);
	w = next_worker(w);
	eventually(has_standby(keeper));
	kill(keeper, SIGKILL);	/* who replaces it says so */
	assert_int_equal(ended(keeper), -SIGKILL);
	give(ORDER_LOOK, "", "");
	assert_int_equal(toy->result, 0);
	eventually(!toy->said);
	kill(in_pid_file(), SIGTERM);
	eventually(access(pid_path, F_OK) && kill(w, 0) < 0);
}

/* K1, K2 */
static void keeper_and_worker_killed_together_are_both_replaced(void **state)
{
	pid_t keeper = start(MODE_SERVE, 0), w, next;

	(void)state;
	w = next_worker(0);
	eventually(has_standby(keeper));
	kill(keeper, SIGKILL);
	kill(w, SIGKILL);
	ended(keeper);
	w = next_worker(w);
	eventually((next = in_pid_file()) && next != keeper);
	kill(next, SIGTERM);
	eventually(kill(next, 0) < 0 && kill(w, 0) < 0);
}

/* K3 */
/* They are nobody's children by then: how they ended is not known. */
static void workers_killed_with_their_keepers_have_not_failed(void **state)
{
	pid_t keeper = start(MODE_SLOW, 0), first = keeper, w = 0, next;
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		w = next_worker(w);
		assert_int_equal(toy->failures, 0);
		eventually(has_standby(keeper));
		kill(keeper, SIGKILL);
		kill(w, SIGKILL);
		if (!i)
			ended(first);
		eventually((next = in_pid_file()) && next != keeper);
		keeper = next;
	}
	w = next_worker(w);
	assert_int_equal(toy->failures, 0);
	kill(keeper, SIGTERM);
	eventually(kill(keeper, 0) < 0 && kill(w, 0) < 0);
}

static void a_worker_that_cannot_start_ends_the_keeper(void **state)
{
	(void)state;
	assert_int_equal(ended(start(MODE_RETURN, 1)), 1);
	assert_int_equal(toy->starts, 1);
	assert_int_equal(ended(start(MODE_RETURN, 0)), 0);
	assert_int_equal(toy->starts, 1);
}

/* K3 */
static void five_crashes_without_anybody_ready_end_the_keeper(void **state)
{
	(void)state;
	assert_int_equal(ended(start(MODE_CRASH, 0)), 1);
	assert_int_equal(toy->starts, 5);
	assert_int_equal(toy->failures, 4);
}

/* K1 */
static void a_worker_that_fails_after_one_was_ready_is_followed(void **state)
{
	pid_t keeper = start(MODE_SERVE, 0), w;

	(void)state;
	w = next_worker(0);
	toy->arg = 3;
	give(ORDER_RETURN, "", "");
	next_worker(w);
	assert_int_equal(toy->starts, 2);
	toy->arg = 0;
	give(ORDER_RETURN, "", "");
	assert_int_equal(ended(keeper), 0);
}

/* K4 */
static void signals_are_handed_on(void **state)
{
	pid_t keeper = start(MODE_SERVE, 0);

	(void)state;
	next_worker(0);
	kill(keeper, SIGHUP);
	eventually(toy->hups == 1);
	kill(keeper, SIGINT);
	assert_int_equal(ended(keeper), 0);
}

static void a_second_keeper_leaves_the_pid_file_alone(void **state)
{
	pid_t keeper = start(MODE_SERVE, 0);
	const struct keeper_options options = { .pid_file = pid_path };
	pid_t second;

	(void)state;
	next_worker(0);
	second = fork();
	if (second == 0)
		_exit(keeper_run(&options, worker, NULL));
	assert_int_equal(ended(second), 0);
	assert_int_equal(in_pid_file(), keeper);
	stop(keeper);
}

static void the_keeper_opens_logs(void **state)
{
	char path[128];
	struct stat st;
	pid_t keeper = start(MODE_SERVE, 0);

	(void)state;
	next_worker(0);
	snprintf(path, sizeof(path), "%s/log", dir);
	give(ORDER_LOG, path, "");
	assert_true(toy->result > 2 && toy->result != 12345);
	give(ORDER_LOG, path, "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 12);
	assert_int_equal(st.st_mode & 0777, 0600);
	give(ORDER_LOG, "/nowhere/log", "");
	assert_int_equal(toy->result, -ENOENT);
	stop(keeper);
	unlink(path);
}

static void a_successor_is_checked(void **state)
{
	char path[128];
	pid_t keeper = start(MODE_SERVE, 0);

	(void)state;
	next_worker(0);
	snprintf(path, sizeof(path), "%s/next", dir);
	give(ORDER_CHECK, path, "");
	assert_int_equal(toy->result, -ENOENT);
	script(path, "#!/bin/sh\n[ \"$*\" = '--check-state good' ]\n");
	give(ORDER_CHECK, path, "");
	assert_int_equal(toy->result, 0);
	give(ORDER_CHECK, path, "good");
	assert_int_equal(toy->result, 0);
	give(ORDER_CHECK, path, "bad");
	assert_int_equal(toy->result, -EPROTO);
	chmod(path, 0600);
	give(ORDER_CHECK, path, "");
	assert_int_equal(toy->result, -EACCES);
	stop(keeper);
	unlink(path);
}

static void a_successor_takes_over_the_pid(void **state)
{
	char path[128];
	pid_t keeper = start(MODE_SERVE, 0);

	(void)state;
	next_worker(0);
	snprintf(path, sizeof(path), "%s/next", dir);
	script(path, "#!/bin/sh\n[ $$ = $(cat \"$1\") ] && exit 7\nexit 8\n");
	give(ORDER_EXEC, path, pid_path);
	assert_int_equal(toy->result, 0);
	toy->arg = KEEPER_EXEC;
	give(ORDER_RETURN, "", "");
	assert_int_equal(ended(keeper), 7);
	unlink(path);
	unlink(pid_path);
}

static void leave_to(const char *what)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/next", dir);
	snprintf(toy->state, sizeof(toy->state), "%s/state", dir);
	script(toy->state, "");
	script(path, what);
	give(ORDER_EXEC, path, toy->state);
	assert_int_equal(toy->result, 0);
	toy->arg = KEEPER_EXEC;
	give(ORDER_RETURN, "", "");
}

static void forget_successor(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/next", dir);
	unlink(path);
}

static void a_successor_that_dies_is_followed_by_the_old_program(void **state)
{
	pid_t keeper = start(MODE_SERVE, 0), w = next_worker(0), next;

	(void)state;
	leave_to("#!/bin/sh\nkill -11 $$\n");
	assert_int_equal(ended(keeper), -SIGSEGV);
	next_worker(w);
	/* It has what the first one opened. */
	give(ORDER_CLOSE, "", "");
	assert_int_equal(toy->result, 1);
	/* And what the other one did not take. */
	assert_int_equal(unlink(toy->state), 0);
	eventually((next = in_pid_file()) && next != keeper);
	kill(next, SIGTERM);
	eventually(access(pid_path, F_OK) == -1);
	forget_successor();
}

static void a_successor_that_took_over_is_on_its_own(void **state)
{
	pid_t keeper = start(MODE_SERVE, 0), w = next_worker(0);

	(void)state;
	leave_to("#!/bin/sh\nrm $1\nsleep 0.2\nexit 5\n");
	assert_int_equal(ended(keeper), 5);
	nap(100000);
	assert_int_equal(toy->worker, w);
	forget_successor();
	unlink(pid_path);
}

/* U2 */
static void a_state_that_was_taken_is_not_the_next_one_of_its_name(
	void **state)
{
	pid_t keeper = start(MODE_SERVE, 0), w = next_worker(0);

	(void)state;
	leave_to("#!/bin/sh\nmv $1 $1.old; : >$1; rm $1.old\nexit 5\n");
	assert_int_equal(ended(keeper), 5);
	nap(100000);
	assert_int_equal(toy->worker, w);
	assert_int_equal(unlink(toy->state), 0);
	forget_successor();
	unlink(pid_path);
}

static void a_successor_that_cannot_be_executed_leaves_the_old_one(
	void **state)
{
	char path[128];
	pid_t keeper = start(MODE_SERVE, 0), w;

	(void)state;
	w = next_worker(0);
	snprintf(path, sizeof(path), "%s/next", dir);
	script(path, "\177ELF and nothing good\n");
	give(ORDER_EXEC, path, "");
	assert_int_equal(toy->result, 0);
	toy->arg = KEEPER_EXEC;
	give(ORDER_RETURN, "", "");
	next_worker(w);
	stop(keeper);
	unlink(path);
}

static void without_a_keeper_the_worker_has_the_same_helpers(void **state)
{
	const struct keeper_options options = { .pid_file = pid_path,
						.alone = true };
	char path[128];
	pid_t pid;

	(void)state;
	memset(toy, 0, sizeof(*toy));
	pid = fork();
	if (pid == 0)
		_exit(keeper_run(&options, worker, toy));
	assert_int_equal(next_worker(0), pid);
	assert_int_equal(in_pid_file(), pid);
	snprintf(path, sizeof(path), "%s/next", dir);
	script(path, "#!/bin/sh\n[ \"$*\" = '--check-state good' ]\n");
	give(ORDER_CHECK, path, "good");
	assert_int_equal(toy->result, 0);
	give(ORDER_CHECK, path, "bad");
	assert_int_equal(toy->result, -EPROTO);
	stop(pid);
	unlink(path);
	assert_int_equal(access(pid_path, F_OK), -1);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/keeper.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(pid_path, sizeof(pid_path), "%s/pid", dir);
	toy = mmap(NULL, sizeof(*toy), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return toy == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
	killed_workers_are_followed_by_others_with_the_same_files),
		cmocka_unit_test(
	a_killed_keeper_is_replaced_and_nobody_notices),
		cmocka_unit_test(
	a_worker_does_not_find_what_a_keeper_has_open),
		cmocka_unit_test(
	keeper_and_worker_killed_together_are_both_replaced),
		cmocka_unit_test(
	workers_killed_with_their_keepers_have_not_failed),
		cmocka_unit_test(a_worker_that_cannot_start_ends_the_keeper),
		cmocka_unit_test(
	five_crashes_without_anybody_ready_end_the_keeper),
		cmocka_unit_test(
	a_worker_that_fails_after_one_was_ready_is_followed),
		cmocka_unit_test(signals_are_handed_on),
		cmocka_unit_test(a_second_keeper_leaves_the_pid_file_alone),
		cmocka_unit_test(the_keeper_opens_logs),
		cmocka_unit_test(a_successor_is_checked),
		cmocka_unit_test(a_successor_takes_over_the_pid),
		cmocka_unit_test(
	a_successor_that_dies_is_followed_by_the_old_program),
		cmocka_unit_test(a_successor_that_took_over_is_on_its_own),
		cmocka_unit_test(
	a_state_that_was_taken_is_not_the_next_one_of_its_name),
		cmocka_unit_test(
	a_successor_that_cannot_be_executed_leaves_the_old_one),
		cmocka_unit_test(
	without_a_keeper_the_worker_has_the_same_helpers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
