/* SPDX-License-Identifier: MIT */
/*
 * The Deferred: a result that will come. Callbacks are attached to it, in a chain. When it fires,
 * each is called with the result so far, and what it returns is the result for the next:
 *
 *     static evert_result show(evert_result *in, void *arg)
 *     {
 *         puts(in->value);
 *         return evert_ok(NULL);
 *     }
 *
 *     static evert_result complain(evert_result *in, void *arg)
 *     {
 *         fprintf(stderr, "no greeting: %s\n", evert_strerror(in->error));
 *         return evert_ok(NULL);
 *     }
 *
 *     evert_deferred_add_callbacks(greeting, show, complain, NULL);
 *
 * A callback may also return another Deferred to wait for, so one thing can be done after another.
 * Of a pair exactly one is called: the callback for a value, the errback for an error. Where the
 * one that fits is NULL, the result passes on to the next pair.
 *
 * A Deferred has one owner, who frees it; who is going to fire it borrows it. It belongs to
 * the thread that made it: firing it, adding to it or cancelling it from another is a misuse, and
 * EVERT_ECONTEXT. No call here waits; a coroutine waits for a Deferred by evert_await().
 */
#ifndef EVERT_DEFERRED_DEFERRED_H
#define EVERT_DEFERRED_DEFERRED_H

#include <stdbool.h>
#include <stddef.h>

#include <evert/base/api.h>
#include <evert/base/error.h>
#include <evert/base/time.h>
#include <evert/loop/loop.h>

EVERT_BEGIN

typedef struct evert_deferred evert_deferred;

typedef enum evert_result_kind {
    EVERT_RESULT_NONE,
    EVERT_RESULT_VALUE,
    EVERT_RESULT_ERROR,
    EVERT_RESULT_WAIT
} evert_result_kind;

/*
 * What a Deferred came to, or what a callback returns. Make one by evert_ok() and its like: one
 * that is all zero, as a forgotten return value may be, is invalid, and turns into -EINVAL.
 */
typedef struct evert_result {
    evert_result_kind kind;
    int error;                    /* negative if it is an error, else 0 */
    void *value;                  /* NULL if it is an error */
    void (*destroy)(void *value); /* frees the value; NULL for one that is borrowed */
    evert_deferred *other;        /* to wait for */
} evert_result;

/* A value that somebody else owns. NULL is a value like any other. */
static inline evert_result evert_ok(void *value)
{
    evert_result result = {EVERT_RESULT_VALUE, 0, value, NULL, NULL};
    return result;
}

/* A value that goes with the result: whoever is the last to have it calls `destroy(value)`. */
static inline evert_result evert_ok_owned(void *value, void (*destroy)(void *value))
{
    evert_result result = {EVERT_RESULT_VALUE, 0, value, destroy, NULL};
    return result;
}

/* An error: a negative code. */
static inline evert_result evert_fail(int error)
{
    evert_result result = {EVERT_RESULT_ERROR, error < 0 ? error : -EINVAL, NULL, NULL, NULL};
    return result;
}

/*
 * From a callback: the chain goes on with what `other` comes to. Takes it, and frees it when its
 * result has moved. One that is somebody else's already is not taken, and gives an error of
 * EVERT_EALREADY: if another waits for it, it was awaited, fanned out or released, a callback of it
 * is being called, or it is this very Deferred, also by a detour.
 */
static inline evert_result evert_wait_for(evert_deferred *other)
{
    evert_result result = {EVERT_RESULT_WAIT, 0, NULL, NULL, other};
    return result;
}

/* Takes the value out of a result, which then owns nothing any more. */
static inline void *evert_take(evert_result *result)
{
    result->destroy = NULL;
    return result->value;
}

/*
 * A callback or errback. `*in` is the result so far. What it returns replaces that; a value that it
 * neither passes on (by returning it) nor takes (evert_take()) is destroyed after it has returned.
 * `return *in;` leaves everything as it was. It may do anything with any Deferred, also free its
 * own, which then lives until the callback has returned.
 */
typedef evert_result evert_deferred_fn(evert_result *in, void *arg);

/*
 * Called when a Deferred that has not fired is cancelled or freed: to stop what would have fired
 * it. It may fire the Deferred with a result of its own; otherwise that fails with -ECANCELED. Like
 * a callback, it may do anything with any Deferred.
 */
typedef void evert_canceller(evert_deferred *deferred, void *arg);

/* Makes a Deferred; yours to free. Fails with -ENOMEM. */
#define evert_deferred_new(ret) evert_deferred_new_at((ret), EVERT_PLACE)
EVERT_API EVERT_CHECK int evert_deferred_new_at(evert_deferred **ret, const char *place);

/* Says what is to be called when it is cancelled; NULL for nothing. Before it has fired. */
EVERT_API void evert_deferred_set_canceller(evert_deferred *deferred, evert_canceller *canceller,
                                            void *arg);

/*
 * Frees a Deferred, and what it waits for. An error in it that nobody looked at is logged, with the
 * place where it was made: an errback, an await or another Deferred would have been to see to it.
 * One that has not fired is cancelled first, without calling its callbacks; if it has no canceller,
 * whoever was going to fire it has to be told in some other way not to. May be called in its own
 * callbacks; if another waits for it there, that one goes on with -ECANCELED. NULL is fine.
 */
EVERT_API void evert_deferred_free(evert_deferred *deferred);

/*
 * Hands the Deferred over to itself: it is freed as soon as it has fired and its last callback has
 * returned, at once if that is so already. Nothing is to be done with it afterwards but to fire it,
 * once; when a timeout has cancelled it by then, it has stayed for that, unless it has a canceller.
 */
EVERT_API void evert_deferred_release(evert_deferred *deferred);

/*
 * Fires it with a value, and calls the callbacks. `destroy`, if any, makes the value its own, also
 * where this fails. Returns EVERT_EALREADY when it has fired before; but after a cancel, a single
 * firing that comes too late is expected: it does nothing, and 0 is returned. (It may still come
 * where another waited for this one, and was cancelled, until that is freed.) -EINVAL when the
 * value is the Deferred itself.
 */
EVERT_API int evert_deferred_callback(evert_deferred *deferred, void *value,
                                      void (*destroy)(void *value));

/* Fires it with an error, a negative code. As above. */
EVERT_API int evert_deferred_errback(evert_deferred *deferred, int error);

/*
 * Attaches a pair: `callback` for a value, `errback` for an error; either may be NULL. If it has
 * fired already and waits for nothing, the one that fits is called before this returns. Fails with
 * -ENOMEM, or EVERT_EALREADY when the chain is sealed: somebody awaits its end. In a callback of
 * the same Deferred it is just attached behind the others.
 */
EVERT_API int evert_deferred_add_callbacks(evert_deferred *deferred, evert_deferred_fn *callback,
                                           evert_deferred_fn *errback, void *arg);

/* A pair of one function for both cases, for only the good one, for only the bad one. */
EVERT_API int evert_deferred_add_both(evert_deferred *deferred, evert_deferred_fn *fn, void *arg);
EVERT_API int evert_deferred_add_callback(evert_deferred *deferred, evert_deferred_fn *callback,
                                          void *arg);
EVERT_API int evert_deferred_add_errback(evert_deferred *deferred, evert_deferred_fn *errback,
                                         void *arg);

/* Whether it has fired. Its callbacks may still be waiting for something. */
EVERT_API bool evert_deferred_has_fired(const evert_deferred *deferred);

/*
 * Cancels it. If it waits for another, that one is cancelled instead; if it has not fired, its
 * canceller is called, and unless that fired it, it fails with -ECANCELED; else nothing happens.
 */
EVERT_API void evert_deferred_cancel(evert_deferred *deferred);

/*
 * Cancels it at `when`, by a timer of `loop`, unless the chain has come to this point by then. An
 * -ECANCELED that this brought about becomes -ETIMEDOUT here. NULL stands for the loop that runs on
 * this thread, or in blocking mode for the thread's own. One timeout at a time: until the chain has
 * come to it, a second is EVERT_EALREADY, and so is one for a sealed chain. Also fails with -ENOMEM
 * and, where a loop has to be made, with the errors of evert_loop_new().
 */
EVERT_API EVERT_CHECK int evert_deferred_timeout(evert_deferred *deferred, evert_loop *loop,
                                                 evert_time when);

/* Holds the chain where it is; as many times as it was paused it has to be unpaused to go on. */
EVERT_API void evert_deferred_pause(evert_deferred *deferred);
EVERT_API void evert_deferred_unpause(evert_deferred *deferred);

/*
 * A fan-out: several get the result of one Deferred. It owns that result, and its branches, which
 * are Deferreds like any other and yours to free, borrow the value from it.
 */
typedef struct evert_fan_out evert_fan_out;

/*
 * Makes a fan-out of a Deferred, which it takes, also on failure: -ENOMEM, or EVERT_EALREADY when
 * it was awaited before. One that another Deferred waits for, or that was fanned out before, is not
 * yours to give: that is EVERT_EALREADY, and leaves it where it is.
 */
EVERT_API EVERT_CHECK int evert_fan_out_new(evert_fan_out **ret, evert_deferred *source);

/*
 * One more branch, which fires when the source has, at once if it has already. Cancelling one ends
 * that branch only; when all there are have been cancelled, so is the source. Fails with -ENOMEM.
 */
EVERT_API EVERT_CHECK int evert_fan_out_branch(evert_fan_out *fan_out, evert_deferred **ret);

/*
 * Frees the fan-out with its value, and cancels its source. Branches that have not fired fail with
 * -ECANCELED. May be called in callbacks of its branches: the value is destroyed behind them. NULL
 * is fine.
 */
EVERT_API void evert_fan_out_free(evert_fan_out *fan_out);

EVERT_END

#endif
