/* SPDX-License-Identifier: MIT */
/* Timers while the loop is woken again and again by something else. */
#include "support.h"

enum { WAKES = 60 }; /* more than there have to be for an alarm to be set */
#define SOON (30 * EVERT_MILLISECOND)
#define FAR (3600 * EVERT_SECOND)

static struct {
    int calls[EVERT__SYS_COUNT];
    int answers[EVERT__SYS_COUNT]; /* 0: the system's own */
} hook;

static bool count_calls(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site, (void)size;
    hook.calls[call]++;
    *result = hook.answers[call];
    return *result != 0;
}

static int setup(void **state, int timerfd_create)
{
    memset(&hook, 0, sizeof(hook));
    hook.answers[EVERT__SYS_TIMERFD_CREATE] = timerfd_create;
    evert__sys_set_hook(count_calls);
    return loop_setup(state);
}

static int hooked_setup(void **state)
{
    return setup(state, 0);
}

static int alarmless_setup(void **state)
{
    return setup(state, -EMFILE);
}

#define HOOKED_CASE(name) cmocka_unit_test_setup_teardown(name, hooked_setup, loop_teardown)

static void be_woken(int times)
{
    while (times-- > 0) {
        evert__loop_wake(loop);
        turn(FAR);
    }
}

static void fire_in(evert_handle *handle, evert_time span, int *fired)
{
    assert_int_equal(evert_loop_call_at(loop, handle, evert_after(span), count_up, fired), 0);
}

/* Not early, nor so late that something else must have ended the wait. */
static void expect_it_fires(evert_time began, evert_time span, const int *fired, int before)
{
    run_until(fired, before + 1);
    assert_int_equal(*fired, before + 1);
    assert_true(evert__clock() - began >= span);
}

/* P2 */
static void test_one_alarm_serves_many_waits(void **state)
{
    evert_handle handle = {{0}};
    int fired = 0;
    (void)state;
    fire_in(&handle, FAR, &fired);
    be_woken(WAKES);
    assert_int_equal(hook.calls[EVERT__SYS_TIMERFD_SETTIME], 1);
    for (int i = 0; i < WAKES; i++) { /* put off each time, as by requests */
        evert_handle_cancel(&handle);
        fire_in(&handle, 2 * FAR, &fired);
        be_woken(1);
    }
    evert_handle_cancel(&handle);
    assert_int_equal(hook.calls[EVERT__SYS_TIMERFD_SETTIME], 1);
    assert_int_equal(fired, 0);
}

/* P2 */
static void test_the_alarm_ends_a_wait_without_a_limit(void **state)
{
    (void)state;
    for (int fired = 0, i = 0; i < 3; i++) {
        evert_time began = evert__clock();
        fire_in(NULL, SOON, &fired);
        be_woken(WAKES);
        expect_it_fires(began, SOON, &fired, i);
    }
}

/* P2 */
static void test_an_earlier_timer_does_not_wait_for_the_alarm(void **state)
{
    int far = 0, soon = 0;
    (void)state;
    fire_in(NULL, FAR, &far);
    be_woken(WAKES);
    for (int i = 0; i < 3; i++) {
        evert_time began = evert__clock();
        fire_in(NULL, SOON, &soon);
        if (i > 0)
            be_woken(WAKES); /* the alarm is set for this one */
        expect_it_fires(began, SOON, &soon, i);
    }
    assert_int_equal(far, 0);
}

/* P2 */
static void test_an_alarm_for_what_was_put_off_rings_in_vain(void **state)
{
    evert_handle handle = {{0}};
    int fired = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        fire_in(&handle, SOON, &fired);
        be_woken(WAKES);
        int before = fired; /* it may have come, where the machine had other things to do */
        evert_handle_cancel(&handle);
        evert_time began = evert__clock();
        fire_in(&handle, 2 * SOON, &fired);
        expect_it_fires(began, 2 * SOON, &fired, before);
    }
}

static void tick(void *left)
{
    if (--*(int *)left > 0)
        assert_int_equal(
            evert_loop_call_at(loop, NULL, evert_after(100 * EVERT_MICROSECOND), tick, left), 0);
    else
        evert_loop_stop(loop);
}

static void test_a_loop_that_only_waits_for_timers_sets_none(void **state)
{
    int left = WAKES;
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, tick, &left), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_int_equal(left, 0);
    assert_int_equal(hook.calls[EVERT__SYS_TIMERFD_SETTIME], 0);
}

static void expect_timers_work(void)
{
    evert_time began = evert__clock();
    int fired = 0;
    fire_in(NULL, SOON, &fired);
    be_woken(WAKES);
    expect_it_fires(began, SOON, &fired, 0);
}

/* P2 */
static void test_timers_fire_where_there_is_no_alarm(void **state)
{
    (void)state;
    assert_int_equal(hook.calls[EVERT__SYS_TIMERFD_CREATE], 1);
    expect_timers_work();
    assert_int_equal(hook.calls[EVERT__SYS_TIMERFD_CREATE], 1);
    assert_int_equal(hook.calls[EVERT__SYS_TIMERFD_SETTIME], 0);
}

/* P2 */
static void test_timers_fire_where_the_alarm_cannot_be_set(void **state)
{
    (void)state;
    hook.answers[EVERT__SYS_TIMERFD_SETTIME] = -EPERM;
    expect_timers_work();
    expect_timers_work();
    assert_int_equal(hook.calls[EVERT__SYS_TIMERFD_SETTIME], 1); /* it is not tried again */
}

/* P2 */
static void test_a_childs_end_takes_no_alarm_from_its_parent(void **state)
{
    evert_time began = evert__clock();
    int fired = 0;
    (void)state;
    fire_in(NULL, SOON, &fired);
    be_woken(WAKES);
    int before = fired;
    if (before == 0) {
        pid_t child = fork();
        if (child == 0) {
            evert_loop_free(loop);
            _exit(0);
        }
        assert_int_equal(exit_of(child), 0);
        run_until(&fired, 1);
    }
    assert_true(evert__clock() - began >= SOON);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        HOOKED_CASE(test_one_alarm_serves_many_waits),
        LOOP_CASE(test_the_alarm_ends_a_wait_without_a_limit),
        LOOP_CASE(test_an_earlier_timer_does_not_wait_for_the_alarm),
        LOOP_CASE(test_an_alarm_for_what_was_put_off_rings_in_vain),
        HOOKED_CASE(test_a_loop_that_only_waits_for_timers_sets_none),
        cmocka_unit_test_setup_teardown(test_timers_fire_where_there_is_no_alarm, alarmless_setup,
                                        loop_teardown),
        HOOKED_CASE(test_timers_fire_where_the_alarm_cannot_be_set),
        LOOP_CASE(test_a_childs_end_takes_no_alarm_from_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
