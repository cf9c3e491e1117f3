/* SPDX-License-Identifier: MIT */
/* Coroutine objects (C1), and running a loop until one is complete (C2). */
#include <pthread.h>

#include "support.h"

struct note {
    int runs, first, result;
    struct evert__task *by;
    const char *name; /* of that, which may be gone when the test asks */
};

static int run(void *arg)
{
    struct note *note = arg;
    note->runs++;
    note->by = self();
    note->name = note->by->name;
    note->first = evert_yield();
    return note->first < 0 ? note->first : note->result;
}

static evert_coro *new_coro(struct note *note)
{
    evert_coro *coro;
    check_rc(evert_coro_new(&coro, run, note), 0);
    return coro;
}

/* ---- C1 ---- */

static void test_nothing_runs_when_an_object_is_made(void **state)
{
    struct note note = {.result = 4};
    (void)state;
    evert_coro *coro = new_coro(&note);
    for (int i = 0; i < 10; i++)
        check_rc(evert_yield(), 0);
    assert_int_equal(note.runs, 0);
    check_rc(evert_coro_await(coro), 4);
    assert_int_equal(note.runs, 1);
}

static void test_awaiting_runs_it_in_the_callers_task(void **state)
{
    struct note note = {.result = -EPIPE};
    (void)state;
    check_rc(evert_coro_await(new_coro(&note)), -EPIPE);
    assert_ptr_equal(note.by, self());
}

static int await_next(void *arg)
{
    int *depth = arg;
    evert_coro *coro;
    if (--*depth == 0)
        return 99;
    check_rc(evert_coro_new(&coro, await_next, depth), 0);
    return evert_coro_await(coro);
}

static void test_coroutines_await_coroutines(void **state)
{
    int depth = 40; /* more than the loop remembers */
    (void)state;
    check_rc(await_next(&depth), 99);
}

static void test_an_awaited_coroutine_is_cancelled_with_its_caller(void **state)
{
    struct note note = {.result = 4};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, LONG_AGO);
    check_rc(evert_coro_await(new_coro(&note)), -ECANCELED);
    assert_int_equal(note.runs, 1); /* up to its first wait */
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
}

static void test_spawning_runs_it_as_a_task_under_its_name(void **state)
{
    struct note note = {.result = 4};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn_coro(&s, new_coro(&note)), 0);
    assert_int_equal(note.runs, 0);
    check_rc(evert_yield(), 0);
    assert_int_equal(note.runs, 1);
    assert_ptr_not_equal(note.by, self());
    assert_string_equal(note.name, "run");
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_a_spawned_object_that_fails_fails_its_scope(void **state)
{
    struct note note = {.result = -EPIPE};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn_coro(&s, new_coro(&note)), 0);
    check_rc(evert_scope_leave(&s, 0), -EPIPE);
}

static void test_an_object_freed_unused_is_reported_with_checks(void **state)
{
    struct note note = {0};
    (void)state;
    evert_coro *coro = new_coro(&note);
    start_logging();
    evert_coro_free(coro);
    stop_logging();
    assert_int_equal(note.runs, 0);
#ifdef EVERT_DEBUG
    assert_int_equal(logged.count, 1);
    assert_int_equal(logged.level, EVERT_LOG_WARNING);
    assert_non_null(strstr(logged.text, "coroutine run, made at "));
    assert_non_null(strstr(logged.text, "coro_test.c:"));
    assert_non_null(strstr(logged.text, "was never awaited"));
#else
    assert_int_equal(logged.count, 0);
#endif
}

static void test_freeing_null_is_fine(void **state)
{
    (void)state;
    evert_coro_free(NULL);
}

static int await_twice(void *unused)
{
    struct note note = {0};
    evert_coro *coro = new_coro(&note);
    (void)unused;
    check_rc(evert_coro_await(coro), 0);
    int rc = evert_coro_await(coro);
    assert_int_equal(note.runs, 1);
    return rc;
}

static int spawn_after_await(void *unused)
{
    struct note note = {0};
    evert_coro *coro = new_coro(&note);
    evert_scope s;
    (void)unused;
    check_rc(evert_coro_await(coro), 0);
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn_coro(&s, coro);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(note.runs, 1);
    return rc;
}

static int spawn_twice(void *unused)
{
    struct note note = {0};
    evert_coro *coro = new_coro(&note);
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn_coro(&s, coro), 0);
    int rc = evert_spawn_coro(&s, coro);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(note.runs, 1);
    return rc;
}

static int run_to_completion_twice(void *unused)
{
    struct note note = {0};
    evert_coro *coro = new_coro(&note);
    evert_loop *loop;
    (void)unused;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_loop_run_until_complete(loop, coro), 0);
    int rc = evert_loop_run_until_complete(loop, coro);
    evert_loop_free(loop);
    assert_int_equal(note.runs, 1);
    return rc;
}

static int free_after_await(void *unused)
{
    struct note note = {0};
    evert_coro *coro = new_coro(&note);
    (void)unused;
    check_rc(evert_coro_await(coro), 0);
    evert_coro_free(coro);
    return 0;
}

/* As many as a loop remembers: the first of them is still known. */
static int await_after_15_others(void *unused)
{
    struct note note = {0}, others = {0};
    evert_coro *coro = new_coro(&note);
    (void)unused;
    check_rc(evert_coro_await(coro), 0);
    for (int i = 0; i < 15; i++)
        check_rc(evert_coro_await(new_coro(&others)), 0);
    int rc = evert_coro_await(coro);
    assert_int_equal(note.runs, 1);
    return rc;
}

static void test_using_an_object_twice_is_misuse(void **state)
{
    (void)state;
    check_misuse(await_twice, EVERT_EALREADY, "coroutine run, made at ");
    check_misuse(await_twice, EVERT_EALREADY, "is used for the second time");
    check_misuse(spawn_after_await, EVERT_EALREADY, "is used for the second time");
    check_misuse(spawn_twice, EVERT_EALREADY, "is used for the second time");
    check_misuse(run_to_completion_twice, EVERT_EALREADY, "is used for the second time");
    check_misuse(await_after_15_others, EVERT_EALREADY, "is used for the second time");
    check_misuse(free_after_await, 0, "was taken already");
}

static int spawn_into_left(void *unused)
{
    struct note note = {0};
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_scope_leave(&s, 0), 0);
    int rc = evert_spawn_coro(&s, new_coro(&note)); /* takes it also on failure */
    check_rc(evert_yield(), 0);
    assert_int_equal(note.runs, 0);
    return rc;
}

static void test_spawning_an_object_into_a_left_scope_is_misuse(void **state)
{
    (void)state;
    check_misuse(spawn_into_left, EVERT_ESCOPE, "the scope was left already");
}

static void test_without_memory_no_object_is_made(void **state)
{
    evert_coro *coro = (evert_coro *)(void *)&state;
    (void)state;
    take_memory_away();
    int rc = evert_coro_new(&coro, run, NULL);
    give_memory_back();
    check_rc(rc, -ENOMEM);
    assert_ptr_equal(coro, &state); /* untouched */
}

static int spawn_without_memory(void *arg)
{
    struct note *note = arg;
    evert_scope s;
    evert_coro *coro = new_coro(note);
    evert_scope_enter(&s, EVERT_NEVER);
    take_memory_away(); /* the loop has its tasks' part by now: nothing is asked for but a stack */
    int rc = evert_spawn_coro(&s, coro);
    give_memory_back();
    return evert_scope_leave(&s, rc);
}

static void test_spawning_an_object_asks_for_no_memory_but_a_stack(void **state)
{
    struct note note = {.result = 4};
    (void)state;
    check_rc(in_task(spawn_without_memory, &note), 0);
    assert_int_equal(note.runs, 1);
}

/* ---- C2 ---- */

static void test_run_until_complete_gives_the_result(void **state)
{
    static const int results[] = {0, 12, -EPIPE, EVERT_EOF, -ECANCELED};
    evert_loop *loop;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct note note = {.result = results[i]};
        check_rc(evert_loop_run_until_complete(loop, new_coro(&note)), results[i]);
        assert_int_equal(note.runs, 1);
        assert_string_equal(note.name, "run");
    }
    evert_loop_free(loop);
}

static void test_run_until_complete_without_memory_takes_the_object(void **state)
{
    struct note note = {0};
    evert_loop *loop;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    evert_coro *coro = new_coro(&note);
    take_memory_away();
    int rc = evert_loop_run_until_complete(loop, coro);
    give_memory_back();
    check_rc(rc, -ENOMEM);
    assert_int_equal(note.runs, 0);
    evert_loop_free(loop);
}

static int run_another(void *loop)
{
    struct note note = {0};
    int rc = evert_loop_run_until_complete(loop, new_coro(&note));
    assert_int_equal(note.runs, 0);
    return rc;
}

static void test_run_until_complete_where_a_loop_runs_is_an_error(void **state)
{
    evert_loop *other;
    (void)state;
    check_rc(evert_loop_new(&other), 0);
    check_rc(in_task(run_another, other), EVERT_ECONTEXT);
    check_rc(in_callback(run_another, other), EVERT_ECONTEXT);
    evert_loop_free(other);
}

static int run_current(void *unused)
{
    (void)unused;
    return run_another(evert_loop_current());
}

static void test_run_until_complete_on_the_running_loop_is_an_error(void **state)
{
    (void)state;
    check_rc(in_task(run_current, NULL), EVERT_ECONTEXT);
    check_rc(in_callback(run_current, NULL), EVERT_ECONTEXT);
}

static int stop_then_wait(void *arg)
{
    struct note *note = arg;
    note->runs++;
    evert_loop_stop(evert_loop_current());
    note->first = evert_sleep_until(EVERT_NEVER);
    note->runs++;
    return note->first;
}

static void test_a_loop_stopped_first_is_a_distinct_error(void **state)
{
    struct note note = {0};
    evert_loop *loop;
    evert_coro *coro;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_coro_new(&coro, stop_then_wait, &note), 0);
    check_rc(evert_loop_run_until_complete(loop, coro), EVERT_ESTOPPED);
    assert_int_equal(note.runs, 1);
    evert_loop_free(loop); /* cancels the task, which ends */
    assert_int_equal(note.runs, 2);
    check_rc(note.first, -ECANCELED);
}

static int nest_and_wait(void *arg)
{
    struct note *note = arg;
    evert_scope s, shield;
    evert_coro *coro;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_coro_new(&coro, stop_then_wait, note), 0);
    int rc = evert_spawn_coro(&s, coro);
    rc = evert_scope_leave(&s, rc);
    evert_shield_enter(&shield, IN_A_MINUTE);
    note->result = evert_sleep(1 * MS); /* a farewell */
    return evert_scope_leave(&shield, rc);
}

static int free_loop(void *loop)
{
    evert_loop *here = evert_loop_current();
    evert_loop_free(loop);
    assert_ptr_equal(evert_loop_current(), here);
    return 0;
}

/* C2: wherever it is freed, also while this thread runs another loop. */
static void test_freeing_a_stopped_loop_lets_tasks_say_their_farewells(void **state)
{
    (void)state;
    for (int where = 0; where < 3; where++) {
        struct note note = {.result = 1};
        evert_loop *loop;
        evert_coro *coro;
        check_rc(evert_loop_new(&loop), 0);
        check_rc(evert_coro_new(&coro, nest_and_wait, &note), 0);
        check_rc(evert_loop_run_until_complete(loop, coro), EVERT_ESTOPPED);
        check_rc(note.result, 1);
        int rc = where == 0   ? free_loop(loop)
                 : where == 1 ? in_task(free_loop, loop)
                              : in_callback(free_loop, loop);
        check_rc(rc, 0);
        assert_int_equal(note.runs, 2);
        check_rc(note.result, 0);
    }
}

static int stop_then_go_on(void *arg)
{
    struct note *note = arg;
    evert_loop_stop(evert_loop_current());
    note->first = evert_sleep(1);
    note->runs++;
    return note->first;
}

static int wait_for_other(void *arg)
{
    const struct note *other = arg;
    while (other->runs == 0)
        check_rc(evert_sleep(1), 0);
    return 5;
}

static void test_a_stopped_coroutine_goes_on_when_its_loop_does(void **state)
{
    struct note note = {.first = 1};
    evert_loop *loop;
    evert_coro *coro;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_coro_new(&coro, stop_then_go_on, &note), 0);
    check_rc(evert_loop_run_until_complete(loop, coro), EVERT_ESTOPPED);
    assert_int_equal(note.runs, 0);
    check_rc(evert_coro_new(&coro, wait_for_other, &note), 0);
    check_rc(evert_loop_run_until_complete(loop, coro), 5);
    assert_int_equal(note.runs, 1);
    check_rc(note.first, 0);
    check_no_tasks(loop);
    assert_int_equal(evert__tasks_get(loop)->stacks.count, 2); /* neither leaks its stack */
    evert_loop_free(loop);
}

static int use_parents_loop(void *loop)
{
    struct note note = {0};
    check_rc(evert_loop_run_until_complete(loop, new_coro(&note)), EVERT_ECLOSED);
    assert_int_equal(note.runs, 0);
    return 0;
}

static void test_a_loop_of_the_parent_process_is_closed_to_the_child(void **state)
{
    struct note note = {0};
    evert_loop *loop;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_loop_run_until_complete(loop, new_coro(&note)), 0);
    struct child child = in_child(use_parents_loop, loop);
    check_exit(&child, 0);
    check_rc(evert_loop_run_until_complete(loop, new_coro(&note)), 0);
    evert_loop_free(loop);
}

/* ---- F45: each allocation failed in turn ---- */

static int until_failure;

static void *fail_once(void *memory, size_t size, void *arg)
{
    (void)arg;
    return until_failure-- == 0 ? NULL : realloc(memory, size);
}

static int fail_in_words(void *unused)
{
    (void)unused;
    (void)evert_sleep(1);
    return evert__fail(self(), -EPROTO, "some words");
}

static int family(void *unused)
{
    evert_scope s;
    evert_coro *coro;
    (void)unused;
    evert_scope_enter(&s, IN_A_MINUTE);
    int rc = evert_coro_new(&coro, fail_in_words, NULL);
    if (rc == 0)
        rc = evert_spawn_coro(&s, coro);
    if (rc == 0)
        rc = evert_spawn(&s, wait_for_ever, NULL);
    return evert_scope_leave(&s, rc);
}

static int family_in_loop(void)
{
    evert_loop *loop;
    evert_coro *coro;
    int rc = evert_loop_new(&loop);
    if (rc < 0)
        return rc;
    rc = evert_coro_new(&coro, family, NULL);
    if (rc == 0)
        rc = evert_loop_run_until_complete(loop, coro);
    evert_loop_free(loop);
    return rc;
}

static void *family_in_thread(void *rc)
{
    *(int *)rc = family(NULL);
    return NULL;
}

static int family_in_blocking_mode(void)
{
    pthread_t thread;
    int rc = 1;
    assert_int_equal(pthread_create(&thread, NULL, family_in_thread, &rc), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return rc;
}

static void *run_family_in_thread(void *rc)
{
    *(int *)rc = evert_run(family, NULL);
    return NULL;
}

static int family_in_run(void)
{
    pthread_t thread;
    int rc = 1;
    assert_int_equal(pthread_create(&thread, NULL, run_family_in_thread, &rc), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return rc;
}

/* Whichever fails: either it can be done without, or -ENOMEM comes back, and nothing leaks. */
static void test_any_allocation_may_fail(void **state)
{
    static int (*const ways[])(void) = {family_in_loop, family_in_blocking_mode, family_in_run};
    static const evert_allocator allocator = {fail_once, release_memory, NULL};
    (void)state;
    int before = open_descriptors();
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        int refused = 0;
        bool more = true;
        for (int n = 0; more; n++) {
            until_failure = n;
            evert_set_allocator(&allocator);
            int rc = ways[i]();
            evert_set_allocator(NULL);
            assert_true(rc == -ENOMEM || rc == -EPROTO);
            refused += rc == -ENOMEM;
            more = until_failure < 0;
            assert_int_equal(open_descriptors(), before);
        }
        assert_true(refused >= 3); /* the loop, its back end, its tasks */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_nothing_runs_when_an_object_is_made),
        everywhere(test_awaiting_runs_it_in_the_callers_task),
        everywhere(test_coroutines_await_coroutines),
        everywhere(test_an_awaited_coroutine_is_cancelled_with_its_caller),
        everywhere(test_spawning_runs_it_as_a_task_under_its_name),
        everywhere(test_a_spawned_object_that_fails_fails_its_scope),
        everywhere(test_an_object_freed_unused_is_reported_with_checks),
        everywhere(test_freeing_null_is_fine),
        cmocka_unit_test(test_using_an_object_twice_is_misuse),
        cmocka_unit_test(test_spawning_an_object_into_a_left_scope_is_misuse),
        cmocka_unit_test(test_without_memory_no_object_is_made),
        cmocka_unit_test(test_spawning_an_object_asks_for_no_memory_but_a_stack),
        cmocka_unit_test(test_run_until_complete_gives_the_result),
        cmocka_unit_test(test_run_until_complete_without_memory_takes_the_object),
        cmocka_unit_test(test_run_until_complete_where_a_loop_runs_is_an_error),
        cmocka_unit_test(test_run_until_complete_on_the_running_loop_is_an_error),
        cmocka_unit_test(test_a_loop_stopped_first_is_a_distinct_error),
        cmocka_unit_test(test_freeing_a_stopped_loop_lets_tasks_say_their_farewells),
        cmocka_unit_test(test_a_stopped_coroutine_goes_on_when_its_loop_does),
        cmocka_unit_test(test_a_loop_of_the_parent_process_is_closed_to_the_child),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return run_table(tests);
}
