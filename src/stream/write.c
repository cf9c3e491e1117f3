/* SPDX-License-Identifier: MIT */
/* Writing: into the queue, or for a large write straight from the caller's memory. */
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/format.h"
#include "stream/write.h"

struct writing {
    struct evert__waiter waiter;
    evert_stream *stream;
};

static bool stop_writing(struct evert__waiter *waiter)
{
    EVERT__CONTAINER(waiter, struct writing, waiter)->stream->writer = NULL;
    return true;
}

int evert__write_after_wait(evert_stream *s, const struct evert__task *self,
                            const struct evert__waiter *waiter)
{
    int rc = 0;
    s->writer = NULL;
    if (waiter->result < 0)
        rc = waiter->result;
    else if (s->closing != EVERT__OPEN)
        rc = evert__task_cancelled(self) ? -ECANCELED : EVERT_ECLOSED;
    else if (s->write_error < 0)
        rc = s->write_error;
    evert__connection_release(s);
    return rc;
}

int evert__write_await(evert_stream *s, struct evert__task *self, size_t queued)
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
    return evert__write_after_wait(s, self, &writing.waiter);
}

int evert__write_begin(evert_stream *s, struct evert__task **ret_self)
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

/* An op of the writer's own, such as a send from its caller's memory. */
struct own_op {
    struct evert__waiter waiter;
    evert_stream *stream;
    struct evert__op op;
};

static void own_done(struct evert__op *op)
{
    evert_stream *s = EVERT__CONTAINER(op->fd, evert_stream, fd);
    s->sending = NULL;
    evert__wake(s->writer, 0);
    if (s->closing != EVERT__OPEN)
        evert__close_step(s);
}

static bool stop_own(struct evert__waiter *waiter)
{
    struct own_op *own = EVERT__CONTAINER(waiter, struct own_op, waiter);
    if (!evert__op_cancel(&own->op))
        return false; /* own_done will tell what became of it */
    own->stream->sending = NULL;
    return true;
}

/* Runs such an op: its result, or why it has none. */
static ssize_t run(evert_stream *s, struct evert__task *self, struct own_op *own)
{
    own->waiter.cancel = stop_own;
    own->stream = s;
    own->op.fd = &s->fd;
    own->op.done = own_done;
    if (evert__op_start(&own->op))
        return own->op.result;
    s->sending = &own->op;
    s->writer = &own->waiter;
    evert__connection_hold(s);
    evert__wait(self, &own->waiter);
    ssize_t result = own->waiter.result == 0 ? own->op.result : own->waiter.result;
    int rc = evert__write_after_wait(s, self, &own->waiter);
    return rc < 0 ? rc : result;
}

int evert__write_await_room(evert_stream *s, struct evert__task *self)
{
    struct own_op own = {.op.kind = EVERT__OP_ROOM};
    return (int)run(s, self, &own);
}

int evert__write_go_on(evert_stream *s, struct evert__task *self, size_t size)
{
    struct evert__waiter writer = {.done = true};
    evert__write_hold(s, &writer);
    evert__completed_bytes(self, size);
    s->writer = NULL;
    int rc = evert__still_open(s, self);
    return rc < 0 ? rc : s->write_error;
}

int evert__write_memory(evert_stream *s, struct evert__task *self, const char *data, size_t size,
                        size_t *sent)
{
    /* A send may need no wait, so a cancel since the last one has to be looked for. */
    int rc = evert__task_cancelled(self) ? -ECANCELED : 0;
    for (size_t done = 0; rc == 0 && done < size;) {
        size_t left = size - done;
        if (left > EVERT__BYTES_OF_A_TURN)
            left = EVERT__BYTES_OF_A_TURN;
        struct iovec piece = {(void *)(uintptr_t)(data + done), left};
        struct own_op own = {.op.kind = EVERT__OP_SEND};
        own.op.most = SIZE_MAX;
        own.op.send.pieces = &piece;
        own.op.send.count = 1;
        ssize_t count = run(s, self, &own);
        if (count < 0)
            rc = (int)count;
        else
            done += (size_t)count;
        *sent += count > 0 ? (size_t)count : 0;
        if (rc == 0 && done < size)
            rc = evert__write_go_on(s, self, (size_t)count);
    }
    return rc;
}

static int write_large(evert_stream *s, struct evert__task *self, const char *data, size_t size)
{
    size_t sent = 0;
    int rc = evert__write_await(s, self, 0);
    s->in_steps = true;
    if (rc == 0)
        rc = evert__write_memory(s, self, data, size, &sent);
    s->in_steps = false;
    if (rc == -ECANCELED && sent > 0 && s->closing == EVERT__OPEN)
        evert__output_break(s, rc); /* half a message is worse than none */
    return rc;
}

int evert__write_enqueue(evert_stream *s, const char *data, size_t size)
{
    int rc = evert__output_write(s, data, size);
    if (rc == 0 && s->out.queued > 0)
        evert__output_later(s);
    return rc;
}

int evert__write_small(evert_stream *s, struct evert__task *self, const void *data, size_t size)
{
    int rc = 0;
    if (s->out.queued + size > EVERT_HIGH_WATER)
        rc = evert__write_await(s, self, EVERT__LOW_WATER);
    if (rc == 0)
        rc = evert__write_enqueue(s, data, size);
    if (rc < 0 || !self->root)
        return rc;
    rc = evert__write_await(s, self, 0);
    if (rc == -ECANCELED && s->closing == EVERT__OPEN)
        evert__output_break(s, rc); /* it was taken, and perhaps sent in part */
    return rc;
}

int evert__write_failed(evert_stream *s, int rc)
{
    if (rc != -ECANCELED && rc != -EBUSY && rc != EVERT_ECONTEXT && rc != EVERT_ECLOSED)
        evert__output_fail(s, rc);
    return rc;
}

/* A write that waits, or may do so. Apart, as below. */
EVERT__FLAT __attribute__((noinline)) static int
write_waiting(evert_stream *s, struct evert__task *self, const void *data, size_t size)
{
    evert__connection_hold(s); /* it may be closed meanwhile */
    int rc = size > EVERT_HIGH_WATER ? write_large(s, self, data, size)
                                     : evert__write_small(s, self, data, size);
    if (rc < 0)
        rc = evert__write_failed(s, rc);
    evert__connection_release(s);
    return rc;
}

/* Apart, so that the common case pays nothing for the frame that this needs. */
EVERT__FLAT __attribute__((noinline)) static int write_any(evert_stream *s, const void *data,
                                                           size_t size)
{
    struct evert__task *self;
    /* More than a few bytes, or the first of those that wait to be sent. */
    if (size > 0 && size < s->open && evert__at_once(s->loop) &&
        evert__output_put_small(s, data, size))
        return 0;
    int rc = evert__write_begin(s, &self);
    if (rc == 0 && size > 0) {
        if (self->root || size > EVERT_HIGH_WATER || s->out.queued + size > EVERT_HIGH_WATER)
            rc = write_waiting(s, self, data, size);
        else if ((rc = evert__write_enqueue(s, data, size)) < 0)
            rc = evert__write_failed(s, rc);
    } else if (rc < 0) {
        rc = evert__write_failed(s, rc);
    }
    if (rc == 0)
        evert__completed_bytes(self, size);
    return rc;
}

EVERT__RETURNS EVERT__HOT int evert_write(evert_stream *s, const void *data, size_t size)
{
    if (!evert__output_takes_few(s, size) || !evert__at_once(s->loop))
        return write_any(s, data, size);
    evert__output_put_few(s, data, size);
    return 0;
}

/* Formatted first, so that it is queued whole or not at all. */
int evert_vprintf(evert_stream *s, const char *format, va_list arguments)
{
    char small[EVERT__FORMATTED];
    evert_bytes text;
    int rc = evert__format_whole(small, &text, format, arguments);
    if (rc < 0)
        return evert__write_failed(s, rc);
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
        rc = evert__write_await(s, self, 0);
    if (rc == 0)
        evert__completed(self);
    return rc;
}

int evert_write_eof(evert_stream *s)
{
    struct evert__task *self;
    int rc = evert__write_begin(s, &self);
    if (rc == -EPIPE && s->eof_sent)
        return 0;
    if (rc == 0)
        rc = evert__write_await(s, self, 0);
    if (rc == 0)
        rc = evert__end_our_side(s);
    if (rc < 0)
        return evert__write_failed(s, rc);
    s->eof_sent = true;
    evert__completed(self);
    return 0;
}

void evert__stop_writer(evert_stream *s)
{
    if (s->write_error == 0 && (s->in_steps || s->writer->cancel == stop_own))
        s->write_error = EVERT_ECLOSED;
    evert__wake_writer(s);
}

void evert__wake_writer(evert_stream *s)
{
    struct evert__waiter *writer = s->writer;
    if (writer != NULL && !writer->done && writer->cancel(writer))
        evert__wake(writer, 0);
}
