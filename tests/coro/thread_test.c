/* SPDX-License-Identifier: MIT */
/*
 * P8, BR-053: calls from another thread than the loop's are found, and do nothing. In builds with
 * checks each stops the program and says which it was.
 */
#include "support.h"

#include <pthread.h>

#include <evert/coro/await.h>

/* What another thread is to do with what belongs to this one. */
struct elsewhere {
    int (*call)(struct elsewhere *e);
    evert_loop *loop;
    evert_handle handle;
    evert_deferred *deferred;
    evert_scope *scope;
    evert_task *task;
    int rc, calls;
};

static void *call_it(void *arg)
{
    struct elsewhere *e = arg;
    e->rc = e->call(e);
    return NULL;
}

static void call_elsewhere(struct elsewhere *e)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, call_it, e), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

/* A loop that has run here, so that it is this thread's. */
static evert_loop *own_loop(void)
{
    evert_loop *loop;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_loop_turn(loop, 0), 0);
    return loop;
}

/* Makes the call in another thread; its result. What it asked for does not come. */
static int with_loop(int (*call)(struct elsewhere *e))
{
    struct elsewhere e = {.call = call, .loop = own_loop()};
    check_rc(evert_loop_call_soon(e.loop, &e.handle, count_call, &e.calls), 0);
    call_elsewhere(&e);
    for (int i = 0; i < 5; i++)
        check_rc(evert_loop_turn(e.loop, 0), 0);
    assert_int_equal(e.calls, 1); /* the one from here, which nobody cancelled */
    evert_loop_free(e.loop);
    return e.rc;
}

static int call_soon(struct elsewhere *e)
{
    return evert_loop_call_soon(e->loop, NULL, count_call, &e->calls);
}

static int call_at(struct elsewhere *e)
{
    return evert_loop_call_at(e->loop, NULL, LONG_AGO, count_call, &e->calls);
}

static int cancel_handle(struct elsewhere *e)
{
    evert_handle_cancel(&e->handle);
    return 0;
}

static int run(struct elsewhere *e)
{
    return evert_loop_run(e->loop);
}

static int turn(struct elsewhere *e)
{
    return evert_loop_turn(e->loop, 0);
}

static int stop(struct elsewhere *e)
{
    evert_loop_stop(e->loop);
    return 0;
}

static int watch(struct elsewhere *e)
{
    return evert_loop_watch_signal(e->loop, SIGUSR1, count_call, &e->calls);
}

static int unwatch(struct elsewhere *e)
{
    evert_loop_unwatch_signal(e->loop, SIGUSR1);
    return 0;
}

/* clang-format off */
#define WITH_LOOP(name) \
    static int name##_elsewhere(void *unused) { (void)unused; return with_loop(name); }
WITH_LOOP(call_soon)
WITH_LOOP(call_at)
WITH_LOOP(cancel_handle)
WITH_LOOP(run)
WITH_LOOP(turn)
WITH_LOOP(stop)
WITH_LOOP(watch)
WITH_LOOP(unwatch)
/* clang-format on */

/* P8, BR-053 (b), (c) */
static void test_calls_of_a_loop_from_another_thread_are_misuse(void **state)
{
    const char *const instead = "belongs to another thread; use evert_loop_call_threadsafe";
    (void)state;
    check_misuse(call_soon_elsewhere, EVERT_ECONTEXT, "evert_loop_call_soon: the loop belongs to");
    check_misuse(call_soon_elsewhere, EVERT_ECONTEXT, instead);
    check_misuse(call_at_elsewhere, EVERT_ECONTEXT, "evert_loop_call_at: the loop belongs to");
    check_misuse(cancel_handle_elsewhere, 0, "evert_handle_cancel: the loop belongs to another");
    check_misuse(run_elsewhere, EVERT_ECONTEXT, "running a loop: the loop belongs to another");
    check_misuse(turn_elsewhere, EVERT_ECONTEXT, "running a loop: the loop belongs to another");
    check_misuse(stop_elsewhere, 0,
                 "evert_loop_stop: the loop belongs to another thread; use "
                 "evert_loop_stop_threadsafe");
    check_misuse(watch_elsewhere, EVERT_ECONTEXT, "evert_loop_watch_signal: the loop belongs");
    check_misuse(unwatch_elsewhere, 0, "evert_loop_unwatch_signal: the loop belongs to another");
}

static evert_result count_result(evert_result *in, void *calls)
{
    ++*(int *)calls;
    return *in;
}

/* The same for a Deferred that has not fired. It is as it was afterwards. */
static int with_deferred(int (*call)(struct elsewhere *e))
{
    struct elsewhere e = {.call = call};
    check_rc(evert_deferred_new(&e.deferred), 0);
    check_rc(evert_deferred_add_both(e.deferred, count_result, &e.calls), 0);
    call_elsewhere(&e);
    assert_false(evert_deferred_has_fired(e.deferred));
    check_rc(evert_deferred_callback(e.deferred, NULL, NULL), 0);
    assert_int_equal(e.calls, 1);
    evert_deferred_free(e.deferred);
    return e.rc;
}

static int destroyed;

static void note_destroyed(void *value)
{
    (void)value;
    destroyed++;
}

static int fire(struct elsewhere *e)
{
    destroyed = 0;
    int rc = evert_deferred_callback(e->deferred, e, note_destroyed);
    assert_int_equal(destroyed, 1); /* it was taken, as by every firing that is refused */
    return rc;
}

static int fail_it(struct elsewhere *e)
{
    return evert_deferred_errback(e->deferred, -EIO);
}

static int cancel_deferred(struct elsewhere *e)
{
    evert_deferred_cancel(e->deferred);
    return 0;
}

static int add(struct elsewhere *e)
{
    return evert_deferred_add_callback(e->deferred, count_result, &e->calls);
}

static int fire_elsewhere(void *unused)
{
    (void)unused;
    return with_deferred(fire);
}

static int fail_elsewhere(void *unused)
{
    (void)unused;
    return with_deferred(fail_it);
}

static int cancel_elsewhere(void *unused)
{
    (void)unused;
    return with_deferred(cancel_deferred);
}

static int add_elsewhere(void *unused)
{
    (void)unused;
    return with_deferred(add);
}

/* P8, BR-053 (d) */
static void test_calls_of_a_deferred_from_another_thread_are_misuse(void **state)
{
    (void)state;
    check_misuse(fire_elsewhere, EVERT_ECONTEXT, "evert_deferred_callback: the Deferred made at ");
    check_misuse(fire_elsewhere, EVERT_ECONTEXT, "coro/thread_test.c:");
    check_misuse(fail_elsewhere, EVERT_ECONTEXT, "evert_deferred_errback: the Deferred made at ");
    check_misuse(cancel_elsewhere, 0, "evert_deferred_cancel: the Deferred made at ");
    check_misuse(add_elsewhere, EVERT_ECONTEXT, "evert_deferred_add_callbacks: the Deferred made");
}

/* The same for a scope of a task, and a task in it. */
static int with_scope(void *arg)
{
    struct elsewhere *e = arg;
    evert_spawn_options options = evert_spawn_defaults();
    evert_scope s;
    e->scope = &s;
    options.ret_task = &e->task;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn_with(&s, &options, wait_for_ever, NULL), 0);
    check_rc(evert_yield(), 0);
    call_elsewhere(e);
    check_rc(evert_yield(), 0); /* neither the scope nor its task was cancelled, or has more */
    assert_int_equal(e->calls, 0);
    assert_non_null(((struct evert__task *)e->task)->waiter);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    return e->rc;
}

static int count_as_task(void *calls)
{
    count_call(calls);
    return 0;
}

static int spawn(struct elsewhere *e)
{
    return evert_spawn(e->scope, count_as_task, &e->calls);
}

static int cancel_scope(struct elsewhere *e)
{
    evert_scope_cancel(e->scope);
    return 0;
}

static int set_deadline(struct elsewhere *e)
{
    evert_scope_set_deadline(e->scope, LONG_AGO);
    return 0;
}

static int cancel_task(struct elsewhere *e)
{
    evert_task_cancel(e->task);
    return 0;
}

/* clang-format off */
#define WITH_SCOPE(name) \
    static int name##_elsewhere(void *unused) \
    { \
        struct elsewhere e = {.call = name}; \
        (void)unused; \
        return in_task(with_scope, &e); \
    }
WITH_SCOPE(spawn)
WITH_SCOPE(cancel_scope)
WITH_SCOPE(set_deadline)
WITH_SCOPE(cancel_task)
/* clang-format on */

/* P8 */
static void test_calls_of_scopes_and_tasks_from_another_thread_are_misuse(void **state)
{
    (void)state;
    check_misuse(spawn_elsewhere, EVERT_ECONTEXT, "evert_spawn: the loop belongs to another");
    check_misuse(cancel_scope_elsewhere, 0, "evert_scope_cancel: the loop belongs to another");
    check_misuse(set_deadline_elsewhere, 0, "evert_scope_set_deadline: the loop belongs to");
    check_misuse(cancel_task_elsewhere, 0, "evert_task_cancel: the loop belongs to another");
}

static int free_it(struct elsewhere *e)
{
    evert_loop_free(e->loop);
    return 0;
}

static int run_it(struct elsewhere *e)
{
    check_rc(evert_loop_call_soon(e->loop, NULL, count_call, &e->calls), 0);
    return evert_loop_turn(e->loop, 0);
}

/* P8: what has run nowhere yet is nobody's; and whoever has a loop last may free it. */
static void test_a_loop_is_made_and_freed_where_it_suits(void **state)
{
    struct elsewhere e = {.call = run_it}, freed = {.call = free_it};
    (void)state;
    check_rc(evert_loop_new(&e.loop), 0);
    call_elsewhere(&e);
    check_rc(e.rc, 0);
    assert_int_equal(e.calls, 1);
    evert_loop_free(e.loop);

    freed.loop = own_loop();
    call_elsewhere(&freed);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_of_a_loop_from_another_thread_are_misuse),
        cmocka_unit_test(test_calls_of_a_deferred_from_another_thread_are_misuse),
        cmocka_unit_test(test_calls_of_scopes_and_tasks_from_another_thread_are_misuse),
        cmocka_unit_test(test_a_loop_is_made_and_freed_where_it_suits),
    };
    return run_table(tests);
}
