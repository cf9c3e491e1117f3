/* SPDX-License-Identifier: MIT */
/*
 * Serving: a scope with a task for each connection. The scope keeps going when a handler fails, and
 * when it is left, every handler has ended. A connection's farewell takes no task: the loop says
 * it, and may be waiting for the peer when the stack has long been another's.
 */
#include <evert/stream/listener.h>

#include <string.h>

#include "base/flat.h"
#include "base/log.h"
#include "coro/describe.h"
#include "net/listener.h"
#include "stream/connection.h"

struct evert__server {
    evert_handler *handler;
    void *arg;
    evert_listener *listener;
    evert_scope tasks;
    struct evert__closer closer;
    unsigned leaving;             /* connections whose handler has ended, but not their farewell */
    struct evert__waiter *waiter; /* for the last of them */
    const char *name, *place;     /* of the handler, for its tasks */
    char address[EVERT__ADDRESS_WORDS];
};

/* How long to wait before accepting goes on when there was no memory for a task. */
#define PAUSE (50 * EVERT_MILLISECOND)

static void log_failure(const struct evert__server *server, const char *words)
{
    evert__log(EVERT_LOG_WARNING, "%s on %s: %s", server->name, server->address, words);
}

/* How a handler ends whose connection came to its end, or that is content. */
static bool is_well(int rc)
{
    return rc >= 0 || rc == EVERT_EOF;
}

/* Of what a handler wrote that ended well, something may not have been sent. */
EVERT__HOT static void farewell_over(struct evert__closer *closer, const evert_stream *s)
{
    struct evert__server *server = EVERT__CONTAINER(closer, struct evert__server, closer);
    if (s->write_error < 0 && is_well(s->reason))
        log_failure(server, evert_strerror(s->write_error));
    if (--server->leaving == 0 && server->waiter != NULL)
        evert__wake(server->waiter, 0);
}

static void say_farewell(struct evert__server *server, evert_stream *s, int reason)
{
    server->leaving++;
    s->reason = reason;
    s->closer = &server->closer;
    evert__close_begin(s);
}

/* They go on by themselves. */
static void leave_alone(struct evert__server *server, evert_loop *loop)
{
    for (struct evert__link *l = loop->farewells.next; l != &loop->farewells; l = l->next) {
        evert_stream *s = EVERT__CONTAINER(l, evert_stream, farewell.link);
        if (s->closer == &server->closer)
            s->closer = NULL;
    }
}

static bool stop_waiting(struct evert__waiter *waiter)
{
    (void)waiter;
    return true;
}

static void await_farewells(struct evert__server *server, struct evert__task *self)
{
    struct evert__waiter waiter = {.cancel = stop_waiting};
    if (server->leaving == 0)
        return;
    server->waiter = &waiter;
    evert__wait(self, &waiter);
    server->waiter = NULL;
}

EVERT__HOT static int serve_one(void *arg)
{
    evert_stream *s = arg;
    struct evert__task *self = s->loop->current;
    struct evert__server *server = EVERT__CONTAINER(self->home, struct evert__server, tasks);

    evert__connection_hold(s); /* the handler may close it */
    int rc = server->handler(s, server->arg);
    bool cut = rc == -ECANCELED && evert__task_cancelled(self);
    if (!is_well(rc) && !cut)
        log_failure(server, evert__description_of(self, rc));
    if (!s->taken && s->served) /* else it is another's by now */
        say_farewell(server, s, rc);
    evert__connection_release(s);
    return cut ? rc : 0;
}

EVERT__HOT static int accept_all(struct evert__server *server)
{
    evert_stream *s;
    for (;;) {
        int rc = evert_accept(server->listener, &s);
        if (rc == 0) {
            s->served = true;
            rc = evert_spawn_at(&server->tasks, serve_one, s, server->name, server->place);
            if (rc < 0)
                evert_abort(s);
        }
        if (rc == -ENOMEM) {
            if (evert__listener_may_tell(server->listener))
                evert__log(EVERT_LOG_WARNING, "%s on %s: no memory for a connection", server->name,
                           server->address);
            rc = evert_sleep(PAUSE);
        }
        if (rc < 0)
            return rc;
    }
}

EVERT__HOT int evert_serve_at(evert_listener *listener, evert_handler *handler, void *arg,
                              const char *name, const char *place)
{
    struct evert__server server = {.handler = handler,
                                   .arg = arg,
                                   .listener = listener,
                                   .closer.over = farewell_over,
                                   .name = name,
                                   .place = place};
    struct evert__task *self;
    int rc = evert__checkpoint(&self);
    if (rc < 0) {
        evert_listener_close(listener);
        return rc;
    }
    memcpy(server.address, listener->address, sizeof(server.address));
    evert_scope_enter(&server.tasks, EVERT_NEVER);
    evert_scope_keep_going(&server.tasks);
    rc = accept_all(&server);
    evert_listener_close(listener); /* at once, so that newcomers do not wait for nothing */
    if (rc == EVERT_ECLOSED)
        rc = 0; /* the program is ending: those that are served may finish */
    else
        evert_scope_cancel(&server.tasks);
    rc = evert_scope_leave(&server.tasks, rc);
    if (rc == 0)
        await_farewells(&server, self);
    leave_alone(&server, self->loop);
    return rc;
}
