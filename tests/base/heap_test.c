/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <stdio.h>
#include <string.h>

#include <evert/base/alloc.h>

#include "seed.h"

static struct evert__heap heap;

static int begin(void **state)
{
    (void)state;
    heap = (struct evert__heap){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    evert_set_allocator(NULL);
    evert__heap_fini(&heap);
    return 0;
}

/* Takes the first out and returns its node, or NULL. */
static struct evert__heap_node *take(void)
{
    const struct evert__heap_entry *first = evert__heap_first(&heap);
    if (first == NULL)
        return NULL;
    struct evert__heap_node *node = first->node;
    evert__heap_remove(&heap, node);
    return node;
}

/* P2 */
static void test_times_leave_in_order(void **state)
{
    static const evert_time times[] = {5, INT64_MAX, -1, 3, INT64_MIN, 0, 4, INT64_MAX - 1};
    enum { COUNT = sizeof(times) / sizeof(times[0]) };
    struct evert__heap_node nodes[COUNT] = {0};
    evert_time last = INT64_MIN;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(evert__heap_insert(&heap, &nodes[i], times[i]), 0);
    for (int i = 0; i < COUNT; i++) {
        evert_time when = evert__heap_first(&heap)->when;
        assert_true(when >= last);
        assert_true(times[take() - nodes] == when);
        last = when;
    }
    assert_null(evert__heap_first(&heap));
}

/* P2 */
static void test_equal_times_leave_in_the_order_in_which_they_came(void **state)
{
    enum { COUNT = 1000 };
    static struct evert__heap_node nodes[COUNT];
    (void)state;
    memset(nodes, 0, sizeof(nodes));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(evert__heap_insert(&heap, &nodes[i], i % 3), 0);
    for (int third = 0; third < 3; third++) {
        for (int i = third; i < COUNT; i += 3)
            assert_ptr_equal(take(), &nodes[i]);
    }
}

static void test_node_knows_whether_it_is_in(void **state)
{
    struct evert__heap_node node = {0};
    (void)state;
    assert_false(evert__heap_has(&node));
    assert_int_equal(evert__heap_insert(&heap, &node, 1), 0);
    assert_true(evert__heap_has(&node));
    evert__heap_remove(&heap, &node);
    assert_false(evert__heap_has(&node));
}

static void test_removing_what_is_not_in_has_no_effect(void **state)
{
    struct evert__heap_node in = {0}, out = {0};
    (void)state;
    evert__heap_remove(&heap, &out);
    assert_int_equal(evert__heap_insert(&heap, &in, 1), 0);
    evert__heap_remove(&heap, &out);
    assert_ptr_equal(evert__heap_first(&heap)->node, &in);
    evert__heap_remove(&heap, &in);
    evert__heap_remove(&heap, &in);
    assert_null(evert__heap_first(&heap));
}

/* P2: what is cancelled leaves nothing behind. */
static void test_inserting_and_removing_does_not_grow(void **state)
{
    struct evert__heap_node node = {0};
    (void)state;
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(evert__heap_insert(&heap, &node, 1000000 - i), 0);
        evert__heap_remove(&heap, &node);
    }
    assert_int_equal(heap.count, 0);
    assert_true(heap.capacity <= 16);
}

static void test_fini_forgets_what_was_in(void **state)
{
    struct evert__heap_node nodes[3] = {0};
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(evert__heap_insert(&heap, &nodes[i], i), 0);
    evert__heap_fini(&heap);
    for (int i = 0; i < 3; i++)
        assert_false(evert__heap_has(&nodes[i]));
    assert_null(evert__heap_first(&heap));
    evert__heap_fini(&heap);
}

static void *no_memory(void *memory, size_t size, void *arg)
{
    (void)memory;
    (void)size;
    (void)arg;
    return NULL;
}

static void release(void *memory, void *arg)
{
    (void)arg;
    free(memory);
}

/* F45 */
static void test_no_memory_leaves_all_as_it_was(void **state)
{
    static const evert_allocator full = {no_memory, release, NULL};
    struct evert__heap_node nodes[100] = {0};
    int in = 0, rc = 0;
    (void)state;
    assert_int_equal(evert__heap_insert(&heap, &nodes[in++], 100), 0);
    evert_set_allocator(&full);
    while (in < 100 && (rc = evert__heap_insert(&heap, &nodes[in], 100 - in)) == 0)
        in++;
    assert_int_equal(rc, -ENOMEM);
    assert_false(evert__heap_has(&nodes[in]));
    assert_int_equal(heap.count, in);
    evert_set_allocator(NULL);
    assert_int_equal(evert__heap_insert(&heap, &nodes[in], 100 - in), 0);
    while (in >= 0)
        assert_ptr_equal(take(), &nodes[in--]);
}

/* F46: no allocator is asked for what cannot be counted. */
static void test_more_than_can_be_counted_is_out_of_memory(void **state)
{
    struct evert__heap_node node = {0};
    struct evert__heap full = {.count = UINT32_MAX / 2, .capacity = UINT32_MAX / 2};
    (void)state;
    assert_int_equal(evert__heap_insert(&full, &node, 1), -ENOMEM);
    assert_false(evert__heap_has(&node));
    assert_int_equal(full.count, UINT32_MAX / 2);
}

/* The model: a plain array, in which the first is looked for. */
enum { NODES = 300 };

struct model {
    struct {
        struct evert__heap_node node;
        evert_time when;
        uint64_t order;
        bool in;
    } items[NODES];
    uint64_t order, random;
    char problem[120];
};

static int first_of(const struct model *m)
{
    int first = -1;
    for (int i = 0; i < NODES; i++) {
        if (m->items[i].in && (first < 0 || m->items[i].when < m->items[first].when ||
                               (m->items[i].when == m->items[first].when &&
                                m->items[i].order < m->items[first].order)))
            first = i;
    }
    return first;
}

static evert_time any_time(uint64_t *random)
{
    switch (random_below(random, 8)) {
    case 0:
        return INT64_MAX;
    case 1:
        return INT64_MIN;
    case 2:
        return (evert_time)random_next(random);
    default:
        return (evert_time)random_below(random, 50) - 25;
    }
}

static const char *step(struct model *m, int number)
{
    int i = (int)random_below(&m->random, NODES);
    if (random_below(&m->random, 3) == 0)
        i = first_of(m);
    if (i >= 0 && m->items[i].in) {
        evert__heap_remove(&heap, &m->items[i].node);
        m->items[i].in = false;
    } else if (i >= 0) {
        m->items[i].when = any_time(&m->random);
        m->items[i].order = m->order++;
        m->items[i].in = evert__heap_insert(&heap, &m->items[i].node, m->items[i].when) == 0;
    }
    int expected = first_of(m);
    const struct evert__heap_entry *first = evert__heap_first(&heap);
    if (expected < 0 ? first == NULL
                     : first != NULL && first->node == &m->items[expected].node &&
                           first->when == m->items[expected].when)
        return NULL;
    snprintf(m->problem, sizeof(m->problem), "step %d: the first should be %d", number, expected);
    return m->problem;
}

/* P2 */
static void test_heap_behaves_as_a_sorted_list(void **state)
{
    static struct model m;
    uint64_t seed = seed_new();
    const char *problem = NULL;
    (void)state;
    m = (struct model){.random = seed};
    for (int i = 0; i < 20000 && problem == NULL; i++)
        problem = step(&m, i);
    assert_held(problem, seed);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_times_leave_in_order),
        CASE(test_equal_times_leave_in_the_order_in_which_they_came),
        CASE(test_node_knows_whether_it_is_in),
        CASE(test_removing_what_is_not_in_has_no_effect),
        CASE(test_inserting_and_removing_does_not_grow),
        CASE(test_fini_forgets_what_was_in),
        CASE(test_no_memory_leaves_all_as_it_was),
        CASE(test_more_than_can_be_counted_is_out_of_memory),
        CASE(test_heap_behaves_as_a_sorted_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
