/* SPDX-License-Identifier: MIT */
/*
 * Taking what was received, and sending, for where each level of calls counts (base/flat.h). Where
 * all that a descriptor has is in the kernel, and the back end only knows whether there is
 * something, the call to the kernel is made in the caller's own frame. So it is with a back end
 * that tells of readiness, and in a ring as long as that is asked for no more; a send also with a
 * back end whose sends at once are the socket's.
 */
#ifndef EVERT_SRC_LOOP_OP_FLAT_H
#define EVERT_SRC_LOOP_OP_FLAT_H

#include <evert/base/error.h>

#include "base/sys_flat.h"
#include "loop/loop.h"
#include "loop/readiness.h"

/* Whether the kernel itself is to be asked for what a source has, if it has something. */
static inline bool evert__may_take_flat(const struct evert__fd *fd)
{
    return !evert__loop_forked(fd->loop) && fd->by_readiness && fd->error >= 0;
}

/* evert__source_take() of an ACCEPT source. */
static inline ssize_t evert__accept_flat(struct evert__source *source)
{
    struct evert__fd *fd = source->fd;
    if (!evert__may_take_flat(fd))
        return evert__source_take(source, NULL, 0);
    if (!fd->readable)
        return -EAGAIN;
    return evert__readiness_took(fd, evert__take_connection(fd), 0);
}

/* The same of a RECEIVE source. */
static inline ssize_t evert__receive_flat(struct evert__source *source, void *buffer, size_t size)
{
    struct evert__fd *fd = source->fd;
    if (!evert__may_take_flat(fd))
        return evert__source_take(source, buffer, size);
    if (!fd->readable)
        return -EAGAIN;
    return evert__readiness_took(fd, evert__sys_recv_flat(fd->number, buffer, size, 0), size);
}

/* Whether to wait for it is to register it with the kernel first, once in its life. */
static inline bool evert__is_unregistered(const struct evert__fd *fd)
{
    return __builtin_expect(fd->slot == 0, 0) && fd->by_readiness;
}

static inline int evert__is_attached(struct evert__fd *fd)
{
    (void)fd;
    return 0;
}

/* evert__source_arm(): nothing is asked of the kernel where it tells of the descriptor already. */
static inline bool evert__arm_flat(struct evert__source *source)
{
    struct evert__fd *fd = source->fd;
    if (evert__loop_forked(fd->loop) || !fd->by_readiness || fd->slot == 0)
        return evert__source_arm(source);
    return evert__readiness_arm(source, evert__is_attached);
}

/* evert__fd_send() of a single piece. */
static inline ssize_t evert__send_flat(struct evert__fd *fd, const struct iovec *piece)
{
    bool by_socket = fd->loop->backend->send == evert__readiness_send;
    if (evert__loop_forked(fd->loop) || !by_socket || !fd->writable)
        return evert__fd_send(fd, piece, 1);
    return evert__readiness_sent(fd, evert__sys_send_flat(fd->number, piece, 1));
}

#endif
