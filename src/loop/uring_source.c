/* SPDX-License-Identifier: MIT */
/*
 * Sources on io_uring. A source that was armed once stays in the ring: a multishot accept or
 * receive, or a poll, completes again and again, whether somebody waits or not. What it brings is
 * kept with its slot until it is taken. A slot is a descriptor's place in the ring: it is used
 * again only when the last completion has come, so none is ever taken for another's.
 *
 * A multishot ends for reasons of its own: without a buffer when bytes come, or with its queue
 * full. That is no outcome; the bytes are then taken by plain recv(2), which needs no buffer, and
 * the next arming begins it again. So nobody starves, and nothing spins. Much is received straight
 * into the taker's memory, too: of what comes in large pieces the ring is only asked when.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "base/sys_uring.h"
#include "loop/readiness.h"
#include "loop/uring.h"

enum {
    MOST_KEPT = 8,      /* buffers, or connections in tens, of a source that nobody takes from */
    LARGE_TAKE = 16384, /* what comes in pieces of this size is not received into buffers, ... */
    SMALL_TAKE = 4096,  /* ... until so many pieces in a row are smaller than this */
    SMALL_TAKES = 8
};

/* What is in the ring for a source. */
enum mode { NOTHING, MULTISHOT, POLL };

struct evert__uring_slot {
    struct evert__fd *fd; /* NULL once it was let go of, unless it is to be told */
    uint32_t next_free;
    int number;  /* to be closed after the last completion; -1 */
    int outcome; /* 0: the end; an error; or 1 for none */
    enum evert__source_kind kind;
    uint8_t mode;
    bool let_go, ending; /* ending: a cancel was asked for */
    bool to_tell;        /* something came */
    uint8_t large;       /* what comes does so in large pieces: not so after this many small ones */
    struct evert__uring_input in; /* RECEIVE */
    int *accepted;                /* ACCEPT: oldest first */
    uint32_t first, count, room;
};

enum { NO_OUTCOME = 1 };

#define NO_SLOT UINT32_MAX

static struct evert__uring_slot *slot_of(const struct evert__fd *fd)
{
    return fd->slot != 0 ? &evert__uring_of(fd->loop)->slots[fd->slot - 1] : NULL;
}

/* ---- Slots ---- */

static int grow(struct evert__uring *u)
{
    uint32_t count = u->slot_count > 0 ? 2 * u->slot_count : 16;
    struct evert__uring_slot *slots = evert__realloc(u->slots, (size_t)count * sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    for (uint32_t i = u->slot_count; i < count; i++)
        slots[i] = (struct evert__uring_slot){.next_free = i + 1 < count ? i + 1 : NO_SLOT};
    u->free_slot = u->slot_count;
    u->slots = slots;
    u->slot_count = count;
    return 0;
}

/* The source's slot, which it is given when it first needs one; NULL: that is the error now. */
static struct evert__uring_slot *attach(const struct evert__source *source)
{
    struct evert__fd *fd = source->fd;
    struct evert__uring *u = evert__uring_of(fd->loop);
    if (fd->slot != 0)
        return &u->slots[fd->slot - 1];
    if (u->free_slot == NO_SLOT) {
        fd->error = grow(u);
        if (fd->error < 0)
            return NULL;
    }
    uint32_t place = u->free_slot;
    struct evert__uring_slot *slot = &u->slots[place];
    u->free_slot = slot->next_free;
    *slot = (struct evert__uring_slot){
        .fd = fd, .number = -1, .kind = source->kind, .outcome = NO_OUTCOME};
    evert__uring_input_init(&slot->in);
    fd->slot = place + 1;
    return slot;
}

static void free_slot(struct evert__uring *u, struct evert__uring_slot *slot)
{
    evert__free(slot->accepted);
    slot->accepted = NULL;
    slot->next_free = u->free_slot;
    u->free_slot = (uint32_t)(slot - u->slots);
}

/* What came and was not taken goes with the descriptor. */
static void drop(struct evert__uring *u, struct evert__uring_slot *slot)
{
    evert__uring_input_clear(&u->buffers, &slot->in);
    for (; slot->count > 0; slot->count--)
        evert__sys_close(slot->accepted[slot->first++]);
}

void evert__uring_slots_init(struct evert__uring *u)
{
    u->free_slot = NO_SLOT;
}

void evert__uring_slots_fini(struct evert__uring *u)
{
    evert__free(u->slots);
}

/* ---- What is in the ring ---- */

static uint64_t data_of(const struct evert__uring *u, const struct evert__uring_slot *slot)
{
    return (uint64_t)(slot - u->slots) << 3 | EVERT__URING_SOURCE;
}

static void begin(struct evert__uring *u, struct evert__uring_slot *slot)
{
    struct io_uring_sqe *sqe = evert__uring_sqe(u);
    int number = slot->fd->number;
    slot->mode = MULTISHOT;
    if (slot->kind == EVERT__SOURCE_ACCEPT) {
        io_uring_prep_multishot_accept(sqe, number, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } else if (slot->kind == EVERT__SOURCE_RECEIVE && slot->large == 0) {
        io_uring_prep_recv_multishot(sqe, number, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
    } else {
        slot->mode = POLL;
        io_uring_prep_poll_add(sqe, number, POLLIN | POLLRDHUP);
    }
    io_uring_sqe_set_data64(sqe, data_of(u, slot));
}

static void end(struct evert__uring *u, struct evert__uring_slot *slot)
{
    if (slot->mode == NOTHING || slot->ending)
        return;
    slot->ending = true;
    evert__uring_cancel(u, data_of(u, slot));
}

static bool has_something(const struct evert__uring_slot *slot)
{
    return !evert__uring_input_empty(&slot->in) || slot->count > 0 || slot->outcome != NO_OUTCOME;
}

/* ---- Completions ---- */

/* An accepted connection for which there is no memory is closed, as one behind it would be. */
static void keep_accepted(struct evert__uring_slot *slot, int number)
{
    if (slot->count == 0)
        slot->first = 0;
    if (slot->first + slot->count == slot->room) {
        uint32_t room = slot->room > 0 ? 2 * slot->room : 16;
        int *accepted = evert__realloc(slot->accepted, room * sizeof(*accepted));
        if (accepted == NULL) {
            evert__sys_close(number);
            return;
        }
        slot->accepted = accepted;
        slot->room = room;
    }
    slot->accepted[slot->first + slot->count++] = number;
}

/* What a completion brought, to be kept. */
static void keep(struct evert__uring *u, struct evert__uring_slot *slot, int result, uint32_t flags)
{
    if (flags & IORING_CQE_F_BUFFER)
        evert__uring_input_add(&u->buffers, &slot->in, (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT),
                               (uint32_t)(result > 0 ? result : 0));
    if (slot->kind == EVERT__SOURCE_ACCEPT && result >= 0)
        keep_accepted(slot, result);
    else if (slot->kind == EVERT__SOURCE_RECEIVE && slot->mode == MULTISHOT && result == 0)
        slot->outcome = 0;
    else if (result < 0 && slot->mode == MULTISHOT && result != -ECANCELED && result != -ENOBUFS &&
             result != -EINTR)
        slot->outcome = result;
}

/* Nobody takes it, and it must not become too much. */
static bool is_enough(const struct evert__uring_slot *slot)
{
    return slot->in.count >= MOST_KEPT || slot->count >= 10 * MOST_KEPT;
}

static void let_go(evert_loop *loop, struct evert__uring_slot *slot)
{
    struct evert__uring *u = evert__uring_of(loop);
    struct evert__fd *fd = slot->fd;
    int number = slot->number;
    drop(u, slot);
    free_slot(u, slot);
    evert__sys_close(number);
    loop->busy--;
    if (fd != NULL)
        evert__fd_closed(fd);
}

void evert__uring_slots_abandon(evert_loop *loop)
{
    struct evert__uring *u = evert__uring_of(loop);
    for (uint32_t i = 0; i < u->slot_count; i++) {
        struct evert__uring_slot *slot = &u->slots[i];
        if (slot->mode == NOTHING)
            continue;
        slot->mode = NOTHING;
        slot->ending = false;
        if (slot->let_go)
            let_go(loop, slot);
        else
            evert__uring_source_completed(loop, i, -ECONNABORTED, 0);
        evert__uring_source_tell(loop, i);
    }
}

void evert__uring_source_completed(evert_loop *loop, uint32_t place, int result, uint32_t flags)
{
    struct evert__uring *u = evert__uring_of(loop);
    struct evert__uring_slot *slot = &u->slots[place];
    bool last = !(flags & IORING_CQE_F_MORE);

    keep(u, slot, result, flags);
    if (last) {
        slot->mode = NOTHING;
        slot->ending = false;
    }
    if (slot->let_go) {
        if (last)
            let_go(loop, slot);
        else
            drop(u, slot);
        return;
    }
    struct evert__fd *fd = slot->fd;
    struct evert__source *source = fd->source;
    if (last && result == -ECANCELED && !has_something(slot)) {
        if (source != NULL && !fd->readable)
            begin(u, slot); /* it waits again meanwhile */
        return;
    }
    fd->readable = true;
    slot->to_tell = true;
    if (source == NULL && is_enough(slot))
        end(u, slot);
}

/* Where several things came for a source, the first of them finds it told of all. */
void evert__uring_source_tell(evert_loop *loop, uint32_t place)
{
    struct evert__uring_slot *slot = &evert__uring_of(loop)->slots[place];
    if (!slot->to_tell)
        return;
    slot->to_tell = false;
    struct evert__source *source = slot->fd->source;
    if (source == NULL || !slot->fd->readable)
        return; /* nobody waits, or it was taken before it could be told of */
    slot->fd->source = NULL;
    evert__tell_source(source);
}

/* ---- For the loop ---- */

static ssize_t take_accepted(struct evert__uring_slot *slot)
{
    slot->count--;
    return slot->accepted[slot->first++];
}

/* What is kept, if anything is: else 1. */
static ssize_t take_kept(struct evert__source *source, struct evert__uring_slot *slot, void *buffer,
                         size_t size)
{
    struct evert__fd *fd = source->fd;
    ssize_t taken = slot->outcome;
    bool accepts = source->kind == EVERT__SOURCE_ACCEPT;
    if (evert__sys_uring_answered(accepts ? EVERT__SYS_ACCEPT : EVERT__SYS_RECV,
                                  accepts ? NULL : &size, &taken) &&
        taken != -EAGAIN)
        return taken;
    taken = slot->outcome;
    if (slot->count > 0)
        taken = take_accepted(slot);
    else if (!evert__uring_input_empty(&slot->in))
        taken = (ssize_t)evert__uring_input_take(&evert__uring_of(fd->loop)->buffers, &slot->in,
                                                 buffer, size);
    else
        slot->outcome = NO_OUTCOME;
    /* With nothing in the ring, or a buffer that was full, there may be more in the socket. */
    fd->readable = has_something(slot) || slot->mode == NOTHING || slot->in.full;
    return taken;
}

/* What comes in large pieces is better received without a buffer in between. */
static void note_size(struct evert__uring *u, struct evert__uring_slot *slot, ssize_t count)
{
    if (count >= LARGE_TAKE) {
        if (slot->large == 0)
            end(u, slot);
        slot->large = SMALL_TAKES;
    } else if (count > 0 && count < SMALL_TAKE && slot->large > 0) {
        slot->large--;
    }
}

ssize_t evert__uring_take(struct evert__source *source, void *buffer, size_t size)
{
    struct evert__fd *fd = source->fd;
    struct evert__uring_slot *slot = slot_of(fd);
    if (fd->error < 0) {
        int error = fd->error;
        fd->error = 0;
        return error;
    }
    if (!fd->readable)
        return -EAGAIN;
    if (slot != NULL && has_something(slot))
        return take_kept(source, slot, buffer, size);
    ssize_t count = evert__take_once(source, buffer, size);
    if (slot != NULL) {
        slot->in.full = false;
        if (source->kind == EVERT__SOURCE_RECEIVE)
            note_size(evert__uring_of(fd->loop), slot, count);
    }
    /* After a short one too, as arming finds what there may be behind it. */
    if (count == -EAGAIN ||
        (source->kind == EVERT__SOURCE_RECEIVE && count > 0 && (size_t)count < size))
        fd->readable = false;
    return count;
}

bool evert__uring_arm(struct evert__source *source)
{
    struct evert__fd *fd = source->fd;
    if (fd->readable)
        return true;
    struct evert__uring_slot *slot = attach(source);
    if (slot == NULL)
        return true; /* the next take says so */
    fd->source = source;
    if (slot->mode == NOTHING)
        begin(evert__uring_of(fd->loop), slot);
    return false;
}

bool evert__uring_look(struct evert__source *source)
{
    const struct evert__uring_slot *slot = slot_of(source->fd);
    evert__uring_keep_what_came(source->fd->loop);
    if (slot != NULL && has_something(slot))
        return true;
    return evert__readiness_look(source);
}

bool evert__uring_detach(struct evert__fd *fd)
{
    struct evert__uring *u = evert__uring_of(fd->loop);
    struct evert__uring_slot *slot = slot_of(fd);
    if (slot == NULL || evert__loop_forked(fd->loop))
        return false;
    fd->slot = 0;
    slot->to_tell = false;
    drop(u, slot);
    if (slot->mode == NOTHING) {
        free_slot(u, slot);
        return false;
    }
    slot->let_go = true;
    slot->fd = NULL;
    end(u, slot);
    if (slot->kind == EVERT__SOURCE_COUNTER)
        return false; /* it is closed with the loop */
    if (slot->kind == EVERT__SOURCE_ACCEPT)
        (void)evert__sys_shutdown(fd->number, SHUT_RDWR); /* newcomers are refused from now on */
    slot->fd = fd->closed != NULL ? fd : NULL;
    slot->number = fd->number;
    fd->loop->busy++;
    return true;
}
