/* SPDX-License-Identifier: MIT */
/*
 * Chance that can be repeated: a randomised test takes its seed from EVERT_SEED, or from the clock,
 * and when it fails it says the seed and the command that runs it again.
 */
#ifndef EVERT_TESTS_BASE_SEED_H
#define EVERT_TESTS_BASE_SEED_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static inline uint64_t seed_new(void)
{
    const char *given = getenv("EVERT_SEED");
    struct timespec now;
    if (given != NULL)
        return strtoull(given, NULL, 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
}

/* splitmix64 */
static inline uint64_t random_next(uint64_t *random)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static inline uint32_t random_below(uint64_t *random, uint32_t below)
{
    return (uint32_t)(random_next(random) >> 32) % below;
}

/* Fails the test with what is wrong, unless that is NULL. */
static inline void assert_held(const char *problem, uint64_t seed)
{
    const char *backend = getenv("EVERT_BACKEND");
    if (problem == NULL)
        return;
    print_error("%s\nto repeat: EVERT_SEED=%" PRIu64 " EVERT_BACKEND=%s %s\n", problem, seed,
                backend != NULL ? backend : "", program_invocation_name);
    fail();
}

#endif
