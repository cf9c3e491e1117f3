#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The peers that Evert is measured beside keep the same contracts as its own servers, so that what
is compared does the same work. No part of `make check`, since it needs what the peers need.

    peers.py BUILD [PEER...]
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("EVERT_SOURCE", ROOT)
if len(sys.argv) > 1:
    os.environ["EVERT_BUILD"] = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.join(ROOT, "bench"))

import echo  # noqa: E402  (after what tells where everything is)
import peers  # noqa: E402
import support  # noqa: E402
import wire  # noqa: E402
from support import connect, converse, expect, expect_end, last_words  # noqa: E402

# Whose own way of finding lines sees a byte later that a name without an end is too long.
ONE_BYTE_LATER = [("asyncio", "greeting"), ("uvloop", "greeting"), ("twisted", "greeting")]

PIDFD_GETFD = 438  # the same on all machines


# ---- What greetings and echoes are not tested for elsewhere ----


def refuses_a_name_of_1026_bytes(server):
    for sent in (wire.line(b"x" * 1025), b"x" * 1026, b"x" * 1024 + b"\rx"):
        with connect(server.address) as sock:
            converse(sock, sent, wire.TOO_LONG)
            expect_end(sock)


def bytes_are_counted(server):
    for size in 0, 1, 1234567:
        with connect(server.address) as sock:
            last_words(sock, b"x" * size, b"%d\r\n" % size)


def counts_are_of_each_connection(server):
    with support.connections(server.address, 20) as socks:
        for number, sock in enumerate(socks):
            sock.sendall(b"x" * number * 1000)
        for number, sock in enumerate(socks):
            last_words(sock, b"", b"%d\r\n" % (number * 1000))


def copied(process, number):
    """A descriptor of another process; the kernel gives it to whom may trace that."""
    copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, number, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copy


def no_delay(fd):
    """Of a connection; an error for everything else."""
    sock = socket.socket(fileno=fd)
    try:
        sock.getpeername()
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        sock.detach()


def no_delays(pid):
    """Of each connection of a process; none of one that has just ended."""
    found = []
    with contextlib.suppress(ProcessLookupError, FileNotFoundError), \
         contextlib.ExitStack() as stack:
        process = os.pidfd_open(pid)
        stack.callback(os.close, process)
        for number in map(int, os.listdir(f"/proc/{pid}/fd")):
            with contextlib.suppress(OSError):
                fd = copied(process, number)
                stack.callback(os.close, fd)
                found.append(no_delay(fd))
    return found


def sends_at_once(server):
    """Whether there are connections, and no answer waits until the one before was acknowledged."""
    pids = [server.pid, *(pid for pid, _ in support.children_of(server.pid))]
    found = [each for pid in pids for each in no_delays(pid)]
    return found and all(found)


def does_not_hold_answers_back(server):
    with connect(server.address):
        support.wait_until("TCP_NODELAY", lambda: sends_at_once(server))


# ---- All of them ----

CASES = {
    "greeting": wire.CASES,
    "echo": echo.CASES,
    "sink": [bytes_are_counted, counts_are_of_each_connection],
}


def cases_for(peer, kind):
    for case in [*CASES[kind.partition("_")[0]], does_not_hold_answers_back]:
        if case is wire.refuses_a_name_of_1025_bytes and (peer.name, kind) in ONE_BYTE_LATER:
            yield refuses_a_name_of_1026_bytes
        else:
            yield case


def ends(server):
    """At once, with 0 or by the signal."""
    server.tell(signal.SIGTERM)
    status = server.wait()
    expect("status", True, status in (0, -signal.SIGTERM))
    server.expect_end(status)


def main():
    cases = support.Cases()
    wanted = sys.argv[2:]
    for peer in peers.available(support.BUILD):
        if wanted and peer.name not in wanted:
            continue
        for kind, command in peer.programs.items():
            with support.Server(command) as server:
                for function in cases_for(peer, kind):
                    cases.run(f"{peer.name} {kind} {support.words_of(function)}", function, server)
                cases.run(f"{peer.name} {kind} ends", ends, server)
    cases.exit()


if __name__ == "__main__":
    main()
