/* SPDX-License-Identifier: MIT */
/*
 * Knowing that the process has forked: a page that is emptied in the child, by a handler of
 * pthread_atfork(3), and by the kernel (MADV_WIPEONFORK, madvise(2)), which also knows of a bare
 * clone(2), where it does what it is asked to: emulators say yes and do not. A loop remembers the
 * number that stood there when it was made; where another stands, it is some parent's loop.
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
static unsigned births;

atomic_uint *evert__fork_page; /* 0 in a child until it makes a loop of its own */

void evert__process_lock(void)
{
    pthread_mutex_lock(&lock);
}

void evert__process_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static void begin_as_child(void)
{
    if (evert__fork_page != NULL)
        atomic_store(evert__fork_page, 0);
    evert__process_unlock();
}

__attribute__((constructor)) static void look_at_forks(void)
{
    (void)pthread_atfork(evert__process_lock, evert__process_unlock, begin_as_child);
}

int evert__fork_guard(unsigned *ret_birth)
{
    int error = 0;
    evert__process_lock();
    if (evert__fork_page == NULL) {
        size_t size = (size_t)sysconf(_SC_PAGESIZE);
        evert__fork_page = evert__sys_map(size, &error);
        if (evert__fork_page != NULL)
            (void)evert__sys_advise(evert__fork_page, size, MADV_WIPEONFORK);
    }
    if (evert__fork_page != NULL) {
        if (evert__fork_birth() == 0)
            atomic_store(evert__fork_page, ++births);
        *ret_birth = evert__fork_birth();
    }
    evert__process_unlock();
    return error;
}
