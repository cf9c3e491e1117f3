/* SPDX-License-Identifier: MIT */
#include "base/time.h"

#include <limits.h>

#include "base/flat.h"
#include "base/sys.h"

EVERT__HOT evert_time evert__clock(void)
{
    return evert__sys_clock();
}

evert_time evert__time_add(evert_time a, evert_time b)
{
    evert_time sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

evert_time evert_after(evert_time span)
{
    return evert__time_add(evert__clock(), span);
}

EVERT__HOT struct timespec evert__timespec(evert_time time)
{
    evert_time seconds = time / EVERT_SECOND;
    return (struct timespec){.tv_sec = seconds < INT_MAX ? (int)seconds : INT_MAX,
                             .tv_nsec = (long)(time % EVERT_SECOND)};
}
