/* SPDX-License-Identifier: MIT */
/*
 * How much of its core a program has. Two programs may share one, each on a half of its own
 * (hyper-threads), and in a virtual machine the other may be somebody else's, whom nothing here
 * shows. Then the clock is what it was, but fewer instructions are carried out in each cycle.
 *
 * So additions are timed: a chain of them, each of which waits for the one before, tells how long a
 * cycle is, and four chains side by side how many of them it has room for. Most processors manage
 * three to four if the core is the program's alone, and some two if not.
 */
#ifndef BENCH_CORE_H
#define BENCH_CORE_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { ADDITION_TIMES = 101, ADDITION_STEPS = 500 };

/* The compiler may not reckon what comes of it, and so has to have it added. */
#define ADD(x)                          \
    do {                                \
        __asm__ volatile("" : "+r"(x)); \
        (x)++;                          \
    } while (0)

#define ADD_FOUR(a, b, c, d) \
    do {                     \
        ADD(a);              \
        ADD(b);              \
        ADD(c);              \
        ADD(d);              \
    } while (0)

#define ADD_SIXTEEN(a, b, c, d) \
    do {                        \
        ADD_FOUR(a, b, c, d);   \
        ADD_FOUR(a, b, c, d);   \
        ADD_FOUR(a, b, c, d);   \
        ADD_FOUR(a, b, c, d);   \
    } while (0)

static inline double core_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline double in_a_chain(void)
{
    double began = core_now();
    uint64_t a = 0;
    for (int i = 0; i < ADDITION_STEPS; i++) {
        ADD_SIXTEEN(a, a, a, a);
        ADD_SIXTEEN(a, a, a, a);
    }
    return core_now() - began;
}

static inline double side_by_side(void)
{
    double began = core_now();
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (int i = 0; i < ADDITION_STEPS; i++) {
        ADD_SIXTEEN(a, b, c, d);
        ADD_SIXTEEN(a, b, c, d);
    }
    return core_now() - began;
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Additions in a cycle: the median of many short times, a millisecond in all. */
static inline double additions_in_a_cycle(void)
{
    double each[ADDITION_TIMES];

    for (int i = 0; i < ADDITION_TIMES; i++) {
        double chain = in_a_chain();

        each[i] = chain / side_by_side();
    }
    qsort(each, ADDITION_TIMES, sizeof(each[0]), compare_doubles);
    return each[ADDITION_TIMES / 2];
}

#endif
