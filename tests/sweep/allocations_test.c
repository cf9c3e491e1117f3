/* SPDX-License-Identifier: MIT */
/*
 * Each allocation fails in turn. A scenario is run with its first allocation failing, then with its
 * second, and so on, until a run asks for fewer than that; and again with some failing in a row.
 * All of that when EVERT_LONG is set, otherwise a sample by EVERT_SEED, in which each place that
 * asks for memory is as likely as another, however often it is reached.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/seed.h"
#include "runner.h"

enum {
    SAMPLES = 24,      /* of each scenario */
    SLOW_SAMPLES = 4,  /* of a slow one */
    MOST_FAILURES = 5, /* after so many, a scenario is given up */
    LEAST_SITES = 150, /* fewer places than these cannot be all */
};

struct sweep {
    const struct scenario *scenario;
    uint64_t random;
    unsigned firsts[MOST_SITES]; /* for each place, the number of its first allocation */
    size_t count;
    unsigned allocations, calls;  /* in a run in which nothing goes wrong */
    unsigned runs, met, failures; /* met: the fault was, too */
};

/* The places that any scenario reached. */
static uint64_t all_sites[MOST_SITES];
static size_t all_count;

static void note_site(uint64_t key)
{
    for (size_t i = 0; i < all_count; i++) {
        if (all_sites[i] == key)
            return;
    }
    if (all_count < MOST_SITES)
        all_sites[all_count++] = key;
}

static void take_sites(struct sweep *s)
{
    s->allocations = record->allocated;
    s->calls = record->asked;
    for (size_t i = 0; i < MOST_SITES; i++) {
        const struct site *site = &record->allocations[i];
        if (!site->filled)
            continue;
        s->firsts[s->count++] = site->first;
        note_site(site->key);
    }
}

/* True if there was such an allocation. */
static bool try(struct sweep *s, unsigned nth, unsigned times)
{
    struct plan plan = {.fault = FAULT_ALLOCATION,
                        .nth = nth,
                        .times = times,
                        .seed = random_next(&s->random) >> 32,
                        .calls_limit = s->calls * 10 + 5000};
    s->runs++;
    if (!run_once(s->scenario, &plan))
        s->failures++;
    s->met += record->failed > 0;
    return record->failed > 0;
}

static unsigned some_times(struct sweep *s)
{
    return 2 + random_below(&s->random, 1U << random_below(&s->random, 7));
}

static void try_all(struct sweep *s)
{
    for (unsigned n = 1; try(s, n, 1) && s->failures < MOST_FAILURES; n++) {
        if (n % 3 == 0)
            try(s, n, some_times(s));
    }
}

static void try_some(struct sweep *s, unsigned samples)
{
    while (wants_more(s->runs, s->met, samples) && s->failures < MOST_FAILURES) {
        unsigned nth = s->firsts[random_below(&s->random, (uint32_t)s->count)];
        if (random_below(&s->random, 3) == 0)
            nth = 1 + random_below(&s->random, s->allocations);
        try(s, nth, random_below(&s->random, 3) == 0 ? some_times(s) : 1);
    }
}

static bool sweep(const struct scenario *scenario, uint64_t seed)
{
    struct sweep s = {.scenario = scenario, .random = seed};
    if (!run_well(scenario, seed))
        return false;
    take_sites(&s);
    unsigned samples = runs_for_check(scenario->slow ? SLOW_SAMPLES : SAMPLES);
    if (is_long())
        try_all(&s);
    else
        try_some(&s, samples);
    printf("# %s: %zu places, %u allocations; %u runs, and in %u the fault was met\n",
           scenario->name, s.count, s.allocations, s.runs, s.met);
    return s.failures == 0 && met_enough(s.runs, s.met, samples);
}

int main(int argc, char **argv)
{
    return runner_main(argc, argv, sweep, &all_count, LEAST_SITES,
                       "the places that ask for memory");
}
