/* SPDX-License-Identifier: MIT */
/*
 * P9 where the kernel does not empty a page on a fork: one that does not know the advice, and
 * emulators, which say yes to it and do nothing. The handler of pthread_atfork(3) sees to it then.
 */
#include "forking.h"

static bool ignore_advice(enum evert__sys_call call, const void *site, size_t *size,
                          int64_t *result)
{
    (void)site;
    (void)size;
    *result = 0;
    return call == EVERT__SYS_ADVISE;
}

/* The page is made for the first loop of all. */
static int make_page_without_advice(void **state)
{
    evert__sys_set_hook(ignore_advice);
    int rc = loop_setup(state);
    return rc < 0 ? rc : loop_teardown(state);
}

/* P9 */
static void test_inherited_loop_is_closed_without_the_kernels_help(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(inherited_is_closed)), 0);
    assert_false(evert__loop_forked(loop));
    turn(0);
}

/* P9 */
static void test_new_loop_works_without_the_kernels_help(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(new_loop_works)), 0);
    turn(0);
}

static evert_loop *made_in_handler;

static void make_in_handler(void)
{
    MUST(evert_loop_new(&made_in_handler) == 0);
}

static void loop_of_handler_works(void)
{
    inherited_is_closed();
    calls_and_timers_work(made_in_handler);
}

/* P9: a program's own handler is the usual place for making things anew. */
static void test_loop_made_in_a_handler_of_the_child_is_the_childs(void **state)
{
    (void)state;
    assert_int_equal(pthread_atfork(NULL, NULL, make_in_handler), 0);
    assert_int_equal(exit_of(fork_child(loop_of_handler_works)), 0);
    turn(0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_CASE(test_inherited_loop_is_closed_without_the_kernels_help),
        LOOP_CASE(test_new_loop_works_without_the_kernels_help),
        LOOP_CASE(test_loop_made_in_a_handler_of_the_child_is_the_childs),
    };
    return cmocka_run_group_tests(tests, make_page_without_advice, NULL);
}
