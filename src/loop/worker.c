/* SPDX-License-Identifier: MIT */
/*
 * One lock guards the queue, the states of jobs, and whether the loop is still there. A worker
 * posts a finished job to the loop under that lock, so the loop cannot go away in between; the pool
 * itself is counted, since a thread that is stuck in a lookup may outlive the loop.
 */
#include "loop/worker.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "base/time.h"

/* How long a thread without work stays. */
#define IDLE (5 * EVERT_SECOND)

struct evert__workers {
    pthread_mutex_t lock;
    pthread_cond_t work, end;
    evert_loop *loop; /* NULL when the loop is done with this */
    struct evert__link queue, others;
    unsigned threads, idle, most;
    unsigned waiting; /* jobs in the queue: each is for an idle thread, as far as there are any */
    unsigned references; /* a thread each, and the loop */
};

static void release(struct evert__workers *w)
{
    bool last = --w->references == 0;
    pthread_mutex_unlock(&w->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->end);
    evert__free(w);
}

static struct timespec later(evert_time span)
{
    evert_time when = evert_after(span);
    return (struct timespec){(time_t)(when / EVERT_SECOND), (long)(when % EVERT_SECOND)};
}

/* In the loop: the work is done. */
static void told(struct evert__ready *ready)
{
    struct evert__job *job = EVERT__CONTAINER(ready, struct evert__job, ready);
    pthread_mutex_lock(&job->workers->lock);
    evert__link_remove(&job->link);
    bool abandoned = job->abandoned;
    pthread_mutex_unlock(&job->workers->lock);
    if (!abandoned)
        job->done(job);
    job->discard(job);
}

/* Does one job. The lock is held before and after, but not while it works. */
static void do_job(struct evert__workers *w, struct evert__job *job)
{
    job->queued = false;
    evert__list_append(&w->others, &job->link);
    pthread_mutex_unlock(&w->lock);
    job->work(job);
    pthread_mutex_lock(&w->lock);
    if (!job->abandoned && w->loop != NULL) {
        job->posted = true;
        evert__loop_post(w->loop, &job->ready);
    } else {
        evert__link_remove(&job->link);
        job->discard(job);
    }
}

/* Waits for work; false when none came for a while, or none will. */
static bool wait_for_work(struct evert__workers *w)
{
    struct timespec limit = later(IDLE);
    int rc = 0;
    w->idle++;
    while (rc == 0 && w->loop != NULL && evert__list_empty(&w->queue))
        rc = pthread_cond_timedwait(&w->work, &w->lock, &limit);
    w->idle--;
    return !evert__list_empty(&w->queue);
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
    if (--w->threads == 0)
        pthread_cond_signal(&w->end);
    release(w);
    return NULL;
}

int evert__workers_new(evert_loop *loop, unsigned most, struct evert__workers **ret)
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
    w->references = 1;
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

void evert__workers_free(struct evert__workers *w, evert_time limit)
{
    struct timespec until = later(limit);
    struct evert__link gone, *link, *next;
    int rc = 0;

    evert__list_init(&gone);
    pthread_mutex_lock(&w->lock);
    w->loop = NULL;
    evert__list_splice(&gone, &w->queue);
    w->waiting = 0;
    for (link = w->others.next; link != &w->others; link = next) {
        struct evert__job *job = EVERT__CONTAINER(link, struct evert__job, link);
        next = link->next;
        job->abandoned = true; /* if it works still, its worker discards it */
        if (job->posted) {
            evert__link_remove(link);
            evert__list_append(&gone, link);
        }
    }
    pthread_cond_broadcast(&w->work);
    while (rc == 0 && w->threads > 0)
        rc = pthread_cond_timedwait(&w->end, &w->lock, &until);
    discard_all(&gone);
    release(w);
}

static int start_thread(struct evert__workers *w)
{
    pthread_t thread;
    int rc = evert__sys_thread(&thread, worker, w);
    if (rc < 0)
        return rc;
    pthread_detach(thread);
    w->threads++;
    w->references++;
    return 0;
}

int evert__job_start(struct evert__workers *w, struct evert__job *job)
{
    int rc = 0;
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

void evert__job_abandon(struct evert__job *job)
{
    struct evert__workers *w = job->workers;
    pthread_mutex_lock(&w->lock);
    bool queued = job->queued;
    job->abandoned = true;
    if (queued) {
        evert__link_remove(&job->link);
        w->waiting--;
    }
    pthread_mutex_unlock(&w->lock);
    if (queued)
        job->discard(job);
}
