/* SPDX-License-Identifier: MIT */
/*
 * Simulated guests against a running xenstored: each a process with a page of
 * its own, with backends in dom0 and a toolstack.
 *
 *	guest demo		some guests, with a narration
 *	guest life		one life with all that can happen in it, as TAP
 *	guest many N		N guests at once, as TAP
 *	guest attack [PID]	what hostile ones try, as TAP; PID of the daemon
 *
 * The daemon is found by XENSTORED_RUNDIR (and XENSTORED_PATH).
 */
#include <errno.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "backend.h"
#include "guest.h"
#include "toolstack.h"

static struct toolstack ts;
static pid_t backends;
static unsigned int homes;	/* there were before */
static int n_ok, n_failed;

/* ---- telling ------------------------------------------------------------ */

static bool check(bool good, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static bool check(bool good, const char *fmt, ...)
{
	va_list args;

	printf("%s %d - ", good ? "ok" : "not ok", ++n_ok);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	n_failed += !good;
	return good;
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, err > 0 ? strerror(err) :
						    strerror(-err));
	exit(1);
}

static void headline(const char *text)
{
	printf("\n-- %s\n", text);
	fflush(stdout);
}

/* Number of children; a missing node has none. */
static unsigned int children(const char *path)
{
	unsigned int n = 0;

	free(xs_directory(ts.xs, XBT_NULL, path, &n));
	return n;
}

static const char *vmm_path(void)
{
	static char path[108];

	snprintf(path, sizeof(path), "%s/vmm", xs_daemon_rundir());
	return path;
}

static int start(bool verbose)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	must(toolstack_open(&ts, vmm_path(), verbose), vmm_path());
	homes = children("/local/domain");
	must(backend_start(verbose, &backends), "backends");
	return 0;
}

static int finish(void)
{
	kill(backends, SIGKILL);
	waitpid(backends, NULL, 0);
	toolstack_close(&ts);
	return n_failed != 0;
}

static bool value_is(const char *path, const char *want)
{
	char *value = xs_read(ts.xs, XBT_NULL, path, NULL);
	bool same = value && !strcmp(value, want);

	free(value);
	return same;
}

static void show_tree(const char *path, int depth)
{
	char sub[256], *value = xs_read(ts.xs, XBT_NULL, path, NULL);
	unsigned int n = 0;
	char **names = xs_directory(ts.xs, XBT_NULL, path, &n);
	const char *name = strrchr(path, '/') + 1;

	printf("   %*s%s = \"%s\"\n", 2 * depth, "", depth ? name : path,
	       value ? value : "");
	for (unsigned int i = 0; i < n; i++) {
		snprintf(sub, sizeof(sub), "%s/%s", path, names[i]);
		show_tree(sub, depth + 1);
	}
	free(names);
	free(value);
}

static bool nothing_is_left(void)
{
	return !children("/vm") && !children("/libxl") &&
	       !children("/local/domain/0/backend") &&
	       children("/local/domain") <= homes;
}

/* ---- a guest with the usual devices ------------------------------------- */

static int vm_usual(struct vm *vm, uint16_t domid, const char *name)
{
	int err = vm_create(&ts, vm, domid, name);

	if (!err)
		err = vm_add_device(&ts, vm, DEVICE_VIF, 0);
	if (!err)
		err = vm_add_device(&ts, vm, DEVICE_VBD, 51712);
	if (!err)
		err = vm_start(&ts, vm);
	return err;
}

/* ---- demo --------------------------------------------------------------- */

static int demo(void)
{
	static const char *const names[] = { "web", "db", "mail" };
	struct vm vm[3];

	start(true);
	headline("A toolstack creates three guests, with disk and net");
	for (int i = 0; i < 3; i++) {
		must(vm_usual(&vm[i], i + 1, names[i]), names[i]);
		must(vm_wait_up(&ts, &vm[i]), names[i]);
		must(vm_wait_connected(&ts, &vm[i]), names[i]);
	}
	headline("What the two ends of web's net have agreed on");
	show_tree("/local/domain/1/device/vif/0", 0);
	show_tree("/local/domain/0/backend/vif/1/0", 0);
	headline("web gets a console while it runs, and loses its net");
	must(vm_add_device(&ts, &vm[0], DEVICE_CONSOLE, 1), "console");
	must(vm_wait_connected(&ts, &vm[0]), "console");
	must(vm_remove_device(&ts, &vm[0], 0), "vif");
	headline("web is suspended and goes on");
	must(vm_suspend(&ts, &vm[0]), "suspend");
	must(vm_resume(&ts, &vm[0]), "resume");
	headline("db moves: its memory goes on as another domain");
	must(vm_suspend(&ts, &vm[1]), "suspend");
	must(vm_migrate(&ts, &vm[1], 11), "migrate");
	must(vm_wait_connected(&ts, &vm[1]), "migrate");
	headline("mail crashes, the others power off");
	must(vm_crash(&ts, &vm[2]), "crash");
	for (int i = 0; i < 2; i++) {
		must(vm_order(&ts, &vm[i], "poweroff"), "poweroff");
		must(vm_wait_off(&ts, &vm[i]), "poweroff");
	}
	for (int i = 0; i < 3; i++)
		must(vm_destroy(&ts, &vm[i]), "destroy");
	must(nothing_is_left() ? 0 : EEXIST, "something is left");
	headline("Nothing of them is left in the store");
	return finish();
}

/* ---- life --------------------------------------------------------------- */

static void life_of_devices(struct vm *vm)
{
	check(!vm_add_device(&ts, vm, DEVICE_CONSOLE, 1) &&
	      !vm_add_device(&ts, vm, DEVICE_VIF, 1) &&
	      !vm_wait_connected(&ts, vm),
	      "devices that are plugged in later connect");
	check(!vm_remove_device(&ts, vm, 0),
	      "a device is closed by both sides");
	check(vm_state(&ts, "/local/domain/5/device/vif/0/state") ==
	      STATE_UNKNOWN && children("/local/domain/0/backend/vif/5") == 1,
	      "its directories are removed, the others stay");
	check(!vm_add_device(&ts, vm, DEVICE_VIF, 0) &&
	      !vm_wait_connected(&ts, vm), "it can be plugged in again");
}

static void life_of_suspension(struct vm *vm)
{
	check(!vm_suspend(&ts, vm), "a guest suspends, and that is told");
	check(!vm_resume(&ts, vm), "it is resumed");
	check(!vm_suspend(&ts, vm) && !vm_resume(&ts, vm),
	      "so it is again, and told again");
	check(!vm_add_device(&ts, vm, DEVICE_VBD, 51728) &&
	      !vm_wait_connected(&ts, vm), "its watches still fire");
	check(!vm_suspend(&ts, vm) && !vm_migrate(&ts, vm, 6),
	      "it migrates to another domain");
	check(!vm_wait_connected(&ts, vm), "and all its devices connect");
	check(!children("/local/domain/5") && !children("/libxl/5"),
	      "the old domain's nodes are gone");
}

static int life(void)
{
	struct vm vm, other;

	start(false);
	check(!vm_usual(&vm, 5, "five") && !vm_wait_up(&ts, &vm),
	      "a guest is created and boots");
	check(!vm_wait_connected(&ts, &vm), "its vif and vbd connect");
	check(value_is("/local/domain/5/console/tty", "/dev/pts/1"),
	      "its console has a terminal");
	check(!vm_usual(&other, 7, "seven") && !vm_wait_up(&ts, &other) &&
	      !vm_wait_connected(&ts, &other), "so does another one");
	life_of_devices(&vm);
	life_of_suspension(&vm);
	check(!vm_order(&ts, &vm, "reboot") && !vm_wait_off(&ts, &vm),
	      "it is told to reboot, and that is told");
	check(!vm_destroy(&ts, &vm) && !vm_usual(&vm, 8, "five") &&
	      !vm_wait_up(&ts, &vm) && !vm_wait_connected(&ts, &vm),
	      "it comes up again as a new domain");
	check(!vm_crash(&ts, &other), "a crash is told");
	check(!vm_order(&ts, &vm, "poweroff") && !vm_wait_off(&ts, &vm),
	      "a guest powers off");
	check(!vm_destroy(&ts, &vm) && !vm_destroy(&ts, &other),
	      "they are destroyed");
	check(nothing_is_left(), "nothing of them is left in the store");
	printf("# %u transactions were begun again\n", ts.retries);
	return finish();
}

/* ---- many --------------------------------------------------------------- */

static double seconds(void)
{
	static struct timespec begin;
	struct timespec now;
	double s;

	clock_gettime(CLOCK_MONOTONIC, &now);
	s = now.tv_sec - begin.tv_sec + (now.tv_nsec - begin.tv_nsec) / 1e9;
	begin = now;
	return s;
}

/* The same step for all, while each has its own speed. */
static bool all(struct vm *vm, int n,
		int (*step)(struct toolstack *ts, struct vm *vm))
{
	int failed = 0;

	for (int i = 0; i < n; i++)
		failed += step(&ts, &vm[i]) != 0;
	return !failed;
}

static int power_off(struct toolstack *tools, struct vm *vm)
{
	return vm_order(tools, vm, "poweroff");
}

static int many(int n)
{
	struct vm *vm = calloc(n, sizeof(*vm));
	struct rlimit rl;
	int failed = 0;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	start(false);
	seconds();
	for (int i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%d", i + 1);
		failed += vm_usual(&vm[i], i + 1, name) != 0;
	}
	check(!failed && all(vm, n, vm_wait_up),
	      "%d guests are created and boot (%.1f s)", n, seconds());
	check(all(vm, n, vm_wait_connected),
	      "all their devices connect (%.1f s)", seconds());
	check(all(vm, n, power_off) && all(vm, n, vm_wait_off),
	      "all power off (%.1f s)", seconds());
	check(all(vm, n, vm_destroy) && nothing_is_left(),
	      "all are destroyed, nothing is left (%.1f s)", seconds());
	printf("# %u transactions were begun again\n", ts.retries);
	free(vm);
	return finish();
}

static int attack(int daemon)
{
	return attack_all(vmm_path(), daemon) != 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && !strcmp(argv[1], "demo"))
		return demo();
	if (argc == 2 && !strcmp(argv[1], "life"))
		return life();
	if (argc == 3 && !strcmp(argv[1], "many") && atoi(argv[2]) > 0)
		return many(atoi(argv[2]));
	if (argc >= 2 && argc <= 3 && !strcmp(argv[1], "attack"))
		return attack(argc == 3 ? atoi(argv[2]) : 0);
	fprintf(stderr, "usage: guest demo | life | many N | attack [PID]\n");
	return 2;
}
