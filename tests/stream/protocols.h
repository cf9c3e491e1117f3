/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the transport's face share: a protocol that writes down what it is told, in
 * order, and does then what the test wants; and connections that have one.
 */
#ifndef EVERT_TESTS_STREAM_PROTOCOLS_H
#define EVERT_TESTS_STREAM_PROTOCOLS_H

#include <evert/stream/protocol.h>

#include "stream/face.h"

#include "support.h"

struct talker {
    evert_protocol protocol;
    char told[200]; /* a letter for each call; what is repeated of data counts once */
    char *heard;    /* the bytes; to be freed by talker_fini() */
    size_t size, room;
    int made, lost, reason, pauses, resumes;
    int number; /* of the descriptor */

    /* What it does, and returns. In `act` it is told by which letter it was called. */
    void (*act)(struct talker *t, char call);
    int made_result, data_result, eof_result;
    void *arg;
    int count;
};

static inline struct talker *talker_of(evert_protocol *protocol)
{
    return EVERT__CONTAINER(protocol, struct talker, protocol);
}

static inline evert_transport *transport_of(const struct talker *t)
{
    return t->protocol.transport;
}

/* Its stream from the inside, to look at. */
static inline evert_stream *inside(const struct talker *t)
{
    return evert__stream_of(t->protocol.transport);
}

static inline void note_call(struct talker *t, char call)
{
    size_t size = strlen(t->told);
    assert_int_equal(t->lost, 0); /* T1: nothing after it */
    assert_non_null(t->protocol.transport);
    assert_true(call == 'M' || t->made > 0);
    assert_true(size + 1 < sizeof(t->told));
    if (call != 'D' || size == 0 || t->told[size - 1] != 'D')
        t->told[size] = call;
}

static inline int talker_made(evert_protocol *protocol)
{
    struct talker *t = talker_of(protocol);
    note_call(t, 'M');
    t->made++;
    t->number = inside(t)->fd.number;
    int rc = t->made_result;
    if (t->act != NULL)
        t->act(t, 'M');
    return rc;
}

static inline int talker_data(evert_protocol *protocol, evert_bytes data)
{
    struct talker *t = talker_of(protocol);
    note_call(t, 'D');
    assert_true(data.size > 0);
    if (t->size + data.size > t->room) {
        t->room = 2 * (t->size + data.size);
        t->heard = realloc(t->heard, t->room);
        assert_non_null(t->heard);
    }
    memcpy(t->heard + t->size, data.data, data.size);
    t->size += data.size;
    int rc = t->data_result;
    if (t->act != NULL)
        t->act(t, 'D');
    (void)*(const volatile char *)data.data; /* it is there for the whole of the call */
    return rc;
}

static inline int talker_eof(evert_protocol *protocol)
{
    struct talker *t = talker_of(protocol);
    note_call(t, 'E');
    int rc = t->eof_result;
    if (t->act != NULL)
        t->act(t, 'E');
    return rc;
}

static inline void talker_lost(evert_protocol *protocol, int reason)
{
    struct talker *t = talker_of(protocol);
    assert_int_equal(t->lost, 0);
    assert_null(t->protocol.transport);
    t->told[strlen(t->told)] = 'L';
    t->lost = 1;
    t->reason = reason;
    if (t->act != NULL)
        t->act(t, 'L');
}

static inline void talker_pause(evert_protocol *protocol)
{
    struct talker *t = talker_of(protocol);
    note_call(t, 'P');
    t->pauses++;
    if (t->act != NULL)
        t->act(t, 'P');
}

static inline void talker_resume(evert_protocol *protocol)
{
    struct talker *t = talker_of(protocol);
    note_call(t, 'R');
    t->resumes++;
    if (t->act != NULL)
        t->act(t, 'R');
}

static const evert_protocol_ops talker_ops = {
    .size = sizeof(struct talker),
    .connection_made = talker_made,
    .data_received = talker_data,
    .eof_received = talker_eof,
    .connection_lost = talker_lost,
    .pause_writing = talker_pause,
    .resume_writing = talker_resume,
};

static inline void talker_init(struct talker *t)
{
    *t = (struct talker){.protocol.ops = &talker_ops};
}

static inline void talker_fini(struct talker *t)
{
    free(t->heard);
    t->heard = NULL;
}

#define check_told(t, letters) check_told_at((t), (letters), __FILE__, __LINE__)

static inline void check_told_at(const struct talker *t, const char *letters, const char *file,
                                 int line)
{
    if (strcmp(t->told, letters) == 0)
        return;
    print_error("it was told %s, not %s\n", t->told, letters);
    _fail(file, line);
}

static inline void check_heard(const struct talker *t, const char *words)
{
    check_bytes(((evert_bytes){t->heard, t->size}), words);
}

/* Waits until it has lost its connection, with this reason; and nothing comes after that. */
#define check_lost(t, wanted)            \
    do {                                 \
        wait_until((t)->lost);           \
        check_rc((t)->reason, (wanted)); \
        turns(3);                        \
        assert_int_equal((t)->lost, 1);  \
    } while (0)

/* Gives the stream to it, and waits until it has heard so. */
static inline void talk_on(struct talker *t, evert_stream *s)
{
    int before = t->made;
    check_rc(evert_stream_transport(s, &t->protocol), 0);
    wait_until(t->made > before || t->lost);
}

/* A new connection, on which it talks; the plain socket at its other end is returned. */
static inline int talk(struct talker *t, enum kind kind)
{
    struct ends e = make_ends(kind);
    talk_on(t, e.s);
    return e.peer;
}

/* The same with small buffers in the kernel. */
static inline int talk_narrow(struct talker *t, enum kind kind)
{
    struct ends e = make_narrow_ends(kind);
    talk_on(t, e.s);
    return e.peer;
}

/* Its peer goes, and it is done. */
static inline void end_talk(struct talker *t, int peer)
{
    close(peer);
    wait_until(t->lost);
    talker_fini(t);
}

/* Takes what there is for a plain socket. */
static inline size_t drain(int fd)
{
    static char bytes[65536];
    size_t sum = 0;
    ssize_t count;
    while ((count = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        sum += (size_t)count;
    return sum;
}

/* Takes all up to the end or an error: how much it was. */
static inline size_t drain_to_end(int fd)
{
    static char bytes[65536];
    size_t sum = 0;
    for (;;) {
        ssize_t count = recv(fd, bytes, sizeof(bytes), 0);
        if (count > 0)
            sum += (size_t)count;
        else if (count < 0 && errno == EAGAIN)
            wait_until(has_events(fd, POLLIN | POLLHUP | POLLERR));
        else
            return sum;
    }
}

/* That it gets this pattern whole, and then the end. */
static inline void peer_hears_pattern_and_end(int fd, size_t size)
{
    char *got = malloc(size);
    assert_non_null(got);
    check_count(peer_receive(fd, got, size), (ssize_t)size);
    assert_true(is_pattern(got, 0, size));
    peer_hears_end(fd);
    free(got);
}

#endif
