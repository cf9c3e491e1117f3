/* SPDX-License-Identifier: MIT */
/*
 * Between Deferreds and coroutines: a coroutine awaits a Deferred, and a coroutine makes one.
 */
#ifndef EVERT_CORO_AWAIT_H
#define EVERT_CORO_AWAIT_H

#include <evert/coro/coro.h>
#include <evert/deferred/deferred.h>

EVERT_BEGIN

/*
 * Waits until the Deferred has fired and all its callbacks are done, and returns what it came to:
 * an error in `.error` (else that is 0), or a value, which is borrowed until the Deferred is freed.
 * It may be awaited again, by any number of tasks, and always gives the same. The first await seals
 * the chain: no callback can be added any more.
 *
 * Cancelled, it gives -ECANCELED; if no other task awaits the Deferred, that is cancelled, too. A
 * result that is there already wins, also in a scope that is cancelled. Should the Deferred be
 * freed meanwhile, that counts as a cancel. EVERT_EALREADY when the value was taken before, or
 * another Deferred waits for this one; EVERT_ECONTEXT in a callback of a loop, or of this Deferred.
 */
EVERT_API EVERT_CHECK evert_result evert_await(evert_deferred *deferred);

/*
 * The same, but the value is handed over, once: whoever gets it owns it (and calls `.destroy` on it
 * if that is not NULL). From then on awaiting it is EVERT_EALREADY.
 */
EVERT_API EVERT_CHECK evert_result evert_await_take(evert_deferred *deferred);

/*
 * Starts a coroutine on `loop` and makes a Deferred of it, yours to free, which fires when it has
 * ended: with the coroutine's `arg` as its value, which is borrowed, or with its error. Takes the
 * coroutine, also on failure. NULL stands for the loop that runs on this thread, or in blocking
 * mode for the thread's own.
 *
 * Unlike a task that is spawned, it runs at once, up to its first wait, before this returns; so it
 * may have fired already. It is in no scope. Cancelling the Deferred cancels the coroutine, which
 * may still come to a result, and the Deferred fires with that; freeing it cancels the coroutine
 * too, and nobody hears of what it comes to. Freeing the loop ends it as any task.
 *
 * Fails with -ENOMEM, EVERT_EALREADY, EVERT_ECONTEXT where another loop runs, EVERT_ECLOSED for a
 * loop that is not usable, and the errors of evert_loop_new().
 */
EVERT_API EVERT_CHECK int evert_deferred_from(evert_deferred **ret, evert_loop *loop,
                                              evert_coro *coro);

EVERT_END

#endif
