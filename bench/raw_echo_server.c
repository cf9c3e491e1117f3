/* SPDX-License-Identifier: MIT */
/*
 * The echo server straight on epoll: the baseline for examples/echo. It reads no faster than the
 * peer takes what comes back, and sends the rest of it also after the peer's end.
 *
 *     raw_echo_server [ADDRESS]
 *
 * Reads of 16 KiB were tried (a fifth slower with 64 KiB to be sent back), and from 32 KiB to 1
 * MiB, which are alike; those that are larger than the message need no call more to see that it is
 * all.
 */
#include "raw.h"

enum { INPUT_SIZE = 128 * 1024 };

static struct unsent *unsent[CONNECTION_LIMIT]; /* by descriptor; unused pages are free */
static char input[INPUT_SIZE];

static enum progress echo(int fd, uint32_t events)
{
    ssize_t n = raw_recv(fd, input, INPUT_SIZE);

    if (n <= 0)
        return n < 0 && errno == EAGAIN ? MUST_WAIT : IS_OVER;
    if (!send_or_keep(fd, &unsent[fd], input, (size_t)n))
        return IS_OVER;
    if (unsent[fd] != NULL || (short_is_all(events) && n < INPUT_SIZE))
        return MUST_WAIT;
    return GOES_ON;
}

static void end_connection(int fd)
{
    free(unsent[fd]);
    unsent[fd] = NULL;
    close_connection(fd);
}

static void serve_connection(int fd, uint32_t events)
{
    enum progress progress = unsent[fd] != NULL ? send_unsent(fd, &unsent[fd]) : GOES_ON;

    for (int round = 0; round < ROUNDS && progress == GOES_ON; round++)
        progress = echo(fd, events);
    if (progress == GOES_ON && !watch_for(fd, edges))
        progress = IS_OVER;
    if (progress == IS_OVER)
        end_connection(fd);
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";

    open_server(address);
    serve(NULL);
    remove_socket_file(address);
    return 0;
}
