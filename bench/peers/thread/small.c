/* SPDX-License-Identifier: MIT */
/* The smallest things of the system's threads. */
#include "../small.h"

#include <err.h>
#include <pthread.h>

static void *nothing(void *unused)
{
    return unused;
}

static void spawn_crowd(void)
{
    static pthread_t threads[CROWD];

    for (int i = 0; i < CROWD; i++)
        if (pthread_create(&threads[i], NULL, nothing, NULL) != 0)
            errx(1, "pthread_create");
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
}

static double measure_spawn(void)
{
    return median_of_crowds(spawn_crowd);
}

int main(int argc, char **argv)
{
    static const struct small rows[] = {{"spawn", measure_spawn}};

    measure_all(rows, 1, rounds_asked(argc, argv));
    return 0;
}
