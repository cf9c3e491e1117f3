/* SPDX-License-Identifier: MIT */
/*
 * What is to go wrong in one run, and what the run was seen to do. The record is shared between the
 * process that plans and the one that runs.
 */
#ifndef EVERT_TESTS_SWEEP_PLAN_H
#define EVERT_TESTS_SWEEP_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sys.h"

enum fault { FAULT_NONE, FAULT_CALL, FAULT_ALLOCATION };

struct plan {
    enum fault fault;
    enum evert__sys_call call;
    uintptr_t place; /* of the call: its return address, as the program's file has it */
    int64_t answer;  /* what it says; 0: it is made, but transfers at most `most` bytes */
    size_t most;
    unsigned nth, times;  /* from the nth on, so many in a row */
    unsigned span;        /* or for so many milliseconds, when not 0 */
    bool no_advice;       /* besides, each madvise(2) fails */
    uint64_t seed;        /* of the adverse back end */
    unsigned calls_limit; /* more calls than this are a busy spin; 0: no limit */
};

enum { MOST_SITES = 1024, FRAMES = 6 };

/* Where a call is made, or an allocation: then the frames say from where. */
struct site {
    _Atomic uint64_t key; /* 0: there is none here */
    enum evert__sys_call call;
    uintptr_t place;
    uintptr_t frames[FRAMES];
    atomic_uint reached;
    atomic_uint first;   /* of allocations: the number of the first one */
    atomic_bool counter; /* of reads and writes: those of an eventfd */
    atomic_bool filled;
};

struct record {
    struct site failed_at; /* where the first allocation that failed was asked for */
    struct site calls[MOST_SITES], allocations[MOST_SITES];
    atomic_uint asked;         /* calls of any kind */
    atomic_uint allocated;     /* allocations asked for */
    atomic_uint failed;        /* how many of either were made to fail */
    atomic_int live;           /* allocations that were not released */
    atomic_llong mapped;       /* bytes, less those that the plan keeps from being unmapped */
    atomic_bool spun;          /* the limit of calls was passed */
    int descriptors, threads;  /* that were left over */
    int result;                /* of the scenario */
    bool ended, held, signals; /* it returned; all checks held; signals are as before */
};

/* In the process that runs: has the library do what the plan says; and lets it alone again. */
void hooks_arm(const struct plan *plan, struct record *record);
void hooks_disarm(void);

/* "RECV at take_once readiness.c:110"; of an allocation, the frames. */
void site_words(const struct site *site, bool allocation, char *words, size_t size);

#endif
