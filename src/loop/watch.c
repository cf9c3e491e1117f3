/* SPDX-License-Identifier: MIT */
/*
 * A thread of its own looks after each watched loop. The loop says under a lock when it begins with
 * the next callback or task, a *stretch*, and when the turn's last has ended; the watchdog wakes a
 * few times in each limit, and when the stretch that goes on will have taken too long. It then asks
 * for the place where the loop's thread is (trace.h), and reports.
 *
 * What it counts is time in which it could itself have run: where it wakes much later than it
 * wanted to, the process was stopped or the machine is short of processors, and that is not the
 * callback's doing.
 *
 * A watched loop does not go from one task straight to the next (coro/task.h), so that each run of
 * a task is seen. A loop that is not watched pays one branch in a turn for all this.
 */
#include "loop/watch.h"

#include <stdlib.h>
#include <time.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/format.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/time.h"
#include "loop/trace.h"

#ifdef EVERT_DEBUG
#define USUAL_LIMIT (100 * EVERT_MILLISECOND)
#else
#define USUAL_LIMIT 0
#endif

/*
 * How long it takes at the most until the loop's thread has taken the signal, if it can. It is so
 * long for one that has no processor meanwhile; who takes none is seldom, and is told of later.
 */
#define TRACE_TIME EVERT_SECOND

struct evert__watch {
    evert_time limit, started;
    pthread_t watchdog;
    pthread_mutex_t lock; /* for all that follows */
    pthread_cond_t over;
    bool ending;

    bool going_on; /* a stretch: */
    pthread_t runner;
    struct evert__what what;
    evert_time began, stopped; /* and for how long it could not go on, as far as is known */
    evert_time asked;          /* when its place was asked for, or 0 */
    bool reported;
    struct evert__trace trace;
};

int evert__watch_limit(evert_time *ret)
{
    const char *text = secure_getenv("EVERT_WATCH");
    char *end;
    *ret = USUAL_LIMIT;
    if (text == NULL || *text == '\0')
        return 0;
    long long milliseconds = strtoll(text, &end, 10);
    if (*end != '\0' || milliseconds < 0 || milliseconds > INT32_MAX)
        return -EINVAL;
    *ret = milliseconds * EVERT_MILLISECOND;
    return 0;
}

struct evert__trace *evert__watch_trace(const evert_loop *loop)
{
    return loop != NULL && loop->watch != NULL ? &loop->watch->trace : NULL;
}

/* ---- Words ---- */

struct report {
    struct evert__what what;
    evert_time length;
    bool begins; /* else it has ended */
    int count;
    void *frames[EVERT__FRAMES];
};

static const char *words_of(const struct evert__what *what, char words[EVERT__FRAME_WORDS + 200])
{
    char fn[EVERT__FRAME_WORDS];
    if (what->name != NULL)
        evert__format_string(words, EVERT__FRAME_WORDS + 200, "task %s, spawned at %s,", what->name,
                             what->place);
    else
        evert__format_string(words, EVERT__FRAME_WORDS + 200, "callback %s",
                             evert__trace_words(what->fn, fn));
    return words;
}

static void tell(const struct report *r)
{
    char what[EVERT__FRAME_WORDS + 200], frame[EVERT__FRAME_WORDS];
    long long length = r->length / EVERT_MILLISECOND;
    if (!r->begins) {
        evert__log(EVERT_LOG_WARNING, "%s held its loop up for %lld ms", words_of(&r->what, what),
                   length);
        return;
    }
    evert__log(EVERT_LOG_WARNING, "%s has run for %lld ms without waiting, and holds its loop up%s",
               words_of(&r->what, what), length,
               r->count > 0 ? "; it is at" : "; where it is cannot be found out");
    for (int i = 0; i < r->count; i++) /* a return address is behind the call, perhaps outside */
        evert__log(EVERT_LOG_WARNING, "  %s",
                   evert__trace_words((char *)r->frames[i] - (i > 0), frame));
}

/* ---- The stretch; the lock is held ---- */

static evert_time length_of(const struct evert__watch *w, evert_time now)
{
    return now - w->began - w->stopped;
}

/* The first of its two reports, once. */
static bool begin_report(struct evert__watch *w, evert_time now, struct report *ret)
{
    if (w->asked == 0 || w->reported)
        return false;
    w->reported = true;
    ret->what = w->what;
    ret->length = length_of(w, now);
    ret->begins = true;
    ret->count = atomic_load(&w->trace.there) ? w->trace.count : 0;
    for (int i = 0; i < ret->count; i++)
        ret->frames[i] = w->trace.frames[i];
    return true;
}

/* When to look again: often enough to see each stretch begin, and when this one is too long. */
static evert_time next_look(const struct evert__watch *w, evert_time now)
{
    evert_time next = now + w->limit / 4;
    evert_time due = w->asked != 0 ? w->asked + TRACE_TIME : w->began + w->stopped + w->limit;
    if (w->going_on && !w->reported && due < next)
        next = due;
    return next > now ? next : now;
}

/* It wakes at `now`, and wanted to at `wanted`: much later, nothing in this process could run. */
static void note_gap(struct evert__watch *w, evert_time wanted, evert_time now)
{
    if (now - wanted > w->limit / 4)
        w->stopped += now - (w->began > wanted ? w->began : wanted);
}

/* Asks where a stretch is that takes too long, and then reports it. */
static bool look(struct evert__watch *w, evert_time now, struct report *ret)
{
    if (!w->going_on)
        return false;
    if (w->asked == 0 && length_of(w, now) >= w->limit) {
        w->asked = now;
        evert__trace_ask(&w->trace, w->runner);
    }
    bool answered = atomic_load(&w->trace.there) || now >= w->asked + TRACE_TIME;
    return w->asked != 0 && answered && begin_report(w, now, ret);
}

static void *watchdog(void *arg)
{
    struct evert__watch *w = arg;
    struct report report;
    evert_time wanted = w->started;
    pthread_mutex_lock(&w->lock);
    while (!w->ending) {
        evert_time now = evert__clock();
        note_gap(w, wanted, now);
        if (look(w, now, &report)) {
            pthread_mutex_unlock(&w->lock);
            tell(&report);
            pthread_mutex_lock(&w->lock);
        }
        wanted = next_look(w, now);
        struct timespec until = {(time_t)(wanted / EVERT_SECOND), (long)(wanted % EVERT_SECOND)};
        if (!w->ending)
            (void)pthread_cond_timedwait(&w->over, &w->lock, &until);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- In the loop ---- */

/* The stretch has ended, and `next`, if it is not NULL, begins one. */
static void turn_to(struct evert__watch *w, const struct evert__what *next)
{
    struct report first, last;
    pthread_mutex_lock(&w->lock);
    evert_time now = evert__clock();
    bool untold = begin_report(w, now, &first); /* it ended while its place was asked for */
    bool reported = w->reported;
    last = (struct report){.what = w->what, .length = length_of(w, now)};
    w->going_on = next != NULL;
    if (next != NULL)
        w->what = *next;
    w->runner = pthread_self();
    w->began = now;
    w->stopped = w->asked = 0;
    w->reported = false;
    atomic_store(&w->trace.wanted, false);
    pthread_mutex_unlock(&w->lock);
    if (untold)
        tell(&first);
    if (reported)
        tell(&last);
}

void evert__watch_run(evert_loop *loop)
{
    struct evert__link *link;
    while ((link = evert__list_shift(&loop->batch)) != NULL) {
        struct evert__ready *item = EVERT__CONTAINER(link, struct evert__ready, link);
        struct evert__what what = evert__what_is(loop, item);
        turn_to(loop->watch, &what);
        item->run(item);
        if (evert__loop_forked(loop))
            return; /* a child has neither the watchdog nor, perhaps, the lock */
    }
    turn_to(loop->watch, NULL);
}

struct evert__what evert__what_is(const evert_loop *loop, const struct evert__ready *ready)
{
    struct evert__what what = {.fn = evert__handle_fn(ready)};
    if (what.fn == NULL)
        what.fn = (const void *)(uintptr_t)ready->run;
    if (loop->name_task != NULL)
        loop->name_task(ready, &what.name, &what.place);
    return what;
}

static int start(struct evert__watch *w)
{
    pthread_condattr_t monotonic;
    int rc = evert__trace_init();
    if (rc < 0)
        return rc;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->over, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    rc = evert__sys_thread(&w->watchdog, watchdog, w);
    if (rc < 0) {
        pthread_cond_destroy(&w->over);
        pthread_mutex_destroy(&w->lock);
        evert__trace_fini();
    }
    return rc;
}

void evert__watch_start(evert_loop *loop, evert_time limit)
{
    struct evert__watch *w = evert__alloc_zero(sizeof(*w));
    int rc = -ENOMEM;
    if (w != NULL) {
        w->limit = limit;
        w->started = evert__clock();
        rc = start(w);
    }
    if (rc == 0) {
        loop->watch = w;
        loop->eager++;
        return;
    }
    evert__free(w);
    evert__log(EVERT_LOG_WARNING, "a loop is not watched: %s", evert_strerror(rc));
}

void evert__watch_stop(evert_loop *loop)
{
    struct evert__watch *w = loop->watch;
    if (w == NULL)
        return;
    if (!evert__loop_forked(loop)) {
        pthread_mutex_lock(&w->lock);
        w->ending = true;
        pthread_cond_signal(&w->over);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->watchdog, NULL);
        pthread_cond_destroy(&w->over);
        pthread_mutex_destroy(&w->lock);
        evert__trace_fini();
    }
    loop->watch = NULL;
    loop->eager--;
    evert__free(w);
}
