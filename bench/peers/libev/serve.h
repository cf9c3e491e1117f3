/* SPDX-License-Identifier: MIT */
/*
 * What the servers on libev share. It tells of readiness and no more, so each program reads and
 * writes by itself: here with one watcher for each connection, which waits for input, or for room
 * while there is output that the kernel did not take.
 */
#ifndef PEERS_LIBEV_SERVE_H
#define PEERS_LIBEV_SERVE_H

#include "../../../examples/greeting/plain_address.h"

#include <ev.h>
#include <fcntl.h>

struct guest {
    ev_io io; /* first, since it is what a callback is given */
    char *unsent;
    size_t from, size; /* of what is unsent */
};

typedef void guest_fn(struct ev_loop *loop, ev_io *guest, int events);

static inline void wait_for(struct ev_loop *loop, struct guest *g, int events)
{
    ev_io_stop(loop, &g->io);
    ev_io_set(&g->io, g->io.fd, events);
    ev_io_start(loop, &g->io);
}

static inline void close_guest(struct ev_loop *loop, struct guest *g)
{
    ev_io_stop(loop, &g->io);
    close(g->io.fd);
    free(g->unsent);
    free(g);
}

/* Sends what the kernel takes and keeps the rest, for which it then waits. False: it failed. */
static inline bool send_or_keep(struct ev_loop *loop, struct guest *g, const char *data,
                                size_t size)
{
    ssize_t n = send(g->io.fd, data, size, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN)
        return false;
    n = n < 0 ? 0 : n;
    if ((size_t)n == size)
        return true;
    g->from = 0;
    g->size = size - (size_t)n;
    g->unsent = malloc(g->size);
    if (g->unsent == NULL)
        return false;
    memcpy(g->unsent, data + n, g->size);
    wait_for(loop, g, EV_WRITE);
    return true;
}

/* When there is room; reads again once all is sent. False: it failed. */
static inline bool send_unsent(struct ev_loop *loop, struct guest *g)
{
    ssize_t n = send(g->io.fd, g->unsent + g->from, g->size, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN;
    g->from += (size_t)n;
    g->size -= (size_t)n;
    if (g->size > 0)
        return true;
    free(g->unsent);
    g->unsent = NULL;
    wait_for(loop, g, EV_READ);
    return true;
}

/* What a listener's watcher needs to know: how large a guest is, and what serves it. */
static size_t guest_size;
static guest_fn *serve_guest;

static inline void welcome(struct ev_loop *loop, ev_io *listener, int events)
{
    struct guest *g;
    int fd;

    (void)events;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        g = calloc(1, guest_size);
        if (g == NULL)
            err(1, "memory");
        ev_io_init(&g->io, serve_guest, fd, EV_READ);
        ev_io_start(loop, &g->io);
    }
}

static inline int serve(const char *address, guest_fn *served_by, size_t size)
{
    struct ev_loop *loop = ev_default_loop(0);
    int fd = listen_on(address); /* with TCP_NODELAY, which what it accepts inherits */
    ev_io listener;

    if (loop == NULL || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        errx(1, "libev does not listen on %s", address);
    serve_guest = served_by;
    guest_size = size;
    ev_io_init(&listener, welcome, fd, EV_READ);
    ev_io_start(loop, &listener);
    print_listening(fd, address);
    return ev_run(loop, 0); /* until SIGTERM ends the process */
}

#endif
