/* SPDX-License-Identifier: MIT */
/*
 * A fan-out awaits its source, so that the result stays there, and fires its branches with it.
 * Branches are listed until they have been fired.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "deferred/deferred.h"

struct evert_fan_out {
    struct evert__awaiter awaiter;
    evert_deferred *source; /* NULL if it was freed, by a callback of its own */
    const char *place;
    struct evert__link branches;
    bool telling; /* branches are being fired, so it has to stay */
    bool freed;
};

struct branch {
    struct evert_deferred deferred; /* first: the program frees it as any other */
    struct evert__firer firer;
    struct evert__link link;
    evert_fan_out *fan_out; /* NULL once it was cancelled */
};

/* What the source has come to, for a branch, which is going to see to it if it is an error. */
static evert_result borrowed_result(const evert_fan_out *f)
{
    if (f->source == NULL || f->freed)
        return evert_fail(-ECANCELED);
    f->source->is.consumed = true;
    if (f->source->result.kind == EVERT_RESULT_ERROR)
        return evert_fail(f->source->result.error);
    return evert_ok(f->source->result.value);
}

/* Fires all branches that there are. Meanwhile they may come and go, and so may the source. */
static void fire_branches(evert_fan_out *f)
{
    struct evert__link *link;
    while ((link = evert__list_shift(&f->branches)) != NULL) {
        struct branch *branch = EVERT__CONTAINER(link, struct branch, link);
        (void)evert__deferred_fire(&branch->deferred, borrowed_result(f));
    }
}

static void finish(evert_fan_out *f)
{
    evert_deferred *source = f->source;
    evert__awaiter_remove(&f->awaiter);
    evert__free(f);
    evert_deferred_free(source);
}

static void told(struct evert__awaiter *awaiter, int error)
{
    evert_fan_out *f = EVERT__CONTAINER(awaiter, evert_fan_out, awaiter);
    (void)error;
    if (awaiter->deferred == NULL)
        f->source = NULL;
    else
        f->source->is.consumed = false; /* unless there are branches */
    if (f->telling)
        return; /* it goes on with that */
    f->telling = true;
    fire_branches(f);
    f->telling = false;
    if (f->freed)
        finish(f);
}

int evert_fan_out_new(evert_fan_out **ret, evert_deferred *source)
{
    int rc = source->is.sealed ? EVERT_EALREADY : evert__deferred_seal(source);
    evert_fan_out *f = rc == 0 ? evert__alloc_zero(sizeof(*f)) : NULL;
    if (f == NULL) {
        if (source->outer == NULL && !source->is.fanned) /* else it is not the caller's to give */
            evert_deferred_free(source);
        return rc < 0 ? rc : -ENOMEM;
    }
    evert__list_init(&f->branches);
    source->is.fanned = true;
    f->source = source;
    f->place = source->place;
    f->awaiter.tell = told;
    evert__deferred_await(source, &f->awaiter);
    *ret = f;
    return 0;
}

static struct branch *branch_of(struct evert__firer *firer)
{
    return EVERT__CONTAINER(firer, struct branch, firer);
}

static void branch_gone(struct evert__firer *firer)
{
    evert__link_remove(&branch_of(firer)->link);
}

/* The last one gives the source up. */
static bool cancel_branch(struct evert__firer *firer)
{
    struct branch *branch = branch_of(firer);
    evert_fan_out *f = branch->fan_out;
    branch_gone(firer);
    branch->fan_out = NULL; /* which may be freed by what is called now */
    if (f != NULL && evert__list_empty(&f->branches) && f->source != NULL)
        evert__deferred_abandon(f->source);
    return false;
}

int evert_fan_out_branch(evert_fan_out *f, evert_deferred **ret)
{
    struct branch *branch = evert__alloc(sizeof(*branch));
    if (branch == NULL)
        return -ENOMEM;
    evert__deferred_init(&branch->deferred, f->place);
    branch->firer = (struct evert__firer){cancel_branch, branch_gone};
    branch->link = (struct evert__link){NULL, NULL};
    branch->fan_out = f;
    if (f->source == NULL || evert__deferred_settled(f->source)) {
        (void)evert__deferred_fire(&branch->deferred, borrowed_result(f));
    } else {
        branch->deferred.firer = &branch->firer;
        evert__list_append(&f->branches, &branch->link);
    }
    *ret = &branch->deferred;
    return 0;
}

void evert_fan_out_free(evert_fan_out *f)
{
    if (f == NULL)
        return;
    if (f->freed) {
        evert__misuse("evert_fan_out_free: the fan-out was freed already");
        return;
    }
    bool telling = f->telling;
    f->freed = true;
    f->telling = true;
    fire_branches(f);
    if (!telling)
        finish(f);
}
