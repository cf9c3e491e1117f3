/* SPDX-License-Identifier: MIT */
/* Drops what it reads and, at the peer's end, says how many bytes there were; in callbacks. */
#include <evert/evert.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

struct sink {
    evert_protocol protocol;
    uint64_t count;
};

static int drop(evert_protocol *protocol, evert_bytes data)
{
    ((struct sink *)protocol)->count += data.size;
    return 0;
}

static int say_count(evert_protocol *protocol)
{
    uint64_t count = ((struct sink *)protocol)->count;
    return evert_transport_printf(protocol->transport, "%" PRIu64 "\r\n", count);
}

static const evert_protocol_ops dropper = {
    .size = sizeof(struct sink),
    .data_received = drop,
    .eof_received = say_count,
};
static evert_factory factory = {evert_build_protocol, &dropper};

static void stop(void *loop)
{
    evert_loop_stop(loop);
}

static int serve(evert_loop *loop, const char *address)
{
    evert_listener *listener;
    int rc = evert_loop_watch_signal(loop, SIGTERM, stop, loop);
    if (rc == 0)
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
