/* SPDX-License-Identifier: MIT */
/*
 * The echo server straight on io_uring: what Evert on io_uring is measured against. It reads no
 * faster than the peer takes what comes back, and sends the rest of it also after the peer's end.
 *
 *     raw_uring_echo_server [ADDRESS]
 *
 * Bytes are sent from the buffer that they came in. Where half of the buffers are lent,
 * as to peers that do not read, bytes are copied, so that none of the others wants for one.
 */
#include "raw_uring.h"

enum { BUFFER = 16 * 1024, BUFFERS = 256, ROOM = 128 * 1024 };

static char room[ROOM];

/* What the kernel does not take is copied. */
static bool echo_from_room(int fd, const char *data, size_t size)
{
    ssize_t n = states[fd].sending ? 0 : raw_send(fd, data, size);

    if (n < 0 && errno != EAGAIN)
        return false;
    n = n < 0 ? 0 : n;
    return (size_t)n == size || send_copy(fd, data + n, size - (size_t)n);
}

static bool echo(int fd, char *data, size_t size, unsigned buffer)
{
    bool copied;

    if (buffer == NO_BUFFER)
        return echo_from_room(fd, data, size);
    if (!states[fd].sending && lent < BUFFERS / 2) {
        send_from(fd, data, size, buffer);
        return true;
    }
    copied = send_copy(fd, data, size);
    give_back(buffer);
    return copied;
}

static void sent_from_buffer(int fd, unsigned mark)
{
    (void)fd;
    give_back(mark);
}

int main(int argc, char **argv)
{
    static const struct service echoing = {
        .buffer_size = BUFFER,
        .buffers = BUFFERS,
        .room = room,
        .room_size = sizeof(room),
        .received = echo,
        .sent = sent_from_buffer,
    };
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";

    open_server(address);
    serve(&echoing);
    remove_socket_file(address);
    return 0;
}
