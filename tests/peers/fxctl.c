/* SPDX-License-Identifier: MIT */
/*
 * What a toolstack or the hypervisor does to domains, for shell tests.
 *
 *   fxctl wait SOCKET [SECONDS]   until a xenstored answers there (10 s)
 *   fxctl create DOMID            the domain exists, its ring page is clear
 *   fxctl shutdown|dying|gone DOMID
 *
 * The domains live in $FAKEXEN_DIR. Exit status 0, or 1 with a line why.
 */
#include "fakexen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int answers(const char *path)
{
	struct {
		struct xsd_sockmsg hdr;
		char path[2];
	} req = {{XS_DIRECTORY, 0, 0, 2}, "/"};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 1};
	struct xsd_sockmsg hdr;
	int fd, ok;

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ok = !connect(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
	     send(fd, &req, sizeof(req.hdr) + 2, MSG_NOSIGNAL) > 0 &&
	     recv(fd, &hdr, sizeof(hdr), MSG_WAITALL) == sizeof(hdr);
	close(fd);
	return ok;
}

static int wait_for(const char *path, int seconds)
{
	int tries;

	for (tries = 0; tries < seconds * 100; tries++) {
		if (answers(path))
			return 0;
		usleep(10000);
	}
	fprintf(stderr, "fxctl: nobody answers at %s\n", path);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint32_t flags;
	} change[] = {
		{"shutdown", FX_EXIST | FX_SHUTDOWN},
		{"dying", FX_EXIST | FX_DYING},
		{"gone", 0},
	};
	struct fx_state *st;
	unsigned int domid, i;

	if (argc < 3) {
		fprintf(stderr, "usage: fxctl wait SOCKET | "
				"create|shutdown|dying|gone DOMID\n");
		return 1;
	}
	if (!strcmp(argv[1], "wait"))
		return wait_for(argv[2], argc > 3 ? atoi(argv[3]) : 10);

	domid = strtoul(argv[2], NULL, 10);
	st = fx_state();
	if (!st || !domid || domid >= FX_NDOM) {
		fprintf(stderr, "fxctl: domain %u: %s\n", domid,
			strerror(st ? EINVAL : errno));
		return 1;
	}
	if (!strcmp(argv[1], "create")) {
		memset(fx_page(domid), 0, FX_PAGE);
		fx_dom_create(st, domid);
		return 0;
	}
	for (i = 0; i < sizeof(change) / sizeof(*change); i++) {
		if (strcmp(argv[1], change[i].name))
			continue;
		fx_dom_change(st, fx_evtchn_open(), domid, change[i].flags);
		return 0;
	}
	fprintf(stderr, "fxctl: %s?\n", argv[1]);
	return 1;
}
