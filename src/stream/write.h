/* SPDX-License-Identifier: MIT */
/* What all that writes to a stream is made of: write.c, send_file.c, forward.c. */
#ifndef EVERT_SRC_STREAM_WRITE_H
#define EVERT_SRC_STREAM_WRITE_H

#include "stream/connection.h"

/* What each write begins with: whether it may write here, and wait. */
int evert__write_begin(evert_stream *stream, struct evert__task **ret_self);

/* Puts bytes behind what is queued, to be sent soon. */
int evert__write_enqueue(evert_stream *stream, const char *data, size_t size);

/* Waits until no more than `queued` bytes are to be sent, sending what can be sent now. */
int evert__write_await(evert_stream *stream, struct evert__task *self, size_t queued);

/*
 * Queues bytes, no more than the high-water mark, once there is room for them; in blocking mode
 * they are sent as well.
 */
int evert__write_small(evert_stream *stream, struct evert__task *self, const void *data,
                       size_t size);

/*
 * Sends from memory of the caller's, with nothing queued, until it is sent: no more than a large
 * write does. How much of it went out is added to *sent, also on failure.
 */
int evert__write_memory(evert_stream *stream, struct evert__task *self, const char *data,
                        size_t size, size_t *sent);

/*
 * Between two steps, of which the last moved so many bytes, others may run, and do whatever they
 * like with the stream but write to it. 0, or why not to go on; the stream has to be held.
 */
int evert__write_go_on(evert_stream *stream, struct evert__task *self, size_t size);

/* Waits until the socket takes bytes again. */
int evert__write_await_room(evert_stream *stream, struct evert__task *self);

/*
 * A call that writes in several steps has the write side for itself from the first to the last. Its
 * own waits go by the functions above, or on `waiter`; after each it takes the write side again.
 */
static inline void evert__write_hold(evert_stream *stream, struct evert__waiter *waiter)
{
    if (stream->closing != EVERT__OPEN)
        return;
    stream->open = 0;
    stream->writer = waiter;
}

/* What a call comes to that waited as this stream's writer. */
int evert__write_after_wait(evert_stream *stream, const struct evert__task *self,
                            const struct evert__waiter *waiter);

/*
 * A write that failed breaks the write side, so that nothing is sent behind the gap. Not so if it
 * was cancelled before it took anything, or was made where it may not be; and a stream that was
 * closed meanwhile is not to be touched.
 */
int evert__write_failed(evert_stream *stream, int rc);

#endif
