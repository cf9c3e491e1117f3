/* SPDX-License-Identifier: MIT */
/* Sends every byte back as it came, in callbacks; it reads no faster than the peer takes them. */
#include <evert/evert.h>

#include <signal.h>
#include <stdio.h>

static int echo(evert_protocol *protocol, evert_bytes data)
{
    return evert_transport_put(protocol->transport, data);
}

static void slow_down(evert_protocol *protocol)
{
    evert_transport_pause_reading(protocol->transport);
}

static void go_on(evert_protocol *protocol)
{
    evert_transport_resume_reading(protocol->transport);
}

static const evert_protocol_ops echoer = {
    .data_received = echo,
    .pause_writing = slow_down,
    .resume_writing = go_on,
};
static evert_factory factory = {evert_build_protocol, &echoer};

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
