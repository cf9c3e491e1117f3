/* SPDX-License-Identifier: MIT */
/* The smallest things on libevent: timers. */
#include "../small.h"

#include <event2/event.h>
#include <event2/event_struct.h>

static struct event_base *base;
static struct event others[MANY], timer;

static void never_called(evutil_socket_t fd, short events, void *unused)
{
    (void)fd, (void)events, (void)unused;
}

static void set_timer(struct event *at, uint64_t *random)
{
    uint64_t microseconds = some_time(random) / 1000;
    struct timeval delay = {(time_t)(microseconds / 1000000),
                            (suseconds_t)(microseconds % 1000000)};

    event_add(at, &delay);
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
        event_del(&timer);
    }
    ended = now();
    for (int i = 0; i < MANY; i++)
        event_del(&others[i]);
    return (ended - began) / TIMERS;
}

int main(int argc, char **argv)
{
    static const struct small rows[] = {{"timers", measure_timers}};

    base = event_base_new();
    event_assign(&timer, base, -1, 0, never_called, NULL);
    for (int i = 0; i < MANY; i++)
        event_assign(&others[i], base, -1, 0, never_called, NULL);
    measure_all(rows, 1, rounds_asked(argc, argv));
    return 0;
}
