/* SPDX-License-Identifier: MIT */
/* The smallest things on libuv: timers, which it knows to the millisecond. */
#include "../small.h"

#include <uv.h>

static uv_timer_t others[MANY], timer;

static void never_called(uv_timer_t *unused)
{
    (void)unused;
}

static void set_timer(uv_timer_t *at, uint64_t *random)
{
    uv_timer_start(at, never_called, some_time(random) / 1000000, 0);
}

static double measure_timers(void)
{
    uint64_t random = 1;
    double began, ended;

    for (int i = 0; i < MANY; i++)
        set_timer(&others[i], &random);
    began = now();
    for (int i = 0; i < TIMERS; i++) {
        set_timer(&timer, &random);
        uv_timer_stop(&timer);
    }
    ended = now();
    for (int i = 0; i < MANY; i++)
        uv_timer_stop(&others[i]);
    return (ended - began) / TIMERS;
}

int main(int argc, char **argv)
{
    static const struct small rows[] = {{"timers", measure_timers}};

    uv_timer_init(uv_default_loop(), &timer);
    for (int i = 0; i < MANY; i++)
        uv_timer_init(uv_default_loop(), &others[i]);
    measure_all(rows, 1, rounds_asked(argc, argv));
    return 0;
}
