/* SPDX-License-Identifier: MIT */
/* The memory of connections that ended, which a loop keeps for those to come. */
#include "support.h"

#include "base/asan.h"
#include "stream/spare.h"

enum { MOST = 256 };

/* How many it keeps: a tool that looks for uses after the end sees each be freed. */
static int most_kept(void)
{
    return evert__frees_are_watched() ? 0 : MOST;
}

static evert_stream *new_connection(evert_loop *loop)
{
    evert_stream *s = NULL;
    assert_int_equal(evert__connection_new(loop, &s), 0);
    return s;
}

static void test_the_last_to_end_is_the_first_to_come(void **state)
{
    evert_loop *loop = (evert_loop *)*state;
    evert_stream *first = new_connection(loop), *last = new_connection(loop), *s = NULL;
    evert__connection_free(first);
    evert__connection_free(last);
    take_memory_away();
    int rc = evert__connection_new(loop, &s);
    give_memory_back();
    if (most_kept() == 0) {
        assert_int_equal(rc, -ENOMEM);
        return;
    }
    assert_int_equal(rc, 0);
    assert_ptr_equal(s, last);
    evert__connection_free(s);
}

/* Nothing of what ended is in what comes, which in a pool is in the same place. */
static void test_a_connection_comes_as_new(void **state)
{
    static char as_new[sizeof(evert_stream)];
    evert_loop *loop = (evert_loop *)*state;
    evert_stream *first = new_connection(loop);
    memcpy(as_new, first, sizeof(as_new));
    evert__connection_free(first);
    evert_stream *dirty = evert__spare_get(loop);
    assert_non_null(dirty);
    memset(dirty, 0xa5, sizeof(*dirty));
    evert__spare_put(loop, dirty);
    evert_stream *second = new_connection(loop);
    if (most_kept() > 0)
        assert_memory_equal(second, as_new, sizeof(as_new));
    assert_ptr_equal(second->loop, loop);
    assert_null(second->reader);
    assert_null(second->protocol);
    assert_null(second->names);
    evert__connection_free(second);
}

/* What a burst needed is given back in the end. */
static void test_no_more_than_some_are_kept(void **state)
{
    enum { MANY = 1000 };
    static evert_stream *connections[MANY];
    int kept = 0;
    evert_loop *loop = (evert_loop *)*state;
    for (int i = 0; i < MANY; i++)
        connections[i] = new_connection(loop);
    for (int i = 0; i < MANY; i++)
        evert__connection_free(connections[i]);
    take_memory_away();
    while (kept < MANY && evert__connection_new(loop, &connections[kept]) == 0)
        kept++;
    give_memory_back();
    assert_int_equal(kept, most_kept());
    while (kept > 0)
        evert__connection_free(connections[--kept]);
}

/* Without memory for the list there is none, and a connection ends all the same. */
static void test_without_memory_none_is_kept(void **state)
{
    evert_loop *loop = (evert_loop *)*state;
    evert_stream *s = new_connection(loop);
    take_memory_away();
    evert__connection_free(s);
    assert_int_equal(evert__connection_new(loop, &s), -ENOMEM);
    give_memory_back();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_own_loop(test_the_last_to_end_is_the_first_to_come),
        with_own_loop(test_a_connection_comes_as_new),
        with_own_loop(test_no_more_than_some_are_kept),
        with_own_loop(test_without_memory_none_is_kept),
    };
    return run_table(tests);
}
