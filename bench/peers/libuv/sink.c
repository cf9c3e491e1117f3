/* SPDX-License-Identifier: MIT */
/* Drops what it reads and, at the peer's end, says how many bytes there were; on libuv. */
#include "serve.h"

#include <inttypes.h>

struct guest {
    uv_tcp_t tcp;
    uint64_t count;
};

static void written(uv_write_t *request, int status)
{
    (void)status;
    close_guest(request->handle);
    free(request);
}

static void say_count(struct guest *g)
{
    uv_stream_t *stream = (uv_stream_t *)&g->tcp;
    char answer[32];
    int size = snprintf(answer, sizeof(answer), "%" PRIu64 "\r\n", g->count);

    if (send_all(stream, answer, (size_t)size, written) != SENT_LATER)
        close_guest(stream);
}

static void make_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    static char dropped[256 * 1024];

    (void)handle;
    (void)suggested;
    *room = uv_buf_init(dropped, sizeof(dropped));
}

static void drop(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    struct guest *g = stream->data;

    (void)room;
    if (n >= 0)
        g->count += (size_t)n;
    else if (n == UV_EOF)
        say_count(g);
    else
        close_guest(stream);
}

static void welcome(uv_stream_t *listener, int status)
{
    struct guest *g = status == 0 ? accept_guest(listener, sizeof(*g)) : NULL;

    if (g == NULL)
        return;
    g->count = 0;
    uv_read_start((uv_stream_t *)&g->tcp, make_room, drop);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", welcome);
}
