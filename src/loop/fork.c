/* SPDX-License-Identifier: MIT */
/*
 * Knowing that the process has forked: a page that the kernel empties in the child
 * (MADV_WIPEONFORK, madvise(2)), which catches what pthread_atfork(3) does not, a bare clone(2). A
 * loop remembers the number that stood there when it was made; where another stands, it is some
 * parent's loop.
 *
 * What the loops of all threads share is guarded by one lock. It is taken over a fork, so that the
 * child, in which the other threads are not there to let go of it, finds it free.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "loop/loop.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t *page; /* 0 in a child until it makes a loop of its own */
static uint64_t births;

void evert__process_lock(void)
{
    pthread_mutex_lock(&lock);
}

void evert__process_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void hold_lock_over_forks(void)
{
    (void)pthread_atfork(evert__process_lock, evert__process_unlock, evert__process_unlock);
}

int evert__fork_guard(uint64_t *ret_birth)
{
    int error = 0;
    evert__process_lock();
    if (page == NULL) {
        size_t size = (size_t)sysconf(_SC_PAGESIZE);
        page = evert__sys_map(size, &error);
        if (page != NULL)
            (void)evert__sys_advise(page, size, MADV_WIPEONFORK);
    }
    if (page != NULL) {
        if (atomic_load(page) == 0)
            atomic_store(page, ++births);
        *ret_birth = atomic_load(page);
    }
    evert__process_unlock();
    return error;
}

uint64_t evert__fork_birth(void)
{
    return atomic_load_explicit(page, memory_order_relaxed);
}

bool evert__loop_forked(const evert_loop *loop)
{
    return evert__fork_birth() != loop->birth;
}
