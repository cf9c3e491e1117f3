/* SPDX-License-Identifier: MIT */
/*
 * Bytes that the program does not look at: pieces of files, and what goes from one stream to
 * another.
 *
 *     evert_printf(s, "%lld\r\n", (long long)size);
 *     evert_send_file(s, file, 0, size);
 *
 *     rc = evert_connect(&server, "tcp://localhost:9999");
 *     if (rc == 0)
 *         rc = evert_relay(client, server);
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

/*
 * Moves all that comes from one stream to another, until the first ends: what was read ahead first,
 * and then what arrives, in large pieces without copying it through the program (splice(2)). A peer
 * that reads slowly holds back the one that sends: no more than 128 KiB are on their way here. Both
 * may be the same stream, which makes an echo.
 *
 * Returns 0 at the end, when `to` has accepted all; it is not ended, so that more may follow. Or
 * the error of the one that failed; evert_flush(to) tells whether it was that one. Both stay yours.
 * Meanwhile nobody else reads from the one, or writes to the other (-EBUSY). Cancelled, or failed,
 * it loses nothing: what `to` had not accepted is what `from` gives next.
 */
EVERT_API int evert_forward(evert_stream *from, evert_stream *to);

/*
 * Forwards in both directions, as a proxy does: where one side ends, the other is ended
 * (evert_write_eof()), and the way back goes on. Returns 0 when both have ended; a failure of
 * either cancels the other direction, and is returned. Both streams stay yours, to be closed.
 */
EVERT_API EVERT_CHECK int evert_relay(evert_stream *a, evert_stream *b);

EVERT_END

#endif
