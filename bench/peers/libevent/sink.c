/* SPDX-License-Identifier: MIT */
/*
 * Drops what it reads and, at the peer's end, says how many bytes there were; on libevent.
 *
 * What costs is that libevent 2.1 reads 4 KiB at a time, however much there is.
 */
#include "serve.h"

#include <inttypes.h>

static void drop(struct bufferevent *guest, void *count)
{
    struct evbuffer *in = bufferevent_get_input(guest);
    size_t size = evbuffer_get_length(in);

    *(uint64_t *)count += size;
    evbuffer_drain(in, size);
}

static void say_count(struct bufferevent *guest, short what, void *count)
{
    if ((what & BEV_EVENT_EOF) != 0)
        evbuffer_add_printf(bufferevent_get_output(guest), "%" PRIu64 "\r\n", *(uint64_t *)count);
    end_guest(guest, what, count);
}

static void welcome(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                    int size, void *unused)
{
    struct bufferevent *guest = new_guest(listener, fd);
    uint64_t *count = calloc(1, sizeof(*count));

    (void)from, (void)size, (void)unused;
    if (count == NULL)
        err(1, "memory");
    bufferevent_setcb(guest, drop, NULL, say_count, count);
    bufferevent_enable(guest, EV_READ);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", welcome);
}
