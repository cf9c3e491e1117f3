/* SPDX-License-Identifier: MIT */
/* Protocols are built, for connections that are accepted and for those that are made. */
#include <evert/stream/protocol.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "base/time.h"
#include "net/connect.h"
#include "stream/face.h"
#include "stream/listen.h"

#define CONNECT_LIMIT (30 * EVERT_SECOND)

evert_protocol *evert_build_protocol(evert_factory *factory)
{
    const evert_protocol_ops *ops = factory->ops;
    size_t size = ops->size > sizeof(evert_protocol) ? ops->size : sizeof(evert_protocol);
    evert_protocol *protocol = evert__alloc_zero(size);
    if (protocol == NULL) {
        /* Else nobody would know that the connection was not turned away on purpose. */
        evert__log(EVERT_LOG_WARNING, "no memory for the protocol of a connection");
        return NULL;
    }
    protocol->ops = ops;
    protocol->built = true;
    return protocol;
}

void evert_protocol_free(evert_protocol *protocol)
{
    if (protocol == NULL)
        return;
    if (protocol->transport != NULL || !protocol->built)
        evert__misuse("evert_protocol_free: the protocol has a transport, or is not the library's");
    else
        evert__free(protocol);
}

/* ---- Listening ---- */

struct protocol_listener {
    evert_listener listener;
    evert_factory *factory;
    struct evert__ready accept; /* on the ready queue when there may be connections */
    struct evert__ready ending; /* run when the program is told to end */
};

static struct protocol_listener *outside(evert_listener *listener)
{
    return EVERT__CONTAINER(listener, struct protocol_listener, listener);
}

EVERT__HOT static void may_accept(evert_listener *listener)
{
    evert__ready_push(listener->loop, &outside(listener)->accept);
}

static void told_to_end(struct evert__ready *ready)
{
    struct protocol_listener *l = EVERT__CONTAINER(ready, struct protocol_listener, ending);
    evert__link_remove(&l->accept.link);
    evert__listener_shut(&l->listener);
}

static void closing(evert_listener *listener)
{
    evert__link_remove(&outside(listener)->accept.link);
    evert__link_remove(&outside(listener)->ending.link);
}

/* The factory may close the listener; then `accept` is off the queue for good. */
static void accept_one(struct protocol_listener *l, int number)
{
    evert_stream *s;
    evert_loop *loop = l->listener.loop;
    evert_factory *factory = l->factory;
    if (evert__connection_accepted(loop, number, l->listener.is_tcp, &s) < 0) {
        if (evert__listener_may_tell(&l->listener))
            evert__log(EVERT_LOG_WARNING, "accept on %s: no memory for a connection",
                       l->listener.address);
        return;
    }
    evert_protocol *protocol = factory->build_protocol(factory);
    if (protocol != NULL && protocol->transport != NULL) {
        evert__misuse("build_protocol gave a protocol that has a transport");
        protocol = NULL;
    }
    if (protocol == NULL) {
        evert__close_begin(s);
        return;
    }
    protocol->factory = factory;
    evert__transport_attach(s, protocol);
    evert__transport_step(s);
}

EVERT__HOT static void accept_all(struct evert__ready *ready)
{
    struct protocol_listener *l = EVERT__CONTAINER(ready, struct protocol_listener, accept);
    evert_loop *loop = l->listener.loop;
    int number = -EAGAIN;

    evert__ready_push(loop, &l->accept); /* for the next turn, unless there is nothing left */
    for (int i = 0; i < EVERT__ACCEPTS; i++) {
        number = evert__listener_take(&l->listener);
        if (number < 0)
            break;
        accept_one(l, number);
        if (!evert__link_used(&l->accept.link))
            return; /* it was closed, and is not to be touched */
    }
    if (number >= 0 || (number == -EAGAIN && evert__listener_arm(&l->listener)))
        return;
    evert__link_remove(&l->accept.link);
    if (number != -EAGAIN)
        evert__log(EVERT_LOG_ERROR, "accept on %s: %s; accepting no more", l->listener.address,
                   evert_strerror(number));
}

static void looked_up(struct evert__lookup *lookup)
{
    lookup->loop = NULL;
}

/* Outside of tasks: runs the loop, which does not run yet, for as long as a name is looked up. */
static int look_up(evert_loop *loop, const char *address, struct evert__addresses **ret)
{
    struct evert__lookup lookup = {.loop = loop, .done = looked_up};
    struct evert__endpoint endpoint;

    int rc = evert__endpoint_parse(address, &endpoint);
    if (rc < 0)
        return rc;
    if (!evert__lookup_start(&lookup, &endpoint, true)) {
        rc = evert__loop_begin(loop);
        if (rc < 0) {
            evert__lookup_cancel(&lookup);
            return rc;
        }
        while (lookup.loop != NULL && evert__loop_turn(loop, EVERT_NEVER))
            ;
        evert__loop_end(loop);
        if (lookup.loop != NULL) { /* something forked, and this is the child */
            evert__lookup_cancel(&lookup);
            return EVERT_ECLOSED;
        }
    }
    *ret = lookup.addresses;
    return lookup.result;
}

/* In a task of the loop, or in blocking mode on the loop that goes with it. */
static bool may_wait(const evert_loop *loop)
{
    if (evert__loop_running() != NULL)
        return evert__loop_running() == loop && loop->current != NULL;
    return evert__loop_is_own(loop);
}

int evert_listen_protocol(evert_listener **ret, evert_loop *loop, const char *address,
                          evert_factory *factory)
{
    struct evert__addresses *addresses = NULL;
    evert_listener *listener = NULL;
    struct evert__task *self = NULL;

    int rc = evert__loop_or_here(&loop);
    if (rc == 0 && evert__loop_forked(loop))
        rc = EVERT_ECLOSED;
    if (rc == 0 && may_wait(loop))
        rc = evert__checkpoint_on(loop, &self);
    if (rc == 0)
        rc = self != NULL ? evert__listen_look_up(address, self, &addresses)
                          : look_up(loop, address, &addresses);
    if (rc == 0) {
        rc = evert__listener_open_one(loop, addresses, sizeof(struct protocol_listener), may_accept,
                                      &listener);
        evert__free(addresses);
    }
    if (listener == NULL)
        return self != NULL ? evert__listen_failed(self, rc, address) : rc;
    struct protocol_listener *l = outside(listener);
    l->listener.closing = closing;
    l->factory = factory;
    l->accept.run = accept_all;
    l->ending.run = told_to_end;
    evert__list_append(&loop->servers, &l->ending.link);
    if (loop->ending)
        told_to_end(&l->ending); /* before it began */
    else
        evert__ready_push(loop, &l->accept);
    *ret = listener;
    return 0;
}

/* ---- Connecting ---- */

struct connecting {
    struct evert__connector connector;
    evert_deferred *deferred; /* NULL when nobody waits any more */
    evert_protocol *protocol;
    evert_stream *stream;
    struct evert__ready done;
    struct evert__ready leaving; /* run when the run, or the loop, comes to its end */
    struct evert__timer limit;
    int error;
};

static void free_connecting(struct connecting *c)
{
    evert__timer_unset(c->connector.loop, &c->limit);
    evert__link_remove(&c->done.link);
    evert__link_remove(&c->leaving.link);
    if (c->error < 0)
        c->connector.loop->busy--;
    evert__free(c->stream);
    evert__free(c);
}

/* A connection that has come about, and whom to tell: NULL when that was done. */
struct connected {
    evert_deferred *deferred;
    evert_protocol *protocol;
    evert_stream *stream;
};

/*
 * The Deferred is cancelled, or freed, in connection_made(). That is too late: the protocol has its
 * connection, and is to hear the end of it. Unless it gave it away, and may be gone.
 */
static void cancelled_late(evert_deferred *deferred, void *arg)
{
    struct connected *c = arg;
    c->deferred = NULL;
    if (c->stream->protocol == c->protocol)
        (void)evert_deferred_callback(deferred, c->protocol, NULL);
}

static void tell_connected(struct connected c)
{
    evert_stream *s = c.stream;
    evert_deferred_set_canceller(c.deferred, cancelled_late, &c);
    evert__connection_hold(s);
    evert__transport_attach(s, c.protocol);
    evert__transport_make(s);
    bool has_it = s->protocol == c.protocol;
    if (has_it)
        evert__ready_push(s->loop, &s->step);
    evert__connection_release(s);
    if (c.deferred == NULL)
        return;
    evert_deferred_set_canceller(c.deferred, NULL, NULL);
    if (has_it)
        (void)evert_deferred_callback(c.deferred, c.protocol, NULL);
    else
        (void)evert_deferred_errback(c.deferred, -ECONNABORTED);
}

/* In the ready queue: connected, or not. Everything is let go of before anybody is called. */
static void tell(struct evert__ready *ready)
{
    struct connecting *c = EVERT__CONTAINER(ready, struct connecting, done);
    evert_deferred *deferred = c->deferred;
    evert_protocol *protocol = c->protocol;
    evert_stream *s = NULL;
    int rc = c->error < 0 ? c->error : c->connector.result;

    if (rc == 0 && protocol->transport != NULL)
        rc = EVERT_EALREADY; /* it got another one meanwhile */
    if (c->connector.result == 0) {
        if (rc == 0)
            s = c->stream;
        else
            evert__close_now(c->stream, true); /* connected after all, and too late */
        c->stream = NULL;
    }
    free_connecting(c);
    if (deferred == NULL)
        return;
    if (s != NULL) {
        tell_connected((struct connected){deferred, protocol, s});
        return;
    }
    evert_deferred_set_canceller(deferred, NULL, NULL);
    (void)evert_deferred_errback(deferred, rc);
}

static void connector_done(struct evert__connector *connector)
{
    struct connecting *c = EVERT__CONTAINER(connector, struct connecting, connector);
    evert__ready_push(connector->loop, &c->done);
}

/*
 * Gives up, for the last reason that there is. True: nothing is on its way any more; else
 * connector_done() will be called. Until it is freed the loop is not to go.
 */
static bool give_up(struct connecting *c, int error)
{
    bool again = c->error < 0;
    c->error = error;
    if (again)
        return false;
    c->connector.loop->busy++;
    evert__timer_unset(c->connector.loop, &c->limit);
    if (evert__link_used(&c->done.link))
        return false; /* it is complete, and about to be told */
    return evert__connector_cancel(&c->connector);
}

static void took_too_long(struct evert__ready *ready)
{
    struct connecting *c = EVERT__CONTAINER(ready, struct connecting, limit.ready);
    if (give_up(c, -ETIMEDOUT)) {
        c->connector.result = -ETIMEDOUT;
        tell(&c->done);
    }
}

static void leave_loop(struct evert__ready *ready)
{
    struct connecting *c = EVERT__CONTAINER(ready, struct connecting, leaving);
    if (c->error == 0 && give_up(c, -ECANCELED)) {
        /* Told in a turn, not here, where who tries again at once would never come to an end. */
        c->connector.result = -ECANCELED;
        connector_done(&c->connector);
    }
}

static void cancelled(evert_deferred *deferred, void *arg)
{
    struct connecting *c = arg;
    (void)deferred;
    c->deferred = NULL;
    if (give_up(c, -ECANCELED))
        free_connecting(c);
}

static struct connecting *new_connecting(evert_loop *loop, evert_protocol *protocol)
{
    struct connecting *c = evert__alloc_zero(sizeof(*c));
    if (c == NULL)
        return NULL;
    c->protocol = protocol;
    c->done.run = tell;
    c->leaving.run = leave_loop;
    c->limit.ready.run = took_too_long;
    if (evert__connection_new(loop, &c->stream) < 0) {
        evert__free(c);
        return NULL;
    }
    c->connector.loop = loop;
    c->connector.fd = &c->stream->fd;
    c->connector.done = connector_done;
    return c;
}

int evert_connect_protocol(evert_deferred **ret, evert_loop *loop, const char *address,
                           evert_protocol *protocol)
{
    int rc = evert__loop_or_here(&loop);
    if (rc < 0)
        return rc;
    if (loop->leaving || evert__loop_forked(loop))
        return EVERT_ECLOSED;
    if (protocol->transport != NULL)
        return EVERT_EALREADY;
    struct connecting *c = new_connecting(loop, protocol);
    if (c == NULL)
        return -ENOMEM;
    rc = evert_deferred_new(&c->deferred);
    if (rc < 0) {
        free_connecting(c);
        return rc;
    }
    evert_deferred_set_canceller(c->deferred, cancelled, c);
    evert__list_append(&loop->transports, &c->leaving.link);
    *ret = c->deferred;
    if (evert__connector_start(&c->connector, address))
        connector_done(&c->connector); /* told in the next turn, like all others */
    else
        evert__timer_set(loop, &c->limit, evert_after(CONNECT_LIMIT));
    return 0;
}
