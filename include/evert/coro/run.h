/* SPDX-License-Identifier: MIT */
/*
 * Running a program in coroutines. Most programs are one call:
 *
 *     int main(int argc, char **argv)
 *     {
 *         return evert_main(serve, argv[1]);
 *     }
 *
 * The calls that wait need none of this: on a thread without a running loop they simply block.
 */
#ifndef EVERT_CORO_RUN_H
#define EVERT_CORO_RUN_H

#include <evert/base/time.h>
#include <evert/coro/coro.h>

EVERT_BEGIN

/* How to run; zero it first: zeroes ask for nothing unusual. */
typedef struct evert_run_options {
    evert_time drain; /* how long servers may finish after the first signal; default 0 */
    int *ret_signal;  /* where to put the signal that ended the run, 0 if none did; or NULL */
} evert_run_options;

/*
 * Runs `fn(arg)` as the main task of a loop on this thread until it and everything it started has
 * ended. Returns its result if that is negative, else 0.
 *
 * Meanwhile SIGPIPE is ignored, a stack overflow is explained before the process dies of it, and
 * the first SIGTERM or SIGINT ends the program in order: servers stop accepting, and the main task
 * is cancelled, whose -ECANCELED then becomes 0 after a SIGTERM. A second one kills. All signals
 * are as before when this returns.
 *
 * EVERT_ECONTEXT when this thread runs a loop already; -ENOMEM, -EMFILE.
 */
#define evert_run(fn, arg) evert_run_at((fn), (arg), NULL, #fn, EVERT_PLACE)
EVERT_API int evert_run_at(evert_fn *fn, void *arg, const evert_run_options *options,
                           const char *name, const char *place);

/* evert_run() with options, which are borrowed for the call. */
#define evert_run_with(options, fn, arg) evert_run_at((fn), (arg), (options), #fn, EVERT_PLACE)

/*
 * A whole program: evert_run(), and then what main() is to return. A failure is told on standard
 * error (as evert_describe() has it) and gives 1; an end by SIGTERM 0, by SIGINT 130; success 0.
 */
#define evert_main(fn, arg) evert_main_at((fn), (arg), #fn, EVERT_PLACE)
EVERT_API int evert_main_at(evert_fn *fn, void *arg, const char *name, const char *place);

EVERT_END

#endif
