/* SPDX-License-Identifier: MIT */
/* Sends every byte back as it came, to any number of connections at once. */
#include <evert/evert.h>

#include <stdio.h>

static int echo(evert_stream *s, void *unused)
{
    evert_bytes bytes;
    ssize_t n;

    (void)unused;
    while ((n = evert_read(s, &bytes, 131072)) > 0)
        evert_put(s, bytes); /* a failure comes back from the read */
    return (int)n;
}

static int serve(void *address)
{
    evert_listener *listener;
    int rc = evert_listen(&listener, address);
    if (rc < 0)
        return rc;
    printf("listening on %s\n", evert_listener_address(listener));
    fflush(stdout);
    return evert_serve(listener, echo, NULL);
}

int main(int argc, char **argv)
{
    return evert_main(serve, argc > 1 ? argv[1] : "tcp://127.0.0.1:9999");
}
