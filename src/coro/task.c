/* SPDX-License-Identifier: MIT */
#include "coro/task.h"

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "base/msan.h"
#include "coro/describe.h"
#include "coro/wait.h"

/*
 * To a task, from the loop; returns when the last of those that ran since then waits or has ended,
 * and which that was.
 */
static struct evert__task *switch_in(struct evert__tasks *tasks, struct evert__task *task)
{
    tasks->loop->current = task;
    evert__fiber_is_here(&tasks->fiber);
    evert__fiber_leave(&tasks->fiber, &task->fiber, false);
    (void)evert__context_switch(&tasks->context, &task->context);
    evert__fiber_arrive(&tasks->fiber);
    task = tasks->loop->current;
    tasks->loop->current = NULL;
    return task;
}

struct join {
    struct evert__waiter waiter;
    struct evert__task *joined;
    char *description;
    int rc; /* of the joined, which is gone by the time its joiner runs */
};

/* A task that has ended leaves the books, and unless it is kept its stack is another's. */
static void let_go(struct evert__task *task, struct join *join)
{
    bool kept = task->kept;
    evert__link_remove(&task->all);
    if (task->home != NULL)
        evert__scope_child_ended(task->home, task);
    if (join != NULL)
        evert__description_move(&join->description, &task->description, task->result);
    if (!kept)
        evert__task_free(task);
}

/*
 * Whether what has to be done at a task's end may be done in the task itself, so that it goes
 * straight to the next one: nobody is told but its scope, and the stack goes back to the pool.
 */
static bool ends_quietly(const struct evert__task *task)
{
    return task->result >= 0 && task->joiner == NULL && task->told == NULL && !task->kept &&
           evert__stack_is_usual(task->stack) && evert__fiber_may_fini_itself();
}

/* What comes behind the next one. Where one task ends, most likely others begin, or end, too. */
static void fetch(const struct evert__link *ready)
{
    enum { LINES = 5 }; /* of a task, with the frame below it */
    const char *line = (const char *)ready - EVERT__LINE;
    for (int i = 0; i < LINES; i++, line += EVERT__LINE)
        __builtin_prefetch(line, 1);
}

EVERT__HOT void evert__task_entry(void *arg)
{
    struct evert__task *task = arg;
    evert_loop *loop = task->loop;
    evert__fiber_arrive(&task->fiber);
    task->result = task->fn(task->arg);
    evert__scope_check(task, NULL);
    evert__loop_flush(loop);
    task->ended = true;
    struct evert__task *next = NULL;
    if (ends_quietly(task) && !evert__loop_forked(loop)) /* no other task is a child's */
        next = evert__task_next(loop, false);
    if (next != NULL) {
        fetch(loop->batch.next);
        /* Nobody takes the stack before this is away from it. */
        let_go(task, NULL);
        (void)evert__task_go(loop, task, next, true);
    }
    (void)evert__task_leave(task, true);
}

EVERT__HOT __attribute__((noinline)) static void ended(struct evert__task *task)
{
    struct join *join = NULL;
    void (*told)(void *arg, int result) = task->told;
    void *told_arg = task->told_arg;
    int result = task->result;
    if (task->joiner != NULL) {
        join = EVERT__CONTAINER(task->joiner, struct join, waiter);
        task->kept = false; /* the handle is used up, before the scope could be left and free it */
        join->rc = result;
        evert__wake(&join->waiter, 0); /* before a failure cancels it, if it is in the same scope */
    }
    let_go(task, join);
    if (told != NULL)
        told(told_arg, result);
}

EVERT__FLAT void evert__task_resume(struct evert__ready *ready)
{
    struct evert__task *task = EVERT__CONTAINER(ready, struct evert__task, ready);
    evert_loop *loop = task->loop;
    task = switch_in(evert__tasks_get(loop), task); /* the last of those that ran */
    if (!task->ended) {
        evert__loop_flush_and_return(loop);
        return;
    }
    evert__loop_flush(loop);
    ended(task);
}

/*
 * For the new task the stack that this is called on is the loop's, whichever it is: that is where
 * the task goes when it waits. What was there before is put back then.
 */
EVERT__HOT void evert__task_start(struct evert__task *task)
{
    struct evert__tasks *tasks = evert__tasks_get(task->loop);
    struct evert__context context = tasks->context;
    struct evert__fiber fiber = tasks->fiber;
    struct evert__task *current = task->loop->current;

    evert__link_remove(&task->ready.link);
    tasks->loop->eager++;
    (void)switch_in(tasks, task);
    tasks->loop->eager--;
    tasks->context = context;
    tasks->fiber = fiber;
    evert__loop_flush(tasks->loop);
    if (task->ended)
        ended(task);
    tasks->loop->current = current;
}

void evert__task_discard(struct evert__task *task)
{
    evert__link_remove(&task->ready.link);
    evert__link_remove(&task->all);
    evert__link_remove(&task->sibling);
    evert__task_free(task);
}

void evert__task_free(struct evert__task *task)
{
    struct evert__tasks *tasks = evert__tasks_get(task->loop);
    evert__fiber_fini(&task->fiber);
    if (task->description != NULL)
        evert__description_free(&task->description);
    struct evert__stack *stack = task->stack;
    evert__msan_forget(task, sizeof(*task));
    evert__stack_put(&tasks->stacks, stack);
}

bool evert__tasks_cut_homeless(evert_loop *loop)
{
    struct evert__tasks *tasks = evert__tasks_get(loop);
    bool any = false;
    if (tasks == NULL)
        return false;
    for (struct evert__link *l = tasks->all.next; l != &tasks->all; l = l->next) {
        struct evert__task *task = EVERT__CONTAINER(l, struct evert__task, all);
        if (task->home != NULL)
            continue;
        any = true;
        if (!task->cut) {
            evert__log(EVERT_LOG_INFO, "task %s, made at %s, is cancelled at the end of the run",
                       task->name, task->place);
            evert__task_cut(task);
        }
    }
    return any;
}

/* The loop is being freed: what still lives on it is cancelled, and runs to its end. */
static void end_tasks(struct evert__tasks *tasks)
{
    evert_loop *loop = tasks->loop;
    if (evert__list_empty(&tasks->all) || evert__loop_begin(loop) < 0)
        return;
    do {
        loop->stopped = false;
        for (struct evert__link *l = tasks->all.next; l != &tasks->all; l = l->next) {
            struct evert__task *task = EVERT__CONTAINER(l, struct evert__task, all);
            task->kept = task->kept && task->home != NULL;
            if (!task->cut)
                evert__task_cut(task);
        }
    } while (evert__loop_turn(loop, EVERT_NEVER) && !evert__list_empty(&tasks->all));
    loop->stopped = false;
    evert__loop_end(loop);
}

static void tasks_fini(struct evert__part *part, evert_loop *loop)
{
    struct evert__tasks *tasks = EVERT__CONTAINER(part, struct evert__tasks, part);
    (void)loop;
    end_tasks(tasks);
    for (size_t i = 0; i < sizeof(tasks->spent) / sizeof(tasks->spent[0]); i++)
        evert__free(tasks->spent[i]);
    evert__stack_pool_fini(&tasks->stacks);
    evert__description_free(&tasks->root.description);
    evert__free(tasks);
}

static void name_task(const struct evert__ready *ready, const char **ret_name,
                      const char **ret_place)
{
    if (ready->run == evert__task_resume) {
        const struct evert__task *task = EVERT__CONTAINER(ready, struct evert__task, ready);
        *ret_name = task->name;
        *ret_place = task->place;
    }
}

int evert__tasks_make(evert_loop *loop, struct evert__tasks **ret)
{
    struct evert__tasks *tasks = evert__alloc_zero(sizeof(*tasks));
    if (tasks == NULL)
        return -ENOMEM;
    tasks->part.fini = tasks_fini;
    tasks->loop = loop;
    tasks->root.root = true;
    tasks->root.loop = loop;
    evert__task_set_scope(&tasks->root, NULL);
    tasks->root.name = "main";
    tasks->root.place = "";
    tasks->root.budget = EVERT__BUDGET;
    loop->name_task = name_task;
    evert__list_init(&tasks->all);
    evert__stack_pool_init(&tasks->stacks, loop);
    loop->parts[EVERT__PART_TASKS] = &tasks->part;
    *ret = tasks;
    return 0;
}

int evert__self(struct evert__task **ret)
{
    evert_loop *loop = evert__loop_running();
    struct evert__tasks *tasks;

    if (loop != NULL) {
        *ret = loop->current;
        return loop->current != NULL ? 0 : EVERT_ECONTEXT;
    }
    int rc = evert__loop_own(&loop);
    if (rc == 0)
        rc = evert__tasks_of(loop, &tasks);
    if (rc == 0)
        *ret = &tasks->root;
    return rc;
}

/* evert_task is what a handle points to. */
static struct evert__task *from_handle(const evert_task *handle)
{
    return (struct evert__task *)(uintptr_t)handle;
}

const char *evert_task_name(const evert_task *handle)
{
    return from_handle(handle)->name;
}

void evert_task_cancel(evert_task *handle)
{
    struct evert__task *task = from_handle(handle);
    if (evert__loop_usable(task->loop, "evert_task_cancel", "evert_loop_call_threadsafe") == 0 &&
        !task->ended)
        evert__task_cut(task);
}

static bool stop_joining(struct evert__waiter *waiter)
{
    EVERT__CONTAINER(waiter, struct join, waiter)->joined->joiner = NULL;
    return true;
}

int evert_task_join(evert_task *handle)
{
    struct evert__task *task = from_handle(handle), *self;
    int rc = evert__checkpoint(&self);
    if (rc < 0)
        return rc;
    if (task->joiner != NULL)
        return -EBUSY;
    if (!task->ended) {
        struct join join = {.waiter.cancel = stop_joining, .joined = task};
        task->joiner = &join.waiter;
        evert__wait(self, &join.waiter);
        if (join.waiter.result < 0)
            return join.waiter.result;
        evert__description_move(&self->description, &join.description, join.rc);
        return join.rc;
    }
    rc = task->result;
    evert__description_move(&self->description, &task->description, rc);
    evert__link_remove(&task->sibling);
    evert__task_free(task);
    evert__completed(self);
    return rc;
}
