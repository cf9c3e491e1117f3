/* SPDX-License-Identifier: MIT */
/* What a protocol does with its transport. */
#include <evert/stream/transport.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/format.h"
#include "base/log.h"
#include "stream/face.h"

/* The writers are asked to pause, if the kernel does not take it at once. */
void evert__transport_too_much(evert_stream *s)
{
    evert_protocol *protocol = s->protocol;
    evert__output_start(s);
    if (s->out.queued <= s->high || s->above || s->write_error < 0)
        return;
    if (!s->made)
        return; /* the step will look again, after connection_made() */
    s->above = true;
    evert__connection_hold(s); /* it may be closed, and where a task writes, that is waited for */
    if (protocol->ops->pause_writing != NULL)
        protocol->ops->pause_writing(protocol);
    if (evert__transport_is(s, protocol) && s->above && s->producer != NULL &&
        s->producer->ops->pause_producing != NULL)
        s->producer->ops->pause_producing(s->producer);
    evert__connection_release(s);
}

/* Whether bytes that are written now are to be sent. 0, a reason why not, or 1: nobody minds. */
static int may_write(const evert_stream *s)
{
    if (s == NULL || s->closing != EVERT__OPEN || (s->losing && s->producer == NULL)) {
#ifdef EVERT_DEBUG
        evert__log(EVERT_LOG_WARNING, "a write to a connection that is closed was dropped");
#endif
        return 1;
    }
    if (s->eof_sent)
        return -EPIPE;
    return s->write_error < 0 ? 1 : 0; /* connection_lost() will tell */
}

/* What was to be written cannot be: there must be no gap. */
static int fail(evert_stream *s, int rc)
{
    evert__transport_end(s, EVERT__BY_CLOSE, rc);
    return rc;
}

EVERT__HOT __attribute__((noinline)) static int
write_pieces(evert_stream *s, const evert_bytes *pieces, size_t count)
{
    int rc = may_write(s);
    if (rc != 0)
        return rc > 0 ? 0 : rc;
    for (size_t i = 0; i < count && s->write_error == 0; i++) {
        rc = evert__output_write(s, pieces[i].data, pieces[i].size);
        if (rc < 0 && s->write_error == 0) /* else it is the socket's: connection_lost() tells */
            return fail(s, rc);
    }
    if (s->out.queued >= EVERT__MUCH && !s->sending)
        evert__output_start(s);
    if (s->out.queued > 0)
        evert__output_later(s);
    if (s->out.queued > s->high && !s->above)
        evert__transport_too_much(s);
    return 0;
}

/* May call the kernel. */
EVERT__HOT __attribute__((noinline)) static int write_piece(evert_stream *s, const void *data,
                                                            size_t size)
{
    return write_pieces(s, &(evert_bytes){data, size}, 1);
}

/*
 * More than a few bytes, or the first of those that wait to be sent. Apart, so that the case below
 * pays nothing for what this needs.
 */
EVERT__RETURNS EVERT__HOT __attribute__((noinline)) static int
write_any(evert_stream *s, const void *data, size_t size)
{
    if (s != NULL && size > 0 && size < s->open && s->out.queued + size <= s->high &&
        evert__output_put_small(s, data, size))
        return 0;
    return write_piece(s, data, size);
}

EVERT__RETURNS EVERT__HOT int evert_transport_write(evert_transport *transport, const void *data,
                                                    size_t size)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || !evert__output_takes_few(s, size) || s->out.queued + size > s->high)
        return write_any(s, data, size);
    evert__output_put_few(s, data, size);
    return 0;
}

int evert_transport_writev(evert_transport *transport, const evert_bytes *pieces, size_t count)
{
    return write_pieces(evert__stream_of(transport), pieces, count);
}

int evert_transport_vprintf(evert_transport *transport, const char *format, va_list arguments)
{
    char small[EVERT__FORMATTED];
    evert_bytes text;
    evert_stream *s = evert__stream_of(transport);
    int rc = may_write(s);
    if (rc != 0)
        return rc > 0 ? 0 : rc;
    rc = evert__format_whole(small, &text, format, arguments);
    if (rc < 0)
        return fail(s, rc);
    rc = evert_transport_write(transport, text.data, text.size);
    evert__format_done(small, text);
    return rc;
}

int evert_transport_printf(evert_transport *transport, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = evert_transport_vprintf(transport, format, arguments);
    va_end(arguments);
    return rc;
}

void evert_transport_write_eof(evert_transport *transport)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || s->closing != EVERT__OPEN || s->losing || s->eof_sent)
        return;
    evert__output_end(s);
    evert__ready_push(s->loop, &s->step);
}

void evert_transport_abort_connection(evert_transport *transport)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || s->closing > EVERT__DRAINING)
        return;
    evert__transport_end(s, EVERT__BY_RESET, -ECONNABORTED);
}

bool evert_transport_is_closing(const evert_transport *transport)
{
    const evert_stream *s = evert__stream_of(transport);
    return s == NULL || s->closing != EVERT__OPEN || s->losing || s->write_error < 0;
}

void evert_transport_set_close_limit(evert_transport *transport, evert_time span)
{
    if (transport != NULL)
        evert_set_close_limit(evert__stream_of(transport), span);
}

void evert_transport_pause_reading(evert_transport *transport)
{
    if (transport != NULL)
        evert__stream_of(transport)->paused = true;
}

void evert_transport_resume_reading(evert_transport *transport)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || !s->paused)
        return;
    s->paused = false;
    s->offer = !s->eof_told; /* what was left unconsumed then will never be more */
    evert__ready_push(s->loop, &s->step);
}

void evert_transport_consume(evert_transport *transport, size_t size)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || s->closing != EVERT__OPEN)
        return;
    if (size > evert__input_size(&s->in))
        evert__misuse("evert_transport_consume: more bytes than there are");
    else
        s->in.start += size;
}

void evert_transport_set_write_limits(evert_transport *transport, size_t high, size_t low)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL)
        return;
    s->high = high < UINT32_MAX ? (uint32_t)high : UINT32_MAX;
    s->low = low < s->high ? (uint32_t)low : s->high;
    evert__ready_push(s->loop, &s->step); /* it may go on already */
    if (s->closing == EVERT__OPEN && s->out.queued > s->high && !s->above)
        evert__transport_too_much(s);
}

size_t evert_transport_unsent(const evert_transport *transport)
{
    return transport != NULL ? evert__stream_of(transport)->out.queued : 0;
}

const char *evert_transport_peer(evert_transport *transport)
{
    return transport != NULL ? evert_peer_address(evert__stream_of(transport)) : "";
}

const char *evert_transport_host(evert_transport *transport)
{
    return transport != NULL ? evert_local_address(evert__stream_of(transport)) : "";
}

evert_loop *evert_transport_loop(const evert_transport *transport)
{
    return transport != NULL ? evert__stream_of(transport)->loop : NULL;
}
