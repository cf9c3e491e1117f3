/* SPDX-License-Identifier: MIT */
/*
 * Stands between clients and a server: whoever connects here is connected there, and all that
 * either side says goes to the other.
 *
 *     relay_server SERVER [ADDRESS]
 */
#include <evert/evert.h>

#include <err.h>
#include <stdio.h>

static int relay(evert_stream *client, void *address)
{
    evert_stream *server;
    int rc = evert_connect(&server, address);
    if (rc < 0)
        return rc;
    rc = evert_relay(client, server);
    evert_close(server);
    return rc;
}

struct addresses {
    char *server, *own;
};

static int serve(void *arg)
{
    const struct addresses *addresses = arg;
    evert_listener *listener;
    int rc = evert_listen(&listener, addresses->own);
    if (rc < 0)
        return rc;
    printf("listening on %s\n", evert_listener_address(listener));
    fflush(stdout);
    return evert_serve(listener, relay, addresses->server);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "usage: relay_server SERVER [ADDRESS]");
    struct addresses addresses = {argv[1], argc > 2 ? argv[2] : "tcp://127.0.0.1:9998"};
    return evert_main(serve, &addresses);
}
