/* SPDX-License-Identifier: MIT */
/* The last failure of a task in words. */
#include "support.h"

static int fail_in_words(void *result)
{
    int rc = *(const int *)result;
    return evert__fail(self(), rc, "open %s: error %d", "the door", -rc);
}

static void test_words_are_for_the_code_of_the_last_failure_alone(void **state)
{
    (void)state;
    check_rc(evert__fail(self(), -EPIPE, "first %d", 1), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "first 1");
    assert_string_equal(evert_describe(-EIO), evert_strerror(-EIO));
    check_rc(evert__fail(self(), -EIO, "second"), -EIO);
    assert_string_equal(evert_describe(-EIO), "second");
    assert_string_equal(evert_describe(-EPIPE), evert_strerror(-EPIPE));
    check_rc(evert__fail(self(), -EIO, "third"), -EIO);
    assert_string_equal(evert_describe(-EIO), "third");
}

static void test_words_are_cut_at_120_bytes(void **state)
{
    char words[200];
    (void)state;
    memset(words, 'w', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    check_rc(evert__fail(self(), -EPIPE, "%s", words), -EPIPE);
    assert_int_equal(strlen(evert_describe(-EPIPE)), 120);
    assert_memory_equal(evert_describe(-EPIPE), words, 120);
}

static void test_each_task_has_words_of_its_own(void **state)
{
    int result = -EPIPE;
    evert_scope s;
    (void)state;
    check_rc(evert__fail(self(), -EIO, "mine"), -EIO);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, fail_in_words, &result), 0);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    assert_string_equal(evert_describe(-EIO), "mine");
    assert_string_equal(evert_describe(-EPIPE), evert_strerror(-EPIPE)); /* not left yet */
    check_rc(evert_scope_leave(&s, -ECANCELED), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
    assert_string_equal(evert_describe(-EIO), evert_strerror(-EIO));
}

static void test_of_several_failures_the_first_ones_words_are_handed_over(void **state)
{
    int results[] = {-EPIPE, -EIO, -EPIPE};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 3; i++)
        check_rc(evert_spawn(&s, i < 2 ? fail_in_words : give, &results[i]), 0);
    check_rc(evert_scope_leave(&s, 0), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
}

static int fail_below(void *result)
{
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn(&s, fail_in_words, result);
    return evert_scope_leave(&s, rc);
}

static void test_words_go_up_task_by_task(void **state)
{
    int result = -EPIPE;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, fail_below, &result), 0);
    check_rc(evert_scope_leave(&s, 0), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
}

static int clean_up_after_failure(void *result)
{
    int rc = fail_in_words(result);
    check_rc(evert_yield(), 0);
    check_rc(evert_sleep(1), 0);
    assert_string_equal(evert_describe(rc), "open the door: error 32");
    return rc;
}

static void test_what_succeeds_meanwhile_changes_no_words(void **state)
{
    int result = -EPIPE;
    (void)state;
    check_rc(clean_up_after_failure(&result), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
}

static void test_the_bodys_own_words_outlive_its_scope(void **state)
{
    int result = -EIO;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    check_rc(fail_in_words(&result), -EIO);
    check_rc(evert_scope_leave(&s, -EIO), -EIO);
    assert_string_equal(evert_describe(-EIO), "open the door: error 5");
}

static void test_words_for_what_the_scope_does_not_return_are_dropped(void **state)
{
    int result = -EPIPE;
    evert_scope s;
    (void)state;
    check_rc(evert__fail(self(), -EIO, "mine"), -EIO);
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_keep_going(&s);
    start_logging();
    check_rc(evert_spawn(&s, fail_in_words, &result), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    stop_logging();
    assert_non_null(strstr(logged.text, "open the door: error 32")); /* they are in the log */
    assert_string_equal(evert_describe(-EPIPE), evert_strerror(-EPIPE));
    assert_string_equal(evert_describe(-EIO), "mine");
}

static int fail_otherwise(void *result)
{
    return evert__fail(self(), -EIO, "for another code") == -EIO ? *(const int *)result : 0;
}

static void test_words_for_another_code_than_the_tasks_are_not_handed_over(void **state)
{
    int result = -EPIPE;
    evert_scope s;
    (void)state;
    check_rc(evert__fail(self(), -EPIPE, "mine"), -EPIPE);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, fail_otherwise, &result), 0);
    check_rc(evert_scope_leave(&s, 0), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "mine");
    assert_string_equal(evert_describe(-EIO), evert_strerror(-EIO));
}

static evert_task *spawn_failing(evert_scope *scope, int *result)
{
    evert_spawn_options options = evert_spawn_defaults();
    evert_task *task = NULL;
    options.ret_task = &task;
    check_rc(evert_spawn_with(scope, &options, fail_in_words, result), 0);
    return task;
}

static void test_joining_hands_words_over(void **state)
{
    int result = -EPIPE;
    (void)state;
    for (int ended_first = 0; ended_first < 2; ended_first++) {
        evert_scope s;
        start_logging();
        evert_scope_enter(&s, EVERT_NEVER);
        evert_scope_keep_going(&s);
        evert_task *task = spawn_failing(&s, &result);
        if (ended_first)
            check_rc(evert_yield(), 0);
        check_rc(evert_task_join(task), -EPIPE);
        assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
        check_rc(evert_scope_leave(&s, 0), 0);
        stop_logging();
        check_rc(evert__fail(self(), -EPIPE, "another"), -EPIPE);
    }
}

static void test_awaiting_leaves_words_with_the_task(void **state)
{
    int result = -EPIPE;
    evert_coro *coro;
    (void)state;
    check_rc(evert_coro_new(&coro, fail_in_words, &result), 0);
    check_rc(evert_coro_await(coro), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
}

static void test_a_run_hands_words_to_the_plain_thread(void **state)
{
    int result = -EPIPE;
    (void)state;
    check_rc(evert_run(fail_below, &result), -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
    result = 0;
    check_rc(evert_run(give, &result), 0);
    assert_string_equal(evert_describe(-EPIPE), "open the door: error 32");
}

static int main_failing(void *result)
{
    return evert_main(fail_below, result);
}

static void test_main_tells_the_failure_in_words(void **state)
{
    int result = -EPIPE;
    (void)state;
    struct child child = in_child(main_failing, &result);
    check_exit(&child, 1);
    check_said(&child, ": open the door: error 32\n");
}

static int describe(void *unused)
{
    (void)unused;
    assert_string_equal(evert_describe(-EPIPE), evert_strerror(-EPIPE));
    return 0;
}

static void test_in_a_callback_there_are_only_the_usual_words(void **state)
{
    (void)state;
    check_rc(in_callback(describe, NULL), 0);
}

static void test_without_memory_there_are_only_the_usual_words(void **state)
{
    int result = -EPIPE;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, fail_in_words, &result), 0);
    take_memory_away();
    int rc = evert_scope_leave(&s, 0);
    give_memory_back();
    check_rc(rc, -EPIPE);
    assert_string_equal(evert_describe(-EPIPE), evert_strerror(-EPIPE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_without_memory_there_are_only_the_usual_words),
        everywhere(test_words_are_for_the_code_of_the_last_failure_alone),
        everywhere(test_words_are_cut_at_120_bytes),
        everywhere(test_each_task_has_words_of_its_own),
        everywhere(test_of_several_failures_the_first_ones_words_are_handed_over),
        everywhere(test_words_go_up_task_by_task),
        everywhere(test_what_succeeds_meanwhile_changes_no_words),
        everywhere(test_the_bodys_own_words_outlive_its_scope),
        everywhere(test_words_for_what_the_scope_does_not_return_are_dropped),
        everywhere(test_words_for_another_code_than_the_tasks_are_not_handed_over),
        everywhere(test_joining_hands_words_over),
        everywhere(test_awaiting_leaves_words_with_the_task),
        cmocka_unit_test(test_a_run_hands_words_to_the_plain_thread),
        cmocka_unit_test(test_main_tells_the_failure_in_words),
        cmocka_unit_test(test_in_a_callback_there_are_only_the_usual_words),
    };
    return run_table(tests);
}
