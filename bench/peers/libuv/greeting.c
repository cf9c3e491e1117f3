/* SPDX-License-Identifier: MIT */
/*
 * The greeting on libuv: all names that came in one read are answered in one write. A write for
 * each, which is as often seen, costs a system call and a piece of memory for each.
 */
#include "serve.h"

#include "../greeting.h"

struct guest {
    uv_tcp_t tcp;
    uv_timer_t farewell;
    uv_shutdown_t end;
    int handles; /* that are not closed yet */
    bool in_farewell;
    size_t used;
    char in[INPUT_SIZE];
};

static void closed(uv_handle_t *handle)
{
    struct guest *g = handle->data;

    if (--g->handles == 0)
        free(g);
}

static void hang_up(struct guest *g)
{
    if (uv_is_closing((uv_handle_t *)&g->tcp))
        return;
    uv_close((uv_handle_t *)&g->tcp, closed);
    if (g->in_farewell)
        uv_close((uv_handle_t *)&g->farewell, closed);
}

static void farewell_is_over(uv_timer_t *timer)
{
    hang_up(timer->data);
}

/* To close with input unread would reset the connection, and destroy the last answer. */
static void begin_farewell(struct guest *g)
{
    g->in_farewell = true;
    g->handles++;
    uv_timer_init(g->tcp.loop, &g->farewell);
    g->farewell.data = g;
    uv_timer_start(&g->farewell, farewell_is_over, FAREWELL_SECONDS * 1000, 0);
    uv_shutdown(&g->end, (uv_stream_t *)&g->tcp, NULL);
}

static void make_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct guest *g = handle->data;

    (void)suggested;
    if (g->in_farewell)
        g->used = 0;
    *room = uv_buf_init(g->in + g->used, (unsigned)(INPUT_SIZE - g->used));
}

static void greet(uv_stream_t *stream, ssize_t n, const uv_buf_t *room);

static void written(uv_write_t *request, int status)
{
    struct guest *g = request->handle->data;

    free(request);
    if (status < 0)
        hang_up(g);
    else
        uv_read_start((uv_stream_t *)&g->tcp, make_room, greet);
}

/* Reads on when the peer has taken the answers. */
static void send_answers(struct guest *g, char *answers, size_t size)
{
    uv_stream_t *stream = (uv_stream_t *)&g->tcp;
    enum sent sent = size > 0 ? send_all(stream, answers, size, written) : ALL_SENT;

    if (sent == SENT_LATER)
        uv_read_stop(stream);
    else if (sent == NOT_SENT)
        hang_up(g);
}

static void greet(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    static char answers[ANSWERS_SIZE(INPUT_SIZE)];
    struct guest *g = stream->data;
    char *end = answers;
    bool too_long;

    (void)room;
    if (n < 0)
        hang_up(g);
    if (n <= 0 || g->in_farewell)
        return;
    g->used += (size_t)n;
    too_long = answer_lines(g->in, &g->used, &end);
    send_answers(g, answers, (size_t)(end - answers));
    if (too_long && !uv_is_closing((uv_handle_t *)stream))
        begin_farewell(g);
}

static void welcome(uv_stream_t *listener, int status)
{
    struct guest *g = status == 0 ? accept_guest(listener, sizeof(*g)) : NULL;

    if (g == NULL)
        return;
    g->handles = 1;
    g->in_farewell = false;
    g->used = 0;
    uv_read_start((uv_stream_t *)&g->tcp, make_room, greet);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", welcome);
}
