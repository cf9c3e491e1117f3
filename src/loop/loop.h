/* SPDX-License-Identifier: MIT */
/*
 * The loop from the inside. A turn: the back end tells what has happened; timers that are due join
 * the ready queue; what stands in the queue by then is run; what was written is flushed; the closed
 * are let go.
 *
 * A look at the kernel costs more than many runs of tasks do. So where nothing but tasks became
 * ready, short turns follow, which begin with the queue: as many as EVERT__RUNS runs make, and as
 * many again while all of them together took less than EVERT__SHORT. Another follows where one of
 * the closed has somebody to be told of its end.
 */
#ifndef EVERT_SRC_LOOP_LOOP_H
#define EVERT_SRC_LOOP_LOOP_H

#include <evert/loop/loop.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/near.h"
#include "loop/alarm.h"
#include "loop/op.h"

struct evert__task;
struct evert__watch;

/* Something to run, once, in a turn. It is off the queue when `run` is called. */
struct evert__ready {
    struct evert__link link;
    void (*run)(struct evert__ready *ready);
};

/* Something to run when a time has come. Zeroed but for `ready.run` when it is not set. */
struct evert__timer {
    struct evert__ready ready; /* on the ready queue once due */
    struct evert__heap_node node;
    evert_time when;
};

/* State that a higher layer keeps with a loop, made when first needed. */
enum evert__part_kind {
    EVERT__PART_TASKS,
    EVERT__PART_NAMES,
    EVERT__PART_FILES,
    EVERT__PART_PIPES,
    EVERT__PART_CHUNKS,
    EVERT__PART_SPARES,
    EVERT__PARTS
};

struct evert__part {
    void (*fini)(struct evert__part *part, evert_loop *loop); /* frees it */
};

enum { EVERT__RUNS = 128 };
#define EVERT__SHORT (10 * EVERT_MICROSECOND)

struct evert_loop {
    const struct evert__backend *backend;
    void *backend_state;
    _Atomic(const void *) thread; /* whose it is, as evert__thread_here(); NULL until it runs */
    void *adverse;                /* state of the adverse back end that wraps it, or NULL */
    struct evert__watch *watch;   /* where it is watched for what holds it up, or NULL */

    evert_time now;   /* when this turn began, by the counter ... */
    bool now_is_read; /* ... or by the clock */
    bool gathers;     /* much came in this turn: what is sent goes to the kernel in one call */
    struct evert__near near;
    struct evert__link ready;
    struct evert__link batch; /* what is left of this turn's part of it */
    struct evert__heap timers;
    struct evert__link unsorted; /* timers for which the heap had no memory, by their times */
    struct evert__link flush;    /* what to run when a task waits, or at the end of the turn */
    struct evert__link closed;   /* descriptors to let go at the end of the turn */

    struct evert__task *current; /* the task that runs now; NULL in a callback */
    int runs_left;  /* of tasks that may follow one another before the kernel is asked again */
    unsigned eager; /* tasks that run inside of something else, and must come back there; and one
                     * more where the loop is watched, which has to see each run of a task */
    unsigned busy;  /* things on their way that a run, or the loop's end, waits for */
    bool running, stopped;
    bool single;       /* what runs is one turn, and no short ones behind it */
    bool shares_ports; /* what it listens on, others of the process may listen on, too */
    bool steers;       /* and it is to get the connections that come in on `cpu` */
    int cpu;
    bool ending;                   /* the run was told to end: accept no more */
    bool leaving;                  /* its end has come, or the loop's: connect no more */
    unsigned birth;                /* tells a loop of this process from one before a fork */
    struct evert__link servers;    /* what to run when that begins */
    struct evert__link watches;    /* of signals, by the public calls */
    struct evert__link transports; /* what to run when a run, or the loop, comes to its end: ... */
    struct evert__link farewells;  /* ... and the connections being closed: a run waits for them */
    evert_time memory_told;        /* when want of memory was last logged */

    /* For debuggers: see debugger.c. */
    struct evert__link all; /* on the list of all */
    unsigned number;

    struct evert__fd wake_fd;
    struct evert__source wake;
    struct evert__alarm alarm;
    atomic_bool stop_wanted;
    atomic_uint holds;        /* the memory stays until there is none; one is the loop's own */
    pthread_mutex_t lock;     /* for what other threads touch: */
    struct evert__link calls; /* calls that they want made */
    bool ended;               /* none will be made any more */

    struct evert__part *parts[EVERT__PARTS];
    /* For reports: the names of the task that this is, if it is one. */
    void (*name_task)(const struct evert__ready *ready, const char **ret_name,
                      const char **ret_place);
};

/*
 * Runs a turn that waits until `deadline` at the most. The loop must be marked running. False where
 * something in it forked, and this is the child: then the loop is not to be run on.
 */
bool evert__loop_turn(evert_loop *loop, evert_time deadline);

/* The same, again and again, until the loop is stopped or there is enough; at least one. */
bool evert__loop_turns(evert_loop *loop, evert_time deadline, const bool *enough);

/* The same, and no short turns behind it. */
bool evert__loop_single_turn(evert_loop *loop, evert_time deadline);

/* No short turn follows: there is something to do between this one and the next. */
static inline void evert__loop_end_runs(evert_loop *loop)
{
    loop->runs_left = 0;
}

static inline void evert__loop_stop(evert_loop *loop)
{
    loop->stopped = true;
    evert__loop_end_runs(loop);
}

/* Whether a short turn may follow. What was written is on its way by then. */
static inline bool evert__loop_may_go_on(const evert_loop *loop)
{
    return loop->runs_left > 0 && !evert__list_empty(&loop->ready);
}

/*
 * Whether the task that runs may as well go on: nothing else is ready, and the kernel was asked so
 * short a time ago that it need not be asked again.
 */
bool evert__loop_has_nobody_else(evert_loop *loop);

/* Whether the loop may run on this thread now: 0, or why not. */
int evert__loop_may_begin(const evert_loop *loop);

/* Marks the loop as the one that runs on this thread, if it may. */
int evert__loop_begin(evert_loop *loop);
void evert__loop_end(evert_loop *loop);

/*
 * The loop that runs on this thread, or NULL. By the time that a switch of stacks returns the
 * thread may be another, and a compiler that knows where the variable of this thread lies does not
 * look again: who reads it directly is not inlined, and does so before it switches.
 */
extern _Thread_local evert_loop *evert__running __attribute__((tls_model("initial-exec")));
evert_loop *evert__loop_running(void);

/* What tells the threads of this process apart. */
extern _Thread_local char evert__thread __attribute__((tls_model("initial-exec")));

static inline const void *evert__thread_here(void)
{
    return &evert__thread;
}

/*
 * 0 where this thread may use the loop: it is the loop's own, or no thread has run that yet. Else
 * EVERT_ECONTEXT, after a word about `call` (and where `instead` is not NULL, what to call).
 */
int evert__loop_used_by_another(const evert_loop *loop, const char *call, const char *instead);

static inline int evert__loop_usable(const evert_loop *loop, const char *call, const char *instead)
{
    const void *thread = atomic_load_explicit(&loop->thread, memory_order_relaxed);
    if (thread == NULL || thread == evert__thread_here())
        return 0;
    return evert__loop_used_by_another(loop, call, instead);
}

/* This thread's own loop, made when first asked for; freed when the thread ends. */
int evert__loop_own(evert_loop **ret);

bool evert__loop_is_own(const evert_loop *loop);

/* Where *loop is NULL: the one that runs here, or else this thread's own. */
int evert__loop_or_here(evert_loop **loop);

/* To be called before a loop is made; gives the number of the loops of this process. */
int evert__fork_guard(unsigned *ret_birth);
extern atomic_uint *evert__fork_page; /* where that number stands, once there is a loop */

/* The same number; 0 in a child that has made no loop yet. */
static inline unsigned evert__fork_birth(void)
{
    return atomic_load_explicit(evert__fork_page, memory_order_relaxed);
}

/* Whether the loop was inherited over a fork, so that it may not be used here. */
static inline bool evert__loop_forked(const evert_loop *loop)
{
    return __builtin_expect(evert__fork_birth() != loop->birth, 0);
}

/* The list of all loops, from which a debugger finds their tasks. */
extern struct evert__link evert__loops;
void evert__loops_add(evert_loop *loop);
void evert__loops_remove(evert_loop *loop);

/* Guards what the loops of all threads share. A fork waits for it, so a child finds it free. */
void evert__process_lock(void);
void evert__process_unlock(void);

/* Whether to log again what may come up often and was logged at *told (INT64_MIN: never). */
bool evert__loop_may_tell(const evert_loop *loop, evert_time *told);

/* Puts something on the ready queue, unless it is there. */
void evert__ready_push(evert_loop *loop, struct evert__ready *ready);

/* Sets a timer that is not set. Cannot fail. */
void evert__timer_set(evert_loop *loop, struct evert__timer *timer, evert_time when);

static inline bool evert__timer_is_set(const struct evert__timer *timer)
{
    return evert__heap_has(&timer->node) || evert__link_used(&timer->ready.link);
}

/* Of one that is set. */
void evert__timer_take_out(evert_loop *loop, struct evert__timer *timer);

/* Unsets a timer, also one that is due and has not run. Of one that is not set it costs no call. */
static inline void evert__timer_unset(evert_loop *loop, struct evert__timer *timer)
{
    if (evert__timer_is_set(timer))
        evert__timer_take_out(loop, timer);
}

/* The loop's side of timers: when the next is due; moves the due ones to the ready queue. */
evert_time evert__timers_next(const evert_loop *loop);
void evert__timers_expire(evert_loop *loop);

/* Runs all that stands on a list, and what is added to it meanwhile. */
static inline void evert__run_all(struct evert__link *list)
{
    struct evert__link *link;
    while ((link = evert__list_shift(list)) != NULL) {
        struct evert__ready *item = EVERT__CONTAINER(link, struct evert__ready, link);
        item->run(item);
    }
}

/* Runs what asked to be run as soon as the task waits: the flushing of output. */
static inline void evert__loop_flush(evert_loop *loop)
{
    evert__run_all(&loop->flush);
}

/*
 * The same as the last that a function does, in a turn, whose end sees to what the last of them
 * adds. That one goes back to where the function would, which is a level of calls less behind a
 * send (base/flat.h).
 */
static inline void evert__loop_flush_and_return(evert_loop *loop)
{
    struct evert__link *link;
    while ((link = evert__list_shift(&loop->flush)) != NULL) {
        struct evert__ready *item = EVERT__CONTAINER(link, struct evert__ready, link);
        if (evert__list_empty(&loop->flush)) {
            item->run(item);
            return;
        }
        item->run(item);
    }
}

/* The run has been told to end: servers accept no more. */
void evert__loop_end_servers(evert_loop *loop);

/* Frees what the library itself keeps for calls that will not be made any more. */
void evert__handles_forget(evert_loop *loop);

/* Wakes the loop from any thread or signal handler. */
void evert__loop_wake(const evert_loop *loop);

/* Empties an eventfd or a timerfd until it has to be waited for again. */
int evert__counter_empty(struct evert__source *counter);

int evert__wake_init(evert_loop *loop);
void evert__wake_stop(evert_loop *loop); /* the loop is not woken any more; others may still try */
void evert__wake_fini(evert_loop *loop);

/*
 * Adds a call from another thread; `ready` is the caller's, and wakes the loop. EVERT_ECLOSED after
 * evert__calls_close(), which forbids it and leaves what was not made on the list.
 */
int evert__loop_post(evert_loop *loop, struct evert__ready *ready);
void evert__calls_close(evert_loop *loop);

/* Told when a signal came. `once`: the next one after it has the default action again. */
struct evert__signal_watch {
    struct evert__ready ready; /* its `run` is called in the loop */
    int number;
    bool once;
    evert_loop *loop;
};
int evert__signal_watch(evert_loop *loop, struct evert__signal_watch *watch);
void evert__signal_unwatch(struct evert__signal_watch *watch);
void evert__signals_check(evert_loop *loop);
void evert__signals_forget(evert_loop *loop);

#endif
