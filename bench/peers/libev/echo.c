/* SPDX-License-Identifier: MIT */
/* Sends every byte back as it came, on libev; it reads no faster than the peer takes them. */
#include "serve.h"

static bool echo_some(struct ev_loop *loop, struct guest *g)
{
    static char data[64 * 1024];
    ssize_t n = recv(g->io.fd, data, sizeof(data), 0);

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    return send_or_keep(loop, g, data, (size_t)n);
}

static void echo(struct ev_loop *loop, ev_io *io, int events)
{
    struct guest *g = (struct guest *)io;

    if (!((events & EV_WRITE) != 0 ? send_unsent(loop, g) : echo_some(loop, g)))
        close_guest(loop, g);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", echo, sizeof(struct guest));
}
