/* SPDX-License-Identifier: MIT */
/*
 * The greeting, served in coroutines on every core. It is coroutine_server with another main():
 * each core has a loop of its own, and the kernel spreads the connections over them.
 */
#include <evert/evert.h>

#include <stdio.h>

static int greet(evert_stream *s, void *unused)
{
    evert_bytes name;
    int rc;

    (void)unused;
    evert_set_line_limit(s, 1024);
    while ((rc = evert_read_line(s, &name)) == 0) {
        evert_puts(s, "Hello, ");
        evert_put(s, name);
        evert_puts(s, "!\r\n");
    }
    if (rc == EVERT_ELIMIT)
        evert_puts(s, "error: name too long\r\n");
    return rc; /* serve closes the stream, and logs all but EVERT_EOF */
}

static int serve(void *address)
{
    evert_listener *listener;
    int rc = evert_listen(&listener, address);
    if (rc < 0)
        return rc;
    printf("core %u: listening on %s\n", evert_core(), evert_listener_address(listener));
    fflush(stdout);
    return evert_serve(listener, greet, NULL);
}

int main(int argc, char **argv)
{
    return evert_main_on(EVERT_ALL_CORES, serve, argc > 1 ? argv[1] : "tcp://127.0.0.1:9999");
}
