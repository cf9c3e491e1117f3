/* SPDX-License-Identifier: MIT */
/* The greeting, in callbacks: greeting/callback_server.c without its main(). */
#include "many.h"

static int greet(evert_line_receiver *lines, evert_bytes name)
{
    evert_transport *t = lines->protocol.transport;
    evert_transport_puts(t, "Hello, ");
    evert_transport_put(t, name);
    evert_transport_puts(t, "!\r\n");
    return 0;
}

static int refuse(evert_line_receiver *lines)
{
    evert_transport *t = lines->protocol.transport;
    evert_transport_puts(t, "error: name too long\r\n");
    evert_transport_lose_connection(t);
    return 0;
}

static void slow_down(evert_line_receiver *lines)
{
    evert_transport_pause_reading(lines->protocol.transport);
}

static void go_on(evert_line_receiver *lines)
{
    evert_transport_resume_reading(lines->protocol.transport);
}

static const evert_line_receiver_ops greeter = {
    .line_limit = 1024,
    .line_received = greet,
    .line_length_exceeded = refuse,
    .pause_writing = slow_down,
    .resume_writing = go_on,
};
evert_factory greeting = {evert_build_line_receiver, &greeter};
