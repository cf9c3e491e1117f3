/* SPDX-License-Identifier: MIT */
/*
 * One lock guards the queue, the states of jobs, and whether the loop is still there. A worker
 * posts a finished job to the loop under that lock, so the loop cannot go away in between.
 *
 * The threads are joined, so that nothing of them is left when the pool is freed, not even what the
 * C library keeps for a thread until its very end. A thread that ends joins the one that ended
 * before it, and the pool remembers the last: so at any time there is one at the most to be joined,
 * and joining it is waiting for all. Only a thread that still works when the time limit of freeing
 * is over is forsaken: it detaches itself at its end, and the last of these frees the pool.
 *
 * A child of a fork has the pool but not its threads. One of them may have held the lock at that
 * moment, or have been in the middle of its work. So the child waits neither for the lock nor for
 * the threads, and what it cannot know to be whole it lets lie.
 */
#include "loop/worker.h"

#include <errno.h>
#include <pthread.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/time.h"

struct evert__workers {
    pthread_mutex_t lock;
    pthread_cond_t work, end;
    evert_loop *loop; /* NULL when the loop is done with this */
    struct evert__link queue, others;
    evert_time stay; /* how long a thread without work waits for some */
    unsigned threads, idle, most;
    unsigned working; /* threads that are in the call of a job */
    unsigned waiting; /* jobs in the queue: each is for an idle thread, as far as there are any */
    bool forsaken;    /* nobody will join the threads that are left */
    bool any_ended;   /* then `ended` is the last that did, and is to be joined */
    pthread_t ended;
};

static void destroy(struct evert__workers *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->end);
    evert__free(w);
}

/* For the loop's thread. False: in a child, where the one that has the lock is not there. */
static bool lock_in_loop(struct evert__workers *w)
{
    if (evert__loop_forked(w->loop))
        return pthread_mutex_trylock(&w->lock) == 0;
    pthread_mutex_lock(&w->lock);
    return true;
}

/* In the loop: the work is done. */
static void told(struct evert__ready *ready)
{
    struct evert__job *job = EVERT__CONTAINER(ready, struct evert__job, ready);
    if (lock_in_loop(job->workers)) {
        evert__link_remove(&job->link);
        pthread_mutex_unlock(&job->workers->lock);
    }
    if (!job->abandoned)
        job->done(job);
    job->discard(job);
}

/* Does one job. The lock is held before and after, but not while it works. */
static void do_job(struct evert__workers *w, struct evert__job *job)
{
    job->queued = false;
    evert__list_append(&w->others, &job->link);
    w->working++;
    pthread_mutex_unlock(&w->lock);
    job->work(job);
    pthread_mutex_lock(&w->lock);
    w->working--;
    if (!job->abandoned) {
        job->posted = true;
        (void)evert__loop_post(w->loop, &job->ready); /* it cannot be closed while w->loop is set */
        return;
    }
    evert__link_remove(&job->link);
    pthread_mutex_unlock(&w->lock);
    job->discard(job);
    pthread_mutex_lock(&w->lock);
}

/* Waits for work; false when none came for a while, or none will. */
static bool wait_for_work(struct evert__workers *w)
{
    struct timespec limit = evert__timespec(evert_after(w->stay));
    int rc = 0;
    w->idle++;
    while (rc == 0 && w->loop != NULL && evert__list_empty(&w->queue))
        rc = pthread_cond_timedwait(&w->work, &w->lock, &limit);
    w->idle--;
    return !evert__list_empty(&w->queue);
}

/* The last that a thread does. The lock is held before, and not after. */
static void end_thread(struct evert__workers *w)
{
    bool follows = w->any_ended;
    pthread_t before = w->ended;
    bool last = --w->threads == 0, forsaken = w->forsaken;

    w->any_ended = !forsaken;
    w->ended = pthread_self();
    pthread_cond_signal(&w->end);
    pthread_mutex_unlock(&w->lock); /* from here on the pool may be gone, but for the last */
    if (follows)
        pthread_join(before, NULL);
    if (forsaken)
        pthread_detach(pthread_self());
    if (forsaken && last)
        destroy(w);
}

static void *worker(void *arg)
{
    struct evert__workers *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!evert__list_empty(&w->queue) || wait_for_work(w)) {
        struct evert__link *link = evert__list_shift(&w->queue);
        w->waiting--;
        do_job(w, EVERT__CONTAINER(link, struct evert__job, link));
    }
    end_thread(w);
    return NULL;
}

int evert__workers_new(evert_loop *loop, unsigned most, evert_time idle,
                       struct evert__workers **ret)
{
    pthread_condattr_t monotonic;
    struct evert__workers *w = evert__alloc_zero(sizeof(*w));
    if (w == NULL)
        return -ENOMEM;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, &monotonic);
    pthread_cond_init(&w->end, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    evert__list_init(&w->queue);
    evert__list_init(&w->others);
    w->loop = loop;
    w->most = most;
    w->stay = idle;
    *ret = w;
    return 0;
}

static void discard_all(struct evert__link *jobs)
{
    struct evert__link *link;
    while ((link = evert__list_shift(jobs)) != NULL) {
        struct evert__job *job = EVERT__CONTAINER(link, struct evert__job, link);
        evert__link_remove(&job->ready.link);
        job->discard(job);
    }
}

/* Takes from the pool all jobs that no thread works on; the others will discard theirs. */
static void take_jobs(struct evert__workers *w, struct evert__link *ret)
{
    struct evert__link *link, *next;
    evert__list_splice(ret, &w->queue);
    w->waiting = 0;
    for (link = w->others.next; link != &w->others; link = next) {
        struct evert__job *job = EVERT__CONTAINER(link, struct evert__job, link);
        next = link->next;
        job->abandoned = true;
        if (job->posted) {
            evert__link_remove(link);
            evert__list_append(ret, link);
        }
    }
}

/*
 * The limit is for calls. A thread that is in none ends as soon as it gets a processor, and is
 * waited for: on a machine with much to do it may be late, but it is not left behind. Gives how
 * many are. The lock is held, but not while this waits.
 */
static unsigned await_threads(struct evert__workers *w, const struct timespec *until)
{
    bool over = false;
    while (w->threads > (over ? w->working : 0)) {
        if (over || w->working == 0)
            pthread_cond_wait(&w->end, &w->lock);
        else
            over = pthread_cond_timedwait(&w->end, &w->lock, until) == ETIMEDOUT;
    }
    return w->threads;
}

/* Waits for the threads, and frees the pool, or leaves that to those that do not end in time, of
 * which whoever ends a program with them ought to know. */
static void end_threads(struct evert__workers *w, const struct timespec *until)
{
    pthread_mutex_lock(&w->lock);
    pthread_cond_broadcast(&w->work);
    unsigned left = await_threads(w, until);
    bool any = w->any_ended;
    pthread_t ended = w->ended;
    w->forsaken = left > 0;
    w->any_ended = false;
    pthread_mutex_unlock(&w->lock); /* from here on what is forsaken may be gone */
    if (any)
        pthread_join(ended, NULL);
    if (left == 0)
        destroy(w);
    else
        evert__log(EVERT_LOG_WARNING, "left behind in calls that were given up: %u of the threads",
                   left);
}

void evert__workers_free(struct evert__workers *w, evert_time limit)
{
    struct evert__link jobs;
    if (w == NULL || !lock_in_loop(w))
        return;
    struct timespec until = evert__timespec(evert_after(limit));
    bool forked = evert__loop_forked(w->loop);

    evert__list_init(&jobs);
    w->loop = NULL;
    take_jobs(w, &jobs);
    pthread_mutex_unlock(&w->lock);
    discard_all(&jobs);
    if (!forked)
        end_threads(w, &until);
    else
        evert__free(w); /* and no more: the conditions remember who waited on them in the parent */
}

static int start_thread(struct evert__workers *w)
{
    pthread_t thread; /* it knows itself, and tells when it ends */
    int rc = evert__sys_thread(&thread, worker, w);
    if (rc < 0)
        return rc;
    w->threads++;
    return 0;
}

int evert__job_start(struct evert__workers *w, struct evert__job *job)
{
    int rc = 0;
    if (evert__loop_forked(w->loop))
        return EVERT_ECLOSED;
    job->ready = (struct evert__ready){.run = told};
    job->workers = w;
    job->queued = true;
    job->posted = job->abandoned = false;

    pthread_mutex_lock(&w->lock);
    if (w->idle <= w->waiting && w->threads < w->most) {
        rc = start_thread(w);
        if (w->threads > 0)
            rc = 0; /* another one will come to it */
    }
    if (rc == 0) {
        evert__list_append(&w->queue, &job->link);
        w->waiting++;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* The lock is held. Whether it stood in the queue, which it is off now. */
static bool take_from_queue(struct evert__workers *w, struct evert__job *job)
{
    bool queued = job->queued;
    if (queued) {
        evert__link_remove(&job->link);
        w->waiting--;
        job->queued = false;
    }
    return queued;
}

bool evert__job_take_back(struct evert__job *job)
{
    pthread_mutex_lock(&job->workers->lock);
    bool queued = take_from_queue(job->workers, job);
    pthread_mutex_unlock(&job->workers->lock);
    return queued;
}

void evert__job_abandon(struct evert__job *job)
{
    struct evert__workers *w = job->workers;
    bool locked = lock_in_loop(w), queued = locked && take_from_queue(w, job);
    job->abandoned = true;
    if (locked)
        pthread_mutex_unlock(&w->lock);
    if (queued)
        job->discard(job);
}

/* ---- As a part of a loop ---- */

/* How long a thread without work stays. */
#define IDLE (5 * EVERT_SECOND)

/* How long freeing a loop waits for what was given up and is still under way. */
#define PATIENCE (100 * EVERT_MILLISECOND)

struct pool {
    struct evert__part part;
    struct evert__workers *workers;
};

static void pool_fini(struct evert__part *part, evert_loop *loop)
{
    struct pool *pool = EVERT__CONTAINER(part, struct pool, part);
    (void)loop;
    evert__workers_free(pool->workers, PATIENCE);
    evert__free(pool);
}

int evert__workers_of(evert_loop *loop, enum evert__part_kind part, unsigned most,
                      struct evert__workers **ret)
{
    struct pool *pool = (struct pool *)loop->parts[part];
    if (pool == NULL) {
        pool = evert__alloc_zero(sizeof(*pool));
        if (pool == NULL)
            return -ENOMEM;
        pool->part.fini = pool_fini;
        int rc = evert__workers_new(loop, most, IDLE, &pool->workers);
        if (rc < 0) {
            evert__free(pool);
            return rc;
        }
        loop->parts[part] = &pool->part;
    }
    *ret = pool->workers;
    return 0;
}
