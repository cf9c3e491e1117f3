/* SPDX-License-Identifier: MIT */
/*
 * Scopes as the rules C3 to C8 have them (docs/rules.md), in the plainest code that says it: there
 * is a tree, and whether something in it is cancelled is found by going up. Nothing here calls the
 * library, and nothing is taken from how that does it.
 *
 * Of a wait the model knows which came first, what it waited for or a cancellation. Where it cannot
 * know, as the kernel or the order of a turn decides, either is right (`either`).
 */
#ifndef EVERT_TESTS_STREAM_MODEL_H
#define EVERT_TESTS_STREAM_MODEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <evert/base/time.h>

#include "base/list.h"

enum m_cause { M_NOT_CANCELLED, M_CANCEL, M_DEADLINE, M_FAILURE };

enum m_kind { M_RUNS, M_YIELD, M_SLEEP, M_JOIN, M_AWAIT, M_READ, M_WRITE, M_LEAVE };

enum { M_FAILURES_KEPT = 5 };

struct m_scope {
    struct m_task *owner;   /* NULL for a scope that was left */
    struct m_scope *parent; /* around it, in the same task */
    bool shield, keep_going;
    enum m_cause cause; /* the first that cancelled this very scope */
    int failure;        /* what leaving is to return because somebody failed; 0 if nobody did */
    bool cut_short;     /* its cancellation ended the body or a task of it */
    unsigned live;      /* tasks */
    unsigned failures;
    int failed[M_FAILURES_KEPT];
};

/* A Deferred that tasks await. */
struct m_deferred {
    bool fired;
    bool late; /* fired by a cancel: one more firing is expected */
    int error; /* or 0 */
    unsigned awaiters;
    struct m_task *coroutine; /* that it is made of and that runs; or NULL */
    bool has_canceller, canceller_due;
};

/* Somebody has a handle to the task. */
struct m_handle {
    struct m_task *task;   /* NULL when it has ended */
    struct m_task *joiner; /* or NULL */
    int result;
};

struct m_wait {
    enum m_kind kind;
    bool begun_cut; /* the task was cancelled when the call was made */
    bool cut;       /* a cancellation came first */
    bool done;      /* what it waits for came first, with `result` */
    bool either;
    long turn; /* in which it was cut */
    int result;
    evert_time when;             /* M_SLEEP: until then */
    struct m_handle *handle;     /* M_JOIN */
    struct m_deferred *deferred; /* M_AWAIT */
    const struct m_scope *scope; /* M_LEAVE */
    void *way;                   /* M_READ, M_WRITE */
};

struct m_task {
    struct evert__link all;
    struct m_scope *home;      /* that it was spawned into; or NULL */
    struct m_scope *innermost; /* that it is in; or NULL */
    bool cancelled;            /* by itself, by its handle or the Deferred made of it */
    struct m_deferred *made;   /* that fires when it has ended; or NULL */
    struct m_handle *handle;   /* or NULL */
    struct m_wait wait;
};

static struct evert__link m_tasks; /* that live */
static long m_turn;                /* of the loop: counted by the test */

/* Whether what a wait is for may have come, seen from outside: told by the test. */
static bool m_may_be_done(const struct m_wait *wait);

/* ---- What is cancelled ---- */

/* C3, C7: it is, or something around it that no shield keeps away. */
static bool m_outside_is_cut(const struct m_task *task);

static bool m_is_cut(const struct m_scope *scope)
{
    for (const struct m_scope *s = scope; s != NULL; s = s->parent) {
        if (s->cause != M_NOT_CANCELLED)
            return true;
        if (s->shield)
            return false;
        if (s->parent == NULL)
            return m_outside_is_cut(s->owner);
    }
    return false;
}

static bool m_outside_is_cut(const struct m_task *task)
{
    return task->cancelled || (task->home != NULL && m_is_cut(task->home));
}

static bool m_task_is_cut(const struct m_task *task)
{
    return task->innermost != NULL ? m_is_cut(task->innermost) : m_outside_is_cut(task);
}

/* What it waits for has come. */
static void m_wait_done(struct m_wait *wait, int result)
{
    wait->done = true;
    wait->result = result;
}

/* ---- Deferreds ---- */

/* It has a result: whoever awaits it and was not cut before gets that. */
static void m_deferred_settle(struct m_deferred *d, int error)
{
    d->fired = true;
    d->error = error;
    for (struct evert__link *l = m_tasks.next; l != &m_tasks; l = l->next) {
        struct m_task *task = EVERT__CONTAINER(l, struct m_task, all);
        if (task->wait.kind == M_AWAIT && task->wait.deferred == d && !task->wait.cut)
            m_wait_done(&task->wait, error);
    }
}

static void m_spread(void);

/* D8, D17 */
static void m_deferred_cancel(struct m_deferred *d)
{
    if (d->fired)
        return;
    if (d->coroutine != NULL) {
        d->coroutine->cancelled = true;
        m_spread();
        return;
    }
    d->late = true;
    d->canceller_due = d->has_canceller;
    m_deferred_settle(d, -ECANCELED);
}

/* What firing it now returns; the error of EVERT_EALREADY, or 0. */
static bool m_deferred_may_fire(struct m_deferred *d)
{
    bool may = !d->fired || d->late;
    d->late = d->late && !d->fired;
    return may;
}

/* ---- Waiting and cancelling ---- */

/* A cancellation has reached one who waits, before what it waits for: it gets -ECANCELED. */
static void m_cut_wait(struct m_task *task)
{
    struct m_wait *wait = &task->wait;
    wait->cut = true;
    wait->turn = m_turn;
    wait->either = m_may_be_done(wait);
    if (wait->kind == M_JOIN && wait->handle->joiner == task)
        wait->handle->joiner = NULL;
    /* D16: the last who awaited it takes it with him. */
    if (wait->kind == M_AWAIT && --wait->deferred->awaiters == 0)
        m_deferred_cancel(wait->deferred);
}

/* Something was cancelled: ends all the waits that this reaches. */
static void m_spread(void)
{
    for (struct evert__link *l = m_tasks.next; l != &m_tasks; l = l->next) {
        struct m_task *task = EVERT__CONTAINER(l, struct m_task, all);
        struct m_wait *wait = &task->wait;
        if (wait->kind == M_RUNS || wait->kind == M_LEAVE || wait->done || wait->cut)
            continue;
        if (m_task_is_cut(task))
            m_cut_wait(task);
    }
}

static void m_cancel(struct m_scope *scope, enum m_cause cause)
{
    if (scope->cause == M_NOT_CANCELLED)
        scope->cause = cause;
    m_spread();
}

static void m_task_cancel(struct m_task *task)
{
    task->cancelled = true;
    m_spread();
}

static void m_join_begin(struct m_task *task, struct m_handle *handle)
{
    if (handle->joiner != NULL)
        m_wait_done(&task->wait, -EBUSY);
    else if (handle->task == NULL)
        m_wait_done(&task->wait, handle->result);
    else
        handle->joiner = task;
}

/* C4: each call that waits looks for a cancellation first; not so D17, leaving and closing. */
static void m_wait_begin(struct m_task *task, struct m_wait wait)
{
    task->wait = wait;
    if (wait.kind == M_AWAIT) {
        wait.deferred->awaiters++;
        if (wait.deferred->fired)
            m_wait_done(&task->wait, wait.deferred->error);
    }
    if (wait.kind != M_LEAVE && !task->wait.done && m_task_is_cut(task)) {
        task->wait.begun_cut = true;
        m_cut_wait(task);
        task->wait.either = false;
    } else if (wait.kind == M_JOIN) {
        m_join_begin(task, wait.handle);
    }
}

/* The call has returned. */
static struct m_wait m_wait_end(struct m_task *task)
{
    struct m_wait wait = task->wait;
    task->wait = (struct m_wait){.kind = M_RUNS};
    if (wait.kind == M_AWAIT && !wait.cut)
        wait.deferred->awaiters--;
    return wait;
}

/* ---- Tasks ---- */

static void m_task_begin(struct m_task *task, struct m_scope *home)
{
    *task = (struct m_task){.home = home};
    if (home != NULL)
        home->live++;
    evert__list_append(&m_tasks, &task->all);
}

/* C8: the first failure cancels the others, unless the scope keeps going. */
static void m_failed(struct m_scope *scope, int rc)
{
    if (scope->failures < M_FAILURES_KEPT)
        scope->failed[scope->failures] = rc;
    scope->failures++;
    if (scope->keep_going)
        return;
    if (scope->failure == 0)
        scope->failure = rc;
    m_cancel(scope, M_FAILURE);
}

/* Whoever joins it has the result now. The handle is used up. */
static void m_joined(struct m_handle *handle, int rc)
{
    m_wait_done(&handle->joiner->wait, rc);
    handle->joiner->wait.handle = NULL;
}

/* The task is about to return `rc`. */
static void m_task_end(struct m_task *task, int rc)
{
    struct m_scope *home = task->home;
    evert__link_remove(&task->all);
    if (task->handle != NULL) {
        task->handle->task = NULL;
        task->handle->result = rc;
        if (task->handle->joiner != NULL)
            m_joined(task->handle, rc);
    }
    if (home != NULL) {
        home->live--;
        /* C8: that it was cancelled is no failure; and counts if it was by this scope. */
        if (rc == -ECANCELED && m_outside_is_cut(task))
            home->cut_short = home->cut_short || m_is_cut(home);
        else if (rc < 0)
            m_failed(home, rc);
    }
    if (task->made != NULL) {
        task->made->coroutine = NULL;
        m_deferred_settle(task->made, rc < 0 ? rc : 0);
    }
}

/* ---- Scopes ---- */

static void m_enter(struct m_scope *scope, struct m_task *owner, bool shield)
{
    *scope = (struct m_scope){.owner = owner, .parent = owner->innermost, .shield = shield};
    owner->innermost = scope;
}

/* C8: a body that comes with an error is the first to have failed, unless it was just cut. */
static void m_leave_begin(struct m_scope *scope, int rc)
{
    if (rc == -ECANCELED && m_is_cut(scope))
        scope->cut_short = true;
    else if (rc < 0 && scope->failure == 0)
        scope->failure = rc;
    if (rc < 0)
        m_cancel(scope, M_FAILURE);
}

/* C6: what leaving returns. */
static int m_leave_end(struct m_scope *scope, int rc)
{
    struct m_task *owner = scope->owner;
    owner->innermost = scope->parent;
    scope->owner = NULL;
    if (scope->failure != 0)
        return scope->failure;
    if (!scope->cut_short)
        return rc;
    if (!scope->shield && m_task_is_cut(owner))
        return -ECANCELED;
    return scope->cause == M_DEADLINE ? -ETIMEDOUT : 0;
}

#endif
