/* SPDX-License-Identifier: MIT */
/* Awaiting Deferreds: rules D15, D16 and D17, as far as they are about who waits. */
#include <evert/coro/await.h>

#include "../deferred/support.h"

static char one[] = "one";

/* A task that awaits a Deferred, or takes its value. */
struct wait {
    evert_deferred *deferred;
    bool take;
    evert_result result;
    int ended;
};

static int await_it(void *arg)
{
    struct wait *wait = arg;
    wait->result = wait->take ? evert_await_take(wait->deferred) : evert_await(wait->deferred);
    wait->ended++;
    return 0;
}

static int fire_soon(void *deferred)
{
    check_rc(evert_sleep(1 * MS), 0);
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    return 0;
}

static int fail_soon(void *deferred)
{
    check_rc(evert_sleep(1 * MS), 0);
    check_rc(evert_deferred_errback(deferred, -EPIPE), 0);
    return 0;
}

static void check_result(evert_result result, const void *value)
{
    assert_int_equal(result.kind, EVERT_RESULT_VALUE);
    check_rc(result.error, 0);
    assert_ptr_equal(result.value, value);
}

static void check_failure(evert_result result, int error)
{
    assert_int_equal(result.kind, EVERT_RESULT_ERROR);
    check_rc(result.error, error);
    assert_null(result.value);
}

/* ---- D16: awaiting ---- */

static void test_a_result_that_is_there_is_given_at_once(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_result(evert_await(d), one);
    assert_null(evert_await(d).destroy); /* it is borrowed */
    check_destroyed(0);
    evert_deferred_free(d);
    check_destroyed(1);
}

static void test_it_waits_until_all_callbacks_are_done(void **state)
{
    evert_scope s;
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_add_both(d, wait_for_arg, inner), 0);
    add_both(d, &step);
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_deferred_callback(d, NULL, NULL), 0);
    check_rc(evert_spawn(&s, fire_soon, inner), 0);
    check_result(evert_await(d), one);
    check_called("s");
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d);
    check_destroyed(1);
}

static void test_it_may_be_awaited_again_and_by_others(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    struct wait waits[3] = {{.deferred = d}, {.deferred = d}, {.deferred = d}};
    evert_scope_enter(&s, IN_A_MINUTE);
    for (int i = 0; i < 3; i++)
        check_rc(evert_spawn(&s, await_it, &waits[i]), 0);
    check_rc(evert_spawn(&s, fire_soon, d), 0);
    check_result(evert_await(d), one);
    check_result(evert_await(d), one);
    check_rc(evert_scope_leave(&s, 0), 0);
    for (int i = 0; i < 3; i++)
        check_result(waits[i].result, one);
    evert_deferred_free(d);
    check_destroyed(1);
}

static void test_an_error_is_given_again_and_counts_as_handled(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, fail_soon, d), 0);
    check_failure(evert_await(d), -EPIPE);
    check_failure(evert_await(d), -EPIPE);
    check_failure(evert_await_take(d), -EPIPE);
    check_failure(evert_await(d), -EPIPE);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d); /* without a report */
}

static void test_the_first_await_seals_the_chain(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    struct wait wait = {.deferred = d};
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, await_it, &wait), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_deferred_add_both(d, take_step, NULL), EVERT_EALREADY);
    check_rc(evert_deferred_timeout(d, NULL, LONG_AGO), EVERT_EALREADY);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(evert_deferred_add_both(d, take_step, NULL), EVERT_EALREADY);
    check_result(wait.result, one);
    evert_deferred_free(d);
}

static void test_taking_hands_the_value_over_once(void **state)
{
    evert_result taken;
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_result(evert_await(d), one);
    taken = evert_await_take(d);
    check_result(taken, one);
    check_failure(evert_await_take(d), EVERT_EALREADY);
    check_failure(evert_await(d), EVERT_EALREADY);
    evert_deferred_free(d);
    check_destroyed(0);
    taken.destroy(taken.value);
    check_destroyed(1);
}

static void test_of_two_that_take_one_gets_it(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    struct wait first = {.deferred = d, .take = true}, second = first;
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, await_it, &first), 0);
    check_rc(evert_spawn(&s, await_it, &second), 0);
    check_rc(evert_spawn(&s, fire_soon, d), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_result(first.result, one);
    check_failure(second.result, EVERT_EALREADY);
    evert_deferred_free(d);
    check_destroyed(0);
}

static void test_what_another_waits_for_cannot_be_awaited(void **state)
{
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    check_failure(evert_await(inner), EVERT_EALREADY);
    check_rc(evert_deferred_callback(inner, one, NULL), 0);
    check_result(evert_await(outer), one);

    evert_deferred *second = new_deferred(); /* nor can one wait for what is awaited */
    check_rc(evert_deferred_callback(second, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(second, wait_for_arg, outer), 0);
    check_error(second, EVERT_EALREADY);
    evert_deferred_free(second);
    evert_deferred_free(outer);
}

static void test_what_was_awaited_is_not_fanned_out_but_taken(void **state)
{
    evert_fan_out *fan_out = NULL;
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_result(evert_await(d), one);
    check_rc(evert_fan_out_new(&fan_out, d), EVERT_EALREADY);
    assert_null(fan_out);
    check_destroyed(1);
}

static void test_awaiting_asks_for_no_memory(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, fire_soon, d), 0);
    check_rc(evert_yield(), 0);
    take_memory_away();
    evert_result result = evert_await(d);
    give_memory_back();
    check_result(result, one);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d);
    check_destroyed(1);
}

/* ---- D16, D17: cancelling ---- */

static void test_a_deadline_cancels_what_is_awaited(void **state)
{
    int cancels = 0;
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_scope_enter(&s, evert_after(1 * MS));
    check_failure(evert_await(d), -ECANCELED);
    assert_int_equal(cancels, 1);
    assert_true(evert_deferred_has_fired(d));
    check_failure(evert_await(d), -ECANCELED); /* the result, by now */
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    evert_deferred_free(d); /* who waited knows of it, so nothing is reported */

    d = new_deferred(); /* the same without looking again */
    evert_scope_enter(&s, evert_after(1 * MS));
    check_failure(evert_await(d), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    check_rc(evert_deferred_callback(d, one, NULL), 0); /* late (D9) */
    check_rc(evert_deferred_callback(d, one, NULL), EVERT_EALREADY);
    evert_deferred_free(d);
}

static void test_in_a_scope_that_is_cancelled_awaiting_cancels_at_once(void **state)
{
    int cancels = 0;
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_scope_enter(&s, LONG_AGO);
    check_failure(evert_await(d), -ECANCELED);
    assert_int_equal(cancels, 1);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    evert_deferred_free(d);
}

static void test_a_result_that_is_there_wins_over_a_cancel(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    evert_scope_enter(&s, LONG_AGO);
    check_result(evert_await(d), one);
    check_result(evert_await_take(d), one);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d);
}

/* Both in the same turn: whichever came first. */
static void test_what_came_first_counts(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *fired = new_deferred(), *cut = new_deferred();
    struct wait first = {.deferred = fired}, second = {.deferred = cut};
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, await_it, &first), 0);
    check_rc(evert_spawn(&s, await_it, &second), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_deferred_callback(fired, one, NULL), 0);
    evert_scope_cancel(&s);
    check_rc(evert_deferred_callback(cut, one, NULL), 0); /* too late */
    check_rc(evert_scope_leave(&s, 0), 0);
    check_result(first.result, one);
    check_failure(second.result, -ECANCELED);
    evert_deferred_free(fired);
    evert_deferred_free(cut);
}

static void test_cancelling_one_of_several_ends_its_own_wait_only(void **state)
{
    int cancels = 0;
    evert_spawn_options options = evert_spawn_defaults();
    evert_task *tasks[3];
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    struct wait waits[3] = {{.deferred = d}, {.deferred = d}, {.deferred = d}};
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_scope_enter(&s, IN_A_MINUTE);
    for (int i = 0; i < 3; i++) {
        options.ret_task = &tasks[i];
        check_rc(evert_spawn_with(&s, &options, await_it, &waits[i]), 0);
    }
    settle();
    static const int order[] = {1, 0, 2};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cancels, 0);
        evert_task_cancel(tasks[order[i]]);
        settle();
        for (int j = 0; j < 3; j++)
            assert_int_equal(waits[order[j]].ended, j <= i);
        check_failure(waits[order[i]].result, -ECANCELED);
    }
    assert_int_equal(cancels, 1);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d);
}

static void fire_by_canceller(evert_deferred *d, void *value)
{
    check_rc(evert_deferred_callback(d, value, NULL), 0);
}

static void test_a_canceller_that_fires_does_not_change_the_wait(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, fire_by_canceller, one);
    evert_scope_enter(&s, evert_after(1 * MS));
    check_failure(evert_await(d), -ECANCELED);
    check_result(evert_await(d), one); /* it is there now */
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    evert_deferred_free(d);
}

static void fail_by_canceller(evert_deferred *d, void *unused)
{
    (void)unused;
    check_rc(evert_deferred_errback(d, -EPIPE), 0);
}

static void test_a_cancellers_own_error_is_not_handled_by_that(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, fail_by_canceller, NULL);
    evert_scope_enter(&s, LONG_AGO);
    check_failure(evert_await(d), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    evert_deferred_free(d);
    check_report("EPIPE");
}

struct canceller_note {
    evert_scope *scope;
    int rc, calls;
};

static void cancel_again(evert_deferred *d, void *arg)
{
    struct canceller_note *note = arg;
    note->calls++;
    evert_scope_cancel(note->scope);
    evert_deferred_cancel(d);
    evert_deferred_free(d);
}

static void test_a_canceller_may_cancel_the_scope_and_free_the_deferred(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    struct canceller_note note = {.scope = &s};
    struct wait wait = {.deferred = d};
    evert_deferred_set_canceller(d, cancel_again, &note);
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, await_it, &wait), 0);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(note.calls, 1);
    check_failure(wait.result, -ECANCELED);
}

#ifndef EVERT_DEBUG
static void wait_in_canceller(evert_deferred *d, void *rc)
{
    (void)d;
    *(int *)rc = evert_sleep(1);
}

static void test_a_canceller_cannot_wait(void **state)
{
    int rc = 0;
    evert_scope s;
    (void)state;
    for (int way = 0; way < 2; way++) {
        evert_deferred *d = new_deferred();
        struct wait wait = {.deferred = d};
        evert_deferred_set_canceller(d, wait_in_canceller, &rc);
        evert_scope_enter(&s, IN_A_MINUTE);
        check_rc(evert_spawn(&s, await_it, &wait), 0);
        if (way == 0) /* else its first wait is cancelled already */
            check_rc(evert_yield(), 0);
        evert_scope_cancel(&s);
        check_rc(evert_scope_leave(&s, 0), 0);
        check_rc(rc, EVERT_ECONTEXT);
        check_failure(wait.result, -ECANCELED);
        evert_deferred_free(d);
        check_report("in a callback of the loop");
    }
}
#endif

/* D15. */
static int swallow_and_wait_again(void *arg)
{
    evert_deferred **d = arg;
    evert_scope inner;
    evert_scope_enter(&inner, evert_after(1 * MS));
    check_failure(evert_await(d[0]), -ECANCELED);
    check_rc(evert_scope_leave(&inner, 0), 0); /* which is to say: never mind */
    check_result(evert_await(d[1]), one);
    return 0;
}

static void test_a_swallowed_cancellation_lets_it_go_on_and_wait_again(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d[] = {new_deferred(), new_deferred()};
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, swallow_and_wait_again, d), 0);
    check_rc(evert_sleep(3 * MS), 0);
    check_rc(evert_deferred_callback(d[1], one, NULL), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d[0]);
    evert_deferred_free(d[1]);
}

/* ---- Freed while it is awaited ---- */

static void test_freeing_it_ends_the_waits(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred();
    struct wait waits[2] = {{.deferred = d}, {.deferred = d, .take = true}};
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, await_it, &waits[0]), 0);
    check_rc(evert_spawn(&s, await_it, &waits[1]), 0);
    check_rc(evert_yield(), 0);
    evert_deferred_free(d);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_failure(waits[0].result, -ECANCELED);
    check_failure(waits[1].result, -ECANCELED);
}

/* Fired and freed before the one who waits has run: nobody gets what is gone. */
static void test_a_value_freed_before_its_awaiter_runs_is_not_given(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *good = new_deferred(), *bad = new_deferred();
    struct wait waits[2] = {{.deferred = good}, {.deferred = bad}};
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, await_it, &waits[0]), 0);
    check_rc(evert_spawn(&s, await_it, &waits[1]), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_deferred_callback(good, one, count_destroyed), 0);
    check_rc(evert_deferred_errback(bad, -EPIPE), 0);
    evert_deferred_free(good);
    evert_deferred_free(bad);
    check_destroyed(1);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_failure(waits[0].result, -ECANCELED);
    check_failure(waits[1].result, -EPIPE);
}

/* ---- D15: many ---- */

enum { MANY = 100000 };

static void test_awaiting_fired_ones_takes_no_stack(void **state)
{
    uintptr_t first = 0, last = 0;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        evert_deferred *d = new_deferred();
        check_rc(evert_deferred_callback(d, one, NULL), 0);
        check_result(evert_await(d), one);
        last = (uintptr_t)__builtin_frame_address(0);
        first = i == 0 ? last : first;
        evert_deferred_free(d);
    }
    assert_true(first == last);
}

static void test_awaiting_fired_ones_lets_others_run(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred(), *other = new_deferred();
    struct wait wait = {.deferred = other};
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_rc(evert_deferred_callback(other, one, NULL), 0);
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_spawn(&s, await_it, &wait), 0);
    for (int i = 0; i < EVERT__BUDGET + 1; i++)
        check_result(evert_await(d), one);
    assert_int_equal(wait.ended, 1);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d);
    evert_deferred_free(other);
}

static int free_that(void *deferred)
{
    evert_deferred_free(deferred);
    return 0;
}

/* It lets others run, and one of them frees what it was about to get. */
static void test_freed_while_others_run_is_not_given(void **state)
{
    evert_scope s;
    (void)state;
    evert_deferred *d = new_deferred(), *freed = new_deferred();
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_rc(evert_deferred_callback(freed, one, NULL), 0);
    evert_scope_enter(&s, IN_A_MINUTE);
    check_rc(evert_yield(), 0); /* the budget begins anew */
    for (int i = 0; i < EVERT__BUDGET; i++)
        check_result(evert_await(d), one);
    check_rc(evert_spawn(&s, free_that, freed), 0);
    check_failure(evert_await(freed), -ECANCELED);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert_deferred_free(d);
}

/* BR-006 with tasks: each awaits the next. */
struct link_in_chain {
    evert_deferred *mine, *next;
};

static int await_next_and_fire(void *arg)
{
    const struct link_in_chain *link = arg;
    evert_result result = evert_await(link->next);
    check_rc(evert_deferred_callback(link->mine, result.value, NULL), 0);
    return 0;
}

static void test_tasks_await_each_other_in_a_chain(void **state)
{
    enum { LENGTH = 500 };
    struct link_in_chain links[LENGTH];
    evert_deferred *d[LENGTH + 1];
    evert_scope s;
    (void)state;
    for (int i = 0; i <= LENGTH; i++)
        d[i] = new_deferred();
    evert_scope_enter(&s, IN_A_MINUTE);
    for (int i = 0; i < LENGTH; i++) {
        links[i] = (struct link_in_chain){d[i], d[i + 1]};
        check_rc(evert_spawn(&s, await_next_and_fire, &links[i]), 0);
    }
    check_rc(evert_yield(), 0);
    check_rc(evert_deferred_callback(d[LENGTH], one, NULL), 0);
    check_result(evert_await(d[0]), one);
    check_rc(evert_scope_leave(&s, 0), 0);
    for (int i = 0; i <= LENGTH; i++)
        evert_deferred_free(d[i]);
}

/* ---- Where nothing may wait ---- */

static int await_new(void *unused)
{
    (void)unused;
    evert_deferred *d = new_deferred();
    int rc = evert_await(d).error;
    evert_deferred_free(d);
    return rc;
}

static int await_in_callback(void *unused)
{
    (void)unused;
    return in_callback(await_new, NULL);
}

static evert_result await_own(evert_result *in, void *deferred)
{
    (void)in;
    return evert_await(deferred);
}

static int await_in_own_callback(void *unused)
{
    (void)unused;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_add_both(d, await_own, d), 0);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    int rc = evert_await(d).error;
    evert_deferred_free(d);
    return rc;
}

static void test_awaiting_in_a_callback_is_misuse(void **state)
{
    (void)state;
    check_misuse(await_in_callback, EVERT_ECONTEXT, "in a callback of the loop");
    check_misuse(await_in_own_callback, EVERT_ECONTEXT, "in one of its own callbacks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        quiet_everywhere(test_a_result_that_is_there_is_given_at_once),
        quiet_everywhere(test_it_waits_until_all_callbacks_are_done),
        quiet_everywhere(test_it_may_be_awaited_again_and_by_others),
        quiet_everywhere(test_an_error_is_given_again_and_counts_as_handled),
        quiet_everywhere(test_the_first_await_seals_the_chain),
        quiet_everywhere(test_taking_hands_the_value_over_once),
        quiet_everywhere(test_of_two_that_take_one_gets_it),
        quiet_everywhere(test_what_another_waits_for_cannot_be_awaited),
        quiet_everywhere(test_what_was_awaited_is_not_fanned_out_but_taken),
        quiet_everywhere(test_awaiting_asks_for_no_memory),
        quiet_everywhere(test_a_deadline_cancels_what_is_awaited),
        quiet_everywhere(test_in_a_scope_that_is_cancelled_awaiting_cancels_at_once),
        quiet_everywhere(test_a_result_that_is_there_wins_over_a_cancel),
        quiet_everywhere(test_what_came_first_counts),
        quiet_everywhere(test_cancelling_one_of_several_ends_its_own_wait_only),
        quiet_everywhere(test_a_canceller_that_fires_does_not_change_the_wait),
        quiet_everywhere(test_a_cancellers_own_error_is_not_handled_by_that),
        quiet_everywhere(test_a_canceller_may_cancel_the_scope_and_free_the_deferred),
#ifndef EVERT_DEBUG
        quiet_everywhere(test_a_canceller_cannot_wait),
#endif
        quiet_everywhere(test_a_swallowed_cancellation_lets_it_go_on_and_wait_again),
        quiet_everywhere(test_freeing_it_ends_the_waits),
        quiet_everywhere(test_a_value_freed_before_its_awaiter_runs_is_not_given),
        quiet_everywhere(test_awaiting_fired_ones_takes_no_stack),
        quiet_everywhere(test_awaiting_fired_ones_lets_others_run),
        quiet_everywhere(test_freed_while_others_run_is_not_given),
        quiet_everywhere(test_tasks_await_each_other_in_a_chain),
        cmocka_unit_test(test_awaiting_in_a_callback_is_misuse),
    };
    return run_table(tests);
}
