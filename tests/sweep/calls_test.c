/* SPDX-License-Identifier: MIT */
/*
 * The sweep of system calls. Each scenario is run once, to learn at which places in the library it
 * makes which calls, and how often. Then it is run again and again, and each time a call at one of
 * these places fails: the first time it is made, or the second, or a later time, once, some times
 * in a row, or for a while, with one of the errors that the call may have; or it transfers less
 * than it was asked to. All of that when EVERT_LONG is set, otherwise a sample by EVERT_SEED.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/seed.h"
#include "errnos.h"
#include "runner.h"

enum {
    SAMPLES = 24,      /* of each scenario */
    SLOW_SAMPLES = 4,  /* of a slow one */
    WHILE_MS = 60,     /* how long what goes on for a while does */
    MOST_FAILURES = 5, /* after so many, a scenario is given up */
    LEAST_SITES = 50,  /* fewer places than these cannot be all */
};

struct sweep {
    const struct scenario *scenario;
    uint64_t random;
    bool level; /* the back end asks anew, so EAGAIN may come at any time */
    struct site sites[MOST_SITES];
    size_t count;
    unsigned calls;               /* of any kind, in a run in which nothing goes wrong */
    unsigned runs, met, failures; /* met: the fault was, too */
};

/* The places that any scenario reached. */
static uint64_t all_sites[MOST_SITES];
static size_t all_count;

static void note_site(const struct site *site)
{
    for (size_t i = 0; i < all_count; i++) {
        if (all_sites[i] == site->key)
            return;
    }
    if (all_count < MOST_SITES)
        all_sites[all_count++] = site->key;
}

/* There are calls that do nothing but succeed: clock_gettime(2) is one. */
static bool can_fail(const struct sweep *s, const struct site *site)
{
    return *answers_of(site, s->level) != 0 || may_be_short(site, s->level, s->scenario->is_unix);
}

static void take_sites(struct sweep *s)
{
    s->count = 0;
    s->calls = record->asked;
    for (size_t i = 0; i < MOST_SITES; i++) {
        if (!record->calls[i].filled || !can_fail(s, &record->calls[i]))
            continue;
        note_site(&record->calls[i]);
        if (*answers_of(&record->calls[i], s->level) != 0)
            memcpy(&s->sites[s->count++], &record->calls[i], sizeof(struct site));
    }
}

/* A fault of the site: 0 stands for a short transfer. */
static void try(struct sweep *s, const struct site *site, int answer, unsigned nth, bool lasting)
{
    struct plan plan = {.fault = FAULT_CALL,
                        .call = site->call,
                        .place = site->place,
                        .answer = answer,
                        .nth = nth,
                        .times = 1,
                        .seed = random_next(&s->random) >> 32,
                        .calls_limit = s->calls * 10 + 5000};
    if (answer == 0)
        plan.most = 1 + random_below(&s->random, 1U << random_below(&s->random, 12));
    if (lasting && (answer == 0 || !is_shortage(site->call, answer)))
        plan.times = 2 + random_below(&s->random, 5);
    else if (lasting)
        plan.span = WHILE_MS;
    s->runs++;
    if (!run_once(s->scenario, &plan))
        s->failures++;
    s->met += record->failed > 0;
}

static unsigned later(struct sweep *s, const struct site *site)
{
    return site->reached > 2 ? 3 + random_below(&s->random, site->reached - 2) : site->reached;
}

static void try_all_of(struct sweep *s, const struct site *site, int answer)
{
    unsigned reached = site->reached;
    for (unsigned nth = 1; nth <= 3 && nth <= reached && s->failures < MOST_FAILURES; nth++)
        try(s, site, answer, nth < 3 ? nth : later(s, site), false);
    if (s->failures < MOST_FAILURES)
        try(s, site, answer, 1 + random_below(&s->random, reached), true);
}

static void try_all(struct sweep *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct site *site = &s->sites[i];
        for (const int *answer = answers_of(site, s->level); *answer != 0; answer++)
            try_all_of(s, site, *answer);
        if (may_be_short(site, s->level, s->scenario->is_unix))
            try_all_of(s, site, 0);
    }
}

static void try_one(struct sweep *s, const struct site *site)
{
    int answer = 0;
    unsigned count = 0;
    const int *answers = answers_of(site, s->level);
    while (answers[count] != 0)
        count++;
    bool short_too = may_be_short(site, s->level, s->scenario->is_unix);
    unsigned chosen = random_below(&s->random, count + (short_too ? 2 : 0));
    if (chosen < count)
        answer = answers[chosen];
    unsigned nth = 1 + random_below(&s->random, 3);
    if (nth > site->reached)
        nth = site->reached;
    try(s, site, answer, nth < 3 ? nth : later(s, site), random_below(&s->random, 3) == 0);
}

/* Samples: the sites in an order by chance, so that each is met as often as another. */
static void try_some(struct sweep *s, unsigned samples)
{
    for (unsigned i = 0; wants_more(i, s->met, samples) && s->failures < MOST_FAILURES; i++) {
        size_t left = s->count - i % s->count, at = i % s->count;
        size_t other = at + random_below(&s->random, (uint32_t)left);
        struct site swapped;
        memcpy(&swapped, &s->sites[at], sizeof(swapped));
        memcpy(&s->sites[at], &s->sites[other], sizeof(swapped));
        memcpy(&s->sites[other], &swapped, sizeof(swapped));
        try_one(s, &s->sites[at]);
    }
}

static bool sweep(const struct scenario *scenario, uint64_t seed)
{
    const char *back_end = getenv("EVERT_BACKEND");
    bool level = back_end != NULL && strcmp(back_end, "poll") == 0;
    static struct sweep s;
    s = (struct sweep){.scenario = scenario, .random = seed, .level = level};
    if (!run_well(scenario, seed))
        return false;
    take_sites(&s);
    unsigned samples = runs_for_check(scenario->slow ? SLOW_SAMPLES : SAMPLES);
    if (is_long())
        try_all(&s);
    else
        try_some(&s, samples);
    printf("# %s: %zu places, %u calls; %u runs, and in %u the fault was met\n", scenario->name,
           s.count, s.calls, s.runs, s.met);
    return s.failures == 0 && met_enough(s.runs, s.met, samples);
}

int main(int argc, char **argv)
{
    return runner_main(argc, argv, sweep, &all_count, LEAST_SITES, "the places of calls");
}
