/* SPDX-License-Identifier: MIT */
/* The greeting on State Threads: all names that came in one read are answered in one write. */
#include "serve.h"

#include "../greeting.h"

/* To close with input unread would reset the connection, and destroy the last answer. */
static void say_farewell(st_netfd_t fd)
{
    st_utime_t end = st_utime() + FAREWELL_SECONDS * 1000000ULL, now;
    char dropped[4096];

    shutdown(st_netfd_fileno(fd), SHUT_WR);
    while ((now = st_utime()) < end && st_read(fd, dropped, sizeof(dropped), end - now) > 0)
        ;
}

static void greet(st_netfd_t fd)
{
    char in[INPUT_SIZE], out[ANSWERS_SIZE(INPUT_SIZE)], *end;
    size_t used = 0;
    ssize_t n;
    bool too_long;

    while ((n = st_read(fd, in + used, sizeof(in) - used, ST_UTIME_NO_TIMEOUT)) > 0) {
        used += (size_t)n;
        end = out;
        too_long = answer_lines(in, &used, &end);
        if (end > out && !send_all(fd, out, (size_t)(end - out)))
            return;
        if (too_long) {
            say_farewell(fd);
            return;
        }
    }
}

static void *serve_guest(void *fd)
{
    greet(fd);
    st_netfd_close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", serve_guest);
}
