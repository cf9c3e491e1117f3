/* SPDX-License-Identifier: MIT */
/*
 * Threads for work that cannot but block, such as looking up a name. A job is on the heap and owns
 * all that it touches, so that it can be abandoned: whoever waits goes on at once, and the job is
 * discarded when its work has come to an end.
 */
#ifndef EVERT_SRC_LOOP_WORKER_H
#define EVERT_SRC_LOOP_WORKER_H

#include "loop/loop.h"

struct evert__job {
    void (*work)(struct evert__job *job);    /* in a worker; may block */
    void (*done)(struct evert__job *job);    /* in the loop, unless it was abandoned */
    void (*discard)(struct evert__job *job); /* frees it; the last call of all, in any thread */
    struct evert__ready ready;
    struct evert__link link; /* queued, or else among the others */
    struct evert__workers *workers;
    bool queued, posted, abandoned;
};

struct evert__workers;

/* At most `most` threads, which start when there is work and end when there was none for `idle`. */
int evert__workers_new(evert_loop *loop, unsigned most, evert_time idle,
                       struct evert__workers **ret);

/*
 * Abandons all jobs and waits until the threads have ended altogether. For a call that blocks it
 * waits no longer than `limit` nanoseconds; its thread then discards the job, and itself, later. In
 * a child of a fork, which has no threads, there is nothing to wait for, and what they worked on is
 * left as it was.
 */
void evert__workers_free(struct evert__workers *workers, evert_time limit);

/*
 * Those that a loop has as one of its parts, made when first asked for. Their threads stay for some
 * seconds without work; freeing the loop waits a little for what blocks.
 */
int evert__workers_of(evert_loop *loop, enum evert__part_kind part, unsigned most,
                      struct evert__workers **ret);

/*
 * Hands a job to a worker. On failure the job is the caller's still: where no thread can be had and
 * none is there, and with EVERT_ECLOSED in a child of a fork.
 */
int evert__job_start(struct evert__workers *workers, struct evert__job *job);

/* Takes a job back that no thread has begun. True: it is the caller's again. Not in a child. */
bool evert__job_take_back(struct evert__job *job);

/* `done` will not be called any more; the job is no longer the caller's. */
void evert__job_abandon(struct evert__job *job);

#endif
