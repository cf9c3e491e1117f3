/* SPDX-License-Identifier: MIT */
/*
 * Signals. The handler counts, in a table that is the process's, and wakes the loop that watches;
 * the loop then runs the callback in its next turn. The count stands apart from the wake, so a full
 * eventfd or a wake for something else loses no signal.
 */
#include <errno.h>
#include <signal.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "loop/loop.h"

#define SIGNALS 65

/* The handler, which may run in any thread, looks only at what is atomic. */
static struct slot {
    _Atomic(evert_loop *) loop; /* that watches, or NULL */
    atomic_int wake_fd;         /* its eventfd */
    atomic_uint count;
    struct evert__signal_watch *watch; /* that loop's thread alone touches it */
    struct sigaction old;
} slots[SIGNALS];

static void handler(int number)
{
    static const uint64_t one = 1;
    int error = errno;
    if (atomic_load(&slots[number].loop) != NULL) {
        atomic_fetch_add(&slots[number].count, 1);
        (void)evert__sys_write(atomic_load(&slots[number].wake_fd), &one, sizeof(one));
    }
    errno = error;
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
    evert_loop *before = atomic_load(&slot->loop);
    slot->watch = watch;
    atomic_store(&slot->count, 0);
    atomic_store(&slot->wake_fd, loop->wake_fd.number);
    atomic_store(&slot->loop, loop);
    int rc = evert__sys_sigaction(watch->number, &action, before == NULL ? &slot->old : NULL);
    if (rc < 0)
        atomic_store(&slot->loop, NULL);
    watch->loop = rc < 0 ? NULL : loop;
    return rc;
}

void evert__signal_unwatch(struct evert__signal_watch *watch)
{
    if (watch->loop == NULL)
        return;
    struct slot *slot = &slots[watch->number];
    evert__link_remove(&watch->ready.link);
    if (atomic_load(&slot->loop) == watch->loop && slot->watch == watch) {
        evert__sys_sigaction(watch->number, &slot->old, NULL);
        atomic_store(&slot->loop, NULL);
    }
    watch->loop = NULL;
}

void evert__signals_check(evert_loop *loop)
{
    for (int i = 1; i < SIGNALS; i++) {
        if (atomic_load(&slots[i].loop) == loop && atomic_exchange(&slots[i].count, 0) > 0)
            evert__ready_push(loop, &slots[i].watch->ready);
    }
}

/* The watches of the public calls, which have a function each. */
struct callback_watch {
    struct evert__signal_watch watch;
    evert_callback *fn;
    void *arg;
};

static void run(struct evert__ready *ready)
{
    struct callback_watch *c = EVERT__CONTAINER(ready, struct callback_watch, watch.ready);
    c->fn(c->arg);
}

int evert_loop_watch_signal(evert_loop *loop, int signal_number, evert_callback *fn, void *arg)
{
    evert_loop_unwatch_signal(loop, signal_number);
    struct callback_watch *c = evert__alloc_zero(sizeof(*c));
    if (c == NULL)
        return -ENOMEM;
    c->watch.number = signal_number;
    c->watch.ready.run = run;
    c->fn = fn;
    c->arg = arg;
    int rc = evert__signal_watch(loop, &c->watch);
    if (rc < 0)
        evert__free(c);
    return rc;
}

void evert_loop_unwatch_signal(evert_loop *loop, int signal_number)
{
    if (signal_number < 1 || signal_number >= SIGNALS)
        return;
    if (atomic_load(&slots[signal_number].loop) != loop)
        return;
    struct evert__signal_watch *watch = slots[signal_number].watch;
    if (watch->ready.run != run)
        return; /* a watch of the library's own */
    evert__signal_unwatch(watch);
    evert__free(EVERT__CONTAINER(watch, struct callback_watch, watch));
}

void evert__signals_forget(evert_loop *loop)
{
    for (int i = 1; i < SIGNALS; i++)
        evert_loop_unwatch_signal(loop, i);
}
