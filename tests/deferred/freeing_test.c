/* SPDX-License-Identifier: MIT */
/*
 * Freeing and releasing: errors that nobody handled (D11, case 8, the Deferred's part of BR-060),
 * and callbacks that free, release, cancel, pause and fire whatever they want.
 */
#include "support.h"

#include "../base/seed.h"

static char one[] = "one", two[] = "two";

/* ---- D11 ---- */

static void test_an_error_that_nobody_handled_is_reported_once_with_its_place(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_errback(d, -EPIPE), 0);
    assert_int_equal(logged.count, 0);
    evert_deferred_free(d);
    check_words(logged.text, "freeing_test.c:");
    check_words(logged.text, "Broken pipe");
    check_report("EPIPE");
}

static void test_a_handled_error_is_not_reported(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *d = new_deferred();
    add_errback(d, &step);
    check_rc(evert_deferred_errback(d, -EPIPE), 0);
    evert_deferred_free(d);
    check_called("s");
}

static void test_an_error_passed_on_by_an_errback_is_reported_at_the_end(void **state)
{
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred();
    add_errback(d, &step);
    check_rc(evert_deferred_errback(d, -EPIPE), 0);
    evert_deferred_free(d);
    check_called("s");
    check_report("EPIPE");
}

static void test_an_error_that_moved_is_reported_by_the_outer_alone(void **state)
{
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_errback(inner, -EPIPE), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    assert_int_equal(logged.count, 0);
    evert_deferred_free(outer);
    check_report("EPIPE");
}

static void test_an_error_held_by_a_pause_is_reported(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *d = new_deferred();
    add_errback(d, &step);
    evert_deferred_pause(d);
    check_rc(evert_deferred_errback(d, -EPIPE), 0);
    evert_deferred_free(d);
    check_called("");
    check_report("EPIPE");
}

static void test_freeing_one_that_has_not_fired_is_no_error(void **state)
{
    int cancels = 0;
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred();
    for (int i = 0; i < 5; i++)
        add_both(d, &step);
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_deferred_free(d);
    assert_int_equal(cancels, 1);
    check_called("");
    evert_deferred_free(NULL);
}

static void test_freeing_the_outer_frees_what_it_waits_for(void **state)
{
    int cancels = 0;
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    evert_deferred_set_canceller(inner, count_cancel, &cancels);
    add_both(inner, &step);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_both(outer, &step);
    check_rc(evert_deferred_callback(outer, one, count_destroyed), 0);
    check_destroyed(1);
    evert_deferred_free(outer);
    assert_int_equal(cancels, 1);
    check_called("");
}

/* ---- Releasing ---- */

static void test_a_released_one_goes_when_its_last_callback_has_returned(void **state)
{
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *d = new_deferred();
    add_both(d, &step);
    evert_deferred_release(d);
    check_destroyed(0);
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_called("s");
    check_destroyed(1);
}

static void test_released_when_all_is_done_it_goes_at_once(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    evert_deferred_release(d);
    check_destroyed(1);
}

static void test_a_released_one_waits_for_its_inner_one(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_add_both(d, wait_for_arg, inner), 0);
    evert_deferred_release(d);
    check_rc(evert_deferred_callback(d, NULL, NULL), 0);
    check_rc(evert_deferred_callback(inner, one, count_destroyed), 0);
    check_destroyed(1);
}

/* BR-060: made, failed, let go. */
static void test_a_released_one_reports_what_nobody_handled(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_errback(d, -72), 0);
    assert_int_equal(logged.count, 0);
    evert_deferred_release(d);
    check_words(logged.text, "freeing_test.c:");
    check_report(evert_strerror(-72));

    d = new_deferred(); /* fired after it was let go */
    evert_deferred_release(d);
    check_rc(evert_deferred_errback(d, -72), 0);
    check_report(evert_strerror(-72));

    d = new_deferred(); /* with somebody who sees to it */
    check_rc(evert_deferred_errback(d, -72), 0);
    add_errback(d, &step);
    evert_deferred_release(d);
    check_called("s");
}

static void test_a_released_one_cancelled_without_a_canceller_stays_for_the_firing(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *d = new_deferred();
    struct step cancels = {.name = 'c', .act = cancel_it, .arg = d};
    evert_deferred *other = new_deferred();
    add_both(other, &cancels);
    add_errback(d, &step);
    evert_deferred_release(d);
    check_rc(evert_deferred_callback(other, NULL, NULL), 0);
    check_called("cs");
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0); /* and goes with that */
    check_destroyed(1);
    evert_deferred_free(other);
}

/* The same of one that a released one waited for. */
static void test_so_does_one_that_a_released_one_waited_for(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *d = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(d, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(d, wait_for_arg, inner), 0);
    add_both(d, &step);
    evert_deferred_release(d);
    evert_deferred_cancel(d);
    check_called("s");
    check_rc(evert_deferred_callback(inner, one, count_destroyed), 0);
    check_destroyed(1);
}

/* ---- In its own callbacks ---- */

static evert_result free_and_look(evert_result *in, void *deferred)
{
    evert_deferred_free(deferred);
    assert_string_equal(in->value, "one"); /* it is there until the callback has returned */
    check_destroyed(0);
    return *in;
}

static void test_freed_in_its_own_callback_it_lives_until_that_has_returned(void **state)
{
    struct step never = {.name = 'n'};
    (void)state;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_add_both(d, free_and_look, d), 0);
    add_both(d, &never);
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_destroyed(1);
    check_called("");

    d = new_deferred(); /* also where adding is what calls it */
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_rc(evert_deferred_add_both(d, free_and_look, d), 0);
    check_destroyed(1);
}

static void test_what_a_callback_returns_after_freeing_is_freed_too(void **state)
{
    int cancels = 0;
    (void)state;
    evert_deferred *other = new_deferred();
    evert_deferred_set_canceller(other, count_cancel, &cancels);
    const evert_result results[] = {evert_ok_owned(two, count_destroyed), evert_fail(-EPIPE),
                                    evert_wait_for(other)};
    for (int i = 0; i < 3; i++) {
        evert_deferred *d = new_deferred();
        struct step step = {.name = 's', .out = results[i], .act = free_it, .arg = d};
        add_both(d, &step);
        check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
        check_destroyed(i == 0 ? 2 : 1);
    }
    assert_int_equal(cancels, 1);
    check_called("sss");
}

static void test_a_callback_that_frees_its_own_and_waits_for_it_frees_it_once(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    struct step step = {.name = 's', .out = evert_wait_for(d), .act = free_it, .arg = d};
    add_both(d, &step);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_called("s");
}

static void test_released_in_its_own_callback_it_still_calls_the_others(void **state)
{
    struct step after = {.name = 'a'};
    (void)state;
    evert_deferred *d = new_deferred();
    struct step step = {.name = 's', .act = release_it, .arg = d};
    add_both(d, &step);
    add_both(d, &after);
    check_rc(evert_deferred_callback(d, one, count_destroyed), 0);
    check_called("sa");
    check_destroyed(1);
}

static void test_cancelled_in_its_own_callback_it_goes_on(void **state)
{
    (void)state;
    evert_deferred *d = new_deferred();
    struct step step = {.name = 's', .act = cancel_it, .arg = d};
    add_both(d, &step);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    check_called("s");
    check_value(d, one);
    evert_deferred_free(d);
}

static int free_twice(void *deferred)
{
    evert_deferred_free(deferred);
    evert_deferred_free(deferred);
    return 0;
}

static evert_result free_twice_in_callback(evert_result *in, void *deferred)
{
    (void)free_twice(deferred);
    check_rc(evert_deferred_add_both(deferred, free_twice_in_callback, NULL), EVERT_EALREADY);
    return *in;
}

static int free_twice_in_its_own(void *unused)
{
    (void)unused;
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_add_both(d, free_twice_in_callback, d), 0);
    check_rc(evert_deferred_callback(d, one, NULL), 0);
    return 0;
}

static void test_freeing_twice_in_a_callback_is_misuse(void **state)
{
    (void)state;
    check_misuse(free_twice_in_its_own, 0, "was freed already");
}

static void test_an_inner_one_freed_by_its_own_callback_cancels_the_outer(void **state)
{
    struct step after = {.name = 'o'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    struct step step = {.name = 'i', .act = free_it, .arg = inner};
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_both(outer, &after);
    add_both(inner, &step);
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_callback(inner, one, NULL), 0);
    check_called("io");
    check_error(outer, -ECANCELED);
    evert_deferred_free(outer);
}

static void test_the_callback_of_an_inner_one_may_free_the_outer(void **state)
{
    struct step after = {.name = 'o'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    struct step step = {.name = 'i', .act = free_it, .arg = outer};
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_both(outer, &after);
    add_both(inner, &step);
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_callback(inner, one, count_destroyed), 0);
    check_called("i");
    check_destroyed(1);
}

static evert_deferred *of_destroy;

static void destroy_and_free(void *value)
{
    evert_deferred *d = of_destroy;
    (void)value;
    of_destroy = NULL;
    evert_deferred_free(d);
    destroyed++;
}

static void test_a_destroy_function_may_free_the_deferred(void **state)
{
    struct step step = {.name = 's', .out = evert_ok_owned(two, count_destroyed)};
    (void)state;
    evert_deferred *d = of_destroy = new_deferred();
    add_both(d, &step); /* one that is replaced */
    check_rc(evert_deferred_callback(d, one, destroy_and_free), 0);
    check_called("s");
    check_destroyed(2);

    d = of_destroy = new_deferred(); /* one that came too late */
    check_rc(evert_deferred_callback(d, two, count_destroyed), 0);
    check_rc(evert_deferred_callback(d, one, destroy_and_free), EVERT_EALREADY);
    check_destroyed(2);

    d = new_deferred(); /* one that goes with another */
    of_destroy = new_deferred();
    check_rc(evert_deferred_callback(d, one, destroy_and_free), 0);
    evert_deferred_free(d);
    check_destroyed(1);
}

/* ---- Everything at random ---- */

/*
 * A few Deferreds; their callbacks and cancellers do at random what a program may do. What is free
 * to be freed stands in `owned`, what is free to be fired in `unfired`: a canceller tells when it
 * is not any more.
 */
enum { SLOTS = 8, FANS = 3, UNFIRED = 64, DEEP = 5, ROUNDS = 3000 };

static evert_deferred *owned[SLOTS];
static evert_deferred *unfired[UNFIRED];
static evert_fan_out *fans[FANS];
static int unfired_count, deep, values;

static uint64_t chance;

static unsigned any(unsigned below)
{
    return random_below(&chance, below);
}

static void destroy_counted(void *value)
{
    values--;
    free(value);
}

static evert_result some_value(void)
{
    values++;
    return evert_ok_owned(malloc(1), destroy_counted);
}

static void forget_unfired(const evert_deferred *d)
{
    for (int i = 0; i < unfired_count; i++) {
        if (unfired[i] == d) {
            unfired[i] = unfired[--unfired_count];
            return;
        }
    }
}

static void act_at_random(void);

static void canceller_at_random(evert_deferred *d, void *unused)
{
    (void)unused;
    forget_unfired(d);
    if (any(4) == 0)
        (void)evert_deferred_errback(d, -EPIPE);
    act_at_random();
}

/* One that may be waited for is given away by that. */
static evert_result wait_at_random(const evert_deferred *d)
{
    evert_deferred **slot = &owned[any(SLOTS)], *other = *slot;
    if (other == NULL || d->is.freed)
        return evert_fail(-EPROTO);
    bool busy = other->outer != NULL || other->is.running;
    for (const evert_deferred *in = other; in != NULL; in = in->inner)
        busy = busy || in == d;
    if (!busy)
        *slot = NULL;
    return evert_wait_for(other);
}

static evert_result callback_at_random(evert_result *in, void *d)
{
    act_at_random();
    switch (any(5)) {
    case 0:
        return some_value();
    case 1:
        return evert_fail(-EPROTO);
    case 2:
    case 3:
        return wait_at_random(d);
    default:
        return *in;
    }
}

static void new_at_random(evert_deferred **slot)
{
    evert_deferred *d = new_deferred();
    *slot = d;
    evert_deferred_set_canceller(d, canceller_at_random, NULL);
    if (unfired_count < UNFIRED)
        unfired[unfired_count++] = d;
    for (unsigned n = any(4); n > 0; n--)
        (void)evert_deferred_add_both(d, callback_at_random, d);
}

static void fire_at_random(void)
{
    if (unfired_count == 0)
        return;
    evert_deferred *d = unfired[any((unsigned)unfired_count)];
    evert_result value = some_value();
    forget_unfired(d);
    if (any(3) > 0) {
        check_rc(evert_deferred_callback(d, value.value, value.destroy), 0);
    } else {
        destroy_counted(value.value);
        check_rc(evert_deferred_errback(d, -EPIPE), 0);
    }
}

/* A branch, or a fan-out of one that is owned, or the end of one. */
static void fan_out_at_random(evert_deferred **slot)
{
    evert_fan_out **fan = &fans[any(FANS)], *old = *fan;
    if (old == NULL && *slot != NULL) {
        evert_deferred *source = *slot;
        *slot = NULL;
        check_rc(evert_fan_out_new(fan, source), 0);
    } else if (old != NULL && *slot == NULL) {
        check_rc(evert_fan_out_branch(old, slot), 0);
        evert_deferred_set_canceller(*slot, canceller_at_random, NULL);
        (void)evert_deferred_add_both(*slot, callback_at_random, *slot);
    } else if (old != NULL && any(3) == 0) {
        *fan = NULL;
        evert_fan_out_free(old);
    }
}

static void act_on(evert_deferred **slot)
{
    evert_deferred *d = *slot;
    switch (any(5)) {
    case 0:
        *slot = NULL;
        evert_deferred_free(d);
        break;
    case 1:
        evert_deferred_cancel(d);
        break;
    case 2:
        evert_deferred_pause(d);
        break;
    case 3:
        if (d->is.pauses > 0)
            evert_deferred_unpause(d);
        break;
    default:
        (void)evert_deferred_add_both(d, callback_at_random, d);
    }
}

static void act_at_random(void)
{
    if (deep == DEEP)
        return;
    deep++;
    for (unsigned n = any(3); n > 0; n--) {
        evert_deferred **slot = &owned[any(SLOTS)];
        if (any(4) == 0)
            fan_out_at_random(slot);
        else if (*slot == NULL)
            new_at_random(slot);
        else if (any(3) == 0)
            fire_at_random();
        else
            act_on(slot);
    }
    deep--;
}

static void test_callbacks_that_do_anything_at_random(void **state)
{
    (void)state;
    uint64_t seed = chance = seed_new();
    for (int i = 0; i < ROUNDS; i++)
        act_at_random();
    deep = DEEP; /* from here on nothing new */
    for (int i = 0; i < SLOTS; i++) {
        evert_deferred *d = owned[i];
        owned[i] = NULL;
        evert_deferred_free(d);
    }
    for (int i = 0; i < FANS; i++)
        evert_fan_out_free(fans[i]);
    assert_held(unfired_count == 0 ? NULL : "one was not told that it is not to be fired", seed);
    assert_held(values == 0 ? NULL : "not every value was destroyed once", seed);
    memset(&logged, 0, sizeof(logged)); /* there were errors that nobody handled */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        quiet(test_an_error_that_nobody_handled_is_reported_once_with_its_place),
        quiet(test_a_handled_error_is_not_reported),
        quiet(test_an_error_passed_on_by_an_errback_is_reported_at_the_end),
        quiet(test_an_error_that_moved_is_reported_by_the_outer_alone),
        quiet(test_an_error_held_by_a_pause_is_reported),
        quiet(test_freeing_one_that_has_not_fired_is_no_error),
        quiet(test_freeing_the_outer_frees_what_it_waits_for),
        quiet(test_a_released_one_goes_when_its_last_callback_has_returned),
        quiet(test_released_when_all_is_done_it_goes_at_once),
        quiet(test_a_released_one_waits_for_its_inner_one),
        quiet(test_a_released_one_reports_what_nobody_handled),
        quiet(test_a_released_one_cancelled_without_a_canceller_stays_for_the_firing),
        quiet(test_so_does_one_that_a_released_one_waited_for),
        quiet(test_freed_in_its_own_callback_it_lives_until_that_has_returned),
        quiet(test_what_a_callback_returns_after_freeing_is_freed_too),
        quiet(test_a_callback_that_frees_its_own_and_waits_for_it_frees_it_once),
        quiet(test_released_in_its_own_callback_it_still_calls_the_others),
        quiet(test_cancelled_in_its_own_callback_it_goes_on),
        cmocka_unit_test(test_freeing_twice_in_a_callback_is_misuse),
        quiet(test_an_inner_one_freed_by_its_own_callback_cancels_the_outer),
        quiet(test_the_callback_of_an_inner_one_may_free_the_outer),
        quiet(test_a_destroy_function_may_free_the_deferred),
        quiet(test_callbacks_that_do_anything_at_random),
    };
    return run_table(tests);
}
