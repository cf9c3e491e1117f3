/* SPDX-License-Identifier: MIT */
/*
 * What the back ends have in common that learn from the kernel when a descriptor is ready (epoll,
 * poll): try the call first, and wait for readiness only when it would block. The two differ in how
 * they register a descriptor and how they wait.
 */
#ifndef EVERT_SRC_LOOP_READINESS_H
#define EVERT_SRC_LOOP_READINESS_H

#include <errno.h>
#include <poll.h>

#include "base/sys_flat.h"
#include "loop/loop.h"

/*
 * What the kernel says of a descriptor, in the bits of poll(2), which are those of epoll(7), too.
 * Urgent data, as an end, makes a read come back short with more behind it.
 */
enum {
    EVERT__READY_IN = POLLIN,
    EVERT__READY_OUT = POLLOUT,
    EVERT__READY_ENDED = POLLRDHUP | POLLHUP | POLLERR | POLLNVAL | POLLPRI
};

/* Tells a descriptor what the kernel said about it. */
void evert__readiness_event(struct evert__fd *fd, unsigned events);

/* For the tables; `attach` registers a descriptor with the kernel, when waiting first begins. */
bool evert__readiness_start(struct evert__op *op, int (*attach)(struct evert__fd *fd));
bool evert__readiness_cancel(struct evert__op *op);
ssize_t evert__readiness_send(struct evert__fd *fd, const struct iovec *pieces, int count);
ssize_t evert__readiness_take(struct evert__source *source, void *buffer, size_t size);
size_t evert__readiness_room(struct evert__fd *fd, size_t size);
ssize_t evert__readiness_splice(struct evert__source *source, int pipe, size_t size);
void evert__readiness_disarm(struct evert__source *source);
bool evert__readiness_look(struct evert__source *source);

/* Inline, so that a table's own is a single function: it ends in a call to the kernel. */
static inline bool evert__readiness_arm(struct evert__source *source,
                                        int (*attach)(struct evert__fd *fd))
{
    struct evert__fd *fd = source->fd;
    if (fd->readable)
        return true;
    fd->error = attach(fd);
    if (fd->error < 0)
        return true; /* the next take says so */
    fd->source = source;
    return false;
}

/* What a take of so many bytes came to, for the next one to know. */
static inline ssize_t evert__readiness_took(struct evert__fd *fd, ssize_t count, size_t size)
{
    bool is_short = count > 0 && (size_t)count < size;
    if (count == -EAGAIN || (is_short && fd->drained_by_short_read && !fd->ended))
        fd->readable = false;
    return count;
}

/* The same of a call that moves bytes to the socket. When it has room again, an op finds out. */
static inline ssize_t evert__readiness_sent(struct evert__fd *fd, ssize_t sent)
{
    if (sent == -EAGAIN)
        fd->writable = false;
    return sent;
}

/*
 * An accept(2) that finds nobody has made a socket and a file by then, and costs ten times a look.
 * Most connections come alone, so behind each a look comes first.
 */
static inline int evert__take_connection(struct evert__fd *fd)
{
    if (fd->taken_from && !evert__sys_is_readable_flat(fd->number)) {
        fd->taken_from = false;
        return -EAGAIN;
    }
    fd->taken_from = true;
    return evert__sys_accept_flat(fd->number);
}

/* One call that takes from the kernel what a source has there. */
static inline ssize_t evert__take_once(const struct evert__source *source, void *buffer,
                                       size_t size)
{
    int number = source->fd->number;
    switch (source->fd->kind) {
    case EVERT__SOURCE_ACCEPT:
        return evert__take_connection(source->fd);
    case EVERT__SOURCE_COUNTER:
        return evert__sys_read(number, buffer, size);
    default:
        return evert__sys_recv_flat(number, buffer, size, 0);
    }
}

/* What became of a connect that was in progress, once the socket is writable. */
ssize_t evert__connect_result(const struct evert__fd *fd);

/* The adverse back end's ear: what would be told is handed to it while it wraps another. */
void evert__adverse_hold_op(struct evert__op *op);
void evert__adverse_hold_source(struct evert__source *source);

/* Tell of an op that is complete, and a source that has something; adverse may hold them back. */
void evert__tell_op(struct evert__op *op);
static inline void evert__tell_source(struct evert__source *source)
{
    if (source->fd->loop->adverse != NULL)
        evert__adverse_hold_source(source);
    else
        source->ready(source);
}

#endif
