#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The greeting servers on the wire: however the bytes are cut, whatever is in a name, and however
rude the peers are, the answers are the same, and nothing is left of a connection that is over."""

import contextlib
import random
import socket
import sys
import time

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import (MEBIBYTE, Failed, connect, connections, converse, expect,  # noqa: E402
                     expect_answer, expect_end, last_words)

SERVERS = ["process_server", "thread_server", "callback_server", "coroutine_server", "mixed_server"]
NAME_LIMIT = 1024
TOO_LONG = b"error: name too long\r\n"

# What a server may hold of a peer that does not read, in its memory and in all.
MOST_MEMORY = 16 * MEBIBYTE
MOST_TAKEN = 64 * MEBIBYTE


def line(name):
    return name + b"\r\n"


def answer(name):
    return b"Hello, " + name + b"!\r\n"


def ask(server, *names):
    """All names in one piece, then the end: the answers come, then the end."""
    with connect(server.address) as sock:
        last_words(sock, b"".join(map(line, names)), b"".join(map(answer, names)))


def expect_silence(sock, seconds):
    sock.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        raise Failed(f"expected no answer yet, got {sock.recv(100)!r}")
    sock.settimeout(support.LIMIT)


# ---- Names ----


def takes_names_of_0_and_1_and_1024_bytes(server):
    ask(server, b"")
    ask(server, b"x")
    ask(server, b"x" * NAME_LIMIT)
    ask(server, b"", b"x" * NAME_LIMIT, b"", b"y" * NAME_LIMIT, b"x")


def refuses_a_name_of_1025_bytes(server):
    for sent in (line(b"x" * 1025), b"x" * 1025, b"x" * 1024 + b"\rx", b"x" * 1024 + b"\n"):
        with connect(server.address) as sock:
            converse(sock, sent, TOO_LONG)
            expect_end(sock)


def refuses_a_long_name_behind_others(server):
    with connect(server.address) as sock:
        sent = line(b"Ann") + line(b"x" * 1024) + line(b"y" * 1025) + line(b"Bob")
        converse(sock, sent, answer(b"Ann") + answer(b"x" * 1024) + TOO_LONG)
        expect_end(sock)


def refuses_100_KiB_without_a_reset(server):
    for sent in (line(b"x" * 102400), b"x" * 2000 + line(b"Ann") * 20480, b"\r" * 102400):
        with connect(server.address) as sock:
            converse(sock, sent, TOO_LONG)
            expect_end(sock)
            expect_no_reset(sock)


def refuses_4_MiB_without_a_reset(server):
    with connect(server.address) as sock:
        came = support.exchange(sock, b"x" * 4 * MEBIBYTE, len(TOO_LONG))
        expect("answer", TOO_LONG, came)
        expect_end(sock)
        expect_no_reset(sock)


def expect_no_reset(sock):
    """What is sent after the answer does no harm either: a reset would break the second send."""
    sock.sendall(b"x" * 1000)
    time.sleep(0.02)
    sock.sendall(b"x")


def takes_bytes_that_are_no_text(server):
    ask(server, b"\0", b"a\0b", b"\0" * NAME_LIMIT, b"\xff\xfe", b"\xc3", b"\xed\xa0\x80")


def takes_all_256_bytes(server):
    ask(server, bytes(range(256)), bytes(reversed(range(256))), bytes(range(256)) * 4)


def takes_lone_CR_and_LF_as_bytes(server):
    ask(server, b"\r", b"\n", b"\n\r", b"\r\r", b"\n\n", b"a\rb\nc", b"\n" * NAME_LIMIT,
        b"\r" * NAME_LIMIT, b"x" * 1023 + b"\r")


def takes_random_names(server):
    source = random.Random(7)
    names = [source.randbytes(source.randrange(200)) for _ in range(500)]
    ask(server, *(name.replace(b"\r\n", b"..").rstrip(b"\r") for name in names))


# ---- Cuts ----


def talk_in_pieces(server, conversations):
    """On a connection for each, all at once: sends the pieces with pauses, expects the answer."""
    with connections(server.address, len(conversations)) as socks:
        for turn in range(max(len(pieces) for pieces, _ in conversations)):
            for sock, (pieces, _) in zip(socks, conversations):
                sock.sendall(b"".join(pieces[turn:turn + 1]))
            time.sleep(0.002)
        for sock, (_, expected) in zip(socks, conversations):
            last_words(sock, b"", expected)


def takes_two_names_cut_at_every_position(server):
    names = b"An\rn", b"B\nob"
    sent, expected = b"".join(map(line, names)), b"".join(map(answer, names))
    talk_in_pieces(server, [((sent[:at], sent[at:]), expected) for at in range(len(sent) + 1)])


def takes_the_longest_name_cut_around_its_end(server):
    name = b"x" * NAME_LIMIT
    good = [((line(name)[:at], line(name)[at:]), answer(name)) for at in range(1020, 1027)]
    bad = b"y" + line(name)
    talk_in_pieces(server, good + [((bad[:at], bad[at:]), TOO_LONG) for at in range(1020, 1028)])


def takes_names_byte_by_byte(server):
    names = b"Ann", b"", b"\r", b"B\nob"
    sent = b"".join(map(line, names))
    pieces = [sent[at:at + 1] for at in range(len(sent))]
    talk_in_pieces(server, [(pieces, b"".join(map(answer, names)))] * 5)


def takes_CR_and_LF_apart(server):
    with connections(server.address, 2) as (short, long):
        short.sendall(b"Ann\r")
        long.sendall(b"x" * NAME_LIMIT + b"\r")
        expect_silence(short, 0.05)
        expect_silence(long, 0.05)
        converse(short, b"\n", answer(b"Ann"))
        converse(long, b"\n", answer(b"x" * NAME_LIMIT))


def takes_two_names_in_one_piece(server):
    with connect(server.address) as sock:
        converse(sock, line(b"Ann") + line(b"Bob"), answer(b"Ann") + answer(b"Bob"))
        converse(sock, line(b"Cay"), answer(b"Cay"))


def takes_1000_names_in_one_piece(server):
    ask(server, *(b"Ann %d" % i for i in range(1000)))


# ---- Ends ----


def answers_before_the_end_in_the_same_edge(server):
    for count in (1, 2, 50):
        names = [b"Ann %d" % i for i in range(count)]
        expected = b"".join(map(answer, names))
        with connections(server.address, 20) as socks:
            for sock in socks:
                sock.sendall(b"".join(map(line, names)))
                sock.shutdown(socket.SHUT_WR)
            for sock in socks:
                expect_answer(sock, expected)
                expect_end(sock)


def closes_at_the_end_in_mid_name(server):
    for rest in (b"B", b"Bob\r", b"x" * NAME_LIMIT, b"\n"):
        with connect(server.address) as sock:
            last_words(sock, line(b"Ann") + rest, answer(b"Ann"))
    with connect(server.address) as sock:
        last_words(sock, b"", b"")


def survives_a_reset(server, sent):
    with connections(server.address, 20) as socks:
        for sock in socks:
            sock.sendall(sent)
        for sock in socks[:10]:
            support.reset(sock)
        time.sleep(0.02)
        for sock in socks[10:]:
            support.reset(sock)
    ask(server, b"Ann")


def survives_a_reset_in_mid_name(server):
    survives_a_reset(server, b"An")
    survives_a_reset(server, line(b"Ann") + b"x" * 1000)


def survives_a_reset_after_a_name(server):
    survives_a_reset(server, line(b"Ann"))
    survives_a_reset(server, line(b"Ann") * 1000)


def holds_back_a_peer_that_never_reads(server):
    name = b"x" * 1000
    before = support.resident_bytes(server.pid)
    with connect(server.address, 4096) as reader, connect(server.address, 4096) as never:
        sent = support.send_until_blocked(reader, line(name), MOST_TAKEN)
        support.send_until_blocked(never, line(name), MOST_TAKEN)
        ask(server, b"Ann")
        growth = support.resident_bytes(server.pid) - before
        if growth > MOST_MEMORY:
            raise Failed(f"expected at most {MOST_MEMORY} bytes of memory, got {growth}")
        support.widen(reader)
        whole, part = divmod(sent, len(line(name)))
        expect("answers after all", answer(name) * whole, support.receive(
            reader, len(answer(name)) * whole))
        if part > 0:
            converse(reader, line(name)[part:], answer(name))
    ask(server, b"Ann")


# ---- Many ----


def survives_200_that_connect_and_close(server):
    for _ in range(200):
        connect(server.address).close()
    ask(server, b"Ann")


def serves_500_at_once(server):
    with connections(server.address, 500) as socks:
        for number, sock in enumerate(socks):
            sock.sendall(line(b"Ann %d" % number))
        for number, sock in enumerate(socks):
            expect_answer(sock, answer(b"Ann %d" % number))


CASES = [
    takes_names_of_0_and_1_and_1024_bytes,
    refuses_a_name_of_1025_bytes,
    refuses_a_long_name_behind_others,
    refuses_100_KiB_without_a_reset,
    refuses_4_MiB_without_a_reset,
    takes_bytes_that_are_no_text,
    takes_all_256_bytes,
    takes_lone_CR_and_LF_as_bytes,
    takes_random_names,
    takes_two_names_cut_at_every_position,
    takes_the_longest_name_cut_around_its_end,
    takes_names_byte_by_byte,
    takes_CR_and_LF_apart,
    takes_two_names_in_one_piece,
    takes_1000_names_in_one_piece,
    answers_before_the_end_in_the_same_edge,
    closes_at_the_end_in_mid_name,
    survives_a_reset_in_mid_name,
    survives_a_reset_after_a_name,
    holds_back_a_peer_that_never_reads,
    survives_200_that_connect_and_close,
    serves_500_at_once,
]


def has_the_descriptors_of_before(server, before):
    ask(server, b"Ann")
    try:
        support.wait_until("the descriptors of before", lambda: server.descriptors() == before)
    except Failed:
        expect("descriptors", before, server.descriptors())


def main():
    cases = support.Cases()
    for name in SERVERS:
        with support.Server(support.example(f"greeting/{name}")) as server:
            before = server.descriptors()
            for function in CASES:
                cases.run(f"{name} {support.words_of(function)}", function, server)
            cases.run(f"{name} has the descriptors of before", has_the_descriptors_of_before,
                      server, before)
            cases.run(f"{name} ends after all that", server.stop)
    cases.exit()


if __name__ == "__main__":
    main()
