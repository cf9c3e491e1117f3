/* SPDX-License-Identifier: MIT */
/*
 * The Deferred from the inside.
 *
 * One that waits for another is that one's *outer*, and owns it, its *inner*. So Deferreds form
 * chains, never trees, and each walk along one is a loop; see chain.c.
 *
 * Callbacks, cancellers, destroy functions and whoever is told may do anything with any Deferred.
 * So each is called when all is written down already; and who needs a Deferred after such a call
 * holds it meanwhile: freeing it then takes everything from it but its memory.
 */
#ifndef EVERT_SRC_DEFERRED_DEFERRED_H
#define EVERT_SRC_DEFERRED_DEFERRED_H

#include <evert/deferred/deferred.h>

#include "base/list.h"
#include "loop/loop.h"

/* A callback and its errback. Both are NULL in one that is not in use. */
struct evert__pair {
    evert_deferred_fn *callback, *errback;
    void *arg;
    struct evert__pair *next;
};

/* Somebody who waits for the end of a chain without being a part of it. */
struct evert__awaiter {
    struct evert__link link;
    evert_deferred *deferred; /* NULL when that is gone */
    /* Called once the result is there (its error, or 0), and with -ECANCELED when it is gone. */
    void (*tell)(struct evert__awaiter *awaiter, int error);
    bool told;
};

/* Who is going to fire a Deferred, where that is the library itself. */
struct evert__firer {
    /* True: it will be fired all the same, and does not fail now. */
    bool (*cancel)(struct evert__firer *firer);
    /* It has been fired by somebody else, or is being freed: it must not be fired. Nothing else. */
    void (*gone)(struct evert__firer *firer);
};

struct evert__timeout;

struct evert_deferred {
    evert_result result; /* so far; of no kind while it waits, calls a callback, or is freed */
    struct evert__pair *first, *last; /* to be called */
    struct evert__pair pairs[2];      /* the first to be used: most chains need no more */
    evert_deferred *outer, *inner;
    evert_deferred *spent; /* the last of a ring of inner ones that may yet be fired; see chain.c */
    evert_deferred *next;  /* in such a ring */
    evert_canceller *canceller;
    void *canceller_arg;
    struct evert__firer *firer; /* NULL once it has been fired */
    struct evert__timeout *timeout;
    struct evert__link awaiters; /* those who were told already stand last */
    const char *place;
    const void *thread; /* whose it is */
    struct evert__deferred_state {
        unsigned holds; /* calls that go on, and need the memory */
        unsigned pauses;
        bool running;    /* a callback of it has not returned */
        bool cancelling; /* its canceller has not returned */
        bool cancelled;
        bool late;      /* it was fired by a cancel, so another firing may come, once */
        bool lingers;   /* held for that one */
        bool freed;     /* it is nothing but memory that is held */
        bool released;  /* it frees itself */
        bool sealed;    /* nothing can be added */
        bool fanned;    /* a fan-out owns it */
        bool taken;     /* its value was handed over */
        bool consumed;  /* its error was told to somebody */
        bool abandoned; /* who waited for it was cancelled, and knows it */
        bool fired;
    } is;
};

void evert__deferred_init(evert_deferred *deferred, const char *place);

/* 0, or EVERT_ECONTEXT after a word about `call`, made by another thread than its own. */
int evert__deferred_used_by_another(const evert_deferred *deferred, const char *call);

static inline int evert__deferred_usable(const evert_deferred *deferred, const char *call)
{
    return deferred->thread == evert__thread_here()
               ? 0
               : evert__deferred_used_by_another(deferred, call);
}

/* Fires it. 0 or EVERT_EALREADY; the result is taken. */
int evert__deferred_fire(evert_deferred *deferred, evert_result result);

/* Gives a hold back. False: it was freed, and may be gone. */
bool evert__deferred_drop(evert_deferred *deferred);

/* Whether a cancel would have an effect that none before it had. */
bool evert__deferred_may_cancel(evert_deferred *deferred);

/* Cancels it for those who awaited it: their being cancelled is nothing that is left to handle. */
void evert__deferred_abandon(evert_deferred *deferred);

/* Destroys the value of a result that owns one. */
static inline void evert__result_destroy(const evert_result *result)
{
    if (result->kind == EVERT_RESULT_VALUE && result->destroy != NULL)
        result->destroy(result->value);
}

/* ---- chain.c ---- */

/* Calls what is to be called, here and in those that wait for it. May free it. */
void evert__deferred_run(evert_deferred *deferred);

/* Forgets its callbacks, and with them its timeout. */
void evert__deferred_clear(evert_deferred *deferred);

/* Frees what is left of inner ones. There has to be one. */
void evert__deferred_free_spent(evert_deferred *deferred);

/* Whether its chain has come to its end, and holds a result. */
static inline bool evert__deferred_settled(const evert_deferred *d)
{
    return d->result.kind != EVERT_RESULT_NONE && d->first == NULL && d->is.pauses == 0 &&
           !d->is.running;
}

/* Seals the chain. EVERT_EALREADY: another waits for it, or its value is not there any more. */
int evert__deferred_seal(evert_deferred *deferred);

/* Adds one who waits for a sealed Deferred. It is told at once if the result is there. */
void evert__deferred_await(evert_deferred *deferred, struct evert__awaiter *awaiter);

/* Takes it off again, told or not, also where the Deferred is gone. */
void evert__awaiter_remove(struct evert__awaiter *awaiter);

/* ---- timeout.c ---- */

void evert__timeout_free(struct evert__timeout *timeout);

#endif
