/* SPDX-License-Identifier: MIT */
/* What the servers on libuv share: listening, sending, closing. */
#ifndef PEERS_LIBUV_SERVE_H
#define PEERS_LIBUV_SERVE_H

#include "../../../examples/greeting/plain_address.h"

#include <signal.h>
#include <uv.h>

/* A write needs its request and its bytes until it is done, so both are one piece of memory. */
struct unsent {
    uv_write_t request;
    char data[];
};

enum sent { ALL_SENT, SENT_LATER, NOT_SENT };

static inline enum sent send_later(uv_stream_t *to, uv_buf_t data, uv_write_cb written)
{
    struct unsent *u = malloc(sizeof(*u) + data.len);

    if (u == NULL)
        return NOT_SENT;
    memcpy(u->data, data.base, data.len);
    data.base = u->data;
    if (uv_write(&u->request, to, &data, 1, written) == 0)
        return SENT_LATER;
    free(u);
    return NOT_SENT;
}

/*
 * Sends what the peer takes at once, and of the rest a copy; `written` is called when that has
 * gone, and has the request to free. To let uv_write() do all of it is seen more often; it costs
 * the memory and an epoll_ctl(2) each time.
 */
static inline enum sent send_all(uv_stream_t *to, char *data, size_t size, uv_write_cb written)
{
    uv_buf_t rest = uv_buf_init(data, (unsigned)size);
    int taken = uv_try_write(to, &rest, 1);

    if (taken == UV_EAGAIN)
        taken = 0;
    if (taken < 0)
        return NOT_SENT;
    if ((size_t)taken == size)
        return ALL_SENT;
    return send_later(to, uv_buf_init(data + taken, (unsigned)(size - (size_t)taken)), written);
}

static inline void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static inline void close_guest(uv_stream_t *stream)
{
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, free_handle);
}

/* The newcomer, in memory of `size` bytes that begin with its handle; NULL where there is none. */
static inline void *accept_guest(uv_stream_t *listener, size_t size)
{
    uv_tcp_t *guest = malloc(size);

    if (guest == NULL)
        err(1, "memory");
    uv_tcp_init(listener->loop, guest);
    guest->data = guest;
    if (uv_accept(listener, (uv_stream_t *)guest) == 0)
        return guest;
    close_guest((uv_stream_t *)guest);
    return NULL;
}

static inline int serve(const char *address, uv_connection_cb welcome)
{
    uv_loop_t *loop = uv_default_loop();
    int fd = listen_on(address); /* with TCP_NODELAY, which what it accepts inherits */
    uv_tcp_t listener;

    signal(SIGPIPE, SIG_IGN);
    if (uv_tcp_init(loop, &listener) < 0 || uv_tcp_open(&listener, fd) < 0 ||
        uv_listen((uv_stream_t *)&listener, 4096, welcome) < 0)
        errx(1, "libuv does not listen on %s", address);
    print_listening(fd, address);
    return uv_run(loop, UV_RUN_DEFAULT); /* until SIGTERM ends the process */
}

#endif
