/* SPDX-License-Identifier: MIT */
#include "observer.h"

#include <stdio.h>
#include <string.h>

#include "actor.h"

#define LOG "/shared/log"

/* The removal of a log is a line, too. */
static void line(struct observer *observer, unsigned int number, uint32_t n)
{
	uint32_t next = observer->seen[number] + 1;

	if (n != next)
		fail(&observer->client, "line %u of actor %u came, not line %u",
		     n, number, next);
	observer->seen[number] = n;
}

static void on_event(struct client *client, const char *path, const char *token)
{
	struct observer *observer = (struct observer *)client;
	unsigned int number, n;

	(void)token;
	if (!strcmp(path, LOG) && !observer->watches) {
		observer->watches = true;
		return;
	}
	switch (sscanf(path, LOG "/%u/%u", &number, &n)) {
	case 1:
		n = observer->seen[number % OBSERVED] + 1;
		if (n % LOG_LENGTH) {
			fail(client, "the log of actor %u is removed at %u",
			     number, n);
			return;
		}
		break;
	case 2:
		break;
	default:
		fail(client, "an event for %s", path);
		return;
	}
	line(observer, number % OBSERVED, n);
}

void observer_init(struct observer *observer, struct guest *guest)
{
	client_init(&observer->client, "observer");
	memset(observer->seen, 0, sizeof(observer->seen));
	observer->watches = false;
	observer->client.on_event = on_event;
	link_attach(&observer->client.link, guest);
	client_send(&observer->client, XS_WATCH, 0, LOG "\0log",
		    sizeof(LOG "\0log"));
}

void observer_check(struct observer *observer, unsigned int number,
		    uint32_t last)
{
	if (observer->seen[number] != last)
		fail(&observer->client, "actor %u wrote %u lines, %u were "
		     "heard of", number, last, observer->seen[number]);
}
