/* SPDX-License-Identifier: MIT */
/*
 * What the library allocates for a connection that is idle, counted by its allocator hook, nothing
 * left out: the greeting in callbacks serves this very process, each of whose connections is
 * greeted once.
 *
 *     idle
 *
 * The result is one line of JSON: bytes for each connection, and without what the program asks for.
 */
#include <evert/evert.h>

#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 2000, WARM = 300 };

static size_t held;

/* Sizes as they were asked for, kept in front of the memory. */
static void *reallocate(void *memory, size_t size, void *unused)
{
    size_t *block = memory != NULL ? (size_t *)memory - 2 : NULL;
    size_t before = block != NULL ? *block : 0;
    (void)unused;
    block = realloc(block, size + 2 * sizeof(size_t));
    if (block == NULL)
        return NULL;
    held += size - before;
    *block = size;
    return block + 2;
}

static void release(void *memory, void *unused)
{
    size_t *block = (size_t *)memory - 2;
    (void)unused;
    held -= *block;
    free(block);
}

static int greet(evert_line_receiver *lines, evert_bytes name)
{
    evert_transport *t = lines->protocol.transport;
    evert_transport_puts(t, "Hello, ");
    evert_transport_put(t, name);
    return evert_transport_puts(t, "!\r\n");
}

static const evert_line_receiver_ops greeter = {.line_limit = 1024, .line_received = greet};
static evert_factory factory = {evert_build_line_receiver, &greeter};

static evert_loop *loop;

/* Connects plainly, asks once, and lets the loop run until the answer is there. */
static int be_greeted(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char answer[64];
    size_t got = 0;
    int low = socket(AF_INET, SOCK_STREAM, 0);
    int fd = fcntl(low, F_DUPFD, 3 * CONNECTIONS); /* the numbers below are the server's */

    close(low);
    to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
        write(fd, "World\r\n", 7) != 7)
        err(1, "%s", address);
    while (got < 15) {
        if (evert_loop_turn(loop, evert_after(EVERT_SECOND)) < 0)
            errx(1, "the loop does not run");
        ssize_t n = recv(fd, answer + got, sizeof(answer) - got, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    return fd;
}

int main(void)
{
    static int clients[CONNECTIONS];
    const evert_allocator counting = {reallocate, release, NULL};
    evert_listener *listener;
    size_t before;

    evert_set_allocator(&counting);
    if (evert_loop_new(&loop) < 0 ||
        evert_listen_protocol(&listener, loop, "tcp://127.0.0.1:0", &factory) < 0)
        errx(1, "cannot listen");
    for (int i = 0; i < WARM; i++) /* what the loop keeps for all of them */
        close(be_greeted(evert_listener_address(listener)));
    for (int i = 0; i < WARM; i++)
        if (evert_loop_turn(loop, evert_after(EVERT_MILLISECOND)) < 0)
            errx(1, "the loop does not run");
    before = held;
    for (int i = 0; i < CONNECTIONS; i++)
        clients[i] = be_greeted(evert_listener_address(listener));
    printf("{\"callbacks\": %.1f}\n", (double)(held - before) / CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++)
        close(clients[i]);
    evert_listener_close(listener);
    evert_loop_free(loop);
    return 0;
}
