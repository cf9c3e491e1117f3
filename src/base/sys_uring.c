/* SPDX-License-Identifier: MIT */
#include "base/sys_uring.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/sys_make.h"
#include "base/time.h"

#if defined(__has_feature)
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define THREAD_SANITIZER 0
#endif

int evert__sys_uring_setup(struct io_uring *ring, unsigned entries, struct io_uring_params *params)
{
    CALL(URING_SETUP, io_uring_queue_init_params(entries, ring, params));
}

void evert__sys_uring_exit(struct io_uring *ring)
{
#if defined(__SANITIZE_THREAD__) || THREAD_SANITIZER
    /* As below, but so that the sanitizer sees the memory go, which may be another ring's next. */
    munmap(ring->sq.sqes, ring->sq.ring_entries * sizeof(*ring->sq.sqes));
    if (ring->cq.ring_ptr != ring->sq.ring_ptr)
        munmap(ring->cq.ring_ptr, ring->cq.ring_sz);
    munmap(ring->sq.ring_ptr, ring->sq.ring_sz);
    close(ring->ring_fd);
#else
    io_uring_queue_exit(ring);
#endif
}

int evert__sys_uring_enable(struct io_uring *ring)
{
    CALL(URING_REGISTER,
         io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
}

int evert__sys_uring_probe(struct io_uring *ring, struct io_uring_probe *probe, unsigned count)
{
    CALL(URING_REGISTER, io_uring_register_probe(ring, probe, count));
}

int evert__sys_uring_register_buffers(struct io_uring *ring, struct io_uring_buf_reg *buffers)
{
    CALL(URING_REGISTER, io_uring_register_buf_ring(ring, buffers, 0));
}

/*
 * liburing's own would also have pending work done (IORING_ENTER_GETEVENTS) where the ring says
 * that there is some.
 */
static int submit(struct io_uring *ring)
{
    struct io_uring_sq *sq = &ring->sq;
    sq->sqe_head = sq->sqe_tail;
    __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    unsigned count = sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
    return io_uring_enter((unsigned)ring->ring_fd, count, 0, 0, NULL);
}

int evert__sys_uring_submit(struct io_uring *ring)
{
    CALL(URING_ENTER, submit(ring));
}

static int enter(struct io_uring *ring, unsigned count, evert_time timeout)
{
    struct __kernel_timespec limit = {.tv_sec = timeout / EVERT_SECOND,
                                      .tv_nsec = timeout % EVERT_SECOND};
    struct io_uring_cqe *cqe;
    if (count == 0) /* the other would only submit, where there is something to submit */
        return io_uring_submit_and_get_events(ring);
    return io_uring_submit_and_wait_timeout(ring, &cqe, count,
                                            timeout == EVERT_NEVER ? NULL : &limit, NULL);
}

int evert__sys_uring_enter(struct io_uring *ring, unsigned count, evert_time timeout)
{
    CALL(URING_ENTER, enter(ring, count, timeout));
}

bool evert__sys_uring_answered(enum evert__sys_call call, size_t *size, ssize_t *ret)
{
    int64_t result;
    do {
        if (!evert__sys_hooked() ||
            !evert__sys_ask(call, __builtin_return_address(0), size, &result))
            return false;
    } while (result == -EINTR); /* the kernel begins again, and asks anew */
    *ret = (ssize_t)result;
    return true;
}
