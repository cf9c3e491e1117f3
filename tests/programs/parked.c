/* SPDX-License-Identifier: MIT */
/*
 * Many of something that wait, for programs/memory.py to see what they cost:
 *
 *     parked sleep COUNT     that many tasks in evert_sleep(), of the usual stack
 *     parked serve COUNT     as many tasks in evert_read_line(), each for a connection, one
 * answered parked plain COUNT     as many connections, and nothing of the library's
 *
 * It says "begun" (with an address, where it listens) and waits for a line, so that it can be
 * measured without them; says "parked" and waits again. The tasks that sleep count the guards below
 * their stacks.
 */
#include <evert/evert.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coro/task.h"
#include "loop/loop.h"

static long count, parked, guarded;

static void tell(const char *words)
{
    char byte;
    puts(words);
    fflush(stdout);
    if (read(0, &byte, 1) < 0)
        err(1, "standard input");
}

static void check(int rc, const char *what)
{
    if (rc < 0)
        errx(1, "%s: %s", what, evert_describe(rc));
}

/* The kernel finds nothing below the stack that it could write to. */
static bool has_guard(const struct evert__task *task)
{
    return getrandom(task->stack->low - 1, 1, 0) < 0 && errno == EFAULT &&
           getrandom(task->stack->low, 1, 0) == 1;
}

static int sleeps(void *unused)
{
    (void)unused;
    /* Of one in a hundred, since it takes a page more of its stack. */
    if (parked++ % 100 == 0)
        guarded += has_guard(evert__loop_running()->current);
    return evert_sleep(3600 * EVERT_SECOND);
}

static int sleep_all(void *unused)
{
    evert_scope all;
    char words[64];
    (void)unused;
    tell("begun");
    evert_scope_enter(&all, EVERT_NEVER);
    for (long i = 0; i < count; i++) {
        check(evert_spawn(&all, sleeps, NULL), "spawn");
        if (i % 1000 == 0)
            check(evert_yield(), "yield");
    }
    while (parked < count)
        check(evert_yield(), "yield");
    (void)snprintf(words, sizeof(words), "parked %ld of %ld guarded", guarded, (count + 99) / 100);
    tell(words);
    _exit(0); /* to end them all is not what is measured */
}

static int greet(evert_stream *s, void *unused)
{
    evert_bytes name;
    int rc;
    (void)unused;
    while ((rc = evert_read_line(s, &name)) == 0) {
        evert_puts(s, "Hello, ");
        evert_put(s, name);
        check(evert_puts(s, "!\r\n"), "write");
        parked++;
    }
    return rc;
}

static int tell_when_parked(void *unused)
{
    (void)unused;
    while (parked < count)
        check(evert_sleep(10 * EVERT_MILLISECOND), "sleep");
    check(evert_sleep(10 * EVERT_MILLISECOND), "sleep");
    tell("parked");
    _exit(0);
}

static int serve_all(void *unused)
{
    evert_listener *listener;
    evert_scope scope;
    char words[64];
    (void)unused;
    check(evert_listen(&listener, "tcp://127.0.0.1:0"), "listen");
    (void)snprintf(words, sizeof(words), "begun %s", evert_listener_address(listener));
    tell(words);
    evert_scope_enter(&scope, EVERT_NEVER);
    check(evert_spawn(&scope, tell_when_parked, NULL), "spawn");
    return evert_scope_leave(&scope, evert_serve(listener, greet, NULL));
}

static void answer(int fd)
{
    char line[256];
    ssize_t size = recv(fd, line, sizeof(line) - 1, 0);
    if (size < 2)
        err(1, "receive");
    line[size - 2] = '\0';
    if (dprintf(fd, "Hello, %s!\r\n", line) < 0)
        err(1, "send");
}

static int hold_all(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    char words[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        err(1, "listen");
    (void)snprintf(words, sizeof(words), "begun tcp://127.0.0.1:%d", ntohs(address.sin_port));
    tell(words);
    for (; parked < count; parked++) {
        int one = accept(fd, NULL, NULL);
        if (one < 0)
            err(1, "accept");
        answer(one);
    }
    tell("parked");
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    if (strcmp(what, "sleep") == 0)
        return evert_main(sleep_all, NULL);
    if (strcmp(what, "serve") == 0)
        return evert_main(serve_all, NULL);
    if (strcmp(what, "plain") == 0)
        return hold_all();
    errx(2, "usage: parked sleep|serve|plain COUNT");
}
