/* SPDX-License-Identifier: MIT */
/*
 * Making a ring, and not being able to: what uring.c asks for then. programs/uring_refused has the
 * kernel refuse it. Each case is a child, as what is told once is told once in a process.
 */
#include "refusing.h"

#include <sys/resource.h>
#include <unistd.h>

/* How many calls of a kind there are when a ring is made. */
static int calls_of(enum evert__sys_call call)
{
    set_refused(call, -1, 0);
    works_on("uring", "uring");
    return refused.seen;
}

static void rings_fall_back_at_set_up(void)
{
    static const enum evert__sys_call calls[] = {EVERT__SYS_URING_SETUP, EVERT__SYS_URING_REGISTER};
    evert__sys_set_hook(refuse);
    int most = calls_of(EVERT__SYS_URING_REGISTER) - 1; /* the last enables it, in a run */
    MUST(most == 2);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        for (int which = 0; which < (i == 0 ? 1 : most); which++) {
            for (size_t j = 0; j < COUNT_OF(codes); j++) {
                set_refused(calls[i], which, -codes[j]);
                works_on("uring,epoll", "epoll");
                set_refused(calls[i], which, -codes[j]);
                MUST(make("uring") == -codes[j]);
            }
        }
    }
}

/* F27, F36, BR-055 */
static void test_a_ring_that_is_refused_gives_way_when_it_is_made(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(rings_fall_back_at_set_up)), 0);
}

static void calls_to_the_ring_are_tried_out(void)
{
    evert__sys_set_hook(refuse);
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        set_refused(EVERT__SYS_URING_ENTER, 0, -codes[i]);
        works_on("uring,epoll", "epoll");
        MUST(refused.seen == 1);
    }
    set_refused(EVERT__SYS_URING_ENTER, 0, 0); /* as something would that is no such kernel */
    MUST(make("uring") == -EOPNOTSUPP);
}

/* F36: nobody could change over once the ring is in use. */
static void test_submitting_that_is_refused_is_found_when_the_ring_is_made(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(calls_to_the_ring_are_tried_out)), 0);
}

static void no_feature_is_known(void)
{
    evert__sys_set_hook(refuse);
    set_refused(EVERT__SYS_URING_SETUP, 0, 0); /* the ring stays as empty as it was */
    works_on("uring,epoll", "epoll");
    set_refused(EVERT__SYS_URING_SETUP, 0, 0);
    MUST(make("uring") == -EOPNOTSUPP);
}

/* F36, BR-055 */
static void test_features_that_are_missing_are_found_when_the_ring_is_made(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(no_feature_is_known)), 0);
}

static void no_operation_is_known(void)
{
    evert__sys_set_hook(refuse);
    set_refused(EVERT__SYS_URING_REGISTER, 0, 0); /* the list stays empty */
    works_on("uring,epoll", "epoll");
    set_refused(EVERT__SYS_URING_REGISTER, 0, 0);
    MUST(make("uring") == -EOPNOTSUPP);
}

/* F36, BR-055 */
static void test_operations_that_are_missing_are_found_when_the_ring_is_made(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(no_operation_is_known)), 0);
}

static void without_locked_memory(void)
{
    static const struct rlimit none = {0, 0};
    MUST(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
    MUST(geteuid() != 0 || setuid(65534) == 0);
    int rc = make("uring");
    MUST(rc == 0 || rc == -ENOMEM);
    evert_loop_free(fresh);
    works_on("uring,epoll", rc == 0 ? "uring" : "epoll");
}

/* F27: newer kernels count what a ring needs otherwise; then it works. */
static void test_without_locked_memory_there_is_still_a_loop(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(without_locked_memory)), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ring_that_is_refused_gives_way_when_it_is_made),
        cmocka_unit_test(test_submitting_that_is_refused_is_found_when_the_ring_is_made),
        cmocka_unit_test(test_features_that_are_missing_are_found_when_the_ring_is_made),
        cmocka_unit_test(test_operations_that_are_missing_are_found_when_the_ring_is_made),
        cmocka_unit_test(test_without_locked_memory_there_is_still_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
