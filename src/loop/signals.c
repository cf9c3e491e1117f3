/* SPDX-License-Identifier: MIT */
/*
 * Signals. The handler counts, in a table that is the process's, and wakes the loop that watches;
 * the loop then runs the callback in its next turn. The count stands apart from the wake, so a full
 * eventfd or a wake for something else loses no signal.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "loop/loop.h"

#define SIGNALS 65

/*
 * The handler, which may run in any thread, looks only at what is atomic; all else is under the
 * process's lock, since loops of several threads may want the same signal.
 */
static struct slot {
    _Atomic(evert_loop *) loop; /* that watches, or NULL */
    atomic_uint birth;          /* of the process that it watches in */
    atomic_int wake_fd;         /* its eventfd */
    atomic_uint count;
    atomic_uint inside; /* handlers that run now: until then no eventfd may be closed */
    struct evert__signal_watch *watch;
    struct sigaction old;
} slots[SIGNALS];

static void count(struct slot *slot)
{
    static const uint64_t one = 1;
    atomic_fetch_add(&slot->inside, 1);
    if (atomic_load(&slot->loop) != NULL) {
        atomic_fetch_add(&slot->count, 1);
        (void)evert__sys_write(atomic_load(&slot->wake_fd), &one, sizeof(one));
    }
    atomic_fetch_sub(&slot->inside, 1);
}

/*
 * In a child of a fork the watch is its parent's, and so is the loop that would be woken. What the
 * signal would have done without the watch is what it does.
 */
static void pass_on(int number, const struct slot *slot)
{
    (void)evert__sys_sigaction(number, &slot->old, NULL);
    (void)evert__sys_thread_kill(pthread_self(), number); /* it comes when the handler returns */
}

static void handler(int number)
{
    struct slot *slot = &slots[number];
    int error = errno;
    if (atomic_load(&slot->birth) == evert__fork_birth())
        count(slot);
    else
        pass_on(number, slot);
    errno = error;
}

/* What was there before the first watch; `now` is what the new watch found. */
static void remember_old(struct slot *slot, const struct sigaction *now, bool first)
{
    if (first && now->sa_handler != handler)
        slot->old = *now;
}

int evert__signal_watch(evert_loop *loop, struct evert__signal_watch *watch)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    if (watch->number < 1 || watch->number >= SIGNALS)
        return -EINVAL;
    if (watch->once)
        action.sa_flags |= (int)SA_RESETHAND;
    sigfillset(&action.sa_mask);

    struct slot *slot = &slots[watch->number];
    struct sigaction now;
    evert__process_lock();
    bool inherited = atomic_load(&slot->birth) != loop->birth;
    bool first = inherited || atomic_load(&slot->loop) == NULL;
    if (first)
        atomic_store(&slot->count, 0);
    if (inherited)
        atomic_store(&slot->inside, 0); /* those ran in threads of the parent's */
    slot->watch = watch;
    atomic_store(&slot->wake_fd, loop->wake_fd.number);
    atomic_store(&slot->birth, loop->birth);
    atomic_store(&slot->loop, loop);
    int rc = evert__sys_sigaction(watch->number, &action, &now);
    if (rc == 0)
        remember_old(slot, &now, first);
    else
        atomic_store(&slot->loop, NULL);
    watch->loop = rc < 0 ? NULL : loop;
    evert__process_unlock();
    if (!first)
        evert__loop_wake(loop); /* one that came just now may have woken the loop before */
    return rc;
}

/* Handlers that run in other threads may still write to the eventfd of a loop that had the signal.
 */
static void wait_for_handlers(const struct slot *slot)
{
    while (atomic_load(&slot->inside) > 0)
        sched_yield();
}

void evert__signal_unwatch(struct evert__signal_watch *watch)
{
    if (watch->loop == NULL)
        return;
    struct slot *slot = &slots[watch->number];
    evert__link_remove(&watch->ready.link);
    evert__process_lock();
    if (atomic_load(&slot->loop) == watch->loop && slot->watch == watch) {
        evert__sys_sigaction(watch->number, &slot->old, NULL);
        atomic_store(&slot->loop, NULL);
    }
    evert__process_unlock();
    if (!evert__loop_forked(watch->loop))
        wait_for_handlers(slot);
    watch->loop = NULL;
}

void evert__signals_check(evert_loop *loop)
{
    for (int i = 1; i < SIGNALS; i++) {
        if (atomic_load(&slots[i].loop) != loop || atomic_load(&slots[i].count) == 0)
            continue;
        evert__process_lock();
        if (atomic_load(&slots[i].loop) == loop && atomic_exchange(&slots[i].count, 0) > 0)
            evert__ready_push(loop, &slots[i].watch->ready);
        evert__process_unlock();
    }
}

/* The watches of the public calls, which have a function each. */
struct callback_watch {
    struct evert__signal_watch watch;
    struct evert__link link; /* on its loop's list, also when another loop has the signal by now */
    evert_callback *fn;
    void *arg;
};

static void run(struct evert__ready *ready)
{
    struct callback_watch *c = EVERT__CONTAINER(ready, struct callback_watch, watch.ready);
    c->fn(c->arg);
}

static struct callback_watch *callback_watch_of(evert_loop *loop, int number)
{
    for (struct evert__link *l = loop->watches.next; l != &loop->watches; l = l->next) {
        struct callback_watch *c = EVERT__CONTAINER(l, struct callback_watch, link);
        if (c->watch.number == number)
            return c;
    }
    return NULL;
}

static void free_callback_watch(struct callback_watch *c)
{
    if (c == NULL)
        return;
    evert__signal_unwatch(&c->watch);
    evert__link_remove(&c->link);
    evert__free(c);
}

int evert_loop_watch_signal(evert_loop *loop, int signal_number, evert_callback *fn, void *arg)
{
    int rc = evert__loop_usable(loop, "evert_loop_watch_signal", "evert_loop_call_threadsafe");
    if (rc < 0)
        return rc;
    struct callback_watch *before = callback_watch_of(loop, signal_number);
    struct callback_watch *c = evert__alloc_zero(sizeof(*c));
    if (c == NULL)
        return -ENOMEM;
    c->watch.number = signal_number;
    c->watch.ready.run = run;
    c->fn = fn;
    c->arg = arg;
    rc = evert__signal_watch(loop, &c->watch);
    if (rc < 0) {
        evert__free(c);
        return rc;
    }
    free_callback_watch(before); /* only now, so that no signal has its default action between */
    evert__list_append(&loop->watches, &c->link);
    return 0;
}

void evert_loop_unwatch_signal(evert_loop *loop, int signal_number)
{
    if (evert__loop_usable(loop, "evert_loop_unwatch_signal", "evert_loop_call_threadsafe") == 0)
        free_callback_watch(callback_watch_of(loop, signal_number));
}

void evert__signals_forget(evert_loop *loop)
{
    while (!evert__list_empty(&loop->watches))
        free_callback_watch(EVERT__CONTAINER(loop->watches.next, struct callback_watch, link));
}
