/* SPDX-License-Identifier: MIT */
/*
 * Tasks and scopes from the inside.
 *
 * A task's control block lies at the top of its stack. The thread's own stack, in blocking mode,
 * has one as well, the loop's *root*, so that everything below this layer knows only tasks that
 * wait: another is suspended, the root runs the loop until its wait is over.
 *
 * Cancellation is a bit in each scope, and one in each task for what is outside its scopes (`cut`):
 * whether this scope, or one around it that no shield keeps away, is cancelled. It is written down
 * through the tree when a scope is cancelled, and copied when one is entered or a task is spawned,
 * so a call that waits reads one bit.
 */
#ifndef EVERT_SRC_CORO_TASK_H
#define EVERT_SRC_CORO_TASK_H

#include <evert/base/error.h>
#include <evert/coro/scope.h>
#include <evert/coro/task.h>

#include "base/flat.h"
#include "coro/fiber.h"
#include "coro/stack.h"
#include "coro/switch.h"
#include "loop/loop.h"

/* Something that a task waits for. It lies on that task's stack. */
struct evert__waiter {
    /* What waking touches lies in one line of the cache, wherever the frame begins. */
    _Alignas(16) struct evert__task *task;
    int result;
    bool done;
    /*
     * Called when the wait is cancelled: stops waiting. True: it has ended without effect; false:
     * it will be woken all the same. NULL: it cannot be cancelled.
     */
    bool (*cancel)(struct evert__waiter *waiter);
    evert_time since; /* when the turn began in which it began to wait; for debuggers */
};

enum evert__cause {
    EVERT__CAUSE_NONE,
    EVERT__CAUSE_CANCEL,
    EVERT__CAUSE_DEADLINE,
    EVERT__CAUSE_FAILURE
};

enum { EVERT__FAILURES_KEPT = 5 };

/* What lies in an evert_scope. */
struct evert__scope {
    struct evert__scope *parent; /* around it, in the same task */
    struct evert__task *owner;   /* that entered it; NULL when there was no memory for a loop */
    struct evert__link children; /* tasks that run */
    struct evert__link ended;    /* tasks that have ended and are kept for their handles */
    struct evert__timer deadline;
    struct evert__waiter *leaver;
    char *description; /* of the first failure; see describe.c */
    unsigned live;     /* tasks in `children` */
    unsigned failures;
    int failed[EVERT__FAILURES_KEPT];
    int error; /* the first failure, if it was one that cancels */
    uint8_t cause;
    bool cancelled; /* it, or one around it; see above */
    bool shield, keep_going;
    bool cut_child; /* a task ended as cancelled */
    bool left;
} __attribute__((may_alias));

_Static_assert(sizeof(struct evert__scope) <= sizeof(evert_scope), "an evert_scope is too small");

/* It begins with a line of the cache, in which is all that a switch touches. */
struct evert__task {
    struct evert__ready ready;
    struct evert__context context; /* while suspended */
    evert_loop *loop;
    const bool *cancelled;        /* of the innermost scope that it is in, or its own `cut` */
    struct evert__waiter *waiter; /* while it waits */
    int budget; /* calls that it may still complete without waiting before it has to yield */
    bool root, cut, ended;
    bool kept; /* somebody has a handle: the stack stays when it has ended */

    struct evert__scope *scope; /* the innermost that it is in */
    struct evert__scope *home;  /* that it was spawned into; NULL for a main task and the root */
    struct evert__link sibling; /* in home */
    struct evert__link all;     /* in the loop's list */
    struct evert__task *next;   /* in the work list of a cancellation */
    struct evert__waiter *joiner;
    void (*told)(void *arg, int result); /* called when it has ended and is gone, if not NULL */
    void *told_arg;
    evert_fn *fn;
    void *arg;
    const char *name, *place;
    char *description; /* of its last failure; see describe.c */
    int result;
    unsigned number; /* in its loop, from 1 on: what it is called by in a debugger */
    struct evert__fiber fiber;
    struct evert__stack *stack; /* which it lies at the top of */
};

/* What a loop keeps for its tasks. */
struct evert__tasks {
    struct evert__part part;
    evert_loop *loop;
    struct evert__stack_pool stacks;
    struct evert__context context; /* the loop's own, while a task runs */
    struct evert__fiber fiber;
    unsigned numbered;
    struct evert__link all;
    struct evert__task root;
    evert_coro *spent[16]; /* coroutine objects that were taken; see coro.c */
    unsigned next_spent;
};

int evert__tasks_make(evert_loop *loop, struct evert__tasks **ret);

/*
 * The task that runs, or in blocking mode the root of the thread's own loop. EVERT_ECONTEXT, after
 * a word about it, in a callback; else errors of making a loop.
 */
int evert__self(struct evert__task **ret);

/* Makes a task, which starts in the next turn. `home` may be NULL. */
int evert__task_new(evert_loop *loop, struct evert__scope *home, const evert_spawn_options *options,
                    evert_fn *fn, void *arg, const char *name, const char *place,
                    struct evert__task **ret);

/* The same of a coroutine object, which it takes, also on failure; the task is in no scope. */
int evert__coro_task(evert_loop *loop, evert_coro *coro, struct evert__task **ret);

/* Takes a coroutine object that cannot be run. */
void evert__coro_drop(evert_coro *coro);

/* evert_spawn_with_at(), which gives the task itself. */
int evert__spawn(evert_scope *scope, const evert_spawn_options *options, evert_fn *fn, void *arg,
                 const char *name, const char *place, struct evert__task **ret);

/*
 * Runs a new task at once, up to its first wait or its end, instead of in the next turn. May be
 * called wherever its loop is the one that runs on this thread, also in another task.
 */
void evert__task_start(struct evert__task *task);

/* Frees a new task that is not to run after all. */
void evert__task_discard(struct evert__task *task);

/* Cancels the tasks that are in no scope, such as those of Deferreds. Whether there are any. */
bool evert__tasks_cut_homeless(evert_loop *loop);

/* Returns the stack, and with it the task, to the pool. It must have ended. */
void evert__task_free(struct evert__task *task);

static inline struct evert__tasks *evert__tasks_get(const evert_loop *loop)
{
    return (struct evert__tasks *)loop->parts[EVERT__PART_TASKS];
}

/* The loop's tasks, made when first asked for. */
static inline int evert__tasks_of(evert_loop *loop, struct evert__tasks **ret)
{
    *ret = evert__tasks_get(loop);
    return *ret != NULL ? 0 : evert__tasks_make(loop, ret);
}

/* The innermost scope is another now. */
static inline void evert__task_set_scope(struct evert__task *task, struct evert__scope *scope)
{
    task->scope = scope;
    task->cancelled = scope != NULL ? &scope->cancelled : &task->cut;
}

static inline bool evert__task_cancelled(const struct evert__task *task)
{
    return *task->cancelled;
}

/* From a task to the loop; 0 when the loop comes back to it, unless it was the last time. */
static inline int evert__task_leave(struct evert__task *task, bool last)
{
    struct evert__tasks *tasks = evert__tasks_get(task->loop);
    evert__fiber_leave(&task->fiber, &tasks->fiber, last);
    int zero = evert__context_switch(&task->context, &tasks->context);
    evert__fiber_arrive(&task->fiber);
    return zero;
}

void evert__task_resume(struct evert__ready *ready);

/* The first and the last frame of a task. */
void evert__task_entry(void *task);

/* Takes what stands first in a list that has something, if that is a task. */
static inline struct evert__task *evert__task_take(struct evert__link *list)
{
    struct evert__ready *ready = EVERT__CONTAINER(list->next, struct evert__ready, link);
    if (ready->run != evert__task_resume)
        return NULL;
    evert__list_remove_first(list);
    return EVERT__CONTAINER(ready, struct evert__task, ready);
}

/*
 * Of a thousand tasks the nearest cache has none. So what the next switch touches is fetched a
 * switch earlier: the frames of that task, and the line of the one behind it. (Not inlined it would
 * be left out, as a function that has no effect.)
 */
__attribute__((always_inline)) static inline void evert__task_fetch(const struct evert__link *list)
{
    if (evert__list_empty(list))
        return;
    const struct evert__ready *ready = EVERT__CONTAINER(list->next, struct evert__ready, link);
    if (ready->run != evert__task_resume)
        return;
    const struct evert__task *task = EVERT__CONTAINER(ready, struct evert__task, ready);
    const char *frames = evert__context_frames(&task->context);
    __builtin_prefetch(frames, 1);
    __builtin_prefetch(ready->link.next, 1);
}

/*
 * Takes the task to go to directly from the one that runs, which is on no queue. Where this turn is
 * at its end, a short one may follow; not for the task alone, though, which most likely waits for
 * something from outside. `fetch`: where the one behind it has not been fetched by what woke it.
 */
static inline struct evert__task *evert__task_next(evert_loop *loop, bool fetch)
{
    struct evert__task *next = NULL;
    if (loop->eager > 0)
        return NULL;
    if (!evert__list_empty(&loop->batch)) {
        next = evert__task_take(&loop->batch);
        if (fetch)
            evert__task_fetch(&loop->batch);
    } else if (evert__loop_may_go_on(loop)) {
        next = evert__task_take(&loop->ready);
        if (next != NULL)
            evert__list_splice(&loop->batch, &loop->ready);
    }
    if (next != NULL)
        loop->runs_left--;
    return next;
}

/*
 * From a task to another one, which was taken off the queue; see evert__task_leave(). One that goes
 * for the last time has given its memory back already.
 */
static inline int evert__task_go(evert_loop *loop, struct evert__task *task,
                                 struct evert__task *next, bool last)
{
    loop->current = next;
    evert__fiber_leave(&task->fiber, &next->fiber, last);
    int zero = last ? evert__context_switch(&task->context, &next->context)
                    : evert__context_switch_alike(&task->context, &next->context);
    evert__fiber_arrive(&task->fiber);
    return zero;
}

/*
 * Suspends the task that runs until something puts it on the ready queue. Where the next is a task,
 * too, it goes there directly, which saves the way over the loop. Not where something was written:
 * that is sent first, by the loop, whose stack is in the caches.
 */
static inline void evert__task_suspend(struct evert__task *task)
{
    evert_loop *loop = task->loop;
    struct evert__task *next = NULL;
    if (evert__list_empty(&loop->flush))
        next = evert__task_next(loop, false);
    if (next != NULL)
        (void)evert__task_go(loop, task, next, false);
    else
        (void)evert__task_leave(task, false);
}

/* Lets those that are ready run, each once, and the task again behind them. 0. */
static inline int evert__task_give_way(evert_loop *loop, struct evert__task *task)
{
    struct evert__task *next = evert__task_next(loop, true);
    evert__list_append(&loop->ready, &task->ready.link);
    return next != NULL ? evert__task_go(loop, task, next, false) : evert__task_leave(task, false);
}

/* Cancels what the task waits for, if it can be. */
EVERT__COLD void evert__task_cancel_wait(struct evert__task *task);

/* Cancels a task and all inside it, as evert_task_cancel(). */
void evert__task_cut(struct evert__task *task);

/* Tells the scope that a task of it has ended. */
void evert__scope_child_ended(struct evert__scope *scope, struct evert__task *task);

/* What a scope has to check when a task ends or waits, in builds with checks. */
#ifdef EVERT_DEBUG
void evert__scope_check(const struct evert__task *task, const void *frame);
#else
static inline void evert__scope_check(const struct evert__task *task, const void *frame)
{
    (void)task;
    (void)frame;
}
#endif

/*
 * A main task, which is in no scope. Running it runs the loop until it has ended (0), or was
 * stopped before (EVERT_ESTOPPED). The result is asked for once, after the end, and frees the task.
 */
int evert__main_new(evert_loop *loop, evert_fn *fn, void *arg, const char *name, const char *place,
                    struct evert__task **ret);
int evert__main_run(struct evert__task *main);
int evert__main_result(struct evert__task *main);

#endif
