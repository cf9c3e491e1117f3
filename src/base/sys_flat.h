/* SPDX-License-Identifier: MIT */
/*
 * The same calls as in sys.h, for where each level of calls counts: see flat.h. What is not usual,
 * such as a hook or a signal that came between, goes the way of those.
 */
#ifndef EVERT_SRC_BASE_SYS_FLAT_H
#define EVERT_SRC_BASE_SYS_FLAT_H

#include <time.h>

#include "base/bare.h"
#include "base/sys.h"

#ifdef EVERT__BARE
static inline bool evert__sys_is_bare(void)
{
    return !evert__sys_hooked();
}
#else
static inline bool evert__sys_is_bare(void)
{
    return false;
}

static inline long evert__bare(long number, long a, long b, long c, long d, long e, long f)
{
    (void)number, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return -ENOSYS;
}
#endif

static inline bool evert__sys_was_interrupted(long result)
{
    return __builtin_expect(result == -EINTR, 0);
}

static inline ssize_t evert__sys_recv_flat(int fd, void *buffer, size_t size, int flags)
{
    if (!evert__sys_is_bare())
        return evert__sys_recv(fd, buffer, size, flags);
    long count = evert__bare(SYS_recvfrom, fd, (long)buffer, (long)size, flags, 0, 0);
    return evert__sys_was_interrupted(count) ? evert__sys_recv(fd, buffer, size, flags) : count;
}

static inline ssize_t evert__sys_send_flat(int fd, const struct iovec *pieces, int count)
{
    if (!evert__sys_is_bare() || count > 1)
        return evert__sys_send(fd, pieces, count);
    long sent = evert__bare(SYS_sendto, fd, (long)pieces->iov_base, (long)pieces->iov_len,
                            MSG_NOSIGNAL, 0, 0);
    return evert__sys_was_interrupted(sent) ? evert__sys_send(fd, pieces, count) : sent;
}

static inline int evert__sys_accept_flat(int fd)
{
    if (!evert__sys_is_bare())
        return evert__sys_accept(fd);
    long number = evert__bare(SYS_accept4, fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC, 0, 0);
    return evert__sys_was_interrupted(number) ? evert__sys_accept(fd) : (int)number;
}

static inline void evert__sys_close_flat(int fd)
{
    if (evert__sys_is_bare())
        (void)evert__bare(SYS_close, fd, 0, 0, 0, 0, 0);
    else
        evert__sys_close(fd);
}

static inline int evert__sys_epoll_ctl_flat(int epoll, int operation, int fd, uint32_t events,
                                            uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (!evert__sys_is_bare())
        return evert__sys_epoll_ctl(epoll, operation, fd, events, data);
    return (int)evert__bare(SYS_epoll_ctl, epoll, operation, fd, (long)&event, 0, 0);
}

static inline int evert__sys_epoll_wait_precisely(int epoll, struct epoll_event *events, int count,
                                                  evert_time timeout)
{
#ifdef SYS_epoll_pwait2
    if (!atomic_load_explicit(&evert__sys_waits_in_ms, memory_order_relaxed)) {
        const int64_t limit[2] = {timeout / EVERT_SECOND, timeout % EVERT_SECOND};
        long rc = evert__bare(SYS_epoll_pwait2, epoll, (long)events, count, (long)limit, 0, 0);
        if (!evert__sys_is_missing((int)-rc))
            return (int)rc;
    }
#endif
    return evert__sys_epoll_wait(epoll, events, count, timeout);
}

/* A wait for no time, or for ever, needs nothing that only newer kernels have. */
static inline int evert__sys_epoll_wait_flat(int epoll, struct epoll_event *events, int count,
                                             evert_time timeout)
{
    if (!evert__sys_is_bare())
        return evert__sys_epoll_wait(epoll, events, count, timeout);
    if (timeout > 0 && timeout != EVERT_NEVER)
        return evert__sys_epoll_wait_precisely(epoll, events, count, timeout);
    return (int)evert__bare(SYS_epoll_pwait, epoll, (long)events, count, timeout > 0 ? -1 : 0, 0,
                            0);
}

/* The call itself, with no hook. */
static inline evert_time evert__sys_read_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (evert_time)now.tv_sec * EVERT_SECOND + now.tv_nsec;
}

static inline evert_time evert__sys_clock_flat(void)
{
    return evert__sys_hooked() ? evert__sys_clock() : evert__sys_read_clock();
}

/* Whether a descriptor has something to read, or something else to tell. */
static inline bool evert__sys_is_readable_flat(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
#ifdef SYS_poll
    if (evert__sys_is_bare())
        return evert__bare(SYS_poll, (long)&look, 1, 0, 0, 0, 0) != 0;
#endif
    return evert__sys_poll(&look, 1, 0) != 0;
}

#endif
