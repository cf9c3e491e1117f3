/* SPDX-License-Identifier: MIT */
/* Drops what it reads and, at the peer's end, says how many bytes there were; on libev. */
#include "serve.h"

#include <inttypes.h>

struct counted {
    struct guest guest;
    uint64_t count;
};

/* A count fits into an empty send buffer, so there is never a rest to be kept. */
static void say_count(const struct counted *c)
{
    char answer[32];
    int size = snprintf(answer, sizeof(answer), "%" PRIu64 "\r\n", c->count);

    (void)!send(c->guest.io.fd, answer, (size_t)size, MSG_NOSIGNAL);
}

static void drop(struct ev_loop *loop, ev_io *io, int events)
{
    static char dropped[256 * 1024];
    struct counted *c = (struct counted *)io;
    ssize_t n = recv(io->fd, dropped, sizeof(dropped), 0);

    (void)events;
    if (n > 0) {
        c->count += (uint64_t)n;
    } else if (n == 0 || errno != EAGAIN) {
        if (n == 0)
            say_count(c);
        close_guest(loop, &c->guest);
    }
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", drop, sizeof(struct counted));
}
