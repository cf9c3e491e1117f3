/* SPDX-License-Identifier: MIT */
/*
 * The monotonic clock between two readings of it, by the processor's own counter. A reading is a
 * hundredth of what a request costs, since what the C library and the kernel need for it has left
 * the caches by then; the counter is one instruction.
 *
 * After a reading the counter is believed for a millisecond, and how long its tick is is measured
 * from each reading to the next. What comes out is never early, and late by some microseconds at
 * the most: who needs to know exactly reads the clock. A counter that may stop or change its speed
 * is not used at all, nor is one any more that was early.
 */
#ifndef EVERT_SRC_BASE_NEAR_H
#define EVERT_SRC_BASE_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include <evert/base/time.h>

#include "base/sys_flat.h"

struct evert__near {
    evert_time read;        /* what the last reading gave */
    uint64_t before, after; /* what the counter said around it */
    uint64_t length;        /* of a tick, in ns / 2^32 */
    uint64_t believed;      /* for so many ticks; 0: not now */
    bool off;               /* and never will be */
};

/* Knows nothing yet. */
void evert__near_init(struct evert__near *near);

/* What a reading gave, and what the counter said right before and right after. */
void evert__near_learn(struct evert__near *near, uint64_t before, evert_time read, uint64_t after);

static inline bool evert__near_knows(const struct evert__near *near, uint64_t count)
{
    return count - near->after < near->believed;
}

/* The time when the counter says this. */
static inline evert_time evert__near_time(const struct evert__near *near, uint64_t count)
{
    return near->read + (evert_time)((count - near->after) * near->length >> 32);
}

/* rdtsc, and the generic timer's virtual count: user programs may read both. */
#if defined(__x86_64__)
static inline bool evert__counter(uint64_t *ret)
{
    *ret = __builtin_ia32_rdtsc();
    return true;
}
#elif defined(__aarch64__)
static inline bool evert__counter(uint64_t *ret)
{
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(*ret));
    return true;
}
#else
static inline bool evert__counter(uint64_t *ret)
{
    (void)ret;
    return false;
}
#endif

/* By the counter. False: the clock is to be read, as it always is under a hook. */
static inline bool evert__near_now(const struct evert__near *near, evert_time *ret)
{
    uint64_t count;
    if (evert__sys_hooked() || !evert__counter(&count) || !evert__near_knows(near, count))
        return false;
    *ret = evert__near_time(near, count);
    return true;
}

/* Reads the clock. */
evert_time evert__near_read(struct evert__near *near);

#endif
