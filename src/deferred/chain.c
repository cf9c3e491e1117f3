/* SPDX-License-Identifier: MIT */
/*
 * How results travel. A Deferred that has a result calls its callbacks, one after the other; at the
 * end of them the result moves to the outer one, which goes on with its own, and so on. All of that
 * is one loop, evert__deferred_run(), so a chain of any length, nested either way, takes no more
 * stack than one of two. What calls that loop while it is in a callback of the same Deferred (by
 * adding to it, say) changes nothing: `running` is set, and the loop that is there goes on with it.
 *
 * An inner Deferred whose result has moved is spent, and freed. The exception is one that was
 * cancelled: whoever borrowed it to fire it does not know yet, and may still do so, once. Such a
 * one is kept, as mere memory, until its outer is freed: by then its owner has to know.
 */
#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "deferred/deferred.h"

/* ---- Pairs ---- */

static inline bool is_in_use(const struct evert__pair *pair)
{
    return pair->callback != NULL || pair->errback != NULL;
}

static struct evert__pair *new_pair(evert_deferred *d)
{
    if (!is_in_use(&d->pairs[0]))
        return &d->pairs[0];
    if (!is_in_use(&d->pairs[1]))
        return &d->pairs[1];
    return evert__alloc(sizeof(struct evert__pair));
}

/* Takes the first pair off the list. */
static struct evert__pair take_first(evert_deferred *d)
{
    struct evert__pair *first = d->first, pair = *first;
    d->first = first->next;
    if (first == &d->pairs[0] || first == &d->pairs[1])
        first->callback = first->errback = NULL;
    else
        evert__free(first);
    return pair;
}

EVERT__RETURNS void evert__deferred_clear(evert_deferred *d)
{
    while (d->first != NULL)
        (void)take_first(d);
    if (d->timeout != NULL)
        evert__timeout_free(d->timeout);
    d->timeout = NULL;
}

EVERT__RETURNS int evert_deferred_add_callbacks(evert_deferred *d, evert_deferred_fn *callback,
                                                evert_deferred_fn *errback, void *arg)
{
    int rc = evert__deferred_usable(d, "evert_deferred_add_callbacks");
    if (rc < 0)
        return rc;
    if (d->is.sealed || d->is.freed)
        return EVERT_EALREADY;
    if (callback == NULL && errback == NULL)
        return 0;
    struct evert__pair *pair = new_pair(d);
    if (pair == NULL)
        return -ENOMEM;
    *pair = (struct evert__pair){callback, errback, arg, NULL};
    if (d->first == NULL)
        d->first = pair;
    else
        d->last->next = pair;
    d->last = pair;
    evert__deferred_run(d);
    return 0;
}

int evert_deferred_add_both(evert_deferred *d, evert_deferred_fn *fn, void *arg)
{
    return evert_deferred_add_callbacks(d, fn, fn, arg);
}

EVERT__RETURNS int evert_deferred_add_callback(evert_deferred *d, evert_deferred_fn *callback,
                                               void *arg)
{
    return evert_deferred_add_callbacks(d, callback, NULL, arg);
}

int evert_deferred_add_errback(evert_deferred *d, evert_deferred_fn *errback, void *arg)
{
    return evert_deferred_add_callbacks(d, NULL, errback, arg);
}

/* ---- Inner ones that are spent ---- */

/* Joins the ring of `from` to that of `to`. */
static void move_spent(evert_deferred *to, evert_deferred *from)
{
    evert_deferred *last = from->spent;
    if (last == NULL)
        return;
    if (to->spent != NULL) {
        evert_deferred *first = last->next;
        last->next = to->spent->next;
        to->spent->next = first;
    }
    to->spent = last;
    from->spent = NULL;
}

static void keep_spent(evert_deferred *outer, evert_deferred *inner)
{
    inner->is.holds++;
    inner->next = inner;
    inner->spent = inner;
    move_spent(outer, inner);
}

/* One that nobody owns stays for the firing that is to come, unless its canceller stopped that. */
static void linger(evert_deferred *d)
{
    if (d->is.late && d->canceller == NULL) {
        d->is.lingers = true;
        d->is.holds++;
    }
}

EVERT__RETURNS void evert__deferred_free_spent(evert_deferred *d)
{
    evert_deferred *last = d->spent, *next;
    d->spent = NULL;
    for (evert_deferred *s = last->next;; s = next) {
        next = s->next;
        bool end = s == last;
        if (d->is.released)
            linger(s);
        (void)evert__deferred_drop(s);
        if (end)
            return;
    }
}

/* ---- Waiting for another ---- */

/* The result of `inner`, at the end of its chain, becomes that of `outer`. */
static void move_result(evert_deferred *outer, evert_deferred *inner)
{
    outer->result = inner->result;
    inner->result.kind = EVERT_RESULT_NONE;
    inner->is.freed = true;
    move_spent(outer, inner);
    if (inner->is.late)
        keep_spent(outer, inner);
    else if (inner->is.holds == 0)
        evert__free(inner);
}

/*
 * Whether `other` waits for `d`, or is it. One looks from `other` inwards, the other from `d`
 * outwards; as either alone would find it, both stop where the first ends. Walking one way only
 * would make it slow to build a chain from one of its ends.
 */
static bool waits_for(const evert_deferred *other, const evert_deferred *d)
{
    const evert_deferred *in = other, *out = d;
    while (in != NULL && out != NULL) {
        if (in == d || out == other)
            return true;
        in = in->inner;
        out = out->outer;
    }
    return false;
}

static bool may_wait(const evert_deferred *d, const evert_deferred *other)
{
    bool owned =
        other->outer != NULL || other->is.running || other->is.sealed || other->is.released;
    return !owned && !other->is.freed && !waits_for(other, d);
}

static void wait_for(evert_deferred *d, evert_deferred *other)
{
    if (!may_wait(d, other)) {
        d->result = evert_fail(EVERT_EALREADY);
    } else if (evert__deferred_settled(other)) {
        move_result(d, other);
    } else {
        d->inner = other;
        other->outer = d;
    }
}

/* ---- Calling ---- */

/* Whether the value of `in` is that of `out`, which then owns it as `in` did. */
static bool passed_on(const evert_result *in, evert_result *out)
{
    if (out->kind != EVERT_RESULT_VALUE || out->value != in->value)
        return false;
    if (out->destroy == NULL)
        out->destroy = in->destroy;
    return true;
}

static inline evert_result checked(const evert_deferred *d, evert_result out)
{
    if (out.kind == EVERT_RESULT_VALUE)
        return evert_ok_owned(out.value, out.destroy);
    if (out.kind == EVERT_RESULT_ERROR && out.error < 0)
        return evert_fail(out.error);
    if (out.kind == EVERT_RESULT_WAIT && out.other != NULL)
        return evert_wait_for(out.other);
    evert__misuse("a callback of a Deferred made at %s returned no result; make one by evert_ok(), "
                  "evert_fail() or evert_wait_for()",
                  d->place);
    return evert_fail(-EINVAL);
}

/* What a callback came to that has freed its own Deferred. */
static void drop_result(const evert_deferred *d, const evert_result *out)
{
    evert__result_destroy(out);
    if (out->kind == EVERT_RESULT_WAIT && may_wait(d, out->other))
        evert_deferred_free(out->other);
}

static void call_first(evert_deferred *d)
{
    struct evert__pair pair = take_first(d);
    evert_deferred_fn *fn = d->result.kind == EVERT_RESULT_VALUE ? pair.callback : pair.errback;
    if (fn == NULL)
        return;

    evert_result in = d->result;
    d->result.kind = EVERT_RESULT_NONE;
    evert_result out = checked(d, fn(&in, pair.arg));
    if (in.destroy != NULL && !passed_on(&in, &out))
        in.destroy(in.value);

    if (d->is.freed)
        drop_result(d, &out);
    else if (out.kind == EVERT_RESULT_WAIT)
        wait_for(d, out.other);
    else
        d->result = out;
}

static inline bool may_go_on(const evert_deferred *d)
{
    return d->result.kind != EVERT_RESULT_NONE && d->is.pauses == 0;
}

/* False: it is gone, or as good as gone. */
static bool call_all(evert_deferred *d)
{
    d->is.running = true;
    d->is.holds++;
    while (d->first != NULL && may_go_on(d))
        call_first(d);
    d->is.running = false;
    return evert__deferred_drop(d);
}

/* ---- The end of a chain ---- */

int evert__deferred_seal(evert_deferred *d)
{
    if (d->outer != NULL || d->is.taken || d->is.freed)
        return EVERT_EALREADY;
    d->is.sealed = true;
    return 0;
}

static void tell(struct evert__awaiter *awaiter)
{
    evert_deferred *d = awaiter->deferred;
    evert__link_remove(&awaiter->link);
    evert__list_append(&d->awaiters, &awaiter->link);
    awaiter->told = true;
    d->is.consumed = true;
    awaiter->tell(awaiter, d->result.error);
}

/* They stay on the list: a value is borrowed, so they have to hear when it goes. */
static void tell_all(evert_deferred *d)
{
    while (!evert__list_empty(&d->awaiters)) {
        struct evert__awaiter *first =
            EVERT__CONTAINER(d->awaiters.next, struct evert__awaiter, link);
        if (first->told)
            return;
        tell(first);
    }
}

void evert__deferred_await(evert_deferred *d, struct evert__awaiter *awaiter)
{
    awaiter->deferred = d;
    awaiter->told = false;
    evert__list_append(&d->awaiters, &awaiter->link);
    if (evert__deferred_settled(d))
        tell(awaiter);
}

void evert__awaiter_remove(struct evert__awaiter *awaiter)
{
    evert__link_remove(&awaiter->link);
}

/* All callbacks have been called. Returns the one that goes on with the result, if any does. */
static inline evert_deferred *end(evert_deferred *d)
{
    evert_deferred *outer = d->outer;
    if (outer != NULL) {
        outer->inner = NULL;
        d->outer = NULL;
        move_result(outer, d);
        return outer;
    }
    if (evert__list_empty(&d->awaiters) && !d->is.released)
        return NULL;
    d->is.holds++;
    tell_all(d);
    if (d->is.released && !d->is.freed) {
        linger(d);
        evert_deferred_free(d);
    }
    (void)evert__deferred_drop(d);
    return NULL;
}

EVERT__RETURNS void evert__deferred_run(evert_deferred *d)
{
    while (d != NULL && may_go_on(d) && !d->is.running) {
        if (d->first == NULL)
            d = end(d);
        else if (!call_all(d))
            return;
    }
}
