/* SPDX-License-Identifier: MIT */
/* Drops what it reads and, at the peer's end, says how many bytes there were; in coroutines. */
#include <evert/evert.h>

#include <inttypes.h>
#include <stdio.h>

static int drop(evert_stream *s, void *unused)
{
    static char dropped[256 * 1024];
    uint64_t count = 0;
    ssize_t n;

    (void)unused;
    while ((n = evert_read_into(s, dropped, sizeof(dropped))) > 0)
        count += (size_t)n;
    if (n == 0)
        evert_printf(s, "%" PRIu64 "\r\n", count);
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
    return evert_serve(listener, drop, NULL);
}

int main(int argc, char **argv)
{
    return evert_main(serve, argc > 1 ? argv[1] : "tcp://127.0.0.1:9999");
}
