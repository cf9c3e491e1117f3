/* SPDX-License-Identifier: MIT */
/*
 * Sends every byte back as it came, on libuv, out of the buffer that they were read into.
 *
 * The form that is seen most, a buffer for each read that is freed when it is written, was tried:
 * an echo of 4 KiB then takes more than half as much time again.
 */
#include "serve.h"

static void make_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    static char data[64 * 1024];

    (void)handle;
    (void)suggested;
    *room = uv_buf_init(data, sizeof(data));
}

static void echo(uv_stream_t *stream, ssize_t n, const uv_buf_t *room);

static void written(uv_write_t *request, int status)
{
    uv_stream_t *stream = request->handle;

    free(request);
    if (status < 0)
        close_guest(stream);
    else
        uv_read_start(stream, make_room, echo);
}

/* Reads no faster than the peer takes what comes back. */
static void echo(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    enum sent sent = n > 0 ? send_all(stream, room->base, (size_t)n, written) : ALL_SENT;

    if (n < 0 || sent == NOT_SENT)
        close_guest(stream);
    else if (sent == SENT_LATER)
        uv_read_stop(stream);
}

static void welcome(uv_stream_t *listener, int status)
{
    uv_stream_t *stream = status == 0 ? accept_guest(listener, sizeof(uv_tcp_t)) : NULL;

    if (stream != NULL)
        uv_read_start(stream, make_room, echo);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", welcome);
}
