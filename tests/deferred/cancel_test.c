/* SPDX-License-Identifier: MIT */
/* Cancelling, and the firing that comes too late: rules D8 and D9, the Deferred's part of BR-007.
 */
#include "support.h"

static char one[] = "one", two[] = "two";

/* A canceller that fires what it cancels, with what it is given. */
static void fire_result(evert_deferred *d, void *arg)
{
    const evert_result *result = arg;
    if (result->kind == EVERT_RESULT_VALUE)
        check_rc(evert_deferred_callback(d, result->value, result->destroy), 0);
    else
        check_rc(evert_deferred_errback(d, result->error), 0);
}

/* A canceller that does one of the things of support.h, with what it is given. */
struct action {
    void (*act)(void *arg);
    void *arg;
};

static void do_action(evert_deferred *d, void *arg)
{
    const struct action *action = arg;
    (void)d;
    action->act(action->arg);
}

/* ---- D8 ---- */

static void test_cancelling_what_has_its_result_has_no_effect(void **state)
{
    int cancels = 0;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_deferred_cancel(d);
    assert_int_equal(cancels, 0);
    check_value(d, one);
    check_rc(evert_deferred_callback(d, one, NULL), EVERT_EALREADY);
    evert_deferred_free(d);
}

static void test_cancelled_without_a_canceller_it_fails(void **state)
{
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred();
    add_errback(d, &step);
    evert_deferred_cancel(d);
    assert_true(evert_deferred_has_fired(d));
    check_called("s");
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
}

static void test_the_canceller_is_called_first_and_once(void **state)
{
    int cancels = 0;
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred();
    add_errback(d, &step);
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_deferred_cancel(d);
    evert_deferred_cancel(d);
    assert_int_equal(cancels, 1);
    check_called("s");
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
    assert_int_equal(cancels, 1);
}

static void test_a_canceller_can_be_taken_back(void **state)
{
    int cancels = 0;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_deferred_set_canceller(d, NULL, NULL);
    evert_deferred_cancel(d);
    assert_int_equal(cancels, 0);
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
}

/* Case 6. */
static void test_cancelling_the_outer_cancels_the_inner_one_only(void **state)
{
    int inner_cancels = 0, outer_cancels = 0;
    struct step inside = {.name = 'i'}, after = {.name = 'o'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    evert_deferred_set_canceller(outer, count_cancel, &outer_cancels);
    evert_deferred_set_canceller(inner, count_cancel, &inner_cancels);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_both(outer, &after);
    add_both(inner, &inside);
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    evert_deferred_cancel(outer);
    assert_int_equal(inner_cancels, 1);
    assert_int_equal(outer_cancels, 0);
    check_called("io");
    check_error(outer, -ECANCELED);
    evert_deferred_free(outer);
}

static void test_an_inner_one_may_turn_its_cancel_into_a_value(void **state)
{
    struct step rescue = {.name = 'r', .out = evert_ok(two)};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_errback(inner, &rescue);
    evert_deferred_cancel(outer);
    check_called("r");
    check_value(outer, two);
    evert_deferred_free(outer);
}

static void test_cancelling_a_paused_one_is_told_when_it_goes_on(void **state)
{
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred();
    add_both(d, &step);
    evert_deferred_pause(d);
    evert_deferred_cancel(d);
    check_called("");
    evert_deferred_unpause(d);
    check_called("s");
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
}

/* ---- D9 ---- */

/* Case 2. */
static void test_after_a_cancel_one_late_firing_is_swallowed(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_cancel(d);
    check_error(d, -ECANCELED);
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_destroyed(1); /* nobody gets it */
    check_rc(evert_deferred_callback(d, one, count_destroyed), EVERT_EALREADY);
    check_destroyed(1);
    check_value(d, NULL);
    evert_deferred_free(d);
}

static void test_with_a_canceller_too_and_an_error_as_well(void **state)
{
    int cancels = 0;
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_deferred_cancel(d);
    check_error(d, -ECANCELED);
    check_rc(evert_deferred_errback(d, -EPIPE), 0);
    check_rc(evert_deferred_errback(d, -EPIPE), EVERT_EALREADY);
    evert_deferred_cancel(d);
    check_rc(evert_deferred_errback(d, -EPIPE), EVERT_EALREADY);
    evert_deferred_free(d);
}

/* Case 3. */
static void test_a_canceller_may_fire_a_result_of_its_own(void **state)
{
    evert_result result = evert_ok_owned(one, count_destroyed);
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, fire_result, &result);
    evert_deferred_cancel(d);
    check_value(d, one);
    check_rc(evert_deferred_callback(d, two, NULL), EVERT_EALREADY); /* this is no late one */
    evert_deferred_free(d);
    check_destroyed(1);

    result = evert_fail(-EPIPE);
    d = new_deferred();
    evert_deferred_set_canceller(d, fire_result, &result);
    evert_deferred_cancel(d);
    check_error(d, -EPIPE);
    evert_deferred_free(d);
}

/* Case 13, without a coroutine: an errback swallows the cancel. */
static void test_an_errback_may_swallow_the_cancel(void **state)
{
    struct step rescue = {.name = 'r', .out = evert_ok(one)};
    (void)state;
    evert_deferred *d = new_deferred();
    add_errback(d, &rescue);
    evert_deferred_cancel(d);
    check_called("r");
    check_value(d, one);
    check_rc(evert_deferred_callback(d, two, NULL), 0);
    check_value(d, one);
    evert_deferred_free(d);
}

static void test_the_late_firing_may_come_in_the_errback(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    struct step fires = {.name = 'f', .act = fire_it, .arg = d};
    add_errback(d, &fires);
    evert_deferred_cancel(d);
    check_called("f");
    check_rc(evert_deferred_callback(d, two, NULL), EVERT_EALREADY);
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
}

/* Whoever borrowed the inner one does not know of the cancel, and fires it: no harm is done. */
static void test_a_late_firing_of_an_inner_one_is_swallowed_too(void **state)
{
    (void)state;
    evert_deferred *d[5];
    for (int i = 0; i < 5; i++)
        d[i] = new_deferred();
    for (int i = 0; i < 4; i++)
        check_rc(evert_deferred_add_both(d[i], wait_for_arg, d[i + 1]), 0);
    for (int i = 0; i < 4; i++)
        check_rc(evert_deferred_callback(d[i], NULL, NULL), 0);
    evert_deferred_cancel(d[0]);
    check_error(d[0], -ECANCELED);
    check_rc(evert_deferred_callback(d[4], one, count_destroyed), 0);
    check_rc(evert_deferred_callback(d[4], one, count_destroyed), EVERT_EALREADY);
    check_destroyed(2);

    /* The same again, with the one that it comes to wait for now. */
    evert_deferred *others[3];
    for (int i = 0; i < 3; i++) {
        others[i] = new_deferred();
        check_rc(evert_deferred_add_both(d[0], wait_for_arg, others[i]), 0);
        evert_deferred_cancel(d[0]);
        check_error(d[0], -ECANCELED);
    }
    for (int i = 0; i < 3; i++)
        check_rc(evert_deferred_callback(others[i], NULL, NULL), 0);

    /* And what was waited for goes with the one that waits. */
    evert_deferred *outermost = new_deferred();
    check_rc(evert_deferred_callback(outermost, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outermost, wait_for_arg, d[0]), 0);
    evert_deferred *last = new_deferred();
    check_rc(evert_deferred_add_both(outermost, wait_for_arg, last), 0);
    evert_deferred_cancel(outermost);
    check_rc(evert_deferred_callback(others[1], NULL, NULL), EVERT_EALREADY);
    check_rc(evert_deferred_callback(last, NULL, NULL), 0);
    check_error(outermost, -ECANCELED);
    evert_deferred_free(outermost);
}

/* BR-007, as far as it is a Deferred's: cancelled, then the attempt comes to its own end. */
static void test_an_attempt_that_ends_after_its_cancel_is_heard_of_no_more(void **state)
{
    int cancels = 0;
    struct step errback = {.name = 'e', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *attempt = new_deferred();
    evert_deferred_set_canceller(attempt, count_cancel, &cancels);
    add_errback(attempt, &errback);
    evert_deferred_cancel(attempt);
    check_rc(evert_deferred_errback(attempt, -ETIMEDOUT), 0);
    evert_deferred_cancel(attempt);
    check_called("e");
    check_rc(errback.in.error, -ECANCELED);
    assert_int_equal(cancels, 1);
    check_rc(evert_deferred_errback(attempt, -ETIMEDOUT), EVERT_EALREADY);
    evert_deferred_free(attempt);
}

/* ---- A canceller may do anything ---- */

static void test_a_canceller_may_cancel_what_it_cancels(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    struct action action = {cancel_it, d};
    evert_deferred_set_canceller(d, do_action, &action);
    evert_deferred_cancel(d);
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
}

static void test_a_canceller_may_free_what_it_cancels(void **state)
{
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred();
    struct action action = {free_it, d};
    add_both(d, &step);
    evert_deferred_set_canceller(d, do_action, &action);
    evert_deferred_cancel(d);
    check_called(""); /* freed, it calls nothing */
}

static void test_a_canceller_may_free_the_outer(void **state)
{
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    struct action action = {free_it, outer};
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    evert_deferred_set_canceller(inner, do_action, &action);
    evert_deferred_cancel(outer);
}

static void test_an_inner_one_freed_by_its_canceller_cancels_the_outer(void **state)
{
    struct step inside = {.name = 'i'}, after = {.name = 'o'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    struct action action = {free_it, inner};
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_both(outer, &after);
    add_both(inner, &inside);
    evert_deferred_set_canceller(inner, do_action, &action);
    evert_deferred_cancel(outer);
    check_called("o");
    check_error(outer, -ECANCELED);
    evert_deferred_free(outer);
}

static void test_a_canceller_may_release_add_and_pause(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *d = new_deferred();
    struct action release = {release_it, d};
    add_both(d, &step);
    evert_deferred_set_canceller(d, do_action, &release);
    evert_deferred_cancel(d);
    check_called("s");

    d = new_deferred();
    struct action pause = {pause_it, d};
    add_both(d, &step);
    evert_deferred_set_canceller(d, do_action, &pause);
    evert_deferred_cancel(d);
    check_called("");
    evert_deferred_unpause(d);
    check_called("s");
    evert_deferred_free(d);
}

static void test_a_canceller_may_fire_when_its_deferred_is_being_freed(void **state)
{
    evert_result result = evert_ok_owned(one, count_destroyed);
    (void)state;
    evert_deferred *d = new_deferred();
    evert_deferred_set_canceller(d, fire_result, &result);
    evert_deferred_free(d);
    check_destroyed(1);

    result = evert_fail(-EPIPE);
    d = new_deferred();
    evert_deferred_set_canceller(d, fire_result, &result);
    evert_deferred_free(d); /* nobody wants to hear of that */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        quiet(test_cancelling_what_has_its_result_has_no_effect),
        quiet(test_cancelled_without_a_canceller_it_fails),
        quiet(test_the_canceller_is_called_first_and_once),
        quiet(test_a_canceller_can_be_taken_back),
        quiet(test_cancelling_the_outer_cancels_the_inner_one_only),
        quiet(test_an_inner_one_may_turn_its_cancel_into_a_value),
        quiet(test_cancelling_a_paused_one_is_told_when_it_goes_on),
        quiet(test_after_a_cancel_one_late_firing_is_swallowed),
        quiet(test_with_a_canceller_too_and_an_error_as_well),
        quiet(test_a_canceller_may_fire_a_result_of_its_own),
        quiet(test_an_errback_may_swallow_the_cancel),
        quiet(test_the_late_firing_may_come_in_the_errback),
        quiet(test_a_late_firing_of_an_inner_one_is_swallowed_too),
        quiet(test_an_attempt_that_ends_after_its_cancel_is_heard_of_no_more),
        quiet(test_a_canceller_may_cancel_what_it_cancels),
        quiet(test_a_canceller_may_free_what_it_cancels),
        quiet(test_a_canceller_may_free_the_outer),
        quiet(test_an_inner_one_freed_by_its_canceller_cancels_the_outer),
        quiet(test_a_canceller_may_release_add_and_pause),
        quiet(test_a_canceller_may_fire_when_its_deferred_is_being_freed),
    };
    return run_table(tests);
}
