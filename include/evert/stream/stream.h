/* SPDX-License-Identifier: MIT */
/*
 * Streams: a connection as coroutines see it, to be read from and written to in plain order. The
 * same calls block where no loop runs, and suspend just the calling task where one does.
 *
 *     evert_stream *s;
 *     int rc = evert_connect(&s, "tcp://localhost:9999");
 *     if (rc < 0)
 *         return rc;
 *     evert_printf(s, "%s\r\n", name);
 *     rc = evert_read_line_into(s, greeting, sizeof(greeting));
 *     evert_close(s);
 *
 * Errors of writing need not be looked at one by one. A write that fails, told or not, breaks the
 * stream's write side: its error comes again from each later write and flush, from close, and from
 * a read that would otherwise wait or report the end; never ahead of bytes that had arrived.
 *
 * One task may read while another writes. A second reader or writer at once gets -EBUSY. All calls
 * that wait return -ECANCELED in a cancelled scope; a cancelled read loses nothing.
 */
#ifndef EVERT_STREAM_STREAM_H
#define EVERT_STREAM_STREAM_H

#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#include <evert/base/api.h>
#include <evert/base/bytes.h>
#include <evert/base/error.h>
#include <evert/base/time.h>

EVERT_BEGIN

typedef struct evert_stream evert_stream;

/* How long a line may be unless evert_set_line_limit() says otherwise, its end not counted. */
#define EVERT_LINE_LIMIT 16384

/* Above this many bytes accepted and not yet sent, a write waits. */
#define EVERT_HIGH_WATER 65536

/*
 * Connects to `address`: tcp://host:port (a name, an IPv4 address, or an IPv6 address in brackets)
 * or unix:///path, or unix://@name for an abstract socket (unix(7)). The addresses of a name are
 * tried in turn. Waits until it is connected; a scope limits for how long. The stream is yours to
 * close. Errors: EVERT_EADDRESS, EVERT_ENONAME, EVERT_ERESOLVE, and those of connect(2), the last
 * that was met (evert_describe() tells all).
 */
EVERT_API EVERT_CHECK int evert_connect(evert_stream **ret, const char *address);

/*
 * Reading. What was read is a *view* of bytes inside the stream, which ends with the next read or
 * close. Each has a twin `_into` that copies to memory of yours.
 */

/*
 * Reads what there is, from 1 to `max` bytes; waits only while there is nothing. Returns the count,
 * 0 at the end (and at once for a max of 0), or an error.
 */
EVERT_API EVERT_CHECK ssize_t evert_read(evert_stream *stream, evert_bytes *ret, size_t max);
EVERT_API EVERT_CHECK ssize_t evert_read_into(evert_stream *stream, void *buffer, size_t size);

/*
 * Reads exactly `size` bytes. Returns 0 (the twin: size), EVERT_EOF at a clean end, or
 * EVERT_EINCOMPLETE when the end came first: the view then holds what came, and the twin's buffer
 * holds it too, its length lost.
 */
EVERT_API EVERT_CHECK int evert_read_exactly(evert_stream *stream, evert_bytes *ret, size_t size);
EVERT_API EVERT_CHECK ssize_t evert_read_exactly_into(evert_stream *stream, void *buffer,
                                                      size_t size);

/*
 * Reads a line, which ends at CR LF only: a lone CR or LF is a byte of it. The view leaves out the
 * CR LF. Returns 0; EVERT_EOF at a clean end; EVERT_EINCOMPLETE, with the bytes, when the end came
 * in the middle of a line; EVERT_ELIMIT as soon as the line is longer than the limit: then the next
 * read drops the rest of that line.
 *
 * The twin returns the line's length, and puts a NUL after it, for which there has to be room; a
 * buffer too small gives EVERT_ELIMIT and the line is dropped. At EVERT_EINCOMPLETE it holds what
 * fits of the bytes that came.
 */
EVERT_API EVERT_CHECK int evert_read_line(evert_stream *stream, evert_bytes *ret);
EVERT_API EVERT_CHECK ssize_t evert_read_line_into(evert_stream *stream, char *buffer, size_t size);

/*
 * Reads up to a separator of your own, which the view leaves out. As evert_read_line(), but over
 * the limit the bytes stay where they are, to be read in another way.
 */
EVERT_API EVERT_CHECK int evert_read_until(evert_stream *stream, evert_bytes *ret,
                                           const char *separator);
EVERT_API EVERT_CHECK ssize_t evert_read_until_into(evert_stream *stream, char *buffer, size_t size,
                                                    const char *separator);

/*
 * Sets how many bytes a line, or what evert_read_until() gives, may have, up to 4 GiB. Does not
 * wait.
 */
EVERT_API void evert_set_line_limit(evert_stream *stream, size_t limit);

/*
 * Writing. A write takes all the bytes or fails. 0 means that they were accepted, in order; they
 * are sent together when the task next waits, at the latest at the end of the turn (in blocking
 * mode before the write returns). While more than EVERT_HIGH_WATER bytes are unsent a write waits.
 * More than that in one write is sent straight from your memory, and waits until it is.
 *
 * A cancelled write that had taken nothing has no effect; one that was partly taken breaks the
 * write side.
 */
EVERT_API int evert_write(evert_stream *stream, const void *data, size_t size);

/* Writes bytes, as evert_write(). */
static inline int evert_put(evert_stream *stream, evert_bytes bytes)
{
    return evert_write(stream, bytes.data, bytes.size);
}

/* Writes a string, without its NUL, as evert_write(). */
static inline int evert_puts(evert_stream *stream, const char *string)
{
    return evert_write(stream, string, strlen(string));
}

/*
 * Writes formatted text, as evert_write(). Knows %s %c %d %i %u %x %X %o %p and %%, with flags,
 * width, precision and the lengths hh h l ll z j t; anything else, floating point included, gives
 * EVERT_EFORMAT and writes nothing. It needs little stack, and no locale.
 */
EVERT_API EVERT_PRINTF(2, 3) int evert_printf(evert_stream *stream, const char *format, ...);
EVERT_API EVERT_PRINTF(2, 0) int evert_vprintf(evert_stream *stream, const char *format,
                                               va_list arguments);

/* Waits until all that was written has been handed to the kernel. */
EVERT_API int evert_flush(evert_stream *stream);

/*
 * Ends the writing side after all that was written (shutdown(2)); reading goes on. Waits until it
 * is handed over. Writing afterwards gives -EPIPE.
 */
EVERT_API int evert_write_eof(evert_stream *stream);

/*
 * Closes the stream and always takes it. First what was written is sent, the write side ended, and
 * what the peer still sends is read and dropped until its own end, or for two seconds, so that the
 * last answer is not destroyed on its way. Waits for that; in a cancelled scope it does not wait,
 * and the loop goes on with it. Returns 0, or the error that broke the write side. NULL is fine.
 */
EVERT_API int evert_close(evert_stream *stream);

/* Sets for how long evert_close() goes on, in whole milliseconds; 2 s unless set. Does not wait. */
EVERT_API void evert_set_close_limit(evert_stream *stream, evert_time span);

/*
 * Ends the connection now and takes the stream: what was not sent is dropped, and the peer sees a
 * reset. Never waits. NULL is fine.
 */
EVERT_API void evert_abort(evert_stream *stream);

/*
 * The peer's and our own address, as evert_connect() takes it ("tcp://127.0.0.1:9999"); "unix://"
 * for a Unix socket without a name, "" when it cannot be had. Borrowed until close. Does not wait.
 */
EVERT_API const char *evert_peer_address(evert_stream *stream);
EVERT_API const char *evert_local_address(evert_stream *stream);

EVERT_END

#endif
