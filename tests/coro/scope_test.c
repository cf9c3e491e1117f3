/* SPDX-License-Identifier: MIT */
/* What leaving a scope returns (C6), and what a task's failure does to the others (C8). */
#include "support.h"

/* ---- Nothing unusual ---- */

static void test_leaving_returns_what_the_body_came_to(void **state)
{
    static const int results[] = {0, 7, -EIO, EVERT_EOF, -ECANCELED};
    evert_scope s;
    (void)state;
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        evert_scope_enter(&s, EVERT_NEVER);
        check_rc(evert_scope_leave(&s, results[i]), results[i]);
        assert_int_equal(evert_scope_failures(&s), 0);
    }
}

static int add_one(void *count)
{
    ++*(int *)count;
    return 5; /* success, whatever its number: not what leaving returns */
}

static void test_leaving_waits_for_all_tasks(void **state)
{
    evert_scope s;
    int count = 0;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 20; i++)
        check_rc(evert_spawn(&s, add_one, &count), 0);
    assert_int_equal(count, 0); /* none runs before spawning returns */
    check_rc(evert_scope_leave(&s, 3), 3);
    assert_int_equal(count, 20);
    assert_int_equal(evert_scope_failures(&s), 0);
}

static void test_leaving_without_tasks_does_not_let_others_run(void **state)
{
    evert_scope outer, s;
    int count = 0;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    check_rc(evert_spawn(&outer, add_one, &count), 0);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(count, 0);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

/* ---- C6: who absorbs a cancellation ---- */

static void test_own_deadline_gives_timed_out(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, evert_after(2 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
}

static void test_own_cancel_gives_zero(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), 0);
}

static void test_outer_cancel_gives_cancelled(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_enter(&inner, EVERT_NEVER);
    evert_scope_cancel(&outer);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), 0);
}

static void test_outer_deadline_gives_cancelled_inside(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, evert_after(2 * MS));
    evert_scope_enter(&inner, EVERT_NEVER);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), -ETIMEDOUT);
}

static void test_with_both_cancelled_the_outer_absorbs(void **state)
{
    (void)state;
    for (int inner_first = 0; inner_first < 2; inner_first++) {
        evert_scope outer, inner;
        evert_scope_enter(&outer, EVERT_NEVER);
        evert_scope_enter(&inner, EVERT_NEVER);
        evert_scope_cancel(inner_first ? &inner : &outer);
        check_rc(evert_yield(), -ECANCELED);
        evert_scope_cancel(inner_first ? &outer : &inner);
        check_rc(evert_scope_leave(&inner, -ECANCELED), -ECANCELED);
        check_rc(evert_scope_leave(&outer, -ECANCELED), 0);
    }
}

static void test_with_both_deadlines_past_the_outer_absorbs(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, LONG_AGO);
    evert_scope_enter(&inner, LONG_AGO);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), -ETIMEDOUT);
}

static void test_a_shield_absorbs_its_own_though_the_outer_is_cancelled(void **state)
{
    evert_scope outer, shield;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_cancel(&outer);
    evert_shield_enter(&shield, evert_after(2 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&shield, -ECANCELED), -ETIMEDOUT);

    evert_shield_enter(&shield, IN_A_MINUTE);
    evert_scope_cancel(&shield);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&shield, -ECANCELED), 0);

    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), 0);
}

static void test_a_deadline_that_cut_only_tasks_counts(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, evert_after(2 * MS));
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
    assert_int_equal(evert_scope_failures(&s), 0);
}

static void test_a_cancel_that_cut_only_tasks_gives_zero(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 4), 0);
}

static void test_an_outer_cancel_that_cut_only_tasks_gives_cancelled(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, evert_after(2 * MS));
    evert_scope_enter(&inner, EVERT_NEVER);
    check_rc(evert_spawn(&inner, wait_for_ever, NULL), 0);
    check_rc(evert_scope_leave(&inner, 0), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), -ETIMEDOUT);
}

static void test_a_body_that_swallowed_the_cancel_and_finished_counts(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, evert_after(2 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, 9), 9);
}

static int swallow(void *unused)
{
    (void)unused;
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    return 0;
}

static void test_a_task_that_swallowed_the_cancel_and_finished_counts(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, evert_after(2 * MS));
    check_rc(evert_spawn(&s, swallow, NULL), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_another_error_of_the_body_wins_over_the_deadline(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, evert_after(2 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, -EIO), -EIO);
}

static int fail_when_cut(void *unused)
{
    (void)unused;
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    return -EPROTO;
}

static void test_another_error_of_a_task_wins_over_deadline_and_cancel(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, evert_after(2 * MS));
    check_rc(evert_spawn(&s, fail_when_cut, NULL), 0);
    check_rc(evert_scope_leave(&s, 0), -EPROTO);

    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, fail_when_cut, NULL), 0);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), -EPROTO);
}

static void test_what_came_first_of_own_cancel_and_own_deadline_counts(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, LONG_AGO);
    evert_scope_cancel(&s);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);

    evert_scope_enter(&s, IN_A_MINUTE);
    evert_scope_cancel(&s);
    evert_scope_set_deadline(&s, LONG_AGO);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), 0);
}

static void test_a_cancelled_code_in_a_scope_that_was_not_cancelled_is_a_failure(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ECANCELED); /* and the task was cut */
}

/* ---- C8: the first failure ---- */

struct sleeper {
    int result;
    bool done;
};

static int sleep_for_ever(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->result = evert_sleep_until(EVERT_NEVER);
    sleeper->done = true;
    return sleeper->result;
}

/* Forty cases, 38. */
static void test_a_failed_task_cancels_its_siblings(void **state)
{
    struct sleeper siblings[3] = {{0}};
    int error = -EPIPE;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 3; i++)
        check_rc(evert_spawn(&s, sleep_for_ever, &siblings[i]), 0);
    check_rc(evert_spawn(&s, give, &error), 0);
    check_rc(evert_scope_leave(&s, 0), -EPIPE);
    for (int i = 0; i < 3; i++) {
        assert_true(siblings[i].done);
        check_rc(siblings[i].result, -ECANCELED);
    }
    assert_int_equal(evert_scope_failures(&s), 1);
    check_rc(evert_scope_failure(&s, 0), -EPIPE);
}

static void test_a_failed_task_cancels_the_body(void **state)
{
    int error = -EPIPE;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, give, &error), 0);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -EPIPE);
}

static void test_the_first_failure_is_returned_whatever_the_body_says(void **state)
{
    int error = -EPIPE;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, give, &error), 0);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, -EIO), -EPIPE);

    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, give, &error), 0);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, 1), -EPIPE);
}

static void test_a_failing_body_cancels_the_tasks_first(void **state)
{
    struct sleeper sleeper = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, fail_when_cut, NULL), 0);
    check_rc(evert_spawn(&s, sleep_for_ever, &sleeper), 0);
    check_rc(evert_scope_leave(&s, -EIO), -EIO); /* the body was the first to have failed */
    check_rc(sleeper.result, -ECANCELED);
    assert_int_equal(evert_scope_failures(&s), 1);
    check_rc(evert_scope_failure(&s, 0), -EPROTO);
}

static void test_five_failures_are_kept_and_all_are_counted(void **state)
{
    int errors[] = {-EIO, -EPIPE, -EPROTO, -ENOENT, -EBADF, -EINVAL, -EDOM};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 7; i++)
        check_rc(evert_spawn(&s, give, &errors[i]), 0);
    check_rc(evert_scope_leave(&s, 0), -EIO);
    assert_int_equal(evert_scope_failures(&s), 7);
    for (unsigned i = 0; i < 5; i++)
        check_rc(evert_scope_failure(&s, i), errors[i]);
    check_rc(evert_scope_failure(&s, 5), 0);
    check_rc(evert_scope_failure(&s, 4000000000U), 0);
}

static void test_a_positive_result_of_a_task_is_no_failure(void **state)
{
    int result = 17;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, give, &result), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(evert_scope_failures(&s), 0);
}

static void test_a_task_that_says_cancelled_without_having_been_is_a_failure(void **state)
{
    int result = -ECANCELED;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, give, &result), 0);
    check_rc(evert_scope_leave(&s, 0), -ECANCELED);
    assert_int_equal(evert_scope_failures(&s), 1);
}

static void test_a_failure_goes_up_scope_by_scope(void **state)
{
    struct sleeper sleeper = {0};
    int error = -EPIPE;
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    check_rc(evert_spawn(&outer, sleep_for_ever, &sleeper), 0);
    evert_scope_enter(&inner, EVERT_NEVER);
    check_rc(evert_spawn(&inner, give, &error), 0);
    check_rc(evert_scope_leave(&inner, 0), -EPIPE);
    check_rc(evert_yield(), 0); /* it was not this scope's */
    assert_false(sleeper.done);
    check_rc(evert_scope_leave(&outer, -EPIPE), -EPIPE);
    check_rc(sleeper.result, -ECANCELED);
}

/* ---- C8: keep going ---- */

static int finish(void *done)
{
    int rc = evert_sleep(1 * MS);
    *(bool *)done = rc == 0;
    return rc;
}

static void test_keep_going_logs_and_counts_failures_and_cancels_nobody(void **state)
{
    int errors[] = {-EIO, EVERT_EOF};
    bool done = false;
    evert_scope s;
    (void)state;
    start_logging();
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_keep_going(&s);
    check_rc(evert_spawn(&s, give, &errors[0]), 0);
    check_rc(evert_spawn(&s, finish, &done), 0);
    check_rc(evert_spawn(&s, give, &errors[1]), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&s, 2), 2);
    stop_logging();
    assert_true(done);
    assert_int_equal(evert_scope_failures(&s), 2);
    check_rc(evert_scope_failure(&s, 0), -EIO);
    check_rc(evert_scope_failure(&s, 1), EVERT_EOF);
    assert_int_equal(logged.count, 2);
    assert_int_equal(logged.level, EVERT_LOG_WARNING);
    assert_non_null(strstr(logged.text, "task give, spawned at "));
    assert_non_null(strstr(logged.text, evert_strerror(-EIO)));
}

static void test_keep_going_is_cancelled_like_any_scope(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, evert_after(2 * MS));
    evert_scope_keep_going(&s);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
    assert_int_equal(evert_scope_failures(&s), 0);
}

/* ---- C8: where tasks may be started ---- */

static int note_run(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->done = true;
    sleeper->result = evert_yield();
    return sleeper->result;
}

static void test_spawned_into_a_cancelled_scope_a_task_still_runs(void **state)
{
    struct sleeper task = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    check_rc(evert_spawn(&s, note_run, &task), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(task.done);
    check_rc(task.result, -ECANCELED);
    assert_int_equal(evert_scope_failures(&s), 0); /* the scope's own cancel is silent */
}

struct spawner {
    evert_scope *scope;
    int left, ran;
};

static int spawn_next(void *arg)
{
    struct spawner *spawner = arg;
    spawner->ran++;
    return spawner->left-- > 0 ? evert_spawn(spawner->scope, spawn_next, spawner) : 0;
}

static void test_a_task_may_spawn_into_the_scope_that_it_is_in(void **state)
{
    evert_scope s;
    struct spawner spawner = {&s, 50, 0};
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, spawn_next, &spawner), 0);
    check_rc(evert_scope_leave(&s, 0), 0); /* also for those spawned meanwhile */
    assert_int_equal(spawner.ran, 51);
}

struct late_spawner {
    evert_scope *scope;
    bool ended;
};

static int sleep_and_end(void *arg)
{
    int rc = evert_sleep(1 * MS);
    ((struct late_spawner *)arg)->ended = true;
    return rc;
}

static int spawn_late(void *arg)
{
    return evert_spawn(((struct late_spawner *)arg)->scope, sleep_and_end, arg);
}

/* Its last task has ended, but the one that leaves it has not run yet. */
static void test_a_task_spawned_into_a_scope_that_is_about_to_be_left_is_waited_for(void **state)
{
    evert_scope outer, s;
    struct late_spawner spawner = {&s, false};
    int result = 0;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, give, &result), 0);
    check_rc(evert_spawn(&outer, spawn_late, &spawner), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(spawner.ended);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

/* ---- Bad use ---- */

static int spawn_into_left(void *unused)
{
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_scope_leave(&s, 0), 0);
    return evert_spawn(&s, wait_for_ever, NULL);
}

static void test_spawning_into_a_left_scope_is_misuse(void **state)
{
    (void)state;
    check_misuse(spawn_into_left, EVERT_ESCOPE, "the scope was left already");
}

static int leave_twice(void *unused)
{
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_scope_leave(&s, 0), 0);
    return evert_scope_leave(&s, 0);
}

static void test_leaving_twice_is_misuse(void **state)
{
    (void)state;
    check_misuse(leave_twice, EVERT_ESCOPE, "each scope is left once");
}

static int leave_others_scope(void *scope)
{
    return evert_scope_leave(scope, 0);
}

static int leave_by_another_task(void *unused)
{
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, leave_others_scope, &s), 0);
    return evert_scope_leave(&s, 0);
}

static void test_leaving_the_scope_of_another_task_is_misuse(void **state)
{
    (void)state;
    check_misuse(leave_by_another_task, EVERT_ESCOPE, "by the task that entered it");
}

static int leave_a_copy(void *unused)
{
    evert_scope scope, copy;
    (void)unused;
    evert_scope_enter(&scope, EVERT_NEVER);
    memcpy(&copy, &scope, sizeof(copy));
    int rc = evert_scope_leave(&copy, 0);
    check_rc(evert_scope_leave(&scope, 0), 0);
    return rc;
}

static void test_leaving_a_copy_of_a_scope_is_misuse(void **state)
{
    (void)state;
    check_misuse(leave_a_copy, EVERT_ESCOPE, "this task is not in that scope");
}

static int leave_out_of_order(void *unused)
{
    struct sleeper sleeper = {0};
    evert_scope outer, middle, inner;
    (void)unused;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_enter(&middle, EVERT_NEVER);
    evert_scope_enter(&inner, EVERT_NEVER);
    check_rc(evert_spawn(&inner, sleep_for_ever, &sleeper), 0);
    int rc = evert_scope_leave(&outer, 0);

    /* Without checks: the inner ones were left first, with all their tasks. */
    assert_true(sleeper.done);
    check_rc(sleeper.result, -ECANCELED);
    assert_null(self()->scope);
    return rc;
}

static void test_leaving_a_scope_that_is_not_the_innermost_is_misuse(void **state)
{
    (void)state;
    check_misuse(leave_out_of_order, EVERT_ESCOPE, "in the reverse of the order");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_leaving_returns_what_the_body_came_to),
        everywhere(test_leaving_waits_for_all_tasks),
        everywhere(test_leaving_without_tasks_does_not_let_others_run),
        everywhere(test_own_deadline_gives_timed_out),
        everywhere(test_own_cancel_gives_zero),
        everywhere(test_outer_cancel_gives_cancelled),
        everywhere(test_outer_deadline_gives_cancelled_inside),
        everywhere(test_with_both_cancelled_the_outer_absorbs),
        everywhere(test_with_both_deadlines_past_the_outer_absorbs),
        everywhere(test_a_shield_absorbs_its_own_though_the_outer_is_cancelled),
        everywhere(test_a_deadline_that_cut_only_tasks_counts),
        everywhere(test_a_cancel_that_cut_only_tasks_gives_zero),
        everywhere(test_an_outer_cancel_that_cut_only_tasks_gives_cancelled),
        everywhere(test_a_body_that_swallowed_the_cancel_and_finished_counts),
        everywhere(test_a_task_that_swallowed_the_cancel_and_finished_counts),
        everywhere(test_another_error_of_the_body_wins_over_the_deadline),
        everywhere(test_another_error_of_a_task_wins_over_deadline_and_cancel),
        everywhere(test_what_came_first_of_own_cancel_and_own_deadline_counts),
        everywhere(test_a_cancelled_code_in_a_scope_that_was_not_cancelled_is_a_failure),
        everywhere(test_a_failed_task_cancels_its_siblings),
        everywhere(test_a_failed_task_cancels_the_body),
        everywhere(test_the_first_failure_is_returned_whatever_the_body_says),
        everywhere(test_a_failing_body_cancels_the_tasks_first),
        everywhere(test_five_failures_are_kept_and_all_are_counted),
        everywhere(test_a_positive_result_of_a_task_is_no_failure),
        everywhere(test_a_task_that_says_cancelled_without_having_been_is_a_failure),
        everywhere(test_a_failure_goes_up_scope_by_scope),
        everywhere(test_keep_going_logs_and_counts_failures_and_cancels_nobody),
        everywhere(test_keep_going_is_cancelled_like_any_scope),
        everywhere(test_spawned_into_a_cancelled_scope_a_task_still_runs),
        everywhere(test_a_task_may_spawn_into_the_scope_that_it_is_in),
        everywhere(test_a_task_spawned_into_a_scope_that_is_about_to_be_left_is_waited_for),
        cmocka_unit_test(test_spawning_into_a_left_scope_is_misuse),
        cmocka_unit_test(test_leaving_twice_is_misuse),
        cmocka_unit_test(test_leaving_the_scope_of_another_task_is_misuse),
        everywhere(test_leaving_a_copy_of_a_scope_is_misuse),
        cmocka_unit_test(test_leaving_a_scope_that_is_not_the_innermost_is_misuse),
    };
    return run_table(tests);
}
