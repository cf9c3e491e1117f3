/* SPDX-License-Identifier: MIT */
#include <evert/stream/listener.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "coro/describe.h"
#include "net/listener.h"
#include "net/resolve.h"
#include "stream/connection.h"
#include "stream/listen.h"

struct looking_up {
    struct evert__waiter waiter;
    struct evert__lookup lookup;
};

static void lookup_done(struct evert__lookup *lookup)
{
    evert__wake(&EVERT__CONTAINER(lookup, struct looking_up, lookup)->waiter, 0);
}

static bool stop_looking_up(struct evert__waiter *waiter)
{
    evert__lookup_cancel(&EVERT__CONTAINER(waiter, struct looking_up, waiter)->lookup);
    return true;
}

int evert__listen_look_up(const char *address, struct evert__task *self,
                          struct evert__addresses **ret)
{
    struct looking_up l = {.waiter.cancel = stop_looking_up,
                           .lookup = {.loop = self->loop, .done = lookup_done}};
    struct evert__endpoint endpoint;

    int rc = evert__endpoint_parse(address, &endpoint);
    if (rc < 0)
        return rc;
    if (!evert__lookup_start(&l.lookup, &endpoint, true)) {
        evert__wait(self, &l.waiter);
        rc = l.waiter.result;
        if (rc < 0)
            return rc;
    }
    *ret = l.lookup.addresses;
    return l.lookup.result;
}

EVERT__HOT static void may_accept(struct evert_listener *listener)
{
    if (listener->waiter != NULL)
        evert__wake(listener->waiter, 0);
}

int evert__listener_open_one(evert_loop *loop, const struct evert__addresses *addresses,
                             size_t size, void (*ready)(evert_listener *listener),
                             evert_listener **ret)
{
    int rc = EVERT_ENONAME;
    evert_listener *listener = evert__alloc_zero(size);
    if (listener == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < addresses->count; i++) {
        listener->ready = ready;
        rc = evert__listener_open(listener, loop, &addresses->list[i]);
        if (rc >= 0) {
            *ret = listener;
            return 0;
        }
        *listener = (evert_listener){0};
    }
    evert__free(listener);
    return rc;
}

int evert__listen_failed(struct evert__task *self, int rc, const char *address)
{
    char shown[EVERT__SHOWN];
    if (rc == -ECANCELED)
        return rc;
    return evert__fail(self, rc, "listen on %s: %s", evert__address_shown(address, shown),
                       evert_strerror(rc));
}

int evert_listen(evert_listener **ret, const char *address)
{
    struct evert__addresses *addresses = NULL;
    struct evert__task *self;
    int rc = evert__checkpoint(&self);
    if (rc < 0)
        return rc;
    rc = evert__listen_look_up(address, self, &addresses);
    if (rc == 0) {
        rc = evert__listener_open_one(self->loop, addresses, sizeof(**ret), may_accept, ret);
        evert__free(addresses);
    }
    return rc < 0 ? evert__listen_failed(self, rc, address) : 0;
}

const char *evert_listener_address(const evert_listener *listener)
{
    return listener->address;
}

struct accepting {
    struct evert__waiter waiter;
    evert_listener *listener;
    struct evert__ready ending; /* run when the program is told to end */
};

static bool stop_accepting(struct evert__waiter *waiter)
{
    evert_listener *listener = EVERT__CONTAINER(waiter, struct accepting, waiter)->listener;
    listener->waiter = NULL;
    evert__listener_disarm(listener);
    return true;
}

/* Wakes the accepting task, which then finds the loop ending. */
static void told_to_end(struct evert__ready *ready)
{
    evert__wake(&EVERT__CONTAINER(ready, struct accepting, ending)->waiter, 0);
}

/* Waits until there may be a connection. */
static int await_connection(evert_listener *listener, struct evert__task *self)
{
    struct accepting accepting = {
        .waiter.cancel = stop_accepting, .listener = listener, .ending.run = told_to_end};
    if (evert__listener_arm(listener))
        return 0;
    listener->waiter = &accepting.waiter;
    evert__list_append(&self->loop->servers, &accepting.ending.link);
    evert__wait(self, &accepting.waiter);
    evert__link_remove(&accepting.ending.link);
    if (accepting.waiter.result < 0)
        return accepting.waiter.result; /* closed meanwhile: it may be gone */
    listener->waiter = NULL;
    evert__listener_disarm(listener);
    return 0;
}

EVERT__HOT int evert_accept(evert_listener *listener, evert_stream **ret)
{
    struct evert__task *self;
    int rc = evert__checkpoint_on(listener->loop, &self);
    if (rc < 0)
        return rc;
    if (evert__loop_forked(listener->loop))
        return EVERT_ECLOSED; /* a child's copy: newcomers are the parent's */
    if (listener->waiter != NULL)
        return -EBUSY;
    for (;;) {
        if (self->loop->ending)
            return EVERT_ECLOSED;
        int number = evert__listener_take(listener);
        if (number >= 0) {
            rc = evert__connection_accepted(self->loop, number, listener->is_tcp, ret);
            if (rc == 0)
                evert__completed(self);
            return rc;
        }
        if (number != -EAGAIN)
            return evert__fail(self, number, "accept on %s: %s", listener->address,
                               evert_strerror(number));
        rc = await_connection(listener, self);
        if (rc < 0)
            return rc;
    }
}

void evert_listener_close(evert_listener *listener)
{
    if (listener == NULL)
        return;
    if (listener->closing != NULL)
        listener->closing(listener);
    struct evert__waiter *waiter = listener->waiter;
    if (waiter != NULL) {
        evert__wake(waiter, EVERT_ECLOSED);
        waiter->result = EVERT_ECLOSED; /* also where it was told just now to look once more */
    }
    evert__listener_close(listener);
}
