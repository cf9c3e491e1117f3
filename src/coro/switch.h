/* SPDX-License-Identifier: MIT */
/*
 * Switching from one stack to another. The assembly versions save what the calling convention says
 * a function must save, and no more; MXCSR and the x87 control word are left alone, so a task that
 * changes the rounding mode changes it for all.
 */
#ifndef EVERT_SRC_CORO_SWITCH_H
#define EVERT_SRC_CORO_SWITCH_H

#include <stddef.h>

#ifdef EVERT_SWITCH_UCONTEXT
#include <ucontext.h>

struct evert__context {
    ucontext_t machine;
    void (*entry)(void *arg);
    void *arg;
};
#else
struct evert__context {
    void *stack_pointer; /* of a suspended stack; what was saved lies there */
};
#endif

/* Where the frames of a suspended stack begin, downmost first. */
static inline const char *evert__context_frames(const struct evert__context *context)
{
#ifdef EVERT_SWITCH_UCONTEXT
    return (const char *)context;
#else
    return context->stack_pointer;
#endif
}

/* Prepares a context that will call entry(arg), which must not return, on the stack given. */
void evert__context_make(struct evert__context *context, void *low, void *top,
                         void (*entry)(void *arg), void *arg);

/*
 * Suspends this stack into `from` and goes on with `to`; returns when somebody switches back, and
 * always 0: a function whose last act is a switch needs no frame below it.
 */
int evert__context_switch(struct evert__context *from, const struct evert__context *to);

/*
 * The same, and faster where `to` was left in the same place in the code as `from` is, as tasks do
 * that wait for the same kind of thing; else slower.
 */
#ifdef EVERT_SWITCH_UCONTEXT
#define evert__context_switch_alike evert__context_switch
#else
int evert__context_switch_alike(struct evert__context *from, const struct evert__context *to);
#endif

#endif
