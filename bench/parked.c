/* SPDX-License-Identifier: MIT */
/*
 * Tasks that wait, for someone to measure what the process holds for them:
 *
 *     parked COUNT    says "ready" when so many wait, until standard input ends
 */
#include <evert/evert.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int wait_for_ever(void *unused)
{
    (void)unused;
    return evert_sleep_until(EVERT_NEVER);
}

static void check(int rc, const char *what)
{
    if (rc < 0)
        errx(1, "%s: %s", what, evert_strerror(rc));
}

static int park(void *count)
{
    evert_scope s;
    char byte;

    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < *(int *)count; i++)
        check(evert_spawn(&s, wait_for_ever, NULL), "spawn");
    check(evert_yield(), "yield"); /* each has begun */
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) /* which holds the loop, as nothing is to happen */
        ;
    evert_scope_cancel(&s);
    return evert_scope_leave(&s, 0);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0;

    if (count < 1)
        errx(2, "COUNT is how many tasks are to wait");
    return evert_main(park, &count);
}
