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

#include <stdbool.h>

#include <evert/base/time.h>
#include <evert/coro/coro.h>

EVERT_BEGIN

/* How to run; zero it first: zeroes ask for nothing unusual. */
typedef struct evert_run_options {
    evert_time drain; /* how long servers may finish after the first signal; default 0 */
    int *ret_signal;  /* where to put the signal that ended the run, 0 if none did; or NULL */
    /*
     * On many cores: a connection is served on the core that its packets come in on, as far as a
     * thread runs there (SO_INCOMING_CPU, socket(7)). For network cards that spread them.
     */
    bool steer;
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
 * The same on so many cores at once: `fn(arg)` is the main task of a loop of its own on each of so
 * many threads, which share nothing but what `arg` points to. EVERT_ALL_CORES: as many as this
 * process may use, and each thread stays on its own. This thread is the first of them. A TCP
 * address that several of them listen on is shared (SO_REUSEPORT, socket(7)): the kernel gives each
 * new connection to one of them. So a server for one core, unchanged, serves on all. (Port 0 is
 * another port for each.)
 *
 * Returns when all have ended: what the first that failed returned, which ends the others as a
 * signal does, or 0. A signal ends all.
 *
 * Loops on different threads reach each other by evert_loop_call_threadsafe() (loop.h).
 */
#define evert_run_on(cores, fn, arg) evert_run_on_at((cores), (fn), (arg), NULL, #fn, EVERT_PLACE)
EVERT_API int evert_run_on_at(unsigned cores, evert_fn *fn, void *arg,
                              const evert_run_options *options, const char *name,
                              const char *place);
#define EVERT_ALL_CORES (~0U)

/* evert_run_on() with options, which are borrowed for the call. */
#define evert_run_on_with(cores, options, fn, arg) \
    evert_run_on_at((cores), (fn), (arg), (options), #fn, EVERT_PLACE)

/* Which of the threads of evert_run_on() this is, from 0 on; elsewhere 0. */
EVERT_API unsigned evert_core(void);

/*
 * A whole program: evert_run(), and then what main() is to return. A failure is told on standard
 * error (as evert_describe() has it) and gives 1; an end by SIGTERM 0, by SIGINT 130; success 0.
 */
#define evert_main(fn, arg) evert_main_at((fn), (arg), #fn, EVERT_PLACE)
EVERT_API int evert_main_at(evert_fn *fn, void *arg, const char *name, const char *place);

/* The same on so many cores: evert_run_on(). */
#define evert_main_on(cores, fn, arg) evert_main_on_at((cores), (fn), (arg), #fn, EVERT_PLACE)
EVERT_API int evert_main_on_at(unsigned cores, evert_fn *fn, void *arg, const char *name,
                               const char *place);

EVERT_END

#endif
