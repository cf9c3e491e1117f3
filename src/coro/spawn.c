/* SPDX-License-Identifier: MIT */
/* How a task comes to be, and into which scope. */
#include "base/flat.h"
#include "base/log.h"
#include "coro/task.h"
#include "coro/wait.h"

/* Where the control block of a task lies: at the top of its stack, at the beginning of a line. */
static struct evert__task *block_on(const struct evert__stack *stack)
{
    uintptr_t below = (uintptr_t)stack - sizeof(struct evert__task);
    return (struct evert__task *)(below & ~(uintptr_t)(EVERT__LINE - 1));
}

EVERT__HOT int evert__task_new(evert_loop *loop, struct evert__scope *home,
                               const evert_spawn_options *options, evert_fn *fn, void *arg,
                               const char *name, const char *place, struct evert__task **ret)
{
    struct evert__tasks *tasks;
    int rc = evert__tasks_of(loop, &tasks);
    if (rc < 0)
        return rc;
    /* The control block is not to be at the cost of what was asked for. */
    size_t size = options->stack;
    if (size > 0 && __builtin_add_overflow(size, sizeof(struct evert__task) + EVERT__LINE, &size))
        return -ENOMEM;
    struct evert__stack *stack = evert__stack_get(&tasks->stacks, size);
    if (stack == NULL)
        return -ENOMEM;

    struct evert__task *task = block_on(stack);
    *task = (struct evert__task){
        .ready.run = evert__task_resume,
        .loop = loop,
        .cancelled = &task->cut,
        .budget = EVERT__BUDGET,
        .home = home,
        .fn = fn,
        .arg = arg,
        .name = options->name != NULL ? options->name : name,
        .place = place,
        .number = ++tasks->numbered,
        .stack = stack,
    };
    evert__fiber_init(&task->fiber, stack->low, (size_t)((char *)task - stack->low));
    evert__context_make(&task->context, stack->low, task, evert__task_entry, task);
    evert__list_append(&tasks->all, &task->all);
    evert__list_append(&loop->ready, &task->ready.link);
    *ret = task;
    return 0;
}

evert_spawn_options evert_spawn_defaults(void)
{
    return (evert_spawn_options){0};
}

EVERT__HOT int evert__spawn(evert_scope *given, const evert_spawn_options *options, evert_fn *fn,
                            void *arg, const char *name, const char *place,
                            struct evert__task **ret)
{
    struct evert__scope *scope = (struct evert__scope *)given;
    struct evert__task *task;

    if (scope->owner == NULL)
        return scope->error;
    int rc = evert__loop_usable(scope->owner->loop, "evert_spawn", "evert_loop_call_threadsafe");
    if (rc < 0)
        return rc;
    if (scope->left) {
        evert__misuse("evert_spawn: the scope was left already (at %s)", place);
        return EVERT_ESCOPE;
    }
    rc = evert__task_new(scope->owner->loop, scope, options, fn, arg, name, place, &task);
    if (rc < 0)
        return rc;
    task->cut = scope->cancelled;
    evert__list_append(&scope->children, &task->sibling);
    scope->live++;
    *ret = task;
    return 0;
}

EVERT__HOT int evert_spawn_with_at(evert_scope *scope, const evert_spawn_options *options,
                                   evert_fn *fn, void *arg, const char *name, const char *place)
{
    struct evert__task *task;
    int rc = evert__spawn(scope, options, fn, arg, name, place, &task);
    if (rc < 0)
        return rc;
    if (options->ret_task != NULL) {
        task->kept = true;
        *options->ret_task = (evert_task *)task;
    }
    return 0;
}

EVERT__FLAT int evert_spawn_at(evert_scope *scope, evert_fn *fn, void *arg, const char *name,
                               const char *place)
{
    evert_spawn_options options = {0};
    return evert_spawn_with_at(scope, &options, fn, arg, name, place);
}
