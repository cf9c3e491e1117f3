/* SPDX-License-Identifier: MIT */
/*
 * What the programs share, in C and C++, that measure the smallest things of a library as
 * bench/yield.c does those of Evert:
 *
 *     PROGRAM ROUNDS        prints one line of JSON: the nanoseconds of each round
 *     PROGRAM park COUNT    says "ready" when so many tasks wait, until standard input ends
 */
#ifndef PEERS_SMALL_H
#define PEERS_SMALL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CROWD = 1000,         /* tasks that are spawned and joined */
    BATCHES = 21,         /* of them; the median counts */
    YIELDS = 100 * 1000,  /* of each of two tasks */
    MANY = 1000 * 1000,   /* timers that wait, ... */
    TIMERS = 1000 * 1000, /* ... while so often another one is set and cancelled */
    MOST_ROUNDS = 99
};

struct small {
    const char *name;
    double (*measure)(void);
};

static inline double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

/* Nanoseconds to any moment of an hour that begins in an hour, as in bench/yield.c. */
static inline uint64_t some_time(uint64_t *random)
{
    *random = *random * 6364136223846793005U + 1442695040888963407U;
    return UINT64_C(3600000000000) + (*random >> 22);
}

static inline int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* For each of a crowd that is spawned and joined; the first time, which does not count, is warm. */
static inline double median_of_crowds(void (*spawn_crowd)(void))
{
    double batches[BATCHES], began;

    spawn_crowd();
    for (int i = 0; i < BATCHES; i++) {
        began = now();
        spawn_crowd();
        batches[i] = (now() - began) / (double)CROWD;
    }
    qsort(batches, BATCHES, sizeof(batches[0]), compare);
    return batches[BATCHES / 2];
}

static inline void measure_all(const struct small *rows, int count, int rounds)
{
    static double values[8][MOST_ROUNDS];

    for (int i = 0; i < count; i++)
        rows[i].measure(); /* the first time is not like the others */
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < count; i++)
            values[i][round] = rows[i].measure();
    for (int i = 0; i < count; i++) {
        printf("%s\"%s\": [", i == 0 ? "{" : "], ", rows[i].name);
        for (int round = 0; round < rounds; round++)
            printf("%s%.2f", round == 0 ? "" : ", ", values[i][round]);
    }
    puts("]}");
}

static inline int rounds_asked(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 5;

    return rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
}

/* How many tasks are to wait; 0: the small things are to be measured. */
static inline int parked_asked(int argc, char **argv)
{
    return argc > 2 && strcmp(argv[1], "park") == 0 ? atoi(argv[2]) : 0;
}

static inline void stay_parked(void)
{
    char byte;

    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

#endif
