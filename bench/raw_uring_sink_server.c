/* SPDX-License-Identifier: MIT */
/*
 * A server straight on io_uring that drops what it reads and, at the peer's end, says how many
 * bytes there were: the baseline for bulk data. See raw_sink_server.c.
 *
 *     raw_uring_sink_server [ADDRESS]
 */
#include "raw_uring.h"

#include <inttypes.h>

enum { BUFFER = 16 * 1024, BUFFERS = 32, ROOM = 256 * 1024 };

static uint64_t counts[CONNECTION_LIMIT]; /* by descriptor; unused pages are free */
static char room[ROOM];

static bool drop(int fd, char *data, size_t size, unsigned buffer)
{
    (void)data;
    counts[fd] += size;
    give_back(buffer);
    return true;
}

/* A count fits into an empty send buffer, so there is never a rest to be kept. */
static void say_count(int fd)
{
    char answer[32];
    int size = snprintf(answer, sizeof(answer), "%" PRIu64 "\r\n", counts[fd]);

    if (states[fd].has_ended)
        (void)!send(fd, answer, (size_t)size, MSG_NOSIGNAL);
    counts[fd] = 0;
}

int main(int argc, char **argv)
{
    static const struct service sink = {
        .buffer_size = BUFFER,
        .buffers = BUFFERS,
        .room = room,
        .room_size = sizeof(room),
        .received = drop,
        .ended = say_count,
    };
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";

    open_server(address);
    serve(&sink);
    remove_socket_file(address);
    return 0;
}
