/* SPDX-License-Identifier: MIT */
/* Writing: into the queue, or for a large write straight from the caller's memory. */
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/format.h"
#include "stream/connection.h"

struct writing {
    struct evert__waiter waiter;
    evert_stream *stream;
};

static bool stop_writing(struct evert__waiter *waiter)
{
    EVERT__CONTAINER(waiter, struct writing, waiter)->stream->writer = NULL;
    return true;
}

/* What a call comes to that waited as this stream's writer. */
static int after_waiting(evert_stream *s, const struct evert__task *self,
                         const struct evert__waiter *waiter)
{
    int rc = 0;
    s->writer = NULL;
    if (waiter->result < 0)
        rc = (int)waiter->result;
    else if (s->closing != EVERT__OPEN)
        rc = evert__task_cancelled(self) ? -ECANCELED : EVERT_ECLOSED;
    else if (s->write_error < 0)
        rc = s->write_error;
    evert__connection_release(s);
    return rc;
}

/* Waits until no more than `queued` bytes are to be sent, sending what can be sent now. */
static int await_sent(evert_stream *s, struct evert__task *self, size_t queued)
{
    struct writing writing = {.waiter.cancel = stop_writing, .stream = s};

    evert__output_start(s);
    if (s->write_error < 0)
        return s->write_error;
    if (s->out.queued <= queued)
        return 0;
    s->writer = &writing.waiter;
    s->writer_wants = queued;
    evert__connection_hold(s);
    evert__wait(self, &writing.waiter);
    return after_waiting(s, self, &writing.waiter);
}

/* What each write begins with. */
static int begin(evert_stream *s, struct evert__task **ret_self)
{
    int rc = evert__checkpoint_on(s->loop, ret_self);
    if (rc < 0)
        return rc;
    if (s->write_error < 0)
        return s->write_error;
    if (s->eof_sent)
        return -EPIPE;
    return s->writer != NULL ? -EBUSY : 0;
}

/* A send op on memory of the caller's, whose task waits for it. */
struct large_write {
    struct evert__waiter waiter;
    evert_stream *stream;
    struct evert__op send;
    struct iovec piece;
};

static void large_done(struct evert__op *op)
{
    evert_stream *s = EVERT__CONTAINER(op->fd, evert_stream, fd);
    s->sending = NULL;
    evert__wake(s->writer, 0);
    if (s->closing != EVERT__OPEN)
        evert__close_step(s);
}

static bool stop_large(struct evert__waiter *waiter)
{
    struct large_write *large = EVERT__CONTAINER(waiter, struct large_write, waiter);
    if (!evert__op_cancel(&large->send))
        return false; /* large_done will tell what became of it */
    large->stream->sending = NULL;
    return true;
}

/* One send of a large write: bytes sent, or an error. */
static ssize_t send_large(evert_stream *s, struct evert__task *self, const char *data, size_t size)
{
    struct large_write large = {.waiter.cancel = stop_large,
                                .stream = s,
                                .send = {.kind = EVERT__OP_SEND, .fd = &s->fd, .done = large_done},
                                .piece = {(void *)(uintptr_t)data, size}};

    large.send.most = SIZE_MAX;
    large.send.send.pieces = &large.piece;
    large.send.send.count = 1;
    if (evert__op_start(&large.send))
        return large.send.result;
    s->sending = &large.send;
    s->writer = &large.waiter;
    evert__connection_hold(s);
    evert__wait(self, &large.waiter);
    ssize_t result = large.waiter.result == 0 ? large.send.result : large.waiter.result;
    int rc = after_waiting(s, self, &large.waiter);
    return rc < 0 ? rc : result;
}

static int write_large(evert_stream *s, struct evert__task *self, const char *data, size_t size)
{
    size_t sent = 0;
    int rc = await_sent(s, self, 0);
    while (rc == 0 && sent < size) {
        /* A send may need no wait, so a cancel since the last one has to be looked for here. */
        ssize_t count = evert__task_cancelled(self) ? -ECANCELED
                                                    : send_large(s, self, data + sent, size - sent);
        if (count >= 0)
            sent += (size_t)count;
        else
            rc = (int)count;
    }
    if (rc == -ECANCELED && sent > 0 && s->closing == EVERT__OPEN)
        evert__output_break(s, rc); /* half a message is worse than none */
    return rc;
}

/* Puts bytes behind what is queued. */
static int enqueue(evert_stream *s, const char *data, size_t size)
{
    int rc = evert__output_write(s, data, size);
    if (rc == 0 && s->out.queued > 0)
        evert__output_later(s);
    return rc;
}

/* The same, once there is room for them; in blocking mode they are sent as well. */
static int write_small(evert_stream *s, struct evert__task *self, const void *data, size_t size)
{
    int rc = 0;
    if (s->out.queued + size > EVERT_HIGH_WATER)
        rc = await_sent(s, self, EVERT__LOW_WATER);
    if (rc == 0)
        rc = enqueue(s, data, size);
    if (rc < 0 || !self->root)
        return rc;
    rc = await_sent(s, self, 0);
    if (rc == -ECANCELED && s->closing == EVERT__OPEN)
        evert__output_break(s, rc); /* it was taken, and perhaps sent in part */
    return rc;
}

/*
 * A write that failed breaks the write side, so that nothing is sent behind the gap. Not so if it
 * was cancelled before it took anything, or was made where it may not be; and a stream that was
 * closed meanwhile is not to be touched.
 */
static int fail(evert_stream *s, int rc)
{
    if (rc != -ECANCELED && rc != -EBUSY && rc != EVERT_ECONTEXT && rc != EVERT_ECLOSED)
        evert__output_fail(s, rc);
    return rc;
}

/* A write that waits, or may do so. */
static int write_waiting(evert_stream *s, struct evert__task *self, const void *data, size_t size)
{
    evert__connection_hold(s); /* it may be closed meanwhile */
    int rc = size > EVERT_HIGH_WATER ? write_large(s, self, data, size)
                                     : write_small(s, self, data, size);
    if (rc < 0)
        rc = fail(s, rc);
    evert__connection_release(s);
    return rc;
}

/* Apart, so that the common case pays nothing for the frame that this needs. */
EVERT__FLAT __attribute__((noinline)) static int write_any(evert_stream *s, const void *data,
                                                           size_t size)
{
    struct evert__task *self;
    int rc = begin(s, &self);
    if (rc == 0 && size > 0) {
        if (self->root || size > EVERT_HIGH_WATER || s->out.queued + size > EVERT_HIGH_WATER)
            rc = write_waiting(s, self, data, size);
        else if ((rc = enqueue(s, data, size)) < 0)
            rc = fail(s, rc);
    } else if (rc < 0) {
        rc = fail(s, rc);
    }
    if (rc == 0)
        evert__completed(self);
    return rc;
}

int evert_write(evert_stream *s, const void *data, size_t size)
{
    struct evert__task *self = s->loop->current;
    /* The most common case: a few bytes behind others that wait to be sent. */
    if (size == 0 || size >= s->open || self == NULL || evert__task_cancelled(self))
        return write_any(s, data, size);
    struct evert__chunk *last = s->out.last;
    memcpy(last->data + last->end, data, size);
    last->end += (uint32_t)size;
    s->out.queued += size;
    s->open = (uint16_t)(s->open - size);
    evert__completed(self);
    return 0;
}

/* Formatted first, so that it is queued whole or not at all. */
int evert_vprintf(evert_stream *s, const char *format, va_list arguments)
{
    char small[EVERT__FORMATTED];
    evert_bytes text;
    int rc = evert__format_whole(small, &text, format, arguments);
    if (rc < 0)
        return fail(s, rc);
    rc = evert_write(s, text.data, text.size);
    evert__format_done(small, text);
    return rc;
}

int evert_printf(evert_stream *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = evert_vprintf(s, format, arguments);
    va_end(arguments);
    return rc;
}

int evert_flush(evert_stream *s)
{
    struct evert__task *self;
    int rc = evert__checkpoint_on(s->loop, &self);
    if (rc == 0 && s->writer != NULL)
        rc = -EBUSY;
    if (rc == 0)
        rc = await_sent(s, self, 0);
    if (rc == 0)
        evert__completed(self);
    return rc;
}

int evert_write_eof(evert_stream *s)
{
    struct evert__task *self;
    int rc = begin(s, &self);
    if (rc == -EPIPE && s->eof_sent)
        return 0;
    if (rc == 0)
        rc = await_sent(s, self, 0);
    if (rc == 0)
        rc = evert__end_our_side(s);
    if (rc < 0)
        return fail(s, rc);
    s->eof_sent = true;
    evert__completed(self);
    return 0;
}

void evert__stop_writer(evert_stream *s)
{
    if (s->writer == NULL)
        return;
    if (s->writer->cancel != stop_large) {
        evert__wake(s->writer, 0);
    } else {
        if (s->write_error == 0)
            s->write_error = EVERT_ECLOSED;      /* it was cut in the middle */
        if (s->sending && stop_large(s->writer)) /* not sending: it was woken already */
            evert__wake(s->writer, 0);
    }
}
