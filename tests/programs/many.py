#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One process with many protocols, which talks to itself: driven from outside, each protocol does
what it does alone, whatever its neighbours and their peers are up to."""

import contextlib
import datetime
import errno
import os
import random
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import (MEBIBYTE, Failed, Process, connect, converse, expect,  # noqa: E402
                     expect_answer, expect_end, last_words)

PROGRAM = support.example("many/many")
ANSWERS = b"talked to itself: 24 answers right"

NAME_ERROR = b"error: a name has 1 to 32 bytes\r\n"
LINE_LIMIT = 1024

# What may come of a member that never reads: memory, and what it takes until it is thrown out.
MOST_MEMORY = 16 * MEBIBYTE
MOST_TAKEN = 64 * MEBIBYTE

RANDOM = random.Random(7)


class Many(support.Server):
    """The program; where each protocol is, and that it has talked to itself."""

    def __init__(self, address="tcp://127.0.0.1:0"):
        super().__init__(PROGRAM, address)
        self.echo = self.daytime = self.chat = self.chat_unix = None

    def read_addresses(self):
        support.wait_until("it to have talked to itself",
                           lambda: b"right" in self.stdout() or self.process.poll() is not None)
        lines = self.stdout().splitlines()
        places = [line.decode().partition(" on ") for line in lines[1:-1]]
        expect("protocols", ["echo", "daytime", "chat", "chat"], [place[0] for place in places])
        self.echo, self.daytime, self.chat, self.chat_unix = [place[2] for place in places]
        expect("last line", ANSWERS, lines[-1])

    def sockets(self):
        links = [os.readlink(f"/proc/{self.pid}/fd/{number}") for number in self.descriptors()]
        return sum(link.startswith("socket:") for link in links)

    def expect_end(self, status=0, limit=support.LIMIT):
        super().expect_end(status, limit)
        for word in self.stdout().decode().split():
            if word.startswith("unix://"):
                expect("the socket's file is left", False, os.path.lexists(word[7:]))


def line(*words):
    return b"".join(words) + b"\r\n"


# ---- One protocol each ----


def talks_to_itself(many):
    many.read_addresses()
    expect("stderr", "", many.stderr())
    support.wait_until("its guests to be gone", lambda: many.sockets() == 5)


def greets(many):
    with connect(many.address) as sock:
        converse(sock, b"Ann\r\nB", b"Hello, Ann!\r\n")
        last_words(sock, b"ob\r\n", b"Hello, Bob!\r\n")
    with connect(many.address) as sock:
        converse(sock, line(b"x" * 1025), b"error: name too long\r\n")
        expect_end(sock)


def echoes(many):
    data = RANDOM.randbytes(2 * MEBIBYTE)
    with connect(many.echo) as sock:
        expect("echo", data, support.exchange(sock, data, len(data)))
        sock.shutdown(socket.SHUT_WR)
        expect_end(sock)


def tells_the_time(many):
    before = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    before -= datetime.timedelta(milliseconds=100)  # time(2) is late by a tick of the kernel's
    before = before.replace(microsecond=0)
    for sent in b"", b"what time is it?\r\n":
        with connect(many.daytime) as sock:
            sock.sendall(sent)
            words = support.receive(sock, 200).decode()
            told = datetime.datetime.strptime(words, "%A, %B %d, %Y %H:%M:%S-UTC\r\n")
            now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
            expect("between before and now", True, before <= told <= now)


def greets_strangers(many):
    for client in "asyncio_client", "twisted_client":
        with Process(support.foreign(f"{client}.py"), many.address, "Ann", "Bob") as process:
            process.expect_status(0)
            expect(f"output of {client}", b"Hello, Ann!\nHello, Bob!\n", process.stdout())


# ---- The chat ----


@contextlib.contextmanager
def members(many, *names, over=None):
    """Members who have joined one after the other, and heard all joins since their own."""
    with contextlib.ExitStack() as stack:
        socks = []
        for name in names:
            socks.append(stack.enter_context(connect(over or many.chat)))
            socks[-1].sendall(line(name))
            hear(socks, line(name, b" joins"))
        yield socks


def hear(socks, words):
    for sock in socks:
        expect_answer(sock, words)


def tells_all_others_what_one_says(many):
    with members(many, b"Ann", b"Bob") as (ann, bob), \
         members(many, b"Cay", over=many.chat_unix) as (cay,):
        hear([ann, bob], b"Cay joins\r\n")
        for name, speaker, others in ((b"Ann", ann, [bob, cay]), (b"Bob", bob, [ann, cay]),
                                      (b"Cay", cay, [ann, bob])):
            for words in b"hello", b"", b"lone \r and \n", b"\0\xff", b"x" * LINE_LIMIT:
                speaker.sendall(line(words))
                hear(others, line(name, b": ", words))


def tells_who_leaves(many):
    with members(many, b"Ann", b"Bob", b"Cay", b"Dan") as (ann, bob, cay, dan):
        bob.shutdown(socket.SHUT_WR)
        hear([ann, cay, dan], b"Bob leaves\r\n")
        expect_end(bob)
        support.reset(cay)
        hear([ann, dan], b"Cay leaves\r\n")
        dan.sendall(b"y" * (LINE_LIMIT + 1))
        expect_end(dan)
        dan.close()
        hear([ann], b"Dan leaves\r\n")
        last_words(ann, b"half a li", b"")


def refuses_names_of_0_and_33_bytes(many):
    with members(many, b"Ann") as (ann,):
        for name in b"", b"x" * 33, b"N\0L":
            with connect(many.chat) as sock:
                converse(sock, line(name), NAME_ERROR)
                expect_end(sock)
        with members(many, b"y" * 32):
            hear([ann], line(b"y" * 32, b" joins"))
        hear([ann], line(b"y" * 32, b" leaves"))


def takes_lines_cut_at_every_position(many):
    said = b"Ann\r\nhello\r\n\r\nbye\r\n"
    heard = b"Ann joins\r\nAnn: hello\r\nAnn: \r\nAnn: bye\r\nAnn leaves\r\n"
    with members(many, b"Bob") as (bob,):
        for at in range(1, len(said)):
            with connect(many.chat) as ann:
                ann.sendall(said[:at])
                time.sleep(0.002)
                last_words(ann, said[at:], b"Ann joins\r\n")
            expect_answer(bob, heard)


def lets_50_talk_at_once(many):
    names = [b"member %d" % number for number in range(50)]
    with members(many, *names) as socks:
        for sock in socks:
            sock.sendall(b"one\r\ntwo\r\n")
        for name, sock in zip(names, socks):
            expected = sorted(line(other, b": ", words) for other in names if other != name
                              for words in (b"one", b"two"))
            came = support.receive(sock, sum(map(len, expected)))
            expect("lines", expected, sorted(came.splitlines(keepends=True)))


def throws_out_who_never_reads(many):
    throw_out(many, many.chat)


def throws_out_who_never_reads_over_unix(many):
    throw_out(many, many.chat_unix)


def throw_out(many, address):
    """The others do not wait for it, and what they say does not pile up."""
    before = support.resident_bytes(many.pid)
    said = line(b"x" * 1000) * 100
    heard = line(b"Ann: ", b"x" * 1000) * 100
    with connect(address, 4096) as never, members(many, b"Ann", b"Bob") as (ann, bob):
        never.sendall(b"never\r\n")
        hear([ann, bob], b"never joins\r\n")
        sent, came = 0, b""
        while b"never leaves\r\n" not in came:
            if sent > MOST_TAKEN:
                raise Failed(f"expected it to be thrown out before {sent} bytes")
            sent += len(said)
            ann.sendall(said)
            came = support.receive(bob, len(heard))
        came += support.receive(bob, len(b"never leaves\r\n"))
        expect("what another hears", heard, came.replace(b"never leaves\r\n", b""))
        growth = support.resident_bytes(many.pid) - before
        if growth > MOST_MEMORY:
            raise Failed(f"expected at most {MOST_MEMORY} bytes of memory, got {growth}")
        hear([ann], b"never leaves\r\n")


def survives_resets(many):
    with members(many, b"Ann") as (ann,):
        for number in range(20):
            sock = connect(many.chat)
            sock.sendall(b"Bob\r\n" + b"hello\r\n" * number)
            hear([ann], b"Bob joins\r\n" + b"Bob: hello\r\n" * number)
            support.reset(sock)
            hear([ann], b"Bob leaves\r\n")
    for address in (many.address, many.echo, many.daytime, many.chat, many.chat_unix):
        for sent in b"", b"Bob", b"Bob\r\n" * 1000:
            sock = connect(address)
            with contextlib.suppress(ConnectionError):
                sock.sendall(sent)
            support.reset(sock)
    echoes(many)
    greets(many)


# ---- All of them ----


def serves_one_while_another_is_stuck(many):
    data = RANDOM.randbytes(65536)
    with connect(many.echo, 4096) as echo, connect(many.address, 4096) as greeting:
        support.send_until_blocked(echo, data, MOST_TAKEN)
        support.send_until_blocked(greeting, line(b"x" * 1000), MOST_TAKEN)
        for function in greets, echoes, tells_the_time, tells_all_others_what_one_says:
            function(many)


CASES = [
    greets,
    echoes,
    tells_the_time,
    greets_strangers,
    tells_all_others_what_one_says,
    tells_who_leaves,
    refuses_names_of_0_and_33_bytes,
    takes_lines_cut_at_every_position,
    lets_50_talk_at_once,
    throws_out_who_never_reads,
    throws_out_who_never_reads_over_unix,
    survives_resets,
    serves_one_while_another_is_stuck,
]


def leaves_nothing_behind(function, many, before):
    """Nor anybody in the room, who would be told of in the next case."""
    function(many)
    try:
        support.wait_until("the descriptors of before", lambda: many.descriptors() == before)
    except Failed:
        expect("descriptors", before, many.descriptors())


def ends_with_connections_on_every_port(many):
    with contextlib.ExitStack() as stack:
        for address in (many.address, many.echo, many.daytime, many.chat, many.chat_unix):
            sock = stack.enter_context(connect(address))
            if address != many.daytime:
                sock.sendall(b"Ann\r\nhalf a li")
                expect("answered", True, len(support.receive(sock, 4)) == 4)
        many.stop()


def ends_in_the_middle_of_its_talk():
    for delay in range(10):
        with Many() as many:
            time.sleep(delay / 1000)
            many.stop()


def ends_with_130_when_interrupted():
    with Many() as many:
        many.stop(signal.SIGINT, 130)


def refuses_an_address_in_use():
    with Many() as many:
        with Process(PROGRAM, many.address) as process:
            process.expect_status(1)
            expect("output", b"", process.stdout())
            expect("lines on stderr", 1, process.stderr().count("\n"))
            reason = support.words_of_error(errno.EADDRINUSE)
            expect("reason in it", True, reason in process.stderr())
        many.stop()


def main():
    cases = support.Cases()
    with Many() as many:
        cases.run("talks to itself", talks_to_itself, many)
        before = many.descriptors()
        for function in CASES:
            cases.run(support.words_of(function), leaves_nothing_behind, function, many, before)
        cases.run("ends with connections on every port", ends_with_connections_on_every_port, many)
    for function in (ends_in_the_middle_of_its_talk, ends_with_130_when_interrupted,
                     refuses_an_address_in_use):
        cases.run(support.words_of(function), function)
    cases.exit()


if __name__ == "__main__":
    main()
