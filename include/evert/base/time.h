/* SPDX-License-Identifier: MIT */
/*
 * Time: monotonic nanoseconds, which setting the wall clock does not touch. A point in time is made
 * from a span by evert_after():
 *
 *     evert_scope_enter(&s, evert_after(5 * EVERT_SECOND));
 */
#ifndef EVERT_BASE_TIME_H
#define EVERT_BASE_TIME_H

#include <stdint.h>

#include <evert/base/api.h>

EVERT_BEGIN

/* A point in time, or a span of it: nanoseconds of CLOCK_MONOTONIC (clock_gettime(2)). */
typedef int64_t evert_time;

#define EVERT_MICROSECOND ((evert_time)1000)
#define EVERT_MILLISECOND ((evert_time)1000000)
#define EVERT_SECOND ((evert_time)1000000000)

/* The point in time that does not come: no deadline. */
#define EVERT_NEVER INT64_MAX

/*
 * The point in time `span` nanoseconds from now, the clock read afresh. A span too large to count
 * gives EVERT_NEVER; a negative one gives a point in the past. Does not wait.
 */
EVERT_API evert_time evert_after(evert_time span);

EVERT_END

#endif
