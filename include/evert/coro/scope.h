/* SPDX-License-Identifier: MIT */
/*
 * The scope: a deadline, a group of tasks, and a way to cancel, in one. It lies on the stack, is
 * entered and left, and leaving waits for every task that was spawned into it, always:
 *
 *     evert_scope s;
 *     evert_scope_enter(&s, evert_after(5 * EVERT_SECOND));
 *     int rc = evert_spawn(&s, client, &ada);
 *     if (rc == 0)
 *         rc = evert_spawn(&s, client, &bob);
 *     rc = evert_scope_leave(&s, rc);
 *
 * No call has a timeout of its own: whatever waits inside the scope ends at its deadline.
 *
 * Cancellation persists. Once a scope is cancelled, each call that waits inside it, in all its
 * tasks and their scopes, returns -ECANCELED until the scope is left; so a loop that overlooks one
 * error still ends. A shield keeps that away from a few last steps.
 */
#ifndef EVERT_CORO_SCOPE_H
#define EVERT_CORO_SCOPE_H

#include <stddef.h>
#include <stdint.h>

#include <evert/base/time.h>
#include <evert/coro/coro.h>

EVERT_BEGIN

/* Lies on the stack of the task that enters it; not to be copied or looked into. */
typedef struct evert_scope {
    uint64_t opaque[24];
} evert_scope;

typedef struct evert_task evert_task;

/*
 * Enters a scope that is cancelled when `deadline` has come, or never (EVERT_NEVER). Scopes nest;
 * the nearest deadline wins. Cannot fail and does not wait.
 */
EVERT_API void evert_scope_enter(evert_scope *scope, evert_time deadline);

/*
 * Enters a scope that cancellation from outside does not reach, for farewells that must be said.
 * It needs a deadline of its own: evert_after(10 * EVERT_SECOND) is a good one.
 */
EVERT_API void evert_shield_enter(evert_scope *scope, evert_time deadline);

/*
 * Says that failures of tasks in this scope are logged and counted, and cancel nobody: what a
 * server wants. To be called right after entering.
 */
EVERT_API void evert_scope_keep_going(evert_scope *scope);

/* Moves the deadline of a scope that has not been left; one in the past cancels it now. */
EVERT_API void evert_scope_set_deadline(evert_scope *scope, evert_time deadline);

/*
 * Cancels the scope: all that waits inside it ends with -ECANCELED. What is complete already stays
 * so. May be called again, and from any task of the same loop. Does not wait.
 */
EVERT_API void evert_scope_cancel(evert_scope *scope);

/*
 * Leaves the scope, with `rc` for what its body came to. Waits for all its tasks, and always
 * finishes; a negative rc cancels them first. It must be the task's innermost scope. Returns
 *
 *  - the first failure, of the body or of a task (which had the others cancelled);
 *  - else, if the scope's cancellation cut anything short: -ECANCELED if it came from outside,
 *    -ETIMEDOUT if from its own deadline, 0 if from evert_scope_cancel();
 *  - else rc.
 *
 * EVERT_ESCOPE when the scope was left before.
 */
EVERT_API EVERT_CHECK int evert_scope_leave(evert_scope *scope, int rc);

/* How many tasks of this scope failed, until now. May be asked after leaving, too. */
EVERT_API unsigned evert_scope_failures(const evert_scope *scope);

/*
 * The error of the failed task number `index`, from 0 on, in the order of failing; the first five
 * are kept, for the others (and for too large a number) it is 0.
 */
EVERT_API int evert_scope_failure(const evert_scope *scope, unsigned index);

/*
 * Starts a task: `fn(arg)` on a stack of its own, from the next turn on; it never runs before this
 * returns. `arg` is borrowed until the task has ended, so it may lie on the stack beside the scope.
 * The task always starts, even in a cancelled scope, so it can always free what it was given. Fails
 * with -ENOMEM (no memory for a stack), or EVERT_ESCOPE when the scope was left. Does not wait.
 */
#define evert_spawn(scope, fn, arg) evert_spawn_at((scope), (fn), (arg), #fn, EVERT_PLACE)
EVERT_API EVERT_CHECK int evert_spawn_at(evert_scope *scope, evert_fn *fn, void *arg,
                                         const char *name, const char *place);

/*
 * Starts a task that runs a coroutine object. Takes it, also on failure. EVERT_EALREADY when it was
 * taken before; other errors as of evert_spawn().
 */
EVERT_API EVERT_CHECK int evert_spawn_coro(evert_scope *scope, evert_coro *coro);

typedef struct evert_spawn_options {
    const char *name;      /* shown where tasks are listed; borrowed for ever: a literal */
    size_t stack;          /* bytes of stack; 0 for the usual 120 KiB */
    evert_task **ret_task; /* where to put a handle, valid until joined or the scope is left */
} evert_spawn_options;

/* Options that ask for nothing unusual. */
EVERT_API evert_spawn_options evert_spawn_defaults(void);

/* evert_spawn() with options, which are borrowed for the call. */
#define evert_spawn_with(scope, options, fn, arg) \
    evert_spawn_with_at((scope), (options), (fn), (arg), #fn, EVERT_PLACE)
EVERT_API EVERT_CHECK int evert_spawn_with_at(evert_scope *scope,
                                              const evert_spawn_options *options, evert_fn *fn,
                                              void *arg, const char *name, const char *place);

EVERT_END

#endif
