/* SPDX-License-Identifier: MIT */
/*
 * Timers. They wait in the heap; those that are due move to the ready queue in the order of their
 * deadlines, so that one that sets another for now cannot keep the loop from its other work.
 *
 * Setting one cannot fail, since entering a scope cannot. Where the heap finds no memory to grow,
 * the timer waits on a plain list, kept in order, until a turn finds room again.
 */
#include "base/flat.h"
#include "loop/loop.h"

static struct evert__timer *timer_of(struct evert__link *link)
{
    return EVERT__CONTAINER(link, struct evert__timer, ready.link);
}

/* Behind those that are due earlier or at the same time. */
static void put_unsorted(evert_loop *loop, struct evert__timer *timer)
{
    struct evert__link *at = &loop->unsorted;
    while (at->prev != &loop->unsorted && timer_of(at->prev)->when > timer->when)
        at = at->prev;
    evert__list_append(at, &timer->ready.link);
}

EVERT__RETURNS void evert__timer_set(evert_loop *loop, struct evert__timer *timer, evert_time when)
{
    timer->when = when;
    if (when == EVERT_NEVER)
        return;
    /* Behind one without room none goes into the heap, so that equal times keep their order. */
    if (!evert__list_empty(&loop->unsorted) ||
        evert__heap_insert(&loop->timers, &timer->node, when) < 0)
        put_unsorted(loop, timer);
}

EVERT__RETURNS EVERT__HOT void evert__timer_take_out(evert_loop *loop, struct evert__timer *timer)
{
    evert__heap_remove(&loop->timers, &timer->node);
    evert__link_remove(&timer->ready.link);
}

EVERT__HOT evert_time evert__timers_next(const evert_loop *loop)
{
    const struct evert__heap_entry *first = evert__heap_first(&loop->timers);
    evert_time next = first != NULL ? first->when : EVERT_NEVER;
    if (!evert__list_empty(&loop->unsorted) && timer_of(loop->unsorted.next)->when < next)
        next = timer_of(loop->unsorted.next)->when;
    return next;
}

/* Takes the first that is due from the heap or from the list, or returns NULL. */
static struct evert__timer *next_due(evert_loop *loop)
{
    evert_time next = evert__timers_next(loop);
    const struct evert__heap_entry *first = evert__heap_first(&loop->timers);
    if (next > loop->now)
        return NULL;
    if (first == NULL || first->when > next)
        return timer_of(evert__list_shift(&loop->unsorted));
    struct evert__timer *timer = EVERT__CONTAINER(first->node, struct evert__timer, node);
    evert__heap_remove(&loop->timers, first->node);
    return timer;
}

EVERT__HOT void evert__timers_expire(evert_loop *loop)
{
    struct evert__timer *timer;
    while ((timer = next_due(loop)) != NULL) {
        evert__list_append(&loop->ready, &timer->ready.link);
        loop->alarm.waits = 0;
    }
    while (!evert__list_empty(&loop->unsorted)) {
        timer = timer_of(loop->unsorted.next);
        if (evert__heap_insert(&loop->timers, &timer->node, timer->when) < 0)
            break;
        evert__link_remove(&timer->ready.link);
    }
}
