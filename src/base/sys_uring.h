/* SPDX-License-Identifier: MIT */
/*
 * The seam to the system, for io_uring(7): as sys.h, over liburing. The queues themselves are
 * shared memory; what enters the kernel goes through here.
 */
#ifndef EVERT_SRC_BASE_SYS_URING_H
#define EVERT_SRC_BASE_SYS_URING_H

#include <liburing.h>
#include <signal.h>

#include <evert/base/time.h>

#include "base/sys_flat.h"

int evert__sys_uring_setup(struct io_uring *ring, unsigned entries, struct io_uring_params *params);
void evert__sys_uring_exit(struct io_uring *ring);
int evert__sys_uring_enable(struct io_uring *ring); /* for the thread that calls it */
int evert__sys_uring_probe(struct io_uring *ring, struct io_uring_probe *probe, unsigned count);
int evert__sys_uring_register_buffers(struct io_uring *ring, struct io_uring_buf_reg *buffers);

/* Submits what was prepared. Unlike a wait it has nothing completed that was submitted before. */
int evert__sys_uring_submit(struct io_uring *ring);

/* Submits what was prepared and waits for `count` completions; -ETIME when the time is over. */
int evert__sys_uring_enter(struct io_uring *ring, unsigned count, evert_time timeout);

/* How many of what was prepared the kernel is to be told of, which sees them from now on. */
static inline unsigned evert__sys_uring_flush(struct io_uring *ring)
{
    struct io_uring_sq *sq = &ring->sq;
    sq->sqe_head = sq->sqe_tail;
    __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    return sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
}

static inline int evert__sys_uring_enter_kernel(unsigned ring, unsigned added, unsigned count,
                                                const struct io_uring_getevents_arg *wait)
{
    const unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
#ifdef EVERT__BARE
    return (int)evert__bare(SYS_io_uring_enter, ring, added, count, flags, (long)wait,
                            sizeof(*wait));
#else
    return io_uring_enter2(ring, added, count, flags, (sigset_t *)(uintptr_t)wait, sizeof(*wait));
#endif
}

/* What liburing's own does in five times as many instructions, as it serves older kernels, too. */
static inline int evert__sys_uring_enter_unhooked(struct io_uring *ring, unsigned count,
                                                  evert_time timeout)
{
    struct __kernel_timespec limit;
    struct io_uring_getevents_arg wait = {.sigmask_sz = _NSIG / 8};
    unsigned added = evert__sys_uring_flush(ring);
    if (added == 0 && count > 0 && io_uring_cq_ready(ring) > 0)
        return 0;
    if (count > 0 && timeout != EVERT_NEVER) {
        limit = (struct __kernel_timespec){.tv_sec = timeout / EVERT_SECOND,
                                           .tv_nsec = timeout % EVERT_SECOND};
        wait.ts = (uint64_t)(uintptr_t)&limit;
    }
    return evert__sys_uring_enter_kernel((unsigned)ring->ring_fd, added, count, &wait);
}

/* The same, where each level of calls counts: see flat.h. */
static inline int evert__sys_uring_enter_flat(struct io_uring *ring, unsigned count,
                                              evert_time timeout)
{
    if (!evert__sys_is_bare())
        return evert__sys_uring_enter(ring, count, timeout);
    return evert__sys_uring_enter_unhooked(ring, count, timeout);
}

/*
 * What the kernel does by itself for what stands in the ring, a test answers here: before it is
 * submitted, or handed on. Size is as in evert__sys_hook_fn.
 */
bool evert__sys_uring_answered(enum evert__sys_call call, size_t *size, ssize_t *result);

#endif
