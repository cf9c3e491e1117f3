/* SPDX-License-Identifier: MIT */
/*
 * Coroutine objects. One that was taken is spent: it has run, or will. Taking it twice has to be
 * told apart from taking it once, so the loop keeps the last few spent objects for a while instead
 * of freeing them at once.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "coro/describe.h"
#include "coro/wait.h"

struct evert_coro {
    evert_fn *fn;
    void *arg;
    const char *name, *place;
    bool spent;
};

int evert_coro_new_at(evert_coro **ret, evert_fn *fn, void *arg, const char *name,
                      const char *place)
{
    evert_coro *coro = evert__alloc(sizeof(*coro));
    if (coro == NULL)
        return -ENOMEM;
    *coro = (evert_coro){.fn = fn, .arg = arg, .name = name, .place = place};
    *ret = coro;
    return 0;
}

void evert_coro_free(evert_coro *coro)
{
    if (coro == NULL)
        return;
    if (coro->spent) {
        evert__misuse("evert_coro_free: coroutine %s, made at %s, was taken already", coro->name,
                      coro->place);
        return;
    }
#ifdef EVERT_DEBUG
    evert__log(EVERT_LOG_WARNING, "coroutine %s, made at %s, was never awaited", coro->name,
               coro->place);
#endif
    evert__free(coro);
}

void evert__coro_drop(evert_coro *coro)
{
    if (!coro->spent) /* else the loop has it */
        evert__free(coro);
}

/* Marks the object as taken, and frees the one that was taken 16 objects ago. */
static int take(evert_loop *loop, evert_coro *coro)
{
    struct evert__tasks *tasks;
    if (coro->spent) {
        evert__misuse("coroutine %s, made at %s, is used for the second time", coro->name,
                      coro->place);
        return EVERT_EALREADY;
    }
    int rc = evert__tasks_of(loop, &tasks);
    if (rc < 0) {
        evert__free(coro);
        return rc;
    }
    evert_coro **slot = &tasks->spent[tasks->next_spent++ % 16];
    evert__free(*slot);
    *slot = coro;
    coro->spent = true;
    return 0;
}

int evert_coro_await(evert_coro *coro)
{
    struct evert__task *self;
    evert_fn *fn = coro->fn;
    void *arg = coro->arg;
    int rc = evert__self(&self);
    if (rc == EVERT_ECONTEXT)
        evert__misuse("evert_coro_await was called in a callback of the loop");
    if (rc < 0) {
        evert__coro_drop(coro);
        return rc;
    }
    rc = take(self->loop, coro);
    return rc < 0 ? rc : fn(arg);
}

int evert_spawn_coro(evert_scope *scope, evert_coro *coro)
{
    const struct evert__scope *inside = (const struct evert__scope *)scope;
    evert_spawn_options options = {.name = coro->name};
    evert_fn *fn = coro->fn;
    void *arg = coro->arg;
    const char *name = coro->name, *place = coro->place;

    if (inside->owner == NULL) {
        evert__coro_drop(coro);
        return inside->error;
    }
    int rc = take(inside->owner->loop, coro);
    return rc < 0 ? rc : evert_spawn_with_at(scope, &options, fn, arg, name, place);
}

int evert__coro_task(evert_loop *loop, evert_coro *coro, struct evert__task **ret)
{
    evert_spawn_options options = {.name = coro->name};
    evert_fn *fn = coro->fn;
    void *arg = coro->arg;
    const char *name = coro->name, *place = coro->place;
    int rc = take(loop, coro);
    return rc < 0 ? rc : evert__task_new(loop, NULL, &options, fn, arg, name, place, ret);
}

int evert__main_new(evert_loop *loop, evert_fn *fn, void *arg, const char *name, const char *place,
                    struct evert__task **ret)
{
    evert_spawn_options options = {0};
    int rc = evert__task_new(loop, NULL, &options, fn, arg, name, place, ret);
    if (rc == 0)
        (*ret)->kept = true;
    return rc;
}

int evert__main_run(struct evert__task *main)
{
    evert_loop *loop = main->loop;
    (void)evert__loop_begin(loop); /* who calls this has asked whether it may */
    if (!main->ended && !loop->stopped)
        (void)evert__loop_turns(loop, EVERT_NEVER, &main->ended);
    loop->stopped = false;
    evert__loop_end(loop);
    if (evert__loop_forked(loop))
        return EVERT_ECLOSED; /* this is a child, which came back into its parent's run */
    return main->ended ? 0 : EVERT_ESTOPPED;
}

int evert__main_result(struct evert__task *main)
{
    struct evert__task *root = &evert__tasks_get(main->loop)->root;
    int result = main->result;
    evert__description_move(&root->description, &main->description, result);
    evert__task_free(main);
    return result;
}

int evert_loop_run_until_complete(evert_loop *loop, evert_coro *coro)
{
    evert_fn *fn = coro->fn;
    void *arg = coro->arg;
    const char *name = coro->name, *place = coro->place;
    struct evert__task *main = NULL;

    int rc = take(loop, coro);
    if (rc < 0)
        return rc;
    rc = evert__loop_may_begin(loop);
    if (rc == 0)
        rc = evert__main_new(loop, fn, arg, name, place, &main);
    if (rc < 0 || main == NULL)
        return rc;
    rc = evert__main_run(main);
    if (rc == 0)
        return evert__main_result(main);
    main->kept = false; /* it goes on when the loop does, and is freed at its end */
    return rc;
}
