/* SPDX-License-Identifier: MIT */
/*
 * Closing is a protocol. A socket that is closed with bytes unread in it is answered with a reset,
 * which takes the last answer with it on its way to the peer. So: send what was written; end our
 * side; read and drop until the peer ends its own; and only then close. Each step has a limit in
 * time: the flush while it makes no progress, the reading in all. Where the flush has to wait, the
 * dropping begins at once: the peer may not read before it has sent.
 *
 * The loop drives it, so it goes on when the task that asked for it does not wait; evert_close()
 * just waits for its end. The descriptor is closed once no send is on its way, and the memory goes
 * when the loop has let go of the descriptor and no call waits here any more.
 */
#include <sys/socket.h>

#include "base/flat.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/time.h"
#include "stream/connection.h"
#include "stream/face.h"

enum { TAKES = 16, FEW = 512 }; /* of what is dropped, until the others get their turn */

EVERT__HOT static void gone(struct evert__fd *fd)
{
    evert_stream *s = EVERT__CONTAINER(fd, evert_stream, fd);
    evert__link_remove(&s->farewell.link);
    if (s->out.first != NULL)
        evert__output_drop(s);
    s->closing = EVERT__CLOSED;
    if (s->protocol != NULL)
        evert__transport_closed(s);
    evert__connection_release(s); /* what begin_closing() held */
}

/* No send is on its way any more. */
static void close_descriptor(evert_stream *s)
{
    evert__link_remove(&s->flush.link);
    evert__fd_close(&s->fd, gone);
}

/* The farewell is over, or given up. */
EVERT__HOT static void end(evert_stream *s)
{
    s->closing = EVERT__ENDING;
    evert__timer_unset(s->loop, &s->timer);
    struct evert__closer *closer = s->closer;
    s->closer = NULL;
    if (closer != NULL)
        closer->over(closer, s);
    if (s->sending && evert__op_cancel(s->sending))
        s->sending = NULL;
    if (!s->sending)
        close_descriptor(s);
    else
        s->loop->busy++; /* until the send has come to its end */
}

static void set_limit(evert_stream *s)
{
    evert__timer_unset(s->loop, &s->timer);
    evert__timer_set(s->loop, &s->timer, evert__close_limit(s));
}

static void limit_reached(struct evert__ready *ready)
{
    evert_stream *s = EVERT__CONTAINER(ready, evert_stream, timer.ready);
    if (s->closing == EVERT__FLUSHING && s->write_error == 0)
        s->write_error = -ETIMEDOUT;
    end(s);
}

/* The loop is being freed, and waits for nobody. */
static void give_up(struct evert__ready *ready)
{
    evert_stream *s = EVERT__CONTAINER(ready, evert_stream, farewell);
    if (s->closing == EVERT__FLUSHING || s->closing == EVERT__DRAINING)
        end(s);
}

/* Whether all that was accepted has been sent, or cannot be. */
static bool flushed(evert_stream *s)
{
    if (s->out.first != NULL)
        evert__output_start(s);
    return s->out.queued == 0 && !s->sending;
}

/*
 * Reads and drops. True when the peer's end, or an error, has come. Want of memory is none: it
 * would cost the peer the answer, so then it drops in small pieces.
 */
static bool drained(evert_stream *s)
{
    char few[FEW];
    struct evert__chunk *scratch = evert__chunk_get(s->loop);
    char *room = scratch != NULL ? scratch->data : few;
    size_t size = scratch != NULL ? EVERT__CHUNK_ROOM : sizeof(few);
    ssize_t count = 1;
    bool armed = false;
    for (int i = 0; i < TAKES && !armed && (count > 0 || count == -EAGAIN); i++) {
        count = evert__input_take(s, room, size);
        armed = count == -EAGAIN && !evert__source_arm(&s->source);
    }
    if (scratch != NULL)
        evert__chunk_put(s->loop, scratch);
    if (!armed && (count > 0 || count == -EAGAIN))
        evert__ready_push(s->loop, &s->flush);
    return count == 0 || (count < 0 && count != -EAGAIN);
}

/* The peer takes nothing now. The limit is for what we send, whatever is dropped. */
static void go_on_flushing(evert_stream *s)
{
    if (s->out.queued < s->writer_wants) {
        s->writer_wants = s->out.queued;
        set_limit(s);
    }
    if (!s->at_end && s->read_error == 0)
        (void)drained(s);
}

EVERT__HOT void evert__close_step(evert_stream *s)
{
    if (s->closing == EVERT__FLUSHING) {
        if (!flushed(s)) {
            go_on_flushing(s);
            return;
        }
        if (s->at_end || s->read_error < 0 || evert__end_our_side(s) < 0) {
            end(s);
            return;
        }
        s->closing = EVERT__DRAINING;
        set_limit(s);
    }
    if (s->closing == EVERT__DRAINING && drained(s))
        end(s);
    else if (s->closing == EVERT__ENDING && !s->sending && s->fd.number >= 0) {
        s->loop->busy--;
        close_descriptor(s);
    }
}

/* Takes the stream: whoever waits here is woken, and finds it closed. */
EVERT__HOT static void begin_closing(evert_stream *s, enum evert__closing state)
{
    s->taken = true;
    s->closing = state;
    s->open = 0;
    evert__timer_unset(s->loop, &s->timer);
    s->timer.ready.run = limit_reached;
    s->farewell.run = give_up;
    evert__link_remove(&s->farewell.link);
    evert__list_append(&s->loop->farewells, &s->farewell.link);
    evert__connection_hold(s);
    if (s->reader != NULL)
        evert__wake_reader(s, 0);
    if (s->writer != NULL)
        evert__stop_writer(s);
    s->writer_wants = SIZE_MAX; /* from here on: what was unsent when the limit was set */
    evert__source_disarm(&s->source);
    if (!s->in_call)
        evert__input_fini(s);
}

/*
 * In a child of a fork the connection is the parent's, and must not be spoken on: only this
 * process's copy of the descriptor goes.
 */
static void drop_copy(evert_stream *s)
{
    evert__connection_hold(s);
    s->taken = true;
    s->closing = EVERT__CLOSED;
    if (!s->in_call)
        evert__input_fini(s);
    evert__output_drop(s);
    evert__transport_forget(s);
    evert__sys_close(s->fd.number);
    s->fd.number = -1;
    evert__connection_release(s);
}

struct closing {
    struct evert__closer closer;
    struct evert__waiter waiter;
    evert_stream *stream;
};

static void wait_is_over(struct evert__closer *closer, const evert_stream *s)
{
    (void)s;
    evert__wake(&EVERT__CONTAINER(closer, struct closing, closer)->waiter, 0);
}

/* The loop goes on without the one who waited. */
static bool stop_waiting(struct evert__waiter *waiter)
{
    EVERT__CONTAINER(waiter, struct closing, waiter)->stream->closer = NULL;
    return true;
}

/* Waits for the end of the farewell, where that is possible and wanted. */
static void await_end(evert_stream *s)
{
    struct closing closing = {
        .closer.over = wait_is_over, .waiter.cancel = stop_waiting, .stream = s};
    evert_loop *running = evert__loop_running();
    struct evert__task *self;

    if ((running != NULL && running->current == NULL) || evert__self(&self) < 0 ||
        evert__task_cancelled(self))
        return;
    s->closer = &closing.closer;
    evert__wait(self, &closing.waiter);
    s->closer = NULL;
}

EVERT__HOT void evert__close_begin(evert_stream *s)
{
    if (evert__loop_forked(s->loop)) {
        drop_copy(s);
        return;
    }
    begin_closing(s, EVERT__FLUSHING);
    evert__close_step(s);
}

/* evert_serve() keeps the memory of a stream that its handler closed, so there this can be told. */
static bool closed_before(const evert_stream *s)
{
    if (s->taken)
        evert__misuse("a stream was closed for the second time");
    return s->taken;
}

int evert_close(evert_stream *s)
{
    if (s == NULL)
        return 0;
    if (closed_before(s))
        return EVERT_ECLOSED;
    if (evert__loop_forked(s->loop)) {
        drop_copy(s);
        return 0;
    }
    evert__connection_hold(s);
    evert__close_begin(s);
    if (s->closing != EVERT__ENDING)
        await_end(s);
    int rc = s->write_error;
    evert__connection_release(s);
    return rc;
}

void evert__close_now(evert_stream *s, bool reset)
{
    if (evert__loop_forked(s->loop)) {
        drop_copy(s);
        return;
    }
    if (s->closing == EVERT__OPEN)
        begin_closing(s, EVERT__ENDING);
    else if (s->closing > EVERT__DRAINING)
        return;
    if (reset)
        evert__fd_end_by_reset(&s->fd);
    if (!s->sending)
        evert__output_drop(s);
    end(s);
}

void evert_abort(evert_stream *s)
{
    if (s != NULL && !closed_before(s))
        evert__close_now(s, true);
}
