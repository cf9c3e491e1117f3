/* SPDX-License-Identifier: MIT */
/* Timeouts: rule D10, case 11. */
#include "support.h"

static char one[] = "one";
static evert_loop *loop;

static int begin(void **state)
{
    check_rc(evert_loop_new(&loop), 0);
    return begin_test(state);
}

static int end(void **state)
{
    evert_loop_free(loop);
    return end_test(state);
}

/* clang-format off */
#define with_loop(test) cmocka_unit_test_setup_teardown(test, begin, end)
/* clang-format on */

static void turn_until(evert_time when)
{
    do
        check_rc(evert_loop_turn(loop, when), 0);
    while (evert__clock() < when);
    check_rc(evert_loop_turn(loop, 0), 0);
}

static void check_no_timer(void)
{
    assert_null(evert__heap_first(&loop->timers));
}

static void test_when_the_time_has_come_it_is_cancelled_and_says_timed_out(void **state)
{
    int cancels = 0;
    struct step before = {.name = 'b'}, after = {.name = 'a', .out = evert_ok(NULL)};
    evert_time when = evert_after(5 * MS);
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    add_both(d, &before);
    check_rc(evert_deferred_timeout(d, loop, when), 0);
    add_both(d, &after);
    turn_until(when);
    check_called("ba");
    assert_int_equal(cancels, 1);
    check_rc(before.in.error, -ECANCELED);
    check_rc(after.in.error, -ETIMEDOUT);
    check_no_timer();
    check_rc(evert_deferred_callback(d, one, NULL), 0); /* the late one, as of any cancel (D9) */
    check_rc(evert_deferred_callback(d, one, NULL), EVERT_EALREADY);
    evert_deferred_free(d);
}

static void test_fired_before_it_leaves_no_timer(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, IN_A_MINUTE), 0);
    assert_non_null(evert__heap_first(&loop->timers));
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_no_timer();
    check_value(d, one);
    evert_deferred_free(d);

    d = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, IN_A_MINUTE), 0);
    check_rc(evert_deferred_errback(d, -EPIPE), 0);
    check_no_timer();
    check_error(d, -EPIPE);
    evert_deferred_free(d);
}

static void test_a_cancel_by_somebody_else_stays_a_cancel(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, IN_A_MINUTE), 0);
    evert_deferred_cancel(d);
    check_no_timer();
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
}

/* Cancelled, but held before it has come to the timeout, which has nothing to cancel any more. */
static void test_a_cancel_that_came_before_the_time_stays_a_cancel(void **state)
{
    evert_time when = evert_after(1 * MS);
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, when), 0);
    evert_deferred_pause(d);
    evert_deferred_cancel(d);
    turn_until(when);
    evert_deferred_unpause(d);
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
}

static void fire_arg(evert_deferred *d, void *error)
{
    if (error != NULL)
        check_rc(evert_deferred_errback(d, *(const int *)error), 0);
    else
        check_rc(evert_deferred_callback(d, one, NULL), 0);
}

static void test_the_cancellers_own_result_stays(void **state)
{
    int error = -EPIPE;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, fire_arg, &error);
    check_rc(evert_deferred_timeout(d, loop, LONG_AGO), 0);
    assert_false(evert_deferred_has_fired(d)); /* not before the next turn */
    check_rc(evert_loop_turn(loop, 0), 0);
    check_error(d, -EPIPE);
    evert_deferred_free(d);

    d = new_deferred();
    evert_deferred_set_canceller(d, fire_arg, NULL);
    check_rc(evert_deferred_timeout(d, loop, LONG_AGO), 0);
    check_rc(evert_loop_turn(loop, 0), 0);
    check_value(d, one);
    evert_deferred_free(d);
}

static void test_it_cancels_what_is_waited_for(void **state)
{
    int cancels = 0;
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    evert_deferred_set_canceller(inner, count_cancel, &cancels);
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    check_rc(evert_deferred_timeout(outer, loop, LONG_AGO), 0);
    check_rc(evert_loop_turn(loop, 0), 0);
    assert_int_equal(cancels, 1);
    check_error(outer, -ETIMEDOUT);
    check_rc(evert_deferred_callback(inner, NULL, NULL), 0); /* too late */
    evert_deferred_free(outer);
}

/* It is about what stands before it in the chain, not about what comes after. */
static void test_what_comes_after_it_in_the_chain_is_not_limited(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred(), *later = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, evert_after(1 * MS)), 0);
    check_rc(evert_deferred_add_both(d, wait_for_arg, later), 0);
    check_rc(evert_deferred_callback(d, NULL, NULL), 0);
    check_no_timer();
    check_rc(evert_deferred_timeout(d, loop, IN_A_MINUTE), 0); /* and another may be set */
    check_rc(evert_deferred_callback(later, one, NULL), 0);
    check_no_timer();
    check_value(d, one);
    evert_deferred_free(d);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, IN_A_MINUTE), 0);
    check_rc(evert_deferred_timeout(d, loop, LONG_AGO), EVERT_EALREADY);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_rc(evert_deferred_timeout(d, loop, LONG_AGO), 0); /* there is nothing to wait for */
    check_no_timer();
    check_rc(evert_loop_turn(loop, 0), 0);
    check_value(d, one);
    evert_deferred_free(d);
}

static void test_freeing_takes_the_timer_along(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred(), *due = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, IN_A_MINUTE), 0);
    evert_deferred_free(d);
    check_no_timer();
    check_rc(evert_deferred_timeout(due, loop, EVERT_NEVER), 0);
    evert_deferred_free(due);
}

static void test_one_due_timeout_may_free_another(void **state)
{
    (void)state;
    evert_deferred *a = new_deferred(), *b = new_deferred();
    struct step step = {.name = 's', .out = evert_ok(NULL), .act = free_it, .arg = b};
    check_rc(evert_deferred_timeout(a, loop, LONG_AGO), 0);
    check_rc(evert_deferred_timeout(b, loop, LONG_AGO + 1), 0);
    add_both(a, &step);
    check_rc(evert_loop_turn(loop, 0), 0);
    check_called("s");
    evert_deferred_free(a);
}

static void test_freed_when_it_times_out(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    struct step step = {.name = 's', .act = free_it, .arg = d};
    check_rc(evert_deferred_timeout(d, loop, LONG_AGO), 0);
    add_both(d, &step);
    check_rc(evert_loop_turn(loop, 0), 0);
    check_called("s");
    check_rc(step.in.error, -ETIMEDOUT);
}

static void test_it_outlives_its_loop(void **state)
{
    (void)state;
    evert_loop *other;
    check_rc(evert_loop_new(&other), 0);
    evert_deferred *d = new_deferred(), *freed = new_deferred();
    check_rc(evert_deferred_timeout(d, other, LONG_AGO), 0);
    check_rc(evert_deferred_timeout(freed, other, IN_A_MINUTE), 0);
    evert_loop_free(other);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_value(d, one);
    evert_deferred_free(d);
    evert_deferred_free(freed);
}

static void test_in_blocking_mode_no_loop_has_to_be_named(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    take_memory_away(); /* the thread's own loop is made for this */
    int rc = evert_deferred_timeout(d, NULL, LONG_AGO);
    give_memory_back();
    check_rc(rc, -ENOMEM);
    check_rc(evert_deferred_timeout(d, NULL, evert_after(1 * MS)), 0);
    while (!evert_deferred_has_fired(d))
        check_rc(evert_sleep(1 * MS), 0);
    check_error(d, -ETIMEDOUT);
    evert_deferred_free(d);
}

/* Released, it waits for a firing that is still to come, and is gone with that. */
static void test_a_released_one_that_timed_out_stays_for_the_late_firing(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_timeout(d, loop, LONG_AGO), 0);
    add_both(d, &step);
    evert_deferred_release(d);
    check_rc(evert_loop_turn(loop, 0), 0);
    check_called("s");
    check_rc(step.in.error, -ETIMEDOUT);
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_destroyed(1);
}

/* But a branch is fired by its fan-out, which knows. */
static void test_a_released_branch_that_timed_out_is_gone(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    evert_fan_out *fan_out = NULL;
    evert_deferred *branch = NULL;
    (void)state;
    check_rc(evert_fan_out_new(&fan_out, new_deferred()), 0);
    check_rc(evert_fan_out_branch(fan_out, &branch), 0);
    check_rc(evert_deferred_timeout(branch, loop, LONG_AGO), 0);
    add_both(branch, &step);
    evert_deferred_release(branch);
    check_rc(evert_loop_turn(loop, 0), 0);
    check_called("s");
    check_rc(step.in.error, -ETIMEDOUT);
    evert_fan_out_free(fan_out);
}

static void test_without_memory_it_is_as_before(void **state)
{
    struct step step = {.name = 's'};
    (void)state;
    for (int n = 0;; n++) {
        evert_deferred *d = new_deferred();
        add_both(d, &step);
        add_both(d, &step); /* so that a pair has to be allocated */
        memory_limit.left = n;
        memory_limit.hit = false;
        evert_set_allocator(&limited_memory);
        int rc = evert_deferred_timeout(d, loop, LONG_AGO);
        evert_set_allocator(NULL);
        check_rc(evert_loop_turn(loop, 0), 0);
        check_rc(evert_deferred_callback(d, one, NULL), 0); /* or the late one */
        if (rc == 0) {
            check_error(d, -ETIMEDOUT);
            evert_deferred_free(d);
            if (memory_limit.hit)
                continue; /* the heap found none; the timer does without */
            assert_in_range(n, 2, 3);
            memset(called, 0, sizeof(called));
            return;
        }
        check_rc(rc, -ENOMEM);
        check_no_timer();
        check_value(d, one);
        evert_deferred_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_loop(test_when_the_time_has_come_it_is_cancelled_and_says_timed_out),
        with_loop(test_fired_before_it_leaves_no_timer),
        with_loop(test_a_cancel_by_somebody_else_stays_a_cancel),
        with_loop(test_a_cancel_that_came_before_the_time_stays_a_cancel),
        with_loop(test_the_cancellers_own_result_stays),
        with_loop(test_it_cancels_what_is_waited_for),
        with_loop(test_what_comes_after_it_in_the_chain_is_not_limited),
        with_loop(test_one_at_a_time),
        with_loop(test_freeing_takes_the_timer_along),
        with_loop(test_one_due_timeout_may_free_another),
        with_loop(test_freed_when_it_times_out),
        with_loop(test_it_outlives_its_loop),
        with_loop(test_in_blocking_mode_no_loop_has_to_be_named),
        with_loop(test_a_released_one_that_timed_out_stays_for_the_late_firing),
        with_loop(test_a_released_branch_that_timed_out_is_gone),
        with_loop(test_without_memory_it_is_as_before),
    };
    return run_table(tests);
}
