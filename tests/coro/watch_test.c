/* SPDX-License-Identifier: MIT */
/* P8, F49: a task that runs and does not wait is named. */
#include "support.h"

#include "../watched.h"

static int setup(void **state)
{
    (void)state;
    watch_loops("300");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stop_watching();
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

__attribute__((noinline)) static int hog(void *reports)
{
    block_until_reported(*(int *)reports);
    block_for(30);
    return *(volatile int *)reports = 0;
}

static int sleep_and_hog(void *reports)
{
    check_rc(evert_sleep(1), 0);
    check_rc(evert_yield(), 0);
    return hog(reports);
}

static int spawn_a_hog(void *reports)
{
    evert_spawn_options options = evert_spawn_defaults();
    evert_scope s;
    options.name = "hog";
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn_with(&s, &options, sleep_and_hog, reports);
    return evert_scope_leave(&s, rc);
}

static void check_reported(void)
{
    check_words(heard.text, "task hog, spawned at ");
    check_words(heard.text, "coro/watch_test.c:");
    check_words(heard.text, ", has run for ");
    check_called_from((void *)(uintptr_t)hog);
    check_words(heard.text, "held its loop up for ");
    assert_int_equal(atomic_load(&heard.reports), 1);
    assert_int_equal(atomic_load(&heard.ends), 1);
}

/* P8, F49: by its name and where it was spawned, with the place where it is. */
static void test_a_task_that_blocks_is_named_with_its_place(void **state)
{
    int reports = 1;
    (void)state;
    check_rc(in_task(spawn_a_hog, &reports), 0);
    check_reported();
}

/* P8: also on the handler's own stack, and in a run. */
static void test_a_task_of_a_run_is_named_with_its_place(void **state)
{
    int reports = 1;
    (void)state;
    check_rc(evert_run(spawn_a_hog, &reports), 0);
    check_reported();
}

static int work(void *unused)
{
    (void)unused;
    check_rc(evert_yield(), 0);
    block_for(50);
    return evert_yield();
}

static int work_together(void *unused)
{
    evert_scope s;
    int rc = 0;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 24 && rc == 0; i++)
        rc = evert_spawn(&s, work, NULL);
    return evert_scope_leave(&s, rc);
}

/* P8: tasks that follow each other are told apart, also where one goes straight to the next. */
static void test_tasks_that_wait_between_are_not_reported(void **state)
{
    (void)state;
    watch_loops("1000");
    check_rc(in_task(work_together, NULL), 0);
    assert_string_equal(heard.text, "");
}

/* P8: in blocking mode the program may take its time; tasks and callbacks may not. */
static void test_in_blocking_mode_only_tasks_and_callbacks_count(void **state)
{
    (void)state;
    evert_loop *own;
    int reports = 1;
    check_rc(evert__loop_own(&own), 0);
    evert_loop_free(own); /* a new one, which is watched */
    check_rc(evert_yield(), 0);
    block_for(700);
    check_rc(evert_sleep(700 * MS), 0);
    assert_string_equal(heard.text, "");
    check_rc(spawn_a_hog(&reports), 0);
    check_reported();
    check_rc(evert__loop_own(&own), 0);
    evert_loop_free(own);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_a_task_that_blocks_is_named_with_its_place),
        CASE(test_a_task_of_a_run_is_named_with_its_place),
        CASE(test_tasks_that_wait_between_are_not_reported),
        CASE(test_in_blocking_mode_only_tasks_and_callbacks_count),
    };
    return run_table(tests);
}
