/* SPDX-License-Identifier: MIT */
#ifndef EVERT_SRC_STREAM_LISTEN_H
#define EVERT_SRC_STREAM_LISTEN_H

#include "coro/task.h"
#include "net/listener.h"
#include "net/resolve.h"

/* Looks up what there is to listen on; a task waits for it. */
int evert__listen_look_up(const char *address, struct evert__task *self,
                          struct evert__addresses **ret);

/* Puts into words what listening failed with, and returns it. */
int evert__listen_failed(struct evert__task *self, int rc, const char *address);

/*
 * Listens on the first of the addresses on which that is possible. The listener is made of `size`
 * bytes, of which what is behind it is the caller's, and zero.
 */
int evert__listener_open_one(evert_loop *loop, const struct evert__addresses *addresses,
                             size_t size, void (*ready)(struct evert_listener *listener),
                             struct evert_listener **ret);

#endif
