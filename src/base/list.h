/* SPDX-License-Identifier: MIT */
/*
 * An intrusive, circular, doubly linked list. A head is a link that stands for the list; a link
 * that is on no list is zeroed, so "is it on one?" can be asked, and taking it off twice is
 * harmless.
 */
#ifndef EVERT_SRC_BASE_LIST_H
#define EVERT_SRC_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct evert__link {
    struct evert__link *next, *prev;
};

/* The struct of type `type` whose member `member` is at `pointer`. */
#define EVERT__CONTAINER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void evert__list_init(struct evert__link *head)
{
    head->next = head->prev = head;
}

static inline bool evert__list_empty(const struct evert__link *head)
{
    return head->next == head;
}

static inline bool evert__link_used(const struct evert__link *link)
{
    return link->next != NULL;
}

static inline void evert__list_append(struct evert__link *head, struct evert__link *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

static inline void evert__link_remove(struct evert__link *link)
{
    if (link->next == NULL)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

/* Takes the first link off a list that has one. Of a lone one nothing has to be read to write. */
static inline void evert__list_remove_first(struct evert__link *head)
{
    struct evert__link *first = head->next, *second = first->next;
    first->next = first->prev = NULL;
    if (second == head) {
        evert__list_init(head);
    } else {
        head->next = second;
        second->prev = head;
    }
}

/* Takes the first link off, or returns NULL. */
static inline struct evert__link *evert__list_shift(struct evert__link *head)
{
    struct evert__link *first = head->next;
    if (first == head)
        return NULL;
    evert__link_remove(first);
    return first;
}

/* Moves all links of `from` to the end of `to`. */
static inline void evert__list_splice(struct evert__link *to, struct evert__link *from)
{
    if (evert__list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    evert__list_init(from);
}

#endif
