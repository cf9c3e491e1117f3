#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Faults of connections that are there, each by a real cause, in a network of this test's own."""

import contextlib
import os
import signal
import socket
import sys

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
import namespaces  # noqa: E402
from namespaces import Subject, firewall, in_both_ways  # noqa: E402
from support import Failed, expect  # noqa: E402

MUCH = 64 * support.MEBIBYTE  # more than the buffers of a connection hold
GONE = ("ECONNRESET", "EPIPE")


class Peer:
    """Listens for the subject, in small buffers, and is its other end."""

    def __init__(self, stack):
        self.listener = stack.enter_context(socket.socket())
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(8)
        self.listener.settimeout(support.LIMIT)
        self.port = self.listener.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(support.LIMIT)
        return sock


@contextlib.contextmanager
def talking(way, *words):
    """A subject that is connected, and its peer's socket."""
    with contextlib.ExitStack() as stack:
        peer = Peer(stack)
        subject = stack.enter_context(Subject(way, words[0], peer.address, *words[1:]))
        sock = stack.enter_context(peer.accept())
        subject.expect("connect", "OK")
        yield subject, sock


def sends_unread(sock):
    """Waits until the subject's bytes are there, which nobody reads."""
    support.wait_until("bytes to arrive", lambda: sock.recv(1, socket.MSG_PEEK))


def in_a_process_that_is_killed(listener, act):
    """Accepts and acts in a process of its own, which is killed when that is done."""
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            sock, _ = listener.accept()
            act(sock)
            os.write(done, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(done)
    try:
        expect("the peer's word", b"x", os.read(ready, 1))
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


# ---- Resets ----


@in_both_ways
def the_peer_is_killed_while_we_write(way):
    """With what we wrote unread, so the kernel answers with a reset. The error stays."""
    with contextlib.ExitStack() as stack:
        peer = Peer(stack)
        subject = stack.enter_context(Subject(way, "write", peer.address, MUCH, 10000))
        in_a_process_that_is_killed(peer.listener, sends_unread)
        subject.expect_status(0)
        code = subject.wait_for("write")[0]
        subject.expect("write", *GONE)
        subject.expect("again", code)


@in_both_ways
def the_peer_resets_while_we_read(way):
    """What it had sent before comes first."""
    with talking(way, "read", 10000) as (subject, sock):
        sock.sendall(b"a" * 5000)
        support.reset(sock)
        subject.expect_status(0)
        subject.expect("read", "ECONNRESET")
        subject.expect("again", "ECONNRESET")
        expect("bytes that came first", "5000", subject.said_of("came")[0])


@in_both_ways
def a_firewall_resets(way):
    with talking(way, "write", MUCH, 10000) as (subject, sock):
        sends_unread(sock)
        with firewall(f"tcp dport {sock.getsockname()[1]} reject with tcp reset"):
            with contextlib.suppress(OSError):
                while sock.recv(65536):
                    pass
            subject.expect_status(0)
        subject.expect("write", *GONE)


@in_both_ways
def the_administrator_kills_the_connection(way):
    for act, amount in ("read", ()), ("write", (MUCH,)):
        with talking(way, act, *amount, 10000) as (subject, sock):
            if act == "write":
                sends_unread(sock)
            port = sock.getsockname()[1]
            killed = namespaces.run(f"ss -K -t dport = :{port}")
            if f":{port}" not in killed:
                raise Failed(f"expected ss to kill a connection to {port}, got {killed!r}")
            subject.expect_status(0)
            subject.expect(act, "ECONNABORTED", *(GONE if act == "write" else ()))


# ---- A peer that takes nothing ----


@in_both_ways
def the_peer_never_reads(way):
    """Its window is closed: the write waits, until the deadline."""
    with talking(way, "write", MUCH, 400) as (subject, _):
        subject.expect_status(0)
        subject.expect("write", "ETIMEDOUT")


@in_both_ways
def the_peer_reads_slowly(way):
    """The window closes and opens again and again; all arrives."""
    size = 2 * support.MEBIBYTE
    with talking(way, "write", size, 30000) as (subject, sock):
        came = 0
        while came < size:
            chunk = sock.recv(3000)
            if not chunk:
                raise Failed(f"expected {size} bytes, got {came}, then the end")
            expect("other bytes than were sent", b"", chunk.strip(b"w"))
            came += len(chunk)
        sock.close()
        subject.expect_status(0)
        subject.expect("write", "OK")


@in_both_ways
def the_network_goes_silent(way):
    with talking(way, "write", MUCH, 600) as (subject, sock):
        sends_unread(sock)
        with firewall(f"tcp dport {sock.getsockname()[1]} drop"):
            subject.expect_status(0)
        subject.expect("write", "ETIMEDOUT")


@in_both_ways
def the_network_goes_silent_for_a_moment(way):
    """The kernel sends again what was lost, and nothing is noticed."""
    with talking(way, "write", MUCH, 30000) as (subject, sock):
        sends_unread(sock)
        came = 0
        with firewall(f"tcp dport {sock.getsockname()[1]} drop"):
            sock.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                while True:
                    came += len(sock.recv(1 << 20))
        sock.settimeout(support.LIMIT)
        while came < MUCH:
            came += len(sock.recv(1 << 20)) or MUCH + 1
        expect("bytes", MUCH, came)
        subject.expect("write", "OK")


@in_both_ways
def the_peer_only_ends_its_side(way):
    """The end is read, once what was sent before it is."""
    with talking(way, "read", 10000) as (subject, sock):
        sock.sendall(b"a" * 100000)
        sock.shutdown(socket.SHUT_WR)
        subject.expect_status(0)
        subject.expect("read", "OK")
        expect("bytes that came first", "100000", subject.said_of("came")[0])
    with talking(way, "write", 100000, 10000) as (subject, sock):
        sock.shutdown(socket.SHUT_WR)
        expect("bytes after our end", 100000 // 8192 * 8192 + 8192,
               len(support.receive(sock, 13 * 8192)))
        subject.expect("write", "OK")


CASES = [
    the_peer_is_killed_while_we_write,
    the_peer_resets_while_we_read,
    a_firewall_resets,
    the_administrator_kills_the_connection,
    the_peer_never_reads,
    the_peer_reads_slowly,
    the_network_goes_silent,
    the_network_goes_silent_for_a_moment,
    the_peer_only_ends_its_side,
]


def main():
    namespaces.enter()
    cases = support.Cases()
    for function in CASES:
        cases.run(support.words_of(function), function)
    cases.exit()


if __name__ == "__main__":
    main()
