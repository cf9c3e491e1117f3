/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the field reports share: a protocol that notes what it hears and does what the
 * test asks of it. Each report is played on both faces of a connection; most of them come from
 * programs in callbacks, where nobody's stack keeps an object alive.
 */
#ifndef EVERT_TESTS_STREAM_REPORTS_H
#define EVERT_TESTS_STREAM_REPORTS_H

#include <evert/stream/protocol.h>
#include <evert/stream/transport.h>

#include "stream/face.h"

#include "support.h"

struct hearer {
    evert_protocol protocol;
    int (*hear)(struct hearer *hearer, evert_bytes data); /* beside counting; or NULL */
    void (*go_on)(struct hearer *hearer);                 /* when writing may go on; or NULL */
    void (*end)(struct hearer *hearer);                   /* when the connection is lost; or NULL */
    void *arg;
    bool keep_open;             /* when the peer has ended */
    int made, times;            /* connection_made(), data_received(): how often */
    size_t size;                /* of all that was received */
    int ended, paused, resumed; /* how often each was heard */
    int lost, reason;
};

static inline struct hearer *hearer_of(evert_protocol *protocol)
{
    struct hearer *h = EVERT__CONTAINER(protocol, struct hearer, protocol);
    assert_int_equal(h->lost, 0); /* nothing comes after connection_lost() */
    return h;
}

static inline int hearer_made(evert_protocol *protocol)
{
    hearer_of(protocol)->made++;
    return 0;
}

static inline int hearer_data(evert_protocol *protocol, evert_bytes data)
{
    struct hearer *h = hearer_of(protocol);
    h->times++;
    h->size += data.size;
    return h->hear != NULL ? h->hear(h, data) : 0;
}

static inline int hearer_eof(evert_protocol *protocol)
{
    struct hearer *h = hearer_of(protocol);
    h->ended++;
    if (h->keep_open && h->go_on != NULL)
        h->go_on(h);
    return h->keep_open ? EVERT_KEEP_OPEN : 0;
}

static inline void hearer_lost(evert_protocol *protocol, int reason)
{
    struct hearer *h = hearer_of(protocol);
    assert_null(protocol->transport);
    h->lost++;
    h->reason = reason;
    if (h->end != NULL)
        h->end(h);
}

static inline void hearer_pause(evert_protocol *protocol)
{
    hearer_of(protocol)->paused++;
}

static inline void hearer_resume(evert_protocol *protocol)
{
    struct hearer *h = hearer_of(protocol);
    h->resumed++;
    if (h->go_on != NULL)
        h->go_on(h);
}

static const evert_protocol_ops hearer_ops = {
    .size = sizeof(struct hearer),
    .connection_made = hearer_made,
    .data_received = hearer_data,
    .eof_received = hearer_eof,
    .connection_lost = hearer_lost,
    .pause_writing = hearer_pause,
    .resume_writing = hearer_resume,
};

static inline struct hearer new_hearer(void)
{
    return (struct hearer){.protocol.ops = &hearer_ops};
}

/* Makes a transport of a stream, and waits until the protocol has it. */
static inline evert_transport *hear(struct hearer *h, evert_stream *s)
{
    check_rc(evert_stream_transport(s, &h->protocol), 0);
    wait_until(h->made == 1);
    return h->protocol.transport;
}

/* Waits for the loss; its reason. */
static inline int hear_loss(struct hearer *h)
{
    wait_until(h->lost == 1);
    turns(3);
    return h->reason;
}

/* Our own port, or the peer's, of a TCP socket. */
static inline int port_at(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_in in = {0};
    socklen_t size = sizeof(in);
    assert_int_equal(name(fd, (struct sockaddr *)&in, &size), 0);
    return ntohs(in.sin_port);
}

#endif
