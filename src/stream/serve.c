/* SPDX-License-Identifier: MIT */
/*
 * Serving: a scope with a task for each connection. The scope keeps going when a handler fails, and
 * when it is left, every handler has ended.
 */
#include <evert/stream/listener.h>

#include <string.h>

#include "base/log.h"
#include "coro/describe.h"
#include "net/listener.h"
#include "stream/connection.h"

struct evert__server {
    evert_handler *handler;
    void *arg;
    evert_listener *listener;
    evert_scope tasks;
    const char *name, *place; /* of the handler, for its tasks */
    char address[EVERT__ADDRESS_WORDS];
};

/* How long to wait before accepting goes on when there was no memory for a task. */
#define PAUSE (50 * EVERT_MILLISECOND)

static void log_failure(const struct evert__server *server, const struct evert__task *self, int rc)
{
    if (rc < 0 && rc != EVERT_EOF && !(rc == -ECANCELED && evert__task_cancelled(self)))
        evert__log(EVERT_LOG_WARNING, "%s on %s: %s", server->name, server->address,
                   evert__description_of(self, rc));
}

static int serve_one(void *arg)
{
    evert_stream *s = arg;
    struct evert__task *self = s->loop->current;
    const struct evert__server *server = EVERT__CONTAINER(self->home, struct evert__server, tasks);

    evert__connection_hold(s); /* the handler may close it */
    int rc = server->handler(s, server->arg);
    log_failure(server, self, rc);
    if (!s->taken && s->served) { /* else it is another's by now */
        int closed = evert_close(s);
        if (rc >= 0 || rc == EVERT_EOF) /* of what it wrote, something was not sent */
            log_failure(server, self, closed);
    }
    evert__connection_release(s);
    return rc == -ECANCELED && evert__task_cancelled(self) ? rc : 0;
}

static int accept_all(struct evert__server *server)
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

int evert_serve_at(evert_listener *listener, evert_handler *handler, void *arg, const char *name,
                   const char *place)
{
    struct evert__server server = {
        .handler = handler, .arg = arg, .listener = listener, .name = name, .place = place};
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
    return evert_scope_leave(&server.tasks, rc);
}
