/* SPDX-License-Identifier: MIT */
/*
 * Looking up names: in threads of their own, four at the most; a lookup that is given up cleans up
 * behind itself (F85).
 */
#include "names.h"
#include "support.h"

struct looking {
    struct evert__lookup lookup;
    int told;
};

static void told(struct evert__lookup *lookup)
{
    EVERT__CONTAINER(lookup, struct looking, lookup)->told++;
}

/* The loop goes first, with its threads, which look at the hook and use the allocator. */
static int look_teardown(void **state)
{
    (void)state;
    evert_loop_free(loop);
    loop = NULL;
    evert__sys_set_hook(NULL);
    return 0;
}

#define LOOK_CASE(name) cmocka_unit_test_setup_teardown(name, loop_setup, look_teardown)

/* Whether it is complete at once. */
static bool look_start(struct looking *l, const char *address, bool passive)
{
    struct evert__endpoint endpoint = {0};
    *l = (struct looking){.lookup = {.loop = loop, .done = told}};
    check_rc(evert__endpoint_parse(address, &endpoint), 0);
    return evert__lookup_start(&l->lookup, &endpoint, passive);
}

/* Its result; the addresses are the caller's, who may not want them. */
static int look_up(struct looking *l, const char *address)
{
    if (!look_start(l, address, false))
        run_until(&l->told, 1);
    return l->lookup.result;
}

static void drop(struct looking *l)
{
    evert__free(l->lookup.addresses);
    l->lookup.addresses = NULL;
}

static void check_address(const struct looking *l, unsigned index, const char *words)
{
    char is[EVERT__ADDRESS_WORDS];
    assert_true(index < l->lookup.addresses->count);
    const struct evert__address *a = &l->lookup.addresses->list[index];
    evert__address_words((const struct sockaddr *)&a->storage, a->size, is);
    assert_string_equal(is, words);
}

static void test_numbers_and_paths_need_no_thread(void **state)
{
    static const char *const rows[] = {"tcp://127.0.0.1:80", "tcp://[::1]:80", "unix:///tmp/s"};
    (void)state;
    answer(EVERT__SYS_THREAD, 0, 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int passive = 0; passive < 2; passive++) {
            struct looking l;
            assert_true(look_start(&l, rows[i], passive));
            check_rc(l.lookup.result, 0);
            assert_int_equal(l.lookup.addresses->count, 1);
            check_address(&l, 0, rows[i]);
            assert_int_equal(l.told, 0);
            drop(&l);
        }
    }
    assert_int_equal(plan.asked, 0);
}

static void test_every_address_of_the_machine_needs_no_thread(void **state)
{
    struct looking l;
    (void)state;
    answer(EVERT__SYS_THREAD, 0, 0);
    assert_true(look_start(&l, "tcp://*:80", true));
    check_rc(l.lookup.result, 0);
    assert_int_equal(l.lookup.addresses->count, 2);
    check_address(&l, 0, "tcp://[::]:80");
    check_address(&l, 1, "tcp://0.0.0.0:80");
    assert_int_equal(plan.asked, 0);
    drop(&l);
}

static void test_a_name_is_looked_up_by_a_thread_in_its_order(void **state)
{
    struct looking l;
    (void)state;
    answer(EVERT__SYS_THREAD, 0, 0);
    assert_false(look_start(&l, "tcp://both.test:443", false));
    assert_int_equal(l.told, 0);
    run_until(&l.told, 1);
    assert_int_equal(plan.asked, 1);
    check_rc(l.lookup.result, 0);
    assert_int_equal(l.lookup.addresses->count, 2);
    check_address(&l, 0, "tcp://[::1]:443");
    check_address(&l, 1, "tcp://127.0.0.1:443");
    assert_null(l.lookup.name);
    drop(&l);
    turns(3);
    assert_int_equal(l.told, 1);
}

static void test_of_many_addresses_16_are_kept(void **state)
{
    struct looking l;
    (void)state;
    check_rc(look_up(&l, "tcp://many.test:1"), 0);
    assert_int_equal(l.lookup.addresses->count, 16);
    drop(&l);
}

static void test_each_failure_of_the_resolver_has_its_code(void **state)
{
    static const struct {
        int code, error;
    } rows[] = {
        {EAI_NONAME, EVERT_ENONAME}, {EAI_NODATA, EVERT_ENONAME}, {EAI_ADDRFAMILY, EVERT_ENONAME},
        {EAI_AGAIN, EVERT_ERESOLVE}, {EAI_FAIL, EVERT_ERESOLVE},  {EAI_SYSTEM, EVERT_ERESOLVE},
        {EAI_MEMORY, -ENOMEM},       {0, EVERT_ENONAME}, /* found, but no address */
    };
    struct looking l;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        answer(EVERT__SYS_ADDRINFO, rows[i].code, 1);
        check_rc(look_up(&l, "tcp://both.test:1"), rows[i].error);
        assert_int_equal(plan.asked, 1);
        assert_null(l.lookup.addresses);
    }
    check_rc(look_up(&l, "tcp://none.test:1"), EVERT_ENONAME);
}

/* F85: who gives up is free at once; what comes later is not told, and freed. */
static void test_a_cancelled_lookup_is_not_told_and_cleans_up(void **state)
{
    struct looking l, next;
    (void)state;
    names_shut();
    assert_false(look_start(&l, "tcp://slow.test:1", false));
    assert_true(names_wait(1));
    evert__lookup_cancel(&l.lookup);
    evert__lookup_cancel(&l.lookup); /* twice does nothing */
    assert_null(l.lookup.name);
    check_rc(look_up(&next, "tcp://both.test:1"), 0); /* others are not held up */
    drop(&next);
    assert_int_equal(names_inside(), 1);
    names_open();
    check_rc(look_up(&next, "tcp://slow.test:1"), 0);
    drop(&next);
    assert_int_equal(l.told, 0);
}

static void test_a_lookup_cancelled_while_it_is_queued_is_never_made(void **state)
{
    struct looking slow[4], queued;
    (void)state;
    names_shut();
    for (int i = 0; i < 4; i++)
        assert_false(look_start(&slow[i], "tcp://slow.test:1", false));
    assert_true(names_wait(4));
    assert_false(look_start(&queued, "tcp://both.test:1", false));
    evert__lookup_cancel(&queued.lookup);
    names_open();
    for (int i = 0; i < 4; i++) {
        run_until(&slow[i].told, 1);
        drop(&slow[i]);
    }
    assert_int_equal(queued.told, 0);
    assert_int_equal(names.passed, 4);
}

/* C5: a cancel that comes before the result was told wins, though the result is there. */
static void test_a_lookup_cancelled_when_it_is_done_is_not_told(void **state)
{
    struct looking l;
    (void)state;
    assert_false(look_start(&l, "tcp://both.test:1", false));
    wait_for(loop->wake_fd.number, POLLIN); /* it was posted */
    evert__lookup_cancel(&l.lookup);
    turns(5);
    assert_int_equal(l.told, 0);
}

static void test_a_loop_is_freed_though_a_lookup_hangs(void **state)
{
    struct looking hangs, posted, queued[5];
    (void)state;
    names_shut();
    assert_false(look_start(&posted, "tcp://both.test:1", false));
    wait_for(loop->wake_fd.number, POLLIN);
    assert_false(look_start(&hangs, "tcp://slow.test:1", false));
    for (size_t i = 0; i < COUNT_OF(queued); i++)
        assert_false(look_start(&queued[i], "tcp://slow.test:1", false));
    assert_true(names_wait(1));

    evert_time before = evert__clock();
    evert_loop_free(loop);
    assert_true(evert__clock() - before < 10 * EVERT_SECOND);
    assert_true(names_inside() >= 1); /* it hangs still */
    assert_int_equal(hangs.told + posted.told, 0);
    names_open(); /* and now cleans up behind itself */
    check_rc(evert_loop_new(&loop), 0);
}

static void test_a_loop_is_freed_quickly_when_threads_have_nothing_to_do(void **state)
{
    struct looking l[4];
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_false(look_start(&l[i], "tcp://both.test:1", false));
    for (int i = 0; i < 4; i++) {
        run_until(&l[i].told, 1);
        drop(&l[i]);
    }
    evert_time before = evert__clock();
    evert_loop_free(loop);
    assert_true(evert__clock() - before < 4 * EVERT_SECOND); /* idle ones would stay for five */
    check_rc(evert_loop_new(&loop), 0);
}

static void test_without_a_thread_a_lookup_fails_and_works_later(void **state)
{
    struct looking l;
    (void)state;
    answer(EVERT__SYS_THREAD, -EAGAIN, 1);
    assert_true(look_start(&l, "tcp://both.test:1", false));
    check_rc(l.lookup.result, -EAGAIN);
    assert_null(l.lookup.name);
    turns(3);
    assert_int_equal(l.told, 0);
    check_rc(look_up(&l, "tcp://both.test:1"), 0);
    drop(&l);
}

static void test_where_a_second_thread_cannot_be_had_the_first_does_it(void **state)
{
    struct looking slow, l;
    (void)state;
    names_shut();
    assert_false(look_start(&slow, "tcp://slow.test:1", false));
    assert_true(names_wait(1));
    answer(EVERT__SYS_THREAD, -EAGAIN, 1);
    assert_false(look_start(&l, "tcp://both.test:1", false));
    assert_int_equal(plan.asked, 1);
    names_open();
    run_until(&l.told, 1);
    run_until(&slow.told, 1);
    check_rc(l.lookup.result, 0);
    drop(&l);
    drop(&slow);
}

static void test_four_are_looked_up_at_once_and_all_get_their_turn(void **state)
{
    struct looking l[20];
    (void)state;
    names_shut();
    answer(EVERT__SYS_THREAD, 0, 0);
    for (size_t i = 0; i < COUNT_OF(l); i++)
        assert_false(look_start(&l[i], "tcp://slow.test:1", false));
    assert_true(names_wait(4));
    names_open();
    for (size_t i = 0; i < COUNT_OF(l); i++) {
        run_until(&l[i].told, 1);
        check_rc(l[i].lookup.result, 0);
        drop(&l[i]);
    }
    assert_int_equal(names.most_inside, 4);
    assert_int_equal(plan.asked, 4);
}

/* A thread that is idle takes one of those that come together; the others have their own. */
static void test_lookups_do_not_wait_for_each_other_while_threads_can_be_had(void **state)
{
    struct looking l[4];
    (void)state;
    check_rc(look_up(&l[0], "tcp://both.test:1"), 0);
    drop(&l[0]);
    names_shut();
    for (int i = 0; i < 4; i++)
        assert_false(look_start(&l[i], "tcp://slow.test:1", false));
    bool together = names_wait(4);
    names_open();
    for (int i = 0; i < 4; i++) {
        run_until(&l[i].told, 1);
        drop(&l[i]);
    }
    assert_true(together);
}

/* F45 */
static void test_any_allocation_may_fail(void **state)
{
    int rc = -ENOMEM;
    (void)state;
    for (int left = 0; rc == -ENOMEM; left++) {
        struct looking l;
        limit_memory(left);
        rc = look_up(&l, "tcp://both.test:1");
        assert_true(rc == -ENOMEM || rc == 0);
        assert_true((rc == 0) == (l.lookup.addresses != NULL));
        drop(&l);
        evert_loop_free(loop); /* so that all is needed again */
        evert_set_allocator(NULL);
        check_rc(evert_loop_new(&loop), 0);
    }
    limit_memory(0);
    struct looking l;
    check_rc(look_up(&l, "tcp://127.0.0.1:1"), -ENOMEM);
    assert_true(look_start(&l, "tcp://:1", true));
    check_rc(l.lookup.result, -ENOMEM);
    evert_set_allocator(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOK_CASE(test_numbers_and_paths_need_no_thread),
        LOOK_CASE(test_every_address_of_the_machine_needs_no_thread),
        LOOK_CASE(test_a_name_is_looked_up_by_a_thread_in_its_order),
        LOOK_CASE(test_of_many_addresses_16_are_kept),
        LOOK_CASE(test_each_failure_of_the_resolver_has_its_code),
        LOOK_CASE(test_a_cancelled_lookup_is_not_told_and_cleans_up),
        LOOK_CASE(test_a_lookup_cancelled_while_it_is_queued_is_never_made),
        LOOK_CASE(test_a_lookup_cancelled_when_it_is_done_is_not_told),
        LOOK_CASE(test_a_loop_is_freed_quickly_when_threads_have_nothing_to_do),
        LOOK_CASE(test_without_a_thread_a_lookup_fails_and_works_later),
        LOOK_CASE(test_where_a_second_thread_cannot_be_had_the_first_does_it),
        LOOK_CASE(test_four_are_looked_up_at_once_and_all_get_their_turn),
        LOOK_CASE(test_lookups_do_not_wait_for_each_other_while_threads_can_be_had),
        LOOK_CASE(test_any_allocation_may_fail),
        /* The last, as a thread of it outlives its loop. */
        LOOK_CASE(test_a_loop_is_freed_though_a_lookup_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
