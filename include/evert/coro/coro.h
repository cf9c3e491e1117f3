/* SPDX-License-Identifier: MIT */
/*
 * Coroutines. A coroutine is any C function of the type evert_fn: inside, each call that waits
 * suspends just this coroutine, and others run meanwhile. A coroutine *object* holds one that has
 * not begun; nothing of it runs until it is awaited, spawned into a scope, or given to a loop.
 */
#ifndef EVERT_CORO_CORO_H
#define EVERT_CORO_CORO_H

#include <evert/base/api.h>
#include <evert/base/error.h>
#include <evert/loop/loop.h>

EVERT_BEGIN

/* What a coroutine runs. Zero or positive is success, negative an error. */
typedef int evert_fn(void *arg);

typedef struct evert_coro evert_coro;

/*
 * Makes a coroutine object that will run `fn(arg)`; nothing runs yet. Exactly one of
 * evert_coro_await(), evert_spawn_coro(), evert_loop_run_until_complete() and evert_coro_free() is
 * to take it. Fails with -ENOMEM. Does not wait.
 */
#define evert_coro_new(ret, fn, arg) evert_coro_new_at((ret), (fn), (arg), #fn, EVERT_PLACE)
EVERT_API EVERT_CHECK int evert_coro_new_at(evert_coro **ret, evert_fn *fn, void *arg,
                                            const char *name, const char *place);

/*
 * Runs a coroutine to its end on the caller's stack and returns its result. Takes it. Waits as long
 * as it does. EVERT_EALREADY when it was taken before.
 */
EVERT_API EVERT_CHECK int evert_coro_await(evert_coro *coro);

/*
 * Runs `loop` until the coroutine is complete and returns its result. Takes it, also on failure.
 * EVERT_ECONTEXT when this thread runs a loop already, EVERT_ECLOSED for a loop that is not usable,
 * EVERT_ESTOPPED when the loop was stopped first (the coroutine is then cancelled when the loop is
 * freed), EVERT_EALREADY when the object was taken before, -ENOMEM.
 */
EVERT_API EVERT_CHECK int evert_loop_run_until_complete(evert_loop *loop, evert_coro *coro);

/*
 * Frees an object that nobody took. What never ran is reported in builds with checks, since
 * forgetting to await is the usual reason. NULL is fine.
 */
EVERT_API void evert_coro_free(evert_coro *coro);

EVERT_END

#endif
