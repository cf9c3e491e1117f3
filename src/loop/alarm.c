/* SPDX-License-Identifier: MIT */
#include "loop/alarm.h"

#include "base/sys.h"
#include "loop/loop.h"

/* After so many waits an alarm is worth its calls: one to set it, two or three when it rings. */
enum { ENOUGH = 16 };

static void rang(struct evert__source *source)
{
    evert_loop *loop = EVERT__CONTAINER(source, evert_loop, alarm.source);
    loop->alarm.when = EVERT_NEVER;
    (void)evert__counter_empty(source); /* only the first time can fail */
}

/* Made with the loop, so that how many descriptors that has is known from then on. */
void evert__alarm_init(evert_loop *loop)
{
    struct evert__alarm *alarm = &loop->alarm;
    int number = evert__sys_timerfd();
    alarm->when = EVERT_NEVER;
    alarm->off = number < 0;
    evert__fd_init(&alarm->fd, loop, number);
    evert__source_init(&alarm->source, &alarm->fd, EVERT__SOURCE_COUNTER, rang);
}

static bool set(evert_loop *loop, evert_time when)
{
    struct evert__alarm *alarm = &loop->alarm;
    alarm->waits = 0;
    bool first = !alarm->heard;
    alarm->heard = true;
    if (first && evert__counter_empty(&alarm->source) < 0)
        return false;
    if (evert__sys_timerfd_set(alarm->fd.number, when) < 0)
        return false;
    alarm->when = when;
    return true;
}

bool evert__alarm_is_better(evert_loop *loop, evert_time when)
{
    struct evert__alarm *alarm = &loop->alarm;
    if (alarm->off || ++alarm->waits <= ENOUGH)
        return false;
    alarm->off = !set(loop, when);
    return !alarm->off;
}

void evert__alarm_stop(evert_loop *loop)
{
    if (!loop->alarm.heard)
        return;
    evert__source_disarm(&loop->alarm.source);
    (void)loop->backend->detach(&loop->alarm.fd);
}

void evert__alarm_fini(evert_loop *loop)
{
    if (loop->alarm.fd.number >= 0)
        evert__sys_close(loop->alarm.fd.number);
}
