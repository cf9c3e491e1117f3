/* SPDX-License-Identifier: MIT */
/* P9, F38: a child of a fork has copies of its parent's tasks, and waits for none of them. */
#include <evert/coro/await.h>
#include <evert/deferred/deferred.h>
#include <evert/loop/loop.h>

#include "support.h"

struct turns {
    pid_t process;
    int count, elsewhere; /* in that process, and in another */
};

static int count_turns(void *arg)
{
    struct turns *turns = (struct turns *)arg;
    for (;;) {
        int rc = evert_yield();
        turns->count += getpid() == turns->process;
        turns->elsewhere += getpid() != turns->process;
        if (rc < 0)
            return rc == EVERT_ECLOSED ? 0 : rc; /* so that it does not cancel the others */
    }
}

/* ---- A child that goes on inside a task ---- */

struct inside {
    evert_scope scope;
    evert_task *other;
    struct turns turns;
};

/* Each must say so at once, and let none of the parent's tasks run. */
static int wait_in_each_way(void *arg)
{
    struct inside *inside = (struct inside *)arg;
    evert_scope own;
    check_rc(evert_sleep(1), EVERT_ECLOSED);
    check_rc(evert_sleep_until(EVERT_NEVER), EVERT_ECLOSED);
    check_rc(evert_yield(), EVERT_ECLOSED);
    for (int i = 0; i < 200; i++)
        evert__completed(self()); /* however much it does without waiting */
    check_rc(evert_task_join(inside->other), EVERT_ECLOSED);
    evert_scope_enter(&own, IN_A_MINUTE);
    check_rc(evert_spawn(&own, count_turns, &inside->turns), 0);
    check_rc(evert_scope_leave(&own, 0), EVERT_ECLOSED);
    check_rc(evert_scope_leave(&inside->scope, 0), EVERT_ECLOSED);
    return inside->turns.elsewhere;
}

static int fork_inside(void *unused)
{
    struct inside inside = {.turns.process = getpid()};
    (void)unused;
    evert_scope_enter(&inside.scope, EVERT_NEVER);
    check_rc(evert_spawn(&inside.scope, count_turns, &inside.turns), 0);
    check_rc(evert_spawn_with(&inside.scope, &(evert_spawn_options){.ret_task = &inside.other},
                              wait_for_ever, NULL),
             0);
    check_rc(evert_yield(), 0);
    struct child child = in_child(wait_in_each_way, &inside);
    check_exit(&child, 0);
    int before = inside.turns.count;
    check_rc(evert_yield(), 0);
    assert_true(inside.turns.count > before);
    evert_scope_cancel(&inside.scope);
    return evert_scope_leave(&inside.scope, 0);
}

static void test_a_tasks_child_is_told_by_each_call_that_waits(void **state)
{
    (void)state;
    check_rc(evert_run(fork_inside, NULL), 0);
}

/* ---- A child that returns from its task ---- */

static int fork_and_return(void *ret)
{
    *(pid_t *)ret = fork();
    return 0;
}

static int leave(evert_scope *scope)
{
    return evert_scope_leave(scope, 0);
}

static int sleep_long(evert_scope *unused)
{
    (void)unused;
    return evert_sleep_until(IN_A_MINUTE);
}

/* Blocking mode: what waited on the plain thread goes on in the child too, with a loop of its own.
 */
static void check_return_into(int (*wait)(evert_scope *scope))
{
    struct turns turns = {.process = getpid()};
    pid_t child = -1;
    evert_scope s;
    int status;

    evert_scope_enter(&s, evert_after(20 * MS));
    check_rc(evert_spawn(&s, count_turns, &turns), 0);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_spawn(&s, fork_and_return, &child), 0);
    int rc = wait(&s);
    if (child == 0) {
        check_rc(rc, EVERT_ECLOSED);
        assert_int_equal(turns.elsewhere, 0); /* though it was ready in that turn */
        check_rc(evert_sleep(1), 0);
        check_rc(evert_yield(), 0);
        assert_int_equal(turns.elsewhere, 0);
        _exit(0);
    }
    assert_true(rc == -ETIMEDOUT || rc == -ECANCELED);
    if (wait != leave)
        check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_a_plain_thread_goes_on_in_a_child_that_a_task_made(void **state)
{
    (void)state;
    check_return_into(leave);
    check_return_into(sleep_long);
}

/* ---- A child that comes back while its parent waits for the rest ---- */

static int fork_when_cancelled(void *ret)
{
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    return fork_and_return(ret);
}

static void start_in_no_scope(evert_loop *loop, pid_t *ret)
{
    evert_deferred *d;
    evert_coro *coro;
    check_rc(evert_coro_new(&coro, fork_when_cancelled, ret), 0);
    check_rc(evert_deferred_from(&d, loop, coro), 0);
    evert_deferred_release(d);
}

static int leave_one_behind(void *ret)
{
    start_in_no_scope(NULL, ret);
    return 0;
}

/* In the child blocking mode works; the parent saw nothing of it. */
static void check_both(pid_t child)
{
    int status;
    if (child == 0) {
        check_rc(evert_sleep(1), 0);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_a_child_made_at_the_end_of_a_run_is_told(void **state)
{
    pid_t child = -1;
    (void)state;
    int rc = evert_run(leave_one_behind, &child);
    check_rc(rc, child == 0 ? EVERT_ECLOSED : 0);
    check_both(child);
}

static void test_a_child_made_while_the_loop_is_freed_frees_its_copy(void **state)
{
    evert_loop *loop;
    pid_t child = -1;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    start_in_no_scope(loop, &child);
    evert_loop_free(loop);
    check_both(child);
}

/* None of the threads of the other cores is in the child, and so none is waited for. */
static int fork_on_the_first_core(void *child)
{
    if (evert_core() == 0)
        *(pid_t *)child = fork();
    return 0;
}

static void test_a_child_made_on_one_of_many_cores_is_told(void **state)
{
    pid_t child = -1;
    (void)state;
    int rc = evert_run_on(3, fork_on_the_first_core, &child);
    check_rc(rc, child == 0 ? EVERT_ECLOSED : 0);
    check_both(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tasks_child_is_told_by_each_call_that_waits),
        cmocka_unit_test(test_a_plain_thread_goes_on_in_a_child_that_a_task_made),
        cmocka_unit_test(test_a_child_made_at_the_end_of_a_run_is_told),
        cmocka_unit_test(test_a_child_made_while_the_loop_is_freed_frees_its_copy),
        cmocka_unit_test(test_a_child_made_on_one_of_many_cores_is_told),
    };
    return run_table(tests);
}
