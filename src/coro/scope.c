/* SPDX-License-Identifier: MIT */
#include "base/flat.h"
#include "coro/task.h"

#include "base/log.h"
#include "base/time.h"
#include "coro/describe.h"
#include "coro/wait.h"

static struct evert__scope *inside(evert_scope *scope)
{
    return (struct evert__scope *)scope;
}

static bool is_here(const struct evert__scope *scope, const char *call)
{
    return scope->owner == NULL ||
           evert__loop_usable(scope->owner->loop, call, "evert_loop_call_threadsafe") == 0;
}

/*
 * Cancelling. A work list of tasks, and not recursion, since the tree of tasks may be deep. A task
 * is on it when what is outside its own scopes has been cancelled.
 */
static void list_children(struct evert__scope *scope, struct evert__task **work)
{
    for (struct evert__link *l = scope->children.next; l != &scope->children; l = l->next) {
        struct evert__task *child = EVERT__CONTAINER(l, struct evert__task, sibling);
        if (child->cut)
            continue;
        child->cut = true;
        child->next = *work;
        *work = child;
    }
}

/*
 * Marks the scopes of one task, from just inside `outer` (NULL: from outside of all) up to the
 * first shield, and ends its wait if no shield keeps that away.
 */
static void cancel_inside(struct evert__task *task, const struct evert__scope *outer,
                          struct evert__task **work)
{
    struct evert__scope *shield = NULL;
    for (struct evert__scope *s = task->scope; s != outer; s = s->parent) {
        if (s->shield)
            shield = s;
    }
    for (struct evert__scope *s = shield != NULL ? shield->parent : task->scope; s != outer;
         s = s->parent) {
        s->cancelled = true;
        list_children(s, work);
    }
    if (shield == NULL)
        evert__task_cancel_wait(task);
}

static void work_off(struct evert__task *work)
{
    while (work != NULL) {
        struct evert__task *task = work;
        work = task->next;
        cancel_inside(task, NULL, &work);
    }
}

void evert__task_cut(struct evert__task *task)
{
    struct evert__task *work = NULL;
    task->cut = true;
    cancel_inside(task, NULL, &work);
    work_off(work);
}

static void cancel(struct evert__scope *scope, enum evert__cause cause)
{
    struct evert__task *work = NULL;
    if (scope->cause == EVERT__CAUSE_NONE)
        scope->cause = (uint8_t)cause;
    if (scope->cancelled || scope->left || scope->owner == NULL)
        return;
    scope->cancelled = true;
    list_children(scope, &work);
    cancel_inside(scope->owner, scope, &work);
    work_off(work);
}

static void deadline_came(struct evert__ready *ready)
{
    cancel(EVERT__CONTAINER(ready, struct evert__scope, deadline.ready), EVERT__CAUSE_DEADLINE);
}

static void set_deadline(struct evert__scope *scope, evert_time deadline)
{
    if (deadline == EVERT_NEVER || scope->owner == NULL)
        return;
    if (deadline <= evert__clock())
        cancel(scope, EVERT__CAUSE_DEADLINE);
    else
        evert__timer_set(scope->owner->loop, &scope->deadline, deadline);
}

static void enter(struct evert__scope *scope, evert_time deadline, bool shield)
{
    struct evert__task *self;
    *scope = (struct evert__scope){.deadline.ready.run = deadline_came, .shield = shield};
    evert__list_init(&scope->children);
    evert__list_init(&scope->ended);
    int rc = evert__self(&self);
    if (rc == EVERT_ECONTEXT)
        evert__misuse("a scope was entered in a callback of the loop; scopes are for tasks");
    if (rc < 0) {
        scope->error = rc; /* spawning and leaving will say so */
        return;
    }
    evert__scope_check(self, __builtin_frame_address(0));
    scope->owner = self;
    scope->parent = self->scope;
    scope->cancelled = !shield && evert__task_cancelled(self);
    evert__task_set_scope(self, scope);
    set_deadline(scope, deadline);
}

void evert_scope_enter(evert_scope *scope, evert_time deadline)
{
    enter(inside(scope), deadline, false);
}

void evert_shield_enter(evert_scope *scope, evert_time deadline)
{
    enter(inside(scope), deadline, true);
}

void evert_scope_keep_going(evert_scope *scope)
{
    inside(scope)->keep_going = true;
}

void evert_scope_set_deadline(evert_scope *given, evert_time deadline)
{
    struct evert__scope *scope = inside(given);
    if (scope->left || scope->owner == NULL || !is_here(scope, "evert_scope_set_deadline"))
        return;
    evert__timer_unset(scope->owner->loop, &scope->deadline);
    set_deadline(scope, deadline);
}

void evert_scope_cancel(evert_scope *scope)
{
    if (is_here(inside(scope), "evert_scope_cancel"))
        cancel(inside(scope), EVERT__CAUSE_CANCEL);
}

unsigned evert_scope_failures(const evert_scope *scope)
{
    return ((const struct evert__scope *)scope)->failures;
}

int evert_scope_failure(const evert_scope *given, unsigned index)
{
    const struct evert__scope *scope = (const struct evert__scope *)given;
    return index < scope->failures && index < EVERT__FAILURES_KEPT ? scope->failed[index] : 0;
}

/* A task failed. The first one is the scope's failure and cancels the others, unless they go on. */
static void failed(struct evert__scope *scope, struct evert__task *task)
{
    if (scope->failures < EVERT__FAILURES_KEPT)
        scope->failed[scope->failures] = task->result;
    scope->failures++;
    if (scope->keep_going) {
        evert__log(EVERT_LOG_WARNING, "task %s, spawned at %s, failed: %s", task->name, task->place,
                   evert__description_of(task, task->result));
    } else if (scope->error == 0) {
        scope->error = task->result;
        evert__description_move(&scope->description, &task->description, task->result);
        cancel(scope, EVERT__CAUSE_FAILURE);
    }
}

EVERT__HOT void evert__scope_child_ended(struct evert__scope *scope, struct evert__task *task)
{
    evert__link_remove(&task->sibling);
    scope->live--;
    if (task->result == -ECANCELED && task->cut)
        scope->cut_child = scope->cut_child || scope->cancelled;
    else if (task->result < 0)
        failed(scope, task);
    if (task->kept)
        evert__list_append(&scope->ended, &task->sibling);
    if (scope->live == 0 && scope->leaver != NULL)
        evert__wake(scope->leaver, 0);
}

/* What leaving returns, after everything inside has ended and it was left: see scope.h. */
static int outcome(const struct evert__scope *scope, int rc, bool cut)
{
    if (scope->error < 0)
        return scope->error;
    if (!cut && !scope->cut_child)
        return rc;
    if (evert__task_cancelled(scope->owner) && !scope->shield)
        return -ECANCELED;
    return scope->cause == EVERT__CAUSE_DEADLINE ? -ETIMEDOUT : 0;
}

/* In a child of a fork: they are copies of the parent's tasks, and will not be run to their end. */
static void abandon_children(struct evert__scope *scope)
{
    struct evert__link *link;
    while ((link = evert__list_shift(&scope->children)) != NULL)
        EVERT__CONTAINER(link, struct evert__task, sibling)->home = NULL;
    scope->live = 0;
    scope->error = EVERT_ECLOSED;
}

/* After the last has ended, and before this task runs again, others may spawn into the scope. */
static void wait_for_children(struct evert__scope *scope)
{
    struct evert__link *link;
    while (scope->live > 0) {
        struct evert__waiter waiter = {0};
        scope->leaver = &waiter;
        evert__wait(scope->owner, &waiter);
        scope->leaver = NULL;
        if (waiter.result < 0)
            abandon_children(scope);
    }
    while ((link = evert__list_shift(&scope->ended)) != NULL)
        evert__task_free(EVERT__CONTAINER(link, struct evert__task, sibling));
}

static int leave(struct evert__scope *scope, int rc)
{
    struct evert__task *owner = scope->owner;
    bool cut = rc == -ECANCELED && scope->cancelled;

    if (rc < 0) {
        if (!cut && scope->error == 0)
            scope->error = rc;
        cancel(scope, EVERT__CAUSE_FAILURE);
    }
    wait_for_children(scope);
    evert__timer_unset(owner->loop, &scope->deadline);
    scope->left = true;
    evert__task_set_scope(owner, scope->parent);
    rc = outcome(scope, rc, cut);
    evert__description_move(&owner->description, &scope->description, rc);
    evert__description_free(&scope->description);
    return rc;
}

static bool is_in(const struct evert__task *task, const struct evert__scope *scope)
{
    for (const struct evert__scope *s = task->scope; s != NULL; s = s->parent) {
        if (s == scope)
            return true;
    }
    return false;
}

int evert_scope_leave(evert_scope *given, int rc)
{
    struct evert__scope *scope = inside(given);
    struct evert__task *self;

    if (scope->owner == NULL)
        return scope->error; /* it was never really entered, for want of a loop */
    if (evert__self(&self) < 0 || self != scope->owner || scope->left || !is_in(self, scope)) {
        evert__misuse("evert_scope_leave: this task is not in that scope; each scope is left once, "
                      "by the task that entered it");
        return EVERT_ESCOPE;
    }
    if (self->scope == scope)
        return leave(scope, rc);

    evert__misuse("evert_scope_leave: a scope inside this one has not been left; scopes are left "
                  "in the reverse of the order in which they were entered");
    while (self->scope != scope)
        (void)leave(self->scope, -ECANCELED);
    (void)leave(scope, rc < 0 ? rc : -ECANCELED);
    return EVERT_ESCOPE;
}

#ifdef EVERT_DEBUG
void evert__scope_check(const struct evert__task *task, const void *frame)
{
    const char *scope = (const char *)task->scope;
    if (scope == NULL)
        return;
    /* While the task runs: one below the frame that asks was in a function that has returned. */
    if (frame != NULL && (task->root || scope < task->stack->low || scope >= (const char *)frame))
        return;
    evert__misuse("task %s, spawned at %s: a function returned without leaving its scope",
                  task->name, task->place);
}
#endif
