/* SPDX-License-Identifier: MIT */
/* What the servers on libevent's bufferevents share: listening, holding back, ending. */
#ifndef PEERS_LIBEVENT_SERVE_H
#define PEERS_LIBEVENT_SERVE_H

#include "../../../examples/greeting/plain_address.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>

enum { MOST_UNSENT = 64 * 1024 };

static inline size_t unsent(struct bufferevent *guest)
{
    return evbuffer_get_length(bufferevent_get_output(guest));
}

/* A peer that does not read its answers is not read from. */
static inline void hold_back(struct bufferevent *guest)
{
    if (unsent(guest) > MOST_UNSENT)
        bufferevent_disable(guest, EV_READ);
}

/* Called when all output has gone to the kernel. */
static inline void go_on(struct bufferevent *guest, void *unused)
{
    (void)unused;
    if ((bufferevent_get_enabled(guest) & EV_READ) == 0)
        bufferevent_enable(guest, EV_READ);
}

static inline void all_is_sent(struct bufferevent *guest, void *context)
{
    bufferevent_free(guest);
    free(context);
}

static inline void has_failed(struct bufferevent *guest, short what, void *context)
{
    (void)what;
    all_is_sent(guest, context);
}

/* At the peer's end: what is still to be sent is sent. */
static inline void end_guest(struct bufferevent *guest, short what, void *context)
{
    if ((what & BEV_EVENT_EOF) != 0 && unsent(guest) > 0)
        bufferevent_setcb(guest, NULL, all_is_sent, has_failed, context);
    else
        all_is_sent(guest, context);
}

static inline struct bufferevent *new_guest(struct evconnlistener *listener, evutil_socket_t fd)
{
    struct event_base *base = evconnlistener_get_base(listener);
    struct bufferevent *guest = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    if (guest == NULL)
        err(1, "memory");
    return guest;
}

static inline int serve(const char *address, evconnlistener_cb welcome)
{
    struct event_base *base = event_base_new();
    int fd = listen_on(address); /* with TCP_NODELAY, which what it accepts inherits */

    signal(SIGPIPE, SIG_IGN);
    if (base == NULL || evutil_make_socket_nonblocking(fd) < 0 ||
        evconnlistener_new(base, welcome, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd) == NULL)
        errx(1, "libevent does not listen on %s", address);
    print_listening(fd, address);
    return event_base_dispatch(base); /* until SIGTERM ends the process */
}

#endif
