/* SPDX-License-Identifier: MIT */
/* The client's coroutines: each asks one question on a connection of its own, all at once. */
#include "many.h"

#include <stdio.h>

enum { OF_EACH = 10, QUESTIONS = 2 * OF_EACH };

struct question {
    const char *address;
    char words[32], expected[48];
};

static int ask(void *arg)
{
    struct question *q = arg;
    char answer[100];
    evert_stream *s;
    int rc = evert_connect(&s, q->address);
    if (rc < 0)
        return rc;
    evert_printf(s, "%s\r\n", q->words); /* a failure comes back from the read */
    rc = (int)evert_read_line_into(s, answer, sizeof(answer));
    evert_close(s);
    if (rc >= 0 && strcmp(answer, q->expected) != 0)
        rc = -EPROTO;
    return rc;
}

int ask_questions(const char *greeting_address, const char *echo_address)
{
    struct question questions[QUESTIONS];
    evert_scope scope;
    int rc = 0;

    for (int i = 0; i < OF_EACH; i++) {
        struct question *greeting_of = &questions[i], *echo_of = &questions[OF_EACH + i];
        greeting_of->address = greeting_address;
        snprintf(greeting_of->words, sizeof(greeting_of->words), "guest %d", i);
        snprintf(greeting_of->expected, sizeof(greeting_of->expected), "Hello, guest %d!", i);
        echo_of->address = echo_address;
        snprintf(echo_of->words, sizeof(echo_of->words), "echo %d", i);
        snprintf(echo_of->expected, sizeof(echo_of->expected), "echo %d", i);
    }
    evert_scope_enter(&scope, EVERT_NEVER);
    for (int i = 0; i < QUESTIONS && rc == 0; i++)
        rc = evert_spawn(&scope, ask, &questions[i]);
    rc = evert_scope_leave(&scope, rc);
    return rc < 0 ? rc : QUESTIONS;
}
