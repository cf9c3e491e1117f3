/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <time.h>

/* ---- P2: order, never early ---- */

/* P2 */
static void test_timers_fire_in_the_order_of_their_deadlines(void **state)
{
    static char letters[] = "ebadcf";
    static const int order[] = {4, 1, 0, 3, 2, 5};
    evert_time from = evert_after(EVERT_MILLISECOND);
    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(evert_loop_call_at(loop, NULL, from + order[i] * 100 * EVERT_MICROSECOND,
                                            note, &letters[i]),
                         0);
    assert_int_equal(evert_loop_call_at(loop, NULL, from + EVERT_MILLISECOND, stop_loop, NULL), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_string_equal(record, "abcdef");
}

/* P2 */
static void test_overdue_timers_fire_in_the_order_of_deadlines(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_call_at(loop, NULL, 3, note, "c"), 0);
    assert_int_equal(evert_loop_call_at(loop, NULL, 1, note, "a"), 0);
    assert_int_equal(evert_loop_call_at(loop, NULL, 2, note, "b"), 0);
    turn(0);
    assert_string_equal(record, "abc");
}

/* P2 */
static void test_equal_deadlines_fire_in_the_order_of_the_asking(void **state)
{
    static char letters[] = "abcdefghijklmnopqrstuvwxyz";
    evert_time when = evert_after(EVERT_MILLISECOND);
    (void)state;
    for (int i = 0; i < 26; i++)
        assert_int_equal(evert_loop_call_at(loop, NULL, when, note, &letters[i]), 0);
    assert_int_equal(evert_loop_call_at(loop, NULL, when, stop_loop, NULL), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_string_equal(record, letters);
}

enum { MANY = 400 };

static struct chance {
    struct chance_timer {
        evert_handle handle;
        evert_time when;
        int order; /* in which it was asked for */
        bool cancelled, fired;
    } timers[MANY];
    const struct chance_timer *last;
    const char *problem;
    int fired;
} chance;

static void chance_fired(void *arg)
{
    struct chance_timer *timer = arg;
    const struct chance_timer *last = chance.last;
    if (evert__clock() < timer->when || evert_now() < timer->when)
        chance.problem = "a timer fired early";
    if (timer->cancelled)
        chance.problem = "a cancelled timer fired";
    if (timer->fired)
        chance.problem = "a timer fired twice";
    if (last != NULL &&
        (last->when > timer->when || (last->when == timer->when && last->order > timer->order)))
        chance.problem = "a timer fired out of order";
    timer->fired = true;
    chance.last = timer;
    chance.fired++;
}

static void chance_set(uint64_t *random, evert_time from)
{
    for (int i = 0; i < MANY; i++) {
        struct chance_timer *timer = &chance.timers[i];
        timer->when = from + (evert_time)random_below(random, 60) * 100 * EVERT_MICROSECOND;
        timer->order = i;
        assert_int_equal(evert_loop_call_at(loop, &timer->handle, timer->when, chance_fired, timer),
                         0);
        int other = (int)random_below(random, MANY);
        if (random_below(random, 4) == 0 && other <= i && !chance.timers[other].cancelled) {
            evert_handle_cancel(&chance.timers[other].handle);
            chance.timers[other].cancelled = true;
        }
    }
}

/* P2: the order against that of all deadlines, and none early. */
static void test_random_timers_fire_in_order_and_never_early(void **state)
{
    uint64_t seed = seed_new(), random = seed;
    int left = MANY;
    (void)state;
    memset(&chance, 0, sizeof(chance));
    chance_set(&random, evert_after(0));
    for (int i = 0; i < MANY; i++)
        left -= chance.timers[i].cancelled;
    run_until(&chance.fired, left);
    turns(3);
    if (chance.fired != left)
        chance.problem = "a timer too many";
    assert_held(chance.problem, seed);
}

/* ---- P2: any value ---- */

/* P2, BR-014: what has gone is due at once; this is what -1 means. */
static void test_deadlines_in_the_past_fire_in_the_next_turn(void **state)
{
    static const evert_time past[] = {0, -1, 1, INT64_MIN, INT64_MIN + 1, -EVERT_SECOND};
    int fired = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(past); i++)
        assert_int_equal(evert_loop_call_at(loop, NULL, past[i], count_up, &fired), 0);
    assert_int_equal(evert_loop_call_at(loop, NULL, evert_after(-1), count_up, &fired), 0);
    turn(PATIENCE);
    assert_int_equal(fired, COUNT_OF(past) + 1);
}

static evert_time seen;

static void look_at_the_time(void *arg)
{
    (void)arg;
    seen = evert_now();
}

/* As one that something came between, while it was read; by more than there is in life. */
static void make_the_counter_late(evert_time now)
{
    uint64_t count = 0;
    (void)evert__counter(&count);
    loop->near = (struct evert__near){.read = now - EVERT_MILLISECOND / 2,
                                      .after = count,
                                      .believed = UINT64_MAX / 2,
                                      .length = 1};
}

/* P2: what is due by the clock is, and what is told is the clock's time. */
static void test_a_late_counter_holds_no_timer_back(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        evert_time now = evert__clock();
        make_the_counter_late(now);
        seen = 0;
        assert_int_equal(evert_loop_call_at(loop, NULL, now, look_at_the_time, NULL), 0);
        if (i > 0) /* at first with no other timer, then with some that are far */
            assert_int_equal(evert_loop_call_at(loop, NULL, now + i * EVERT_SECOND, note, "a"), 0);
        turn(0);
        assert_true(now <= seen);
    }
    evert_time now = evert__clock();
    make_the_counter_late(now);
    assert_int_equal(evert_loop_call_soon(loop, NULL, look_at_the_time, NULL), 0);
    turn(0);
    assert_true(now <= seen);
}

static evert_time processor_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (evert_time)now.tv_sec * EVERT_SECOND + now.tv_nsec;
}

/* P2, BR-014, F41 */
static void test_far_deadlines_do_not_fire_and_let_the_loop_sleep(void **state)
{
    const evert_time far[] = {
        evert_after(((evert_time)1 << 31) * EVERT_MILLISECOND - EVERT_MILLISECOND),
        evert_after(((evert_time)1 << 31) * EVERT_MILLISECOND),
        evert_after((evert_time)9000000000 * EVERT_MILLISECOND),
        evert_after((((evert_time)1 << 32) + 7000) * EVERT_MILLISECOND),
        evert_after(INT64_MAX),
        evert_after(INT64_MAX - 1),
        INT64_MAX - 1,
        EVERT_NEVER,
    };
    evert_handle handles[COUNT_OF(far)] = {0};
    int fired = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(far); i++) {
        assert_int_equal(evert_loop_call_at(loop, &handles[i], far[i], count_up, &fired), 0);
        evert_time began = processor_time();
        turn(10 * EVERT_MILLISECOND);
        turn(10 * EVERT_MILLISECOND);
        assert_true(processor_time() - began < 15 * EVERT_MILLISECOND);
    }
    assert_int_equal(fired, 0);
    for (size_t i = 0; i < COUNT_OF(far); i++)
        evert_handle_cancel(&handles[i]);
    assert_int_equal(loop->timers.count, 0);
    turn(0);
    assert_int_equal(fired, 0);
}

/* P2: with nothing but far timers the system is asked to wait as long as it can, not for 0. */
static void test_waiting_alone_for_a_far_deadline_can_be_woken(void **state)
{
    static const evert_time far[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(far); i++) {
        evert_handle handle = {0};
        assert_int_equal(evert_loop_call_at(loop, &handle, far[i], note, "x"), 0);
        evert_loop_stop_threadsafe(loop);
        assert_int_equal(evert_loop_run(loop), 0);
        evert_handle_cancel(&handle);
    }
    assert_string_equal(record, "");
}

/* ---- P2: cancelling ---- */

/* P2 */
static void test_cancelled_timers_cost_nothing_that_grows(void **state)
{
    evert_handle handle = {0};
    (void)state;
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(evert_loop_call_at(loop, &handle, evert_after(EVERT_SECOND), note, "x"),
                         0);
        evert_handle_cancel(&handle);
    }
    assert_int_equal(loop->timers.count, 0);
    assert_true(loop->timers.capacity <= 16);
    assert_true(evert__timers_next(loop) == EVERT_NEVER);
}

static void cancel_it(void *handle)
{
    evert_handle_cancel(handle);
}

/* P2, F51: it is on the ready queue by then. */
static void test_timer_that_is_due_can_still_be_cancelled(void **state)
{
    evert_handle first = {0}, second = {0};
    (void)state;
    assert_int_equal(evert_loop_call_at(loop, &first, 1, cancel_it, &second), 0);
    assert_int_equal(evert_loop_call_at(loop, &second, 2, note, "x"), 0);
    turns(2);
    assert_string_equal(record, "");
}

static void test_timer_says_whether_it_is_set(void **state)
{
    struct evert__timer timer = {.ready.run = NULL};
    (void)state;
    assert_false(evert__timer_is_set(&timer));
    evert__timer_set(loop, &timer, evert_after(EVERT_SECOND));
    assert_true(evert__timer_is_set(&timer));
    evert__timer_unset(loop, &timer);
    assert_false(evert__timer_is_set(&timer));
    evert__timer_unset(loop, &timer);
}

/* ---- Faults ---- */

static int ticks;

static void tick(void *handle)
{
    ticks++;
    assert_int_equal(
        evert_loop_call_at(loop, handle, evert_now() + EVERT_MILLISECOND, tick, handle), 0);
}

/* F40: a loop that was held up, as by a suspended machine, ticks once, not once for each missed. */
static void test_gap_brings_no_storm_of_ticks(void **state)
{
    evert_handle handle = {0};
    (void)state;
    ticks = 0;
    assert_int_equal(evert_loop_call_at(loop, &handle, 0, tick, &handle), 0);
    turn(0);
    evert_time gap_ends = evert_after(50 * EVERT_MILLISECOND);
    while (evert__clock() < gap_ends)
        ;
    turn(0);
    assert_int_equal(ticks, 2);
    evert_handle_cancel(&handle);
}

/* F39, F40: all the timers of a long past fire, each once, in order, in one turn. */
static void test_timers_of_a_long_past_fire_once_each(void **state)
{
    static char letters[] = "abcdefghij";
    (void)state;
    for (int i = 9; i >= 0; i--)
        assert_int_equal(evert_loop_call_at(loop, NULL, i * EVERT_MILLISECOND, note, &letters[i]),
                         0);
    turns(3);
    assert_string_equal(record, letters);
}

/* P2, F45: setting a timer cannot fail, and it fires all the same. */
static void test_timers_fire_when_there_is_no_memory_to_sort_them(void **state)
{
    evert_handle handles[20] = {0};
    int fired = 0;
    evert_time from = evert_after(2 * EVERT_MILLISECOND);
    (void)state;
    limit_memory(0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            evert_loop_call_at(loop, &handles[i], from + i * EVERT_MICROSECOND, count_up, &fired),
            0);
    evert_handle_cancel(&handles[7]);
    evert_handle_cancel(&handles[7]);
    assert_true(evert__timers_next(loop) == from);
    run_until(&fired, 19);
    assert_true(evert__clock() >= from + 19 * EVERT_MICROSECOND);
    turn(0);
    assert_int_equal(fired, 19);
}

/* P2, F45: order holds between those in the heap and those for which it had no room. */
static void test_order_holds_without_memory(void **state)
{
    static char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN";
    enum { TIMERS = sizeof(letters) - 1 };
    uint64_t seed = seed_new(), random = seed;
    evert_handle handles[TIMERS] = {0};
    int order[TIMERS];
    (void)state;
    for (int i = 0; i < TIMERS; i++)
        order[i] = i;
    for (int i = TIMERS - 1; i > 0; i--) {
        int j = (int)random_below(&random, (uint32_t)i + 1), swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
    limit_memory(1); /* room for 16 */
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(evert_loop_call_at(loop, &handles[i], order[i], note, &letters[order[i]]),
                         0);
    turn(0);
    assert_held(strcmp(record, letters) == 0 ? NULL : record, seed);
}

/* P2, F45 */
static void test_equal_deadlines_keep_their_order_without_memory(void **state)
{
    static char letters[] = "abcdefghijklmnopqrstuvwxyz";
    evert_handle handles[26] = {0};
    (void)state;
    limit_memory(1);
    evert_time when = evert_after(EVERT_MILLISECOND);
    for (int i = 0; i < 22; i++)
        assert_int_equal(evert_loop_call_at(loop, &handles[i], when, note, &letters[i]), 0);
    turn(0);
    evert_set_allocator(NULL);
    for (int i = 22; i < 26; i++)
        assert_int_equal(evert_loop_call_at(loop, &handles[i], when, note, &letters[i]), 0);
    while (evert__clock() < when)
        turn(EVERT_MILLISECOND);
    turns(2);
    assert_string_equal(record, letters);
}

static void test_unsorted_timers_are_sorted_once_there_is_memory_again(void **state)
{
    evert_handle handles[20] = {0};
    (void)state;
    limit_memory(0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            evert_loop_call_at(loop, &handles[i], evert_after(EVERT_SECOND), note, "x"), 0);
    turn(0);
    assert_int_equal(loop->timers.count, 0);
    evert_set_allocator(NULL);
    turn(0);
    assert_int_equal(loop->timers.count, 20);
    assert_true(evert__list_empty(&loop->unsorted));
    for (int i = 0; i < 20; i++)
        evert_handle_cancel(&handles[i]);
    assert_int_equal(loop->timers.count, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        RECORD_CASE(test_timers_fire_in_the_order_of_their_deadlines),
        RECORD_CASE(test_overdue_timers_fire_in_the_order_of_deadlines),
        RECORD_CASE(test_equal_deadlines_fire_in_the_order_of_the_asking),
        LOOP_CASE(test_random_timers_fire_in_order_and_never_early),
        LOOP_CASE(test_deadlines_in_the_past_fire_in_the_next_turn),
        LOOP_CASE(test_a_late_counter_holds_no_timer_back),
        LOOP_CASE(test_far_deadlines_do_not_fire_and_let_the_loop_sleep),
        RECORD_CASE(test_waiting_alone_for_a_far_deadline_can_be_woken),
        LOOP_CASE(test_cancelled_timers_cost_nothing_that_grows),
        RECORD_CASE(test_timer_that_is_due_can_still_be_cancelled),
        LOOP_CASE(test_timer_says_whether_it_is_set),
        LOOP_CASE(test_gap_brings_no_storm_of_ticks),
        RECORD_CASE(test_timers_of_a_long_past_fire_once_each),
        LOOP_CASE(test_timers_fire_when_there_is_no_memory_to_sort_them),
        RECORD_CASE(test_order_holds_without_memory),
        RECORD_CASE(test_equal_deadlines_keep_their_order_without_memory),
        LOOP_CASE(test_unsorted_timers_are_sorted_once_there_is_memory_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
