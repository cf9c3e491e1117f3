/* SPDX-License-Identifier: MIT */
/* The chunks that a loop keeps for the bytes on their way. */
#include "support.h"

static void test_a_chunk_is_one_allocation_of_its_size(void **state)
{
    evert_loop *loop = (evert_loop *)*state;
    struct evert__chunk *chunk = evert__chunk_get(loop);
    assert_non_null(chunk);
    assert_null(chunk->next);
    assert_int_equal(chunk->start, 0);
    assert_int_equal(chunk->end, 0);
    memset(chunk->data, 'x', EVERT__CHUNK_ROOM);
    assert_ptr_equal(chunk->data + EVERT__CHUNK_ROOM, (char *)chunk + EVERT__CHUNK);
    assert_int_equal((uintptr_t)chunk % EVERT__LINE, 0); /* it may be an input buffer, too */
    assert_int_equal((uintptr_t)chunk->data % EVERT__LINE, 0);
    evert__chunk_put(loop, chunk);
}

static void test_a_chunk_that_was_put_back_is_had_again_and_empty(void **state)
{
    evert_loop *loop = (evert_loop *)*state;
    struct evert__chunk *chunk = evert__chunk_get(loop);
    assert_non_null(chunk);
    chunk->start = 3;
    chunk->end = 7;
    evert__chunk_put(loop, chunk);
    take_memory_away();
    assert_ptr_equal(evert__chunk_get(loop), chunk);
    assert_int_equal(chunk->start, 0);
    assert_int_equal(chunk->end, 0);
    assert_null(evert__chunk_get(loop)); /* there is no other */
    evert__chunk_put(loop, chunk);
    give_memory_back();
}

static void test_without_memory_there_is_none(void **state)
{
    evert_loop *loop = (evert_loop *)*state;
    take_memory_away();
    assert_null(evert__chunk_get(loop));
    give_memory_back();
}

/* What a burst needed is given back in the end. */
static void test_no_more_than_some_are_kept(void **state)
{
    enum { MANY = 1000, KEPT = 256 };
    static struct evert__chunk *chunks[MANY];
    int kept = 0;
    evert_loop *loop = (evert_loop *)*state;
    for (int i = 0; i < MANY; i++) {
        chunks[i] = evert__chunk_get(loop);
        assert_non_null(chunks[i]);
    }
    for (int i = 0; i < MANY; i++)
        evert__chunk_put(loop, chunks[i]);
    take_memory_away();
    while (kept < MANY && (chunks[kept] = evert__chunk_get(loop)) != NULL)
        kept++;
    give_memory_back();
    assert_int_equal(kept, KEPT);
    while (kept > 0)
        evert__chunk_put(loop, chunks[--kept]);
}

/* Large buffers are used one after the other: one is kept, and another is made when it is out. */
static void test_a_large_buffer_is_kept(void **state)
{
    evert_loop *loop = (evert_loop *)*state;
    char *large = evert__large_get(loop), *other = evert__large_get(loop);
    assert_non_null(large);
    assert_non_null(other);
    assert_int_equal((uintptr_t)large % EVERT__LINE, 0);
    memset(large, 'x', EVERT__LARGE);
    memset(other, 'y', EVERT__LARGE);
    evert__large_put(loop, large);
    evert__large_put(loop, other); /* one too many, and freed */
    take_memory_away();
    assert_ptr_equal(evert__large_get(loop), large);
    assert_null(evert__large_get(loop));
    give_memory_back();
    evert__large_put(loop, large);
}

/* Builds with AddressSanitizer see a use of what was given back. */
static void test_what_the_pool_keeps_is_hidden(void **state)
{
    (void)state;
#ifdef EVERT__ASAN
    evert_loop *loop = (evert_loop *)*state;
    struct evert__chunk *chunk = evert__chunk_get(loop);
    char *large = evert__large_get(loop);
    assert_non_null(chunk);
    assert_non_null(large);
    assert_null(__asan_region_is_poisoned(chunk, EVERT__CHUNK));
    evert__chunk_put(loop, chunk);
    evert__large_put(loop, large);
    assert_ptr_equal(__asan_region_is_poisoned(chunk, EVERT__CHUNK), &chunk->start);
    assert_true(__asan_address_is_poisoned(large));
    assert_true(__asan_address_is_poisoned(large + EVERT__LARGE - 1));
    large = evert__large_get(loop);
    assert_null(__asan_region_is_poisoned(large, EVERT__LARGE));
    evert__large_put(loop, large);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_own_loop(test_a_chunk_is_one_allocation_of_its_size),
        with_own_loop(test_a_chunk_that_was_put_back_is_had_again_and_empty),
        with_own_loop(test_without_memory_there_is_none),
        with_own_loop(test_no_more_than_some_are_kept),
        with_own_loop(test_a_large_buffer_is_kept),
        with_own_loop(test_what_the_pool_keeps_is_hidden),
    };
    return run_table(tests);
}
