/* SPDX-License-Identifier: MIT */
/* The greeting, served in callbacks: a protocol for each connection, called when a line came. */
#include <evert/evert.h>

#include <signal.h>
#include <stdio.h>

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

/* A peer that does not read its greetings gets no more of them. */
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
static evert_factory factory = {evert_build_line_receiver, &greeter};

static void stop(void *loop)
{
    evert_loop_stop(loop);
}

static int serve(evert_loop *loop, const char *address)
{
    evert_listener *listener;
    int rc = evert_loop_watch_signal(loop, SIGTERM, stop, loop);
    if (rc < 0)
        return rc;
    rc = evert_listen_protocol(&listener, loop, address, &factory);
    if (rc < 0)
        return rc;
    printf("listening on %s\n", evert_listener_address(listener));
    fflush(stdout);
    rc = evert_loop_run(loop);
    evert_listener_close(listener);
    return rc;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";
    evert_loop *loop;
    int rc = evert_loop_new(&loop);
    if (rc == 0) {
        rc = serve(loop, address);
        evert_loop_free(loop);
    }
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", address, evert_strerror(rc));
    return rc < 0;
}
