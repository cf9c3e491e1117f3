/* SPDX-License-Identifier: MIT */
/* Calls that wait where nothing may wait, and scopes that nobody left: bad use, explained. */
#include "support.h"

/* ---- Where nothing may wait ---- */

static int call_sleep(void *unused)
{
    (void)unused;
    return evert_sleep(1);
}

static int call_yield(void *unused)
{
    (void)unused;
    return evert_yield();
}

static int call_await(void *unused)
{
    evert_coro *coro;
    (void)unused;
    check_rc(evert_coro_new(&coro, wait_for_ever, NULL), 0);
    return evert_coro_await(coro);
}

static int call_scope(void *unused)
{
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), EVERT_ECONTEXT);
    evert_scope_cancel(&s);
    return evert_scope_leave(&s, 0);
}

static int sleep_in_callback(void *unused)
{
    (void)unused;
    return in_callback(call_sleep, NULL);
}

static int yield_in_callback(void *unused)
{
    (void)unused;
    return in_callback(call_yield, NULL);
}

static int await_in_callback(void *unused)
{
    (void)unused;
    return in_callback(call_await, NULL);
}

static int scope_in_callback(void *unused)
{
    (void)unused;
    return in_callback(call_scope, NULL);
}

static void test_waiting_in_a_callback_is_misuse(void **state)
{
    (void)state;
    check_misuse(sleep_in_callback, EVERT_ECONTEXT, "in a callback of the loop");
    check_misuse(yield_in_callback, EVERT_ECONTEXT, "in a callback of the loop");
    check_misuse(await_in_callback, EVERT_ECONTEXT, "in a callback of the loop");
    check_misuse(scope_in_callback, EVERT_ECONTEXT, "scopes are for tasks");
}

/* A callback on a loop that runs tasks has no task either. */
static void sleep_and_note_rc(void *rc)
{
    *(int *)rc = evert_sleep(1);
}

static int callback_beside_task(void *unused)
{
    int rc = 0;
    (void)unused;
    check_rc(evert_loop_call_soon(evert_loop_current(), NULL, sleep_and_note_rc, &rc), 0);
    check_rc(evert_yield(), 0);
    return rc;
}

static int callback_of_a_loop_with_tasks(void *unused)
{
    (void)unused;
    return in_task(callback_beside_task, NULL);
}

static void test_waiting_in_a_callback_beside_tasks_is_misuse(void **state)
{
    (void)state;
    check_misuse(callback_of_a_loop_with_tasks, EVERT_ECONTEXT, "make it in a task");
}

/* ---- Leaving without leaving ---- */

#ifdef EVERT_DEBUG
static int return_without_leaving(void *unused)
{
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    return 0;
}

static int task_without_leaving(void *unused)
{
    (void)unused;
    return in_task(return_without_leaving, NULL);
}

static void test_a_task_that_ends_without_leaving_its_scope_is_explained(void **state)
{
    (void)state;
    check_misuse(task_without_leaving, 0, "task return_without_leaving, spawned at ");
    check_misuse(task_without_leaving, 0, "a function returned without leaving its scope");
}

#ifndef EVERT__ASAN /* which may keep locals off the stack, where nobody can tell */
static __attribute__((noinline)) void enter_only(void)
{
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    __asm__ volatile("" : : "r"(&s) : "memory");
}

static int wait_after_function(void *unused)
{
    (void)unused;
    enter_only();
    return evert_yield();
}

static int function_without_leaving(void *unused)
{
    (void)unused;
    return in_task(wait_after_function, NULL);
}

static void test_a_function_that_returned_without_leaving_its_scope_is_explained(void **state)
{
    (void)state;
    check_misuse(function_without_leaving, 0, "a function returned without leaving its scope");
}
#endif
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting_in_a_callback_is_misuse),
        cmocka_unit_test(test_waiting_in_a_callback_beside_tasks_is_misuse),
#ifdef EVERT_DEBUG
        cmocka_unit_test(test_a_task_that_ends_without_leaving_its_scope_is_explained),
#ifndef EVERT__ASAN
        cmocka_unit_test(test_a_function_that_returned_without_leaving_its_scope_is_explained),
#endif
#endif
    };
    return run_table(tests);
}
