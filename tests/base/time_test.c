/* SPDX-License-Identifier: MIT */
#include "base/time.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static evert_time system_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (evert_time)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* F39: it is the monotonic clock, which setting the wall clock does not touch. */
static void test_clock_is_the_monotonic_one(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        evert_time before = system_clock(), now = evert__clock(), after = system_clock();
        assert_true(before <= now && now <= after);
    }
}

static void test_clock_never_goes_back(void **state)
{
    evert_time last = evert__clock();
    (void)state;
    for (int i = 0; i < 10000; i++) {
        evert_time now = evert__clock();
        assert_true(now >= last);
        last = now;
    }
}

static void test_units(void **state)
{
    (void)state;
    assert_true(EVERT_MICROSECOND == 1000);
    assert_true(EVERT_MILLISECOND == 1000 * EVERT_MICROSECOND);
    assert_true(EVERT_SECOND == 1000 * EVERT_MILLISECOND);
    assert_true(EVERT_NEVER == INT64_MAX);
}

static void test_after_counts_from_now(void **state)
{
    evert_time before = system_clock(), then = evert_after(EVERT_SECOND), after = system_clock();
    (void)state;
    assert_true(before + EVERT_SECOND <= then && then <= after + EVERT_SECOND);
    before = system_clock();
    then = evert_after(-EVERT_SECOND);
    after = system_clock();
    assert_true(before - EVERT_SECOND <= then && then <= after - EVERT_SECOND);
}

/* F41 */
static void test_after_too_long_a_span_is_never(void **state)
{
    (void)state;
    assert_true(evert_after(INT64_MAX) == EVERT_NEVER);
    assert_true(evert_after(INT64_MAX - 1) == EVERT_NEVER);
    assert_true(evert_after(INT64_MIN) < 0);
}

/* F41 */
static void test_adding_stops_at_the_ends(void **state)
{
    static const struct {
        evert_time a, b, sum;
    } rows[] = {
        {1, 2, 3},
        {-1, -2, -3},
        {INT64_MAX, 0, INT64_MAX},
        {INT64_MAX, 1, INT64_MAX},
        {1, INT64_MAX, INT64_MAX},
        {INT64_MAX, INT64_MAX, INT64_MAX},
        {INT64_MIN, 0, INT64_MIN},
        {INT64_MIN, -1, INT64_MIN},
        {-1, INT64_MIN, INT64_MIN},
        {INT64_MIN, INT64_MIN, INT64_MIN},
        {INT64_MIN, INT64_MAX, -1},
        {INT64_MAX, INT64_MIN, -1},
        {INT64_MAX - 1, 1, INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(evert__time_add(rows[i].a, rows[i].b) == rows[i].sum);
}

/* F41: a time that a time_t of 32 bits does not hold is the last that it does, not a negative. */
static void test_times_for_the_system_stop_at_the_end(void **state)
{
    static const struct {
        evert_time time;
        int seconds, nanoseconds;
    } rows[] = {
        {0, 0, 0},
        {EVERT_SECOND - 1, 0, 999999999},
        {EVERT_SECOND, 1, 0},
        {INT_MAX * EVERT_SECOND - 1, INT_MAX - 1, 999999999},
        {(INT_MAX + INT64_C(1)) * EVERT_SECOND, INT_MAX, 0},
        {EVERT_NEVER - 1, INT_MAX, 854775806},
        {EVERT_NEVER, INT_MAX, 854775807},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct timespec time = evert__timespec(rows[i].time);
        assert_true(time.tv_sec == rows[i].seconds);
        assert_true(time.tv_nsec == rows[i].nanoseconds);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_is_the_monotonic_one),
        cmocka_unit_test(test_clock_never_goes_back),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_after_counts_from_now),
        cmocka_unit_test(test_after_too_long_a_span_is_never),
        cmocka_unit_test(test_adding_stops_at_the_ends),
        cmocka_unit_test(test_times_for_the_system_stop_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
