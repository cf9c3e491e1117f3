/* SPDX-License-Identifier: MIT */
/* Waiting: in tasks, on a plain thread, in callbacks; fairness; who wakes whom. */
#include <pthread.h>

#include "support.h"

/* ---- Sleeping and yielding ---- */

static void test_sleeping_is_never_early(void **state)
{
    static const evert_time spans[] = {1, 1000, 50 * EVERT_MICROSECOND, 1 * MS, 2 * MS + 1};
    (void)state;
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        evert_time end = evert_after(spans[i]);
        check_rc(evert_sleep(spans[i]), 0);
        assert_true(evert_after(0) >= end);
        end = evert_after(spans[i]);
        check_rc(evert_sleep_until(end), 0);
        assert_true(evert_after(0) >= end);
    }
}

static void test_sleeping_until_what_is_past_lets_others_run(void **state)
{
    (void)state;
    check_rc(evert_sleep_until(LONG_AGO), 0);
    check_rc(evert_sleep_until(INT64_MIN), 0);
    check_rc(evert_sleep(0), 0);
    check_rc(evert_sleep(INT64_MIN), 0);
}

struct sleeper {
    evert_time until;
    int number;
    int *order, *count;
};

static int sleep_and_note(void *arg)
{
    struct sleeper *sleeper = arg;
    int rc = evert_sleep_until(sleeper->until);
    sleeper->order[(*sleeper->count)++] = sleeper->number;
    return rc;
}

static void test_sleepers_wake_in_the_order_of_their_time(void **state)
{
    int order[6], count = 0;
    struct sleeper sleepers[6];
    evert_time start = evert_after(1 * MS);
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 6; i++) {
        /* Two by two for the same moment, the later ones first. */
        sleepers[i] = (struct sleeper){start - i / 2 * 100000, i, order, &count};
        check_rc(evert_spawn(&s, sleep_and_note, &sleepers[i]), 0);
    }
    check_rc(evert_scope_leave(&s, 0), 0);
    static const int wanted[] = {4, 5, 2, 3, 0, 1};
    assert_memory_equal(order, wanted, sizeof(wanted));
}

struct counter {
    int turns;
    bool stop;
};

static int count_turns(void *arg)
{
    struct counter *counter = arg;
    int rc = 0;
    while (!counter->stop && rc == 0) {
        counter->turns++;
        rc = evert_yield();
    }
    return rc;
}

static void test_yielding_lets_what_is_ready_run_once(void **state)
{
    struct counter counters[3] = {{0}};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 3; i++)
        check_rc(evert_spawn(&s, count_turns, &counters[i]), 0);
    for (int turn = 1; turn <= 20; turn++) {
        check_rc(turn % 2 ? evert_yield() : evert_sleep(0), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(counters[i].turns, turn);
    }
    for (int i = 0; i < 3; i++)
        counters[i].stop = true;
    check_rc(evert_scope_leave(&s, 0), 0);
}

/* ---- C12: fairness ---- */

static void test_after_64_completed_calls_others_run(void **state)
{
    struct counter counter = {0};
    struct store store;
    evert_scope s;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, count_turns, &counter), 0);
    check_rc(evert_yield(), 0);
    assert_int_equal(counter.turns, 1);
    for (int i = 0; i < 1000; i++)
        store_put(&store);
    for (int i = 0; i < 64; i++)
        check_rc(store_take(&store), 1);
    assert_int_equal(counter.turns, 1);
    check_rc(store_take(&store), 1);
    assert_int_equal(counter.turns, 2);
    for (int i = 65; i < 1000; i++)
        check_rc(store_take(&store), 1);
    assert_int_equal(counter.turns, 1 + 1000 / 65);
    counter.stop = true;
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_a_wait_renews_the_budget(void **state)
{
    struct counter counter = {0};
    struct store store;
    evert_scope s;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, count_turns, &counter), 0);
    for (int round = 0; round < 5; round++) {
        check_rc(evert_sleep(1), 0);
        int before = counter.turns;
        for (int i = 0; i < 64; i++) {
            store_put(&store);
            check_rc(store_take(&store), 1);
        }
        assert_int_equal(counter.turns, before);
    }
    counter.stop = true;
    check_rc(evert_scope_leave(&s, 0), 0);
}

struct exchange {
    struct store *from, *to;
    int rounds;
};

static int pass_on(void *arg)
{
    struct exchange *exchange = arg;
    int rc = 1;
    while (exchange->rounds-- > 0 && rc == 1) {
        rc = store_take(exchange->from);
        store_put(exchange->to);
    }
    return rc;
}

/* A task whose peers keep its store full does not keep the loop: a sleeper wakes all the same. */
static void test_busy_tasks_do_not_keep_timers_from_their_turn(void **state)
{
    struct store stores[2];
    struct exchange exchanges[2] = {{&stores[0], &stores[1], INT32_MAX},
                                    {&stores[1], &stores[0], INT32_MAX}};
    evert_scope s;
    (void)state;
    store_init(&stores[0]);
    store_init(&stores[1]);
    for (int i = 0; i < 100; i++)
        store_put(&stores[0]);
    evert_scope_enter(&s, evert_after(5 * MS));
    check_rc(evert_spawn(&s, pass_on, &exchanges[0]), 0);
    check_rc(evert_spawn(&s, pass_on, &exchanges[1]), 0);
    check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
    assert_int_equal(stores[0].items + stores[1].items, 102); /* each put once when it was cut */
}

/* ---- Waking ---- */

struct wait {
    struct evert__waiter waiter;
    int cancels;
    bool ends;
};

static bool on_cancel(struct evert__waiter *waiter)
{
    struct wait *wait = EVERT__CONTAINER(waiter, struct wait, waiter);
    wait->cancels++;
    return wait->ends;
}

static int wait_here(void *arg)
{
    struct wait *wait = arg;
    evert__wait(self(), &wait->waiter);
    return 0;
}

static void test_the_first_to_wake_fixes_the_result(void **state)
{
    struct wait wait = {.waiter.cancel = on_cancel, .ends = true};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_here, &wait), 0);
    check_rc(evert_yield(), 0);
    evert__wake(&wait.waiter, 5);
    evert__wake(&wait.waiter, 6);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc((int)wait.waiter.result, 5);
    assert_int_equal(wait.cancels, 0);
}

static void test_a_wait_that_says_so_is_woken_after_the_cancel(void **state)
{
    struct wait wait = {.waiter.cancel = on_cancel, .ends = false};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_here, &wait), 0);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&s);
    assert_int_equal(wait.cancels, 1);
    assert_false(wait.waiter.done);
    evert__wake(&wait.waiter, 7);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc((int)wait.waiter.result, 7); /* it was a success after all */
}

static int wait_twice(void *arg)
{
    struct wait *waits = arg;
    for (int i = 0; i < 2; i++)
        evert__wait(self(), &waits[i].waiter);
    return 0;
}

/* C3: the first had ended when the cancel came, and has its result; nobody tells the second. */
static void test_a_cancel_between_two_waits_ends_the_second(void **state)
{
    struct wait waits[2] = {{.waiter.cancel = on_cancel, .ends = true},
                            {.waiter.cancel = on_cancel, .ends = true}};
    evert_scope s, shield;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_twice, waits), 0);
    check_rc(evert_yield(), 0);
    evert__wake(&waits[0].waiter, 5);
    evert_scope_cancel(&s);
    evert_shield_enter(&shield, EVERT_NEVER);
    check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
    assert_int_equal(waits[0].cancels, 0);
    assert_int_equal(waits[1].cancels, 1);
    evert__wake(&waits[1].waiter, 0); /* has no effect any more */
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc((int)waits[0].waiter.result, 5);
    check_rc((int)waits[1].waiter.result, -ECANCELED);
}

static void test_a_wait_without_a_cancel_is_not_cancelled(void **state)
{
    struct wait wait = {.waiter.cancel = NULL};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_here, &wait), 0);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&s);
    assert_false(wait.waiter.done);
    evert__wake(&wait.waiter, 0);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_a_wait_that_was_woken_before_it_began_does_not_wait(void **state)
{
    struct wait wait = {.waiter.result = 0};
    (void)state;
    evert__wake(&wait.waiter, 3);
    evert__wait(self(), &wait.waiter);
    check_rc((int)wait.waiter.result, 3);
    check_rc(evert_yield(), 0);
}

struct flushed {
    struct evert__ready ready;
    struct evert__waiter *wakes;
    int runs;
};

static void flush(struct evert__ready *ready)
{
    struct flushed *flushed = EVERT__CONTAINER(ready, struct flushed, ready);
    flushed->runs++;
    if (flushed->wakes != NULL)
        evert__wake(flushed->wakes, 0);
}

static void test_what_was_written_is_flushed_before_the_wait_and_may_end_it(void **state)
{
    struct wait wait = {.waiter.result = 0};
    struct flushed flushed = {.ready.run = flush, .wakes = &wait.waiter};
    (void)state;
    evert__list_append(&self()->loop->flush, &flushed.ready.link);
    evert__wait(self(), &wait.waiter);
    assert_int_equal(flushed.runs, 1);
    flushed.wakes = NULL;
    evert__list_append(&self()->loop->flush, &flushed.ready.link);
    check_rc(evert_yield(), 0);
    assert_int_equal(flushed.runs, 2);
    check_rc(evert_yield(), 0);
}

enum { WRITTEN = 2 };

static void write_to_each(struct flushed *flushed)
{
    for (int i = 0; i < WRITTEN; i++)
        evert__list_append(&self()->loop->flush, &flushed[i].ready.link);
}

static int write_and_sleep(void *arg)
{
    write_to_each(arg);
    return evert_sleep(1);
}

static int write_and_yield(void *arg)
{
    write_to_each(arg);
    return evert_yield();
}

static int write_and_end(void *arg)
{
    write_to_each(arg);
    return 0;
}

static int look_whether_it_was_flushed(void *arg)
{
    const struct flushed *flushed = arg;
    return flushed[0].runs == 1 && flushed[1].runs == 1 ? 0 : -EPROTO;
}

/* S5: not only at the end of the turn, in which others may take long. */
static void test_what_was_written_is_flushed_before_the_next_task_runs(void **state)
{
    evert_fn *const writers[] = {write_and_sleep, write_and_yield, write_and_end};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct flushed flushed[WRITTEN] = {{.ready.run = flush}, {.ready.run = flush}};
        evert_scope s;
        evert_scope_enter(&s, EVERT_NEVER);
        check_rc(evert_spawn(&s, writers[i], flushed), 0);
        check_rc(evert_spawn(&s, look_whether_it_was_flushed, flushed), 0);
        check_rc(evert_scope_leave(&s, 0), 0);
    }
}

/* ---- Blocking mode ---- */

static void test_on_a_plain_thread_other_tasks_run_while_one_call_waits(void **state)
{
    struct counter counter = {0};
    evert_scope s;
    (void)state;
    assert_null(evert_loop_current());
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, count_turns, &counter), 0);
    assert_int_equal(counter.turns, 0);
    check_rc(evert_sleep(1 * MS), 0);
    assert_true(counter.turns > 0);
    counter.stop = true;
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_null(evert_loop_current());
}

static void note_call(void *count)
{
    ++*(int *)count;
}

static void test_on_a_plain_thread_timers_run_while_one_call_waits(void **state)
{
    int count = 0;
    evert_handle handle = {{0}};
    (void)state;
    check_rc(evert_loop_call_at(self()->loop, &handle, LONG_AGO, note_call, &count), 0);
    check_rc(evert_sleep(1 * MS), 0);
    assert_int_equal(count, 1);
}

static void stop_loop(void *loop)
{
    evert_loop_stop(loop);
}

static void test_stopping_means_nothing_to_a_call_that_blocks(void **state)
{
    (void)state;
    evert_time end = evert_after(1 * MS);
    check_rc(evert_loop_call_soon(self()->loop, NULL, stop_loop, self()->loop), 0);
    check_rc(evert_sleep_until(end), 0);
    assert_true(evert_after(0) >= end);
}

static void *use_blocking_mode(void *arg)
{
    struct counter counter = {0};
    evert_scope s;
    (void)arg;
    assert_null(evert_loop_current());
    check_rc(evert_sleep(1), 0);
    evert_loop *loop = self()->loop;
    evert_scope_enter(&s, evert_after(1 * MS));
    check_rc(evert_spawn(&s, count_turns, &counter), 0);
    check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
    assert_ptr_equal(self()->loop, loop); /* the same for the thread's whole life */
    return loop;
}

static void test_each_thread_has_a_loop_of_its_own_that_goes_with_it(void **state)
{
    pthread_t threads[4];
    (void)state;
    check_rc(evert_sleep(1), 0); /* this thread has its loop by now */
    int before = open_descriptors();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, use_blocking_mode, NULL), 0);
        for (int i = 0; i < 4; i++) {
            void *loop;
            assert_int_equal(pthread_join(threads[i], &loop), 0);
            assert_ptr_not_equal(loop, self()->loop);
        }
    }
    assert_int_equal(open_descriptors(), before);
}

static int wait_in_child(void *unused)
{
    struct counter counter = {0};
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, evert_after(1 * MS));
    check_rc(evert_spawn(&s, count_turns, &counter), 0);
    check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
    return counter.turns > 0 ? 0 : 1;
}

/* P9: what was inherited is left alone, and a new loop is made. */
static void test_the_child_of_a_fork_waits_with_a_loop_of_its_own(void **state)
{
    struct counter counter = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, count_turns, &counter), 0);
    check_rc(evert_sleep(1), 0);
    int turns = counter.turns;
    struct child child = in_child(wait_in_child, NULL);
    check_exit(&child, 0);
    assert_int_equal(counter.turns, turns);
    check_rc(evert_sleep(1 * MS), 0);
    assert_true(counter.turns > turns);
    counter.stop = true;
    check_rc(evert_scope_leave(&s, 0), 0);
}

static bool no_eventfd(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EMFILE;
    return call == EVERT__SYS_EVENTFD;
}

static void *block_without_descriptors(void *unused)
{
    evert_coro *coro;
    evert_scope s;
    (void)unused;
    check_rc(evert_sleep(1), -EMFILE);
    check_rc(evert_yield(), -EMFILE);
    evert_scope_enter(&s, EVERT_NEVER); /* cannot fail; what follows says so */
    check_rc(evert_spawn(&s, wait_for_ever, NULL), -EMFILE);
    check_rc(evert_coro_new(&coro, wait_for_ever, NULL), 0);
    check_rc(evert_spawn_coro(&s, coro), -EMFILE); /* takes it also on failure */
    evert_scope_cancel(&s);
    evert_scope_set_deadline(&s, LONG_AGO);
    check_rc(evert_scope_leave(&s, 0), -EMFILE);
    check_rc(evert_coro_new(&coro, wait_for_ever, NULL), 0);
    check_rc(evert_coro_await(coro), -EMFILE);
    return NULL;
}

static void test_without_descriptors_for_a_loop_blocking_calls_fail(void **state)
{
    pthread_t thread;
    (void)state;
    int before = open_descriptors();
    evert__sys_set_hook(no_eventfd);
    assert_int_equal(pthread_create(&thread, NULL, block_without_descriptors, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    evert__sys_set_hook(NULL);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_sleeping_is_never_early),
        everywhere(test_sleeping_until_what_is_past_lets_others_run),
        everywhere(test_sleepers_wake_in_the_order_of_their_time),
        everywhere(test_yielding_lets_what_is_ready_run_once),
        everywhere(test_after_64_completed_calls_others_run),
        everywhere(test_a_wait_renews_the_budget),
        everywhere(test_busy_tasks_do_not_keep_timers_from_their_turn),
        everywhere(test_the_first_to_wake_fixes_the_result),
        everywhere(test_a_wait_that_says_so_is_woken_after_the_cancel),
        everywhere(test_a_cancel_between_two_waits_ends_the_second),
        everywhere(test_a_wait_without_a_cancel_is_not_cancelled),
        everywhere(test_a_wait_that_was_woken_before_it_began_does_not_wait),
        everywhere(test_what_was_written_is_flushed_before_the_wait_and_may_end_it),
        everywhere(test_what_was_written_is_flushed_before_the_next_task_runs),
        cmocka_unit_test(test_on_a_plain_thread_other_tasks_run_while_one_call_waits),
        cmocka_unit_test(test_on_a_plain_thread_timers_run_while_one_call_waits),
        cmocka_unit_test(test_stopping_means_nothing_to_a_call_that_blocks),
        cmocka_unit_test(test_each_thread_has_a_loop_of_its_own_that_goes_with_it),
        cmocka_unit_test(test_the_child_of_a_fork_waits_with_a_loop_of_its_own),
        cmocka_unit_test(test_without_descriptors_for_a_loop_blocking_calls_fail),
    };
    return run_table(tests);
}
