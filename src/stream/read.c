/* SPDX-License-Identifier: MIT */
/* Reading: views of the input buffer, and the twins that copy. */
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "stream/find.h"
#include "stream/read.h"

enum {
    AT_LEAST = 2048, /* room that a take should have, so that a batch comes in one */
    DIRECT = 4096,   /* from this size on a read goes straight to the caller's memory */
};

/* Nothing more will come: the write side's error if it has one, else what the call makes of it. */
static int at_end(const evert_stream *s, int end)
{
    return s->write_error < 0 ? s->write_error : end;
}

struct reading {
    struct evert__waiter waiter;
    evert_stream *stream;
};

static bool stop_reading(struct evert__waiter *waiter)
{
    evert_stream *s = EVERT__CONTAINER(waiter, struct reading, waiter)->stream;
    evert__source_disarm(&s->source);
    evert__take_no_more(s);
    return true;
}

int evert__read_await(evert_stream *s, struct evert__task *self, size_t room)
{
    struct reading reading = {.waiter.cancel = stop_reading, .stream = s};
    int rc = 0;

    if (evert__input_arm(s))
        return 0;
    if (s->write_error < 0)
        return s->write_error;
    s->reader = &reading.waiter;
    s->awaited = (room < EVERT__LARGE ? room : EVERT__LARGE) & (2 * EVERT__LARGE - 1);
    evert__connection_hold(s);
    evert__wait_flat(self, &reading.waiter);
    s->reader = NULL;
    if (reading.waiter.result < 0)
        rc = reading.waiter.result;
    else if (s->closing != EVERT__OPEN) /* and the stream may be gone when this returns */
        rc = evert__task_cancelled(self) ? -ECANCELED : EVERT_ECLOSED;
    else if (reading.waiter.result == 0)
        evert__source_disarm(&s->source);
    else
        rc = reading.waiter.result == EVERT__INPUT_TAKEN;
    evert__connection_release(s);
    return rc;
}

/* Takes once into the buffer, which will have room for `room` bytes. 0, or why there is no more. */
static int take_more(evert_stream *s, size_t room)
{
    int rc = evert__input_reserve(s, room);
    if (rc < 0)
        return rc;
    /* The buffer may be the large one, and what nobody asked for yet is better in the kernel. */
    size_t most = room > EVERT__CHUNK ? room : EVERT__CHUNK;
    ssize_t count = evert__input_fill(s, most < EVERT__LARGE ? most : EVERT__LARGE);
    if (count > 0)
        return 0;
    return count == 0 ? EVERT_EOF : (int)count;
}

int evert__read_now(evert_stream *s, size_t room)
{
    int rc = evert__source_may_have(&s->source) ? take_more(s, room) : -EAGAIN;
    if (rc != 0)
        evert__input_release(s);
    return rc;
}

/*
 * On the loop's stack, which is in the caches, while the reader's comes there. Nothing is taken for
 * one who was cancelled meanwhile, or woken by something else.
 */
EVERT__FLAT void evert__take_for_reader(struct evert__ready *step)
{
    evert_stream *s = EVERT__CONTAINER(step, evert_stream, step);
    int rc = evert__read_now(s, s->awaited);
    if (rc != -EAGAIN)
        evert__wake_at_once(s->reader, rc == 0 ? EVERT__INPUT_TAKEN : rc);
    else if (evert__source_arm(&s->source))
        evert__ready_push(s->loop, step);
}

/* Gets more into the buffer, which will have room for `room` bytes. 0, or why there is no more. */
static int more(evert_stream *s, struct evert__task *self, size_t room)
{
    for (;;) {
        int rc = evert__read_now(s, room);
        if (rc == 0)
            return 0;
        if (rc == -EAGAIN)
            rc = evert__read_await(s, self, room);
        if (rc > 0)
            return 0;
        if (rc < 0)
            return rc;
    }
}

/*
 * One call that took so much, and wants more, lets others run as if it were many calls. It is the
 * stream's reader meanwhile; behind it the stream may be gone, where this is not 0.
 */
static int go_on(evert_stream *s, struct evert__task *self, size_t size)
{
    struct evert__waiter reader = {.done = true};

    evert__connection_hold(s);
    s->reader = &reader;
    evert__completed_bytes(self, size);
    s->reader = NULL;
    int rc = evert__still_open(s, self);
    evert__connection_release(s);
    return rc;
}

static const evert_bytes line_end = {"\r\n", 2};

/* Drops the rest of a line that was too long, up to and with its end. */
EVERT__COLD static int drop_line(evert_stream *s, struct evert__task *self)
{
    for (;;) {
        const char *end = evert__find(&s->in, 0, line_end);
        if (end != NULL) {
            s->in.start = (size_t)(end + 2 - s->in.data);
            s->dropping = false;
            return 0;
        }
        size_t dropped = evert__input_size(&s->in);
        if (s->in.data != NULL)
            s->in.start = s->in.end - evert__begun(&s->in, line_end);
        int rc = go_on(s, self, dropped);
        if (rc == 0)
            rc = more(s, self, AT_LEAST);
        if (rc == EVERT_EOF) { /* what may have been the beginning of its end is dropped, too */
            s->in.start = s->in.end;
            s->dropping = false;
        }
        if (rc < 0)
            return rc;
    }
}

void evert__end_view(evert_stream *s)
{
    (void)s;
#ifdef EVERT_DEBUG
    if (s->view != NULL && memcmp(s->view, s->viewed.data, s->viewed.size) != 0)
        evert__misuse("a fault of Evert's own: what a read gave was overwritten before its end");
    evert__free(s->view);
    s->view = NULL;
#endif
}

int evert__read_begin(evert_stream *s, struct evert__task **ret_self, bool wants_bytes)
{
    int rc = evert__checkpoint_on(s->loop, ret_self);
    if (rc < 0)
        return rc;
    if (s->reader != NULL)
        return -EBUSY;
    evert__end_view(s);
    if (s->in_call && (rc = evert__input_leave(s)) < 0)
        return rc;
    return s->dropping && wants_bytes ? drop_line(s, *ret_self) : 0;
}

/* Takes the first `size` bytes of the buffer, and gives them out as a view. */
static evert_bytes give(evert_stream *s, size_t size)
{
    evert_bytes bytes = {"", size};
    if (s->in.data != NULL)
        bytes.data = s->in.data + s->in.start;
    s->in.start += size;
#ifdef EVERT_DEBUG
    s->view = size > 0 ? evert__alloc(size) : NULL;
    s->viewed = bytes;
    if (s->view != NULL)
        bytes.data = memcpy(s->view, bytes.data, size);
#endif
    return bytes;
}

/*
 * What a read comes to that got no more: at the end, what there is, or the news that it is the end.
 * After any other failure the stream may be gone.
 */
static int give_incomplete(evert_stream *s, int rc, evert_bytes *ret)
{
    if (rc != EVERT_EOF)
        return rc;
    if (evert__input_size(&s->in) == 0)
        return at_end(s, EVERT_EOF);
    *ret = give(s, evert__input_size(&s->in));
    return EVERT_EINCOMPLETE;
}

/*
 * The reads come in two layers: the twins have to copy what the view holds before others may run,
 * since these may end the view.
 */
static ssize_t read_some(evert_stream *s, struct evert__task **ret_self, evert_bytes *ret,
                         size_t max)
{
    size_t room = max < EVERT__LARGE ? max : EVERT__LARGE;
    int rc = evert__read_begin(s, ret_self, max > 0);
    if (rc == 0 && max > 0 && evert__input_size(&s->in) == 0)
        rc = more(s, *ret_self, room > AT_LEAST ? room : AT_LEAST);
    if (rc < 0)
        return rc == EVERT_EOF ? at_end(s, 0) : rc;
    size_t size = evert__input_size(&s->in);
    *ret = give(s, size < max ? size : max);
    return (ssize_t)ret->size;
}

EVERT__FLAT ssize_t evert_read(evert_stream *s, evert_bytes *ret, size_t max)
{
    struct evert__task *self;
    ssize_t count = read_some(s, &self, ret, max);
    if (count >= 0)
        evert__completed_bytes(self, (size_t)count);
    return count;
}

/* Takes once into the caller's memory, as much as the other reads do. */
static inline ssize_t take_into(evert_stream *s, void *memory, size_t size)
{
    return evert__input_take(s, memory, size < EVERT__LARGE ? size : EVERT__LARGE);
}

/* Straight to the caller's memory; the buffer is empty. */
static ssize_t read_direct(evert_stream *s, struct evert__task *self, void *buffer, size_t size)
{
    for (;;) {
        ssize_t count = take_into(s, buffer, size);
        if (count == 0)
            return at_end(s, 0);
        if (count != -EAGAIN)
            return count;
        evert__input_release(s);
        int rc = evert__read_await(s, self, 0);
        if (rc < 0)
            return rc;
    }
}

static ssize_t read_some_into(evert_stream *s, struct evert__task **ret_self, void *buffer,
                              size_t size)
{
    evert_bytes bytes;
    ssize_t count;

    if (size < DIRECT) {
        count = read_some(s, ret_self, &bytes, size);
        if (count > 0)
            memcpy(buffer, bytes.data, bytes.size);
        return count;
    }
    int rc = evert__read_begin(s, ret_self, true);
    if (rc < 0)
        return rc == EVERT_EOF ? at_end(s, 0) : rc;
    size_t ahead = evert__input_size(&s->in);
    if (ahead == 0)
        return read_direct(s, *ret_self, buffer, size);
    if (ahead > size)
        ahead = size;
    memcpy(buffer, s->in.data + s->in.start, ahead);
    s->in.start += ahead;
    return (ssize_t)ahead;
}

EVERT__FLAT ssize_t evert_read_into(evert_stream *s, void *buffer, size_t size)
{
    struct evert__task *self;
    ssize_t count = read_some_into(s, &self, buffer, size);
    if (count >= 0)
        evert__completed_bytes(self, (size_t)count);
    return count;
}

static int read_counted(evert_stream *s, struct evert__task **ret_self, evert_bytes *ret,
                        size_t size)
{
    int rc = evert__read_begin(s, ret_self, size > 0);
    while (rc == 0 && evert__input_size(&s->in) < size) {
        size_t before = evert__input_size(&s->in);
        rc = more(s, *ret_self, size < AT_LEAST ? AT_LEAST : size);
        if (rc == 0 && evert__input_size(&s->in) < size)
            rc = go_on(s, *ret_self, evert__input_size(&s->in) - before);
    }
    if (rc < 0)
        return give_incomplete(s, rc, ret);
    *ret = give(s, size);
    return 0;
}

EVERT__FLAT int evert_read_exactly(evert_stream *s, evert_bytes *ret, size_t size)
{
    struct evert__task *self;
    int rc = read_counted(s, &self, ret, size);
    if (rc == 0)
        evert__completed(self);
    return rc;
}

/* Fills the caller's memory; what was got is in *got, also on failure. */
static int fill_exactly(evert_stream *s, struct evert__task *self, char *buffer, size_t size,
                        size_t *got)
{
    int rc = 0;
    while (rc == 0 && *got < size) {
        ssize_t count = take_into(s, buffer + *got, size - *got);
        if (count > 0) {
            *got += (size_t)count;
            rc = *got < size ? go_on(s, self, (size_t)count) : 0;
        } else if (count == -EAGAIN) {
            rc = evert__read_await(s, self, 0);
        } else {
            rc = count == 0 ? EVERT_EOF : (int)count;
        }
    }
    return rc;
}

/*
 * A large counted read, straight to the caller's memory. A buffer for all of it stands by (memory
 * that nobody touches costs nothing), so that what came is put back if the read fails.
 */
static int read_counted_direct(evert_stream *s, struct evert__task *self, char *buffer, size_t size)
{
    int rc = evert__input_reserve(s, size);
    if (rc < 0)
        return rc;
    size_t got = evert__input_size(&s->in);
    if (got > size)
        got = size;
    memcpy(buffer, s->in.data + s->in.start, got);
    size_t from_buffer = got;
    s->in.start += got;
    evert__connection_hold(s);
    rc = fill_exactly(s, self, buffer, size, &got);
    if (rc == EVERT_EOF) {
        rc = got > 0 ? EVERT_EINCOMPLETE : at_end(s, EVERT_EOF);
    } else if (rc < 0 && s->closing == EVERT__OPEN) {
        s->in.start -= from_buffer;
        memcpy(s->in.data + s->in.start, buffer, got);
        s->in.end = s->in.start + got;
    }
    evert__connection_release(s);
    return rc;
}

ssize_t evert_read_exactly_into(evert_stream *s, void *buffer, size_t size)
{
    struct evert__task *self;
    evert_bytes bytes = {"", 0};
    int rc;

    if (size >= EVERT__AHEAD) {
        rc = evert__read_begin(s, &self, true);
        if (rc == 0)
            rc = read_counted_direct(s, self, buffer, size);
        else if (rc == EVERT_EOF)
            rc = at_end(s, rc);
    } else {
        rc = read_counted(s, &self, &bytes, size);
        if (rc == 0 || rc == EVERT_EINCOMPLETE)
            memcpy(buffer, bytes.data, bytes.size);
    }
    if (rc < 0)
        return rc;
    evert__completed(self);
    return (ssize_t)size;
}

/* Up to a separator, or EVERT_ELIMIT as soon as it cannot come within the limit. */
static int read_to(evert_stream *s, struct evert__task *self, evert_bytes separator,
                   evert_bytes *ret)
{
    size_t looked_at = 0;
    for (;;) {
        const char *at = evert__find(&s->in, looked_at, separator);
        size_t size = evert__input_size(&s->in);
        if (at != NULL) {
            size_t length = (size_t)(at - (s->in.data + s->in.start));
            if (length > s->line_limit)
                return EVERT_ELIMIT;
            *ret = give(s, length);
            s->in.start += separator.size;
            return 0;
        }
        if (size > s->line_limit && size - evert__begun(&s->in, separator) > s->line_limit)
            return EVERT_ELIMIT;
        int rc = size > 0 ? go_on(s, self, size - looked_at) : 0;
        looked_at = size >= separator.size ? size - separator.size + 1 : 0;
        if (rc == 0)
            rc = more(s, self, size + AT_LEAST);
        if (rc < 0)
            return give_incomplete(s, rc, ret);
    }
}

static int read_line(evert_stream *s, struct evert__task **ret_self, evert_bytes *ret)
{
    int rc = evert__read_begin(s, ret_self, true);
    if (rc < 0)
        return give_incomplete(s, rc, ret);
    rc = read_to(s, *ret_self, line_end, ret);
    if (rc == EVERT_ELIMIT)
        s->dropping = true;
    return rc;
}

/* Apart, so that the case below pays nothing for the frame that this needs. */
EVERT__FLAT __attribute__((noinline)) static int read_line_waiting(evert_stream *s,
                                                                   evert_bytes *ret)
{
    struct evert__task *self;
    int rc = read_line(s, &self, ret);
    if (rc == 0)
        evert__completed(self);
    return rc;
}

EVERT__RETURNS EVERT__HOT int evert_read_line(evert_stream *s, evert_bytes *ret)
{
    const char *end = NULL;
    if (s->reader == NULL && !s->dropping)
        end = evert__find(&s->in, 0, line_end);
    if (end == NULL)
        return read_line_waiting(s, ret);
    size_t size = (size_t)(end - s->in.data) - s->in.start;
    if (size > s->line_limit || !evert__at_once(s->loop))
        return read_line_waiting(s, ret);
    evert__end_view(s);
    *ret = give(s, size);
    s->in.start += line_end.size;
    return 0;
}

static int read_until(evert_stream *s, struct evert__task **ret_self, evert_bytes *ret,
                      const char *separator)
{
    if (*separator == '\0')
        return -EINVAL;
    int rc = evert__read_begin(s, ret_self, true);
    if (rc < 0)
        return give_incomplete(s, rc, ret);
    return read_to(s, *ret_self, evert_bytes_of(separator), ret);
}

int evert_read_until(evert_stream *s, evert_bytes *ret, const char *separator)
{
    struct evert__task *self;
    int rc = read_until(s, &self, ret, separator);
    if (rc == 0)
        evert__completed(self);
    return rc;
}

/* Copies what a read gave, and a NUL behind it. */
static ssize_t copy_out(int rc, evert_bytes bytes, char *buffer, size_t size)
{
    if (rc < 0 && rc != EVERT_EINCOMPLETE)
        return rc;
    bool fits = bytes.size < size;
    size_t part = fits ? bytes.size : size > 0 ? size - 1 : 0;
    if (size > 0 && (fits || rc < 0)) {
        if (part > 0)
            memcpy(buffer, bytes.data, part);
        buffer[part] = '\0';
    }
    if (rc < 0)
        return rc;
    return fits ? (ssize_t)bytes.size : EVERT_ELIMIT;
}

EVERT__FLAT ssize_t evert_read_line_into(evert_stream *s, char *buffer, size_t size)
{
    struct evert__task *self;
    evert_bytes bytes = {"", 0};
    int rc = read_line(s, &self, &bytes);
    ssize_t length = copy_out(rc, bytes, buffer, size);
    if (rc == 0)
        evert__completed(self);
    return length;
}

ssize_t evert_read_until_into(evert_stream *s, char *buffer, size_t size, const char *separator)
{
    struct evert__task *self;
    evert_bytes bytes = {"", 0};
    int rc = read_until(s, &self, &bytes, separator);
    ssize_t length = copy_out(rc, bytes, buffer, size);
    if (rc == 0)
        evert__completed(self);
    return length;
}
