/* SPDX-License-Identifier: MIT */
/*
 * The greeting, served in both styles on one connection: a protocol takes the first line and hands
 * the connection to a coroutine; that greets the next one and hands it back; the protocol goes on.
 */
#include <evert/evert.h>

#include <stdio.h>

struct greeter {
    evert_line_receiver lines;
    evert_stream *stream; /* while the coroutine has the connection */
};

static int put_greeting(evert_transport *t, evert_bytes name)
{
    evert_bytes pieces[] = {{"Hello, ", 7}, name, {"!\r\n", 3}};
    return evert_transport_writev(t, pieces, 3);
}

/* The coroutine's part: one more greeting, in plain order. */
static int greet_one(void *greeter)
{
    struct greeter *g = greeter;
    evert_stream *s = g->stream;
    evert_bytes name;
    evert_set_line_limit(s, 1024);
    int rc = evert_read_line(s, &name);
    if (rc == 0) {
        evert_puts(s, "Hello, ");
        evert_put(s, name);
        rc = evert_puts(s, "!\r\n");
    }
    if (rc == EVERT_ELIMIT)
        evert_puts(s, "error: name too long\r\n");
    return rc;
}

/* The coroutine has ended well: the protocol goes on, with the very next byte. */
static evert_result hand_back(evert_result *in, void *unused)
{
    struct greeter *g = in->value;
    int rc = evert_stream_transport(g->stream, &g->lines.protocol);
    (void)unused;
    return rc < 0 ? evert_fail(rc) : evert_ok(g);
}

/* It has not, or the peer has ended: this is the end of the connection. */
static evert_result hang_up(evert_result *in, void *greeter)
{
    struct greeter *g = greeter;
    (void)in;
    evert_close(g->stream);
    evert_protocol_free(&g->lines.protocol);
    return evert_ok(NULL);
}

static int hand_over(struct greeter *g)
{
    evert_loop *loop = evert_transport_loop(g->lines.protocol.transport);
    evert_coro *coro;
    evert_deferred *d;

    int rc = evert_coro_new(&coro, greet_one, g);
    if (rc < 0)
        return rc;
    g->stream = evert_transport_stream(g->lines.protocol.transport);
    rc = evert_deferred_from(&d, loop, coro);
    if (rc < 0) {
        evert_abort(g->stream);
        evert_protocol_free(&g->lines.protocol);
        return rc;
    }
    evert_deferred_add_callback(d, hand_back, NULL);
    evert_deferred_add_errback(d, hang_up, g);
    evert_deferred_release(d);
    return 0;
}

static int greet(evert_line_receiver *lines, evert_bytes name)
{
    put_greeting(lines->protocol.transport, name);
    return hand_over((struct greeter *)lines);
}

static int refuse(evert_line_receiver *lines)
{
    evert_transport_puts(lines->protocol.transport, "error: name too long\r\n");
    evert_transport_lose_connection(lines->protocol.transport);
    return 0;
}

static const evert_line_receiver_ops greeter = {
    .size = sizeof(struct greeter),
    .line_limit = 1024,
    .line_received = greet,
    .line_length_exceeded = refuse,
};
static evert_factory factory = {evert_build_line_receiver, &greeter};

static int serve(void *address)
{
    evert_listener *listener;
    int rc = evert_listen_protocol(&listener, NULL, address, &factory);
    if (rc < 0)
        return rc;
    printf("listening on %s\n", evert_listener_address(listener));
    fflush(stdout);
    rc = evert_sleep_until(EVERT_NEVER); /* the loop does the rest */
    evert_listener_close(listener);
    return rc;
}

int main(int argc, char **argv)
{
    return evert_main(serve, argc > 1 ? argv[1] : "tcp://127.0.0.1:9999");
}
