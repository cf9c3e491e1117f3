/* SPDX-License-Identifier: MIT */
/*
 * The client's protocol, for the clients that are written with callbacks: asks one question, and
 * fires a Deferred with the greeting once the connection is over.
 */
#ifndef GREETING_ASKER_H
#define GREETING_ASKER_H

#include <evert/evert.h>

#include <string.h>

struct asker {
    evert_line_receiver lines;
    const char *name;
    evert_deferred *answer; /* to be fired; NULL where nobody waits */
    int error;              /* what came of it: EVERT_EOF until there is an answer */
    char greeting[1100];
};

static int asker_line(evert_line_receiver *lines, evert_bytes line)
{
    struct asker *a = (struct asker *)lines;
    memcpy(a->greeting, line.data, line.size);
    a->greeting[line.size] = '\0';
    a->error = strncmp(a->greeting, "Hello, ", 7) == 0 ? 0 : -EPROTO;
    evert_transport_lose_connection(lines->protocol.transport);
    return 0;
}

static void asker_lost(evert_line_receiver *lines, int reason)
{
    struct asker *a = (struct asker *)lines;
    evert_deferred *answer = a->answer;
    if (answer == NULL)
        return;
    a->answer = NULL;
    if (a->error == 0)
        evert_deferred_callback(answer, a->greeting, NULL);
    else
        evert_deferred_errback(answer, reason < 0 ? reason : a->error);
}

static void asker_cancelled(evert_deferred *answer, void *asker)
{
    struct asker *a = asker;
    (void)answer;
    a->answer = NULL;
    evert_transport_abort_connection(a->lines.protocol.transport);
}

static void asker_init(struct asker *a, const char *name)
{
    static const evert_line_receiver_ops ops = {
        .line_limit = sizeof(a->greeting) - 1,
        .line_received = asker_line,
        .connection_lost = asker_lost,
    };
    evert_line_receiver_init(&a->lines, &ops);
    a->name = name;
    a->answer = NULL;
    a->error = EVERT_EOF;
}

/* Says the name. The Deferred is the caller's; its value is the greeting, which is the asker's. */
static int asker_ask(struct asker *a, evert_deferred **ret)
{
    int rc = evert_deferred_new(&a->answer);
    if (rc < 0)
        return rc;
    evert_deferred_set_canceller(a->answer, asker_cancelled, a);
    evert_transport_printf(a->lines.protocol.transport, "%s\r\n", a->name);
    *ret = a->answer;
    return 0;
}

#endif
