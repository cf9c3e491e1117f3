/* SPDX-License-Identifier: MIT */
/*
 * Sends every byte back as it came, on libevent: from one buffer to the other, without a copy.
 *
 * What costs is that libevent 2.1 reads 4 KiB at a time, however much there is.
 */
#include "serve.h"

static void echo(struct bufferevent *guest, void *unused)
{
    (void)unused;
    bufferevent_write_buffer(guest, bufferevent_get_input(guest));
    hold_back(guest);
}

static void welcome(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                    int size, void *unused)
{
    struct bufferevent *guest = new_guest(listener, fd);

    (void)from, (void)size, (void)unused;
    bufferevent_setcb(guest, echo, go_on, end_guest, NULL);
    bufferevent_enable(guest, EV_READ);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", welcome);
}
