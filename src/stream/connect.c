/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "coro/describe.h"
#include "net/connect.h"
#include "stream/connection.h"

struct connecting {
    struct evert__waiter waiter;
    struct evert__connector connector;
};

static void connector_done(struct evert__connector *connector)
{
    struct connecting *c = EVERT__CONTAINER(connector, struct connecting, connector);
    evert__wake(&c->waiter, connector->result);
}

static bool stop_connecting(struct evert__waiter *waiter)
{
    return evert__connector_cancel(&EVERT__CONTAINER(waiter, struct connecting, waiter)->connector);
}

/* The connector is some hundred bytes, so it is on the heap and not on a task's stack. */
static int connect_to(const char *address, struct evert__task *self, struct connecting *c)
{
    if (!evert__connector_start(&c->connector, address)) {
        c->waiter.cancel = stop_connecting;
        evert__wait(self, &c->waiter);
        if (c->waiter.result == -ECANCELED)
            return -ECANCELED;
    } else if (c->connector.result == 0) {
        evert__completed(self);
    }
    return c->connector.result < 0
               ? evert__fail(self, c->connector.result, "%s", c->connector.words)
               : 0;
}

int evert_connect(evert_stream **ret, const char *address)
{
    struct evert__task *self;
    evert_stream *s = NULL;
    int rc = evert__checkpoint(&self);
    if (rc == 0)
        rc = evert__connection_new(self->loop, &s);
    if (rc < 0)
        return rc;
    struct connecting *c = evert__alloc_zero(sizeof(*c));
    rc = -ENOMEM;
    if (c != NULL) {
        c->connector.loop = self->loop;
        c->connector.fd = &s->fd;
        c->connector.done = connector_done;
        rc = connect_to(address, self, c);
        evert__free(c);
    }
    if (rc < 0)
        evert__free(s);
    else
        *ret = s;
    return rc;
}
