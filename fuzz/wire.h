/* SPDX-License-Identifier: MIT */
/*
 * A connection whose other end is the input: it sends the bytes in pieces, whenever the loop is
 * about to wait, and has them received in pieces, both as a list of cuts says. Behind the bytes
 * comes the end, or an error. So nothing depends on time, and nothing can wait for ever.
 */
#ifndef EVERT_FUZZ_WIRE_H
#define EVERT_FUZZ_WIRE_H

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"
#include "stream/connection.h"

#include "input.h"

enum { BYTES_MOST = 200000 };

static struct wire {
    uint8_t *bytes; /* all that is sent */
    size_t size, sent;
    struct input cuts;   /* behind the last of them nothing is cut */
    int error;           /* that follows the bytes; 0 for the end */
    bool is_tcp;         /* taken for TCP: received short means that there is no more for now */
    bool end_with_bytes; /* told together with the last of them, and not by itself */
    bool ended;
    int peer, number;
} wire;

static inline size_t next_cut(void)
{
    if (left(&wire.cuts) == 0)
        return BYTES_MOST;
    uint8_t cut = take_byte(&wire.cuts);
    return cut < 200 ? 1 + cut % 100U : (cut - 199U) * 1000;
}

static inline void send_piece(void)
{
    size_t piece = next_cut(), rest = wire.size - wire.sent;
    if (rest > 0) {
        ssize_t count = send(wire.peer, wire.bytes + wire.sent, piece < rest ? piece : rest,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0)
            wire.sent += (size_t)count;
    }
    if (wire.sent == wire.size && !wire.ended && (rest == 0 || wire.end_with_bytes)) {
        wire.ended = true;
        shutdown(wire.peer, SHUT_WR);
    }
}

static inline bool all_was_received(void)
{
    int count = 0;
    expect(ioctl(wire.number, FIONREAD, &count) == 0, "no count");
    return wire.ended && count == 0;
}

static bool play_wire(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    if (call == EVERT__SYS_EPOLL_WAIT) {
        send_piece();
    } else if (call == EVERT__SYS_RECV && wire.error < 0 && all_was_received()) {
        *result = wire.error;
        return true;
    } else if (call == EVERT__SYS_RECV && !wire.is_tcp) {
        size_t cut = next_cut();
        if (*size > cut)
            *size = cut;
    }
    return false;
}

/* The wire is played from inside the waits of this back end. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    setenv("EVERT_BACKEND", "epoll", 1);
    evert_log_set_sink(refuse_errors, NULL);
    return 0;
}

/* What it is to send: the same bytes, many times over where the input says so. */
static inline void load_wire(struct input *in)
{
    static const int errors[] = {0, 0, -ECONNRESET, -ETIMEDOUT};
    uint8_t how = take_byte(in);
    wire = (struct wire){.error = errors[how % 4]};
    wire.is_tcp = how & 4;
    wire.end_with_bytes = how & 8;
    size_t times = how & 16 ? 1 + take_byte(in) : 1;
    wire.cuts = take_part(in, take_byte(in));
    if (times > 1 + BYTES_MOST / (left(in) + 1))
        times = 1 + BYTES_MOST / (left(in) + 1);
    wire.size = left(in) * times;
    wire.bytes = allocate(wire.size + 1);
    for (size_t i = 0; i < times && left(in) > 0; i++)
        memcpy(wire.bytes + i * left(in), in->at, left(in));
}

/* Begins to send, to a stream made here. */
static inline evert_stream *open_wire(evert_loop *loop)
{
    int ends[2];
    evert_stream *s;
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    expect(socketpair(AF_UNIX, type, 0, ends) == 0, "no socket");
    wire.number = ends[0];
    wire.peer = ends[1];
    wire.sent = 0;
    wire.ended = false;
    expect(evert__connection_accepted(loop, wire.number, wire.is_tcp, &s) == 0, "no stream");
    evert__sys_set_hook(play_wire);
    return s;
}

static inline void close_wire(void)
{
    evert__sys_set_hook(NULL);
    close(wire.peer);
}

#endif
