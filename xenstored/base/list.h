/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked lists, circular, with the list head as sentinel.
 *
 * A node that is on no list points to itself (list_init), so list_del() may
 * be called twice and a destructor need not know whether it was linked.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define list_entry(ptr, type, member)                                          \
	((type *)((char *)(ptr)-offsetof(type, member)))

#define list_first(head, type, member)                                         \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))

#define list_for_each(pos, head, member)                                       \
	for (pos = list_entry((head)->next, __typeof__(*pos), member);         \
	     &pos->member != (head);                                           \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* The current entry may be removed in the body, no other. */
#define list_for_each_safe(pos, tmp, head, member)                             \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),         \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member);      \
	     &pos->member != (head);                                           \
	     pos = tmp,                                                        \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_before(struct list *pos, struct list *item)
{
	item->prev = pos->prev;
	item->next = pos;
	pos->prev->next = item;
	pos->prev = item;
}

static inline void list_add_tail(struct list *head, struct list *item)
{
	list_insert_before(head, item);
}

static inline void list_add_head(struct list *head, struct list *item)
{
	list_insert_before(head->next, item);
}

static inline void list_del(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

#endif
