/* SPDX-License-Identifier: MIT */
/*
 * Explaining a stack overflow before the process dies of it: which task, where it was spawned, how
 * much stack it had. In effect between the two calls, for tasks of the calling thread.
 */
#ifndef EVERT_SRC_CORO_OVERFLOW_H
#define EVERT_SRC_CORO_OVERFLOW_H

#include <stdbool.h>

struct evert__overflow {
    void *stack;  /* that the handler runs on, while the task's is full */
    bool counted; /* as one of those for whom the handler is there */
};

/* Without memory for the handler's stack an overflow is a plain segmentation fault. */
void evert__overflow_watch(struct evert__overflow *overflow);
void evert__overflow_unwatch(struct evert__overflow *overflow);

#endif
