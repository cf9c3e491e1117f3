/* SPDX-License-Identifier: MIT */
/* The greeting on libev: all names that came in one read are answered in one send. */
#include "serve.h"

#include "../greeting.h"

struct greeted {
    struct guest guest;
    ev_timer farewell;
    bool in_farewell;
    size_t used;
    char in[INPUT_SIZE];
};

static void hang_up(struct ev_loop *loop, struct greeted *g)
{
    if (g->in_farewell)
        ev_timer_stop(loop, &g->farewell);
    close_guest(loop, &g->guest);
}

static void farewell_is_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    hang_up(loop, timer->data);
}

/* To close with input unread would reset the connection, and destroy the last answer. */
static void begin_farewell(struct ev_loop *loop, struct greeted *g)
{
    g->in_farewell = true;
    ev_timer_init(&g->farewell, farewell_is_over, FAREWELL_SECONDS, 0);
    g->farewell.data = g;
    ev_timer_start(loop, &g->farewell);
    if (g->guest.unsent == NULL)
        shutdown(g->guest.io.fd, SHUT_WR);
}

/* False: the connection is over. */
static bool answer(struct ev_loop *loop, struct greeted *g)
{
    static char out[ANSWERS_SIZE(INPUT_SIZE)];
    char *end = out;
    bool too_long = answer_lines(g->in, &g->used, &end);

    if (end > out && !send_or_keep(loop, &g->guest, out, (size_t)(end - out)))
        return false;
    if (too_long)
        begin_farewell(loop, g);
    return true;
}

static bool read_names(struct ev_loop *loop, struct greeted *g)
{
    size_t used = g->in_farewell ? 0 : g->used;
    ssize_t n = recv(g->guest.io.fd, g->in + used, INPUT_SIZE - used, 0);

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    g->used = used + (size_t)n;
    return g->in_farewell || answer(loop, g);
}

static bool send_answers(struct ev_loop *loop, struct greeted *g)
{
    if (!send_unsent(loop, &g->guest))
        return false;
    if (g->in_farewell && g->guest.unsent == NULL)
        shutdown(g->guest.io.fd, SHUT_WR);
    return true;
}

static void greet(struct ev_loop *loop, ev_io *io, int events)
{
    struct greeted *g = (struct greeted *)io;

    if (!((events & EV_WRITE) != 0 ? send_answers(loop, g) : read_names(loop, g)))
        hang_up(loop, g);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", greet, sizeof(struct greeted));
}
