/* SPDX-License-Identifier: MIT */
/*
 * Choosing a back end, and falling back, whatever EVERT_BACKEND says: backend.c. Each case is a
 * child, as what is told once is told once in a process.
 */
#include "refusing.h"

/* ---- Names ---- */

static void each_name_gives_that_back_end(void)
{
    static const char *const names[] = {"epoll", "poll", "adverse"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        works_on(names[i], names[i]);
    works_on("", "epoll");
    MUST(unsetenv("EVERT_BACKEND") == 0);
    MUST(evert_loop_new(&fresh) == 0);
    MUST(strcmp(evert_loop_backend(fresh), "epoll") == 0);
    evert_loop_free(fresh);
    MUST(told.count == 0);
}

static void test_a_loop_says_which_back_end_it_uses(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(each_name_gives_that_back_end)), 0);
}

static void the_first_is_taken(void)
{
    works_on("poll,epoll", "poll");
    works_on("epoll,poll,uring", "epoll");
    works_on("poll,poll", "poll");
    MUST(told.count == 0);
}

static void test_the_first_of_a_list_is_taken(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(the_first_is_taken)), 0);
}

static void unknown_names_are_errors(void)
{
    static const char *const lists[] = {
        "abacus", "epol",   "epolls",      "epoll,abacus", "abacus,epoll", ",",
        "epoll,", ",epoll", "epoll,,poll", "epoll poll",   "adverse-",     "EPOLL",
    };
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        told.count = 0;
        MUST(make(lists[i]) == -EINVAL);
        MUST(fresh == NULL);
        MUST(told.count == 1 && told.level == EVERT_LOG_ERROR);
    }
    MUST(make("epoll,abacus,poll") == -EINVAL);
    MUST(strstr(told.words, "\"abacus\"") != NULL);
}

/* Also behind one that would do: else it would be found on other machines only. */
static void test_an_unknown_name_is_an_error_wherever_it_stands(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(unknown_names_are_errors)), 0);
}

/* ---- What cannot be made here ---- */

static void any_code_means_that_it_cannot_be_had(void)
{
    evert__sys_set_hook(refuse);
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        set_refused(EVERT__SYS_EPOLL_CREATE, 0, -codes[i]);
        works_on("epoll,poll", "poll");
        MUST(refused.seen == 1);
        MUST(told.count == (i == 0));
        if (i > 0)
            continue;
        MUST(told.level == EVERT_LOG_WARNING);
        MUST(strstr(told.words, "epoll") != NULL);
        MUST(strstr(told.words, "Operation not permitted") != NULL);
    }
}

/* F27 */
static void test_what_cannot_be_had_is_passed_over_and_told_once(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(any_code_means_that_it_cannot_be_had)), 0);
}

static void the_last_ones_error_is_the_outcome(void)
{
    limit_memory(1000);
    evert__sys_set_hook(refuse);
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        set_refused(EVERT__SYS_EPOLL_CREATE, 0, -codes[i]);
        MUST(make("epoll") == -codes[i]);
        MUST(fresh == NULL && memory.out == 0);
        MUST(told.count == 0); /* but by its code */
    }
    limit_memory(0);
    MUST(make("epoll,poll") == -ENOMEM);
    MUST(make("uring,poll,epoll") == -ENOMEM);
    MUST(memory.out == 0);
}

/* F27, F45: a single name, or the last of them. */
static void test_where_none_can_be_had_there_is_a_code(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(the_last_ones_error_is_the_outcome)), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loop_says_which_back_end_it_uses),
        cmocka_unit_test(test_the_first_of_a_list_is_taken),
        cmocka_unit_test(test_an_unknown_name_is_an_error_wherever_it_stands),
        cmocka_unit_test(test_what_cannot_be_had_is_passed_over_and_told_once),
        cmocka_unit_test(test_where_none_can_be_had_there_is_a_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
