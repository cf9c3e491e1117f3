/* SPDX-License-Identifier: MIT */
/*
 * Timers. They wait in the heap; those that are due move to the ready queue in the order of their
 * deadlines, so that one that sets another for now cannot keep the loop from its other work.
 *
 * Setting one cannot fail, since entering a scope cannot. Where the heap finds no memory to grow,
 * the timer waits on a plain list, which is looked through in each turn until there is room again.
 */
#include "loop/loop.h"

void evert__timer_set(evert_loop *loop, struct evert__timer *timer, evert_time when)
{
    timer->when = when;
    if (when == EVERT_NEVER)
        return;
    if (evert__heap_insert(&loop->timers, &timer->node, when) < 0)
        evert__list_append(&loop->unsorted, &timer->ready.link);
}

void evert__timer_unset(evert_loop *loop, struct evert__timer *timer)
{
    evert__heap_remove(&loop->timers, &timer->node);
    evert__link_remove(&timer->ready.link);
}

static struct evert__timer *timer_of(struct evert__link *link)
{
    return EVERT__CONTAINER(link, struct evert__timer, ready.link);
}

evert_time evert__timers_next(const evert_loop *loop)
{
    const struct evert__heap_entry *first = evert__heap_first(&loop->timers);
    evert_time next = first != NULL ? first->when : EVERT_NEVER;
    for (struct evert__link *l = loop->unsorted.next; l != &loop->unsorted; l = l->next) {
        if (timer_of(l)->when < next)
            next = timer_of(l)->when;
    }
    return next;
}

static void sort_the_unsorted(evert_loop *loop)
{
    struct evert__link waiting, *link;
    evert__list_init(&waiting);
    evert__list_splice(&waiting, &loop->unsorted);
    while ((link = evert__list_shift(&waiting)) != NULL) {
        struct evert__timer *timer = timer_of(link);
        if (timer->when <= loop->now)
            evert__list_append(&loop->ready, link);
        else
            evert__timer_set(loop, timer, timer->when);
    }
}

void evert__timers_expire(evert_loop *loop)
{
    const struct evert__heap_entry *first;
    while ((first = evert__heap_first(&loop->timers)) != NULL && first->when <= loop->now) {
        struct evert__timer *timer = EVERT__CONTAINER(first->node, struct evert__timer, node);
        evert__heap_remove(&loop->timers, first->node);
        evert__list_append(&loop->ready, &timer->ready.link);
    }
    if (!evert__list_empty(&loop->unsorted))
        sort_the_unsorted(loop);
}
