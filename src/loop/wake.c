/* SPDX-License-Identifier: MIT */
/*
 * Waking a loop from outside: an eventfd, which the loop's back end watches like any other source.
 * What is to be done stands elsewhere (a list under a lock, counters of signals); the eventfd only
 * says that there is something, so a burst of wakes costs one turn, and none is lost: the loop
 * empties the eventfd first and looks then.
 */
#include <errno.h>

#include "base/sys.h"
#include "loop/loop.h"

void evert__loop_wake(const evert_loop *loop)
{
    static const uint64_t one = 1;
    /* It fails only when the count is full, and then the loop is awake. */
    (void)evert__sys_write(loop->wake_fd.number, &one, sizeof(one));
}

void evert__loop_post(evert_loop *loop, struct evert__ready *ready)
{
    pthread_mutex_lock(&loop->lock);
    evert__list_append(&loop->calls, &ready->link);
    pthread_mutex_unlock(&loop->lock);
    evert__loop_wake(loop);
}

/* Empties the eventfd until it has to be waited for again. */
static int listen_again(evert_loop *loop)
{
    uint64_t count;
    ssize_t rc;
    do {
        rc = evert__source_take(&loop->wake, &count, sizeof(count));
        if (rc < 0 && rc != -EAGAIN)
            return (int)rc;
    } while (rc > 0 || evert__source_arm(&loop->wake));
    return 0;
}

static void woken(struct evert__source *source)
{
    evert_loop *loop = EVERT__CONTAINER(source, evert_loop, wake);
    (void)listen_again(loop); /* only the first time can fail */
    pthread_mutex_lock(&loop->lock);
    evert__list_splice(&loop->ready, &loop->calls);
    pthread_mutex_unlock(&loop->lock);
    evert__signals_check(loop);
    if (atomic_exchange(&loop->stop_wanted, false))
        loop->stopped = true;
}

int evert__wake_init(evert_loop *loop)
{
    int number = evert__sys_eventfd();
    if (number < 0)
        return number;
    evert__fd_init(&loop->wake_fd, loop, number);
    loop->wake =
        (struct evert__source){.kind = EVERT__SOURCE_COUNTER, .fd = &loop->wake_fd, .ready = woken};
    pthread_mutex_init(&loop->lock, NULL);
    evert__list_init(&loop->calls);
    int rc = listen_again(loop);
    if (rc < 0)
        evert__wake_fini(loop);
    return rc;
}

void evert__wake_fini(evert_loop *loop)
{
    evert__fd_close(&loop->wake_fd, NULL);
    pthread_mutex_destroy(&loop->lock);
}

void evert_loop_stop_threadsafe(evert_loop *loop)
{
    atomic_store(&loop->stop_wanted, true);
    evert__loop_wake(loop);
}
