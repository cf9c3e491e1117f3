/* SPDX-License-Identifier: MIT */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct evert__link link;
};

static struct evert__link head, other;
static struct item items[4];

static int begin(void **state)
{
    (void)state;
    evert__list_init(&head);
    evert__list_init(&other);
    for (int i = 0; i < 4; i++)
        items[i] = (struct item){.number = i};
    return 0;
}

static int shift(struct evert__link *list)
{
    struct evert__link *link = evert__list_shift(list);
    return link != NULL ? EVERT__CONTAINER(link, struct item, link)->number : -1;
}

static void test_links_leave_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        evert__list_append(&head, &items[i].link);
    for (int i = 0; i < 4; i++)
        assert_int_equal(shift(&head), i);
    assert_int_equal(shift(&head), -1);
}

static void test_new_list_is_empty(void **state)
{
    (void)state;
    assert_true(evert__list_empty(&head));
    evert__list_append(&head, &items[0].link);
    assert_false(evert__list_empty(&head));
    assert_int_equal(shift(&head), 0);
    assert_true(evert__list_empty(&head));
}

static void test_link_knows_whether_it_is_on_a_list(void **state)
{
    (void)state;
    assert_false(evert__link_used(&items[0].link));
    evert__list_append(&head, &items[0].link);
    assert_true(evert__link_used(&items[0].link));
    assert_int_equal(shift(&head), 0);
    assert_false(evert__link_used(&items[0].link));
}

static void test_link_is_taken_out_of_the_middle(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        evert__list_append(&head, &items[i].link);
    evert__link_remove(&items[1].link);
    assert_int_equal(shift(&head), 0);
    assert_int_equal(shift(&head), 2);
    assert_true(evert__list_empty(&head));
}

static void test_taking_off_twice_is_harmless(void **state)
{
    (void)state;
    evert__list_append(&head, &items[0].link);
    evert__list_append(&head, &items[1].link);
    evert__link_remove(&items[0].link);
    evert__link_remove(&items[0].link);
    evert__link_remove(&items[3].link);
    assert_int_equal(shift(&head), 1);
    evert__link_remove(&items[0].link); /* also when those that stood beside it have gone */
    assert_int_equal(shift(&head), -1);
}

static void test_splice_moves_all_to_the_end(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        evert__list_append(i < 2 ? &head : &other, &items[i].link);
    evert__list_splice(&head, &other);
    assert_true(evert__list_empty(&other));
    for (int i = 0; i < 4; i++)
        assert_int_equal(shift(&head), i);
    assert_true(evert__list_empty(&head));
}

static void test_splice_of_or_into_an_empty_list(void **state)
{
    (void)state;
    evert__list_splice(&head, &other);
    assert_true(evert__list_empty(&head));
    evert__list_append(&other, &items[0].link);
    evert__list_splice(&head, &other);
    evert__list_splice(&head, &other);
    assert_int_equal(shift(&head), 0);
    assert_true(evert__list_empty(&head));
}

#define CASE(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_links_leave_in_the_order_in_which_they_came),
        CASE(test_new_list_is_empty),
        CASE(test_link_knows_whether_it_is_on_a_list),
        CASE(test_link_is_taken_out_of_the_middle),
        CASE(test_taking_off_twice_is_harmless),
        CASE(test_splice_moves_all_to_the_end),
        CASE(test_splice_of_or_into_an_empty_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
