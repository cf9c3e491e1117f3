/* SPDX-License-Identifier: MIT */
/*
 * The output queue. Writes append to it; it is sent when the task next waits or the turn ends, so
 * that what was written in small pieces goes out in one call. One send at a time: two would be
 * mixed by a kernel that takes a part of each.
 */
#include <errno.h>
#include <string.h>

#include "base/flat.h"
#include "base/sys.h"
#include "stream/connection.h"
#include "stream/face.h"

static void send_done(struct evert__op *op);

/* Chunks for `size` bytes behind the last one; NULL when there is no memory for all of them. */
static struct evert__chunk *new_chunks(evert_stream *s, size_t size)
{
    struct evert__chunk *first = NULL;
    for (size_t room = 0; room < size; room += EVERT__CHUNK_ROOM) {
        struct evert__chunk *chunk = evert__chunk_get(s->loop);
        if (chunk == NULL) {
            while ((chunk = first) != NULL) {
                first = chunk->next;
                evert__chunk_put(s->loop, chunk);
            }
            return NULL;
        }
        chunk->next = first;
        first = chunk;
    }
    return first;
}

/* Bytes for which the last chunk has not enough room. */
int evert__output_append_more(evert_stream *s, const char *data, size_t size)
{
    struct evert__output *out = &s->out;
    struct evert__chunk *more = new_chunks(s, size - evert__output_room(out));
    if (more == NULL)
        return -ENOMEM;
    if (out->last != NULL)
        out->last->next = more;
    else
        out->first = out->last = more;
    for (struct evert__chunk *c = out->last; size > 0 && c != NULL; c = c->next) {
        out->last = c;
        size_t room = evert__output_room(out), part = size < room ? size : room;
        memcpy(evert__output_place(out, part), data, part);
        data += part;
        size -= part;
    }
    return 0;
}

/* `count` bytes were sent: their chunks are given back. */
EVERT__HOT static void advance(evert_stream *s, size_t count)
{
    struct evert__output *out = &s->out;
    out->queued -= count;
    while (out->first != NULL) {
        struct evert__chunk *chunk = out->first;
        size_t part = chunk->end - chunk->start;
        if (count < part) {
            chunk->start += (uint32_t)count;
            return;
        }
        count -= part;
        out->first = chunk->next;
        evert__chunk_put(s->loop, chunk);
    }
    out->last = NULL;
}

EVERT__HOT void evert__output_drop(evert_stream *s)
{
    s->open = 0;
    advance(s, s->out.queued);
}

/* Points at the queue, and gives the count of pieces. */
static int list_pieces(evert_stream *s, struct iovec pieces[static EVERT__PIECES])
{
    int count = 0;
    for (struct evert__chunk *c = s->out.first; c != NULL && count < EVERT__PIECES; c = c->next)
        pieces[count++] = (struct iovec){c->data + c->start, c->end - c->start};
    return count;
}

/* An op that points at the queue. */
static struct evert__op *prepare(evert_stream *s)
{
    struct evert__op *op = &s->out.first->send;
    struct iovec *pieces = s->out.first->pieces;
    op->kind = EVERT__OP_SEND;
    op->fd = &s->fd;
    op->done = send_done;
    op->most = SIZE_MAX;
    op->send.pieces = pieces;
    op->send.count = list_pieces(s, pieces);
    return op;
}

void evert__output_fail(evert_stream *s, int error)
{
    s->open = 0;
    if (s->write_error == 0)
        s->write_error = (int16_t)error; /* never one of the user's */
    evert__wake_writer(s);
    if (s->reader != NULL)
        evert__wake_reader(s, 0); /* it looks once more for bytes, and then says the error */
    if (s->protocol != NULL)
        evert__ready_push(s->loop, &s->step); /* the same */
}

void evert__output_break(evert_stream *s, int error)
{
    if (!s->sending) /* else its chunks are the kernel's until it has ended */
        evert__output_drop(s);
    evert__link_remove(&s->flush.link);
    evert__output_fail(s, error);
}

int evert__end_our_side(evert_stream *s)
{
    if (evert__loop_forked(s->loop))
        return EVERT_ECLOSED; /* it is the parent's to end */
    int rc = evert__sys_shutdown(s->fd.number, SHUT_WR);
    return rc == -ENOTCONN ? -EPIPE : rc;
}

/* The end that was asked for while there was something to send. */
EVERT__COLD static void end_at_last(evert_stream *s)
{
    s->eof_due = false;
    int rc = evert__end_our_side(s);
    if (rc < 0)
        evert__output_fail(s, rc);
}

void evert__output_end(evert_stream *s)
{
    s->eof_sent = s->eof_due = true;
    s->open = 0;
    if (s->out.queued == 0 && !s->sending)
        end_at_last(s);
}

/* All is sent. Whether bytes that are few may be written with no look at more than that. */
static bool is_open(const evert_stream *s)
{
    return s->write_error == 0 && !s->eof_sent && !s->losing && s->closing == EVERT__OPEN &&
           s->writer == NULL;
}

EVERT__HOT static void sent(evert_stream *s, ssize_t result)
{
    if (result < 0) {
        evert__output_break(s, (int)result);
        return;
    }
    advance(s, (size_t)result);
    if (s->made)
        evert__transport_sent(s);
    if (s->eof_due && s->out.queued == 0)
        end_at_last(s);
    if (s->writer != NULL && s->out.queued <= s->writer_wants)
        evert__wake(s->writer, 0);
    if (s->out.queued == 0 && is_open(s))
        s->open = EVERT__OPEN_WHOLE;
}

/* Of several pieces, or what is to go together with others': by ops. */
__attribute__((noinline)) static void start(evert_stream *s)
{
    while (!s->sending && s->out.queued > 0 && s->out.first != NULL) {
        struct evert__op *op = prepare(s);
        if (evert__op_start(op))
            sent(s, op->result);
        else
            s->sending = op;
    }
}

/* A single piece, with no op for it, which the back end would make at once as well. */
EVERT__FLAT void evert__output_start(evert_stream *s)
{
    const struct evert__chunk *only = s->out.first;
    evert__link_remove(&s->flush.link);
    s->open = 0;
    if (s->sending || only == NULL)
        return;
    if (only == s->out.last && !s->loop->gathers) {
        struct iovec piece = {(void *)(uintptr_t)(only->data + only->start),
                              only->end - only->start};
        ssize_t result = evert__send_flat(&s->fd, &piece);
        if (result != -EAGAIN)
            sent(s, result);
    }
    if (s->out.first != NULL)
        start(s);
}

/*
 * Sends what is queued and these bytes behind it, as far as that goes without waiting. Gives how
 * many of these were sent.
 */
static ssize_t send_at_once(evert_stream *s, const void *data, size_t size)
{
    struct iovec pieces[EVERT__PIECES + 1];
    size_t queued = s->out.queued;
    if (s->sending || queued >= EVERT__MUCH) /* then it goes by itself */
        return 0;
    int count = list_pieces(s, pieces);
    pieces[count] = (struct iovec){(void *)(uintptr_t)data, size};
    ssize_t result = evert__fd_send(&s->fd, pieces, count + 1);
    if (result == -EAGAIN)
        return 0;
    if (result < 0) {
        evert__output_break(s, (int)result);
        return result;
    }
    size_t old = (size_t)result < queued ? (size_t)result : queued;
    s->open = 0;
    sent(s, (ssize_t)old);
    return result - (ssize_t)old;
}

EVERT__HOT int evert__output_write(evert_stream *s, const char *data, size_t size)
{
    ssize_t sent = size >= EVERT__MUCH ? send_at_once(s, data, size) : 0;
    if (sent < 0 || (size_t)sent == size)
        return sent < 0 ? (int)sent : 0;
    return evert__output_append(s, data + sent, size - (size_t)sent);
}

EVERT__HOT static void send_done(struct evert__op *op)
{
    evert_stream *s = EVERT__CONTAINER(op->fd, evert_stream, fd);
    s->sending = NULL;
    sent(s, op->result);
    if (s->out.queued > 0 && s->closing != EVERT__ENDING)
        evert__output_start(s);
    if (s->closing != EVERT__OPEN)
        evert__close_step(s);
}
