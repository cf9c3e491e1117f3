/* SPDX-License-Identifier: MIT */
/*
 * How a call waits. Each call that may wait has this shape:
 *
 *     struct evert__task *self;
 *     int rc = evert__checkpoint(&self);       may it wait here? is it cancelled?
 *     if (rc < 0)
 *         return rc;
 *     ... what can be done at once is done, and then:
 *     evert__completed(self);                  which lets others run after many such calls
 *     ... else something is asked for that will wake `waiter`, and then:
 *     evert__wait(self, &waiter);
 *     return waiter.result;
 */
#ifndef EVERT_SRC_CORO_WAIT_H
#define EVERT_SRC_CORO_WAIT_H

#include "coro/task.h"

/*
 * How many calls a task may complete without waiting before others get a turn. One that moves much
 * counts as several, one for each so many bytes: the kernel copies for longer than a call takes.
 */
enum {
    EVERT__BUDGET = 64,
    EVERT__BYTES_OF_A_CALL = 16 * 1024,
    EVERT__BYTES_OF_A_TURN = EVERT__BUDGET * EVERT__BYTES_OF_A_CALL,
};

/* 0 with the calling task; EVERT_ECONTEXT where nothing may wait; -ECANCELED. */
int evert__checkpoint(struct evert__task **ret);

/* As above; and EVERT_ECONTEXT for a thing of another loop than the caller's. */
EVERT__COLD int evert__checkpoint_slow(const evert_loop *loop, struct evert__task **ret);

/* The same, for a call on something of `loop`: a task that runs there is found at once. */
static inline int evert__checkpoint_on(const evert_loop *loop, struct evert__task **ret)
{
#ifndef EVERT_DEBUG
    struct evert__task *task = loop->current;
    if (task != NULL && !evert__task_cancelled(task)) {
        *ret = task;
        return 0;
    }
#endif
    return evert__checkpoint_slow(loop, ret);
}

/*
 * Whether a call of the task that runs there may be done at once, with no frame for one that waits;
 * then it is counted. False: it goes the usual way.
 */
static inline bool evert__at_once(const evert_loop *loop)
{
    struct evert__task *task = loop->current;
#ifdef EVERT_DEBUG
    if (loop != evert__running)
        return false; /* there is something to explain */
#endif
    if (task == NULL || task->budget <= 0 || evert__task_cancelled(task))
        return false;
    task->budget--;
    return true;
}

/* Waits until `waiter` is woken; it may be woken already. */
void evert__wait(struct evert__task *self, struct evert__waiter *waiter);

/* What comes of it in blocking mode, and in a child of a fork. */
EVERT__COLD void evert__wait_as_root(const struct evert__task *root,
                                     const struct evert__waiter *waiter);
EVERT__COLD void evert__wait_is_the_parents(struct evert__waiter *waiter);

/*
 * The same in the caller's own frame, for where each level of calls counts: the return from a wait
 * is guessed wrong (base/flat.h).
 */
static inline void evert__wait_flat(struct evert__task *self, struct evert__waiter *waiter)
{
    waiter->task = self;
    waiter->since = self->loop->now;
    self->waiter = waiter;
    /* A call that waits more than once may have been cancelled in between: nobody tells it again.
     */
    if (evert__task_cancelled(self))
        evert__task_cancel_wait(self);
    if (self->root)
        evert__wait_as_root(self, waiter);
    else if (!evert__loop_forked(self->loop) && !waiter->done)
        evert__task_suspend(self);
    if (!waiter->done)
        evert__wait_is_the_parents(waiter);
    evert__link_remove(&self->ready.link);
    self->waiter = NULL;
    self->budget = EVERT__BUDGET;
}

/* Ends a wait. The first to come fixes the result; what comes later has no effect. */
void evert__wake(struct evert__waiter *waiter, int result);

/*
 * The same, to be called from the ready queue, of a wait that has not ended: the task runs now, and
 * not in its turn behind others.
 */
static inline void evert__wake_at_once(struct evert__waiter *waiter, int result)
{
    struct evert__task *task = waiter->task;
    if (task->root || task->loop->watch != NULL) {
        evert__wake(waiter, result); /* each run of a task is watched by itself */
        return;
    }
    waiter->done = true;
    waiter->result = result;
    evert__task_resume(&task->ready);
}

/* Lets the others run, once. */
void evert__let_others_run(struct evert__task *self);

/* The same after EVERT__BUDGET calls; where there are no others, the task goes on. */
void evert__budget_spent(struct evert__task *self);

/* A call was completed without waiting. */
static inline void evert__completed(struct evert__task *self)
{
    if (--self->budget < 0)
        evert__budget_spent(self);
}

/* The same, and it moved so many bytes, which the kernel had at hand. */
static inline void evert__completed_bytes(struct evert__task *self, size_t size)
{
    self->budget -= (int)(size / EVERT__BYTES_OF_A_CALL);
    evert__completed(self);
}

#endif
