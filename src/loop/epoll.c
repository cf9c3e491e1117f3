/* SPDX-License-Identifier: MIT */
/*
 * The back end on epoll(7): edge-triggered, a descriptor registered when it first has to wait, so
 * there is no system call for each wait. The kernel is asked about room to send only from the first
 * time on that there was none: an edge of bytes that were taken before it is told of is dropped by
 * the kernel itself then, and else ends a wait with nothing but that there is room.
 *
 * Closing takes it out, unless somebody else has a copy, as a child of a fork may. Then events come
 * still, so each says whom it is for: the number, and which of all that had it. The first that is
 * for nobody has all the others moved to a new set; and from then on what is closed is taken out
 * before. In a child nothing is taken out, since that would reach its parent's registrations.
 */
#include <errno.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/sys_flat.h"
#include "loop/file.h"
#include "loop/loop.h"
#include "loop/readiness.h"

enum { BATCH = 128, EVENTS = EPOLLIN | EPOLLPRI | EPOLLRDHUP };

struct state {
    int epoll;
    bool copied;         /* there was an event for nobody: others have copies of descriptors */
    bool closing;        /* something was closed since the last look at the kernel */
    uint32_t registered; /* how many were: the slot of the newest */
    uint32_t capacity;
    struct evert__fd **fds; /* by number */
    struct epoll_event events[BATCH];
};

static int init(evert_loop *loop)
{
    struct state *state = evert__alloc_zero(sizeof(*state));
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
    evert__free(state->fds);
    evert__free(state);
}

/* Has a place for descriptors up to this number. */
static int make_room(struct state *state, uint32_t number)
{
    uint32_t capacity = number + number / 8 + 64;
    if (number < state->capacity)
        return 0;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is pointers that are kept */
    struct evert__fd **fds = evert__realloc(state->fds, capacity * sizeof(*fds));
    if (fds == NULL)
        return -ENOMEM;
    while (state->capacity < capacity)
        fds[state->capacity++] = NULL;
    state->fds = fds;
    return 0;
}

static int tell_kernel(int epoll, int operation, const struct evert__fd *fd)
{
    uint64_t whom = (uint64_t)fd->slot << 32 | (uint32_t)fd->number;
    uint32_t events = EVENTS | EPOLLET | (fd->tells_of_room ? EPOLLOUT : 0U);
    return evert__sys_epoll_ctl_flat(epoll, operation, fd->number, events, whom);
}

EVERT__FLAT static int attach(struct evert__fd *fd)
{
    struct state *state = fd->loop->backend_state;
    if (fd->slot != 0)
        return 0;
    int rc = make_room(state, (uint32_t)fd->number);
    if (rc < 0)
        return rc;
    state->registered += state->registered < UINT32_MAX ? 1 : 2; /* never 0 */
    fd->slot = state->registered;
    rc = tell_kernel(state->epoll, EPOLL_CTL_ADD, fd);
    if (rc == 0)
        state->fds[fd->number] = fd;
    else
        fd->slot = 0;
    return rc;
}

/* The kernel tells at once where there is room by now. */
static int attach_for_room(struct evert__fd *fd)
{
    const struct state *state = fd->loop->backend_state;
    if (fd->tells_of_room)
        return 0;
    fd->tells_of_room = true;
    int rc = fd->slot == 0 ? attach(fd) : tell_kernel(state->epoll, EPOLL_CTL_MOD, fd);
    fd->tells_of_room = rc == 0;
    return rc;
}

EVERT__HOT static bool detach(struct evert__fd *fd)
{
    struct state *state = fd->loop->backend_state;
    if (fd->slot == 0)
        return false;
    if (state->copied && !evert__loop_forked(fd->loop))
        (void)evert__sys_epoll_ctl(state->epoll, EPOLL_CTL_DEL, fd->number, 0, 0);
    state->fds[fd->number] = NULL;
    state->closing = true;
    fd->slot = 0;
    return false;
}

/* Leaves behind what was closed and has events still. Where it fails the next event tries again. */
static void move_to_a_new_set(struct state *state)
{
    int epoll = evert__sys_epoll_create(), rc = epoll;
    state->copied = true;
    for (uint32_t i = 0; i < state->capacity && rc >= 0; i++) {
        if (state->fds[i] != NULL)
            rc = tell_kernel(epoll, EPOLL_CTL_ADD, state->fds[i]);
    }
    if (rc < 0 && epoll >= 0)
        evert__sys_close(epoll);
    if (rc < 0)
        return;
    evert__sys_close(state->epoll);
    state->epoll = epoll;
}

/* Whom an event is for, or NULL. */
static struct evert__fd *whose(const struct state *state, uint64_t whom)
{
    uint32_t number = (uint32_t)whom;
    struct evert__fd *fd = number < state->capacity ? state->fds[number] : NULL;
    return fd != NULL && fd->slot == whom >> 32 ? fd : NULL;
}

EVERT__HOT static void wait(evert_loop *loop, evert_time timeout)
{
    struct state *state = loop->backend_state;
    bool for_nobody = false;
    int count = evert__sys_epoll_wait_flat(state->epoll, state->events, BATCH, timeout);
    state->closing = false;
    for (int i = 0; i < count; i++) {
        struct evert__fd *fd = whose(state, state->events[i].data.u64);
        if (fd != NULL)
            evert__readiness_event(fd, state->events[i].events);
        else if (!state->closing) /* else it may be one that was closed by an event before */
            for_nobody = true;
    }
    if (for_nobody)
        move_to_a_new_set(state);
}

EVERT__HOT static bool start(struct evert__op *op)
{
    return evert__readiness_start(op, attach_for_room);
}

EVERT__FLAT static bool arm(struct evert__source *source)
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
