/* SPDX-License-Identifier: MIT */
/* The smallest things on libev: timers. */
#include "../small.h"

#include <ev.h>

static struct ev_loop *loop;
static ev_timer others[MANY];

static void never_called(struct ev_loop *unused, ev_timer *timer, int events)
{
    (void)unused, (void)timer, (void)events;
}

static void set_timer(ev_timer *timer, uint64_t *random)
{
    ev_timer_init(timer, never_called, (double)some_time(random) / 1e9, 0);
    ev_timer_start(loop, timer);
}

static double measure_timers(void)
{
    uint64_t random = 1;
    ev_timer timer;
    double began, ended;

    for (int i = 0; i < MANY; i++)
        set_timer(&others[i], &random);
    began = now();
    for (int i = 0; i < TIMERS; i++) {
        set_timer(&timer, &random);
        ev_timer_stop(loop, &timer);
    }
    ended = now();
    for (int i = 0; i < MANY; i++)
        ev_timer_stop(loop, &others[i]);
    return (ended - began) / TIMERS;
}

int main(int argc, char **argv)
{
    static const struct small rows[] = {{"timers", measure_timers}};

    loop = ev_default_loop(0);
    measure_all(rows, 1, rounds_asked(argc, argv));
    return 0;
}
