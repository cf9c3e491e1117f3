/* SPDX-License-Identifier: MIT */
#include "base/sys_uring.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/flat.h"
#include "base/sanitizer.h"
#include "base/sys.h"
#include "base/sys_make.h"

int evert__sys_uring_setup(struct io_uring *ring, unsigned entries, struct io_uring_params *params)
{
    CALL(URING_SETUP, io_uring_queue_init_params(entries, ring, params));
}

void evert__sys_uring_exit(struct io_uring *ring)
{
#ifdef EVERT__TSAN
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
    return io_uring_enter((unsigned)ring->ring_fd, evert__sys_uring_flush(ring), 0, 0, NULL);
}

int evert__sys_uring_submit(struct io_uring *ring)
{
    CALL(URING_ENTER, submit(ring));
}

int evert__sys_uring_enter(struct io_uring *ring, unsigned count, evert_time timeout)
{
    CALL(URING_ENTER, evert__sys_uring_enter_unhooked(ring, count, timeout));
}

EVERT__HOT bool evert__sys_uring_answered(enum evert__sys_call call, size_t *size, ssize_t *ret)
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
