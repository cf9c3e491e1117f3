/* SPDX-License-Identifier: MIT */
/*
 * The adverse back ends, for tests: one wraps epoll, one io_uring. From a seed (EVERT_SEED, or
 * chosen and printed on failure by the test) they do everything that the interface allows and that
 * is hard to meet by chance. Ops begin late and complete late, sources tell late, all in another
 * order; reads and sends come out short; what is sent goes at once or is gathered; a take says
 * EAGAIN though there is something; a cancel loses against a completion, or ends only some turns
 * later, as in a ring. What is right must be right here.
 *
 * What is delayed stands on a list, each with a number of turns to go. While anything does, the
 * loop must not sleep. An op has room for that; a source has not, since each connection would pay
 * for it, and is told at once where there is no memory.
 *
 * A ring has the same room of an op for itself, from its start to its completion. So what is inside
 * one is not delayed there, and a cancel goes in at once; there it is late by itself.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "loop/file.h"
#include "loop/loop.h"
#include "loop/readiness.h"

/* Where a delayed op is. IDLE and INSIDE ones are on no list here. */
enum { IDLE, TO_START, TO_START_CANCELLED, INSIDE, INSIDE_CANCELLED, TO_TELL };

struct adverse {
    struct evert__link ops, sources, files;
    uint64_t random;
};

struct late_source {
    struct evert__held held;
    struct evert__source *source;
};

static const struct evert__backend *inner_of(const evert_loop *loop)
{
    return loop->backend->inner;
}

/* splitmix64: small, and good enough to be adverse. */
static uint32_t draw(evert_loop *loop, uint32_t below)
{
    struct adverse *a = loop->adverse;
    uint64_t z = (a->random += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (uint32_t)((z ^ (z >> 31)) >> 32) % below;
}

static int init(evert_loop *loop)
{
    int rc = inner_of(loop)->init(loop);
    if (rc < 0)
        return rc;
    struct adverse *a = evert__alloc(sizeof(*a));
    if (a == NULL) {
        inner_of(loop)->fini(loop);
        return -ENOMEM;
    }
    const char *seed = secure_getenv("EVERT_SEED");
    evert__list_init(&a->ops);
    evert__list_init(&a->sources);
    evert__list_init(&a->files);
    a->random = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    loop->adverse = a;
    return 0;
}

static void fini(evert_loop *loop)
{
    evert__free(loop->adverse);
    loop->adverse = NULL;
    inner_of(loop)->fini(loop);
}

/* Puts something on a list of the delayed, at either end, so that the order changes. */
static void hold(evert_loop *loop, struct evert__link *list, struct evert__held *held,
                 uint32_t turns)
{
    held->turns = (uint8_t)turns;
    evert__list_append(draw(loop, 2) ? list : list->next, &held->link);
}

static void hold_op(struct evert__op *op, uint8_t state, uint32_t turns)
{
    struct adverse *a = op->fd->loop->adverse;
    op->held.state = state;
    hold(op->fd->loop, &a->ops, &op->held, turns);
}

void evert__adverse_hold_op(struct evert__op *op)
{
    evert__link_remove(&op->held.link);
    hold_op(op, TO_TELL, 1 + draw(op->fd->loop, 3));
}

static struct late_source *late_of(struct evert__link *link)
{
    return EVERT__CONTAINER(link, struct late_source, held.link);
}

/* Forgets that a source is to be told, or where that is NULL, all of a descriptor. */
static void forget_late(const struct evert__fd *fd, const struct evert__source *source)
{
    struct adverse *a = fd->loop->adverse;
    struct evert__link *next;
    for (struct evert__link *l = a->sources.next; l != &a->sources; l = next) {
        struct late_source *late = late_of(l);
        next = l->next;
        if (late->source == source || (source == NULL && late->source->fd == fd)) {
            evert__link_remove(l);
            evert__free(late);
        }
    }
}

/* False when there is no memory for it. */
static bool hold_source(struct evert__source *source, uint32_t turns)
{
    evert_loop *loop = source->fd->loop;
    struct adverse *a = loop->adverse;
    struct late_source *late = evert__alloc_zero(sizeof(*late));
    forget_late(source->fd, source); /* it may have been armed again */
    if (late == NULL)
        return false;
    late->source = source;
    hold(loop, &a->sources, &late->held, turns);
    return true;
}

void evert__adverse_hold_source(struct evert__source *source)
{
    if (!hold_source(source, 1 + draw(source->fd->loop, 3)))
        source->ready(source);
}

static bool start(struct evert__op *op)
{
    evert_loop *loop = op->fd->loop;
    op->held = (struct evert__held){0};
    if (op->kind == EVERT__OP_SEND && draw(loop, 2))
        op->most = 1 + draw(loop, 1 << draw(loop, 14));
    if (draw(loop, 2)) {
        hold_op(op, TO_START, 1 + draw(loop, 3));
        return false;
    }
    op->held.state = INSIDE;
    if (!inner_of(loop)->start(op))
        return false;
    op->held.state = IDLE;
    return true;
}

/* True: it is over. False: the ring that it is in tells, and no second cancel goes there. */
static bool cancel_inside(struct evert__op *op)
{
    op->held.state = INSIDE_CANCELLED;
    return inner_of(op->fd->loop)->cancel(op);
}

/* A cancel may lose, may be late, or be done at once; completed work is told as such. */
static bool cancel(struct evert__op *op)
{
    evert_loop *loop = op->fd->loop;
    switch (op->held.state) {
    case TO_START:
        if (draw(loop, 3) == 0) {
            /* It lost: the op will be made all the same, though it will not wait. */
            op->held.state = TO_START_CANCELLED;
            return false;
        }
        evert__link_remove(&op->held.link);
        break;
    case INSIDE:
        if (draw(loop, 3) == 0 && !evert__link_used(&op->held.link)) {
            hold_op(op, INSIDE_CANCELLED, 1 + draw(loop, 3));
            return false;
        }
        if (!cancel_inside(op))
            return false;
        break;
    default:
        return false; /* complete already, or cancelled already */
    }
    op->held.state = IDLE;
    if (draw(loop, 2))
        return true;
    op->result = -ECANCELED;
    hold_op(op, TO_TELL, 1 + draw(loop, 3));
    return false;
}

static ssize_t send_now(struct evert__fd *fd, const struct iovec *pieces, int count)
{
    if (draw(fd->loop, 2))
        return -EAGAIN;
    struct iovec part = pieces[0];
    if (draw(fd->loop, 2))
        return inner_of(fd->loop)->send(fd, pieces, count);
    part.iov_len = 1 + draw(fd->loop, (uint32_t)part.iov_len);
    return inner_of(fd->loop)->send(fd, &part, 1);
}

static size_t room(struct evert__fd *fd, size_t size)
{
    if (draw(fd->loop, 2))
        return 0;
    if (size > 1 && draw(fd->loop, 2))
        size = 1 + draw(fd->loop, (uint32_t)(size < 20000 ? size : 20000));
    return inner_of(fd->loop)->room(fd, size);
}

static ssize_t splice_some(struct evert__source *source, int pipe, size_t size)
{
    evert_loop *loop = source->fd->loop;
    if (draw(loop, 4) == 0)
        return -EAGAIN;
    if (size > 1 && draw(loop, 2))
        size = 1 + draw(loop, (uint32_t)(size < 20000 ? size : 20000));
    return inner_of(loop)->splice(source, pipe, size);
}

static ssize_t take(struct evert__source *source, void *buffer, size_t size)
{
    evert_loop *loop = source->fd->loop;
    /* That a loop cannot be woken at all has to be found when it is made. */
    bool must_answer = source->fd->kind == EVERT__SOURCE_COUNTER && source->fd->slot == 0;
    if (draw(loop, 4) == 0 && !must_answer)
        return -EAGAIN;
    if (source->fd->kind == EVERT__SOURCE_RECEIVE && size > 1 && draw(loop, 2))
        size = 1 + draw(loop, (uint32_t)(size < 20000 ? size : 20000));
    return inner_of(loop)->take(source, buffer, size);
}

static bool arm(struct evert__source *source)
{
    evert_loop *loop = source->fd->loop;
    if (!inner_of(loop)->arm(source))
        return false;
    /* No back end keeps an error of registering back: it is found at once. */
    if (source->fd->error < 0 || draw(loop, 2))
        return true;
    return !hold_source(source, 1 + draw(loop, 3));
}

static void disarm(struct evert__source *source)
{
    forget_late(source->fd, source);
    inner_of(source->fd->loop)->disarm(source);
}

static bool look(struct evert__source *source)
{
    return inner_of(source->fd->loop)->look(source);
}

static bool detach(struct evert__fd *fd)
{
    forget_late(fd, NULL);
    return inner_of(fd->loop)->detach(fd);
}

/* A cancel that was late, or lost against the start, reaches it now. */
static void end_inside(struct evert__op *op)
{
    if (!cancel_inside(op))
        return;
    op->result = -ECANCELED;
    evert__adverse_hold_op(op);
}

/* ---- Files ---- */

static void hold_file(struct evert__file *file, uint8_t state)
{
    struct adverse *a = file->loop->adverse;
    file->held.state = state;
    hold(file->loop, &a->files, &file->held, 1 + draw(file->loop, 3));
}

void evert__adverse_hold_file(struct evert__file *file)
{
    hold_file(file, TO_TELL);
}

bool evert__adverse_may_read(evert_loop *loop, size_t *size)
{
    if (draw(loop, 2))
        *size = 1 + draw(loop, (uint32_t)*size);
    return draw(loop, 2) == 0;
}

static bool start_file(struct evert__file *file)
{
    if (evert__file_is_transfer(file) && draw(file->loop, 2))
        file->size = 1 + draw(file->loop, (uint32_t)file->size);
    if (draw(file->loop, 2)) {
        hold_file(file, TO_START);
        return false;
    }
    file->held.state = INSIDE;
    return inner_of(file->loop)->start_file(file);
}

/* As of an op. One that goes by a path is given up wherever it is. */
static bool cancel_file(struct evert__file *file)
{
    if (file->held.state == INSIDE)
        return inner_of(file->loop)->cancel_file(file);
    if (!evert__file_may_be_left(file) && (file->held.state == TO_TELL || draw(file->loop, 3) == 0))
        return false; /* it lost, and is made all the same where it has not been */
    evert__link_remove(&file->held.link);
    evert__file_free(file);
    return true;
}

static void release_file(struct evert__file *file)
{
    if (file->held.state == TO_TELL) {
        file->done(file);
        return;
    }
    file->held.state = INSIDE;
    if (inner_of(file->loop)->start_file(file))
        evert__adverse_hold_file(file);
}

/* ---- Time goes on ---- */

/* An op's time has come: it is begun, or cancelled for good, or told. */
static void release_op(struct evert__op *op)
{
    switch (op->held.state) {
    case TO_START:
        op->held.state = INSIDE;
        if (inner_of(op->fd->loop)->start(op))
            evert__adverse_hold_op(op);
        break;
    case TO_START_CANCELLED:
        if (inner_of(op->fd->loop)->start(op))
            evert__adverse_hold_op(op);
        else
            end_inside(op);
        break;
    case INSIDE_CANCELLED:
        end_inside(op);
        break;
    default:
        op->held.state = IDLE;
        op->done(op);
    }
}

/* Takes from a list one that is due, or returns NULL: what is told may change the list. */
static struct evert__held *next_due(struct evert__link *list)
{
    for (struct evert__link *l = list->next; l != list; l = l->next) {
        struct evert__held *held = EVERT__CONTAINER(l, struct evert__held, link);
        if (held->turns == 0) {
            evert__link_remove(l);
            return held;
        }
    }
    return NULL;
}

static void count_down(struct evert__link *list)
{
    for (struct evert__link *l = list->next; l != list; l = l->next)
        EVERT__CONTAINER(l, struct evert__held, link)->turns--;
}

static void wait(evert_loop *loop, evert_time timeout)
{
    struct adverse *a = loop->adverse;
    struct evert__held *held;

    if (!evert__list_empty(&a->ops) || !evert__list_empty(&a->sources) ||
        !evert__list_empty(&a->files))
        timeout = 0;
    inner_of(loop)->wait(loop, timeout);
    loop->gathers = draw(loop, 2);
    count_down(&a->ops);
    count_down(&a->sources);
    count_down(&a->files);
    while ((held = next_due(&a->ops)) != NULL)
        release_op(EVERT__CONTAINER(held, struct evert__op, held));
    while ((held = next_due(&a->sources)) != NULL) {
        struct late_source *late = late_of(&held->link);
        struct evert__source *source = late->source;
        evert__free(late);
        source->ready(source);
    }
    while ((held = next_due(&a->files)) != NULL)
        release_file(EVERT__CONTAINER(held, struct evert__file, held));
}

#define WRAP(its_name, its_inner)                                                                \
    {                                                                                            \
        .name = (its_name), .inner = (its_inner), .init = init, .fini = fini, .wait = wait,      \
        .start = start, .cancel = cancel, .send = send_now, .room = room, .splice = splice_some, \
        .take = take, .arm = arm, .disarm = disarm, .look = look, .detach = detach,              \
        .start_file = start_file, .cancel_file = cancel_file,                                    \
    }

const struct evert__backend evert__backend_adverse = WRAP("adverse", &evert__backend_epoll);
const struct evert__backend evert__backend_adverse_uring =
    WRAP("adverse-uring", &evert__backend_uring);
