/* SPDX-License-Identifier: MIT */
/* Drops what it reads and, at the peer's end, says how many bytes there were; in threads. */
#include "serve.h"

#include <inttypes.h>

static void drop(int fd)
{
    char dropped[256 * 1024];
    char answer[32];
    uint64_t count = 0;
    ssize_t n;

    while ((n = recv(fd, dropped, sizeof(dropped), 0)) > 0)
        count += (uint64_t)n;
    if (n == 0)
        send_all(fd, answer, (size_t)snprintf(answer, sizeof(answer), "%" PRIu64 "\r\n", count));
}

int main(int argc, char **argv)
{
    serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", drop);
}
