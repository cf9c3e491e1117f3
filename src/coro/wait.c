/* SPDX-License-Identifier: MIT */
#include "coro/wait.h"

#include "base/flat.h"
#include "base/log.h"

int evert__checkpoint(struct evert__task **ret)
{
    int rc = evert__self(ret);
    if (rc == EVERT_ECONTEXT)
        evert__misuse("a call that waits was made in a callback of the loop, where nothing may "
                      "wait; make it in a task");
    if (rc < 0)
        return rc;
    evert__scope_check(*ret, __builtin_frame_address(0));
    return evert__task_cancelled(*ret) ? -ECANCELED : 0;
}

int evert__checkpoint_slow(const evert_loop *loop, struct evert__task **ret)
{
    int rc = evert__checkpoint(ret);
    if (rc < 0 || (*ret)->loop == loop)
        return rc;
    if (evert__loop_forked(loop))
        return EVERT_ECLOSED;
    evert__misuse("a stream or a listener was used on another thread, or loop, than its own");
    return EVERT_ECONTEXT;
}

/*
 * In blocking mode: runs the loop here, and with it the thread's other tasks, until it is done, or
 * one of them forked and this is the child.
 */
void evert__wait_as_root(const struct evert__task *root, const struct evert__waiter *waiter)
{
    evert_loop *loop = root->loop;
    (void)evert__loop_begin(loop); /* the root runs only where no loop does */
    evert__loop_flush(loop);
    while (!waiter->done && evert__loop_turn(loop, EVERT_NEVER))
        loop->stopped = false; /* of no meaning here */
    evert__loop_end(loop);
}

/* A child's copy of a wait, which nothing will end: its parent's loop is not run here. */
void evert__wait_is_the_parents(struct evert__waiter *waiter)
{
    evert__wake(waiter, EVERT_ECLOSED);
}

EVERT__FLAT void evert__wait(struct evert__task *self, struct evert__waiter *waiter)
{
    evert__wait_flat(self, waiter);
}

EVERT__HOT void evert__wake(struct evert__waiter *waiter, int result)
{
    if (waiter->done)
        return;
    waiter->done = true;
    waiter->result = result;
    if (waiter->task != NULL && !waiter->task->root)
        evert__ready_push(waiter->task->loop, &waiter->task->ready);
}

void evert__let_others_run(struct evert__task *self)
{
    self->budget = EVERT__BUDGET;
    if (evert__loop_forked(self->loop)) {
        /* A child's copy: the others are the parent's. */
    } else if (self->root) {
        if (evert__loop_begin(self->loop) == 0) {
            (void)evert__loop_single_turn(self->loop, 0);
            evert__loop_end(self->loop);
        }
    } else {
        evert__loop_flush(self->loop);
        (void)evert__task_give_way(self->loop, self);
    }
}

/* To let others run is to have sent what was written so far, and the rest by a call of its own. */
void evert__budget_spent(struct evert__task *self)
{
    if (!self->root && evert__loop_has_nobody_else(self->loop))
        self->budget = EVERT__BUDGET;
    else
        evert__let_others_run(self);
}

void evert__task_cancel_wait(struct evert__task *task)
{
    struct evert__waiter *waiter = task->waiter;
    if (waiter != NULL && !waiter->done && waiter->cancel != NULL && waiter->cancel(waiter))
        evert__wake(waiter, -ECANCELED);
}

struct sleep {
    struct evert__waiter waiter;
    struct evert__timer timer;
    evert_loop *loop;
};

static void slept(struct evert__ready *ready)
{
    evert__wake(&EVERT__CONTAINER(ready, struct sleep, timer.ready)->waiter, 0);
}

static bool stop_sleeping(struct evert__waiter *waiter)
{
    struct sleep *sleep = EVERT__CONTAINER(waiter, struct sleep, waiter);
    evert__timer_unset(sleep->loop, &sleep->timer);
    return true;
}

int evert_sleep_until(evert_time when)
{
    struct evert__task *self;
    int rc = evert__checkpoint(&self);
    if (rc < 0)
        return rc;
    struct sleep sleep = {
        .waiter.cancel = stop_sleeping, .timer.ready.run = slept, .loop = self->loop};
    evert__timer_set(self->loop, &sleep.timer, when);
    evert__wait(self, &sleep.waiter);
    return sleep.waiter.result;
}

int evert_sleep(evert_time span)
{
    return span > 0 ? evert_sleep_until(evert_after(span)) : evert_yield();
}

EVERT__COLD static int yield_in_any_case(void)
{
    struct evert__task *self;
    int rc = evert__checkpoint(&self);
    if (rc < 0)
        return rc;
    evert__let_others_run(self);
    return evert__loop_forked(self->loop) ? EVERT_ECLOSED : 0;
}

/* Whether a task runs that has nothing to do but to go to the next one. */
static inline bool may_give_way(const evert_loop *loop)
{
#ifdef EVERT_DEBUG
    (void)loop;
    return false; /* there is more to check */
#else
    return loop != NULL && loop->current != NULL && !evert__task_cancelled(loop->current) &&
           evert__list_empty(&loop->flush) && !evert__loop_forked(loop);
#endif
}

EVERT__FLAT __attribute__((noinline)) int evert_yield(void)
{
    evert_loop *loop = evert__running;
    if (!may_give_way(loop))
        return yield_in_any_case();
    loop->current->budget = EVERT__BUDGET;
    return evert__task_give_way(loop, loop->current); /* no child of a fork comes back here */
}
