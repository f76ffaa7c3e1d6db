/* SPDX-License-Identifier: MIT */
/*
 * The xs_* functions: build a payload, exchange() it, take the reply apart.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"
#include "exchange.h"
#include "handle.h"
#include "link.h"
#include "public.h"
#include "rejoin.h"

/* Any number in decimal, with sign and NUL. */
#define NUMBER_MAX MAX_STRLEN(unsigned long)

/* Success clears errno: there are callers that look at nothing else. */
static bool succeeded(int err)
{
	errno = err;
	return !err;
}

/* ---- requests of strings ---- */

#define STRINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int ask(struct xs_handle *h, enum xsd_sockmsg_type type,
	       xs_transaction_t t, const char *const *strings,
	       struct reply *reply)
{
	struct request req = { .type = type, .tx = t };

	while (*strings) {
		req.part[req.num++] = (struct iovec){ (void *)*strings,
						      strlen(*strings) + 1 };
		strings++;
	}
	return exchange(h, &req, reply);
}

/* Where the reply says no more than that it was done. */
static int order(struct xs_handle *h, enum xsd_sockmsg_type type,
		 xs_transaction_t t, const char *const *strings)
{
	struct reply reply;
	int err = ask(h, type, t, strings, &reply);

	if (!err)
		free(reply.body);
	return err;
}

/* Where it is a text. */
static char *ask_text(struct xs_handle *h, enum xsd_sockmsg_type type,
		      xs_transaction_t t, const char *const *strings,
		      unsigned int *len)
{
	struct reply reply;
	int err = ask(h, type, t, strings, &reply);

	if (!succeeded(err))
		return NULL;
	if (len)
		*len = reply.len;
	return reply.body;
}

/* Where it is a number. */
static bool ask_number(struct xs_handle *h, enum xsd_sockmsg_type type,
		       const char *const *strings, unsigned int *out)
{
	char *text = ask_text(h, type, XBT_NULL, strings, NULL);

	if (!text)
		return false;
	*out = strtoul(text, NULL, 10);
	free(text);
	return true;
}

static const char *number(char *buf, unsigned long value)
{
	snprintf(buf, NUMBER_MAX, "%lu", value);
	return buf;
}

/* An order whose only string is a domid. */
static bool order_domid(struct xs_handle *h, enum xsd_sockmsg_type type,
			unsigned int domid)
{
	char id[NUMBER_MAX];

	return succeeded(order(h, type, XBT_NULL, STRINGS(number(id, domid))));
}

/* ---- handles ---- */

struct xs_handle *xs_open(unsigned long flags)
{
	struct xs_handle *h = NULL;
	int err, state, ignored;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	err = handle_open(flags, &h);
	pthread_setcancelstate(state, &ignored);
	return succeeded(err) ? h : NULL;
}

struct xs_handle *xs_daemon_open(void)
{
	return xs_open(0);
}

struct xs_handle *xs_daemon_open_readonly(void)
{
	return xs_open(0);
}

struct xs_handle *xs_domain_open(void)
{
	return xs_open(0);
}

void xs_close(struct xs_handle *h)
{
	int state, ignored;

	if (!h)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	handle_close(h);
	pthread_setcancelstate(state, &ignored);
}

void xs_daemon_close(struct xs_handle *h)
{
	xs_close(h);
}

void xs_daemon_destroy_postfork(struct xs_handle *h)
{
	if (h)
		handle_abandon(h);
}

bool xs_restrict(struct xs_handle *h, unsigned int domid)
{
	(void)h;
	(void)domid;
	return false;
}

const char *xs_daemon_rundir(void)
{
	return link_rundir();
}

const char *xs_daemon_socket(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static char last[PATH_MAX];
	char buf[PATH_MAX];
	const char *path = link_socket_path(buf, sizeof(buf));

	if (path != buf)
		return path;
	pthread_mutex_lock(&lock);
	/* Threads that have it already see no change. */
	if (strcmp(last, buf))
		strcpy(last, buf);
	pthread_mutex_unlock(&lock);
	return last;
}

const char *xs_daemon_socket_ro(void)
{
	return xs_daemon_socket();
}

/* ---- nodes ---- */

/* Names, each with its NUL, as one block with pointers to them in front. */
static char **name_array(const char *names, unsigned int len,
			 unsigned int *num)
{
	unsigned int i, count = codec_count_strings(names, len);
	char **array = malloc(count * sizeof(*array) + len + 1);
	char *text;

	if (!array)
		return NULL;
	text = (char *)(array + count);
	memcpy(text, names, len);
	text[len] = '\0';
	for (i = 0; i < count; i++) {
		array[i] = text;
		text += strlen(text) + 1;
	}
	*num = count;
	return array;
}

/* How often it may begin again because the node has changed. */
#define LISTING_RESTARTS 8

/* A listing that arrives in parts. */
struct listing {
	char *names;
	unsigned int len;
	char generation[NUMBER_MAX];	/* of the node; "" before a part came */
	unsigned int restarts;
};

static void listing_free(void *arg)
{
	struct listing *list = arg;

	free(list->names);
}

/*
 * Adds one reply of DIRECTORY_PART, "generation NUL names", of which the last
 * has a NUL of its own behind the last name. EAGAIN: there is more.
 */
static int listing_add(struct listing *list, const char *body,
		       unsigned int len)
{
	unsigned int head = strnlen(body, len) + 1;
	char *grown;

	if (head > len || head > sizeof(list->generation))
		return EINVAL;
	if (*list->generation && strcmp(list->generation, body)) {
		/* The node has changed: what we have fits no more. */
		list->len = 0;
		*list->generation = '\0';
		list->restarts++;
		return EAGAIN;
	}
	strcpy(list->generation, body);
	body += head;
	len -= head;
	if (!len)
		return EINVAL;
	grown = realloc(list->names, list->len + len);
	if (!grown)
		return ENOMEM;
	list->names = grown;
	memcpy(list->names + list->len, body, len);
	list->len += len;
	if (len > 1 && (body[len - 1] || body[len - 2]))
		return body[len - 1] ? EINVAL : EAGAIN;
	list->len--;
	return 0;
}

/* Without a transaction EAGAIN: the node changes faster than it is listed. */
static int list_in_parts(struct xs_handle *h, xs_transaction_t t,
			 const char *path, struct listing *list)
{
	char offset[NUMBER_MAX];
	struct reply reply;
	int err;

	pthread_cleanup_push(listing_free, list);
	do {
		err = ask(h, XS_DIRECTORY_PART, t,
			  STRINGS(path, number(offset, list->len)), &reply);
		if (err)
			break;
		err = listing_add(list, reply.body, reply.len);
		free(reply.body);
	} while (err == EAGAIN &&
		 (t != XBT_NULL || list->restarts <= LISTING_RESTARTS));
	pthread_cleanup_pop(0);
	/* A daemon without parts could only say that it does not fit. */
	return err == ENOSYS ? E2BIG : err;
}

/*
 * Nothing changes in a transaction: nobody can keep us busy for ever with a
 * node of his. After a cancellation it goes with the connection.
 */
static int list_in_transaction(struct xs_handle *h, const char *path,
			       struct listing *list)
{
	xs_transaction_t t = xs_transaction_start(h);
	int err;

	if (t == XBT_NULL)
		return errno;
	err = list_in_parts(h, t, path, list);
	xs_transaction_end(h, t, true);
	return err;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t,
		    const char *path, unsigned int *num)
{
	struct listing list = { 0 };
	struct reply reply;
	char **array = NULL;
	int err;

	err = ask(h, XS_DIRECTORY, t, STRINGS(path), &reply);
	if (!err) {
		list.names = reply.body;
		list.len = reply.len;
	} else if (err == E2BIG) {
		err = list_in_parts(h, t, path, &list);
		if (err == EAGAIN)
			err = list_in_transaction(h, path, &list);
		/* It was the answer that did not fit, not the list. */
		if (err == EBADF)
			err = E2BIG;
	}
	if (!err) {
		array = name_array(list.names, list.len, num);
		if (!array)
			err = ENOMEM;
	}
	free(list.names);
	return succeeded(err) ? array : NULL;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
	      unsigned int *len)
{
	return ask_text(h, XS_READ, t, STRINGS(path), len);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
	      const void *data, unsigned int len)
{
	struct request req = {
		.type = XS_WRITE, .tx = t, .num = 2,
		.part = { { (void *)path, strlen(path) + 1 },
			  { (void *)data, len } },
	};
	struct reply reply;
	int err = exchange(h, &req, &reply);

	if (!err)
		free(reply.body);
	return succeeded(err);
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	return succeeded(order(h, XS_MKDIR, t, STRINGS(path)));
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	return succeeded(order(h, XS_RM, t, STRINGS(path)));
}

/* ---- permissions ---- */

static int parse_perms(const char *strings, unsigned int num,
		       struct xs_permissions *perms)
{
	unsigned int i;
	int err;

	for (i = 0; i < num; i++) {
		err = codec_perm_parse(strings, &perms[i]);
		if (err)
			return err;
		strings += strlen(strings) + 1;
	}
	return 0;
}

bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num,
			 const char *strings)
{
	return succeeded(parse_perms(strings, num, perms));
}

struct xs_permissions *xs_get_permissions(struct xs_handle *h,
					  xs_transaction_t t,
					  const char *path, unsigned int *num)
{
	struct xs_permissions *perms = NULL;
	unsigned int count;
	struct reply reply;
	int err;

	err = ask(h, XS_GET_PERMS, t, STRINGS(path), &reply);
	if (!succeeded(err))
		return NULL;
	count = codec_count_strings(reply.body, reply.len);
	if (!count || reply.body[reply.len - 1]) {
		err = EINVAL;
	} else {
		perms = malloc(count * sizeof(*perms));
		err = perms ? parse_perms(reply.body, count, perms) : ENOMEM;
	}
	free(reply.body);
	if (!succeeded(err)) {
		free(perms);
		return NULL;
	}
	*num = count;
	return perms;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t,
			const char *path, struct xs_permissions *perms,
			unsigned int num_perms)
{
	char text[XENSTORE_PAYLOAD_MAX];
	struct request req = {
		.type = XS_SET_PERMS, .tx = t, .num = 2,
		.part = { { (void *)path, strlen(path) + 1 }, { text, 0 } },
	};
	size_t *len = &req.part[1].iov_len;
	struct reply reply;
	unsigned int i;
	int err = 0;

	for (i = 0; i < num_perms && !err; i++) {
		if (*len + CODEC_PERM_MAX > sizeof(text)) {
			err = E2BIG;
			break;
		}
		err = codec_perm_format(&perms[i], text + *len);
		if (!err)
			*len += strlen(text + *len) + 1;
	}
	if (!err)
		err = exchange(h, &req, &reply);
	if (!err)
		free(reply.body);
	return succeeded(err);
}

/* ---- watches ---- */

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	return succeeded(order(h, XS_WATCH, XBT_NULL, STRINGS(path, token)));
}

bool xs_watch_depth(struct xs_handle *h, const char *path, const char *token,
		    unsigned int depth)
{
	unsigned int features;
	char levels[NUMBER_MAX];

	if (!xs_get_features_supported(h, &features))
		return false;
	if (!(features & XENSTORE_SERVER_FEATURE_WATCHDEPTH))
		return succeeded(ENOSYS);
	return succeeded(order(h, XS_WATCH, XBT_NULL,
			       STRINGS(path, token, number(levels, depth))));
}

bool xs_watch_try_depth(struct xs_handle *h, const char *path,
			const char *token, unsigned int depth)
{
	return xs_watch_depth(h, path, token, depth) ||
	       xs_watch(h, path, token);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	return succeeded(order(h, XS_UNWATCH, XBT_NULL, STRINGS(path, token)));
}

int xs_fileno(struct xs_handle *h)
{
	struct waiter w;
	int fd;

	handle_enter(h, &w);
	fd = events_fileno(&h->events,
			   h->state == LINK_UP ? h->link.fd : -1,
			   h->rejoin != NULL);
	if (h->state == LINK_DOWN)
		events_alarm(&h->events, rejoin_delay(h));
	handle_leave(h, &w);
	return fd;
}

static char **next_event(struct xs_handle *h, bool wait, unsigned int *num)
{
	struct event *event;
	int err = exchange_event(h, wait, &event);

	if (!succeeded(err))
		return NULL;
	if (num)
		*num = event->num;
	return event_release(event);
}

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
	return next_event(h, true, num);
}

char **xs_check_watch(struct xs_handle *h)
{
	return next_event(h, false, NULL);
}

bool xs_path_is_subpath(const char *parent, const char *child)
{
	size_t len = strlen(parent);

	return !strncmp(parent, child, len) &&
	       (child[len] == '/' || child[len] == '\0');
}

/* ---- transactions ---- */

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	xs_transaction_t id;
	struct reply reply;
	struct waiter w;
	int err;

	err = ask(h, XS_TRANSACTION_START, XBT_NULL, STRINGS(""), &reply);
	if (!succeeded(err))
		return XBT_NULL;
	id = strtoul(reply.body, NULL, 0);
	free(reply.body);
	if (!id) {
		errno = EINVAL;
	} else if (h->rejoin) {
		handle_enter(h, &w);
		id = rejoin_tx_add(h->rejoin, id, reply.epoch);
		handle_leave(h, &w);
		if (!id)
			errno = ENOMEM;
	}
	return id;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	int err = order(h, XS_TRANSACTION_END, t, STRINGS(abort ? "F" : "T"));

	/* Only of one that went with its connection: it is aborted. */
	if (abort && err == EAGAIN)
		err = 0;
	return succeeded(err);
}

/* ---- domains ---- */

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid,
			 unsigned long mfn, unsigned int eventchn)
{
	char id[NUMBER_MAX], frame[NUMBER_MAX], port[NUMBER_MAX];

	return succeeded(order(h, XS_INTRODUCE, XBT_NULL,
			       STRINGS(number(id, domid), number(frame, mfn),
				       number(port, eventchn))));
}

bool xs_set_target(struct xs_handle *h, unsigned int domid,
		   unsigned int target)
{
	char id[NUMBER_MAX], other[NUMBER_MAX];

	return succeeded(order(h, XS_SET_TARGET, XBT_NULL,
			       STRINGS(number(id, domid),
				       number(other, target))));
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
	return order_domid(h, XS_RESUME, domid);
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
	return order_domid(h, XS_RELEASE, domid);
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
	char id[NUMBER_MAX], *answer;
	bool introduced;

	answer = ask_text(h, XS_IS_DOMAIN_INTRODUCED, XBT_NULL,
			  STRINGS(number(id, domid)), NULL);
	if (!answer)
		return false;
	introduced = strcmp(answer, "F") != 0;
	free(answer);
	return introduced;
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
	char id[NUMBER_MAX];

	return ask_text(h, XS_GET_DOMAIN_PATH, XBT_NULL,
			STRINGS(number(id, domid)), NULL);
}

int xs_suspend_evtchn_port(int domid)
{
	char path[sizeof("/local/domain//device/suspend/event-channel") +
		  MAX_STRLEN(domid)];
	struct xs_handle *h = xs_open(0);
	unsigned int len;
	int port = -1, state, ignored;
	char *text;

	if (!h)
		return -1;
	snprintf(path, sizeof(path),
		 "/local/domain/%d/device/suspend/event-channel", domid);
	/* The handle is on nobody's list: a cancellation would leak it. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	text = xs_read(h, XBT_NULL, path, &len);
	if (text && len)
		port = atoi(text);
	free(text);
	xs_close(h);
	pthread_setcancelstate(state, &ignored);
	return port;
}

/* ---- the daemon itself ---- */

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data,
			 unsigned int len)
{
	struct request req = {
		.type = XS_CONTROL, .num = 2,
		.part = { { (void *)cmd, strlen(cmd) + 1 }, { data, len } },
	};
	struct reply reply;
	int err = exchange(h, &req, &reply);

	return succeeded(err) ? reply.body : NULL;
}

char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data,
		       unsigned int len)
{
	return xs_control_command(h, cmd, data, len);
}

bool xs_write_all(int fd, const void *data, unsigned int len)
{
	const char *p = data;
	ssize_t done;

	while (len) {
		done = write(fd, p, len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		len -= done;
	}
	return true;
}

/* ---- features and quotas ---- */

/*
 * For a request without payload. oxenstored 4.17, which knows neither of
 * those we have, does not answer before the next request comes; so first see
 * with `harmless` whether the daemon knows the type at all.
 */
static bool knows_type(struct xs_handle *h, enum xsd_sockmsg_type type,
		       const char *harmless)
{
	int err = order(h, type, XBT_NULL, STRINGS(harmless));

	return succeeded(err == ENOSYS ? ENOSYS : 0);
}

/*
 * Asked once for a connection: after a renewal (XS_OPEN_RECONNECT) it may be
 * another daemon.
 */
bool xs_get_features_supported(struct xs_handle *h, unsigned int *features)
{
	bool known;
	struct waiter w;

	handle_enter(h, &w);
	known = h->features_known;
	if (known)
		*features = h->features;
	handle_leave(h, &w);
	if (known)
		return true;
	if (!knows_type(h, XS_GET_FEATURE, "0") ||
	    !ask_number(h, XS_GET_FEATURE, STRINGS(NULL), features))
		return false;
	handle_enter(h, &w);
	h->features = *features;
	h->features_known = true;
	handle_leave(h, &w);
	return true;
}

bool xs_get_features_domain(struct xs_handle *h, unsigned int domid,
			    unsigned int *features)
{
	char id[NUMBER_MAX];

	return ask_number(h, XS_GET_FEATURE, STRINGS(number(id, domid)),
			  features);
}

bool xs_set_features_domain(struct xs_handle *h, unsigned int domid,
			    unsigned int features)
{
	char id[NUMBER_MAX], bits[NUMBER_MAX];

	return succeeded(order(h, XS_SET_FEATURE, XBT_NULL,
			       STRINGS(number(id, domid),
				       number(bits, features))));
}

const char **xs_get_quota_names(struct xs_handle *h, unsigned int *num)
{
	unsigned int len, i;
	char *text, **names;

	if (!knows_type(h, XS_GET_QUOTA, "nodes"))
		return NULL;
	text = ask_text(h, XS_GET_QUOTA, XBT_NULL, STRINGS(NULL), &len);
	if (!text)
		return NULL;
	len = strlen(text);
	for (i = 0; i < len; i++)
		if (text[i] == ' ')
			text[i] = '\0';
	names = name_array(text, len + 1, num);
	free(text);
	if (!names)
		errno = ENOMEM;
	return (const char **)names;
}

bool xs_get_global_quota(struct xs_handle *h, const char *quota,
			 unsigned int *value)
{
	return ask_number(h, XS_GET_QUOTA, STRINGS(quota), value);
}

bool xs_set_global_quota(struct xs_handle *h, const char *quota,
			 unsigned int value)
{
	char text[NUMBER_MAX];

	return succeeded(order(h, XS_SET_QUOTA, XBT_NULL,
			       STRINGS(quota, number(text, value))));
}

bool xs_get_domain_quota(struct xs_handle *h, unsigned int domid,
			 const char *quota, unsigned int *value)
{
	char id[NUMBER_MAX];

	return ask_number(h, XS_GET_QUOTA, STRINGS(number(id, domid), quota),
			  value);
}

bool xs_set_domain_quota(struct xs_handle *h, unsigned int domid,
			 const char *quota, unsigned int value)
{
	char id[NUMBER_MAX], text[NUMBER_MAX];

	return succeeded(order(h, XS_SET_QUOTA, XBT_NULL,
			       STRINGS(number(id, domid), quota,
				       number(text, value))));
}
