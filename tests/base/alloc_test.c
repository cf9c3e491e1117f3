/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/flat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct counts {
    int allocated, released;
    bool full;
};

static void *count_reallocate(void *memory, size_t size, void *arg)
{
    struct counts *counts = arg;
    assert_true(size > 0);
    if (counts->full)
        return NULL;
    if (memory == NULL)
        counts->allocated++;
    void *got = realloc(memory, size);
    if (memory == NULL && got != NULL)
        memset(got, 0xa5, size); /* so that a forgotten clearing shows */
    return got;
}

static void count_release(void *memory, void *arg)
{
    struct counts *counts = arg;
    assert_non_null(memory);
    counts->released++;
    free(memory);
}

static int use_counts(void **state)
{
    static struct counts counts;
    evert_allocator allocator = {count_reallocate, count_release, &counts};
    counts = (struct counts){0};
    evert_set_allocator(&allocator);
    *state = &counts;
    return 0;
}

static int use_malloc(void **state)
{
    (void)state;
    evert_set_allocator(NULL);
    return 0;
}

static void test_memory_comes_from_the_allocator_that_was_set(void **state)
{
    struct counts *counts = *state;
    void *memory = evert__alloc(100);
    assert_non_null(memory);
    assert_int_equal(counts->allocated, 1);
    evert__free(memory);
    assert_int_equal(counts->released, 1);
}

static void test_null_goes_back_to_malloc(void **state)
{
    struct counts *counts = *state;
    evert_set_allocator(NULL);
    free(evert__alloc(1));
    evert__free(malloc(1));
    assert_int_equal(counts->allocated + counts->released, 0);
}

static void test_alloc_zero_clears(void **state)
{
    static const char zeros[1000];
    char *memory = evert__alloc_zero(sizeof(zeros));
    (void)state;
    assert_memory_equal(memory, zeros, sizeof(zeros));
    evert__free(memory);
}

static void test_realloc_keeps_the_bytes(void **state)
{
    char *memory = evert__realloc(NULL, 5);
    (void)state;
    memcpy(memory, "abcde", 5);
    memory = evert__realloc(memory, 100000);
    assert_memory_equal(memory, "abcde", 5);
    evert__free(memory);
}

/* F45 */
static void test_failure_is_null_and_keeps_what_was_there(void **state)
{
    struct counts *counts = *state;
    char *memory = evert__strdup("kept");
    counts->full = true;
    assert_null(evert__realloc(memory, 1000));
    assert_string_equal(memory, "kept");
    assert_null(evert__alloc(1));
    assert_null(evert__alloc_zero(1));
    assert_null(evert__strdup("not copied"));
    evert__free(memory);
    assert_int_equal(counts->allocated, counts->released);
}

static void test_strdup_copies(void **state)
{
    char original[] = "some words", *copy = evert__strdup(original);
    (void)state;
    original[0] = 'S';
    assert_string_equal(copy, "some words");
    evert__free(copy);
    copy = evert__strdup("");
    assert_string_equal(copy, "");
    evert__free(copy);
}

/* F46 */
static void test_lines_begin_with_a_line_of_the_cache(void **state)
{
    static const size_t sizes[] = {1, 63, 64, 65, 1000, 100000, 1 << 18};
    struct counts *counts = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char *memory = evert__alloc_lines(sizes[i]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % EVERT__LINE, 0);
        memset(memory, 'x', sizes[i]);
        evert__free_lines(memory);
    }
    assert_int_equal(counts->released, counts->allocated);
    assert_null(evert__alloc_lines(SIZE_MAX));
    assert_null(evert__alloc_lines(SIZE_MAX - EVERT__LINE));
    counts->full = true;
    assert_null(evert__alloc_lines(1));
}

static void test_free_of_null_asks_nobody(void **state)
{
    struct counts *counts = *state;
    evert__free(NULL);
    evert__free_lines(NULL);
    assert_int_equal(counts->released, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, use_counts, use_malloc)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_memory_comes_from_the_allocator_that_was_set),
        CASE(test_null_goes_back_to_malloc),
        CASE(test_alloc_zero_clears),
        CASE(test_realloc_keeps_the_bytes),
        CASE(test_failure_is_null_and_keeps_what_was_there),
        CASE(test_strdup_copies),
        CASE(test_lines_begin_with_a_line_of_the_cache),
        CASE(test_free_of_null_asks_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
