/* SPDX-License-Identifier: MIT */
/*
 * Lines are taken out of the connection's own input, so there is no second buffer, and what has not
 * been consumed belongs to whoever has the connection next. After each call of the user's the
 * connection may be another's, and the receiver freed: so only the connection is looked at, which
 * the step holds.
 */
#include <evert/stream/line_receiver.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "stream/face.h"
#include "stream/find.h"

/* In one step, until the others get their turn: one peer with many lines must not hold them up. */
enum { LINES = 64 };

static evert_line_receiver *lines_of(evert_protocol *protocol)
{
    return EVERT__CONTAINER(protocol, evert_line_receiver, protocol);
}

static evert_bytes delimiter_of(const evert_line_receiver *lines)
{
    const char *delimiter = lines->ops->delimiter;
    if (delimiter == NULL || *delimiter == '\0')
        return (evert_bytes){"\r\n", 2};
    return evert_bytes_of(delimiter);
}

static int give_raw(evert_line_receiver *lines, evert_stream *s)
{
    evert_bytes data = {s->in.data + s->in.start, evert__input_size(&s->in)};
    s->in.start = s->in.end;
    lines->given = data.size;
    return lines->ops->raw_received != NULL ? lines->ops->raw_received(lines, data) : 0;
}

/* The line is too long; what is there of it is dropped, and later the rest. */
static int exceed(evert_line_receiver *lines)
{
    lines->dropping = true;
    if (lines->ops->line_length_exceeded != NULL)
        return lines->ops->line_length_exceeded(lines);
    evert_transport_lose_connection(lines->protocol.transport);
    return 0;
}

/* No end of a line has come. 1: wait for more. */
static int without_end(evert_line_receiver *lines, evert_stream *s, evert_bytes delimiter)
{
    size_t size = evert__input_size(&s->in), begun = evert__begun(&s->in, delimiter);
    if (lines->dropping) {
        s->in.start = s->in.end - begun;
        lines->searched = 0;
        return 1;
    }
    if (size - begun > lines->line_limit) {
        lines->searched = 0;
        return exceed(lines);
    }
    lines->searched = size >= delimiter.size ? size - delimiter.size + 1 : 0;
    return 1;
}

/* The next line, or what is there instead. 1: wait for more; 0; or an error of the user's. */
static int next(evert_line_receiver *lines, evert_stream *s)
{
    evert_bytes delimiter = delimiter_of(lines);
    const char *end = evert__find(&s->in, lines->searched, delimiter);
    if (end == NULL)
        return without_end(lines, s, delimiter);

    evert_bytes line = {s->in.data + s->in.start, 0};
    line.size = (size_t)(end - line.data);
    lines->searched = 0;
    if (!lines->dropping && line.size > lines->line_limit)
        return exceed(lines);
    s->in.start += line.size + delimiter.size;
    if (lines->dropping) {
        lines->dropping = false;
        return 0;
    }
    return lines->ops->line_received != NULL ? lines->ops->line_received(lines, line) : 0;
}

EVERT__HOT static int input_received(evert_protocol *protocol, evert_bytes input)
{
    evert_stream *s = evert__stream_of(protocol->transport);
    evert_line_receiver *lines = lines_of(protocol);
    int rc = 0;
    (void)input;
    for (int count = 0; rc == 0 && evert__transport_reads(s, protocol); count++) {
        if (evert__input_size(&s->in) == 0)
            break;
        if (count == LINES) {
            evert__transport_again(s);
            break;
        }
        rc = lines->raw ? give_raw(lines, s) : next(lines, s);
    }
    return rc < 0 ? rc : 0;
}

EVERT__HOT static int connection_made(evert_protocol *protocol)
{
    evert_line_receiver *lines = lines_of(protocol);
    lines->searched = 0;
    lines->dropping = false;
    return lines->ops->connection_made != NULL ? lines->ops->connection_made(lines) : 0;
}

EVERT__HOT static int eof_received(evert_protocol *protocol)
{
    evert_line_receiver *lines = lines_of(protocol);
    return lines->ops->eof_received != NULL ? lines->ops->eof_received(lines) : 0;
}

EVERT__HOT static void connection_lost(evert_protocol *protocol, int reason)
{
    evert_line_receiver *lines = lines_of(protocol);
    if (lines->ops->connection_lost != NULL)
        lines->ops->connection_lost(lines, reason);
}

static void pause_writing(evert_protocol *protocol)
{
    evert_line_receiver *lines = lines_of(protocol);
    if (lines->ops->pause_writing != NULL)
        lines->ops->pause_writing(lines);
}

static void resume_writing(evert_protocol *protocol)
{
    evert_line_receiver *lines = lines_of(protocol);
    if (lines->ops->resume_writing != NULL)
        lines->ops->resume_writing(lines);
}

void evert_line_receiver_init(evert_line_receiver *lines, const evert_line_receiver_ops *ops)
{
    static const evert_protocol_ops protocol_ops = {
        .connection_made = connection_made,
        .input_received = input_received,
        .eof_received = eof_received,
        .connection_lost = connection_lost,
        .pause_writing = pause_writing,
        .resume_writing = resume_writing,
    };
    *lines = (evert_line_receiver){.protocol.ops = &protocol_ops, .ops = ops};
    evert_line_receiver_set_limit(lines, ops->line_limit > 0 ? ops->line_limit : EVERT_LINE_LIMIT);
}

EVERT__HOT evert_protocol *evert_build_line_receiver(evert_factory *factory)
{
    const evert_line_receiver_ops *ops = factory->ops;
    size_t size = ops->size > sizeof(evert_line_receiver) ? ops->size : sizeof(evert_line_receiver);
    evert_line_receiver *lines = evert__alloc_zero(size);
    if (lines == NULL)
        return NULL;
    evert_line_receiver_init(lines, ops);
    lines->protocol.built = true;
    return &lines->protocol;
}

void evert_line_receiver_set_limit(evert_line_receiver *lines, size_t line_limit)
{
    lines->line_limit = line_limit < UINT32_MAX ? (uint32_t)line_limit : UINT32_MAX;
}

void evert_line_receiver_set_raw(evert_line_receiver *lines)
{
    if (!lines->raw)
        lines->given = 0;
    lines->raw = true;
    lines->dropping = false;
}

void evert_line_receiver_set_lines(evert_line_receiver *lines, size_t rest)
{
    evert_stream *s = evert__stream_of(lines->protocol.transport);
    size_t given = lines->raw ? lines->given : 0; /* nothing is put back twice */
    lines->raw = false;
    lines->searched = 0;
    if (s == NULL || rest == 0)
        return;
    if (!s->in_call || rest > given)
        evert__misuse("evert_line_receiver_set_lines: more bytes than were received");
    else
        s->in.start -= rest;
}
