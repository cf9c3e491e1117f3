/* SPDX-License-Identifier: MIT */
/*
 * What it costs to reach a loop on another core, each round measuring both:
 *
 *     messages [ROUNDS]
 *
 *   trip    a call to the other loop and one back, one at a time: both sleep in between
 *   burst   a call, of a thousand that are made at once
 *
 * The result is one line of JSON: the nanoseconds of each round.
 */
#include <evert/evert.h>

#include <err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_ROUNDS = 99, TRIPS = 5000, BURSTS = 50, BURST = 1000 };

static evert_loop *loops[2];
static atomic_int up, left;
static int rounds;
static double trip[MOST_ROUNDS], burst[MOST_ROUNDS];

/* The clock afresh; evert_now() is that of the turn. */
static double now(void)
{
    return (double)evert_after(0);
}

static void send_to(unsigned core, void (*fn)(void *), void *arg)
{
    int rc = evert_loop_call_threadsafe(loops[core], fn, arg);
    if (rc < 0)
        errx(1, "call_threadsafe: %s", evert_strerror(rc));
}

/* There and back, until none is left. */
static void bounce(void *unused)
{
    (void)unused;
    if (evert_core() == 1)
        send_to(0, bounce, NULL);
    else if (--left > 0)
        send_to(1, bounce, NULL);
}

static void count_down(void *unused)
{
    (void)unused;
    left--;
}

static void wait_for_all(void)
{
    while (left > 0)
        (void)evert_sleep(20 * EVERT_MICROSECOND);
}

static double measure_trip(void)
{
    double began = now();
    left = TRIPS;
    send_to(1, bounce, NULL);
    wait_for_all();
    return (now() - began) / TRIPS;
}

static double measure_burst(void)
{
    double began = now();
    for (int i = 0; i < BURSTS; i++) {
        left = BURST;
        for (int k = 0; k < BURST; k++)
            send_to(1, count_down, NULL);
        while (left > 0)
            ; /* the other core has it */
    }
    return (now() - began) / BURSTS / BURST;
}

static void print(const char *name, const double *values, const char *end)
{
    printf("\"%s\": [", name);
    for (int i = 0; i < rounds; i++)
        printf("%s%.1f", i == 0 ? "" : ", ", values[i]);
    printf("]%s", end);
}

static int measure(void *unused)
{
    (void)unused;
    loops[evert_core()] = evert_loop_current();
    up++;
    if (evert_core() == 1)
        return evert_sleep_until(EVERT_NEVER);
    while (up < 2)
        (void)evert_yield();
    (void)measure_trip(); /* the first time is not like the others */
    (void)measure_burst();
    for (int i = 0; i < rounds; i++) {
        trip[i] = measure_trip();
        burst[i] = measure_burst();
    }
    return EVERT_EOF; /* which ends the other */
}

int main(int argc, char **argv)
{
    char *end = "";
    long asked = argc > 1 ? strtol(argv[1], &end, 10) : 15;

    if (*end != '\0' || asked < 1 || asked > MOST_ROUNDS)
        errx(2, "ROUNDS are from 1 to %d", MOST_ROUNDS);
    rounds = (int)asked;
    if (evert_run_on(2, measure, NULL) != EVERT_EOF)
        errx(1, "the run did not end as it should");
    fputs("{", stdout);
    print("trip", trip, ", ");
    print("burst", burst, "}\n");
    return 0;
}
