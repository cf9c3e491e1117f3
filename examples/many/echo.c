/* SPDX-License-Identifier: MIT */
/* The echo, in coroutines: a task for each connection, and one that accepts them. */
#include "many.h"

static int echo(evert_stream *s, void *unused)
{
    evert_bytes bytes;
    ssize_t n;

    (void)unused;
    while ((n = evert_read(s, &bytes, 131072)) > 0)
        evert_put(s, bytes); /* a failure comes back from the read */
    return (int)n;
}

int serve_echo(void *listener)
{
    return evert_serve(listener, echo, NULL);
}
