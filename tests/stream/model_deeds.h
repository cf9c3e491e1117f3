/* SPDX-License-Identifier: MIT */
/*
 * What is done to scopes, tasks and Deferreds in the world of the model test. Each deed is told to
 * the model first and then to the library, since that may call cancellers in the midst of it.
 */
#ifndef EVERT_TESTS_STREAM_MODEL_DEEDS_H
#define EVERT_TESTS_STREAM_MODEL_DEEDS_H

#include "model_pairs.h"

static bool m_may_be_done(const struct m_wait *wait)
{
    if (wait->kind == M_SLEEP)
        return world.now >= wait->when;
    if (wait->kind == M_READ || wait->kind == M_WRITE)
        return end_may_be_done(wait);
    return wait->kind == M_YIELD;
}

/* ---- Cancelling and deadlines ---- */

static void cancel_record(struct record *r)
{
    did(NULL, "cancels a scope of", member_of(r->says.owner)->number);
    m_cancel(&r->says, M_CANCEL);
    evert_scope_cancel(&r->scope);
}

static void cancel_task(struct handle *h)
{
    did(NULL, "cancels a task", 0);
    if (h->says.task != NULL)
        m_task_cancel(h->says.task);
    evert_task_cancel(h->task);
}

static void deadline_came(void *arg)
{
    struct record *r = arg;
    note(NULL, "deadline of a scope of", member_of(r->says.owner)->number);
    m_cancel(&r->says, M_DEADLINE);
}

/* Called right before the library is told of it, so that the one timer stands before the other. */
static void follow_deadline(struct record *r, evert_time deadline)
{
    evert_handle_cancel(&r->came);
    if (deadline <= world.now)
        m_cancel(&r->says, M_DEADLINE);
    else
        check_rc(evert_loop_call_at(world.loop, &r->came, deadline, deadline_came, r), 0);
}

static evert_time draw_deadline(void)
{
    switch (draw(16)) {
    case 0:
        return LONG_AGO;
    case 1:
        return world.now;
    case 2:
    case 3:
    case 4:
    case 5:
        return evert_after(draw(3000000));
    default:
        return EVERT_NEVER;
    }
}

static void move_deadline(struct record *r)
{
    evert_time deadline = draw_deadline();
    did(NULL, "moves the deadline of a scope of", member_of(r->says.owner)->number);
    follow_deadline(r, deadline);
    evert_scope_set_deadline(&r->scope, deadline);
}

/* ---- Spawning ---- */

static int draw_failure(void)
{
    static const int failures[] = {-EPROTO, -EPIPE, -ENOENT, -ETIMEDOUT, -ECANCELED, EVERT_EOF};
    return failures[draw(COUNT_OF(failures))];
}

static int act_some(struct member *m);
static int live(struct member *m);

static void drop_handle(struct handle *h)
{
    table_remove(&world.handles, &h->row);
    evert__link_remove(&h->link);
    free(h);
}

static struct member *new_member(struct record *home)
{
    struct member *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m_task_begin(&m->says, home != NULL ? &home->says : NULL);
    m->number = ++world.numbers;
    table_add(&world.members, &m->row);
    return m;
}

/* A task. It always starts (C3), or the member would be left over. */
static int run_member(void *arg)
{
    struct member *m = arg;
    world.moves++;
    world.tasks++;
    note(m, "starts", 0);
    int rc = chance(12) ? draw_failure() : chance(2) ? act_some(m) : live(m);
    note(m, "ends with", rc);
    struct m_handle *handle = m->says.handle;
    m_task_end(&m->says, rc);
    if (handle != NULL && handle->joiner != NULL)
        drop_handle(EVERT__CONTAINER(handle, struct handle, says));
    table_remove(&world.members, &m->row);
    free(m);
    world.moves++;
    return rc;
}

static bool may_spawn(void)
{
    return !world.draining && world.members.count < world.most;
}

static void spawn_with_handle(struct record *r, struct member *m)
{
    struct handle *h = calloc(1, sizeof(*h));
    evert_spawn_options options = evert_spawn_defaults();
    assert_non_null(h);
    options.ret_task = &h->task;
    options.stack = chance(4) ? 300000 : 0;
    check_rc(evert_spawn_with(&r->scope, &options, run_member, m), 0);
    h->says.task = &m->says;
    m->says.handle = &h->says;
    evert__list_append(&r->handles, &h->link);
    table_add(&world.handles, &h->row);
}

static void spawn_into(struct record *r)
{
    evert_coro *coro;
    if (!may_spawn())
        return;
    struct member *m = new_member(r);
    did(m, "is spawned into a scope of", member_of(r->says.owner)->number);
    if (world.handles.count < MOST && chance(3)) {
        spawn_with_handle(r, m);
    } else if (chance(4)) {
        check_rc(evert_coro_new(&coro, run_member, m), 0);
        check_rc(evert_spawn_coro(&r->scope, coro), 0);
    } else {
        check_rc(evert_spawn(&r->scope, run_member, m), 0);
    }
}

/* ---- Deferreds ---- */

/* Nothing may wait in the middle of a cancellation. Builds with checks would abort. */
static void check_callback(void)
{
#ifndef EVERT_DEBUG
    check_rc(evert_yield(), EVERT_ECONTEXT);
#endif
}

/* A canceller is a callback in the middle of a cancellation: it may do much, but not wait. */
static void cancelled(evert_deferred *deferred, void *arg)
{
    struct item *item = arg;
    struct record *r = any_of(&world.records);
    assert_true(item->says.canceller_due);
    item->says.canceller_due = false;
    if (item->freeing)
        return;
    if (!item->by_program)
        check_callback();
    if (chance(3)) {
        item->says.late = false;
        m_deferred_settle(&item->says, 0);
        check_rc(evert_deferred_callback(deferred, item->value, NULL), 0);
    } else if (chance(3) && r != NULL) {
        cancel_record(r);
    }
}

static struct item *new_item(void)
{
    struct item *item = calloc(1, sizeof(*item));
    assert_non_null(item);
    item->value = item;
    return item;
}

static void add_item(struct record *r, struct item *item)
{
    evert__list_append(&r->items, &item->link);
    table_add(&world.items, &item->row);
}

static void open_item(struct record *r)
{
    struct item *item = new_item();
    check_rc(evert_deferred_new(&item->deferred), 0);
    item->says.has_canceller = chance(2);
    if (item->says.has_canceller)
        evert_deferred_set_canceller(item->deferred, cancelled, item);
    add_item(r, item);
}

/* The coroutine runs at once, up to its first wait. */
static void open_item_of_coroutine(struct record *r)
{
    evert_coro *coro;
    struct item *item = new_item();
    struct member *m = new_member(NULL);
    m->says.made = &item->says;
    item->says.coroutine = &m->says;
    item->value = m;
    check_rc(evert_coro_new(&coro, run_member, m), 0);
    check_rc(evert_deferred_from(&item->deferred, NULL, coro), 0);
    add_item(r, item);
}

static void close_item(struct item *item)
{
    struct m_task *coroutine = item->says.coroutine;
    assert_false(item->says.canceller_due);
    table_remove(&world.items, &item->row);
    evert__link_remove(&item->link);
    item->freeing = true;
    item->says.canceller_due = item->says.has_canceller && !item->says.fired;
    if (coroutine != NULL) {
        coroutine->made = NULL;
        m_task_cancel(coroutine);
    }
    evert_deferred_free(item->deferred);
    assert_false(item->says.canceller_due);
    free(item);
}

static void fire_item(struct item *item)
{
    if (item->says.coroutine != NULL || item->value != item)
        return;
    did(NULL, "fires a Deferred", item->says.fired);
    bool was_fired = item->says.fired;
    int error = chance(3) ? -EPROTO : 0;
    int rc = m_deferred_may_fire(&item->says) ? 0 : EVERT_EALREADY;
    if (!was_fired)
        m_deferred_settle(&item->says, error);
    check_rc(error < 0 ? evert_deferred_errback(item->deferred, error)
                       : evert_deferred_callback(item->deferred, item, NULL),
             rc);
}

static void cancel_item(struct item *item)
{
    did(NULL, "cancels a Deferred", item->says.fired);
    item->by_program = true;
    m_deferred_cancel(&item->says);
    evert_deferred_cancel(item->deferred);
    item->by_program = false;
    assert_false(item->says.canceller_due);
}

/* One that belongs to a scope around the task, so that it stays. */
static struct item *any_item(const struct member *m)
{
    for (struct record *r = where(m); r != NULL; r = around(r)) {
        for (struct evert__link *l = r->items.next; l != &r->items; l = l->next) {
            if (chance(2))
                return EVERT__CONTAINER(l, struct item, link);
        }
    }
    return NULL;
}

static int await_item(struct member *m)
{
    struct item *item = any_item(m);
    if (item == NULL)
        return 0;
    begin_wait(m, (struct m_wait){.kind = M_AWAIT, .deferred = &item->says});
    evert_result result = evert_await(item->deferred);
    int rc = end_wait(m, result.error);
    if (rc == 0)
        assert_ptr_equal(result.value, item->value);
    return rc == -ECANCELED ? rc : 0;
}

#endif
