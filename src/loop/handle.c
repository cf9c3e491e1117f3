/* SPDX-License-Identifier: MIT */
/* The public calls that have a function called by the loop, and their handles. */
#include "base/alloc.h"
#include "base/flat.h"
#include "base/time.h"
#include "loop/loop.h"
#include "loop/watch.h"

#include <evert/base/error.h>

/* What lies in an evert_handle. */
struct handle {
    struct evert__timer timer;
    evert_loop *loop; /* NULL when it waits for nothing */
    evert_callback *fn;
    void *arg;
    bool owned; /* by the library */
} __attribute__((may_alias));

_Static_assert(sizeof(struct handle) <= sizeof(evert_handle), "an evert_handle is too small");

static void run(struct evert__ready *ready)
{
    struct handle *handle = EVERT__CONTAINER(ready, struct handle, timer.ready);
    evert_callback *fn = handle->fn;
    void *arg = handle->arg;
    handle->loop = NULL;
    if (handle->owned)
        evert__free(handle);
    fn(arg);
}

EVERT__RETURNS static int prepare(evert_loop *loop, evert_handle *given, evert_callback *fn,
                                  void *arg, const char *call, struct handle **ret)
{
    struct handle *handle = (struct handle *)given;
    int rc = evert__loop_usable(loop, call, "evert_loop_call_threadsafe");
    if (rc < 0)
        return rc;
    if (handle == NULL) {
        handle = evert__alloc_zero(sizeof(*handle));
        if (handle == NULL)
            return -ENOMEM;
        handle->owned = true;
    } else if (handle->loop != NULL) {
        return EVERT_EALREADY;
    }
    handle->timer.ready.run = run;
    handle->loop = loop;
    handle->fn = fn;
    handle->arg = arg;
    *ret = handle;
    return 0;
}

EVERT__RETURNS int evert_loop_call_soon(evert_loop *loop, evert_handle *given, evert_callback *fn,
                                        void *arg)
{
    struct handle *handle;
    int rc = prepare(loop, given, fn, arg, "evert_loop_call_soon", &handle);
    if (rc == 0)
        evert__ready_push(loop, &handle->timer.ready);
    return rc;
}

EVERT__RETURNS int evert_loop_call_at(evert_loop *loop, evert_handle *given, evert_time when,
                                      evert_callback *fn, void *arg)
{
    struct handle *handle;
    if (given == NULL && when == EVERT_NEVER)
        return 0; /* it cannot be cancelled either, so nothing has to be kept of it */
    int rc = prepare(loop, given, fn, arg, "evert_loop_call_at", &handle);
    if (rc == 0)
        evert__timer_set(loop, &handle->timer, when);
    return rc;
}

EVERT__RETURNS void evert_handle_cancel(evert_handle *given)
{
    struct handle *handle = (struct handle *)given;
    if (handle->loop == NULL)
        return;
    /* One that is not set may have a loop that was freed. */
    if (evert__timer_is_set(&handle->timer) &&
        evert__loop_usable(handle->loop, "evert_handle_cancel", NULL) < 0)
        return;
    evert__timer_unset(handle->loop, &handle->timer);
    handle->loop = NULL;
}

/* A call from another thread: on the heap, since its place there has to outlive the asking. */
struct call {
    struct evert__ready ready;
    evert_callback *fn;
    void *arg;
};

static void run_call(struct evert__ready *ready)
{
    struct call *call = EVERT__CONTAINER(ready, struct call, ready);
    evert_callback *fn = call->fn;
    void *arg = call->arg;
    evert__free(call);
    fn(arg);
}

int evert_loop_call_threadsafe(evert_loop *loop, evert_callback *fn, void *arg)
{
    struct call *call = evert__alloc(sizeof(*call));
    if (call == NULL)
        return -ENOMEM;
    *call = (struct call){.ready.run = run_call, .fn = fn, .arg = arg};
    int rc = evert__loop_post(loop, &call->ready);
    if (rc < 0)
        evert__free(call);
    return rc;
}

const void *evert__handle_fn(const struct evert__ready *ready)
{
    evert_callback *fn = NULL;
    if (ready->run == run_call)
        fn = EVERT__CONTAINER(ready, struct call, ready)->fn;
    else if (ready->run == run)
        fn = EVERT__CONTAINER(ready, struct handle, timer.ready)->fn;
    return (const void *)(uintptr_t)fn;
}

static void forget(struct evert__ready *ready)
{
    if (ready->run == run_call)
        evert__free(EVERT__CONTAINER(ready, struct call, ready));
    else if (ready->run == run && EVERT__CONTAINER(ready, struct handle, timer.ready)->owned)
        evert__free(EVERT__CONTAINER(ready, struct handle, timer.ready));
}

static void forget_all(struct evert__link *list)
{
    struct evert__link *link;
    while ((link = evert__list_shift(list)) != NULL)
        forget(EVERT__CONTAINER(link, struct evert__ready, link));
}

void evert__handles_forget(evert_loop *loop)
{
    const struct evert__heap_entry *first;
    forget_all(&loop->ready);
    forget_all(&loop->unsorted);
    evert__calls_close(loop);
    forget_all(&loop->calls);
    while ((first = evert__heap_first(&loop->timers)) != NULL) {
        struct evert__timer *timer = EVERT__CONTAINER(first->node, struct evert__timer, node);
        evert__heap_remove(&loop->timers, first->node);
        forget(&timer->ready);
    }
}
