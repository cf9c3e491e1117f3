/* SPDX-License-Identifier: MIT */
/*
 * A listening socket: accepts, and survives what can go wrong there. Out of descriptors or memory
 * it pauses and tries again by timer; it never spins, and it never dies.
 */
#ifndef EVERT_SRC_NET_LISTENER_H
#define EVERT_SRC_NET_LISTENER_H

#include <sys/types.h>

#include "loop/loop.h"
#include "loop/op_flat.h"
#include "net/endpoint.h"

enum { EVERT__ACCEPTS = 64 }; /* in one step, until the others get their turn */

struct evert_listener {
    evert_loop *loop;
    struct evert__fd fd;
    struct evert__source source;
    void (*ready)(struct evert_listener *listener); /* there may be a connection to take */
    bool let_go;     /* its descriptor is closed, and nothing refers to it */
    bool paused;     /* short of descriptors or memory: trying again by timer */
    evert_time told; /* when a shortage was last logged */
    int reserve;     /* a descriptor to give up in a shortage, or -1 */
    struct evert__timer again;
    bool is_tcp;
    dev_t device; /* of a Unix socket's file, which is to go with the listener */
    ino_t inode;
    char address[EVERT__ADDRESS_WORDS];
    void *waiter;                                     /* the layer's above */
    void (*closing)(struct evert_listener *listener); /* lets go of what it keeps here, or NULL */
};

/* Binds and listens. The listener is zeroed before, but for `ready`. */
int evert__listener_open(struct evert_listener *listener, evert_loop *loop,
                         const struct evert__address *address);

/* What comes of a take that failed: the next one's, or else that error, or -EAGAIN for a pause. */
int evert__listener_take_again(struct evert_listener *listener, int error);

/* A descriptor, or -EAGAIN: arm. Other errors mean that the listener is of no use any more. */
static inline int evert__listener_take(struct evert_listener *listener)
{
    if (evert__timer_is_set(&listener->again))
        return -EAGAIN;
    int got = (int)evert__accept_flat(&listener->source);
    if (got < 0 && got != -EAGAIN)
        got = evert__listener_take_again(listener, got);
    if (got >= 0)
        listener->paused = false;
    return got;
}

/* Whether it is time to speak of a shortage; the next time is in ten seconds. */
bool evert__listener_may_tell(struct evert_listener *listener);

/* True: take again. False: `ready` will tell, once. */
bool evert__listener_arm(struct evert_listener *listener);
void evert__listener_disarm(struct evert_listener *listener);

/* Closes the socket, so that newcomers are refused; the listener stays, to be closed. */
void evert__listener_shut(struct evert_listener *listener);

/* Closes it and frees it, when the loop has let go of it. */
void evert__listener_close(struct evert_listener *listener);

#endif
