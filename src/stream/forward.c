/* SPDX-License-Identifier: MIT */
/*
 * Forwarding: all that one stream brings goes to another.
 *
 * What was read ahead goes first. Then bytes are copied, over the input buffer, as reads and writes
 * would, until they come in large pieces; these go through a pipe by splice(2), and the kernel
 * hands its pages on. For small ones that would be no gain (docs/internals/performance.md).
 *
 * Each byte is in one of four places: at `from`, in its input buffer, in the pipe, or with `to`.
 * The pipe is filled when it is empty only, and what is in it when the call ends goes to the input
 * buffer, which is empty then. So nothing is lost.
 *
 * Both streams are held from the first to the last: `from` has a reader and `to` a writer, on which
 * nobody waits.
 */
#include <evert/stream/transfer.h>

#include "base/sys.h"
#include "stream/pipe.h"
#include "stream/read.h"
#include "stream/write.h"

enum {
    MOST = EVERT_HIGH_WATER, /* what is copied at once: it fits below the mark */
    BULK = 16384,            /* what comes in pieces of this size is spliced, ... */
    FEW = 4096,              /* ... until so many pieces in a row are smaller than this */
    FEW_TIMES = 8,
};

struct forward {
    evert_stream *from, *to;
    struct evert__task *self;
    struct evert__waiter reader, writer;
    int ends[2];  /* of the pipe, if has_pipe */
    size_t piped; /* bytes in it */
    size_t moved; /* since it was last asked whether others are to run */
    uint8_t bulk; /* 0: it is copied */
    bool has_pipe;
    bool copies; /* whatever comes: these sockets, or this system, cannot splice */
};

/* ---- Holding both ---- */

/* To be called after each wait, which has let go of the one that was waited for. */
static void hold(struct forward *f)
{
    if (f->from->closing == EVERT__OPEN)
        f->from->reader = &f->reader;
    evert__write_hold(f->to, &f->writer);
}

static void let_go(struct forward *f)
{
    f->from->reader = NULL;
    f->to->writer = NULL;
}

/* `to` has failed, or is being closed, while input is waited for: no need to wait any longer. */
static bool end_reading(struct evert__waiter *writer)
{
    struct forward *f = EVERT__CONTAINER(writer, struct forward, writer);
    evert__wake_reader(f->from, 0);
    return true;
}

static int await_input(struct forward *f)
{
    f->writer = (struct evert__waiter){.cancel = end_reading};
    int rc = evert__read_await(f->from, f->self, 0);
    f->writer.done = true;
    return rc;
}

/* Whether to go on: others may have run, and done whatever they like with the streams. */
static int check(const struct forward *f)
{
    int rc = evert__still_open(f->from, f->self);
    if (rc == 0)
        rc = evert__still_open(f->to, f->self);
    return rc < 0 ? rc : f->to->write_error;
}

/* ---- Copying ---- */

static void note_size(struct forward *f, size_t size)
{
    f->moved += size;
    if (size >= BULK)
        f->bulk = FEW_TIMES;
    else if (size < FEW && f->bulk > 0)
        f->bulk--;
}

/* What was read ahead goes to the queue of `to`, or straight to its socket. */
static int pass_on(struct forward *f)
{
    struct evert__input *in = &f->from->in;
    size_t size = evert__input_size(in);
    if (size > MOST)
        size = MOST;
    if (f->to->out.queued + size > EVERT_HIGH_WATER) {
        size_t room = MOST - size;
        int rc =
            evert__write_await(f->to, f->self, room < EVERT__LOW_WATER ? room : EVERT__LOW_WATER);
        if (rc < 0 || (rc = check(f)) < 0)
            return rc;
    }
    int rc = evert__write_enqueue(f->to, in->data + in->start, size);
    if (rc < 0)
        return evert__write_failed(f->to, rc);
    in->start += size;
    return 0;
}

static int take(struct forward *f)
{
    int rc = evert__read_now(f->from, MOST);
    if (rc == 0)
        note_size(f, evert__input_size(&f->from->in));
    return rc == -EAGAIN ? await_input(f) : rc;
}

/* ---- Splicing ---- */

static void give_pipe_back(struct forward *f)
{
    if (f->has_pipe)
        evert__pipe_put(f->from->loop, f->ends, f->piped == 0);
    f->has_pipe = false;
}

static bool cannot_splice(ssize_t result)
{
    return result == -EINVAL || result == -ENOSYS;
}

/* Bytes in the pipe now; 0: none, go on by copying; or why there are none. */
static ssize_t fill(struct forward *f)
{
    evert_stream *s = f->from;
    ssize_t count = evert__source_splice(&s->source, f->ends[1], EVERT__PIPE_SIZE);
    if (count == 0)
        s->at_end = true;
    if (count > 0 || count == -EAGAIN || count == -ENOTEMPTY)
        return count;
    if (cannot_splice(count))
        f->copies = true;
    else if (count < 0)
        s->read_error = (int16_t)count;
    return f->copies ? 0 : count == 0 ? EVERT_EOF : count;
}

/* What is in the pipe goes back to where it came from. */
static int put_back(struct forward *f)
{
    struct evert__input *in = &f->from->in;
    int rc = 0;
    if (f->piped > 0)
        rc = evert__input_reserve(f->from, f->piped);
    while (rc == 0 && f->piped > 0) {
        ssize_t count = evert__sys_read(f->ends[0], in->data + in->end, f->piped);
        if (count <= 0)
            return count < 0 ? (int)count : -EIO;
        in->end += (size_t)count;
        f->piped -= (size_t)count;
    }
    return rc;
}

/* Sends all that is in the pipe. */
static int empty(struct forward *f)
{
    int rc = 0;
    while (rc == 0 && f->piped > 0) {
        ssize_t count = evert__fd_send_pipe(&f->to->fd, f->ends[0], f->piped);
        if (count > 0) {
            f->piped -= (size_t)count;
        } else if (count == -EAGAIN) {
            rc = evert__write_await_room(f->to, f->self);
            hold(f);
            rc = rc < 0 ? rc : check(f);
        } else if (cannot_splice(count)) {
            f->copies = true;
            return put_back(f);
        } else {
            rc = count < 0 ? (int)count : -EIO;
            evert__output_break(f->to, rc);
        }
    }
    return rc;
}

static int splice_some(struct forward *f)
{
    int rc = evert__write_await(f->to, f->self, 0); /* what was copied before goes first */
    if (rc < 0 || (rc = check(f)) < 0)
        return rc;
    hold(f);
    if (!f->has_pipe && evert__pipe_get(f->from->loop, f->ends) < 0) {
        f->bulk = 0; /* no descriptors now: to be tried again later */
        return take(f);
    }
    f->has_pipe = true;
    ssize_t count = fill(f);
    if (count > 0) {
        f->piped = (size_t)count;
        note_size(f, f->piped);
        return empty(f);
    }
    if (count == -ENOTEMPTY)
        return take(f);
    if (count != -EAGAIN)
        return (int)count;
    evert__input_release(f->from);
    give_pipe_back(f);
    return await_input(f);
}

/* ---- The whole ---- */

static int move_all(struct forward *f)
{
    for (;;) {
        int rc = check(f);
        if (rc == 0 && evert__input_size(&f->from->in) > 0)
            rc = pass_on(f);
        else if (rc == 0)
            rc = f->bulk > 0 && !f->copies ? splice_some(f) : take(f);
        hold(f);
        if (rc < 0)
            return rc;
        evert__completed_bytes(f->self, f->moved);
        f->moved = 0;
    }
}

/* What it came to: the end is no failure, but may hide one. */
static int finish(struct forward *f, int rc)
{
    if (f->piped > 0 && f->from->closing == EVERT__OPEN) {
        int kept = put_back(f);
        if (kept < 0) /* there is a gap */
            rc = evert__write_failed(f->to, kept);
    }
    give_pipe_back(f);
    if (rc == EVERT_EOF)
        rc = f->from->write_error;
    if (rc == 0 && f->self->root)
        rc = evert__write_await(f->to, f->self, 0);
    let_go(f);
    return rc;
}

int evert_forward(evert_stream *from, evert_stream *to)
{
    struct forward f = {.from = from, .to = to, .reader.done = true, .writer.done = true};
    int rc = evert__write_begin(to, &f.self);
    if (rc < 0)
        return evert__write_failed(to, rc);
    evert__connection_hold(to);
    evert__connection_hold(from);
    evert__write_hold(to, &f.writer);
    rc = evert__read_begin(from, &f.self, true);
    if (rc == -EBUSY || rc == EVERT_ECONTEXT) {
        to->writer = NULL;
    } else {
        hold(&f);
        rc = finish(&f, rc < 0 ? rc : move_all(&f));
    }
    evert__connection_release(from);
    evert__connection_release(to);
    return rc;
}

struct way {
    evert_stream *from, *to;
};

static int forward_to_the_end(void *arg)
{
    const struct way *way = arg;
    int rc = evert_forward(way->from, way->to);
    return rc < 0 ? rc : evert_write_eof(way->to);
}

int evert_relay(evert_stream *a, evert_stream *b)
{
    struct way there = {a, b}, back = {b, a};
    evert_scope scope;
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn(&scope, forward_to_the_end, &back);
    if (rc == 0)
        rc = forward_to_the_end(&there);
    return evert_scope_leave(&scope, rc);
}
