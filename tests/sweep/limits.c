/* SPDX-License-Identifier: MIT */
/*
 * A server that has no descriptor for all its clients: some are turned away, and the others are
 * served as there is room.
 */
#include "scenarios.h"

#include <sys/resource.h>

enum { CLIENTS = 4 };

static unsigned failures, served, turned_away;

/* Leaves room for one more descriptor. */
static void set_limit(struct rlimit *before)
{
    int next = dup(1); /* which is the lowest that is free */
    CHECK(next >= 0);
    close(next);
    getrlimit(RLIMIT_NOFILE, before);
    struct rlimit limit = *before;
    limit.rlim_cur = (rlim_t)next + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Each is either served or turned away. */
static int ask(void *arg)
{
    evert_stream *stream = arg;
    char line[20];
    evert_puts(stream, "hello\r\n");
    int rc = (int)evert_read_line_into(stream, line, sizeof(line));
    if (rc >= 0) {
        CHECK(strcmp(line, "hello") == 0);
        served++;
    } else if (rc == EVERT_EOF || rc == -ECONNRESET || rc == -EPIPE) {
        turned_away++;
        rc = 0;
    }
    evert_close(stream);
    return rc < 0 ? rc : 0;
}

static int serve(void *listener)
{
    return evert_serve(listener, echo, &failures);
}

static int ask_all(evert_stream *streams[CLIENTS])
{
    evert_scope scope;
    int rc = 0;
    evert_scope_enter(&scope, EVERT_NEVER);
    for (int i = 0; i < CLIENTS; i++) {
        if (rc == 0)
            rc = evert_spawn(&scope, ask, streams[i]);
        if (rc < 0)
            evert_abort(streams[i]);
    }
    return evert_scope_leave(&scope, rc);
}

/* Takes all of these. */
static int serve_and_ask(evert_listener *listener, evert_stream *streams[CLIENTS])
{
    evert_scope scope;
    struct rlimit before;
    set_limit(&before);
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn(&scope, serve, listener);
    if (rc < 0)
        evert_listener_close(listener);
    rc = first_error(rc, ask_all(streams));
    evert_scope_cancel(&scope);
    rc = evert_scope_leave(&scope, rc);
    setrlimit(RLIMIT_NOFILE, &before);
    if (rc == 0)
        CHECK(served + turned_away == CLIENTS);
    return rc;
}

static int run_shortage(void *unused)
{
    evert_stream *streams[CLIENTS];
    evert_listener *listener;
    (void)unused;
    int connected = 0, rc = evert_listen(&listener, ANY_PORT);
    if (rc < 0)
        return rc;
    while (rc == 0 && connected < CLIENTS) {
        rc = evert_connect(&streams[connected], evert_listener_address(listener));
        if (rc == 0)
            evert_set_close_limit(streams[connected++], CLOSE_LIMIT);
    }
    if (rc == 0)
        return serve_and_ask(listener, streams);
    while (connected > 0)
        evert_abort(streams[--connected]);
    evert_listener_close(listener);
    return rc;
}

static int shortage_run(void)
{
    return evert_run(run_shortage, NULL);
}

const struct scenario shortage_scenario = {
    .name = "shortage", .run = shortage_run, .may_be = -EMFILE, .slow = true};
