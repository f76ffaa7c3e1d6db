/* SPDX-License-Identifier: MIT */
/*
 * For the demo: two clients count in the same node with transactions that
 * collide on purpose, and none of the counts is lost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define NODE "/demo/counter"
#define ROUNDS 3

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Reads the counter inside a transaction. */
static int look(struct xs_handle *xs, xs_transaction_t *t)
{
	unsigned int len;
	char *value;
	int count;

	*t = xs_transaction_start(xs);
	if (*t == XBT_NULL)
		die("xs_transaction_start");
	value = xs_read(xs, *t, NODE, &len);
	if (!value)
		die("xs_read");
	count = atoi(value);
	free(value);
	return count;
}

/* Writes it and commits. 0: somebody else was faster. */
static int finish(struct xs_handle *xs, xs_transaction_t t, int count)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", count);
	if (!xs_write(xs, t, NODE, text, strlen(text)))
		die("xs_write");
	if (xs_transaction_end(xs, t, false))
		return 1;
	if (errno != EAGAIN)
		die("xs_transaction_end");
	return 0;
}

int main(void)
{
	struct xs_handle *anna = xs_open(0), *bert = xs_open(0);
	xs_transaction_t ta, tb;
	int a, b;

	if (!anna || !bert)
		die("xs_open");
	if (!xs_write(anna, XBT_NULL, NODE, "0", 1))
		die("xs_write");
	for (int i = 0; i < ROUNDS; i++) {
		a = look(anna, &ta);
		b = look(bert, &tb);
		printf("    anna reads %d, bert reads %d;", a, b);
		if (!finish(anna, ta, a + 1))
			die("anna");
		printf(" anna commits %d;", a + 1);
		while (!finish(bert, tb, b + 1)) {
			printf(" bert is told EAGAIN, reads again");
			b = look(bert, &tb);
		}
		printf(" and commits %d\n", b + 1);
	}
	xs_close(anna);
	xs_close(bert);
	return 0;
}
