/* SPDX-License-Identifier: MIT */
/* The first frame of a new stack, laid out as the assembly of the machine expects to find it. */
#include "coro/switch.h"

#include <stdint.h>

#include "base/flat.h"

void evert__context_begin(void);

#if defined(__x86_64__)
/*
 * From the lowest address up, in the order in which they are popped. With all popped, the stack
 * pointer is at the top, aligned to 16, as it has to be where evert__context_begin makes its call.
 */
struct frame {
    uintptr_t r15, r14, r13, r12, rbx, rbp, rip;
};

enum { NOP = 1 }; /* bytes */

static void fill(struct frame *frame, void (*entry)(void *arg), void *arg)
{
    *frame = (struct frame){.r12 = (uintptr_t)entry,
                            .r13 = (uintptr_t)arg,
                            .rip = (uintptr_t)evert__context_begin + NOP};
}
#elif defined(__aarch64__)
struct frame {
    uintptr_t x19, x20, x21, x22, x23, x24, x25, x26, x27, x28, x29, x30;
    double d8_to_d15[8];
};

enum { NOP = 4 };

static void fill(struct frame *frame, void (*entry)(void *arg), void *arg)
{
    *frame = (struct frame){.x19 = (uintptr_t)entry,
                            .x20 = (uintptr_t)arg,
                            .x30 = (uintptr_t)evert__context_begin + NOP};
}
#endif

EVERT__HOT void evert__context_make(struct evert__context *context, void *low, void *top,
                                    void (*entry)(void *arg), void *arg)
{
    (void)low;
    struct frame *frame = (struct frame *)((uintptr_t)top & ~(uintptr_t)15) - 1;
    fill(frame, entry, arg);
    context->stack_pointer = frame;
}
