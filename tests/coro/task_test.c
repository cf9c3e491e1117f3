/* SPDX-License-Identifier: MIT */
/* Tasks: when they start, what they are called, and handles to them. */
#include "support.h"

static int add_one(void *count)
{
    ++*(int *)count;
    return 0;
}

/* ---- Starting ---- */

struct log_of_order {
    int order[16], count;
};

struct in_order {
    struct log_of_order *log;
    int number;
};

static int note_order(void *arg)
{
    struct in_order *me = arg;
    me->log->order[me->log->count++] = me->number;
    return 0;
}

static void test_tasks_start_in_the_next_turn_in_the_order_of_spawning(void **state)
{
    struct log_of_order log = {{0}, 0};
    struct in_order tasks[8];
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 8; i++) {
        tasks[i] = (struct in_order){&log, i};
        check_rc(evert_spawn(&s, note_order, &tasks[i]), 0);
    }
    assert_int_equal(log.count, 0);
    check_rc(evert_yield(), 0);
    assert_int_equal(log.count, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(log.order[i], i);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static int note_twice(void *arg)
{
    int rc = note_order(arg);
    if (rc == 0)
        rc = evert_yield();
    return rc == 0 ? note_order(arg) : rc;
}

static void note_in_a_callback(void *arg)
{
    assert_null(evert_loop_current()->current);
    (void)note_order(arg);
}

/* P1: one task goes to the next directly, and yet past no callback that comes between them. */
static void test_tasks_and_callbacks_run_in_the_order_of_the_asking(void **state)
{
    static const int wanted[] = {0, 1, 2, 3, 4, 0, 1, 3, 4};
    struct log_of_order log = {{0}, 0};
    struct in_order all[5];
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 5; i++) {
        all[i] = (struct in_order){&log, i};
        if (i == 2)
            check_rc(evert_loop_call_soon(self()->loop, NULL, note_in_a_callback, &all[i]), 0);
        else
            check_rc(evert_spawn(&s, note_twice, &all[i]), 0);
    }
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(log.count, 9);
    for (int i = 0; i < 9; i++)
        assert_int_equal(log.order[i], wanted[i]);
}

static int spawn_one(void *arg)
{
    int *children = arg;
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn(&s, add_one, children);
    assert_int_equal(*children, 0);
    return evert_scope_leave(&s, rc);
}

static void test_a_task_spawned_by_a_task_does_not_run_in_the_same_turn(void **state)
{
    int children = 0;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, spawn_one, &children), 0);
    check_rc(evert_yield(), 0);
    assert_int_equal(children, 0);
    check_rc(evert_yield(), 0);
    assert_int_equal(children, 1);
    check_rc(evert_scope_leave(&s, 0), 0);
}

struct addition {
    int a, b, sum;
};

static int add(void *arg)
{
    struct addition *addition = arg;
    int rc = evert_yield();
    addition->sum = addition->a + addition->b;
    return rc;
}

static void test_results_travel_in_the_argument(void **state)
{
    struct addition additions[] = {{1, 2, 0}, {10, 20, 0}};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, add, &additions[0]), 0);
    check_rc(evert_spawn(&s, add, &additions[1]), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(additions[0].sum, 3);
    assert_int_equal(additions[1].sum, 30);
}

static void test_a_stack_goes_back_to_the_pool_as_soon_as_its_task_has_ended(void **state)
{
    int count = 0;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, add_one, &count), 0);
    unsigned before = all_tasks()->stacks.count;
    check_rc(evert_yield(), 0);
    assert_int_equal(count, 1);
    assert_int_equal(all_tasks()->stacks.count, before + 1);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static int use_stack(void *size)
{
    char array[512];
    size_t room = (size_t)((char *)__builtin_frame_address(0) - self()->stack->low);
    memset(array, 1, sizeof(array));
    assert_true(self()->stack->size >= *(const size_t *)size);
    /* All but a few frames of what was asked for is to be had. */
    assert_true(room + 4096 >= *(const size_t *)size);
    return array[5];
}

static void test_a_task_has_the_stack_that_it_was_given(void **state)
{
    static size_t sizes[] = {64 * 1024, 100000, 1024 * 1024, 32 * 1024 * 1024};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        evert_spawn_options options = evert_spawn_defaults();
        options.stack = sizes[i];
        check_rc(evert_spawn_with(&s, &options, use_stack, &sizes[i]), 0);
    }
    static size_t usual = EVERT__STACK_USUAL - 4096; /* the control block is in it */
    check_rc(evert_spawn(&s, use_stack, &usual), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
}

/* F46: what is added to a size does not make it a small one. */
static void test_too_large_a_stack_is_out_of_memory(void **state)
{
    static const size_t sizes[] = {TOO_LARGE,
                                   SIZE_MAX / 2 + 1,
                                   SIZE_MAX - EVERT__STACK_GUARD,
                                   SIZE_MAX - 4096,
                                   SIZE_MAX - sizeof(struct evert__task),
                                   SIZE_MAX};
    evert_spawn_options options = evert_spawn_defaults();
    evert_task *task = (evert_task *)(void *)&options;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    options.ret_task = &task;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        options.stack = sizes[i];
        check_rc(evert_spawn_with(&s, &options, wait_for_ever, NULL), -ENOMEM);
        assert_ptr_equal(task, &options); /* untouched */
    }
    check_rc(evert_scope_leave(&s, 0), 0);
}

/* ---- Names ---- */

static int check_name(void *name)
{
    assert_string_equal(self()->name, name);
    assert_non_null(strstr(self()->place, "task_test.c:"));
    return 0;
}

static void test_a_task_is_called_as_its_function_unless_told(void **state)
{
    static char by_default[] = "check_name", told[] = "a name";
    evert_spawn_options options = evert_spawn_defaults();
    evert_task *task;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, check_name, by_default), 0);
    options.ret_task = &task;
    check_rc(evert_spawn_with(&s, &options, check_name, by_default), 0);
    assert_string_equal(evert_task_name(task), "check_name");
    options.name = told;
    check_rc(evert_spawn_with(&s, &options, check_name, told), 0);
    assert_string_equal(evert_task_name(task), "a name");
    check_rc(evert_scope_leave(&s, 0), 0);
}

/* ---- Handles ---- */

static evert_task *spawn_kept(evert_scope *scope, evert_fn *fn, void *arg)
{
    evert_spawn_options options = evert_spawn_defaults();
    evert_task *task = NULL;
    options.ret_task = &task;
    check_rc(evert_spawn_with(scope, &options, fn, arg), 0);
    assert_non_null(task);
    return task;
}

static int sleep_and_give(void *result)
{
    int rc = evert_sleep(1 * MS);
    return rc < 0 ? rc : *(const int *)result;
}

static void test_joining_waits_and_gives_the_result(void **state)
{
    int result = 42;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, sleep_and_give, &result);
    check_rc(evert_task_join(task), 42);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_joining_a_task_that_has_ended_gives_the_result(void **state)
{
    int result = 42;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, give, &result);
    check_rc(evert_yield(), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_task_join(task), 42);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_joining_gives_the_handle_up_and_the_stack_back(void **state)
{
    int result = 42;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, give, &result);
    unsigned before = all_tasks()->stacks.count;
    check_rc(evert_yield(), 0);
    assert_int_equal(all_tasks()->stacks.count, before); /* the handle pins it */
    check_rc(evert_task_join(task), 42);
    assert_int_equal(all_tasks()->stacks.count, before + 1);
    task = spawn_kept(&s, sleep_and_give, &result);
    assert_int_equal(all_tasks()->stacks.count, before);
    check_rc(evert_task_join(task), 42); /* the same where it has to wait */
    assert_int_equal(all_tasks()->stacks.count, before + 1);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(all_tasks()->stacks.count, before + 1);
}

static void test_a_task_that_is_not_joined_is_freed_at_leaving(void **state)
{
    int result = 42;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 3; i++)
        (void)spawn_kept(&s, give, &result);
    unsigned before = all_tasks()->stacks.count;
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(all_tasks()->stacks.count, before + 3);
}

static void test_joining_a_failed_task_gives_its_error_and_the_scope_has_failed(void **state)
{
    int result = -EPIPE;
    evert_scope s, shield;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, give, &result);
    evert_shield_enter(&shield, IN_A_MINUTE);
    check_rc(evert_task_join(task), -EPIPE);
    check_rc(evert_scope_leave(&shield, 0), 0);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -EPIPE);
}

/* The end of the task came before the cancellation that follows from it (C5). */
static void test_a_failed_task_is_joined_in_the_scope_that_it_cancels(void **state)
{
    int result = -EPIPE;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, give, &result);
    unsigned before = all_tasks()->stacks.count;
    check_rc(evert_task_join(task), -EPIPE);
    assert_int_equal(all_tasks()->stacks.count, before + 1);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -EPIPE);
}

static void test_a_cancelled_join_leaves_the_handle_as_it_was(void **state)
{
    struct store store;
    evert_scope s, brief;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, take_from, &store);
    for (int i = 0; i < 3; i++) {
        evert_scope_enter(&brief, i == 0 ? LONG_AGO : evert_after(1 * MS));
        check_rc(evert_task_join(task), -ECANCELED);
        check_rc(evert_scope_leave(&brief, -ECANCELED), -ETIMEDOUT);
    }
    store_put(&store);
    check_rc(evert_task_join(task), 1);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static int join(void *task)
{
    return evert_task_join(task);
}

static void test_a_second_joiner_at_once_is_busy(void **state)
{
    struct store store;
    int busy = -EBUSY;
    evert_scope s, others;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, take_from, &store);
    evert_scope_enter(&others, EVERT_NEVER);
    evert_task *joiner = spawn_kept(&others, join, task);
    check_rc(evert_yield(), 0);
    check_rc(evert_task_join(task), busy);
    store_put(&store);
    check_rc(evert_task_join(joiner), 1);
    check_rc(evert_scope_leave(&others, 0), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
}

struct joining {
    evert_task *task;
    int result;
};

static int join_and_note(void *arg)
{
    struct joining *joining = arg;
    joining->result = evert_task_join(joining->task);
    return 0;
}

/* The task ends and its scope is left in the same turn; who joins it runs only then. */
static void test_a_joiner_has_the_result_though_the_scope_was_left_meanwhile(void **state)
{
    int result = 42;
    struct joining joining = {NULL, 0};
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_enter(&inner, EVERT_NEVER);
    joining.task = spawn_kept(&inner, sleep_and_give, &result);
    check_rc(evert_spawn(&outer, join_and_note, &joining), 0);
    unsigned before = all_tasks()->stacks.count;
    check_rc(evert_scope_leave(&inner, 0), 0);
    check_rc(evert_scope_leave(&outer, 0), 0);
    check_rc(joining.result, 42);
    assert_int_equal(all_tasks()->stacks.count, before + 2);
}

/* ---- Cancelling one ---- */

struct notes {
    int first;
    bool started;
};

static int wait_and_note(void *arg)
{
    struct notes *notes = arg;
    notes->started = true;
    notes->first = evert_sleep_until(EVERT_NEVER);
    return notes->first;
}

static void test_cancelling_a_task_ends_it_and_is_no_failure(void **state)
{
    struct notes cancelled = {0}, other = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, wait_and_note, &cancelled);
    evert_task *sibling = spawn_kept(&s, wait_and_note, &other);
    check_rc(evert_yield(), 0);
    evert_task_cancel(task);
    evert_task_cancel(task);
    check_rc(evert_task_join(task), -ECANCELED);
    check_rc(evert_yield(), 0);
    check_rc(other.first, 0); /* still waits */
    evert_task_cancel(sibling);
    check_rc(evert_scope_leave(&s, 3), 3); /* the scope itself was not cut */
    check_rc(other.first, -ECANCELED);
    assert_int_equal(evert_scope_failures(&s), 0);
}

static void test_a_task_cancelled_before_it_starts_runs_to_its_first_wait(void **state)
{
    struct notes notes = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, wait_and_note, &notes);
    evert_task_cancel(task);
    assert_false(notes.started);
    check_rc(evert_task_join(task), -ECANCELED);
    assert_true(notes.started);
    check_rc(notes.first, -ECANCELED);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static void test_cancelling_a_task_that_has_ended_does_nothing(void **state)
{
    int result = 42;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, give, &result);
    check_rc(evert_yield(), 0);
    evert_task_cancel(task);
    check_rc(evert_task_join(task), 42);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static int family(void *arg)
{
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn(&s, wait_and_note, arg);
    return evert_scope_leave(&s, rc);
}

static void test_cancelling_a_task_cancels_its_tasks_too(void **state)
{
    struct notes notes = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, family, &notes);
    while (!notes.started)
        check_rc(evert_yield(), 0);
    evert_task_cancel(task);
    check_rc(evert_task_join(task), -ECANCELED);
    check_rc(notes.first, -ECANCELED);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static int cancel_myself(void *arg)
{
    evert_task **me = arg;
    check_rc(evert_yield(), 0);
    evert_task_cancel(*me);
    check_rc(evert_yield(), -ECANCELED);
    return 8;
}

static void test_a_task_may_cancel_itself_and_swallow_it(void **state)
{
    evert_task *task;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    task = spawn_kept(&s, cancel_myself, &task);
    check_rc(evert_task_join(task), 8);
    check_rc(evert_scope_leave(&s, 0), 0);
}

static int fail_when_cut(void *unused)
{
    (void)unused;
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    return -EPROTO;
}

static void test_another_error_of_a_cancelled_task_is_a_failure(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, fail_when_cut, NULL);
    evert_task_cancel(task);
    check_rc(evert_scope_leave(&s, 0), -EPROTO);
}

static void test_a_task_cancelled_by_its_handle_is_cancelled_with_its_scope_too(void **state)
{
    struct notes notes = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_task *task = spawn_kept(&s, wait_and_note, &notes);
    evert_scope_cancel(&s);
    evert_task_cancel(task);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(notes.first, -ECANCELED);
}

/* BR-060: a task whose handle nobody keeps runs to its end all the same. */
static void test_a_task_without_a_handle_runs_to_its_end(void **state)
{
    int result = 0, count = 0;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, sleep_and_give, &result), 0);
    check_rc(evert_spawn(&s, add_one, &count), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_tasks_start_in_the_next_turn_in_the_order_of_spawning),
        everywhere(test_tasks_and_callbacks_run_in_the_order_of_the_asking),
        everywhere(test_a_task_spawned_by_a_task_does_not_run_in_the_same_turn),
        everywhere(test_results_travel_in_the_argument),
        everywhere(test_a_stack_goes_back_to_the_pool_as_soon_as_its_task_has_ended),
        everywhere(test_a_task_has_the_stack_that_it_was_given),
        everywhere(test_too_large_a_stack_is_out_of_memory),
        everywhere(test_a_task_is_called_as_its_function_unless_told),
        everywhere(test_joining_waits_and_gives_the_result),
        everywhere(test_joining_a_task_that_has_ended_gives_the_result),
        everywhere(test_joining_gives_the_handle_up_and_the_stack_back),
        everywhere(test_a_task_that_is_not_joined_is_freed_at_leaving),
        everywhere(test_joining_a_failed_task_gives_its_error_and_the_scope_has_failed),
        everywhere(test_a_failed_task_is_joined_in_the_scope_that_it_cancels),
        everywhere(test_a_cancelled_join_leaves_the_handle_as_it_was),
        everywhere(test_a_second_joiner_at_once_is_busy),
        everywhere(test_a_joiner_has_the_result_though_the_scope_was_left_meanwhile),
        everywhere(test_cancelling_a_task_ends_it_and_is_no_failure),
        everywhere(test_a_task_cancelled_before_it_starts_runs_to_its_first_wait),
        everywhere(test_cancelling_a_task_that_has_ended_does_nothing),
        everywhere(test_cancelling_a_task_cancels_its_tasks_too),
        everywhere(test_a_task_may_cancel_itself_and_swallow_it),
        everywhere(test_another_error_of_a_cancelled_task_is_a_failure),
        everywhere(test_a_task_cancelled_by_its_handle_is_cancelled_with_its_scope_too),
        everywhere(test_a_task_without_a_handle_runs_to_its_end),
    };
    return run_table(tests);
}
