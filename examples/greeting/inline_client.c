/* SPDX-License-Identifier: MIT */
/* Asks for a greeting for each name, all at once: the callback protocol, awaited by coroutines. */
#include <evert/evert.h>

#include <stdio.h>
#include <stdlib.h>

#include "asker.h"

struct program {
    const char *address;
    struct asker *askers;
    size_t count;
};

struct client {
    const char *address;
    struct asker *asker;
};

/* What callback_client.c does in three functions, one step after another. */
static int get_greeting(void *arg)
{
    struct client *c = arg;
    evert_deferred *connected, *answer;
    int rc = evert_connect_protocol(&connected, NULL, c->address, &c->asker->lines.protocol);
    if (rc < 0)
        return rc;
    rc = evert_await(connected).error;
    evert_deferred_free(connected);
    if (rc < 0)
        return rc;

    rc = asker_ask(c->asker, &answer);
    if (rc < 0)
        return rc;
    rc = evert_await(answer).error;
    evert_deferred_free(answer);
    return rc;
}

static int run(void *arg)
{
    struct program *p = arg;
    struct client *clients = calloc(p->count, sizeof(*clients));
    if (clients == NULL)
        return -ENOMEM;

    evert_scope scope;
    int rc = 0;
    evert_scope_enter(&scope, evert_after(10 * EVERT_SECOND));
    for (size_t i = 0; i < p->count && rc == 0; i++) {
        clients[i] = (struct client){p->address, &p->askers[i]};
        rc = evert_spawn(&scope, get_greeting, &clients[i]);
    }
    rc = evert_scope_leave(&scope, rc);
    free(clients);

    for (size_t i = 0; i < p->count && rc >= 0; i++)
        puts(p->askers[i].greeting);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s ADDRESS NAME...\n", argv[0]);
        return 1;
    }
    struct program p = {.address = argv[1], .count = (size_t)argc - 2};
    p.askers = calloc(p.count, sizeof(*p.askers));
    if (p.askers == NULL)
        return 1;
    for (size_t i = 0; i < p.count; i++)
        asker_init(&p.askers[i], argv[2 + i]);
    int rc = evert_run(run, &p);
    if (rc < 0)
        fprintf(stderr, "%s: %s: %s\n", argv[0], p.address, evert_describe(rc));
    free(p.askers); /* by now each of them has lost its connection */
    return rc < 0;
}
