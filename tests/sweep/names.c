/* SPDX-License-Identifier: MIT */
/* Names: listening and connecting by one, which workers look up; refused, and given up. */
#include "scenarios.h"

#include <arpa/inet.h>
#include <stdio.h>

static unsigned failures;

static const char *port_of(const char *address)
{
    return strrchr(address, ':');
}

/* A port of all addresses on which nobody listens, and nobody else can while it is held. */
static int hold_port(char address[ADDRESS_SIZE])
{
    struct sockaddr_in6 bound = {.sin6_family = AF_INET6};
    socklen_t size = sizeof(bound);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
    CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0 &&
          bind(fd, (struct sockaddr *)&bound, size) == 0 &&
          getsockname(fd, (struct sockaddr *)&bound, &size) == 0);
    snprintf(address, ADDRESS_SIZE, "tcp://localhost:%d", ntohs(bound.sin6_port));
    return fd;
}

static int connect_and_leave(void *address)
{
    evert_stream *s;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(s, CLOSE_LIMIT);
    evert_puts(s, "hello\r\n");
    return evert_close(s);
}

/* All addresses of the name refuse. */
static int be_refused(void)
{
    char address[ADDRESS_SIZE];
    int held = hold_port(address), rc = connect_and_leave(address);
    close(held);
    CHECK(rc < 0 && evert_describe(rc)[0] != '\0');
    return rc == -ECONNREFUSED ? 0 : rc;
}

/* Gives up a lookup that has just begun: a worker is left with it. */
static int give_up(const char *address)
{
    evert_scope scope;
    evert_task *task;
    evert_spawn_options options = evert_spawn_defaults();
    options.ret_task = &task;
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn_with(&scope, &options, connect_and_leave, (void *)(uintptr_t)address);
    if (rc == 0)
        rc = evert_yield();
    if (rc == 0)
        evert_task_cancel(task);
    return evert_scope_leave(&scope, rc);
}

static int use_names(const char *listening, void *unused)
{
    char address[ADDRESS_SIZE];
    evert_scope scope;
    (void)unused;
    snprintf(address, sizeof(address), "tcp://localhost%s", port_of(listening));
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = 0;
    for (int i = 0; i < 6 && rc == 0; i++) /* more than there are workers */
        rc = evert_spawn(&scope, connect_and_leave, address);
    rc = evert_scope_leave(&scope, rc);
    if (rc == 0)
        rc = give_up(address);
    return rc < 0 ? rc : be_refused();
}

static int run_names(void *unused)
{
    (void)unused;
    return with_server("tcp://localhost:0", echo, &failures, use_names, NULL);
}

static int names_run(void)
{
    return evert_run(run_names, NULL);
}

const struct scenario names_scenario = {.name = "names", .run = names_run};
