/* SPDX-License-Identifier: MIT */
/* Sends every byte back as it came, with a thread for each connection. */
#include "serve.h"

static void echo(int fd)
{
    char data[64 * 1024];
    ssize_t n;

    while ((n = recv(fd, data, sizeof(data), 0)) > 0) {
        if (!send_all(fd, data, (size_t)n))
            return;
    }
}

int main(int argc, char **argv)
{
    serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", echo);
}
