/* SPDX-License-Identifier: MIT */
/*
 * The event loop, or reactor: it waits for descriptors, timers and other threads, and runs what is
 * ready, turn by turn. Most programs never name one: evert_run() and the blocking mode bring their
 * own.
 *
 * A loop belongs to the thread that runs it first. From another only these calls may be made:
 * evert_loop_call_threadsafe(), evert_loop_stop_threadsafe(), evert_loop_hold() and
 * evert_loop_release(), and evert_loop_free() once its own thread has done with it. All others, and
 * those of its tasks, streams, transports and Deferreds, are a misuse there: a build with checks
 * stops and says which it was; in others they are EVERT_ECONTEXT, or do nothing, where they can say
 * so.
 *
 * A turn: ask the kernel what happened; see which timers are due; then run exactly what is ready by
 * now. What is added meanwhile runs in the next turn, so nothing can keep the loop to itself.
 */
#ifndef EVERT_LOOP_LOOP_H
#define EVERT_LOOP_LOOP_H

#include <stdint.h>

#include <evert/base/api.h>
#include <evert/base/time.h>

EVERT_BEGIN

typedef struct evert_loop evert_loop;

/* Called by a loop, in its thread. It must not wait. */
typedef void evert_callback(void *arg);

/*
 * A call that a loop is to make, so that it can be cancelled. It lives in your memory, which has to
 * stay where it is until the call was made or cancelled. Zero it before its first use.
 */
typedef struct evert_handle {
    uint64_t opaque[9];
} evert_handle;

/*
 * Makes a loop; yours to free. The environment variable EVERT_BACKEND chooses how it talks to the
 * kernel: epoll (which is also what it does where nothing is said), poll or uring, or adverse and
 * adverse-uring for tests; or several of these with commas between them, of which it takes the
 * first that can be used here. One that is passed over is logged, once in a process, with the
 * reason. Fails with -ENOMEM, -EMFILE, -ENFILE, with -EINVAL for a back end that is not known, and
 * with what io_uring_setup(2) says. Does not wait.
 *
 * A loop may be watched for what holds it up: a callback, or a task that runs without waiting, for
 * longer than the environment variable EVERT_WATCH has milliseconds (100 in builds with checks, 0
 * in others: not watched). It is then reported in the log, once, with the place where it is; and
 * when it has ended, with how long it took. A watched loop has a thread for this, and takes SIGURG
 * until it is freed. A value that is no number is -EINVAL.
 */
EVERT_API EVERT_CHECK int evert_loop_new(evert_loop **ret);

/* The name of the back end that a loop uses, as EVERT_BACKEND has it. Never NULL. */
EVERT_API const char *evert_loop_backend(const evert_loop *loop);

/*
 * Ends a loop. Tasks that still live on it are cancelled and run to their end first; calls not made
 * yet are forgotten. It must not be running. NULL is fine.
 */
EVERT_API void evert_loop_free(evert_loop *loop);

/*
 * Runs turns until evert_loop_stop(). 0 when it was stopped; EVERT_ECONTEXT when this thread runs a
 * loop already, or the loop is another thread's; EVERT_ECLOSED in the child of a fork.
 */
EVERT_API EVERT_CHECK int evert_loop_run(evert_loop *loop);

/*
 * Runs a single turn, which waits for something to happen until `deadline` at the most (0: not at
 * all). Results as of evert_loop_run().
 */
EVERT_API EVERT_CHECK int evert_loop_turn(evert_loop *loop, evert_time deadline);

/* Makes evert_loop_run() return when the turn that is running, or the next one, has ended. */
EVERT_API void evert_loop_stop(evert_loop *loop);

/* The same from another thread or from a signal handler (signal-safety(7)). */
EVERT_API void evert_loop_stop_threadsafe(evert_loop *loop);

/* The loop that runs on this thread, or NULL. */
EVERT_API evert_loop *evert_loop_current(void);

/*
 * Has `fn(arg)` called in the next turn, in the order of the asking. `handle` is borrowed until
 * then; where it is NULL the library makes one of its own, and the call cannot be cancelled. Fails
 * with -ENOMEM (only without a handle) or EVERT_EALREADY (the handle waits for a call already).
 */
EVERT_API int evert_loop_call_soon(evert_loop *loop, evert_handle *handle, evert_callback *fn,
                                   void *arg);

/*
 * Has `fn(arg)` called once `when` has come, never earlier; calls for the same moment come in the
 * order of the asking. EVERT_NEVER is allowed. Handle and errors as above.
 */
EVERT_API int evert_loop_call_at(evert_loop *loop, evert_handle *handle, evert_time when,
                                 evert_callback *fn, void *arg);

/*
 * Takes back a call. Without effect when it was made or cancelled already, or never asked for.
 * Afterwards the handle may be freed or used again.
 */
EVERT_API void evert_handle_cancel(evert_handle *handle);

/*
 * Has `fn(arg)` called by the loop, from any thread; wakes the loop if it sleeps. Calls from one
 * thread come in the order of the asking; none is lost. Fails with -ENOMEM, and with EVERT_ECLOSED
 * where the loop was freed and is held (evert_loop_hold()).
 */
EVERT_API EVERT_CHECK int evert_loop_call_threadsafe(evert_loop *loop, evert_callback *fn,
                                                     void *arg);

/*
 * For a thread that may still want to call a loop when that is freed: evert_loop_free() ends the
 * loop all the same, but its address stays good for the two calls of other threads, and for
 * evert_loop_release(), which is to follow once for each hold. From any thread; the loop must not
 * have been freed yet, or be held already.
 */
EVERT_API void evert_loop_hold(evert_loop *loop);
EVERT_API void evert_loop_release(evert_loop *loop);

/*
 * Has `fn(arg)` called in the loop after each burst of the signal (`signal(7)`); the loop that asks
 * last gets it. Signals that come together may be told once. Fails with -EINVAL, -ENOMEM. Changes
 * the process's disposition of that signal until evert_loop_unwatch_signal().
 */
EVERT_API EVERT_CHECK int evert_loop_watch_signal(evert_loop *loop, int signal_number,
                                                  evert_callback *fn, void *arg);

/* Stops watching and gives the signal back the disposition that it had. */
EVERT_API void evert_loop_unwatch_signal(evert_loop *loop, int signal_number);

/* The time of the running turn, which is one until its end; outside a loop, the time now. */
EVERT_API evert_time evert_now(void);

EVERT_END

#endif
