/* SPDX-License-Identifier: MIT */
/*
 * The back end on epoll(7): edge-triggered, a descriptor registered once for everything, so there
 * is no system call for each wait. It is taken out before it is closed, since closing alone does
 * not while a child of a fork has a copy: events would come for memory that is gone. In such a
 * child nothing is taken out, since that would reach its parent's registrations.
 */
#include <errno.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "loop/file.h"
#include "loop/loop.h"
#include "loop/readiness.h"

enum { BATCH = 128 };

struct state {
    int epoll;
    struct epoll_event events[BATCH];
};

static int init(evert_loop *loop)
{
    struct state *state = evert__alloc(sizeof(*state));
    if (state == NULL)
        return -ENOMEM;
    state->epoll = evert__sys_epoll_create();
    if (state->epoll < 0) {
        int rc = state->epoll;
        evert__free(state);
        return rc;
    }
    loop->backend_state = state;
    return 0;
}

static void fini(evert_loop *loop)
{
    struct state *state = loop->backend_state;
    evert__sys_close(state->epoll);
    evert__free(state);
}

static int attach(struct evert__fd *fd)
{
    struct state *state = fd->loop->backend_state;
    if (fd->slot != 0)
        return 0;
    int rc = evert__sys_epoll_ctl(state->epoll, EPOLL_CTL_ADD, fd->number,
                                  EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET, fd);
    if (rc == 0)
        fd->slot = 1;
    return rc;
}

static bool detach(struct evert__fd *fd)
{
    struct state *state = fd->loop->backend_state;
    if (fd->slot != 0 && !evert__loop_forked(fd->loop))
        (void)evert__sys_epoll_ctl(state->epoll, EPOLL_CTL_DEL, fd->number, 0, NULL);
    fd->slot = 0;
    return false;
}

static void wait(evert_loop *loop, evert_time timeout)
{
    struct state *state = loop->backend_state;
    int count = evert__sys_epoll_wait(state->epoll, state->events, BATCH, timeout);
    for (int i = 0; i < count; i++) {
        uint32_t told = state->events[i].events;
        unsigned events = 0;
        if (told & EPOLLIN)
            events |= EVERT__READY_IN;
        if (told & EPOLLOUT)
            events |= EVERT__READY_OUT;
        /* Urgent data too makes a read come back short with more behind it. */
        if (told & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
            events |= EVERT__READY_ENDED;
        evert__readiness_event(state->events[i].data.ptr, events);
    }
}

static bool start(struct evert__op *op)
{
    return evert__readiness_start(op, attach);
}

static bool arm(struct evert__source *source)
{
    return evert__readiness_arm(source, attach);
}

const struct evert__backend evert__backend_epoll = {
    .name = "epoll",
    .init = init,
    .fini = fini,
    .wait = wait,
    .start = start,
    .cancel = evert__readiness_cancel,
    .send = evert__readiness_send,
    .room = evert__readiness_room,
    .splice = evert__readiness_splice,
    .take = evert__readiness_take,
    .arm = arm,
    .disarm = evert__readiness_disarm,
    .look = evert__readiness_look,
    .detach = detach,
    .start_file = evert__pool_start,
    .cancel_file = evert__pool_cancel,
};
