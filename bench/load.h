/* SPDX-License-Identifier: MIT */
/* What the programs that make load share: the clock, memory, numbers, latencies. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "../examples/greeting/plain_address.h"

#include <stdint.h>
#include <time.h>

enum {
    GRACE_SECONDS = 5, /* for the last answers */
    WAKE_NS = 10000,   /* to be woken takes less */
};

static inline uint64_t nanoseconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);

    if (memory == NULL)
        err(1, "memory");
    return memory;
}

static inline double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= least && value <= most))
        errx(2, "%s: not a number from %g to %g", text, least, most);
    return value;
}

/* The processor time that another process has used; 0 for none. */
static inline uint64_t nanoseconds_used(pid_t pid)
{
    struct timespec used = {0};
    clockid_t clock;

    if (pid != 0 && (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0))
        errx(1, "there is no process %d", (int)pid);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/*
 * How long a process, its first thread, could have run and did not, since others had its core; 0
 * for itself. Not counted is the moment that it takes to be woken, each time that it runs; so the
 * value may go back. Nothing where the kernel does not tell.
 */
static inline int64_t nanoseconds_waited(pid_t pid)
{
    unsigned long long ran, waited = 0, times = 0;
    char path[64] = "/proc/self/schedstat";
    FILE *file;

    if (pid != 0)
        snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu %llu", &ran, &waited, &times) != 3)
        waited = times = 0;
    fclose(file);
    return (int64_t)waited - (int64_t)times * WAKE_NS;
}

/* Until another process does next to nothing: what it was given is done. */
static inline void wait_until_idle(pid_t pid)
{
    const struct timespec moment = {0, 500000};
    uint64_t before, used = nanoseconds_used(pid), began = nanoseconds_now();

    do {
        before = used;
        nanosleep(&moment, NULL);
        used = nanoseconds_used(pid);
    } while (used > before + 20000 &&
             nanoseconds_now() < began + (uint64_t)GRACE_SECONDS * 1000000000);
}

/* A histogram: 64 steps for each power of two nanoseconds, so within 1.6 %. */
struct latencies {
    uint64_t count, steps[64 * 64];
};

static inline void add_latency(struct latencies *l, uint64_t ns)
{
    unsigned exponent = 63 - (unsigned)__builtin_clzll(ns | 64);

    l->steps[(size_t)exponent * 64 + (ns >> (exponent - 6) & 63)]++;
    l->count++;
}

static inline void clear_latencies(struct latencies *l)
{
    *l = (struct latencies){0};
}

static inline void add_latencies(struct latencies *to, const struct latencies *l)
{
    for (unsigned step = 0; step < 64 * 64; step++)
        to->steps[step] += l->steps[step];
    to->count += l->count;
}

static inline double latency_us(const struct latencies *l, double share)
{
    uint64_t left = (uint64_t)((double)l->count * share);
    unsigned step = 0, exponent;

    if (l->count == 0)
        return 0;
    while (step < 64 * 64 - 1 && l->steps[step] <= left)
        left -= l->steps[step++];
    exponent = step / 64;
    return exponent < 6 ? 0 : (double)((64 + (uint64_t)step % 64) << (exponent - 6)) / 1000;
}

#endif
