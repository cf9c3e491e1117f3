/* SPDX-License-Identifier: MIT */
#include "base/near.h"

#include <stdatomic.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#define SPAN EVERT_MILLISECOND         /* it is believed so long, and measured as long or longer */
#define MOST EVERT_SECOND              /* between two readings; more would not fit */
#define SLACK EVERT_MICROSECOND        /* it may go in steps, or be read ahead of its turn */
#define WIDEST (2 * EVERT_MICROSECOND) /* of two readings with the slack: else it is not sure */
#define TOLERATED (2 * EVERT_MICROSECOND) /* of being early */

#ifdef __x86_64__
/*
 * Whether the counter neither stops nor changes its speed, whatever the processor does: "invariant
 * TSC" in the manuals of AMD and Intel. Asked once, as a hypervisor takes long to answer.
 */
static bool is_steady(void)
{
    const unsigned power = 0x80000007, invariant = 1 << 8;
    static atomic_int known; /* 1: it is; -1: it is not */
    unsigned a, b, c, d;
    int is = atomic_load_explicit(&known, memory_order_relaxed);
    if (is == 0) {
        is = __get_cpuid(power, &a, &b, &c, &d) && (d & invariant) != 0 ? 1 : -1;
        atomic_store_explicit(&known, is, memory_order_relaxed);
    }
    return is > 0;
}
#else
static bool is_steady(void)
{
    return true;
}
#endif

void evert__near_init(struct evert__near *near)
{
    *near = (struct evert__near){.off = !is_steady()};
}

static bool agree(uint64_t a, uint64_t b)
{
    uint64_t apart = a > b ? a - b : b - a;
    return apart <= a / 64;
}

/*
 * What ticked while two readings were made, and in the slack behind the first: nobody can say
 * whether that was before or after.
 */
static uint64_t unsure(const struct evert__near *near, uint64_t before, uint64_t after)
{
    return after - before + (near->after - near->before);
}

/*
 * The length of a tick, or 0. It is not too long: all the ticks around both readings are taken for
 * those between them, and a step's may be missing; and a part is taken off for a clock that is
 * being set right, by one in two thousand at the most (adjtimex(2)).
 */
static uint64_t measure(const struct evert__near *near, evert_time read, uint64_t after)
{
    evert_time passed = read - near->read;
    uint64_t ticks = after - near->before;
    if (passed > MOST || ticks == 0)
        return 0;
    uint64_t length = ((uint64_t)(passed - SLACK) << 32) / ticks;
    return length - length / 2048;
}

static uint64_t ticks_of(evert_time span, uint64_t length)
{
    return ((uint64_t)span << 32) / length;
}

void evert__near_learn(struct evert__near *near, uint64_t before, evert_time read, uint64_t after)
{
    if (read - near->read < SPAN)
        return; /* too soon to tell how long a tick is */
    if (before - near->after < 2 * near->believed &&
        evert__near_time(near, before) > read + TOLERATED)
        near->off = true;

    uint64_t length = measure(near, read, after);
    near->believed = 0;
    if (length > 0) {
        bool sure = unsure(near, before, after) < ticks_of(WIDEST, length);
        if (sure && agree(length, near->length) && !near->off)
            near->believed = ticks_of(SPAN, length);
        near->length = length;
    }
    near->read = read;
    near->before = before;
    near->after = after + 1; /* of which no part need have passed by then */
    if (length > 0)
        near->after += ticks_of(SLACK, length);
}

evert_time evert__near_read(struct evert__near *near)
{
    uint64_t before, after;
    if (evert__sys_hooked())
        return evert__sys_clock();
    if (!evert__counter(&before))
        return evert__sys_read_clock();
    evert_time read = evert__sys_read_clock();
    (void)evert__counter(&after);
    if (read - near->read >= SPAN) { /* half a microsecond, until what it needs is in the caches */
        before = after;
        read = evert__sys_read_clock();
        (void)evert__counter(&after);
    }
    evert__near_learn(near, before, read, after);
    return read;
}
