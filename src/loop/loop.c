/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "base/sys_flat.h"
#include "base/time.h"
#include "loop/watch.h"

#include <evert/base/error.h>

#define BETWEEN_WORDS (10 * EVERT_SECOND)

/*
 * This thread's loops: the one that runs now, and its own, for waiting outside of any. They are
 * read by a signal handler too, so they must be there without the dynamic linker's help.
 */
_Thread_local evert_loop *evert__running;
static _Thread_local evert_loop *own __attribute__((tls_model("initial-exec")));

_Thread_local char evert__thread;

/* Not of a loop from before a fork: that is told otherwise. */
int evert__loop_used_by_another(const evert_loop *loop, const char *call, const char *instead)
{
    if (evert__loop_forked(loop))
        return 0;
    evert__misuse("%s: the loop belongs to another thread%s%s", call,
                  instead != NULL ? "; use " : "", instead != NULL ? instead : "");
    return EVERT_ECONTEXT;
}

EVERT__RETURNS __attribute__((noinline)) evert_loop *evert__loop_running(void)
{
    return evert__running;
}

EVERT__RETURNS evert_loop *evert_loop_current(void)
{
    return evert__running;
}

int evert_loop_new(evert_loop **ret)
{
    evert_time limit;
    if (evert__watch_limit(&limit) < 0) {
        evert__log(EVERT_LOG_ERROR, "EVERT_WATCH is no number of milliseconds");
        return -EINVAL;
    }
    evert_loop *loop = evert__alloc_zero(sizeof(*loop));
    if (loop == NULL)
        return -ENOMEM;
    evert__list_init(&loop->ready);
    evert__list_init(&loop->batch);
    evert__list_init(&loop->unsorted);
    evert__list_init(&loop->flush);
    evert__list_init(&loop->closed);
    evert__list_init(&loop->servers);
    evert__list_init(&loop->watches);
    evert__list_init(&loop->transports);
    evert__list_init(&loop->farewells);

    int rc = evert__fork_guard(&loop->birth);
    if (rc == 0)
        rc = evert__backend_init(loop);
    if (rc == 0) {
        rc = evert__wake_init(loop);
        if (rc < 0)
            loop->backend->fini(loop);
    }
    if (rc < 0) {
        evert__free(loop);
        return rc;
    }
    if (limit > 0)
        evert__watch_start(loop, limit);
    atomic_init(&loop->holds, 1);
    evert__near_init(&loop->near);
    evert__alarm_init(loop);
    loop->now = evert__clock();
    loop->memory_told = INT64_MIN;
    evert__loops_add(loop);
    *ret = loop;
    return 0;
}

bool evert__loop_may_tell(const evert_loop *loop, evert_time *told)
{
    if (*told >= loop->now - BETWEEN_WORDS)
        return false;
    *told = loop->now;
    return true;
}

EVERT__HOT static void let_go_of_closed(evert_loop *loop)
{
    struct evert__link *link;
    while ((link = evert__list_shift(&loop->closed)) != NULL) {
        struct evert__fd *fd = EVERT__CONTAINER(link, struct evert__fd, link);
        fd->closed(fd);
    }
}

EVERT__HOT void evert__ready_push(evert_loop *loop, struct evert__ready *ready)
{
    if (!evert__link_used(&ready->link))
        evert__list_append(&loop->ready, &ready->link);
}

void evert__loop_end_servers(evert_loop *loop)
{
    loop->ending = true;
    evert__run_all(&loop->servers);
}

/* Lets all come to its end that is on its way. */
static void finish(evert_loop *loop)
{
    evert__run_all(&loop->transports);
    while (loop->busy > 0 && evert__loop_begin(loop) == 0) {
        (void)evert__loop_turn(loop, EVERT_NEVER);
        evert__loop_end(loop);
    }
    evert__run_all(&loop->farewells); /* whatever they still waited for */
    let_go_of_closed(loop);
}

void evert_loop_free(evert_loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->running) {
        evert__misuse("evert_loop_free: the loop is running");
        return;
    }
    atomic_store(&loop->thread, NULL); /* its own may have ended: now it is this thread's */
    evert_loop *outer = evert__running;
    evert__running = NULL; /* where this is a callback or a task of another loop, that one waits */
    loop->leaving = true;
    /* From the highest layer down: tasks end while all that they use is still there. */
    for (int i = 0; i < EVERT__PARTS; i++) {
        struct evert__part *part = loop->parts[i];
        if (part != NULL)
            part->fini(part, loop);
        loop->parts[i] = NULL;
        finish(loop);
    }
    evert__loops_remove(loop);
    evert__handles_forget(loop);
    evert__signals_forget(loop);
    evert__watch_stop(loop);
    evert__wake_stop(loop);
    evert__alarm_stop(loop);
    loop->backend->fini(loop);
    evert__alarm_fini(loop);
    evert__heap_fini(&loop->timers);
    if (own == loop)
        own = NULL;
    evert_loop_release(loop);
    evert__running = outer;
}

void evert_loop_hold(evert_loop *loop)
{
    atomic_fetch_add(&loop->holds, 1);
}

void evert_loop_release(evert_loop *loop)
{
    if (atomic_fetch_sub(&loop->holds, 1) > 1)
        return;
    evert__wake_fini(loop);
    evert__free(loop);
}

/* Most turns of most loops come without: nothing is called for them. */
static bool has_timers(const evert_loop *loop)
{
    return evert__heap_first(&loop->timers) != NULL || !evert__list_empty(&loop->unsorted);
}

static evert_time next_timer(const evert_loop *loop)
{
    return has_timers(loop) ? evert__timers_next(loop) : EVERT_NEVER;
}

/* The time now. True: exactly, by the clock itself, as it has to be where `next` is soon. */
static inline bool tell_time(evert_loop *loop, evert_time next, evert_time *ret)
{
    if (evert__near_now(&loop->near, ret) && next >= *ret + EVERT_MILLISECOND)
        return false;
    *ret = evert__near_read(&loop->near);
    return true;
}

static evert_time time_to_wait(evert_loop *loop, evert_time deadline)
{
    if (!evert__list_empty(&loop->ready) || loop->stopped)
        return 0;
    /* Written or closed outside of a turn: its end sees to that, so it must come. */
    if (!evert__list_empty(&loop->flush) || !evert__list_empty(&loop->closed))
        return 0;
    evert_time next = next_timer(loop), now;
    if (next > deadline)
        next = deadline;
    if (next == EVERT_NEVER)
        return EVERT_NEVER;
    if (loop->alarm.when <= next)
        return EVERT_NEVER;
    (void)tell_time(loop, next, &now);
    if (next <= now)
        return 0;
    return evert__alarm_is_better(loop, next) ? EVERT_NEVER : next - now;
}

bool evert__loop_single_turn(evert_loop *loop, evert_time deadline)
{
    loop->single = true;
    bool goes_on = evert__loop_turn(loop, deadline);
    loop->single = false;
    return goes_on;
}

/* What is left of it where something forked, and this is the child, is the parent's. */
static inline void run_batch(evert_loop *loop)
{
    struct evert__link *link;
    while (!evert__loop_forked(loop) && (link = evert__list_shift(&loop->batch)) != NULL) {
        struct evert__ready *item = EVERT__CONTAINER(link, struct evert__ready, link);
        item->run(item);
    }
}

/* By short turns: there is nothing to do that only the end of a turn does. */
static bool may_be_followed(const evert_loop *loop)
{
    return !loop->single && !loop->stopped && evert__list_empty(&loop->closed);
}

/* Whether all that ran since the turn began took so little that the kernel need not be asked. */
static bool is_short(evert_loop *loop)
{
    evert_time now;
    (void)tell_time(loop, EVERT_NEVER, &now);
    return now - loop->now < EVERT__SHORT;
}

/* All the runs that there may be are over, and were that short. */
static bool was_short(evert_loop *loop)
{
    return loop->runs_left <= 0 && may_be_followed(loop) && !evert__list_empty(&loop->ready) &&
           is_short(loop);
}

bool evert__loop_has_nobody_else(evert_loop *loop)
{
    return loop->runs_left > 0 && evert__list_empty(&loop->batch) &&
           evert__list_empty(&loop->ready) && is_short(loop);
}

/* False in a child. */
static inline bool run(evert_loop *loop)
{
    evert__list_splice(&loop->batch, &loop->ready);
    if (loop->watch == NULL)
        run_batch(loop);
    else
        evert__watch_run(loop);
    if (evert__loop_forked(loop))
        return false;
    evert__loop_flush(loop);
    return true;
}

/*
 * Who is told of the end of what was closed is told in a short turn of their own, which comes at
 * once: for that the kernel need not be asked. The others wait until it was.
 */
EVERT__HOT static bool end_closed(evert_loop *loop)
{
    struct evert__link others;

    evert__list_init(&others);
    evert__list_splice(&others, &loop->ready);
    let_go_of_closed(loop);
    bool is_followed = may_be_followed(loop) && !evert__list_empty(&loop->ready);
    bool goes_on = !is_followed || run(loop);
    evert__list_splice(&others, &loop->ready);
    evert__list_splice(&loop->ready, &others);
    return goes_on;
}

static inline bool turn(evert_loop *loop, evert_time deadline)
{
    loop->backend->wait(loop, time_to_wait(loop, deadline));
    loop->now_is_read = tell_time(loop, next_timer(loop), &loop->now);
    if (has_timers(loop))
        evert__timers_expire(loop);
    do {
        loop->runs_left = may_be_followed(loop) ? EVERT__RUNS : 0;
        if (!run(loop))
            return false;
    } while (was_short(loop));
    return evert__list_empty(&loop->closed) || end_closed(loop);
}

EVERT__HOT bool evert__loop_turns(evert_loop *loop, evert_time deadline, const bool *enough)
{
    bool goes_on;
    do
        goes_on = turn(loop, deadline);
    while (goes_on && !loop->stopped && !*enough);
    return goes_on;
}

bool evert__loop_turn(evert_loop *loop, evert_time deadline)
{
    static const bool enough = true;
    return evert__loop_turns(loop, deadline, &enough);
}

int evert__loop_may_begin(const evert_loop *loop)
{
    if (evert__loop_forked(loop))
        return EVERT_ECLOSED;
    if (evert__loop_usable(loop, "running a loop", NULL) < 0)
        return EVERT_ECONTEXT;
    /* In a child that a callback made, the parent's loop stands further down on the stack. */
    if (loop->running || (evert__running != NULL && !evert__loop_forked(evert__running)))
        return EVERT_ECONTEXT;
    return 0;
}

int evert__loop_begin(evert_loop *loop)
{
    int rc = evert__loop_may_begin(loop);
    if (rc == 0) {
        loop->running = true;
        atomic_store_explicit(&loop->thread, evert__thread_here(), memory_order_relaxed);
        evert__running = loop;
    }
    return rc;
}

void evert__loop_end(evert_loop *loop)
{
    loop->running = false;
    evert__running = NULL;
}

/* A callback may have forked: then this is the child, which came back into its parent's loop. */
static int end_run(evert_loop *loop)
{
    loop->stopped = false;
    evert__loop_end(loop);
    return evert__loop_forked(loop) ? EVERT_ECLOSED : 0;
}

int evert_loop_run(evert_loop *loop)
{
    static const bool never = false;
    int rc = evert__loop_begin(loop);
    if (rc < 0)
        return rc;
    (void)evert__loop_turns(loop, EVERT_NEVER, &never);
    return end_run(loop);
}

int evert_loop_turn(evert_loop *loop, evert_time deadline)
{
    int rc = evert__loop_begin(loop);
    if (rc < 0)
        return rc;
    (void)evert__loop_single_turn(loop, deadline);
    return end_run(loop);
}

void evert_loop_stop(evert_loop *loop)
{
    if (evert__loop_usable(loop, "evert_loop_stop", "evert_loop_stop_threadsafe") == 0)
        evert__loop_stop(loop);
}

EVERT__RETURNS evert_time evert_now(void)
{
    evert_loop *loop = evert__running;
    if (loop == NULL)
        return evert__clock();
    if (!loop->now_is_read) {
        loop->now = evert__near_read(&loop->near);
        loop->now_is_read = true;
    }
    return loop->now;
}

static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void free_own(void *loop)
{
    if (!evert__loop_forked(loop) && !((evert_loop *)loop)->running)
        evert_loop_free(loop);
}

static void make_own_key(void)
{
    (void)pthread_key_create(&own_key, free_own);
}

/* Threads other than the one that ends the process have freed theirs by their key. */
__attribute__((destructor)) static void free_own_at_exit(void)
{
    if (own != NULL)
        free_own(own);
}

int evert__loop_own(evert_loop **ret)
{
    if (own == NULL || evert__loop_forked(own)) {
        own = NULL; /* after a fork: the parent's, of which nothing may be touched */
        int rc = evert_loop_new(&own);
        if (rc < 0)
            return rc;
        pthread_once(&own_once, make_own_key);
        (void)pthread_setspecific(own_key, own);
    }
    *ret = own;
    return 0;
}

bool evert__loop_is_own(const evert_loop *loop)
{
    return own == loop;
}

int evert__loop_or_here(evert_loop **loop)
{
    if (*loop != NULL)
        return evert__loop_usable(*loop, "a call with a loop", "evert_loop_call_threadsafe");
    *loop = evert__running;
    return *loop != NULL ? 0 : evert__loop_own(loop);
}
