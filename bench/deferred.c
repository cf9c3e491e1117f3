/* SPDX-License-Identifier: MIT */
/*
 * What Deferreds cost:
 *
 *     deferred [ROUNDS]
 *
 *   callback   one more callback in a chain: added, and called when the Deferred fires
 *   whole      a Deferred made, with one callback, fired and freed
 *
 * The result is one line of JSON: the nanoseconds of each round.
 */
#include <evert/evert.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_ROUNDS = 99, TIMES = 200 * 1000, CHAIN = 9 };

static double now(void)
{
    return (double)evert_after(0);
}

static unsigned long called;

static evert_result count(evert_result *in, void *unused)
{
    (void)unused;
    called++;
    return *in;
}

/* So many Deferreds, with so many callbacks each; the nanoseconds of one. */
static double measure(int callbacks)
{
    double began = now();
    for (int i = 0; i < TIMES; i++) {
        evert_deferred *d;
        if (evert_deferred_new(&d) < 0)
            errx(1, "no memory");
        for (int k = 0; k < callbacks; k++)
            evert_deferred_add_callback(d, count, NULL);
        evert_deferred_callback(d, &called, NULL);
        evert_deferred_free(d);
    }
    return (now() - began) / TIMES;
}

static void print(const char *name, const double *values, int rounds, const char *end)
{
    printf("\"%s\": [", name);
    for (int i = 0; i < rounds; i++)
        printf("%s%.2f", i > 0 ? ", " : "", values[i]);
    printf("]%s", end);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    double callback[MOST_ROUNDS], whole[MOST_ROUNDS];
    if (rounds < 1 || rounds > MOST_ROUNDS)
        errx(1, "from 1 to %d rounds", MOST_ROUNDS);
    measure(1);
    for (int i = 0; i < rounds; i++) {
        whole[i] = measure(1);
        callback[i] = (measure(CHAIN) - whole[i]) / (CHAIN - 1);
    }
    printf("{");
    print("callback", callback, rounds, ", ");
    print("whole", whole, rounds, "}\n");
    return 0;
}
