/* SPDX-License-Identifier: MIT */
/* The smallest things of State Threads: to sleep for no time is how they yield. */
#include "../small.h"

#include <err.h>
#include <st.h>

static st_thread_t spawn(void *(*fn)(void *), int is_joined)
{
    st_thread_t thread = st_thread_create(fn, NULL, is_joined, 0);

    if (thread == NULL)
        err(1, "st_thread_create");
    return thread;
}

static void *yield_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < YIELDS; i++)
        st_usleep(0);
    return NULL;
}

static double measure_pair(void)
{
    double began = now();
    st_thread_t one = spawn(yield_often, 1), other = spawn(yield_often, 1);

    st_thread_join(one, NULL);
    st_thread_join(other, NULL);
    return (now() - began) / 2 / YIELDS;
}

static void *nothing(void *unused)
{
    return unused;
}

static void spawn_crowd(void)
{
    static st_thread_t threads[CROWD];

    for (int i = 0; i < CROWD; i++)
        threads[i] = spawn(nothing, 1);
    for (int i = 0; i < CROWD; i++)
        st_thread_join(threads[i], NULL);
}

static double measure_spawn(void)
{
    return median_of_crowds(spawn_crowd);
}

static void *wait_for_ever(void *unused)
{
    (void)unused;
    st_sleep(-1);
    return NULL;
}

static void park(int count)
{
    for (int i = 0; i < count; i++)
        spawn(wait_for_ever, 0);
    st_usleep(0); /* each has begun */
    stay_parked();
}

int main(int argc, char **argv)
{
    static const struct small rows[] = {{"pair", measure_pair}, {"spawn", measure_spawn}};
    int parked = parked_asked(argc, argv);

    st_set_eventsys(ST_EVENTSYS_ALT);
    if (st_init() < 0)
        err(1, "st_init");
    if (parked > 0)
        park(parked);
    else
        measure_all(rows, 2, rounds_asked(argc, argv));
    return 0;
}
