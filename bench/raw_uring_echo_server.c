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

static bool echo(int fd, char *data, size_t size, unsigned buffer)
{
    size_t gone = few_came || buffer == NO_BUFFER ? send_at_once(fd, data, size) : 0;
    bool is_kept;

    if (gone < size && buffer != NO_BUFFER && !states[fd].sending && lent < BUFFERS / 2) {
        send_from(fd, data + gone, size - gone, buffer);
        return true;
    }
    is_kept = gone == size || send_copy(fd, data + gone, size - gone);
    give_back(buffer);
    return is_kept;
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
