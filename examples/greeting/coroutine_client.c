/* SPDX-License-Identifier: MIT */
/* Asks for a greeting for each name, all at once, and prints them in the order of the names. */
#include <evert/evert.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    const char *address, *name;
    char greeting[1100];
};

static int get_greeting(void *arg)
{
    struct client *c = arg;
    evert_stream *s;
    int rc = evert_connect(&s, c->address);
    if (rc < 0)
        return rc;
    evert_printf(s, "%s\r\n", c->name); /* a failure comes back from the read */
    rc = (int)evert_read_line_into(s, c->greeting, sizeof(c->greeting));
    evert_close(s);
    if (rc >= 0 && strncmp(c->greeting, "Hello, ", 7) != 0)
        rc = -EPROTO;
    return rc;
}

static int run(void *arg)
{
    char **argv = arg;
    size_t count = 1; /* main() has seen to that */
    while (argv[2 + count] != NULL)
        count++;
    struct client *clients = calloc(count, sizeof(*clients));
    if (clients == NULL)
        return -ENOMEM;

    evert_scope scope;
    int rc = 0;
    evert_scope_enter(&scope, evert_after(10 * EVERT_SECOND));
    for (size_t i = 0; i < count && rc == 0; i++) {
        clients[i].address = argv[1];
        clients[i].name = argv[2 + i];
        rc = evert_spawn(&scope, get_greeting, &clients[i]);
    }
    rc = evert_scope_leave(&scope, rc);

    for (size_t i = 0; i < count && rc >= 0; i++)
        puts(clients[i].greeting);
    free(clients);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s ADDRESS NAME...\n", argv[0]);
        return 1;
    }
    return evert_main(run, argv);
}
