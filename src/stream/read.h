/* SPDX-License-Identifier: MIT */
/* What all that reads from a stream is made of: read.c, forward.c. */
#ifndef EVERT_SRC_STREAM_READ_H
#define EVERT_SRC_STREAM_READ_H

#include "stream/connection.h"

/*
 * What each read begins with; one of no bytes does not wait for the end of a line to be dropped.
 * EVERT_EOF: the end came in that line.
 */
int evert__read_begin(evert_stream *stream, struct evert__task **ret_self, bool wants_bytes);

/*
 * Takes what there is into the buffer, which will have room for `room` bytes. -EAGAIN: there is
 * nothing; EVERT_EOF; or an error.
 */
int evert__read_now(evert_stream *stream, size_t room);

/*
 * Waits until there may be something to take, or somebody wakes the reader. Where `room` is not 0
 * the loop takes it, into the buffer with so much room or less; 1: that was done; EVERT_EOF, or an
 * error: what it came to.
 */
int evert__read_await(evert_stream *stream, struct evert__task *self, size_t room);

#endif
