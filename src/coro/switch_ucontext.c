/* SPDX-License-Identifier: MIT */
/* For machines without assembly of their own: slower, since it saves the signal mask as well. */
#include "coro/switch.h"

#include <stdint.h>

/* makecontext(3) passes ints; a pointer goes in two halves. */
static void begin(unsigned high, unsigned low)
{
    struct evert__context *context =
        (struct evert__context *)(((uintptr_t)high << 16 << 16) | (uintptr_t)low);
    context->entry(context->arg);
}

void evert__context_make(struct evert__context *context, void *low, void *top,
                         void (*entry)(void *arg), void *arg)
{
    uintptr_t self = (uintptr_t)context;
    (void)getcontext(&context->machine);
    context->machine.uc_stack.ss_sp = low;
    context->machine.uc_stack.ss_size = (size_t)((char *)top - (char *)low);
    context->machine.uc_link = NULL;
    context->entry = entry;
    context->arg = arg;
    makecontext(&context->machine, (void (*)(void))begin, 2, (unsigned)(self >> 16 >> 16),
                (unsigned)self);
}

int evert__context_switch(struct evert__context *from, const struct evert__context *to)
{
    (void)swapcontext(&from->machine, &to->machine);
    return 0;
}
