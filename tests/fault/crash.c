/* SPDX-License-Identifier: MIT */
/*
 * Kills the daemon, again and again, under a load whose every answer is known.
 *
 *	crash [--port vmm|xen] [--seed N] [--kills N] [--clients N] [--guests N]
 *	      [--only worker|keeper|all|stop|update]... [--keep]
 *	      [--points] [--poison] [--daemon FILE]
 *
 * With --points and --poison it is the daemon that dies by itself, at places
 * of xenstored/base/fault.h or of a request that it cannot stand; this takes
 * one that was built with FAULT=1.
 *
 * $BUILD has the daemon. Guests are attached as a VMM does it, or by fakexen;
 * only these come through the death of keeper and worker together, for who
 * dies with a VMM's connection are its domains.
 *
 * The seed determines what is sent and when something is killed, but not how
 * far the daemon has come by then: a failure need not come again at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fakexen.h>

#include "actor.h"
#include "daemon.h"
#include "observer.h"
#include "toolstack.h"

#define ACTORS_MAX 40
#define SPARE 40		/* a domid */
#define PLACE_MS 4000		/* to come by a place */
#define QUIET_MS 1050		/* after which the keeper forgets what was */
#define IN_A_ROW 7		/* more, and what is tested is its patience */

enum kind { KILL_WORKER, KILL_KEEPER, KILL_ALL, STOP, UPDATE, KINDS };

static const char *const kind_names[KINDS] = {
	"worker", "keeper", "all", "stop", "update",
};

struct crash {
	bool xen;
	uint64_t seed, wanted;
	unsigned int clients, guests;
	unsigned int only;	/* 1 << enum kind; 0: all kinds */
	bool keep, points, poison;
	const char *program;
	char dir[128];
	struct daemon daemon;
	size_t n_actors;
	struct actor *actors[ACTORS_MAX];
	struct observer observer;
	struct toolstack toolstack;
	struct guest *spare;		/* what the toolstack introduces */
	uint64_t done[KINDS];
	uint32_t lost, may_be_lost;	/* connections of sockets */
};

static void pause_us(unsigned int us)
{
	nanosleep(&(struct timespec){ 0, us * 1000L }, NULL);
}

/* ---- what goes on -------------------------------------------------------- */

static void check_progress(struct client *client)
{
	if (!client->outstanding || failed ||
	    now_ms() - client->progress_at < PATIENCE_MS)
		return;
	fail(client, "request %u is not answered: %s%s, %zu of its kind",
	     client->first->req,
	     link_is_flushed(&client->link) ? "it was taken" :
					      "it does not fit into the ring",
	     link_is_silent(&client->link) ? ", and we were not notified" : "",
	     client->outstanding);
}

/* All clients, one after the other; NULL: that was the last. */
static struct client *nth_client(struct crash *crash, size_t i)
{
	if (i < crash->n_actors)
		return &crash->actors[i]->client;
	switch (i - crash->n_actors) {
	case 0:
		return &crash->observer.client;
	case 1:
		return &crash->toolstack.client;
	}
	return NULL;
}

static void serve(struct crash *crash, struct client *client, size_t i)
{
	if (i < crash->n_actors)
		actor_receive(crash->actors[i]);
	else
		client_receive(client);
}

static void bring_back(struct crash *crash)
{
	for (size_t i = 0; i < crash->n_actors; i++)
		if (crash->actors[i]->client.link.lost && !failed)
			crash->lost += actor_return(crash->actors[i]);
	if (crash->toolstack.client.link.lost && !failed)
		crash->lost += toolstack_return(&crash->toolstack);
}

static void turn(struct crash *crash, int ms)
{
	struct pollfd fds[ACTORS_MAX + 2];
	struct client *client;
	size_t n = 0;

	for (; (client = nth_client(crash, n)); n++)
		fds[n] = (struct pollfd){
			.fd = client->link.lost ? -1 : client->link.fd,
			.events = POLLIN |
				  (client->link.blocked ? POLLOUT : 0),
		};
	poll(fds, n, ms);
	for (size_t i = 0; i < n && !failed; i++) {
		client = nth_client(crash, i);
		if (fds[i].revents & POLLOUT)
			link_flush(&client->link);
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			serve(crash, client, i);
		check_progress(client);
	}
	bring_back(crash);
}

static void act(struct crash *crash)
{
	if (roll(12) == 0)
		toolstack_act(&crash->toolstack);
	else
		actor_act(crash->actors[roll(crash->n_actors)]);
}

static void run_for(struct crash *crash, uint32_t ms)
{
	uint64_t until = now_ms() + ms;

	do {
		for (int i = roll(12); i > 0; i--)
			act(crash);
		turn(crash, roll(4) == 0);
	} while (!failed && now_ms() < until);
}

/* ---- looking at everything ----------------------------------------------- */

static bool is_idle(struct crash *crash)
{
	for (size_t i = 0; i < crash->n_actors; i++)
		if (!actor_is_idle(crash->actors[i]))
			return false;
	return !crash->observer.client.outstanding &&
	       !crash->toolstack.client.first &&
	       !crash->toolstack.client.link.lost;
}

static uint64_t number_at(struct crash *crash, const char *path)
{
	const char *reply;
	size_t len;

	if (client_ask(&crash->observer.client, XS_READ, path,
		       strlen(path) + 1, &reply, &len))
		return 0;
	return strtoull(reply, NULL, 10);
}

static void check_count(struct crash *crash)
{
	uint64_t sum = 0, count = number_at(crash, "/shared/count");

	for (size_t i = 0; i < crash->n_actors; i++)
		sum += crash->actors[i]->added;
	if (sum != count)
		fail(NULL, "%llu commits were answered, the count is %llu",
		     (unsigned long long)sum, (unsigned long long)count);
}

/* By the clients themselves. */
static uint32_t hung_up(const struct crash *crash)
{
	uint32_t left = 0;

	for (size_t i = 0; i < crash->n_actors; i++)
		left += crash->actors[i]->left;
	return left;
}

static void check_lost(struct crash *crash)
{
	uint32_t may_be = crash->may_be_lost + hung_up(crash);

	if (crash->lost > may_be)
		fail(NULL, "%u sockets were lost, %u might have been",
		     crash->lost, may_be);
}

static void set_stopped(struct crash *crash, bool stopped)
{
	for (size_t i = 0; i < crash->n_actors; i++)
		crash->actors[i]->stopped = stopped;
	crash->toolstack.stopped = stopped;
}

/* Everybody comes to an end; then nothing may be missing. */
static void settle(struct crash *crash)
{
	const char *reply;
	size_t len;

	set_stopped(crash, true);
	while (!failed && !is_idle(crash)) {
		for (size_t i = 0; i < crash->n_actors; i++)
			actor_act(crash->actors[i]);
		turn(crash, 5);
	}
	if (!failed)
		client_ask(&crash->observer.client, XS_GET_DOMAIN_PATH, "0", 2,
			   &reply, &len);
	for (size_t i = 0; i < crash->n_actors && !failed; i++) {
		actor_verify(crash->actors[i]);
		observer_check(&crash->observer, crash->actors[i]->number,
			       crash->actors[i]->logged);
	}
	if (!failed)
		toolstack_verify(&crash->toolstack);
	if (!failed)
		check_count(crash);
	if (!failed)
		check_lost(crash);
	set_stopped(crash, false);
}

/* ---- killing ------------------------------------------------------------- */

/* What the kernel does when the event channel device is closed. */
static void close_channels(const struct crash *crash)
{
	struct fx_state *st = crash->xen ? fx_state() : NULL;
	uint32_t port;
	int fd;

	if (!st)
		return;
	for (port = 1; port < FX_NPORT; port++)
		st->port[port].owner = 0;
	for (unsigned int d = 0; d <= st->max_domid; d++)
		st->dom[d].local_port = 0;
	st->virq_port = 0;
	fd = fx_evtchn_open();
	while (read(fd, &port, sizeof(port)) > 0)
		;
	close(fd);
}

/* Some time in which nobody is there; guests do not know. */
static void start_again(struct crash *crash)
{
	close_channels(crash);
	if (roll(2))
		run_for(crash, roll(30));
	if (!failed && !daemon_start(&crash->daemon))
		fail(NULL, "the daemon does not start again");
	crash->may_be_lost += crash->clients + 1;
}

static enum kind some_kind(const struct crash *crash)
{
	uint32_t dice = roll(20);

	while (crash->only) {
		if (crash->only & 1u << dice % KINDS)
			return dice % KINDS;
		dice = roll(20);
	}
	if (dice == 0)
		return KILL_KEEPER;
	if (dice == 1 && crash->xen)
		return KILL_ALL;
	if (dice == 2 && crash->xen)
		return STOP;
	if (dice == 3)
		return UPDATE;
	return KILL_WORKER;
}

/* A live update to the same program, while everybody goes on. */
static void update(struct crash *crash)
{
	const char *build = getenv("BUILD");
	char tool[300];
	int status = 0;
	pid_t pid;

	snprintf(tool, sizeof(tool), "%s/xenstore-control",
		 build ? build : "build");
	pid = fork();
	if (pid == 0) {
		setenv("XENSTORED_PATH", crash->daemon.socket, 1);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl(tool, tool, "live-update", crash->daemon.program, NULL);
		_exit(127);
	}
	while (!failed && pid > 0 && !waitpid(pid, &status, WNOHANG))
		run_for(crash, 1);
	if (pid < 0 || status)
		fail(NULL, "a live update fails: %x", status);
}

static void kill_something(struct crash *crash)
{
	enum kind kind = some_kind(crash);
	bool done = true;

	for (int i = roll(24); i > 0; i--)
		act(crash);
	pause_us(roll(4) ? roll(300) : roll(3000));
	kills++;
	switch (kind) {
	case KILL_WORKER:
		done = daemon_kill_worker(&crash->daemon);
		crash->may_be_lost += done;
		break;
	case KILL_KEEPER:
		done = daemon_kill_keeper(&crash->daemon);
		break;
	case KILL_ALL:
		daemon_kill_all(&crash->daemon);
		start_again(crash);
		break;
	case STOP:
		if (!daemon_stop(&crash->daemon))
			fail(NULL, "the daemon does not end");
		start_again(crash);
		break;
	case UPDATE:
		update(crash);
		break;
	case KINDS:
		break;
	}
	crash->done[kind] += done;
}

static uint64_t all_done(const struct crash *crash)
{
	uint64_t sum = 0;

	for (int i = 0; i < KINDS; i++)
		sum += crash->done[i];
	return sum;
}

/* ---- a daemon that dies by itself ---------------------------------------- */

/* Each place once in a random order, and again. Where bytes have moved that
 * nobody knows of, a socket may be lost. After a few quick deaths a worker is
 * let live, and killed when the keeper has forgotten them. */
static const struct place {
	const char *name;
	unsigned int passes;	/* one of the first so many */
	bool loses;
} places[] = {
	{ "recv_done", 3000, true },
	{ "recv_recorded", 3000, false },
	{ "execute_before", 9000, false },
	{ "execute_after", 9000, false },
	{ "commit_before", 1500, false },
	{ "commit_after", 1500, false },
	{ "send_before", 3000, true },
	{ "send_done", 3000, true },
	{ "send_recorded", 3000, false },
	{ "ring_bytes", 1500, false },
	{ "ring_prod", 1500, false },
	{ "ring_cons", 1500, false },
	{ "accepted", 5, true },
	{ "closing", 5, true },
	{ "account", 2, false },
	{ "file_begun", 2, false },
	{ "checkpoint_step", 300, false },
	{ "deferred", 20, false },
	{ "checkpoint_commit", 2, false },
	{ "checkpoint_done", 2, false },
	{ "revived", 1, false },
};

#define PLACES (sizeof(places) / sizeof(places[0]))
#define DEATHS_MAX 1200

static struct {
	struct crash *crash;
	FILE *log;
	size_t planned;
	const struct place *plan[DEATHS_MAX];	/* of worker i + 1; NULL: is
						 * let live */
} deaths;

static void plan_deaths(struct crash *crash)
{
	static char text[DEATHS_MAX * 32];
	size_t len = 0, order[PLACES];

	for (size_t i = 0; i < crash->wanted && deaths.planned < DEATHS_MAX - 1;
	     i++) {
		size_t at = i % PLACES, other;
		const struct place *place;

		if (at == 0)
			for (size_t k = 0; k < PLACES; k++)
				order[k] = k;
		other = at + roll(PLACES - at);
		place = &places[order[other]];
		order[other] = order[at];
		deaths.plan[deaths.planned++] = place;
		len += sprintf(text + len, "%s:%u,", place->name,
			       1 + roll(place->passes));
		if (i % IN_A_ROW != IN_A_ROW - 1)
			continue;
		deaths.plan[deaths.planned++] = NULL;
		len += sprintf(text + len, "-,");
	}
	setenv("XENSTORED_DIE_AT", text, 1);
}

/* The keeper tells of a death before anybody can see what comes after it. */
static void count_deaths(void)
{
	struct crash *crash = deaths.crash;
	char path[256], line[256];
	unsigned int worker;

	if (!deaths.log) {
		snprintf(path, sizeof(path), "%s/log", crash->dir);
		deaths.log = fopen(path, "re");
		if (!deaths.log)
			return;
	}
	clearerr(deaths.log);
	while (fgets(line, sizeof(line), deaths.log)) {
		const char *told = strstr(line, "worker ");

		if (!told ||
		    sscanf(told, "worker %u ended with", &worker) != 1)
			continue;
		kills++;
		crash->done[KILL_WORKER]++;
		if (crash->points && (worker > deaths.planned ||
				      !deaths.plan[worker - 1] ||
				      deaths.plan[worker - 1]->loses))
			crash->may_be_lost++;
	}
}

/* Each is fatal three times, and then refused; more often if it has given way
 * to another in between. */
static void await_poisons(struct crash *crash)
{
	uint64_t left = crash->wanted;

	while (!failed && left) {
		poisons = 1 + roll(left < 3 ? left : 3);
		left -= poisons;
		while (!failed && (poisons || poisons_out))
			run_for(crash, 5);
		if (roll(4) == 0)
			settle(crash);
		run_for(crash, QUIET_MS);
	}
	settle(crash);
	if (!failed && (crash->done[KILL_WORKER] < 3 * crash->wanted ||
			crash->done[KILL_WORKER] > 5 * crash->wanted))
		fail(NULL, "%llu poisonous requests killed %llu workers",
		     (unsigned long long)crash->wanted,
		     (unsigned long long)crash->done[KILL_WORKER]);
}

/* Who does not come by his place is helped; who is let live, until then. */
static void await_deaths(struct crash *crash)
{
	uint64_t seen = kills, at = now_ms(), n;

	while (!failed && (n = all_done(crash)) < deaths.planned) {
		run_for(crash, 20);
		kills_look();
		if (kills != seen || !daemon_worker(&crash->daemon)) {
			seen = kills;
			at = now_ms();
		} else if (now_ms() - at >
			   (deaths.plan[n] ? PLACE_MS : QUIET_MS)) {
			crash->may_be_lost++;
			daemon_kill_worker(&crash->daemon);
			at = now_ms();
		}
		if (roll(60) == 0)
			settle(crash);
	}
	settle(crash);
}

/* ---- from beginning to end ----------------------------------------------- */

static void torture(struct crash *crash)
{
	if (crash->points) {
		await_deaths(crash);
		return;
	}
	if (crash->poison) {
		await_poisons(crash);
		return;
	}
	run_for(crash, QUIET_MS);
	settle(crash);
	while (!failed && all_done(crash) < crash->wanted) {
		run_for(crash, roll(3) ? QUIET_MS : roll(QUIET_MS));
		for (int i = 1 + roll(7); i > 0 && !failed &&
				all_done(crash) < crash->wanted; i--) {
			kill_something(crash);
			run_for(crash, roll(40));
		}
		if (roll(4) == 0)
			settle(crash);
	}
	settle(crash);
}

/* ---- the stage ----------------------------------------------------------- */

static void need(struct client *client, uint32_t type, const char *text)
{
	char payload[256];
	size_t len = strlen(text) + 1, reply_len;
	const char *reply, *why;

	for (size_t i = 0; i < len; i++)
		payload[i] = text[i] == '|' ? '\0' : text[i];
	why = client_ask(client, type, payload, len, &reply, &reply_len);
	if (why)
		fail(client, "%s: %s", text, why);
}

static struct guest *make_guest(struct client *client, unsigned int domid,
				bool introduce)
{
	struct guest *guest = guest_create(domid);
	char text[64];

	if (!guest) {
		fail(client, "cannot make domain %u", domid);
		return NULL;
	}
	snprintf(text, sizeof(text), "%u|1|1", domid);
	if (introduce)
		need(client, XS_INTRODUCE, text);
	return guest;
}

/* What is not an actor's own. */
static void set_stage(struct crash *crash, struct client *client)
{
	(void)crash;
	need(client, XS_MKDIR, "/shared");
	need(client, XS_SET_PERMS, "/shared|b0");
	need(client, XS_WRITE, "/shared/count|0");
	need(client, XS_MKDIR, "/shared/last");
	need(client, XS_MKDIR, "/shared/log");
}

static void add_actor(struct crash *crash, struct client *client,
		      struct guest *guest)
{
	struct actor *actor = malloc(sizeof(*actor));
	char text[128];

	memset(actor, 0, sizeof(*actor));
	actor_init(actor, crash->n_actors, guest ? NULL : crash->daemon.socket,
		   guest);
	need(client, XS_MKDIR, actor->top);
	snprintf(text, sizeof(text), "%s|n%u", actor->top, actor->domid);
	need(client, XS_SET_PERMS, text);
	crash->actors[crash->n_actors++] = actor;
}

static void begin(struct crash *crash)
{
	static struct client client;
	struct guest *guest;

	client_init(&client, "stage");
	if (!link_dial(&client.link, crash->daemon.socket)) {
		fail(NULL, "nobody listens at %s", crash->daemon.socket);
		return;
	}
	set_stage(crash, &client);
	for (unsigned int i = 0; i < crash->clients; i++)
		add_actor(crash, &client, NULL);
	for (unsigned int i = 1; i <= crash->guests && !failed; i++) {
		guest = make_guest(&client, i, true);
		if (guest)
			add_actor(crash, &client, guest);
	}
	if (!failed) {
		need(&client, XS_WRITE, "/local/domain/1/secret|secret");
		need(&client, XS_SET_PERMS, "/local/domain/1/secret|n1");
		if (crash->guests > 1)
			need(&client, XS_SET_TARGET, "2|1");
		crash->spare = make_guest(&client, SPARE, false);
		guest = make_guest(&client, crash->guests + 1, true);
		if (guest)
			observer_init(&crash->observer, guest);
	}
	toolstack_init(&crash->toolstack, crash->daemon.socket, crash->guests,
		       SPARE);
	link_close(&client.link);
}

static void options_for_daemon(struct crash *crash, const char *build)
{
	static char program[256], preload[256], fx[160], vmm[160];

	snprintf(program, sizeof(program), "%s/xenstored", build);
	daemon_init(&crash->daemon, crash->program ? crash->program : program,
		    crash->dir);
	if (crash->points)
		plan_deaths(crash);
	if (crash->poison)
		setenv("XENSTORED_POISON", "/poison", 1);
	if (crash->points || crash->poison) {
		deaths.crash = crash;
		kills_look = count_deaths;
	}
	daemon_option(&crash->daemon, "--xenport");
	if (!crash->xen) {
		snprintf(vmm, sizeof(vmm), "%s/vmm", crash->dir);
		setenv("VMM_SOCKET", vmm, 1);
		daemon_option(&crash->daemon, "vmm");
		return;
	}
	snprintf(fx, sizeof(fx), "%s/fx", crash->dir);
	mkdir(fx, 0700);
	setenv("FAKEXEN_DIR", fx, 1);
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
	unsetenv("VMM_SOCKET");
	snprintf(preload, sizeof(preload), "%s/tests/peers/fakexen.so", build);
	crash->daemon.preload = preload;
	daemon_option(&crash->daemon, "xen");
	if (!fx_state())
		fail(NULL, "no fakexen");
}

/* ---- the verdict --------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void show_log(const struct crash *crash)
{
	char path[256], line[256];
	FILE *file;
	long size;

	snprintf(path, sizeof(path), "%s/log", crash->dir);
	file = fopen(path, "re");
	if (!file)
		return;
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	fseek(file, size > 3000 ? size - 3000 : 0, SEEK_SET);
	while (fgets(line, sizeof(line), file))
		printf("# log: %s", line);
	fclose(file);
}

static void tell(const struct crash *crash)
{
	uint64_t requests = 0, events = 0, merged = 0;
	struct client *client;

	for (size_t i = 0;
	     (client = nth_client((struct crash *)crash, i)); i++) {
		requests += client->requests;
		events += client->events;
		merged += client->merged;
	}
	printf("%sok - every reply and event is as the model says, %s, %s "
	       "(seed %llu; killed: ", failed ? "not " : "",
	       crash->xen ? "guests on Xen's interface" : "guests of a VMM",
	       crash->points ? "dying at chosen places" :
	       crash->poison ? "with fatal requests" : "killed at any time",
	       (unsigned long long)crash->seed);
	for (int i = 0; i < KINDS; i++)
		printf("%s %llu, ", kind_names[i],
		       (unsigned long long)crash->done[i]);
	printf("%llu requests, %llu events, %llu merged, %u sockets lost)\n",
	       (unsigned long long)requests, (unsigned long long)events,
	       (unsigned long long)merged, crash->lost - hung_up(crash));
}

static int kind_of(const char *name)
{
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(name, kind_names[i]))
			return i;
	fprintf(stderr, "crash: unknown kind %s\n", name);
	exit(2);
}

static void parse(struct crash *crash, int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 's' },
		{ "kills", required_argument, NULL, 'k' },
		{ "clients", required_argument, NULL, 'c' },
		{ "guests", required_argument, NULL, 'g' },
		{ "only", required_argument, NULL, 'o' },
		{ "keep", no_argument, NULL, 'K' },
		{ "points", no_argument, NULL, 'P' },
		{ "poison", no_argument, NULL, 'X' },
		{ "daemon", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (letter) {
		case 'p':
			crash->xen = !strcmp(optarg, "xen");
			break;
		case 's':
			crash->seed = strtoull(optarg, NULL, 0);
			break;
		case 'k':
			crash->wanted = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			crash->clients = atoi(optarg);
			break;
		case 'g':
			crash->guests = atoi(optarg);
			break;
		case 'o':
			crash->only |= 1u << kind_of(optarg);
			break;
		case 'K':
			crash->keep = true;
			break;
		case 'P':
			crash->points = true;
			break;
		case 'X':
			crash->poison = true;
			break;
		case 'd':
			crash->program = optarg;
			break;
		default:
			exit(2);
		}
	}
	if (!crash->clients || !crash->guests ||
	    crash->clients + crash->guests > ACTORS_MAX) {
		fprintf(stderr, "crash: too few or too many\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct crash crash = {
		.seed = 1,
		.wanted = 50,
		.clients = 4,
		.guests = 4,
	};
	const char *build = getenv("BUILD"), *tmp = getenv("TMPDIR");

	parse(&crash, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	roll_seed(crash.seed);
	snprintf(crash.dir, sizeof(crash.dir), "%s/crash.XXXXXX",
		 tmp ? tmp : "/tmp");
	if (!mkdtemp(crash.dir)) {
		perror(crash.dir);
		return 1;
	}
	options_for_daemon(&crash, build ? build : "build");
	if (!failed && !daemon_start(&crash.daemon))
		fail(NULL, "the daemon does not start");
	if (!failed)
		begin(&crash);
	if (!failed)
		torture(&crash);
	if (failed)
		show_log(&crash);
	tell(&crash);
	daemon_kill_all(&crash.daemon);
	if (!crash.keep)
		nftw(crash.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return failed;
}
