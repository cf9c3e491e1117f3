/* SPDX-License-Identifier: MIT */
/* What the tests of forking share: children, and what must hold in them. */
#ifndef EVERT_TESTS_LOOP_FORKING_H
#define EVERT_TESTS_LOOP_FORKING_H

#include "support.h"

#include <stdio.h>

/* Forks a child that calls `body` and exits. */
static inline pid_t fork_child(void (*body)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        body();
        _exit(0);
    }
    return child;
}

static inline void calls_and_timers_work(evert_loop *fresh)
{
    int calls = 0;
    MUST(evert_loop_call_soon(fresh, NULL, count_up, &calls) == 0);
    MUST(evert_loop_call_at(fresh, NULL, evert_after(100), count_up, &calls) == 0);
    MUST(evert_loop_call_threadsafe(fresh, count_up, &calls) == 0);
    while (calls < 3)
        MUST(evert_loop_turn(fresh, evert_after(PATIENCE)) == 0);
    MUST(evert_loop_call_soon(fresh, NULL, stop_loop, NULL) == 0);
    MUST(evert_loop_run(fresh) == 0);
}

static bool let_no_call_be_made(enum evert__sys_call call, const void *site, size_t *size,
                                int64_t *result)
{
    (void)call;
    (void)site;
    (void)size;
    (void)result;
    MUST(false);
    return false;
}

/* And says so without asking the kernel, which would give it the parent's events. */
static inline void inherited_is_closed(void)
{
    evert__sys_set_hook(let_no_call_be_made);
    MUST(evert_loop_run(loop) == EVERT_ECLOSED);
    MUST(evert_loop_turn(loop, 0) == EVERT_ECLOSED);
    evert__sys_set_hook(NULL);
    MUST(evert__loop_forked(loop));
}

static inline void new_loop_works(void)
{
    evert_loop *fresh;
    MUST(evert_loop_new(&fresh) == 0);
    calls_and_timers_work(fresh);
    MUST(evert_loop_run(loop) == EVERT_ECLOSED); /* still, beside the new one */
    evert_loop_free(fresh);
    evert_loop_free(loop);
}

#endif
