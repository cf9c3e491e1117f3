/* SPDX-License-Identifier: MIT */
/* A clock and a counter that are made up, so that each can do what real ones do once a year. */
#include "base/near.h"

#include "seed.h"

#define LATE_AT_MOST (5 * EVERT_MICROSECOND)
#define AWHILE (20 * EVERT_MILLISECOND)
#define NOON (INT64_MAX / 2)

static struct {
    evert_time clock;
    double count;
    double ticks;  /* of the counter, in a nanosecond of the clock */
    uint64_t step; /* that it goes in, or 0 */
    struct evert__near near;
} world;

static void begin_with(double ticks)
{
    world.clock = 40 * EVERT_SECOND;
    world.count = 1e12;
    world.ticks = ticks;
    world.step = 0;
    world.near = (struct evert__near){0};
}

static void pass(evert_time span)
{
    world.clock += span;
    world.count += (double)span * world.ticks;
}

static uint64_t counter(void)
{
    uint64_t count = (uint64_t)world.count;
    return world.step > 0 ? count - count % world.step : count;
}

/* A reading, with so much time before the clock was read, and so much behind it. */
static void read_clock(evert_time before, evert_time after)
{
    uint64_t first = counter();
    pass(before);
    evert_time read = world.clock;
    pass(after);
    evert__near_learn(&world.near, first, read, counter());
}

static bool is_known(void)
{
    return evert__near_knows(&world.near, counter());
}

static evert_time lateness(void)
{
    return world.clock - evert__near_time(&world.near, counter());
}

/* Lets time pass in turns that look at it. How many of a hundred turns had to read no clock. */
static int turns(evert_time span, uint64_t *random)
{
    int known = 0, all = 0;
    for (evert_time end = world.clock + span; world.clock < end; all++) {
        pass(1 + random_below(random, 20 * EVERT_MICROSECOND));
        if (!is_known()) {
            read_clock(random_below(random, 100), random_below(random, 100));
            continue;
        }
        known++;
        assert_in_range(lateness(), 0, LATE_AT_MOST);
    }
    return 100 * known / all;
}

/* From the 24 MHz of an ARM server to a fast x86. */
static const double speeds[] = {0.024, 0.1, 1, 2.1, 5.7};
enum { SPEEDS = sizeof(speeds) / sizeof(speeds[0]) };

static void test_the_counter_tells_the_time_and_is_never_early(void **state)
{
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    for (int i = 0; i < SPEEDS; i++) {
        begin_with(speeds[i]);
        turns(AWHILE, &random);
        assert_held(turns(EVERT_SECOND, &random) >= 95 ? NULL : "the clock is read too often",
                    seed);
    }
}

/* A processor whose counter runs at less than what it is counted in; and emulators. */
static void test_a_counter_that_goes_in_steps_is_not_early(void **state)
{
    static const struct {
        evert_time step;
        int known;
    } cases[] = {{60, 90}, {990, 0}};
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int j = 0; j < SPEEDS; j++) {
            begin_with(speeds[j]);
            world.step = (uint64_t)(speeds[j] * (double)cases[i].step);
            turns(AWHILE, &random);
            int known = turns(EVERT_SECOND, &random);
            assert_held(known >= cases[i].known ? NULL : "the clock is read too often", seed);
        }
    }
}

static void test_nothing_is_known_before_two_spans_agree(void **state)
{
    (void)state;
    begin_with(2.1);
    for (int i = 0; i < 2; i++) {
        read_clock(50, 50);
        pass(2 * EVERT_MICROSECOND);
        assert_false(is_known());
        pass(EVERT_MILLISECOND);
    }
    read_clock(50, 50);
    assert_false(is_known()); /* so shortly behind a reading */
    pass(2 * EVERT_MICROSECOND);
    assert_true(is_known());
    pass(2 * EVERT_MILLISECOND);
    assert_false(is_known()); /* that was long ago */
}

/* As adjtimex(2) does it, from one moment to the next; at worst, while the counter goes in steps.
 */
static void test_it_is_not_early_while_the_clock_is_set_right(void **state)
{
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    for (int i = 0; i < SPEEDS; i++) {
        begin_with(speeds[i]);
        world.step = (uint64_t)(speeds[i] * 990);
        for (int j = 0; j < 400; j++) {
            world.ticks = speeds[i] * (j % 2 == 0 ? 1 : 1.00045);
            turns(AWHILE, &random);
        }
        assert_held(world.near.off ? "it was taken for a bad counter" : NULL, seed);
    }
}

static void test_a_reading_that_something_came_into_is_not_built_upon(void **state)
{
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    for (int i = 0; i < SPEEDS; i++) {
        for (int when = 0; when < 2; when++) {
            begin_with(speeds[i]);
            turns(AWHILE, &random);
            pass(EVERT_MILLISECOND);
            read_clock(when == 0 ? 3 * EVERT_MILLISECOND : 50,
                       when == 1 ? 3 * EVERT_MILLISECOND : 50);
            pass(2 * EVERT_MICROSECOND);
            assert_false(is_known());
            turns(AWHILE, &random);
            assert_held(turns(AWHILE, &random) >= 95 ? NULL : "it is not believed again", seed);
        }
    }
}

/* What is shorter than could be told from another speed by the length of a tick. */
static void test_nor_is_one_that_something_short_came_into(void **state)
{
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    for (int i = 0; i < SPEEDS; i++) {
        begin_with(speeds[i]);
        turns(AWHILE, &random);
        for (int j = 0; j < 100; j++) {
            uint64_t which = random_below(&random, 2);
            evert_time span = random_below(&random, 20 * EVERT_MICROSECOND);
            pass(EVERT_MILLISECOND);
            read_clock(which == 0 ? span : 50, which == 1 ? span : 50);
            pass(EVERT_MILLISECOND * 6 / 10);
            read_clock(50, 50);
            turns(2 * EVERT_MILLISECOND, &random);
        }
        assert_held(turns(AWHILE, &random) >= 90 ? NULL : "it is not believed again", seed);
    }
}

/* A virtual machine that was moved, or a processor that slept. */
static void test_a_counter_that_jumps_is_believed_again_once_it_runs(void **state)
{
    static const double jumps[] = {1e13, 1e8, -1e8, -1e12};
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        begin_with(2.1);
        turns(AWHILE, &random);
        world.count += jumps[i];
        assert_false(is_known());
        turns(AWHILE, &random);
        assert_held(turns(AWHILE, &random) >= 95 ? NULL : "it is not believed again", seed);
    }
}

static void test_after_a_long_sleep_it_is_measured_again(void **state)
{
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    begin_with(2.1);
    turns(AWHILE, &random);
    pass(3600 * EVERT_SECOND);
    assert_false(is_known());
    read_clock(50, 50);
    assert_false(is_known());
    turns(AWHILE, &random);
    assert_held(turns(AWHILE, &random) >= 95 ? NULL : "it is not believed again", seed);
}

static void test_a_counter_that_was_early_is_not_believed_any_more(void **state)
{
    uint64_t random = seed_new();
    (void)state;
    begin_with(2.1);
    turns(AWHILE, &random);
    pass(EVERT_MILLISECOND);
    read_clock(50, 50);
    world.ticks *= 1.5;
    pass(EVERT_MILLISECOND * 5 / 4);
    read_clock(50, 50);
    assert_true(world.near.off);
    world.ticks /= 1.5;
    assert_int_equal(turns(AWHILE, &random), 0);
}

static void test_a_counter_that_stands_still_is_never_believed(void **state)
{
    uint64_t random = seed_new();
    (void)state;
    begin_with(0);
    assert_int_equal(turns(AWHILE, &random), 0);
}

static void test_one_that_is_off_stays_off(void **state)
{
    uint64_t random = seed_new();
    (void)state;
    begin_with(2.1);
    world.near.off = true;
    assert_int_equal(turns(AWHILE, &random), 0);
}

/* ---- The machine's own ---- */

static struct evert__near own;

static bool own_is_known(void)
{
    evert_time now;
    return evert__near_now(&own, &now);
}

/* False where its counter is not to be had, or never believed. */
static bool learn_own(void)
{
    evert_time end = evert__near_read(&own) + EVERT_SECOND;
    evert__near_init(&own);
    while (!own_is_known() && evert__near_read(&own) < end)
        ;
    return own_is_known();
}

static void test_the_machines_own_is_not_early_either(void **state)
{
    int known = 0;
    (void)state;
    (void)learn_own();
    for (int i = 0; i < 10000; i++) {
        evert_time before = evert__near_read(&own), now;
        if (!evert__near_now(&own, &now))
            continue;
        known++;
        assert_true(before - LATE_AT_MOST <= now && now <= evert__near_read(&own));
    }
    if (known == 0)
        print_message("# the counter of this machine is not used\n");
}

static bool is_noon(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site, (void)size;
    *result = NOON;
    return call == EVERT__SYS_CLOCK;
}

static void test_under_a_hook_that_is_asked(void **state)
{
    (void)state;
    (void)learn_own();
    const struct evert__near before = own;
    evert__sys_set_hook(is_noon);
    bool is_told = own_is_known();
    evert_time noon = evert__near_read(&own);
    evert__sys_set_hook(NULL);
    assert_false(is_told);
    assert_true(noon == NOON);
    assert_memory_equal(&own, &before, sizeof(own)); /* it was not taken for a reading */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_counter_tells_the_time_and_is_never_early),
        cmocka_unit_test(test_a_counter_that_goes_in_steps_is_not_early),
        cmocka_unit_test(test_nothing_is_known_before_two_spans_agree),
        cmocka_unit_test(test_it_is_not_early_while_the_clock_is_set_right),
        cmocka_unit_test(test_a_reading_that_something_came_into_is_not_built_upon),
        cmocka_unit_test(test_nor_is_one_that_something_short_came_into),
        cmocka_unit_test(test_a_counter_that_jumps_is_believed_again_once_it_runs),
        cmocka_unit_test(test_after_a_long_sleep_it_is_measured_again),
        cmocka_unit_test(test_a_counter_that_was_early_is_not_believed_any_more),
        cmocka_unit_test(test_a_counter_that_stands_still_is_never_believed),
        cmocka_unit_test(test_one_that_is_off_stays_off),
        cmocka_unit_test(test_the_machines_own_is_not_early_either),
        cmocka_unit_test(test_under_a_hook_that_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
