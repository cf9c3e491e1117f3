/* SPDX-License-Identifier: MIT */
/*
 * Watching a loop for what holds it up: a callback, or a run of a task, that takes longer than a
 * limit. Asked for by EVERT_WATCH; see loop.h (public) and docs/internals/watch.md.
 */
#ifndef EVERT_SRC_LOOP_WATCH_H
#define EVERT_SRC_LOOP_WATCH_H

#include "loop/loop.h"

/* How long a callback may take, by EVERT_WATCH; 0: not watched. -EINVAL: that is no number. */
int evert__watch_limit(evert_time *ret);

/* Watches the loop from now on. What that needs and cannot have is logged, and does no harm. */
void evert__watch_start(evert_loop *loop, evert_time limit);
void evert__watch_stop(evert_loop *loop);

/* Runs what is left of this turn's part of the ready queue, watched. */
void evert__watch_run(evert_loop *loop);

/* Where the handler of the signal is to put what it finds; NULL for a loop that is not watched. */
struct evert__trace *evert__watch_trace(const evert_loop *loop);

/* What a thing on the ready queue is, to be asked before it runs: it may be gone afterwards. */
struct evert__what {
    const char *name, *place; /* of a task; NULL for a callback */
    const void *fn;           /* that is called, for a callback */
};
struct evert__what evert__what_is(const evert_loop *loop, const struct evert__ready *ready);

/* The function that a public call asked for; NULL for what the library put there itself. */
const void *evert__handle_fn(const struct evert__ready *ready);

#endif
