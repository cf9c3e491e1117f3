/* SPDX-License-Identifier: MIT */
/*
 * Waking a loop from outside: an eventfd, which the loop's back end watches like any other source.
 * What is to be done stands elsewhere (a list under a lock, counters of signals); the eventfd only
 * says that there is something, so a burst of wakes costs one turn, and none is lost: the loop
 * empties the eventfd first and looks then.
 */
#include <errno.h>

#include <evert/base/error.h>

#include "base/sys.h"
#include "loop/loop.h"

void evert__loop_wake(const evert_loop *loop)
{
    static const uint64_t one = 1;
    /* It fails only when the count is full, and then the loop is awake. */
    (void)evert__sys_write(loop->wake_fd.number, &one, sizeof(one));
}

/* Woken under the lock: when the call was made, and the loop freed by it, nothing here touches it.
 */
int evert__loop_post(evert_loop *loop, struct evert__ready *ready)
{
    pthread_mutex_lock(&loop->lock);
    bool ended = loop->ended;
    if (!ended) {
        evert__list_append(&loop->calls, &ready->link);
        evert__loop_wake(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return ended ? EVERT_ECLOSED : 0;
}

void evert__calls_close(evert_loop *loop)
{
    bool forked = evert__loop_forked(loop); /* then the thread that has the lock is not there */
    if (!forked)
        pthread_mutex_lock(&loop->lock);
    loop->ended = true;
    if (!forked)
        pthread_mutex_unlock(&loop->lock);
}

int evert__counter_empty(struct evert__source *counter)
{
    uint64_t count;
    ssize_t rc;
    do {
        rc = evert__source_take(counter, &count, sizeof(count));
        if (rc < 0 && rc != -EAGAIN)
            return (int)rc;
    } while (rc > 0 || evert__source_arm(counter));
    return 0;
}

static void woken(struct evert__source *source)
{
    evert_loop *loop = EVERT__CONTAINER(source, evert_loop, wake);
    (void)evert__counter_empty(source); /* only the first time can fail */
    pthread_mutex_lock(&loop->lock);
    evert__list_splice(&loop->ready, &loop->calls);
    pthread_mutex_unlock(&loop->lock);
    evert__signals_check(loop);
    if (atomic_exchange(&loop->stop_wanted, false))
        evert__loop_stop(loop);
}

int evert__wake_init(evert_loop *loop)
{
    int number = evert__sys_eventfd();
    if (number < 0)
        return number;
    evert__fd_init(&loop->wake_fd, loop, number);
    evert__source_init(&loop->wake, &loop->wake_fd, EVERT__SOURCE_COUNTER, woken);
    pthread_mutex_init(&loop->lock, NULL);
    evert__list_init(&loop->calls);
    int rc = evert__counter_empty(&loop->wake);
    if (rc < 0) {
        evert__wake_stop(loop);
        evert__wake_fini(loop);
    }
    return rc;
}

void evert__wake_stop(evert_loop *loop)
{
    evert__source_disarm(&loop->wake);
    (void)loop->backend->detach(&loop->wake_fd);
}

void evert__wake_fini(evert_loop *loop)
{
    evert__sys_close(loop->wake_fd.number);
    pthread_mutex_destroy(&loop->lock);
}

void evert_loop_stop_threadsafe(evert_loop *loop)
{
    atomic_store(&loop->stop_wanted, true);
    evert__loop_wake(loop);
}
