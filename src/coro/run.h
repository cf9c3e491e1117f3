/* SPDX-License-Identifier: MIT */
/* A run of a main task on one thread: what evert_run() and each core of evert_run_on() do. */
#ifndef EVERT_SRC_CORO_RUN_H
#define EVERT_SRC_CORO_RUN_H

#include <evert/coro/run.h>

#include "coro/task.h"

struct evert__run {
    evert_loop *loop; /* this thread's own */
    struct evert__task *main;
    struct evert__timer drained;
    evert_time drain;
};

void evert__run_init(struct evert__run *run, evert_time drain);

/* Runs the main task and all that it leaves behind to the end. Gives its result. */
int evert__run_here(struct evert__run *run, evert_fn *fn, void *arg, const char *name,
                    const char *place);

/* Has it end: servers stop accepting, and when their time is over the main task is cancelled. */
void evert__run_end(struct evert__run *run);

enum { EVERT__MOST_CORES = 1024 };

/* The runs on the other threads of evert_run_on(), and the one on this, their first. */
struct evert__cores;

int evert__cores_new(struct evert__cores **ret, unsigned count, const evert_run_options *options);
void evert__cores_free(struct evert__cores *cores);

/* Runs fn(arg) on each to the end. The first failure; -ECANCELED where some were cut; or 0. */
int evert__cores_run(struct evert__cores *cores, evert_loop *loop, evert_fn *fn, void *arg,
                     const char *name, const char *place);

/* Has all of them end. */
void evert__cores_end(struct evert__cores *cores);

#endif
