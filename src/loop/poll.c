/* SPDX-License-Identifier: MIT */
/*
 * The back end on poll(2), for every POSIX system, and the reference for what is correct. It asks
 * anew in each turn for just what is waited for; a descriptor of which nothing is wanted is left
 * out, since poll would report its hang-up without end.
 */
#include <errno.h>
#include <poll.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "loop/file.h"
#include "loop/loop.h"
#include "loop/readiness.h"

struct state {
    struct evert__fd **fds; /* one of slot N is the Nth of these, counted from 1 */
    struct pollfd *asked;   /* of the same one, also while events are told and slots move */
    uint32_t count, capacity;
};

static int init(evert_loop *loop)
{
    loop->backend_state = evert__alloc_zero(sizeof(struct state));
    return loop->backend_state != NULL ? 0 : -ENOMEM;
}

static void fini(evert_loop *loop)
{
    struct state *state = loop->backend_state;
    evert__free(state->fds);
    evert__free(state->asked);
    evert__free(state);
}

static int grow(struct state *state)
{
    uint32_t capacity = state->capacity > 0 ? state->capacity * 2 : 16;
    struct pollfd *asked = evert__realloc(state->asked, capacity * sizeof(*asked));
    if (asked == NULL)
        return -ENOMEM;
    state->asked = asked;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is pointers that are kept */
    struct evert__fd **fds = evert__realloc(state->fds, capacity * sizeof(*fds));
    if (fds == NULL)
        return -ENOMEM;
    state->fds = fds;
    state->capacity = capacity;
    return 0;
}

static int attach(struct evert__fd *fd)
{
    struct state *state = fd->loop->backend_state;
    if (fd->slot != 0)
        return 0;
    if (state->count == state->capacity) {
        int rc = grow(state);
        if (rc < 0)
            return rc;
    }
    state->asked[state->count] = (struct pollfd){.fd = -1};
    state->fds[state->count++] = fd;
    fd->slot = state->count;
    return 0;
}

static bool detach(struct evert__fd *fd)
{
    struct state *state = fd->loop->backend_state;
    if (fd->slot == 0)
        return false;
    struct evert__fd *last = state->fds[--state->count];
    state->asked[fd->slot - 1] = state->asked[state->count];
    state->fds[fd->slot - 1] = last;
    last->slot = fd->slot;
    fd->slot = 0;
    return false;
}

/* Asks for what is waited for. Slots of those that want nothing hold a number that poll skips. */
static void ask(struct state *state)
{
    for (uint32_t i = 0; i < state->count; i++) {
        const struct evert__fd *fd = state->fds[i];
        short events = 0;
        if (fd->source != NULL)
            events |= POLLIN | POLLRDHUP;
        if (fd->op != NULL)
            events |= POLLOUT;
        state->asked[i] = (struct pollfd){events != 0 ? fd->number : -1, events, 0};
    }
}

static void wait(evert_loop *loop, evert_time timeout)
{
    struct state *state = loop->backend_state;
    ask(state);
    uint32_t count = state->count;
    int told = evert__sys_poll(state->asked, count, timeout);

    /*
     * From the end: what is told may close descriptors, which moves the last into the gap. Its
     * events are told there, once; a newcomer has none, even if it has the number of one closed.
     */
    for (uint32_t i = count; i-- > 0 && told > 0;) {
        unsigned events = i < state->count ? (unsigned short)state->asked[i].revents : 0;
        if (events == 0)
            continue;
        told--;
        state->asked[i].revents = 0;
        evert__readiness_event(state->fds[i], events);
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

const struct evert__backend evert__backend_poll = {
    .name = "poll",
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
