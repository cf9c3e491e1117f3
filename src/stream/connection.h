/* SPDX-License-Identifier: MIT */
/*
 * The connection: what an evert_stream is. It owns its descriptor, the bytes that were read ahead,
 * and the bytes that wait to be sent.
 *
 * Input is pulled. Bytes stay in the kernel until a read takes them, so a reader that is slow holds
 * its peer back, one that is cancelled loses nothing, and a connection that is idle holds no
 * buffer. What a read returns is a view into the input buffer; since only a read puts bytes there,
 * and a read ends the view, nothing can move under it.
 *
 * Output is a queue of chunks. At most one send is on its way; its chunks stay where they are until
 * it completes, and more may be appended behind them.
 */
#ifndef EVERT_SRC_STREAM_CONNECTION_H
#define EVERT_SRC_STREAM_CONNECTION_H

#include <evert/stream/stream.h>

#include "base/copy.h"
#include "base/flat.h"
#include "coro/wait.h"
#include "loop/op_flat.h"
#include "stream/chunk.h"

enum {
    EVERT__LOW_WATER = 16384,
    EVERT__OPEN_WHOLE = EVERT__CHUNK_ROOM + 1 /* `open` of a stream with nothing to send */
};

struct evert__input {
    char *data; /* NULL while there is nothing in it */
    size_t start, end, capacity;
};

struct evert__output {
    struct evert__chunk *first, *last;
    size_t queued; /* bytes in all of them */
};

struct evert__names;
struct evert_protocol;
struct evert_producer;

/* The states of closing; see close.c. */
enum evert__closing {
    EVERT__OPEN,
    EVERT__FLUSHING, /* sending what was written */
    EVERT__DRAINING, /* reading and dropping until the peer's end */
    EVERT__ENDING,   /* waiting for a send to end, so that the descriptor can be closed */
    EVERT__CLOSED
};

/* Who is told, once, when a farewell is over or given up; `write_error` says what was not sent. */
struct evert__closer {
    void (*over)(struct evert__closer *closer, const evert_stream *stream);
};

/* What each request touches comes first, close together. */
struct evert_stream {
    union {
        evert_loop *loop; /* that of the descriptor */
        struct evert__fd fd;
    };
    struct evert__source source;
    struct evert__input in;
    struct evert__output out;
    struct evert__waiter *reader, *writer;
    struct evert__op *sending;       /* on its way, or NULL */
    int16_t read_error, write_error; /* each says the same for ever */
    /*
     * Fewer bytes than this may be written with no further look: behind those that wait to be
     * sent, in the last chunk, or as the first. 0 when in doubt.
     */
    uint16_t open;
    uint8_t users; /* calls that wait here, and serve: it is not freed under them */
    enum evert__closing closing : 5; /* so few bits that `awaited` has its place behind these */
    bool served : 1;                 /* evert_serve() accepted it and will close it */
    bool at_end : 1;   /* the peer has ended its side, and all that it sent was taken */
    bool eof_sent : 1; /* our own side was ended, or is as soon as all is sent: */
    bool eof_due : 1;  /* that is still to be done */
    bool dropping : 1; /* the rest of a line that was too long */
    bool taken : 1;    /* by close or abort */
    bool in_steps : 1; /* the writer has begun something that a close cuts in the middle */
    /* The transport's face: see face.h. */
    bool made : 1;   /* there is one, and it has heard connection_made() */
    bool paused : 1; /* reading is */
    bool offer : 1;  /* there is input that it has not seen */
    bool eof_told : 1;
    bool above : 1;   /* the high-water mark: it has heard pause_writing(), and not yet resume */
    bool losing : 1;  /* closed as soon as the producer is done */
    bool hungry : 1;  /* all was sent: a producer that is pulled is to be asked for more */
    bool leaves : 1;  /* what it is given it may leave, and get again */
    bool in_call : 1; /* it looks at the input buffer, which has to stay, or be left to it */
    /*
     * So much room the reader who waits wants to have filled for him, EVERT__LARGE at the most; 0:
     * he takes himself.
     */
    uint32_t awaited : EVERT__LARGE_BITS + 1;
    int reason;    /* why it is being closed: what connection_lost() will hear */
    uint32_t high; /* of a transport: its marks of what is unsent are this and `low` */
    uint32_t line_limit;
    struct evert__ready step;  /* run when there is something to tell the protocol, or to take */
    struct evert__ready flush; /* on the loop's list while there is something to send */
    struct evert_protocol *protocol; /* NULL while this is a stream */
    struct evert_producer *producer;

    size_t writer_wants; /* to go on when no more than this is queued */
    struct evert__closer *closer;
    struct evert__timer timer;    /* of closing */
    struct evert__ready farewell; /* on the loop's list while it is being closed */
    struct evert__names *names;   /* its addresses in words, once asked for */

    uint32_t low;         /* see `high` */
    uint32_t close_limit; /* in milliseconds */
#ifdef EVERT_DEBUG
    /*
     * What the last read gave out, so that a use after its end is seen; and where it is from, so
     * that it is seen, too, if that changes before.
     */
    char *view;
    evert_bytes viewed;
#endif
};

/* A connection for a descriptor that is put into its `fd` later. */
int evert__connection_new(evert_loop *loop, evert_stream **ret);

/* One for a descriptor that is connected, which it takes, also on failure. */
int evert__connection_accepted(evert_loop *loop, int number, bool is_tcp, evert_stream **ret);

/* What a waiting call holds, and lets go of; the last to go frees a closed connection. */
void evert__connection_free(evert_stream *stream);

static inline void evert__connection_hold(evert_stream *s)
{
    s->users++;
}

static inline void evert__connection_release(evert_stream *s)
{
    if (__builtin_expect(--s->users == 0, 0) && s->closing == EVERT__CLOSED)
        evert__connection_free(s);
}

/*
 * Whether a call may go on, in the midst of which others ran, who may do whatever they like with
 * the stream: 0, or why not.
 */
static inline int evert__still_open(const evert_stream *s, const struct evert__task *self)
{
    if (evert__task_cancelled(self))
        return -ECANCELED;
    return s->closing != EVERT__OPEN ? EVERT_ECLOSED : 0;
}

/* input.c: the bytes that were read ahead */

/*
 * What a waiting reader is woken with by the source, which is not armed any more: it has something;
 * or that was taken already, and is in the buffer. Or what the take came to: the end, or an error.
 */
enum { EVERT__INPUT_CAME = 1, EVERT__INPUT_TAKEN };

/* The wait of the reader who waits there is ended: nothing is taken for him any more. */
static inline void evert__take_no_more(evert_stream *s)
{
    s->awaited = 0;
    evert__link_remove(&s->step.link);
}

/* Ends that wait. */
static inline void evert__wake_reader(evert_stream *s, int result)
{
    evert__take_no_more(s);
    evert__wake(s->reader, result);
}

/* The step of a stream: takes what came for the reader who waits, and has him run at once. */
void evert__take_for_reader(struct evert__ready *step);

static inline size_t evert__input_size(const struct evert__input *in)
{
    return in->end - in->start;
}

/* The large buffer, where the stream has none. -ENOMEM: then it has none still. */
static inline int evert__input_get_large(evert_stream *s)
{
    char *large = evert__large_get(s->loop);
    if (large == NULL)
        return -ENOMEM;
    s->in = (struct evert__input){.data = large, .capacity = EVERT__LARGE};
    return 0;
}

/* Room for `size` bytes from `start` on; keeps what is there. -ENOMEM leaves all as it was. */
int evert__input_make_room(evert_stream *stream, size_t size);
static inline int evert__input_reserve(evert_stream *stream, size_t size)
{
    struct evert__input *in = &stream->in;
    if (in->data == NULL && size <= EVERT__CHUNK) {
        *in = (struct evert__input){.data = (char *)evert__chunk_get(stream->loop),
                                    .capacity = EVERT__CHUNK};
        return in->data != NULL ? 0 : -ENOMEM;
    }
    if (in->data == NULL && size <= EVERT__LARGE && evert__large_is_free(stream->loop))
        return evert__input_get_large(stream); /* which costs nothing */
    if (in->start == in->end)
        in->start = in->end = 0; /* where the caches still know it */
    if (in->data != NULL && in->capacity - in->start >= size)
        return 0;
    return evert__input_make_room(stream, size);
}

/*
 * Takes once into other memory; the buffer has to be empty. Bytes, 0 at the end, -EAGAIN, or an
 * error. The end or error is remembered: it will not be said a second time by all kernels.
 */
static inline ssize_t evert__input_take(evert_stream *s, void *memory, size_t size)
{
    if (s->at_end || s->read_error < 0)
        return s->read_error;
    ssize_t count = evert__receive_flat(&s->source, memory, size);
    if (count == 0)
        s->at_end = true;
    else if (count < 0 && count != -EAGAIN)
        s->read_error = (int16_t)count;
    return count;
}

/* Takes once what there is, into the buffer: as much as there is room for, or `most`. */
static inline ssize_t evert__input_fill(evert_stream *s, size_t most)
{
    struct evert__input *in = &s->in;
    size_t room = in->capacity - in->end;
    ssize_t count = evert__input_take(s, in->data + in->end, room < most ? room : most);
    if (count > 0)
        in->end += (size_t)count;
    return count;
}

/* Gives its memory back, or frees it; apart where it is not a chunk. */
void evert__input_free_large(const evert_loop *loop, const struct evert__input *in);
static inline void evert__input_free_memory(evert_loop *loop, const struct evert__input *in)
{
    if (in->capacity == EVERT__CHUNK)
        evert__chunk_put(loop, (struct evert__chunk *)(void *)in->data);
    else
        evert__input_free_large(loop, in);
}

static inline void evert__input_free(evert_stream *s)
{
    evert__input_free_memory(s->loop, &s->in);
    s->in = (struct evert__input){0};
}

/*
 * Leaves the buffer to the protocol's call that looks at it, and goes on with another, which has
 * what was not consumed. -ENOMEM leaves all as it was.
 */
EVERT__COLD int evert__input_leave(evert_stream *stream);

/* What is left in a large buffer goes to a small one, if one will do: who waits holds little. */
void evert__input_shrink(evert_stream *stream);

/* Frees the buffer, and what is looked after a view with. */
static inline void evert__input_fini(evert_stream *s)
{
    if (s->in.data != NULL)
        evert__input_free(s);
#ifdef EVERT_DEBUG
    evert__free(s->view);
    s->view = NULL;
#endif
}

/* Gives the buffer back if it is empty. */
static inline void evert__input_release(evert_stream *s)
{
    if (s->in.data != NULL && evert__input_size(&s->in) == 0)
        evert__input_free(s);
}

/* output.c: the bytes to be sent */

/* Queues bytes, all or none: -ENOMEM. */
int evert__output_append_more(evert_stream *stream, const char *data, size_t size);
static inline size_t evert__output_room(const struct evert__output *out)
{
    return out->last != NULL ? EVERT__CHUNK_ROOM - out->last->end : 0;
}

/* Where the last chunk takes bytes for which it has room; they are counted as written. */
static inline char *evert__output_place(struct evert__output *out, size_t size)
{
    char *end = out->last->data + out->last->end;
    out->last->end += (uint32_t)size;
    out->queued += size;
    return end;
}

/* Makes the first chunk, where none waits. False: no memory. */
static inline bool evert__output_begin(evert_stream *s)
{
    s->out.first = s->out.last = evert__chunk_get(s->loop);
    return s->out.last != NULL;
}

/* Puts it on the list of those that have something to send. */
static inline void evert__output_due(evert_stream *s)
{
    if (!evert__link_used(&s->flush.link))
        evert__list_append(&s->loop->flush, &s->flush.link);
}

/* Of bytes that are fewer than `open`. False: no memory for them. */
static inline bool evert__output_put_small(evert_stream *s, const void *data, size_t size)
{
    if (s->out.last == NULL) {
        if (!evert__output_begin(s))
            return false;
        evert__output_due(s);
    }
    s->open = (uint16_t)(s->open - size);
    memcpy(evert__output_place(&s->out, size), data, size);
    return true;
}

/* Whether these are a few bytes behind others that wait to be sent: the most common write. */
static inline bool evert__output_takes_few(const evert_stream *s, size_t size)
{
    return size - 1 < EVERT__FEW && size < s->open && s->out.last != NULL;
}

/* Calls nothing, so who does no more than this has no frame. */
static inline void evert__output_put_few(evert_stream *s, const void *data, size_t size)
{
    s->open = (uint16_t)(s->open - size);
    evert__copy_few(evert__output_place(&s->out, size), data, size);
}

static inline int evert__output_append(evert_stream *s, const void *data, size_t size)
{
    struct evert__output *out = &s->out;
    s->open = 0; /* until it is known how much room is left behind it */
    if (out->last == NULL && size <= EVERT__CHUNK_ROOM)
        (void)evert__output_begin(s);
    if (out->last == NULL || size > evert__output_room(out))
        return evert__output_append_more(s, data, size);
    memcpy(evert__output_place(out, size), data, size);
    return 0;
}

/*
 * The same; but where they are much, what goes without waiting is sent at once, with what is queued
 * before, and only the rest is queued. Also an error of the socket, which has broken the write
 * side.
 */
int evert__output_write(evert_stream *stream, const char *data, size_t size);

/* Sends what is queued, as far as that goes without waiting; the rest goes by itself. */
void evert__output_start(evert_stream *stream);

/*
 * To wait for input, after a take that gave nothing. True: another take is worth a try; when the
 * write side has failed the kernel itself is asked, since nothing is told after that, and what had
 * arrived comes first. A newcomer's answer is sent before the kernel is asked to tell of him, which
 * takes it a while, for which he would wait.
 */
static inline bool evert__input_arm(evert_stream *s)
{
    if (evert__is_unregistered(&s->fd) && s->out.first != NULL)
        evert__output_start(s);
    return s->write_error < 0 ? evert__source_look(&s->source) : evert__arm_flat(&s->source);
}

/* Has it sent when the task that runs next waits, or at the end of the turn. */
static inline void evert__output_later(evert_stream *s)
{
    struct evert__output *out = &s->out;
    if (s->sending)
        return;
    evert__output_due(s);
    /* As long as this waits to be sent, more may be put behind it. */
    size_t room = evert__output_room(out), most = EVERT_HIGH_WATER;
    most = out->queued < most ? most - out->queued : 0;
    s->open = (uint16_t)(room < most ? room : most);
}

/*
 * The write side has failed: whoever waits is told, and every later write. What was accepted before
 * is still sent; not so where the socket itself is broken, where it is dropped.
 */
EVERT__COLD void evert__output_fail(evert_stream *stream, int error);
EVERT__COLD void evert__output_break(evert_stream *stream, int error);

void evert__output_drop(evert_stream *stream);

/*
 * Ends our side now. Of a connection that the peer has reset shutdown(2) says ENOTCONN, as if there
 * had never been one; this says what a send would: -EPIPE.
 */
int evert__end_our_side(evert_stream *stream);

/* Ends our side as soon as all is sent; nothing more is to be written. */
void evert__output_end(evert_stream *stream);

/* Ends the wait of a writer, if there is one. What it has on its way may have to end first. */
EVERT__COLD void evert__wake_writer(evert_stream *stream);

/* The same of the one there is, because the stream is being closed. */
EVERT__COLD void evert__stop_writer(evert_stream *stream);

/* Goes on with closing, after something that it waited for has happened. */
void evert__close_step(evert_stream *stream);

/* When a limit that is set now will be over. */
evert_time evert__close_limit(const evert_stream *stream);

/* Begins to close, as evert_close() does, and waits for nothing. */
void evert__close_begin(evert_stream *stream);

/* Closes now, also where it is being closed already; with a reset or without. */
void evert__close_now(evert_stream *stream, bool reset);

/* What the stream's face lets go of before it is turned away. */
void evert__end_view(evert_stream *stream);

#endif
