/* SPDX-License-Identifier: MIT */
/* A stack overflow is explained before the process dies of it (F47, BR-057). */
#include <pthread.h>
#include <sys/mman.h>

#include "coro/overflow.h"
#include "support.h"

static __attribute__((noinline)) int recurse(int depth)
{
    volatile char frame[1024];
    for (size_t i = 0; i < sizeof(frame); i += 64)
        frame[i] = (char)depth;
    if (depth == 0)
        return frame[64];
    return recurse(depth - 1) + frame[depth % 16 * 64];
}

static int overflow(void *unused)
{
    (void)unused;
    return recurse(1 << 20) > 1000;
}

static int overflow_main_task(void *unused)
{
    return evert_run(overflow, unused);
}

static void test_an_overflow_is_explained_with_name_place_and_size(void **state)
{
    (void)state;
    struct child child = in_child(overflow_main_task, NULL);
    check_killed(&child, SIGSEGV);
    check_said(&child, "evert: stack overflow in task overflow, spawned at ");
    check_said(&child, "overflow_test.c:");
    check_said(&child, "120 KiB");
}

static int spawn_overflowing(void *unused)
{
    evert_spawn_options options = evert_spawn_defaults();
    evert_scope s;
    (void)unused;
    options.name = "the little one";
    options.stack = LITTLE_STACK;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn_with(&s, &options, overflow, NULL);
    return evert_scope_leave(&s, rc);
}

static int overflow_spawned_task(void *unused)
{
    return evert_run(spawn_overflowing, unused);
}

static void test_an_overflow_of_a_little_stack_is_explained(void **state)
{
    (void)state;
    struct child child = in_child(overflow_spawned_task, NULL);
    check_killed(&child, SIGSEGV);
    check_said(&child, "evert: stack overflow in task the little one, spawned at ");
}

/* ---- Other faults ---- */

/* A mapping so large, and after the stack, lies below it; but that is not the guard. */
static int touch_forbidden(void *unused)
{
    char *page = mmap(NULL, 1 << 28, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)unused;
    assert_ptr_not_equal(page, MAP_FAILED);
    *(volatile char *)page = 1;
    return 0;
}

static int run_touching_forbidden(void *unused)
{
    return evert_run(touch_forbidden, unused);
}

static void test_another_fault_is_not_called_an_overflow(void **state)
{
    (void)state;
    struct child child = in_child(run_touching_forbidden, NULL);
    check_killed(&child, SIGSEGV);
    assert_null(strstr(child.said, "stack overflow in task"));
}

/* ---- The program's own handler has its turn afterwards ---- */

enum { NEIGHBOURS = 2, PATTERN = 4096 };

static volatile char *patterns[NEIGHBOURS];

static void check_neighbours(int number, siginfo_t *info, void *machine)
{
    (void)info;
    (void)machine;
    for (int i = 0; i < NEIGHBOURS; i++) {
        for (int j = 0; j < PATTERN; j++) {
            if (patterns[i][j] != (char)(i + 1))
                _exit(1);
        }
    }
    _exit(number == SIGSEGV ? 44 : 1);
}

static int keep_pattern(void *arg)
{
    volatile char pattern[PATTERN];
    int number = *(const int *)arg;
    for (int j = 0; j < PATTERN; j++)
        pattern[j] = (char)(number + 1);
    patterns[number] = pattern;
    return evert_sleep_until(EVERT_NEVER);
}

/* By then both neighbours have their patterns. */
static int overflow_a_turn_later(void *unused)
{
    int rc = evert_yield();
    return rc < 0 ? rc : overflow(unused);
}

static int spawn_between_neighbours(void *unused)
{
    static int numbers[NEIGHBOURS] = {0, 1};
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn(&s, keep_pattern, &numbers[0]);
    if (rc == 0)
        rc = evert_spawn(&s, overflow_a_turn_later, NULL);
    if (rc == 0)
        rc = evert_spawn(&s, keep_pattern, &numbers[1]);
    return evert_scope_leave(&s, rc);
}

static int run_with_own_handler(void *unused)
{
    struct sigaction action = {.sa_sigaction = check_neighbours,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    return evert_run(spawn_between_neighbours, unused);
}

static void test_neighbours_are_intact_in_the_programs_handler(void **state)
{
    (void)state;
    struct child child = in_child(run_with_own_handler, NULL);
    check_exit(&child, 44);
    check_said(&child, "evert: stack overflow in task overflow_a_turn_later, spawned at ");
}

static void plain_handler(int number)
{
    _exit(number == SIGSEGV ? 45 : 1);
}

static int run_with_plain_handler(void *unused)
{
    struct sigaction action = {.sa_handler = plain_handler, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    return evert_run(overflow, unused);
}

static void test_a_handler_without_details_has_its_turn_too(void **state)
{
    (void)state;
    struct child child = in_child(run_with_plain_handler, NULL);
    check_exit(&child, 45);
    check_said(&child, "evert: stack overflow in task overflow, spawned at ");
}

/* Returns: the instruction is made again, and so is the fault, which then kills. */
static void returning_handler(int number, siginfo_t *info, void *machine)
{
    (void)info;
    (void)machine;
    signal(number, SIG_DFL);
}

static int run_with_returning_handler(void *unused)
{
    struct sigaction action = {.sa_sigaction = returning_handler,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    return evert_run(overflow, unused);
}

static void test_a_handler_that_returns_is_not_called_for_ever(void **state)
{
    (void)state;
    struct child child = in_child(run_with_returning_handler, NULL);
    check_killed(&child, SIGSEGV);
    check_said(&child, "evert: stack overflow in task overflow, spawned at ");
}

/* ---- The handler is the process's; who watches is counted ---- */

static void on_signal(int number)
{
    (void)number;
}

static bool handlers_are_ours(void)
{
    struct sigaction segv, bus;
    sigaction(SIGSEGV, NULL, &segv);
    sigaction(SIGBUS, NULL, &bus);
    assert_true((segv.sa_handler == on_signal) == (bus.sa_handler == on_signal));
    return segv.sa_handler == on_signal;
}

static void *watch_without_memory(void *unused)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    struct evert__overflow overflow;
    stack_t own;
    sigaltstack(NULL, &own);
    sigaltstack(&none, NULL); /* the address sanitizer gives each thread one */
    take_memory_away();
    evert__overflow_watch(&overflow);
    give_memory_back();
    evert__overflow_unwatch(&overflow);
    if (!(own.ss_flags & SS_DISABLE))
        sigaltstack(&own, NULL);
    return unused;
}

static int watch_and_count(void *unused)
{
    struct evert__overflow first, second;
    pthread_t thread;
    (void)unused;
    signal(SIGSEGV, on_signal);
    signal(SIGBUS, on_signal);
    assert_true(handlers_are_ours());
    evert__overflow_watch(&first);
    assert_false(handlers_are_ours());
    evert__overflow_watch(&second);
    evert__overflow_unwatch(&second);
    assert_false(handlers_are_ours());

    /* One that could not watch must not end the watch of another. */
    assert_int_equal(pthread_create(&thread, NULL, watch_without_memory, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(handlers_are_ours());

    evert__overflow_unwatch(&first);
    assert_true(handlers_are_ours());
    return 0;
}

static void test_handlers_are_given_back_with_the_last_who_watches(void **state)
{
    (void)state;
    struct child child = in_child(watch_and_count, NULL);
    check_exit(&child, 0);
}

static int check_signal_stack(void *unused)
{
    static char memory[64 * 1024];
    const stack_t none = {.ss_flags = SS_DISABLE}, mine = {.ss_sp = memory, .ss_size = 65536};
    struct evert__overflow overflow;
    stack_t now;
    (void)unused;

    sigaltstack(&none, NULL);
    evert__overflow_watch(&overflow);
    sigaltstack(NULL, &now);
    assert_int_equal(now.ss_flags, 0);
    evert__overflow_unwatch(&overflow);
    sigaltstack(NULL, &now);
    assert_int_equal(now.ss_flags, SS_DISABLE);

    sigaltstack(&mine, NULL); /* the program's own is left alone */
    evert__overflow_watch(&overflow);
    sigaltstack(NULL, &now);
    assert_ptr_equal(now.ss_sp, memory);
    evert__overflow_unwatch(&overflow);
    sigaltstack(NULL, &now);
    assert_ptr_equal(now.ss_sp, memory);
    return 0;
}

static void test_the_stack_for_signals_is_as_before_afterwards(void **state)
{
    (void)state;
    struct child child = in_child(check_signal_stack, NULL);
    check_exit(&child, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_overflow_is_explained_with_name_place_and_size),
        cmocka_unit_test(test_an_overflow_of_a_little_stack_is_explained),
        cmocka_unit_test(test_another_fault_is_not_called_an_overflow),
        cmocka_unit_test(test_neighbours_are_intact_in_the_programs_handler),
        cmocka_unit_test(test_a_handler_without_details_has_its_turn_too),
        cmocka_unit_test(test_a_handler_that_returns_is_not_called_for_ever),
        cmocka_unit_test(test_handlers_are_given_back_with_the_last_who_watches),
        cmocka_unit_test(test_the_stack_for_signals_is_as_before_afterwards),
    };
    return run_table(tests);
}
