/* SPDX-License-Identifier: MIT */
/*
 * From an endpoint to the addresses to try. Names are looked up by the system's resolver in threads
 * of their own (getaddrinfo(3) blocks), which share nothing with other work that blocks.
 */
#ifndef EVERT_SRC_NET_RESOLVE_H
#define EVERT_SRC_NET_RESOLVE_H

#include "loop/loop.h"
#include "net/endpoint.h"

struct evert__addresses {
    unsigned count;
    struct evert__address list[];
};

struct evert__lookup {
    evert_loop *loop;
    void (*done)(struct evert__lookup *lookup); /* never from inside start */
    int result;                                 /* 0, EVERT_ENONAME, EVERT_ERESOLVE, -ENOMEM … */
    struct evert__addresses *addresses; /* on success, in the order to try; the caller's to free */
    struct evert__name *name;           /* the job, while it works */
};

/* `loop` and `done` are set. True: complete, the result is there. False: `done` will tell. */
bool evert__lookup_start(struct evert__lookup *lookup, const struct evert__endpoint *endpoint,
                         bool passive);

/* `done` does not tell any more. Without effect on one that is complete. */
void evert__lookup_cancel(struct evert__lookup *lookup);

#endif
