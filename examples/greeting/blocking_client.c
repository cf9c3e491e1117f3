/* SPDX-License-Identifier: MIT */
/*
 * The greeting client in the oldest style: connect, send the name, receive until CR LF. It reads
 * as it runs, and while it waits the whole program waits.
 *
 *     blocking_client ADDRESS NAME...
 */
#include "plain_address.h"

static void send_all(int fd, const char *data, size_t size, int flags)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, flags | MSG_NOSIGNAL);
        if (n < 0)
            err(1, "send");
        data += n;
        size -= (size_t)n;
    }
}

/* Receives one line; returns its length without the CR LF. */
static size_t receive_line(int fd, char *line, size_t size)
{
    size_t used = 0;
    char *end;

    while ((end = memmem(line, used, "\r\n", 2)) == NULL) {
        ssize_t n = recv(fd, line + used, size - used, 0);
        if (n < 0)
            err(1, "receive");
        if (n == 0)
            errx(1, used == size ? "the answer is too long" : "no answer: the connection ended");
        used += (size_t)n;
    }
    return (size_t)(end - line);
}

static size_t get_greeting(const char *address, const char *name, char *greeting, size_t size)
{
    int fd = connect_to(address);
    size_t length;

    send_all(fd, name, strlen(name), MSG_MORE);
    send_all(fd, "\r\n", 2, 0);
    length = receive_line(fd, greeting, size);
    close(fd);
    if (length < 7 || memcmp(greeting, "Hello, ", 7) != 0)
        errx(1, "not a greeting: %.*s", (int)length, greeting);
    return length;
}

int main(int argc, char **argv)
{
    char greeting[2048];

    if (argc < 3)
        errx(1, "usage: %s ADDRESS NAME...", argv[0]);
    for (int i = 2; i < argc; i++) {
        size_t length = get_greeting(argv[1], argv[i], greeting, sizeof(greeting));
        fwrite(greeting, 1, length, stdout);
        putchar('\n');
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
