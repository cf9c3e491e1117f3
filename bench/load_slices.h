/* SPDX-License-Identifier: MIT */
/*
 * Loads for several servers in turn, so that what the machine does besides falls on all of them.
 *
 * A machine whose cores are shared gains and loses a fifth of its speed within seconds. Servers
 * that are measured one after the other, each for long, differ by that. Here all of them run at
 * once, each with its connections, and the load goes from one to the next: a slice of time for
 * each, some twenty milliseconds, in which the others have nothing to do and wait. A set is a slice
 * of each of them, and gives their ratio; the order goes back and forth from set to set (of two
 * servers: AB BA BA AB ...), so that nobody is always the first. A slice begins with some
 * milliseconds that do not count, in which caches fill, and ends when all is answered.
 *
 * Of each slice a line of JSON is printed: the server, by its place among the addresses, its
 * requests, their time, what processor time its process has used, how long it and the load waited
 * for their cores since others had them, and the latencies.
 */
#ifndef BENCH_LOAD_SLICES_H
#define BENCH_LOAD_SLICES_H

#include "load.h"

#include <getopt.h>
#include <inttypes.h>

enum {
    MOST_SERVERS = 64,
    WARM_MS = 3,
    MOST_WARM_MS = 2000,
    STEP_NS = 1000000, /* from one look whether there is enough to the next */
};

/* A load for one server; the functions are the same for all of them. */
struct subject {
    void *load;
    pid_t pid;                               /* of the server; 0: not known */
    void (*begin)(void *load, double rate);  /* 0: as fast as the server can */
    bool (*go_on)(void *load, uint64_t end); /* false: what came was wrong, and it is no use */
    void (*rest)(void *load);                /* until nothing is to come */
    double (*requests)(void *load);
    double cycle;                /* requests by which each connection had its turn */
    struct latencies *latencies; /* counted from when they are cleared; or NULL */
    struct latencies all;        /* of all slices */
};

struct slicing {
    unsigned servers, sets, paced_sets; /* as fast as they can; at the rate */
    double seconds, rate;
    char **addresses;
    pid_t pids[MOST_SERVERS];
    unsigned pid_count;
};

/* An option whose `name`, as getopt_long() gives it, is one of S, P, s, r, p. */
static inline void read_slicing(struct slicing *s, int name)
{
    if (name == 'S')
        s->sets = (unsigned)number(optarg, 0, 99999);
    else if (name == 'P')
        s->paced_sets = (unsigned)number(optarg, 0, 99999);
    else if (name == 's')
        s->seconds = number(optarg, 0.001, 86400);
    else if (name == 'r')
        s->rate = number(optarg, 1, 1e9);
    else if (name == 'p' && s->pid_count < MOST_SERVERS)
        s->pids[s->pid_count++] = (pid_t)number(optarg, 1, INT32_MAX);
    else if (name == '?')
        exit(2);
}

static inline void read_addresses(struct slicing *s, int count, char **addresses)
{
    s->addresses = addresses;
    s->servers = (unsigned)count;
    if (count < 1 || count > MOST_SERVERS)
        errx(2, "from one to %d ADDRESSES are needed", MOST_SERVERS);
    if (count > 1 && s->sets + s->paced_sets == 0)
        errx(2, "several servers are asked in sets");
    if (s->paced_sets > 0 && s->rate == 0)
        errx(2, "paced sets need a rate");
}

/* The caches fill, and where the server is asked without pause, each connection has its turn. */
static inline void warm_up(struct subject *s, bool is_paced)
{
    const double first = s->requests(s->load);
    const uint64_t began = nanoseconds_now();
    uint64_t now = began + (uint64_t)WARM_MS * 1000000;
    bool is_right;

    is_right = s->go_on(s->load, now);
    while (is_right && !is_paced && s->requests(s->load) < first + s->cycle &&
           (now = nanoseconds_now()) < began + (uint64_t)MOST_WARM_MS * 1000000)
        is_right = s->go_on(s->load, now + STEP_NS);
}

/* However slow the machine is, something is answered: the time is as long as that takes. */
static inline void go_on_for(struct subject *s, double seconds)
{
    const double first = s->requests(s->load);
    const uint64_t began = nanoseconds_now();
    bool is_right = s->go_on(s->load, began + (uint64_t)(seconds * 1e9));

    while (is_right && s->requests(s->load) == first &&
           nanoseconds_now() < began + (uint64_t)GRACE_SECONDS * 1000000000)
        is_right = s->go_on(s->load, nanoseconds_now() + STEP_NS);
}

static inline void print_latencies(const struct latencies *l)
{
    printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f", latency_us(l, 0.5),
           latency_us(l, 0.99), latency_us(l, 0.999));
}

static inline int64_t waited_by_both(const struct subject *s)
{
    return nanoseconds_waited(0) + (s->pid != 0 ? nanoseconds_waited(s->pid) : 0);
}

static inline void run_slice(struct subject *s, unsigned which, double seconds, double rate,
                             bool is_warmed)
{
    double requests;
    uint64_t began, ended, used;
    int64_t waited;

    if (is_warmed) {
        s->begin(s->load, rate);
        warm_up(s, rate > 0);
    }
    if (s->latencies != NULL)
        clear_latencies(s->latencies);
    requests = s->requests(s->load);
    waited = waited_by_both(s);
    used = nanoseconds_used(s->pid);
    began = nanoseconds_now();
    if (!is_warmed)
        s->begin(s->load, rate);
    go_on_for(s, seconds);
    ended = nanoseconds_now();
    used = nanoseconds_used(s->pid) - used;
    requests = s->requests(s->load) - requests;
    waited = waited_by_both(s) - waited;
    s->rest(s->load);
    printf("{\"server\": %u, \"rate\": %.0f, \"requests\": %.3f, \"seconds\": %.6f, "
           "\"per_second\": %.3f, \"cpu_ns\": %" PRIu64 ", \"waited_ns\": %" PRId64,
           which, rate, requests, (double)(ended - began) / 1e9,
           requests / (double)(ended - began) * 1e9, used, waited > 0 ? waited : 0);
    if (s->latencies != NULL) {
        print_latencies(s->latencies);
        add_latencies(&s->all, s->latencies);
    }
    puts("}");
}

/* Who is the k-th in a set. */
static inline unsigned in_turn(unsigned set, unsigned k, unsigned count)
{
    const bool is_back = __builtin_parity(set) != 0;
    const unsigned shift = count > 2 ? set : 0; /* of two, to go back is to shift */

    return ((is_back ? count - 1 - k : k) + shift) % count;
}

static inline void run_sets(struct subject *subjects, unsigned count, unsigned sets, double seconds,
                            double rate)
{
    for (unsigned set = 0; set < sets; set++)
        for (unsigned k = 0; k < count; k++) {
            unsigned which = in_turn(set, k, count);
            run_slice(&subjects[which], which, seconds, rate, true);
        }
}

/* Without sets it is a single slice, at the rate if there is one, and all of it counts. */
static inline void run_slices(struct subject *subjects, unsigned count, const struct slicing *s)
{
    if (s->sets == 0 && s->paced_sets == 0) {
        run_slice(&subjects[0], 0, s->seconds, s->rate, false);
        return;
    }
    run_sets(subjects, count, s->sets, s->seconds, 0);
    run_sets(subjects, count, s->paced_sets, s->seconds, s->rate);
}

/* The last line: the errors, and of each server the latency of one in a thousand of all slices. */
static inline void print_end(const struct subject *subjects, unsigned count, uint64_t errors)
{
    printf("{\"errors\": %" PRIu64 ", \"p999_us\": [", errors);
    for (unsigned i = 0; i < count; i++)
        printf("%s%.1f", i == 0 ? "" : ", ", latency_us(&subjects[i].all, 0.999));
    puts("]}");
}

#endif
