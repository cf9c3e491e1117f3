/* SPDX-License-Identifier: MIT */
/*
 * A protocol that receives lines:
 *
 *     static int greet(evert_line_receiver *lines, evert_bytes name)
 *     {
 *         evert_transport *t = lines->protocol.transport;
 *         evert_transport_puts(t, "Hello, ");
 *         evert_transport_put(t, name);
 *         return evert_transport_puts(t, "!\r\n");
 *     }
 *
 *     static const evert_line_receiver_ops greeter = {.line_received = greet};
 *     static evert_factory factory = {evert_build_line_receiver, &greeter};
 *
 * Lines end at CR LF unless `delimiter` says otherwise, however the bytes were cut on their way. No
 * line is delivered after the connection was closed by this side; pausing stops between two lines.
 */
#ifndef EVERT_STREAM_LINE_RECEIVER_H
#define EVERT_STREAM_LINE_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <evert/base/api.h>
#include <evert/base/bytes.h>
#include <evert/stream/protocol.h>

EVERT_BEGIN

typedef struct evert_line_receiver evert_line_receiver;

/* Any of these may be NULL or 0. The four that a protocol has, too, mean the same here. */
typedef struct evert_line_receiver_ops {
    size_t size;           /* of your struct, which begins with an evert_line_receiver */
    const char *delimiter; /* what ends a line: "\r\n" unless set */
    /*
     * How many bytes may stand before the delimiter, EVERT_LINE_LIMIT unless set. More than a
     * megabyte without an end loses the connection all the same.
     */
    size_t line_limit;

    /* A line, without its delimiter; borrowed for the call. */
    int (*line_received)(evert_line_receiver *lines, evert_bytes line);

    /* In raw mode: bytes as they come. */
    int (*raw_received)(evert_line_receiver *lines, evert_bytes data);

    /*
     * A line is longer than the limit; called once for it, as soon as that is certain. Without
     * this function the connection is closed. With it, and a result of 0, the rest of that line is
     * dropped, and the next one received.
     */
    int (*line_length_exceeded)(evert_line_receiver *lines);

    int (*connection_made)(evert_line_receiver *lines);
    int (*eof_received)(evert_line_receiver *lines);
    void (*connection_lost)(evert_line_receiver *lines, int reason);
    void (*pause_writing)(evert_line_receiver *lines);
    void (*resume_writing)(evert_line_receiver *lines);
} evert_line_receiver_ops;

struct evert_line_receiver {
    evert_protocol protocol;
    const evert_line_receiver_ops *ops;
    union {
        size_t searched; /* the first bytes of the input, in which no delimiter begins */
        size_t given;    /* raw: how much raw_received() was given */
    };
    uint32_t line_limit;
    bool raw, dropping;
};

/* Prepares one of your own; evert_build_line_receiver() does it by itself. */
EVERT_API void evert_line_receiver_init(evert_line_receiver *lines,
                                        const evert_line_receiver_ops *ops);

/* For factories whose `ops` are evert_line_receiver_ops. */
EVERT_API evert_protocol *evert_build_line_receiver(evert_factory *factory);

/* Changes the limit from the next line on. */
EVERT_API void evert_line_receiver_set_limit(evert_line_receiver *lines, size_t line_limit);

/*
 * Goes over to raw mode: from the byte behind the line that was delivered last, all that comes is
 * given to raw_received().
 */
EVERT_API void evert_line_receiver_set_raw(evert_line_receiver *lines);

/*
 * Goes back to lines. Called in raw_received(), the last `rest` bytes of what was given there are
 * put back, to be received as lines; elsewhere it is 0.
 */
EVERT_API void evert_line_receiver_set_lines(evert_line_receiver *lines, size_t rest);

EVERT_END

#endif
