/* SPDX-License-Identifier: MIT */
/*
 * Sources on io_uring. A source that was armed once stays in the ring: a multishot accept or
 * receive, or a poll, completes again and again, whether somebody waits or not. What it brings is
 * kept with its descriptor until it is taken. A descriptor's memory is its owner's again only when
 * the last completion has come, so none is ever taken for another's.
 *
 * A multishot ends for reasons of its own: without a buffer when bytes come, or with its queue
 * full. That is no outcome; the bytes are then taken by plain recv(2), which needs no buffer, and
 * the next arming begins it again. So nobody starves, and nothing spins. And of a connection that
 * goes on the ring is only asked when something comes, by a poll that stays: to receive it straight
 * into the taker's memory costs less.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/sys.h"
#include "base/sys_uring.h"
#include "loop/readiness.h"
#include "loop/uring.h"

enum {
    MOST_BUFFERS = 8,   /* of a source that nobody takes from */
    MOST_ACCEPTED = 80, /* connections, of one that nobody takes from */
    LASTS = 7,          /* takes that gave something, of a connection that goes on ... */
    LARGE_TAKE = 4096,  /* ... or one of this size, which makes it one */
};

/* What is in the ring for a descriptor. */
enum { NOTHING, MULTISHOT, POLL };

/* Connections that wait to be taken, the oldest first. */
struct evert__uring_accepted {
    uint32_t first, count, room;
    int numbers[];
};

static bool accepts(const struct evert__fd *fd)
{
    return fd->kind == EVERT__SOURCE_ACCEPT;
}

/* ---- What came and was not taken ---- */

/* One for which there is no memory is closed, as one behind it would be. */
static void keep_accepted(struct evert__fd *fd, int number)
{
    struct evert__uring_accepted *a = fd->accepted;
    if (a == NULL || a->first + a->count == a->room) {
        uint32_t room = a != NULL ? 2 * a->room : 16;
        struct evert__uring_accepted *more =
            evert__realloc(a, sizeof(*a) + room * sizeof(a->numbers[0]));
        if (more == NULL) {
            evert__sys_close(number);
            return;
        }
        if (a == NULL)
            more->first = more->count = 0;
        more->room = room;
        fd->accepted = a = more;
    }
    a->numbers[a->first + a->count++] = number;
}

static int take_accepted(struct evert__uring_accepted *a)
{
    int number = a->numbers[a->first++];
    if (--a->count == 0)
        a->first = 0;
    return number;
}

static uint32_t accepted_count(const struct evert__fd *fd)
{
    return accepts(fd) && fd->accepted != NULL ? fd->accepted->count : 0;
}

static bool has_something(const struct evert__fd *fd)
{
    return fd->ringed.first != 0 || fd->ended || fd->error < 0 || accepted_count(fd) > 0;
}

/* Nobody takes it, and it must not become too much. */
static bool is_enough(const struct evert__fd *fd)
{
    return fd->ringed.buffers >= MOST_BUFFERS || accepted_count(fd) >= MOST_ACCEPTED;
}

/* What came and was not taken goes with the descriptor. */
static void drop(struct evert__uring *u, struct evert__fd *fd)
{
    evert__uring_input_clear(&u->buffers, &fd->ringed);
    while (accepted_count(fd) > 0)
        evert__sys_close(take_accepted(fd->accepted));
    if (accepts(fd)) {
        evert__free(fd->accepted);
        fd->accepted = NULL;
    }
}

/* ---- What is in the ring ---- */

static uint64_t data_of(const struct evert__fd *fd)
{
    return (uint64_t)(uintptr_t)fd | (accepts(fd) ? EVERT__URING_LISTENER : EVERT__URING_SOURCE);
}

EVERT__HOT static void begin(struct evert__source *source)
{
    struct evert__fd *fd = source->fd;
    struct io_uring_sqe *sqe = evert__uring_sqe(evert__uring_of(fd->loop));
    fd->ringed.mode = MULTISHOT;
    if (accepts(fd)) {
        io_uring_prep_multishot_accept(sqe, fd->number, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } else if (fd->kind == EVERT__SOURCE_RECEIVE && fd->ringed.takes < LASTS) {
        io_uring_prep_recv_multishot(sqe, fd->number, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
    } else {
        fd->ringed.mode = POLL;
        fd->by_readiness = fd->loop->adverse == NULL;
        io_uring_prep_poll_multishot(sqe, fd->number, POLLIN | POLLRDHUP);
    }
    io_uring_sqe_set_data64(sqe, data_of(fd));
}

static void end(struct evert__fd *fd)
{
    if (fd->ringed.mode == NOTHING || fd->ringed.ending)
        return;
    fd->ringed.ending = true;
    evert__uring_cancel(evert__uring_of(fd->loop), data_of(fd));
}

/* ---- Completions ---- */

/* What a completion brought, to be kept. */
static void keep(struct evert__fd *fd, int result, uint32_t flags)
{
    if (flags & IORING_CQE_F_BUFFER)
        evert__uring_input_add(&evert__uring_of(fd->loop)->buffers, &fd->ringed,
                               flags >> IORING_CQE_BUFFER_SHIFT, result > 0 ? (unsigned)result : 0);
    if (fd->ringed.mode != MULTISHOT) {
        evert__uring_note_events(fd, result);
        return;
    }
    if (accepts(fd) && result >= 0)
        keep_accepted(fd, result);
    else if (result == 0)
        fd->ended = true;
    else if (result < 0 && result != -ECANCELED && result != -ENOBUFS && result != -EINTR)
        fd->error = result;
}

/* The number of a descriptor that is closed later waits where its errors were. */
static void gone(struct evert__fd *fd)
{
    evert__link_remove(&fd->link);
    evert__sys_close(fd->error);
    fd->loop->busy--;
    evert__fd_closed(fd);
}

/* For one that is closed, nobody has a use for what comes. */
static void completed_closed(struct evert__fd *fd, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_BUFFER)
        evert__uring_buffers_offer(&evert__uring_of(fd->loop)->buffers,
                                   cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    else if (cqe->res >= 0 && (cqe->user_data & EVERT__URING_TAGS) == EVERT__URING_LISTENER)
        evert__sys_close(cqe->res);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        gone(fd);
}

EVERT__HOT bool evert__uring_source_completed(struct evert__fd *fd, const struct io_uring_cqe *cqe)
{
    bool last = !(cqe->flags & IORING_CQE_F_MORE);
    if (fd->number < 0) {
        completed_closed(fd, cqe);
        return false;
    }
    keep(fd, cqe->res, cqe->flags);
    if (last) {
        fd->ringed.mode = NOTHING;
        fd->ringed.ending = false;
        fd->by_readiness = false;
    }
    if (last && cqe->res == -ECANCELED && !has_something(fd)) {
        if (fd->source != NULL && !fd->readable)
            begin(fd->source); /* it waits again meanwhile */
        return false;
    }
    if (fd->source == NULL && is_enough(fd))
        end(fd);
    return evert__uring_source_came(fd);
}

void evert__uring_abandon_sources(struct evert__uring *u)
{
    u->over = true;
    while (!evert__list_empty(&u->leaving))
        gone(EVERT__CONTAINER(u->leaving.next, struct evert__fd, link));
}

/* ---- For the loop ---- */

static ssize_t take_what_is_kept(struct evert__fd *fd, void *buffer, size_t size)
{
    if (accepted_count(fd) > 0)
        return take_accepted(fd->accepted);
    if (fd->ringed.first != 0)
        return (ssize_t)evert__uring_input_take(&evert__uring_of(fd->loop)->buffers, &fd->ringed,
                                                buffer, size);
    int error = fd->error;
    fd->error = 0;
    if (error == 0)
        fd->ended = false;
    return error;
}

static ssize_t take_kept(struct evert__fd *fd, void *buffer, size_t size)
{
    ssize_t taken;
    if (evert__sys_uring_answered(accepts(fd) ? EVERT__SYS_ACCEPT : EVERT__SYS_RECV,
                                  accepts(fd) ? NULL : &size, &taken) &&
        taken != -EAGAIN)
        return taken;
    taken = take_what_is_kept(fd, buffer, size);
    /*
     * With nothing in the ring, or a buffer that was full, there may be more in the socket. And on
     * all but TCP: Linux 6.18 does not always tell of the end of a Unix socket behind its bytes, so
     * it is looked for, as on epoll.
     */
    fd->readable = has_something(fd) || fd->ringed.mode == NOTHING || fd->ringed.full ||
                   !(fd->drained_by_short_read || accepts(fd));
    return taken;
}

/*
 * A poll, and a call for each receive, cost 1 to 4 % less of a request than buffers do, which are
 * out of the caches when their turn comes, and 8 % where a request is of 4 KiB. But a poll has to
 * be taken back where a receive ends with the connection: 4 % of one that is soon over.
 */
EVERT__HOT static void note_take(struct evert__fd *fd, ssize_t count)
{
    if (count <= 0 || fd->ringed.takes >= LASTS || fd->kind != EVERT__SOURCE_RECEIVE)
        return;
    fd->ringed.takes = count < LARGE_TAKE ? (fd->ringed.takes + 1U) & LASTS : LASTS;
    if (fd->ringed.takes == LASTS)
        end(fd);
}

/*
 * Whether a read that came back short has emptied it, or whatever lies behind will be told of: by
 * what is in the ring, or by what arming will put there. Only a poll that stays tells once.
 */
static bool is_over_for_now(const struct evert__fd *fd)
{
    return fd->kind == EVERT__SOURCE_RECEIVE &&
           (fd->ringed.mode != POLL || fd->drained_by_short_read);
}

EVERT__HOT ssize_t evert__uring_take(struct evert__source *source, void *buffer, size_t size)
{
    struct evert__fd *fd = source->fd;
    ssize_t count;
    if (has_something(fd)) {
        count = take_kept(fd, buffer, size);
    } else if (fd->readable) {
        count = evert__take_once(source, buffer, size);
        if (count == -EAGAIN || (count > 0 && (size_t)count < size && is_over_for_now(fd)))
            fd->readable = false;
        fd->ringed.full = false;
    } else {
        return -EAGAIN;
    }
    note_take(fd, count);
    return count;
}

/* Between two waits nothing comes into buffers, so here too the order is kept. */
ssize_t evert__uring_splice(struct evert__source *source, int pipe, size_t size)
{
    struct evert__fd *fd = source->fd;
    if (has_something(fd))
        return -ENOTEMPTY;
    ssize_t count = evert__readiness_splice(source, pipe, size);
    if (count != -ENOTEMPTY) {
        fd->ringed.full = false;
        note_take(fd, count);
    }
    return count;
}

EVERT__HOT bool evert__uring_arm(struct evert__source *source)
{
    struct evert__fd *fd = source->fd;
    if (fd->readable)
        return true;
    fd->source = source;
    if (fd->ringed.mode == NOTHING)
        begin(source);
    return false;
}

bool evert__uring_look(struct evert__source *source)
{
    evert__uring_keep_what_came(source->fd->loop);
    return has_something(source->fd) || evert__readiness_look(source);
}

EVERT__HOT bool evert__uring_detach(struct evert__fd *fd)
{
    struct evert__uring *u = evert__uring_of(fd->loop);
    if (evert__loop_forked(fd->loop))
        return false;
    if (fd->ringed.to_tell)
        evert__uring_disown(u, fd);
    fd->ringed.to_tell = false;
    drop(u, fd);
    if (fd->ringed.mode == NOTHING || u->over)
        return false;
    end(fd);
    if (fd == &fd->loop->wake_fd || fd == &fd->loop->alarm.fd)
        return false; /* it is closed with the loop, after the ring */
    if (accepts(fd))
        (void)evert__sys_shutdown(fd->number, SHUT_RDWR); /* newcomers are refused from now on */
    fd->error = fd->number;
    evert__list_append(&u->leaving, &fd->link);
    fd->loop->busy++;
    return true;
}
