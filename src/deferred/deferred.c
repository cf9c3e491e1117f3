/* SPDX-License-Identifier: MIT */
/* The life of a Deferred: making, firing, cancelling, releasing and freeing it. */
#include "deferred/deferred.h"

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"

/* Each by itself: clearing the whole takes longer than all the rest of a Deferred's life. */
EVERT__RETURNS void evert__deferred_init(evert_deferred *d, const char *place)
{
    d->result.kind = EVERT_RESULT_NONE;
    d->first = d->last = NULL;
    d->pairs[0].callback = d->pairs[0].errback = NULL;
    d->pairs[1].callback = d->pairs[1].errback = NULL;
    d->outer = d->inner = d->spent = d->next = NULL;
    d->canceller = NULL;
    d->canceller_arg = NULL;
    d->firer = NULL;
    d->timeout = NULL;
    evert__list_init(&d->awaiters);
    d->place = place;
    d->thread = evert__thread_here();
    d->is = (struct evert__deferred_state){0};
}

int evert__deferred_used_by_another(const evert_deferred *d, const char *call)
{
    evert__misuse("%s: the Deferred made at %s belongs to another thread; hand over what it is to "
                  "hear with evert_loop_call_threadsafe",
                  call, d->place);
    return EVERT_ECONTEXT;
}

EVERT__RETURNS int evert_deferred_new_at(evert_deferred **ret, const char *place)
{
    evert_deferred *d = evert__alloc(sizeof(*d));
    if (d == NULL)
        return -ENOMEM;
    evert__deferred_init(d, place);
    *ret = d;
    return 0;
}

void evert_deferred_set_canceller(evert_deferred *d, evert_canceller *canceller, void *arg)
{
    if (d->is.fired)
        return;
    d->canceller = canceller;
    d->canceller_arg = arg;
}

bool evert_deferred_has_fired(const evert_deferred *d)
{
    return d->is.fired;
}

EVERT__RETURNS bool evert__deferred_drop(evert_deferred *d)
{
    bool alive = !d->is.freed;
    if (--d->is.holds == 0 && !alive)
        evert__free(d);
    return alive;
}

/* ---- Firing ---- */

/* It has been fired before. What is owed to a cancel is owed once. */
static int fire_late(evert_deferred *d, const evert_result *result)
{
    int rc = d->is.late ? 0 : EVERT_EALREADY;
    d->is.late = false;
    if (d->is.lingers) {
        d->is.lingers = false;
        (void)evert__deferred_drop(d);
    }
    evert__result_destroy(result);
    return rc;
}

static void forget_firer(evert_deferred *d)
{
    struct evert__firer *firer = d->firer;
    d->firer = NULL;
    if (firer != NULL)
        firer->gone(firer);
}

EVERT__RETURNS int evert__deferred_fire(evert_deferred *d, evert_result result)
{
    if (d->is.fired)
        return fire_late(d, &result);
    d->is.fired = true;
    forget_firer(d);
    if (d->is.freed) { /* by its canceller, while it is being freed */
        evert__result_destroy(&result);
        return 0;
    }
    d->result = result;
    evert__deferred_run(d);
    return 0;
}

EVERT__RETURNS int evert_deferred_callback(evert_deferred *d, void *value,
                                           void (*destroy)(void *value))
{
    evert_result result = evert_ok_owned(value, destroy);
    int rc = evert__deferred_usable(d, "evert_deferred_callback");
    if (rc < 0) {
        evert__result_destroy(&result);
        return rc;
    }
    if (value == d) {
        evert__misuse("a Deferred made at %s was fired with itself", d->place);
        evert__result_destroy(&result);
        return -EINVAL;
    }
    return evert__deferred_fire(d, result);
}

int evert_deferred_errback(evert_deferred *d, int error)
{
    int rc = evert__deferred_usable(d, "evert_deferred_errback");
    return rc < 0 ? rc : evert__deferred_fire(d, evert_fail(error));
}

/* ---- Cancelling ---- */

/* The one at the end of the waiting, which has not fired, if any has not. */
static evert_deferred *innermost(evert_deferred *d)
{
    while (d->inner != NULL)
        d = d->inner;
    return d;
}

bool evert__deferred_may_cancel(evert_deferred *d)
{
    d = innermost(d);
    return !d->is.fired && !d->is.cancelled && !d->is.freed;
}

/* Calls the canceller of one that has not fired; it may call anything, this function included. */
static void call_canceller(evert_deferred *d)
{
    if (d->canceller == NULL || d->is.cancelling)
        return;
    d->is.cancelling = true;
    d->canceller(d, d->canceller_arg);
    d->is.cancelling = false;
}

static inline bool pending(const evert_deferred *d)
{
    return !d->is.fired && !d->is.freed;
}

void evert_deferred_cancel(evert_deferred *given)
{
    if (evert__deferred_usable(given, "evert_deferred_cancel") < 0)
        return;
    evert_deferred *d = innermost(given);
    bool stays = false, by_program = d->firer == NULL;

    if (!pending(d) || d->is.cancelling)
        return;
    d->is.cancelled = true;
    d->is.holds++;
    call_canceller(d);
    if (pending(d) && d->firer != NULL)
        stays = d->firer->cancel(d->firer);
    if (pending(d) && !stays) {
        d->is.late = by_program;
        (void)evert__deferred_fire(d, evert_fail(-ECANCELED));
    }
    (void)evert__deferred_drop(d);
}

void evert__deferred_abandon(evert_deferred *d)
{
    d->is.abandoned = true;
    evert_deferred_cancel(d);
}

/* ---- Freeing ---- */

/* An error that went to nobody. That a Deferred was abandoned is known to who did that. */
static void report(const evert_deferred *d)
{
    int error = d->result.error;
    if (d->result.kind != EVERT_RESULT_ERROR || d->is.consumed)
        return;
    if (d->is.abandoned && error == -ECANCELED)
        return;
    evert__log(EVERT_LOG_ERROR, "nobody handled the error of a Deferred made at %s: %s (%s)",
               d->place, evert_strerror(error), evert_error_name(error));
}

static void tell_that_it_is_gone(evert_deferred *d)
{
    struct evert__link *link;
    while ((link = evert__list_shift(&d->awaiters)) != NULL) {
        struct evert__awaiter *awaiter = EVERT__CONTAINER(link, struct evert__awaiter, link);
        awaiter->deferred = NULL;
        awaiter->tell(awaiter, -ECANCELED);
    }
}

/* Whoever was going to fire it is told not to. */
static void stop_firing(evert_deferred *d)
{
    struct evert__firer *firer = d->firer;
    if (d->is.fired)
        return;
    forget_firer(d);
    if (firer != NULL)
        (void)firer->cancel(firer);
    call_canceller(d);
}

/* Frees one, and returns what it waited for, which nobody owns then. */
EVERT__RETURNS static evert_deferred *free_one(evert_deferred *d)
{
    evert_deferred *inner = d->inner;
    evert_result result = d->result;

    report(d);
    d->is.freed = true;
    d->is.holds++;
    d->inner = NULL;
    d->result.kind = EVERT_RESULT_NONE;
    if (inner != NULL)
        inner->outer = NULL;
    if (d->first != NULL)
        evert__deferred_clear(d);
    if (d->spent != NULL)
        evert__deferred_free_spent(d);
    tell_that_it_is_gone(d);
    stop_firing(d);
    evert__result_destroy(&result);
    (void)evert__deferred_drop(d);
    return inner;
}

/* An inner one can be freed by its own callbacks: for the outer that is a cancel. */
static evert_deferred *leave_outer(evert_deferred *d)
{
    evert_deferred *outer = d->outer;
    if (outer != NULL) {
        outer->inner = NULL;
        outer->is.holds++;
        d->outer = NULL;
    }
    return outer;
}

static void cancel_outer(evert_deferred *outer)
{
    if (outer == NULL || !evert__deferred_drop(outer))
        return;
    outer->result = evert_fail(-ECANCELED);
    evert__deferred_run(outer);
}

EVERT__RETURNS void evert_deferred_free(evert_deferred *d)
{
    if (d == NULL)
        return;
    if (d->is.freed) {
        evert__misuse("evert_deferred_free: the Deferred made at %s was freed already", d->place);
        return;
    }
    evert_deferred *outer = leave_outer(d);
    while (d != NULL)
        d = free_one(d);
    cancel_outer(outer);
}

void evert_deferred_release(evert_deferred *d)
{
    d->is.released = true;
    evert__deferred_run(d);
}

/* ---- Pausing ---- */

void evert_deferred_pause(evert_deferred *d)
{
    d->is.pauses++;
}

void evert_deferred_unpause(evert_deferred *d)
{
    if (d->is.pauses == 0) {
        evert__misuse("evert_deferred_unpause: the Deferred made at %s is not paused", d->place);
        return;
    }
    if (--d->is.pauses == 0)
        evert__deferred_run(d);
}
