/* SPDX-License-Identifier: MIT */
#include <evert/coro/await.h>

#include "base/alloc.h"
#include "base/log.h"
#include "coro/wait.h"
#include "deferred/deferred.h"

/* ---- A coroutine awaits a Deferred ---- */

struct await {
    struct evert__waiter waiter;
    struct evert__awaiter awaiter;
};

static void told(struct evert__awaiter *awaiter, int error)
{
    evert__wake(&EVERT__CONTAINER(awaiter, struct await, awaiter)->waiter, error);
}

/*
 * Cancels a Deferred in the middle of a cancellation that walks through the tasks. Its canceller is
 * the program's: as in every callback nothing may wait there, since the tasks that are still to be
 * cancelled have to stay where they are.
 */
static void abandon(evert_loop *loop, evert_deferred *deferred)
{
    struct evert__task *current = loop->current;
    bool begun = evert__loop_begin(loop) == 0;
    loop->current = NULL;
    evert__deferred_abandon(deferred);
    loop->current = current;
    if (begun)
        evert__loop_end(loop);
}

/* The wait has its result before anything is called that could cancel it for a second time. */
static bool stop_awaiting(struct evert__waiter *waiter)
{
    struct await *await = EVERT__CONTAINER(waiter, struct await, waiter);
    evert_deferred *deferred = await->awaiter.deferred;
    evert__awaiter_remove(&await->awaiter);
    evert__wake(waiter, -ECANCELED);
    if (evert__list_empty(&deferred->awaiters))
        abandon(waiter->task->loop, deferred);
    return false;
}

/* Whether the caller may wait for this one; where it is cancelled that is left to evert__wait(). */
static int may_await(evert_deferred *deferred, struct evert__task **ret_self)
{
    int rc = evert__checkpoint(ret_self);
    if (rc < 0 && rc != -ECANCELED)
        return rc;
    if (deferred->is.running) {
        evert__misuse("a Deferred made at %s is awaited in one of its own callbacks",
                      deferred->place);
        return EVERT_ECONTEXT;
    }
    return evert__deferred_seal(deferred);
}

static void wait_for_result(struct evert__task *self, struct await *await, evert_deferred *deferred)
{
    evert__deferred_await(deferred, &await->awaiter);
    if (!await->waiter.done)
        evert__wait(self, &await->waiter);
    else
        evert__completed(self);
    evert__awaiter_remove(&await->awaiter);
}

static evert_result hand_over(evert_deferred *deferred)
{
    evert_result result = deferred->result;
    deferred->is.taken = true;
    deferred->result = evert_ok(NULL);
    return result;
}

static evert_result await_result(evert_deferred *deferred, bool take)
{
    struct await await = {.waiter.cancel = stop_awaiting, .awaiter.tell = told};
    struct evert__task *self;

    int rc = may_await(deferred, &self);
    if (rc < 0)
        return evert_fail(rc);
    wait_for_result(self, &await, deferred);
    if (await.waiter.result < 0)
        return evert_fail(await.waiter.result);
    if (await.awaiter.deferred == NULL)
        return evert_fail(-ECANCELED); /* freed, and the value with it, before this task ran */
    if (deferred->is.taken)
        return evert_fail(EVERT_EALREADY);
    return take ? hand_over(deferred) : evert_ok(deferred->result.value);
}

evert_result evert_await(evert_deferred *deferred)
{
    return await_result(deferred, false);
}

evert_result evert_await_take(evert_deferred *deferred)
{
    return await_result(deferred, true);
}

/* ---- A Deferred of a coroutine ---- */

struct made {
    struct evert_deferred deferred; /* first: the program frees it as any other */
    struct evert__firer firer;
    struct evert__task *task;
    void *value;
};

static struct made *made_of(struct evert__firer *firer)
{
    return EVERT__CONTAINER(firer, struct made, firer);
}

static bool cancel_made(struct evert__firer *firer)
{
    evert__task_cut(made_of(firer)->task);
    return true;
}

static void made_gone(struct evert__firer *firer)
{
    made_of(firer)->task->told = NULL;
}

/* The coroutine has ended, and its task is gone. */
static void fire_made(void *arg, int result)
{
    struct made *made = arg;
    made->deferred.firer = NULL;
    if (result < 0)
        (void)evert__deferred_fire(&made->deferred, evert_fail(result));
    else
        (void)evert__deferred_fire(&made->deferred, evert_ok(made->value));
}

static int make(evert_loop *loop, struct evert__task *task, struct made **ret)
{
    if (evert__loop_running() != loop) {
        int rc = evert__loop_may_begin(loop);
        if (rc < 0)
            return rc;
    }
    struct made *made = evert__alloc(sizeof(*made));
    if (made == NULL)
        return -ENOMEM;
    evert__deferred_init(&made->deferred, task->place);
    made->firer = (struct evert__firer){cancel_made, made_gone};
    made->deferred.firer = &made->firer;
    made->task = task;
    made->value = task->arg;
    task->told = fire_made;
    task->told_arg = made;
    *ret = made;
    return 0;
}

static void start(evert_loop *loop, struct evert__task *task)
{
    bool begun = evert__loop_begin(loop) == 0;
    evert__task_start(task);
    if (begun)
        evert__loop_end(loop);
}

int evert_deferred_from(evert_deferred **ret, evert_loop *loop, evert_coro *coro)
{
    struct evert__task *task;
    struct made *made;
    int rc = evert__loop_or_here(&loop);

    if (rc < 0) {
        evert__coro_drop(coro);
        return rc;
    }
    rc = evert__coro_task(loop, coro, &task);
    if (rc < 0)
        return rc;
    rc = make(loop, task, &made);
    if (rc < 0) {
        evert__task_discard(task);
        return rc;
    }
    start(loop, task);
    *ret = &made->deferred;
    return 0;
}
