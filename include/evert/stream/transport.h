/* SPDX-License-Identifier: MIT */
/*
 * The transport: a connection as a protocol sees it. Nothing here waits: a write is accepted and
 * sent when the turn ends, and what arrives is given to the protocol. It is the same object as an
 * evert_stream, seen from the other side, and either can be turned into the other at any time.
 *
 * A transport belongs to its protocol from connection_made() until connection_lost(), when the
 * protocol's pointer to it is NULL. All these functions take NULL for a connection that was lost.
 */
#ifndef EVERT_STREAM_TRANSPORT_H
#define EVERT_STREAM_TRANSPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <evert/base/api.h>
#include <evert/base/bytes.h>
#include <evert/base/time.h>
#include <evert/loop/loop.h>
#include <evert/stream/stream.h>

EVERT_BEGIN

typedef struct evert_transport evert_transport;
typedef struct evert_protocol evert_protocol;

/*
 * Writes bytes, all of them, in order. They are copied, gathered, and sent at the end of the turn,
 * or as soon as there is much. Never waits: a protocol that may write much is to heed
 * pause_writing(). After lose_connection, or when the connection is lost, the bytes are dropped and
 * 0 is returned. Fails with -EPIPE after evert_transport_write_eof(), and with -ENOMEM, which loses
 * the connection too: nothing is ever sent behind a gap.
 */
EVERT_API int evert_transport_write(evert_transport *transport, const void *data, size_t size);

/* Writes several pieces one after the other, as a single write: nothing comes between them. */
EVERT_API int evert_transport_writev(evert_transport *transport, const evert_bytes *pieces,
                                     size_t count);

/* Writes bytes, as evert_transport_write(). */
static inline int evert_transport_put(evert_transport *transport, evert_bytes bytes)
{
    return evert_transport_write(transport, bytes.data, bytes.size);
}

/* Writes a string, without its NUL, as evert_transport_write(). */
static inline int evert_transport_puts(evert_transport *transport, const char *string)
{
    return evert_transport_write(transport, string, strlen(string));
}

/*
 * Writes formatted text, as evert_printf() does on a stream. A format that it does not know gives
 * EVERT_EFORMAT, and loses the connection like want of memory.
 */
EVERT_API EVERT_PRINTF(2, 3) int evert_transport_printf(evert_transport *transport,
                                                        const char *format, ...);
EVERT_API EVERT_PRINTF(2, 0) int evert_transport_vprintf(evert_transport *transport,
                                                         const char *format, va_list arguments);

/*
 * Ends our side after all that was written (shutdown(2)); reading goes on. If the peer has ended
 * its own, the connection is closed.
 */
EVERT_API void evert_transport_write_eof(evert_transport *transport);

/*
 * Closes the connection: nothing more is read, what was written is sent first, and the close has a
 * limit in time, as evert_close(). connection_lost() comes later, never inside this. A registered
 * producer may finish first; it has as long. Without effect if it is being closed already.
 */
EVERT_API void evert_transport_lose_connection(evert_transport *transport);

/*
 * Ends the connection now: what was not sent is dropped, and the peer sees a reset.
 * connection_lost(-ECONNABORTED) comes later, never inside this. Also while it is being closed.
 */
EVERT_API void evert_transport_abort_connection(evert_transport *transport);

/* Whether it is being closed, by whichever side, or was. */
EVERT_API bool evert_transport_is_closing(const evert_transport *transport);

/* Sets for how long closing goes on, in whole milliseconds; 2 seconds unless set. */
EVERT_API void evert_transport_set_close_limit(evert_transport *transport, evert_time span);

/*
 * Stops giving bytes, and the end, to the protocol, at once, even in the middle of what arrived;
 * they stay where they are, and the peer is held back. Resuming gives them in a later step. While
 * it is paused a peer that is gone is noticed only by a write that fails: that loses the connection
 * with what was not read.
 */
EVERT_API void evert_transport_pause_reading(evert_transport *transport);
EVERT_API void evert_transport_resume_reading(evert_transport *transport);

/*
 * For a protocol with input_received(): it has used the first `size` bytes of its input, which is
 * not given to it again. More than there are is a mistake, of which nothing comes.
 */
EVERT_API void evert_transport_consume(evert_transport *transport, size_t size);

/*
 * Sets the water marks: pause_writing() is called when more than `high` bytes are unsent, and
 * resume_writing() when there are no more than `low`. 65,536 and 16,384 unless set; 0 is legal, and
 * a low mark above the high one counts as the same.
 */
EVERT_API void evert_transport_set_write_limits(evert_transport *transport, size_t high,
                                                size_t low);

/* How many bytes were accepted and not sent yet. */
EVERT_API size_t evert_transport_unsent(const evert_transport *transport);

/* The peer's address and our own, as evert_peer_address() gives them. Borrowed until it is lost. */
EVERT_API const char *evert_transport_peer(evert_transport *transport);
EVERT_API const char *evert_transport_host(evert_transport *transport);

/* The loop that the connection belongs to. */
EVERT_API evert_loop *evert_transport_loop(const evert_transport *transport);

/*
 * A producer: what writes much, as fast as the peer takes it, and not faster. It is a struct of
 * functions, embedded first in yours. One with pause_producing() is *pushed*: it writes by itself,
 * between a resume and the next pause, and from the beginning. One without is *pulled*:
 * resume_producing() asks it for one more piece, when it is registered and each time that
 * everything was sent; once, so it may write later.
 *
 * pause_producing() may be called from inside a write, and stop_producing() from inside whatever
 * ends the connection, which is under way by then. They may do anything with it.
 */
typedef struct evert_producer evert_producer;

typedef struct evert_producer_ops {
    void (*resume_producing)(evert_producer *producer);
    void (*pause_producing)(evert_producer *producer); /* NULL: it is pulled */
    void (*stop_producing)(evert_producer *producer);  /* nobody wants more; it is unregistered */
} evert_producer_ops;

struct evert_producer {
    const evert_producer_ops *ops;
};

/*
 * Registers a producer, which is borrowed until it is unregistered or stopped. EVERT_EALREADY if
 * there is one. Where the connection is being closed or was lost, it is stopped at once.
 */
EVERT_API int evert_transport_register_producer(evert_transport *transport,
                                                evert_producer *producer);

/* The producer has produced all. A close that waited for it goes on. */
EVERT_API void evert_transport_unregister_producer(evert_transport *transport);

/*
 * Changing the face. The connection becomes a stream, yours to close; its protocol hears no more of
 * it, not even connection_lost(), and is yours. Bytes that arrived and were not given to the
 * protocol, or not consumed by it, are read from the stream; what was written is sent; errors are
 * met there. NULL if the connection is being closed or was lost. May be called by the protocol in
 * the middle of its input: a line receiver's next line is then the stream's.
 */
EVERT_API evert_stream *evert_transport_stream(evert_transport *transport);

/*
 * The stream, which this takes, becomes the transport of `protocol`, whose connection_made() is
 * called in a later turn, and then whatever arrives. Bytes that were read ahead are given to it.
 * Nobody may be waiting in the stream: -EBUSY, and it stays as it is. So it does at EVERT_EALREADY,
 * where the protocol has a transport. If the connection ends before connection_made() was called,
 * connection_lost() is called alone.
 */
EVERT_API EVERT_CHECK int evert_stream_transport(evert_stream *stream, evert_protocol *protocol);

EVERT_END

#endif
