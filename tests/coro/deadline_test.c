/* SPDX-License-Identifier: MIT */
/* Deadlines of scopes (C7). */
#include "support.h"

static void test_a_past_deadline_cuts_at_the_first_waiting_call(void **state)
{
    static const evert_time past[] = {0, -1, INT64_MIN, LONG_AGO};
    (void)state;
    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        evert_scope s;
        evert_scope_enter(&s, past[i]);
        check_rc(evert_yield(), -ECANCELED);
        check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    }
}

static void test_a_scope_in_which_nothing_waited_never_times_out(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, LONG_AGO);
    check_rc(evert_scope_leave(&s, 6), 6);

    evert_time end = evert_after(1 * MS);
    evert_scope_enter(&s, end);
    while (evert_after(0) <= end)
        ;
    check_rc(evert_scope_leave(&s, 0), 0);
}

static int do_not_wait(void *done)
{
    *(bool *)done = true;
    return 0;
}

static void test_tasks_that_do_not_wait_never_time_out(void **state)
{
    bool done = false;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, LONG_AGO);
    check_rc(evert_spawn(&s, do_not_wait, &done), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(done);
}

static void test_a_deadline_is_never_early(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        evert_scope s;
        evert_time end = evert_after(i * 300 * EVERT_MICROSECOND);
        evert_scope_enter(&s, end);
        check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
        assert_true(evert_after(0) >= end);
        check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    }
}

static void test_a_deadline_that_does_not_come_costs_nothing_after_leaving(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        evert_scope s;
        evert_scope_enter(&s, IN_A_MINUTE);
        check_rc(evert_scope_leave(&s, 0), 0);
    }
    /* No timer of the thousand is left: the heap holds only what others have set. */
    assert_null(evert__heap_first(&self()->loop->timers));
}

static void test_a_deadline_that_is_due_but_not_told_is_forgotten_at_leaving(void **state)
{
    evert_scope s;
    (void)state;
    evert_time end = evert_after(1 * MS);
    evert_scope_enter(&s, end);
    while (evert_after(0) <= end)
        ;
    check_rc(evert_scope_leave(&s, 0), 0);
    memset(&s, 0xff, sizeof(s));
    check_rc(evert_sleep(1 * MS), 0);
}

static void test_a_deadline_can_be_moved_earlier(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, IN_A_MINUTE);
    evert_scope_set_deadline(&s, evert_after(1 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
}

static void test_a_deadline_can_be_given_to_a_scope_that_had_none(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_set_deadline(&s, evert_after(1 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
}

static void test_a_deadline_can_be_moved_into_the_past(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_yield(), 0);
    evert_scope_set_deadline(&s, LONG_AGO);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
}

/* Enters a scope whose deadline, `end`, is still to come when this returns. */
static evert_time enter_briefly(evert_scope *scope)
{
    for (;;) {
        evert_time end = evert_after(2 * MS);
        evert_scope_enter(scope, end);
        if (!evert__task_cancelled(self()))
            return end;
        check_rc(evert_scope_leave(scope, 0), 0);
    }
}

static void test_a_deadline_can_be_moved_later(void **state)
{
    evert_scope s;
    (void)state;
    evert_time end = enter_briefly(&s);
    evert_scope_set_deadline(&s, IN_A_MINUTE);
    check_rc(evert_sleep_until(end + 1), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_a_deadline_can_be_taken_away(void **state)
{
    evert_scope s;
    (void)state;
    evert_time end = enter_briefly(&s);
    evert_scope_set_deadline(&s, EVERT_NEVER);
    check_rc(evert_sleep_until(end + 1), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
}

struct move {
    evert_scope *scope;
    evert_time to;
};

static void move_in_callback(void *arg)
{
    struct move *move = arg;
    evert_scope_set_deadline(move->scope, move->to);
}

static void test_a_deadline_due_in_this_turn_can_still_be_moved(void **state)
{
    evert_scope s;
    evert_handle handle = {{0}};
    struct move move = {&s, EVERT_NEVER};
    (void)state;
    evert_time end = enter_briefly(&s);
    /* One nanosecond earlier, and so, in the same turn, first. */
    check_rc(evert_loop_call_at(self()->loop, &handle, end - 1, move_in_callback, &move), 0);
    while (evert_after(0) <= end)
        ;
    check_rc(evert_sleep_until(end + 1), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_moving_the_deadline_of_a_cancelled_scope_does_not_revive_it(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, LONG_AGO);
    evert_scope_set_deadline(&s, IN_A_MINUTE);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
}

static void test_moving_the_deadline_of_a_left_scope_does_nothing(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_scope_set_deadline(&s, LONG_AGO);
    evert_scope_set_deadline(&s, evert_after(1 * MS));
    assert_null(evert__heap_first(&self()->loop->timers));
    check_rc(evert_yield(), 0);
}

static int move_deadline(void *arg)
{
    struct move *move = arg;
    evert_scope_set_deadline(move->scope, move->to);
    return 0;
}

static void test_another_task_may_move_the_deadline(void **state)
{
    evert_scope outer, s;
    struct move move = {&s, LONG_AGO};
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    check_rc(evert_spawn(&outer, move_deadline, &move), 0);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

static void test_of_nested_deadlines_the_nearest_wins(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, IN_A_MINUTE);
    evert_scope_enter(&inner, evert_after(1 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), -ETIMEDOUT);
    check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

/* Forty cases, 36. */
static void test_with_a_later_inner_one_the_outer_alone_reports(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, evert_after(1 * MS));
    evert_scope_enter(&inner, evert_after(5 * EVERT_SECOND));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), -ETIMEDOUT);
}

static int sleep_in_scope(void *arg)
{
    evert_scope s;
    evert_scope_enter(&s, *(const evert_time *)arg);
    return evert_scope_leave(&s, evert_sleep_until(EVERT_NEVER));
}

static void test_a_tasks_own_deadline_is_a_failure_to_its_parent(void **state)
{
    evert_time end = evert_after(1 * MS);
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, sleep_in_scope, &end), 0);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
    assert_int_equal(evert_scope_failures(&s), 1);
}

static void test_a_shield_with_a_past_deadline_is_cut_at_once(void **state)
{
    evert_scope shield;
    (void)state;
    evert_shield_enter(&shield, LONG_AGO);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&shield, -ECANCELED), -ETIMEDOUT);
}

/* Entering cannot fail: without memory for the heap of timers the deadline holds all the same. */
static int deadlines_without_memory(void *unused)
{
    enum { SCOPES = 300 };
    static evert_scope scopes[SCOPES];
    (void)unused;
    take_memory_away();
    for (int i = 0; i < SCOPES; i++)
        evert_scope_enter(&scopes[i], IN_A_MINUTE);
    evert_scope_set_deadline(&scopes[SCOPES - 1], evert_after(1 * MS));
    evert_scope_set_deadline(&scopes[0], evert_after(3 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    if (evert_scope_leave(&scopes[SCOPES - 1], -ECANCELED) == -ETIMEDOUT)
        check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    for (int i = SCOPES - 2; i > 0; i--)
        check_rc(evert_scope_leave(&scopes[i], -ECANCELED), -ECANCELED);
    check_rc(evert_scope_leave(&scopes[0], -ECANCELED), -ETIMEDOUT);
    give_memory_back();
    return 0;
}

static void test_deadlines_hold_without_memory(void **state)
{
    (void)state;
    check_rc(in_task(deadlines_without_memory, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_past_deadline_cuts_at_the_first_waiting_call),
        everywhere(test_a_scope_in_which_nothing_waited_never_times_out),
        everywhere(test_tasks_that_do_not_wait_never_time_out),
        everywhere(test_a_deadline_is_never_early),
        everywhere(test_a_deadline_that_does_not_come_costs_nothing_after_leaving),
        everywhere(test_a_deadline_that_is_due_but_not_told_is_forgotten_at_leaving),
        everywhere(test_a_deadline_can_be_moved_earlier),
        everywhere(test_a_deadline_can_be_given_to_a_scope_that_had_none),
        everywhere(test_a_deadline_can_be_moved_into_the_past),
        everywhere(test_a_deadline_can_be_moved_later),
        everywhere(test_a_deadline_can_be_taken_away),
        everywhere(test_a_deadline_due_in_this_turn_can_still_be_moved),
        everywhere(test_moving_the_deadline_of_a_cancelled_scope_does_not_revive_it),
        everywhere(test_moving_the_deadline_of_a_left_scope_does_nothing),
        everywhere(test_another_task_may_move_the_deadline),
        everywhere(test_of_nested_deadlines_the_nearest_wins),
        everywhere(test_with_a_later_inner_one_the_outer_alone_reports),
        everywhere(test_a_tasks_own_deadline_is_a_failure_to_its_parent),
        everywhere(test_a_shield_with_a_past_deadline_is_cut_at_once),
        cmocka_unit_test(test_deadlines_hold_without_memory),
    };
    return run_table(tests);
}
