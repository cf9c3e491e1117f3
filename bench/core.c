/* SPDX-License-Identifier: MIT */
/*
 * How much of its core a program has. Two programs may share one, each on a half of its own
 * (hyper-threads), and in a virtual machine the other may be somebody else's, whom nothing here
 * shows. Then the clock is what it was, but fewer instructions are carried out in each cycle.
 *
 * The result is one line of JSON: additions in a cycle, where a chain of additions, each of which
 * waits for the one before, tells how long a cycle is. Most processors manage nearly four if the
 * core is the program's alone, and about half of that if not. It is the median of many short times.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TIMES = 301, STEPS = 500 };

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

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double in_a_chain(void)
{
    double began = now();
    uint64_t a = 0;
    for (int i = 0; i < STEPS; i++) {
        ADD_SIXTEEN(a, a, a, a);
        ADD_SIXTEEN(a, a, a, a);
    }
    return now() - began;
}

static double side_by_side(void)
{
    double began = now();
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (int i = 0; i < STEPS; i++) {
        ADD_SIXTEEN(a, b, c, d);
        ADD_SIXTEEN(a, b, c, d);
    }
    return now() - began;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    double each[TIMES];
    for (int i = 0; i < TIMES; i++) {
        double chain = in_a_chain();
        each[i] = chain / side_by_side();
    }
    qsort(each, TIMES, sizeof(each[0]), compare);
    printf("{\"additions\": %.2f}\n", each[TIMES / 2]);
    return 0;
}
