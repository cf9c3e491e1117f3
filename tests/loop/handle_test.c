/* SPDX-License-Identifier: MIT */
#include "support.h"

/* P3 */
static void test_cancelled_call_is_not_made(void **state)
{
    evert_handle soon = {0}, later = {0};
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, &soon, note, "x"), 0);
    assert_int_equal(evert_loop_call_at(loop, &later, 1, note, "x"), 0);
    evert_handle_cancel(&soon);
    evert_handle_cancel(&later);
    turns(2);
    assert_string_equal(record, "");
}

/* P3 */
static void test_handle_may_be_cancelled_twice_and_unused(void **state)
{
    evert_handle unused = {0}, used = {0};
    (void)state;
    evert_handle_cancel(&unused);
    assert_int_equal(evert_loop_call_soon(loop, &used, note, "x"), 0);
    evert_handle_cancel(&used);
    evert_handle_cancel(&used);
    assert_int_equal(evert_loop_call_at(loop, &used, EVERT_NEVER, note, "x"), 0);
    evert_handle_cancel(&used);
    evert_handle_cancel(&used);
    turn(0);
    assert_string_equal(record, "");
}

/* P3, F51 */
static void test_cancel_after_the_call_has_no_effect(void **state)
{
    evert_handle handle = {0};
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, &handle, note, "a"), 0);
    turn(0);
    evert_handle_cancel(&handle);
    assert_int_equal(evert_loop_call_soon(loop, &handle, note, "b"), 0);
    turn(0);
    assert_string_equal(record, "ab");
}

static void test_handle_that_waits_takes_no_second_call(void **state)
{
    evert_handle handle = {0};
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, &handle, note, "a"), 0);
    assert_int_equal(evert_loop_call_soon(loop, &handle, note, "b"), EVERT_EALREADY);
    assert_int_equal(evert_loop_call_at(loop, &handle, 0, note, "c"), EVERT_EALREADY);
    turns(2);
    assert_string_equal(record, "a");
    assert_int_equal(evert_loop_call_at(loop, &handle, EVERT_NEVER, note, "d"), 0);
    assert_int_equal(evert_loop_call_soon(loop, &handle, note, "e"), EVERT_EALREADY);
    evert_handle_cancel(&handle);
    assert_int_equal(evert_loop_call_soon(loop, &handle, note, "f"), 0);
    turn(0);
    assert_string_equal(record, "af");
}

static void test_no_memory_for_a_handle_of_the_librarys_own(void **state)
{
    (void)state;
    limit_memory(0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, note, "x"), -ENOMEM);
    assert_int_equal(evert_loop_call_at(loop, NULL, 0, note, "x"), -ENOMEM);
    assert_int_equal(evert_loop_call_threadsafe(loop, note, "x"), -ENOMEM);
    turn(0);
    assert_string_equal(record, "");
}

static void test_with_a_handle_no_memory_is_needed(void **state)
{
    evert_handle soon = {0}, later = {0};
    (void)state;
    limit_memory(0);
    assert_int_equal(evert_loop_call_soon(loop, &soon, note, "a"), 0);
    assert_int_equal(evert_loop_call_at(loop, &later, 1, note, "b"), 0);
    turn(0);
    assert_string_equal(record, "ab");
}

static void test_call_for_never_needs_nothing(void **state)
{
    (void)state;
    limit_memory(1000);
    assert_int_equal(evert_loop_call_at(loop, NULL, EVERT_NEVER, note, "x"), 0);
    turn(0);
    assert_int_equal(memory.out, 0);
    assert_string_equal(record, "");
}

/* ---- F50, BR-020: callbacks that change what they are called from ---- */

struct own {
    evert_handle handle;
    int *calls;
};

static void free_me(void *arg)
{
    struct own *own = arg;
    ++*own->calls;
    evert_handle_cancel(&own->handle);
    free(own);
}

/* F50 */
static void test_callback_may_cancel_and_free_its_own_handle(void **state)
{
    int calls = 0;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct own *own = calloc(1, sizeof(*own));
        own->calls = &calls;
        if (i == 0)
            assert_int_equal(evert_loop_call_soon(loop, &own->handle, free_me, own), 0);
        else
            assert_int_equal(evert_loop_call_at(loop, &own->handle, 1, free_me, own), 0);
    }
    turns(2);
    assert_int_equal(calls, 2);
}

static void use_me_again(void *arg)
{
    struct own *own = arg;
    if (++*own->calls < 5)
        assert_int_equal(evert_loop_call_soon(loop, &own->handle, use_me_again, own), 0);
}

/* F50 */
static void test_callback_may_use_its_own_handle_again(void **state)
{
    int calls = 0;
    struct own own = {.calls = &calls};
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, &own.handle, use_me_again, &own), 0);
    turns(10);
    assert_int_equal(calls, 5);
}

/* Four observers: the first removes the second and adds the fourth. */
static struct four {
    evert_handle handles[4];
    bool timers, stops;
} four;

static int ask_for(int which, evert_callback *fn, void *arg)
{
    return four.timers ? evert_loop_call_at(loop, &four.handles[which], which, fn, arg)
                       : evert_loop_call_soon(loop, &four.handles[which], fn, arg);
}

static void first_of_four(void *arg)
{
    note(arg);
    evert_handle_cancel(&four.handles[1]);
    evert_handle_cancel(&four.handles[0]);
    assert_int_equal(ask_for(3, note, "4"), 0);
    if (four.stops)
        evert_loop_stop(loop);
}

static void observe(bool timers, bool stops)
{
    memset(&four, 0, sizeof(four));
    four.timers = timers;
    four.stops = stops;
    record[0] = '\0';
    assert_int_equal(ask_for(0, first_of_four, "1"), 0);
    assert_int_equal(ask_for(1, note, "2"), 0);
    assert_int_equal(ask_for(2, note, "3"), 0);
    turn(0);
    assert_string_equal(record, "13");
    turn(0);
    assert_string_equal(record, "134");
    turn(0);
    assert_string_equal(record, "134");
}

/* BR-020, F50, P1 */
static void test_callback_removes_the_next_and_adds_another(void **state)
{
    (void)state;
    observe(false, false);
    observe(true, false);
}

/* BR-020, P3: a stop does not cut the turn. */
static void test_callback_that_also_stops_the_loop(void **state)
{
    (void)state;
    observe(false, true);
    observe(true, true);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        RECORD_CASE(test_cancelled_call_is_not_made),
        RECORD_CASE(test_handle_may_be_cancelled_twice_and_unused),
        RECORD_CASE(test_cancel_after_the_call_has_no_effect),
        RECORD_CASE(test_handle_that_waits_takes_no_second_call),
        RECORD_CASE(test_no_memory_for_a_handle_of_the_librarys_own),
        RECORD_CASE(test_with_a_handle_no_memory_is_needed),
        RECORD_CASE(test_call_for_never_needs_nothing),
        LOOP_CASE(test_callback_may_cancel_and_free_its_own_handle),
        LOOP_CASE(test_callback_may_use_its_own_handle_again),
        RECORD_CASE(test_callback_removes_the_next_and_adds_another),
        RECORD_CASE(test_callback_that_also_stops_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
