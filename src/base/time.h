/* SPDX-License-Identifier: MIT */
#ifndef EVERT_SRC_BASE_TIME_H
#define EVERT_SRC_BASE_TIME_H

#include <time.h>

#include <evert/base/time.h>

/* The monotonic clock, read now. */
evert_time evert__clock(void);

/* a + b, which stops at the ends of the range instead of wrapping. */
evert_time evert__time_add(evert_time a, evert_time b);

/*
 * A span, or a time of the monotonic clock, as the system takes it; not negative. It ends at 68
 * years, as a time_t of 32 bits does, so who waits for longer has to look at the clock again.
 */
struct timespec evert__timespec(evert_time time);

#endif
