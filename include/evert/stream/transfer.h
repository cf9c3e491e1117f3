/* SPDX-License-Identifier: MIT */
/*
 * Bytes that the program does not look at: pieces of files go out by themselves.
 *
 *     evert_printf(s, "%lld\r\n", (long long)size);
 *     evert_send_file(s, file, 0, size);
 */
#ifndef EVERT_STREAM_TRANSFER_H
#define EVERT_STREAM_TRANSFER_H

#include <stdint.h>

#include <evert/base/api.h>
#include <evert/stream/stream.h>

EVERT_BEGIN

/* As the size of a piece of a file: all that there is from its offset on. */
#define EVERT_TO_END INT64_MAX

/*
 * Sends `size` bytes of an open file, from `offset` on, behind all that was written before. They do
 * not pass through the program (sendfile(2)), or only where the kernel will not have it otherwise,
 * as with files of /proc. The descriptor stays yours, and so does its position, which is neither
 * used nor moved. Any number of streams may send from the same one at once.
 *
 * Waits as a large write does, until all of it was handed over; up to 16 KiB are taken at once, as
 * a small write is. What is not in memory yet is read by a thread, so a slow disk holds up this
 * call and no other task. Bytes that change in the file while it is sent may go out as they were
 * or as they are.
 *
 * A file that ends too early, also one that is cut while it is sent, is EVERT_EINCOMPLETE. With
 * EVERT_TO_END that is no failure: it sends as much as there was when it began, at the most.
 * Failures are those of a write, and of reading the file: -EISDIR, -EIO; and -ESPIPE for what has
 * no offsets, a pipe or a socket. Like a write, one that failed breaks the write side, so that
 * nothing that follows is taken for the missing bytes; cancelled before it took anything it has no
 * effect, and partly taken it breaks the write side.
 */
EVERT_API int evert_send_file(evert_stream *stream, int file, int64_t offset, int64_t size);

EVERT_END

#endif
