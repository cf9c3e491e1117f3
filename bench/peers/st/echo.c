/* SPDX-License-Identifier: MIT */
/* Sends every byte back as it came, on State Threads. */
#include "serve.h"

enum { DATA_SIZE = 64 * 1024 }; /* as large as a whole stack, so not on it */

static void echo(st_netfd_t fd, char *data)
{
    ssize_t n;

    while ((n = st_read(fd, data, DATA_SIZE, ST_UTIME_NO_TIMEOUT)) > 0) {
        if (!send_all(fd, data, (size_t)n))
            return;
    }
}

static void *serve_guest(void *fd)
{
    char *data = malloc(DATA_SIZE);

    if (data != NULL)
        echo(fd, data);
    free(data);
    st_netfd_close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", serve_guest);
}
