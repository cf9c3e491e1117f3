#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Faults of accepting and connecting, each by a real cause, in a network of this test's own."""

import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
import namespaces  # noqa: E402
from namespaces import (STRACE, TRACED, Subject, expect_connect,  # noqa: E402
                        firewall, in_both_ways, route)
from support import Failed, Process, Server, expect  # noqa: E402

SERVERS = ["callback_server", "coroutine_server"]
ADDRESS = "tcp://127.0.0.1:{}"
SLOW = "tcp://slow.example:9"
ANSWER = b"Hello, Ann!\r\n"


def listener(backlog=8):
    return socket.create_server(("127.0.0.1", 0), backlog=backlog)


def address_of(sock):
    return ADDRESS.format(sock.getsockname()[1])


def unused_address():
    with listener() as sock:
        return address_of(sock)


def greets(server):
    with support.connect(server.address) as sock:
        support.last_words(sock, b"Ann\r\n", ANSWER)


# ---- Connecting ----


@in_both_ways
def nobody_listens(way):
    expect_connect(way, unused_address(), "ECONNREFUSED")


@in_both_ways
def a_firewall_says_nothing(way):
    with listener() as sock:
        port = sock.getsockname()[1]
        with firewall(f"tcp dport {port} drop"):
            expect_connect(way, address_of(sock), "ETIMEDOUT", milliseconds=300)
        expect_connect(way, address_of(sock), "OK")


@in_both_ways
def the_backlog_is_full(way):
    """Then the kernel answers no more, as if the other machine was not there."""
    with listener(0) as sock, socket.create_connection(sock.getsockname()):
        expect_connect(way, address_of(sock), "ETIMEDOUT", milliseconds=300)


@in_both_ways
def a_firewall_says_no(way):
    answers = {
        "tcp reset": "ECONNREFUSED",
        "icmp host-unreachable": "EHOSTUNREACH",
        "icmp net-unreachable": "ENETUNREACH",
        "icmp port-unreachable": "ECONNREFUSED",
        "icmp admin-prohibited": "EHOSTUNREACH",
    }
    with listener() as sock:
        port = sock.getsockname()[1]
        for answer, code in answers.items():
            with firewall(f"tcp dport {port} reject with {answer}"):
                expect_connect(way, address_of(sock), code)


@in_both_ways
def there_is_no_way_there(way):
    expect_connect(way, "tcp://192.0.2.1:9", "ENETUNREACH")
    with route("unreachable 192.0.2.1"):
        expect_connect(way, "tcp://192.0.2.1:9", "EHOSTUNREACH")


@in_both_ways
def it_is_not_permitted(way):
    with route("prohibit 192.0.2.1"):
        expect_connect(way, "tcp://192.0.2.1:9", "EACCES")


@in_both_ways
def the_system_calls_an_address_invalid(way):
    """One that is good on a link only, and no link is named."""
    expect_connect(way, "tcp://[fe80::1]:9", "EINVAL")


# No socket of another case may have had these: what is left of one keeps its port for a minute.
RESERVED = 45677, 45679


def reserve_ports():
    namespaces.set_kernel("net.ipv4.ip_local_reserved_ports", "{}-{}".format(*RESERVED))


@contextlib.contextmanager
def ports(first, last):
    """Those that the kernel chooses from for who connects; they are among the reserved."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        before = file.read()
    namespaces.set_kernel("net.ipv4.ip_local_reserved_ports", "\n")
    namespaces.set_kernel("net.ipv4.ip_local_port_range", f"{first} {last}")
    try:
        yield
    finally:
        namespaces.set_kernel("net.ipv4.ip_local_port_range", before)
        reserve_ports()


@in_both_ways
def no_port_is_left(way):
    with listener() as sock, ports(45678, 45679), contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.callback(support.reset, socket.create_connection(sock.getsockname()))
        expect_connect(way, address_of(sock), "EADDRNOTAVAIL")


@in_both_ways
def the_socket_would_meet_itself(way):
    """Nobody listens, and the one port that is left for clients is the one that is asked for."""
    with ports(45677, 45677):
        for _ in range(2):  # nor does the first leave anything behind that is in the way
            expect_connect(way, ADDRESS.format(45677), "ECONNREFUSED")
    with socket.create_server(("127.0.0.1", 45677)) as sock:
        expect_connect(way, address_of(sock), "OK")


@contextlib.contextmanager
def resolver_without_answer():
    """Names are asked for, for a minute each, at a server that never answers. Gives its socket."""
    files = {"/etc/resolv.conf": "nameserver 127.0.0.53\noptions timeout:20 attempts:3\n",
             "/etc/nsswitch.conf": "hosts: files dns\n"}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for name, text in files.items():
            path = os.path.join(folder, os.path.basename(name))
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            namespaces.run(f"mount --bind {path} {name}")
            stack.callback(namespaces.run, f"umount {name}")
        server = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        server.settimeout(support.LIMIT)
        server.bind(("127.0.0.53", 53))
        yield server


@in_both_ways
def the_name_is_not_answered(way):
    """The deadline ends it, and the program ends though the lookup goes on for a minute."""
    with resolver_without_answer(), Subject(way, "connect", SLOW, 300) as subject:
        subject.expect_status(0)
        subject.expect("connect", "ETIMEDOUT")


def it_is_told_to_end_while_it_looks_up():
    """It ends at once, and says what it leaves behind."""
    with resolver_without_answer() as server, \
            Subject("task", "connect", SLOW, 60000) as subject:
        server.recv(512)
        subject.process.send_signal(signal.SIGTERM)
        subject.expect_status(0)
        subject.expect("connect", "ECANCELED")
        expect("words on stderr", True,
               "left behind in calls that were given up" in subject.stderr())


# ---- Accepting ----


def the_address_is_taken(name):
    command = support.example(f"greeting/{name}")
    with Server(command) as server:
        with Process(command, server.address) as second:
            second.expect_status(1)
            for word in server.address if name == "coroutine_server" else "", "in use":
                if word not in second.stderr():
                    raise Failed(f"expected {word!r} in the words, got {second.stderr()!r}")
        greets(server)
        server.stop()


def newcomers_are_gone_before_they_are_taken(name):
    with Server(support.example(f"greeting/{name}")) as server:
        server.process.send_signal(signal.SIGSTOP)
        for _ in range(20):
            support.reset(support.connect(server.address))
        server.process.send_signal(signal.SIGCONT)
        greets(server)
        for line in server.stderr().splitlines():  # those of a server that read from them
            if not line.endswith(": Connection reset by peer"):
                raise Failed(f"expected nothing but resets in the log, got {line!r}")
        server.stop()


def accepting_finds_no_memory(name):
    """For a while; then all who waited are served."""
    command = [*STRACE, "-e", "trace=accept4", "-e", "inject=accept4:error=ENOMEM:when=1..4",
               *support.example(f"greeting/{name}")]
    with Server(command, env=TRACED) as server:
        with support.connections(server.address, 5) as socks:
            for sock in socks:
                support.converse(sock, b"Ann\r\n", ANSWER)
        if support.words_of_error(errno.ENOMEM) not in server.stderr():
            raise Failed(f"expected the shortage to be logged, got {server.stderr()!r}")
        end_traced(server)


def end_traced(server):
    """strace passes no signal on: it is sent to the program."""
    for pid, _ in support.children_of(server.pid):
        os.kill(pid, signal.SIGTERM)
    server.expect_status(0)


def operations_are_not_there(name):
    """The precise wait, and advice on guards, as on an older kernel or under an emulator."""
    command = [*STRACE, "-e", "trace=epoll_pwait2,madvise", "-e",
               "inject=epoll_pwait2:error=ENOSYS", "-e", "inject=madvise:error=EINVAL",
               *support.example(f"greeting/{name}")]
    with Server(command, env=TRACED) as server:
        with support.connections(server.address, 30) as socks:
            for sock in socks:
                support.converse(sock, b"Ann\r\n", ANSWER)
        expect("on standard error", "", server.stderr())
        end_traced(server)


CASES = [
    nobody_listens,
    a_firewall_says_nothing,
    the_backlog_is_full,
    a_firewall_says_no,
    there_is_no_way_there,
    it_is_not_permitted,
    the_system_calls_an_address_invalid,
    no_port_is_left,
    the_socket_would_meet_itself,
    the_name_is_not_answered,
    it_is_told_to_end_while_it_looks_up,
]

SERVER_CASES = [
    the_address_is_taken,
    newcomers_are_gone_before_they_are_taken,
    accepting_finds_no_memory,
    operations_are_not_there,
]


def main():
    namespaces.enter()
    reserve_ports()
    cases = support.Cases()
    for function in CASES:
        cases.run(support.words_of(function), function)
    for name in SERVERS:
        for function in SERVER_CASES:
            cases.run(f"{name} {support.words_of(function)}", function, name)
    cases.exit()


if __name__ == "__main__":
    main()
