/* SPDX-License-Identifier: MIT */
#include "loop/op.h"

#include <evert/base/error.h>

#include "base/flat.h"
#include "base/sys_flat.h"
#include "loop/loop.h"
#include "loop/readiness.h"

EVERT__HOT void evert__fd_init(struct evert__fd *fd, evert_loop *loop, int number)
{
    *fd = (struct evert__fd){.number = number,
                             .readable = true,
                             .writable = true,
                             .by_readiness = loop->backend->take == evert__readiness_take,
                             .loop = loop};
}

void evert__fd_closed(struct evert__fd *fd)
{
    if (fd->closed == NULL)
        return;
    evert__list_append(&fd->loop->closed, &fd->link);
    evert__loop_end_runs(fd->loop);
}

EVERT__HOT void evert__fd_close(struct evert__fd *fd, void (*closed)(struct evert__fd *fd))
{
    evert_loop *loop = fd->loop;
    if (fd->source != NULL)
        evert__source_disarm(fd->source);
    fd->closed = closed;
    bool later = loop->backend->detach(fd);
    if (!later)
        evert__sys_close_flat(fd->number);
    fd->number = -1;
    if (!later)
        evert__fd_closed(fd);
}

void evert__fd_end_by_reset(const struct evert__fd *fd)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)evert__sys_setsockopt(fd->number, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/*
 * In a child of a fork nothing is sent and nothing taken: it would be sent twice, and missing in
 * the parent. Nor is anything asked for or taken back, as the queue of a ring, and the set of
 * epoll, are the parent's: what the child's copy of the loop had on its way is simply over.
 */
EVERT__HOT bool evert__op_start(struct evert__op *op)
{
    if (evert__loop_forked(op->fd->loop)) {
        op->result = EVERT_ECLOSED;
        return true;
    }
    return op->fd->loop->backend->start(op);
}

bool evert__op_cancel(struct evert__op *op)
{
    if (evert__loop_forked(op->fd->loop))
        return true;
    return op->fd->loop->backend->cancel(op);
}

EVERT__HOT ssize_t evert__fd_send(struct evert__fd *fd, const struct iovec *pieces, int count)
{
    if (evert__loop_forked(fd->loop))
        return EVERT_ECLOSED;
    return fd->loop->backend->send(fd, pieces, count);
}

ssize_t evert__fd_send_file(struct evert__fd *fd, int file, int64_t offset, size_t size)
{
    if (evert__loop_forked(fd->loop))
        return EVERT_ECLOSED;
    size = fd->loop->backend->room(fd, size);
    if (size == 0)
        return -EAGAIN;
    return evert__readiness_sent(fd, evert__sys_sendfile(fd->number, file, offset, size));
}

ssize_t evert__fd_send_pipe(struct evert__fd *fd, int pipe, size_t size)
{
    if (evert__loop_forked(fd->loop))
        return EVERT_ECLOSED;
    size = fd->loop->backend->room(fd, size);
    if (size == 0)
        return -EAGAIN;
    return evert__readiness_sent(fd, evert__sys_splice_out(pipe, fd->number, size));
}

ssize_t evert__source_splice(struct evert__source *source, int pipe, size_t size)
{
    if (evert__loop_forked(source->fd->loop))
        return EVERT_ECLOSED;
    return source->fd->loop->backend->splice(source, pipe, size);
}

EVERT__HOT ssize_t evert__source_take(struct evert__source *source, void *buffer, size_t size)
{
    if (evert__loop_forked(source->fd->loop))
        return EVERT_ECLOSED;
    return source->fd->loop->backend->take(source, buffer, size);
}

bool evert__source_look(struct evert__source *source)
{
    return source->fd->loop->backend->look(source);
}

EVERT__HOT bool evert__source_arm(struct evert__source *source)
{
    if (evert__loop_forked(source->fd->loop))
        return source->fd->readable = true; /* the next take says so */
    return source->fd->loop->backend->arm(source);
}

EVERT__HOT void evert__source_disarm(struct evert__source *source)
{
    source->fd->loop->backend->disarm(source);
}
