/* SPDX-License-Identifier: MIT */
#ifndef EVERT_SRC_BASE_TIME_H
#define EVERT_SRC_BASE_TIME_H

#include <evert/base/time.h>

/* The monotonic clock, read now. */
evert_time evert__clock(void);

/* a + b, which stops at the ends of the range instead of wrapping. */
evert_time evert__time_add(evert_time a, evert_time b);

#endif
