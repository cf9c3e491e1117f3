/* SPDX-License-Identifier: MIT */
/*
 * What the tools have to be told about stacks: AddressSanitizer and ThreadSanitizer of each switch,
 * Valgrind of each stack. Without them all of this is nothing.
 */
#ifndef EVERT_SRC_CORO_FIBER_H
#define EVERT_SRC_CORO_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/asan.h"

#ifdef EVERT__TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifdef EVERT_VALGRIND
#include <valgrind/valgrind.h>
#endif

/* One stack, as the tools see it. */
struct evert__fiber {
#ifdef EVERT__ASAN
    const void *low;
    size_t size;
    void *fake; /* ASan's own stack of addressable locals, while this one is suspended */
    struct evert__fiber *from; /* from which it was come to, if that is to be come back to */
#endif
#ifdef EVERT__TSAN
    void *tsan;
#endif
    char nothing; /* C has no empty structs */
};

/* A new task's stack. */
static inline void evert__fiber_init(struct evert__fiber *fiber, void *low, size_t size)
{
    (void)fiber;
    (void)low;
    (void)size;
#ifdef EVERT__ASAN
    fiber->low = low;
    fiber->size = size;
    fiber->fake = NULL;
    __asan_unpoison_memory_region(low, size); /* the frames of the one that had it before */
#endif
#ifdef EVERT__TSAN
    fiber->tsan = __tsan_create_fiber(0);
#endif
}

/* The stack of the task has ended, and another one runs. */
static inline void evert__fiber_fini(struct evert__fiber *fiber)
{
    (void)fiber;
#ifdef EVERT__TSAN
    __tsan_destroy_fiber(fiber->tsan);
#endif
}

/* Whether it may be called on the stack itself, right before it is left. */
static inline bool evert__fiber_may_fini_itself(void)
{
#ifdef EVERT__TSAN
    return false;
#else
    return true;
#endif
}

/* This very stack is `fiber`: the loop's, before it switches to a task. */
static inline void evert__fiber_is_here(struct evert__fiber *fiber)
{
    (void)fiber;
#ifdef EVERT__TSAN
    fiber->tsan = __tsan_get_current_fiber();
#endif
}

/* Right before a switch; `last`: this stack is not come back to. */
static inline void evert__fiber_leave(struct evert__fiber *from, struct evert__fiber *to, bool last)
{
    (void)from;
    (void)to;
    (void)last;
#ifdef EVERT__ASAN
    to->from = last ? NULL : from;
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->low, to->size);
#endif
#ifdef EVERT__TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/*
 * Right after a switch, on the stack that was come to. ASan tells where the one before it lies,
 * which of a loop's nobody else knows.
 */
static inline void evert__fiber_arrive(struct evert__fiber *here)
{
    (void)here;
#ifdef EVERT__ASAN
    struct evert__fiber *from = here->from;
    __sanitizer_finish_switch_fiber(here->fake, from != NULL ? &from->low : NULL,
                                    from != NULL ? &from->size : NULL);
#endif
}

#endif
