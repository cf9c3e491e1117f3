/* SPDX-License-Identifier: MIT */
/* P8, F49: a task that a stream woke, and that the loop has run at once, is named as any other. */
#include "support.h"

#include "../watched.h"

static int read_and_hog(void *stream)
{
    evert_bytes line;
    check_rc(evert_read_line((evert_stream *)stream, &line), 0);
    block_until_reported(1);
    return 0;
}

static int spawn_a_hog(void *unused)
{
    evert_spawn_options options = evert_spawn_defaults();
    struct ends e = make_ends(UNIX);
    evert_scope s;
    (void)unused;
    options.name = "hog";
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn_with(&s, &options, read_and_hog, e.s), 0);
    wait_until(e.s->reader != NULL);
    peer_say(e.peer, "Ann\r\n");
    check_rc(evert_scope_leave(&s, 0), 0);
    return drop_ends(e);
}

static void test_a_task_that_blocks_after_a_read_is_named(void **state)
{
    (void)state;
    watch_loops("300");
    check_rc(in_task(spawn_a_hog, NULL), 0);
    stop_watching();
    check_words(heard.text, "task hog, spawned at ");
    assert_int_equal(atomic_load(&heard.reports), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_that_blocks_after_a_read_is_named),
    };
    return run_table(tests);
}
