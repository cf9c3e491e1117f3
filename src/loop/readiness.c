/* SPDX-License-Identifier: MIT */
/*
 * Readiness. A descriptor is presumed ready until a call says that it would block; then it is
 * registered with the kernel, once in its life (epoll is asked for room to send apart), and an
 * event makes it presumed ready again. It is registered that late for three reasons: a socket that
 * never has to wait costs nothing; a connecting socket must not be asked about before connect(2),
 * when it reports a hang-up; and the kernel tells at registration what is ready already, so nothing
 * falls between.
 *
 * On TCP a read that comes back short has emptied the socket, which saves the call that would say
 * EAGAIN, *unless* the peer's end or an error is known: data and the end may come in one event, and
 * no further event follows it.
 */
#include "loop/readiness.h"

#include <errno.h>

#include "base/flat.h"
#include "loop/op_flat.h"

EVERT__HOT void evert__tell_op(struct evert__op *op)
{
    if (op->fd->loop->adverse != NULL)
        evert__adverse_hold_op(op);
    else
        op->done(op);
}

static ssize_t try_send(const struct evert__op *op)
{
    const struct iovec *first = op->send.pieces;
    if (op->most < first->iov_len) {
        struct iovec part = {first->iov_base, op->most};
        return evert__sys_send(op->fd->number, &part, 1);
    }
    return evert__sys_send_flat(op->fd->number, first, op->most == SIZE_MAX ? op->send.count : 1);
}

/* What became of a connect that was in progress, now that the socket has an event. */
ssize_t evert__connect_result(const struct evert__fd *fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    int rc = evert__sys_getsockopt(fd->number, SOL_SOCKET, SO_ERROR, &error, &size);
    return rc < 0 ? rc : -error;
}

EVERT__FLAT bool evert__readiness_start(struct evert__op *op, int (*attach)(struct evert__fd *fd))
{
    struct evert__fd *fd = op->fd;
    ssize_t blocked = op->kind == EVERT__OP_CONNECT ? -EINPROGRESS : -EAGAIN;

    op->result = blocked;
    if (op->kind == EVERT__OP_CONNECT)
        op->result = evert__sys_connect(fd->number, op->connect.address, op->connect.size);
    else if (fd->writable)
        op->result = op->kind == EVERT__OP_SEND ? try_send(op) : 0;
    if (op->result != blocked)
        return true;

    int rc = attach(fd);
    if (rc < 0) {
        op->result = rc;
        return true;
    }
    fd->writable = false;
    fd->op = op;
    return false;
}

EVERT__HOT ssize_t evert__readiness_send(struct evert__fd *fd, const struct iovec *pieces,
                                         int count)
{
    if (!fd->writable)
        return -EAGAIN;
    return evert__readiness_sent(fd, evert__sys_send_flat(fd->number, pieces, count));
}

size_t evert__readiness_room(struct evert__fd *fd, size_t size)
{
    return fd->writable ? size : 0;
}

bool evert__readiness_cancel(struct evert__op *op)
{
    op->fd->op = NULL;
    return true;
}

EVERT__FLAT ssize_t evert__readiness_take(struct evert__source *source, void *buffer, size_t size)
{
    struct evert__fd *fd = source->fd;
    if (fd->error < 0) {
        int error = fd->error;
        fd->error = 0;
        return error;
    }
    if (!fd->readable)
        return -EAGAIN;
    return evert__readiness_took(fd, evert__take_once(source, buffer, size), size);
}

/* A short one has not emptied the socket: it may be the pipe that is full. */
ssize_t evert__readiness_splice(struct evert__source *source, int pipe, size_t size)
{
    struct evert__fd *fd = source->fd;
    if (fd->error < 0)
        return -ENOTEMPTY;
    if (!fd->readable)
        return -EAGAIN;
    ssize_t count = evert__sys_splice_in(fd->number, pipe, size);
    if (count == -EAGAIN)
        fd->readable = false;
    return count;
}

EVERT__HOT void evert__readiness_disarm(struct evert__source *source)
{
    if (source->fd->source == source)
        source->fd->source = NULL;
}

bool evert__readiness_look(struct evert__source *source)
{
    char byte;
    if (evert__sys_recv(source->fd->number, &byte, 1, MSG_PEEK) == -EAGAIN)
        return false;
    source->fd->readable = true;
    return true;
}

static void writable(struct evert__fd *fd)
{
    struct evert__op *op = fd->op;
    fd->writable = true;
    if (op == NULL)
        return;
    if (op->kind == EVERT__OP_SEND)
        op->result = try_send(op);
    else
        op->result = op->kind == EVERT__OP_CONNECT ? evert__connect_result(fd) : 0;
    if (op->result == -EAGAIN) {
        fd->writable = false;
        return;
    }
    fd->op = NULL;
    evert__tell_op(op);
}

EVERT__HOT void evert__readiness_event(struct evert__fd *fd, unsigned events)
{
    if (events & EVERT__READY_ENDED)
        fd->ended = true;
    if (events & (EVERT__READY_OUT | EVERT__READY_ENDED))
        writable(fd);
    if (fd->number < 0 || !(events & (EVERT__READY_IN | EVERT__READY_ENDED)))
        return;
    fd->readable = true;
    struct evert__source *source = fd->source;
    if (source != NULL) {
        fd->source = NULL;
        evert__tell_source(source);
    }
}
