/* SPDX-License-Identifier: MIT */
/*
 * Stacks for tasks. Each has a guard below it, always; the pages are committed by the kernel as
 * they are touched. Stacks of the usual size are kept in a pool.
 */
#ifndef EVERT_SRC_CORO_STACK_H
#define EVERT_SRC_CORO_STACK_H

#include <stddef.h>

#include "base/list.h"
#include "loop/loop.h"

/* With a page for its colour the two are 47 pages, an odd number: see stack.c. */
enum { EVERT__STACK_GUARD = 64 * 1024, EVERT__STACK_USUAL = 120 * 1024 };

/* At the top of its stack, so that a stack and what describes it are one pointer. */
struct evert__stack {
    struct evert__stack *next; /* in the pool */
    char *low;                 /* the lowest usable byte; the guard is below */
    size_t size;               /* that was asked for; there may be a little more */
    size_t mapped;             /* all of it, with the guard */
    unsigned valgrind;         /* Valgrind's number for it */
};

struct evert__stack_pool {
    evert_loop *loop;
    struct evert__stack *first; /* the one that was used last */
    unsigned count;
    unsigned unused; /* as few as there were at any time since it was looked last */
    unsigned colour; /* of the next stack; see stack.c */
    unsigned fresh_count;
    char *fresh; /* so many that are mapped and were never used, side by side */
    struct evert__timer trim;
};

void evert__stack_pool_init(struct evert__stack_pool *pool, evert_loop *loop);
void evert__stack_pool_fini(struct evert__stack_pool *pool);

/*
 * A stack of at least `size` bytes (0: the usual). NULL: there is no memory for it, whatever the
 * system calls that (EAGAIN where memory is locked, EINVAL for too much).
 */
struct evert__stack *evert__stack_get(struct evert__stack_pool *pool, size_t size);

/* Whether it goes back to the pool, and is not unmapped, when it is given back. */
static inline bool evert__stack_is_usual(const struct evert__stack *stack)
{
    return stack->size == EVERT__STACK_USUAL;
}

/*
 * Gives a stack back. One that runs may be given back only if it is a usual one, and nothing may
 * take a stack before it is left.
 */
void evert__stack_put(struct evert__stack_pool *pool, struct evert__stack *stack);

#endif
