/* SPDX-License-Identifier: MIT */
/*
 * The calls that the raw servers make for each request: made straight, as Evert makes its own,
 * which is 1 % of the processor time. Each does what the C library's function does. And how often
 * in a row one socket is received from, and when it is empty.
 */
#ifndef BENCH_RAW_CALLS_H
#define BENCH_RAW_CALLS_H

#include "../src/base/bare.h"
#include "raw_page.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 16 };

static bool is_tcp;

static inline void note_kind(const char *address)
{
    is_tcp = strncmp(address, "tcp://", 6) == 0;
}

/* What led to the receive: events of epoll, or of a poll in a ring, which are the same. */
static inline bool short_is_all(uint32_t events)
{
    return is_tcp && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0;
}

static inline long raw_call(long number, long a, long b, long c, long d)
{
#ifdef EVERT__BARE
    long result = evert__bare(number, a, b, c, d, 0, 0);

    if (__builtin_expect(result >= 0, 1))
        return result;
    errno = (int)-result;
    return -1;
#else
    return syscall(number, a, b, c, d, 0L, 0L);
#endif
}

static inline ssize_t raw_recv(int fd, void *buffer, size_t size)
{
    ssize_t n;

    fetch_page(fd);
    n = raw_call(SYS_recvfrom, fd, (long)buffer, (long)size, 0);
    touch_page(fd);
    return n;
}

static inline ssize_t raw_send(int fd, const void *data, size_t size)
{
    return raw_call(SYS_sendto, fd, (long)data, (long)size, MSG_NOSIGNAL);
}

static inline int raw_accept(int fd)
{
    return (int)raw_call(SYS_accept4, fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline void raw_close(int fd)
{
    (void)raw_call(SYS_close, fd, 0, 0, 0);
}

static inline int raw_epoll_ctl(int epoll, int how, int fd, struct epoll_event *event)
{
    return (int)raw_call(SYS_epoll_ctl, epoll, how, fd, (long)event);
}

static inline int raw_epoll_wait(int epoll, struct epoll_event *events, int count, int ms)
{
    return (int)raw_call(SYS_epoll_pwait, epoll, (long)events, count, ms);
}

/* Without waiting. */
static inline int raw_poll(struct pollfd *fd)
{
#ifdef SYS_poll
    return (int)raw_call(SYS_poll, (long)fd, 1, 0, 0);
#else
    return poll(fd, 1, 0);
#endif
}

#endif
