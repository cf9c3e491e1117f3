/* SPDX-License-Identifier: MIT */
/*
 * What the raw servers share: one thread straight on epoll. A connection is served as soon as it
 * was accepted, as most have brought something by then, and registered behind that, which takes the
 * kernel a while: so a connection with one greeting takes 0.98 to 0.99 of the CPU time that it
 * takes where epoll is to tell of the first bytes, too, and 0.982 (+-0.01) of that where it is
 * registered before it is served. It is registered once, edge-triggered, and is known by its
 * descriptor. For room to send epoll is asked only where there was none: of a socket that has room
 * it tells again for bytes that were taken before it was asked, which is 8 % of the CPU time of
 * bulk data on an AMD EPYC.
 *
 * An edge comes once, so what it announced must be read to the end. On TCP a short read is that
 * end, unless the event told of the end of the stream or an error; then, and on other sockets,
 * only EAGAIN or 0 is. A peer that sends faster than it is served would keep the others waiting:
 * after ROUNDS reads its registration is renewed, which makes epoll announce the rest anew.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include "../examples/greeting/plain_address.h"
#include "raw_calls.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

enum { CONNECTION_LIMIT = 1 << 20, EVENTS = 256 };

static const uint32_t edges = EPOLLIN | EPOLLRDHUP | EPOLLET;

enum progress { GOES_ON, MUST_WAIT, IS_OVER };

static int epoll, listener, signals;
static bool accept_failed;
static int newcomer = -1; /* it is served, and not registered yet */
static uint32_t newcomer_events;

/* What each server does with a connection: `events` of epoll, or 0 for a newcomer. */
static void serve_connection(int fd, uint32_t events);
static void end_connection(int fd);

static inline bool watch(int how, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    return raw_epoll_ctl(epoll, how, fd, &event) == 0;
}

/* To be told of these from now on, and anew of what is there. */
static inline bool watch_for(int fd, uint32_t events)
{
    if (fd != newcomer)
        return watch(EPOLL_CTL_MOD, fd, events);
    newcomer_events = events;
    return true;
}

static inline void begin_connection(int fd)
{
    newcomer = fd;
    newcomer_events = edges;
    serve_connection(fd, 0);
    if (newcomer < 0)
        return; /* it has ended */
    newcomer = -1;
    if (!watch(EPOLL_CTL_ADD, fd, newcomer_events))
        end_connection(fd);
}

/* A look first: accept(2) has made a socket and a file before it finds that there is nobody. */
static inline bool is_next(void)
{
    struct pollfd next = {.fd = listener, .events = POLLIN};

    return raw_poll(&next) != 0;
}

static inline void accept_all(void)
{
    int fd;

    do {
        fd = raw_accept(listener);
        accept_failed = fd < 0 && errno != EAGAIN;
        if (fd >= CONNECTION_LIMIT)
            raw_close(fd);
        else if (fd >= 0)
            begin_connection(fd);
    } while (fd >= 0 && is_next());
}

static inline void close_connection(int fd)
{
    raw_close(fd);
    if (fd == newcomer)
        newcomer = -1;
    if (accept_failed) /* perhaps for want of what is free now */
        accept_all();
}

/* Output that the kernel did not take. */
struct unsent {
    size_t from, size;
    char data[];
};

/* Sends what the kernel takes and keeps a copy of the rest. */
static inline bool send_or_keep(int fd, struct unsent **unsent, const char *data, size_t size)
{
    ssize_t n = raw_send(fd, data, size);

    if (n < 0 && errno != EAGAIN)
        return false;
    size -= n < 0 ? 0 : (size_t)n;
    data += n < 0 ? 0 : n;
    if (size == 0)
        return true;
    *unsent = malloc(sizeof(**unsent) + size);
    if (*unsent == NULL)
        return false;
    (*unsent)->from = 0;
    (*unsent)->size = size;
    memcpy((*unsent)->data, data, size);
    return watch_for(fd, edges | EPOLLOUT);
}

static inline enum progress send_unsent(int fd, struct unsent **unsent)
{
    struct unsent *u = *unsent;
    ssize_t n = raw_send(fd, u->data + u->from, u->size - u->from);

    if (n < 0)
        return errno == EAGAIN ? MUST_WAIT : IS_OVER;
    u->from += (size_t)n;
    if (u->from < u->size)
        return MUST_WAIT;
    free(u);
    *unsent = NULL;
    return GOES_ON;
}

static inline void open_server(const char *address)
{
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    listener = listen_on(address);
    note_kind(address);
    signals = signalfd(-1, &ends, SFD_CLOEXEC);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (fcntl(listener, F_SETFL, O_NONBLOCK) < 0 || signals < 0 || epoll < 0 ||
        !watch(EPOLL_CTL_ADD, signals, EPOLLIN) ||
        !watch(EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLET))
        err(1, "epoll");
    print_listening(listener, address);
}

/* Until SIGTERM or SIGINT. `next` does what is due and gives the milliseconds to the next, or -1.*/
static inline void serve(int (*next)(void))
{
    struct epoll_event events[EVENTS];
    int count, fd;

    for (;;) {
        count = raw_epoll_wait(epoll, events, EVENTS, next != NULL ? next() : -1);
        if (count < 0 && errno != EINTR)
            err(1, "epoll_wait");
        for (int i = 0; i < count; i++) {
            fd = events[i].data.fd;
            if (fd == signals)
                return;
            if (fd == listener)
                accept_all();
            else
                serve_connection(fd, events[i].events);
        }
    }
}

#endif
