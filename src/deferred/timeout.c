/* SPDX-License-Identifier: MIT */
/*
 * A timeout stands in the chain as a pair like others. When the chain has come to it, the timer is
 * not needed any more; and if that had cancelled the Deferred, this is where it is said so.
 */
#include "base/alloc.h"
#include "deferred/deferred.h"
#include "loop/loop.h"

struct evert__timeout {
    struct evert__timer timer;
    evert_loop *loop;
    evert_deferred *deferred;
    bool cancelled; /* it was the timer that did it */
};

void evert__timeout_free(struct evert__timeout *timeout)
{
    /* The loop may have been freed before: then the timer is not set, and it is not looked at. */
    evert__timer_unset(timeout->loop, &timeout->timer);
    evert__free(timeout);
}

static void time_is_up(struct evert__ready *ready)
{
    struct evert__timeout *timeout = EVERT__CONTAINER(ready, struct evert__timeout, timer.ready);
    timeout->cancelled = evert__deferred_may_cancel(timeout->deferred);
    evert_deferred_cancel(timeout->deferred);
}

static evert_result pass(evert_result *in, void *arg)
{
    struct evert__timeout *timeout = arg;
    bool cancelled = timeout->cancelled;
    timeout->deferred->timeout = NULL;
    evert__timeout_free(timeout);
    if (cancelled && in->kind == EVERT_RESULT_ERROR && in->error == -ECANCELED)
        return evert_fail(-ETIMEDOUT);
    return *in;
}

int evert_deferred_timeout(evert_deferred *d, evert_loop *loop, evert_time when)
{
    if (d->is.sealed || d->is.freed || d->timeout != NULL)
        return EVERT_EALREADY;
    if (evert__deferred_settled(d))
        return 0;
    int rc = evert__loop_or_here(&loop);
    if (rc < 0)
        return rc;
    struct evert__timeout *timeout = evert__alloc_zero(sizeof(*timeout));
    if (timeout == NULL)
        return -ENOMEM;
    timeout->timer.ready.run = time_is_up;
    timeout->loop = loop;
    timeout->deferred = d;
    rc = evert_deferred_add_both(d, pass, timeout);
    if (rc < 0) {
        evert__free(timeout);
        return rc;
    }
    d->timeout = timeout;
    evert__timer_set(loop, &timeout->timer, when);
    return 0;
}
