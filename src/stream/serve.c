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

struct parting {
    struct evert__waiter waiter;
    struct evert__server *server;
};

static bool stop_parting(struct evert__waiter *waiter)
{
    (void)waiter;
    return true;
}

static void await_farewells(struct evert__server *server, struct evert__task *self)
{
    struct parting parting = {.waiter.cancel = stop_parting, .server = server};
    if (server->leaving == 0)
        return;
    server->waiter = &parting.waiter;
    evert__wait(self, &parting.waiter);
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

/* ---- Accepting, which the loop does: the task that serves waits for the end of it ---- */

struct serving {
    struct evert__waiter waiter;
    struct evert__server *server;
    struct evert__timer accept; /* run when there may be somebody; set for a pause */
    struct evert__ready ending; /* run when the program is told to end */
};

static void log_want_of_memory(const struct evert__server *server)
{
    if (evert__listener_may_tell(server->listener))
        evert__log(EVERT_LOG_WARNING, "%s on %s: no memory for a connection", server->name,
                   server->address);
}

static int accept_one(struct evert__server *server)
{
    static const evert_spawn_options usual;
    evert_listener *listener = server->listener;
    struct evert__task *task;
    evert_stream *s;
    int rc = evert__listener_take(listener);
    if (rc >= 0)
        rc = evert__connection_accepted(listener->loop, rc, listener->is_tcp, &s);
    if (rc < 0)
        return rc;
    s->served = true;
    rc = evert__spawn(&server->tasks, &usual, serve_one, s, server->name, server->place, &task);
    if (rc < 0)
        evert__close_now(s, true);
    else if (listener->loop->watch == NULL) /* else each run of a task is watched by itself */
        evert__task_start(task);
    return rc;
}

/* A handler that has begun may have ended all this; its server stands still meanwhile. */
static bool is_over(const struct serving *serving)
{
    return serving->waiter.done || evert__loop_forked(serving->server->listener->loop);
}

EVERT__HOT static void accept_all(struct evert__ready *ready)
{
    struct serving *serving = EVERT__CONTAINER(ready, struct serving, accept.ready);
    evert_listener *listener = serving->server->listener;
    int rc = 0;
    for (int i = 0; i < EVERT__ACCEPTS && rc >= 0 && !is_over(serving); i++)
        rc = accept_one(serving->server);
    if (is_over(serving))
        return;
    if (rc == -ENOMEM) {
        log_want_of_memory(serving->server);
        evert__timer_set(listener->loop, &serving->accept, evert_after(PAUSE));
    } else if (rc < 0 && rc != -EAGAIN) {
        evert__wake(&serving->waiter, rc);
    } else if (rc >= 0 || evert__listener_arm(listener)) {
        evert__ready_push(listener->loop, &serving->accept.ready);
    }
}

EVERT__HOT static void may_accept(evert_listener *listener)
{
    struct serving *serving = EVERT__CONTAINER(listener->waiter, struct serving, waiter);
    evert__ready_push(listener->loop, &serving->accept.ready);
}

static void told_to_end(struct evert__ready *ready)
{
    evert__wake(&EVERT__CONTAINER(ready, struct serving, ending)->waiter, EVERT_ECLOSED);
}

static bool stop_serving(struct evert__waiter *waiter)
{
    evert__listener_disarm(EVERT__CONTAINER(waiter, struct serving, waiter)->server->listener);
    return true;
}

/* Until that is over: why. */
static int accept_until_the_end(struct evert__server *server, struct evert__task *self)
{
    struct serving serving = {.waiter.cancel = stop_serving,
                              .server = server,
                              .accept.ready.run = accept_all,
                              .ending.run = told_to_end};
    evert_listener *listener = server->listener;
    if (listener->waiter != NULL)
        return -EBUSY;
    if (self->loop->ending || evert__loop_forked(self->loop))
        return EVERT_ECLOSED;
    listener->waiter = &serving.waiter;
    listener->ready = may_accept;
    evert__list_append(&self->loop->servers, &serving.ending.link);
    evert__ready_push(self->loop, &serving.accept.ready);
    evert__wait(self, &serving.waiter);
    listener->waiter = NULL;
    evert__link_remove(&serving.ending.link);
    evert__timer_unset(self->loop, &serving.accept);
    int rc = serving.waiter.result;
    if (rc == -ECANCELED || rc == EVERT_ECLOSED)
        return rc;
    return evert__fail(self, rc, "accept on %s: %s", listener->address, evert_strerror(rc));
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
    rc = accept_until_the_end(&server, self);
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
