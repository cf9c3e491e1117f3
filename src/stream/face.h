/* SPDX-License-Identifier: MIT */
/*
 * The transport's face of a connection from the inside. What is to be told to the protocol is told
 * by a step, which the ready queue runs: never from inside a call of the protocol's own, nor on the
 * stack of a task that happens to flush. In a step come first what was owed (connection_made, water
 * marks), then input, then the end or the error; after each call it looks whether that changed
 * everything.
 */
#ifndef EVERT_SRC_STREAM_FACE_H
#define EVERT_SRC_STREAM_FACE_H

#include <evert/stream/protocol.h>

#include "stream/connection.h"

static inline evert_stream *evert__stream_of(const evert_transport *transport)
{
    evert_stream *s = (evert_stream *)(uintptr_t)transport;
#ifdef EVERT_DEBUG
    if (s != NULL)
        (void)evert__loop_usable(s->loop, "a call of a transport", "evert_loop_call_threadsafe");
#endif
    return s;
}

/*
 * Whether the protocol still has the connection, so that it may be told something. One that gave it
 * away and took it again in the same call has yet to hear connection_made().
 */
static inline bool evert__transport_is(const evert_stream *s, const evert_protocol *protocol)
{
    return s->protocol == protocol && s->made && s->closing == EVERT__OPEN;
}

/* Whether it may be given input. */
static inline bool evert__transport_reads(const evert_stream *s, const evert_protocol *protocol)
{
    return evert__transport_is(s, protocol) && !s->paused && !s->losing;
}

/* Gives the connection to a protocol, which has none; a step is to tell it. */
void evert__transport_attach(evert_stream *stream, evert_protocol *protocol);

/* Tells it everything that is due. */
void evert__transport_step(evert_stream *stream);

/* The same for a connection that was attached just now, up to connection_made(). */
void evert__transport_make(evert_stream *stream);

/* With a farewell (close.c); at once; at once and with a reset. */
enum evert__ending_by { EVERT__BY_FAREWELL, EVERT__BY_CLOSE, EVERT__BY_RESET };

/*
 * Ends the connection; a negative reason is what connection_lost() will hear. Its producer is
 * stopped only when all is under way, since that may do anything.
 */
void evert__transport_end(evert_stream *stream, enum evert__ending_by by, int reason);

/* In a call that gives it input: it gets the rest in a later step, and others their turn first. */
void evert__transport_again(evert_stream *stream);

/* Some of the output was sent. Before connection_made() a step is due anyway. */
void evert__transport_sent(evert_stream *stream);

/* More than the high-water mark may be queued: tries to send, and if it is, says so. */
void evert__transport_too_much(evert_stream *stream);

/* The protocol, if there is one, hears no more of the connection. */
void evert__transport_forget(evert_stream *stream);

/* The descriptor of a transport was closed: its protocol is told in a later turn. */
void evert__transport_closed(evert_stream *stream);

/* producer.c */
void evert__producer_stop(evert_producer *producer); /* it was taken off already; or is NULL */
void evert__producer_step(evert_stream *stream);     /* asks one that is pulled, if it is time */

#endif
