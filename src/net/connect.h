/* SPDX-License-Identifier: MIT */
/*
 * Connecting to an address: looks it up, and tries what comes of it in turn until one answers.
 * Every wait is an op or a timer, so it can be cancelled at each step; how long it may take is the
 * caller's to say.
 */
#ifndef EVERT_SRC_NET_CONNECT_H
#define EVERT_SRC_NET_CONNECT_H

#include "loop/loop.h"
#include "net/resolve.h"

struct evert__connector {
    evert_loop *loop;
    struct evert__fd *fd;                             /* where the connected descriptor is put */
    void (*done)(struct evert__connector *connector); /* never from inside start */
    int result;
    char words[121]; /* on failure: what happened, for people */

    bool starting, cancelled;
    unsigned next; /* of the addresses */
    evert_time pause;
    struct evert__endpoint endpoint;
    struct evert__addresses *addresses;
    struct evert__lookup lookup;
    struct evert__op op;
    struct evert__timer again;
};

/*
 * `loop`, `fd` and `done` are set, all else is zeroed. True: it is complete, and the result is
 * there. False: `done` will tell. The memory is needed until then.
 */
bool evert__connector_start(struct evert__connector *connector, const char *address);

/* True: it has ended, without a descriptor. False: `done` will tell, with -ECANCELED. */
bool evert__connector_cancel(struct evert__connector *connector);

#endif
