/* SPDX-License-Identifier: MIT */
/*
 * Both faces: a line receiver serves lines, counted bytes and an upgrade, after which a coroutine
 * has the connection; its client begins as a stream, is a protocol for a while, and a stream again.
 */
#include "scenarios.h"

#include <stdio.h>

enum { RAW = 30000, AFTER = 50000 };

/* ---- The server ---- */

struct server {
    evert_line_receiver lines;
    struct flow raw; /* the counted bytes that come */
    evert_stream *stream;
};

static unsigned failures;

static int server_made(evert_line_receiver *lines)
{
    evert_transport_set_close_limit(lines->protocol.transport, CLOSE_LIMIT);
    return 0;
}

static int serve_stream(void *arg)
{
    struct server *server = arg;
    int rc = echo(server->stream, &failures);
    rc = first_error(rc, evert_close(server->stream));
    evert_protocol_free(&server->lines.protocol);
    return rc;
}

static evert_result no_matter(evert_result *in, void *unused)
{
    (void)in;
    (void)unused;
    return evert_ok(NULL);
}

/* From here on a coroutine has the connection. */
static int upgrade(struct server *server)
{
    evert_coro *coro;
    evert_deferred *ended;
    server->stream = evert_transport_stream(server->lines.protocol.transport);
    CHECK(server->stream != NULL);
    int rc = evert_coro_new(&coro, serve_stream, server);
    if (rc == 0)
        rc = evert_deferred_from(&ended, NULL, coro);
    if (rc < 0) {
        failures++;
        evert_abort(server->stream);
        evert_protocol_free(&server->lines.protocol);
        return 0;
    }
    evert_deferred_add_errback(ended, no_matter, NULL); /* at worst it is logged */
    evert_deferred_release(ended);
    return 0;
}

static int server_line(evert_line_receiver *lines, evert_bytes line)
{
    struct server *server = (struct server *)lines;
    if (evert_bytes_equal(line, evert_bytes_of("up")))
        return upgrade(server);
    CHECK(evert_bytes_equal(line, evert_bytes_of("raw")));
    server->raw = (struct flow){.size = RAW, .offered = RAW};
    evert_line_receiver_set_raw(lines);
    return 0;
}

static int server_raw(evert_line_receiver *lines, evert_bytes data)
{
    struct server *server = (struct server *)lines;
    size_t left = RAW - server->raw.arrived, size = data.size < left ? data.size : left;
    flow_arrived(&server->raw, (evert_bytes){data.data, size});
    if (server->raw.arrived < RAW)
        return 0;
    evert_line_receiver_set_lines(lines, data.size - size);
    return evert_transport_printf(lines->protocol.transport, "got %d\r\n", RAW);
}

static void server_lost(evert_line_receiver *lines, int reason)
{
    CHECK(lines->protocol.transport == NULL);
    failures += reason < 0;
}

static const evert_line_receiver_ops server_ops = {
    .size = sizeof(struct server),
    .connection_made = server_made,
    .line_received = server_line,
    .raw_received = server_raw,
    .connection_lost = server_lost,
};
static evert_factory factory = {evert_build_line_receiver, &server_ops};

/* ---- The client ---- */

static const char answer[] = "got 30000\r\n";

/* The client while it is a protocol: it waits for the answer. */
struct waiting {
    evert_protocol protocol;
    evert_deferred *answered;
};

static void tell(struct waiting *w, int error)
{
    evert_deferred *answered = w->answered;
    w->answered = NULL;
    if (answered == NULL)
        return;
    if (error < 0)
        evert_deferred_errback(answered, error);
    else
        evert_deferred_callback(answered, NULL, NULL);
}

static int waiting_made(evert_protocol *protocol)
{
    struct flow raw = {.size = RAW};
    evert_transport_puts(protocol->transport, "raw\r\n");
    return evert_transport_put(protocol->transport, flow_next(&raw, RAW));
}

static int waiting_input(evert_protocol *protocol, evert_bytes input)
{
    size_t size = sizeof(answer) - 1;
    if (input.size < size)
        return 0;
    CHECK(memcmp(input.data, answer, size) == 0);
    evert_transport_consume(protocol->transport, size);
    tell((struct waiting *)protocol, 0);
    return 0;
}

static void waiting_lost(evert_protocol *protocol, int reason)
{
    tell((struct waiting *)protocol, reason < 0 ? reason : EVERT_EOF);
}

/* Makes the stream a protocol, and that a stream again; NULL in *stream if it was lost. */
static int turn_twice(evert_stream **stream)
{
    static const evert_protocol_ops ops = {.connection_made = waiting_made,
                                           .input_received = waiting_input,
                                           .connection_lost = waiting_lost};
    struct waiting waiting = {.protocol.ops = &ops};
    evert_deferred *answered;
    int rc = evert_deferred_new(&answered);
    if (rc < 0)
        return rc;
    waiting.answered = answered;
    rc = evert_stream_transport(*stream, &waiting.protocol);
    if (rc == 0) {
        rc = evert_await(answered).error;
        *stream = evert_transport_stream(waiting.protocol.transport);
        if (rc == 0 && *stream == NULL)
            rc = -ECONNABORTED;
    }
    evert_deferred_free(answered);
    return rc;
}

static int speak(evert_stream **stream)
{
    struct flow raw = {.size = RAW}, after = {.size = AFTER};
    evert_bytes line;
    evert_puts(*stream, "raw\r\n");
    evert_put(*stream, flow_next(&raw, RAW));
    int rc = evert_read_line(*stream, &line);
    if (rc == 0) {
        CHECK(evert_bytes_equal(line, (evert_bytes){answer, sizeof(answer) - 3}));
        rc = turn_twice(stream);
    }
    if (rc == 0)
        rc = evert_puts(*stream, "up\r\n");
    if (rc == 0)
        rc = flow_write(&after, *stream, AFTER);
    if (rc == 0)
        rc = flow_read(&after, *stream, 10000);
    if (rc == 0 && failures == 0)
        flow_over(&after);
    return rc;
}

static int run_faces(void *unused)
{
    evert_listener *listener;
    evert_stream *stream;
    (void)unused;
    int rc = evert_listen_protocol(&listener, NULL, ANY_PORT, &factory);
    if (rc < 0)
        return rc;
    rc = evert_connect(&stream, evert_listener_address(listener));
    if (rc == 0) {
        evert_set_close_limit(stream, CLOSE_LIMIT);
        rc = speak(&stream);
        rc = first_error(rc, evert_close(stream));
    }
    evert_listener_close(listener);
    return rc;
}

static int faces_run(void)
{
    return evert_run(run_faces, NULL);
}

const struct scenario faces_scenario = {.name = "faces", .run = faces_run};
