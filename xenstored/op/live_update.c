/* SPDX-License-Identifier: MIT */
#include "op/live_update.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scoped.h"
#include "op/args.h"
#include "op/op.h"
#include "persist/handover.h"

#define STATE_FILE "state_dump"
#define CHECK_FILE "state_check"
#define CHECK_MS 15000
#define ARGS_MAX 128

/* ---- the new program ----------------------------------------------------- */

static bool file_contains(const char *file, const char *text)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool found = false;
	void *mem;

	if (fd < 0)
		return false;
	if (!fstat(fd, &st) && st.st_size > 0) {
		mem = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (mem != MAP_FAILED) {
			found = memmem(mem, st.st_size, text, strlen(text));
			munmap(mem, st.st_size);
		}
	}
	close(fd);
	return found;
}

/* C xenstored up to 4.20 knows only version 1, and a quota by another name. */
static unsigned int version_for(const struct live_update *live)
{
	return live->ours || file_contains(live->file, "node-permissions") ?
		       2 : 1;
}

static void add_words(TALLOC_CTX *ctx, char **argv, size_t *n, const char *line)
{
	char *copy = talloc_strdup(ctx, line), *save = NULL, *word;

	for (word = copy ? strtok_r(copy, " \t", &save) : NULL;
	     word && *n < ARGS_MAX; word = strtok_r(NULL, " \t", &save))
		argv[(*n)++] = word;
}

/* The file, the old arguments or the given ones, and -U. */
static void command_line(TALLOC_CTX *ctx, const struct live_update *live,
			 char **argv)
{
	bool told = false;
	size_t n = 0, i;

	argv[n++] = live->file;
	if (live->cmdline)
		add_words(ctx, argv, &n, live->cmdline);
	else
		for (i = 1; live->argv[i] && n < ARGS_MAX; i++)
			argv[n++] = live->argv[i];
	for (i = 1; i < n; i++)
		told |= !strcmp(argv[i], "-U") ||
			!strcmp(argv[i], "--live-update");
	if (!told)
		argv[n++] = (char *)"-U";
	argv[n] = NULL;
}

/* ---- the state ----------------------------------------------------------- */

static void state_path(const struct live_update *live, const char *name,
		       char *out, size_t len)
{
	snprintf(out, len, "%s/%s", live->rundir, name);
}

static int write_state(struct op_world *world, const char *file,
		       const struct session *asker, struct blob reply,
		       uint32_t *asker_id)
{
	const struct live_update *live = &world->live;

	return handover_write(file, &(struct handover){
		.sessions = world->sessions,
		.domains = world->domains,
		.store = world->store,
		.listener = live->listener,
		.port = live->port,
		.version = live->version,
		.private = live->ours,
		.asker = asker,
		.reply = reply }, asker_id);
}

/* ---- phases -------------------------------------------------------------- */

static void forget_file(struct live_update *live)
{
	TALLOC_FREE(live->file);
	TALLOC_FREE(live->cmdline);
	live->owner = NULL;
	live->asker = NULL;
	live->phase = LIVE_NONE;
}

/* Transactions that had to wait for us. */
static void let_go(struct op_world *world)
{
	struct session *session;

	list_for_each(session, &world->sessions->all, in_all)
		if (session != world->live.asker)
			conn_resume(session->conn);
}

static void decide(struct op_world *world, enum live_update_phase phase)
{
	struct live_update *live = &world->live;
	bool waited = live->phase == LIVE_WAITING;

	live->phase = phase;
	if (waited && phase == LIVE_FAILED)
		let_go(world);
	conn_resume(live->asker->conn);
}

static void __attribute__((format(printf, 2, 3)))
fail(struct op_world *world, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(world->live.why, sizeof(world->live.why), fmt, ap);
	va_end(ap);
	decide(world, LIVE_FAILED);
}

static bool has_transactions(const struct op_world *world)
{
	const struct session *session;

	list_for_each(session, &world->sessions->all, in_all)
		if (session->ntxns && !session->lost)
			return true;
	return false;
}

static void check_ended(struct op_world *world)
{
	struct live_update *live = &world->live;
	int err = live->ops->checked(live->arg);
	char path[PATH_MAX];

	if (err == EAGAIN && world->now < live->until)
		return;
	state_path(live, CHECK_FILE, path, sizeof(path));
	unlink(path);
	if (!err)
		decide(world, LIVE_READY);
	else if (err == -EPROTO)
		fail(world, "The new binary refuses the state.");
	else if (err == -ETIMEDOUT || err == EAGAIN)
		fail(world, "The new binary does not answer.");
	else
		fail(world, "Error activating new binary.");
}

static void transactions_ended(struct op_world *world)
{
	struct live_update *live = &world->live;

	if (!has_transactions(world) ||
	    (world->now >= live->until && live->force))
		decide(world, LIVE_READY);
	else if (world->now >= live->until)
		fail(world, "Overlapping transactions");
}

bool live_update_work(struct op_world *world)
{
	struct live_update *live = &world->live;

	if (live->phase == LIVE_CHECKING)
		check_ended(world);
	else if (live->phase == LIVE_WAITING)
		transactions_ended(world);
	return live->phase == LIVE_CHECKING || live->phase == LIVE_WAITING;
}

bool live_update_holds(const struct op_world *world,
		       const struct session *session)
{
	return world->live.phase == LIVE_WAITING && !session->ntxns;
}

void live_update_forget(struct op_world *world, const struct session *session)
{
	struct live_update *live = &world->live;
	bool waited = live->phase == LIVE_WAITING;

	if (session != live->owner && session != live->asker)
		return;
	forget_file(live);
	if (waited)
		let_go(world);
}

/* ---- commands ------------------------------------------------------------ */

static int live_file(struct request *req, const char *file)
{
	struct live_update *live = &req->world->live;
	struct stat st;

	if (live->phase != LIVE_NONE)
		return reply_string(req,
				    "live-update session already active.");
	if (access(file, F_OK))
		return reply_string(req, "File not accessible.");
	/* A pipe would be waited for when it is looked at. */
	if (access(file, X_OK) || stat(file, &st) || !S_ISREG(st.st_mode))
		return reply_string(req, "File not executable.");
	live->file = talloc_strdup(req->session, file);
	if (!live->file)
		return reply_string(req, "Allocation failure.");
	live->owner = req->session;
	live->phase = LIVE_CHOSEN;
	return reply_ok(req);
}

static int live_cmdline(struct request *req, const char *line)
{
	struct live_update *live = &req->world->live;

	if (live->owner != req->session)
		return reply_string(req, "Not in live-update session.");
	talloc_free(live->cmdline);
	live->cmdline = talloc_strdup(req->session, line);
	return live->cmdline ? reply_ok(req) :
			       reply_string(req, "Allocation failure.");
}

static int live_abort(struct request *req)
{
	struct op_world *world = req->world;
	struct live_update *live = &world->live;

	if (live->phase == LIVE_NONE)
		return reply_string(req, "No live-update session active.");
	if (live->asker)
		fail(world, "Cancellation was requested");
	else
		forget_file(live);
	return reply_ok(req);
}

static int start_options(struct live_update *live, const char **arg, size_t n)
{
	live->timeout = 0;
	live->force = false;
	live->version = version_for(live);
	for (size_t i = 0; i < n; i++) {
		uint64_t number;

		if (!strcmp(arg[i], "-F")) {
			live->force = true;
			continue;
		}
		if (i + 1 == n ||
		    args_parse_number(arg[i + 1], UINT32_MAX, &number))
			return EINVAL;
		if (!strcmp(arg[i], "-t"))
			live->timeout = number;
		else if (!strcmp(arg[i], "-v"))
			live->version = number;
		else
			return EINVAL;
		i++;
	}
	return 0;
}

static int begin_check(struct request *req)
{
	struct live_update *live = &req->world->live;
	char path[PATH_MAX];
	uint32_t nobody;
	int err;

	state_path(live, CHECK_FILE, path, sizeof(path));
	err = write_state(req->world, path, NULL, (struct blob){ NULL, 0 },
			  &nobody);
	if (!err)
		err = live->ops->check(live->arg, live->file, path);
	if (err) {
		unlink(path);
		forget_file(live);
		return reply_string(req, "Dump live state failed: %s",
				    strerror(-err));
	}
	live->phase = LIVE_CHECKING;
	live->until = req->world->now + CHECK_MS;
	return OP_HOLD;
}

static int live_start(struct request *req, const char **arg, size_t n)
{
	struct live_update *live = &req->world->live;
	const char *ended = live->ended;
	int err;

	if (ended && live->phase == LIVE_NONE) {
		live->ended = NULL;
		return reply_string(req, "%s", ended);
	}
	if (live->owner != req->session)
		return reply_string(req, "Not in live-update session.");
	if (live->asker)
		return reply_string(req,
				    "live-update session already active.");
	live->ours = file_contains(live->file, LIVE_UPDATE_MARK);
	err = start_options(live, arg, n);
	if (err)
		return err;
	if (!live->version || live->version > STREAM_VERSION_MAX)
		return reply_string(req,
				    "Migration stream version not supported.");
	live->asker = req->session;
	if (live->ours)
		return begin_check(req);
	live->phase = LIVE_WAITING;
	live->until = req->world->now + live->timeout * 1000ull;
	return OP_HOLD;
}

/* The last moment: what is written now is what the successor begins with. */
static int live_go(struct request *req)
{
	struct op_world *world = req->world;
	struct live_update *live = &world->live;
	char *argv[ARGS_MAX + 2], path[PATH_MAX];
	struct {
		struct xsd_sockmsg hdr;
		char text[3];
	} reply = { req->hdr, "OK" };
	uint32_t asker;
	int err;

	reply.hdr.len = sizeof(reply.text);
	command_line(req->ctx, live, argv);
	state_path(live, STATE_FILE, path, sizeof(path));
	err = write_state(world, path, req->session,
			  (struct blob){ &reply, sizeof(reply.hdr) +
						 sizeof(reply.text) },
			  &asker);
	if (err) {
		forget_file(live);
		return reply_string(req, "Dump live state failed: %s",
				    strerror(-err));
	}
	err = live->ops->exec(live->arg, path, asker, argv);
	if (err) {
		unlink(path);
		forget_file(live);
		return reply_string(req, "Error activating new binary.");
	}
	log_info("live update to %s", live->file);
	live->phase = LIVE_LEAVING;
	return OP_HOLD;
}

int control_live_update(struct request *req, const char **arg, size_t n)
{
	struct live_update *live = &req->world->live;

	if (!n || !live->ops)
		return EINVAL;
	if (live->asker == req->session && live->phase == LIVE_READY)
		return live_go(req);
	if (live->asker == req->session && live->phase == LIVE_FAILED) {
		forget_file(live);
		return reply_string(req, "%s", live->why);
	}
	if (!strcmp(arg[0], "-f") && n == 2)
		return live_file(req, arg[1]);
	if (!strcmp(arg[0], "-c") && n == 2)
		return live_cmdline(req, arg[1]);
	if (!strcmp(arg[0], "-a") && n == 1)
		return live_abort(req);
	if (!strcmp(arg[0], "-s"))
		return live_start(req, arg + 1, n - 1);
	return EINVAL;
}
