#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every greeting client with every greeting server, over every kind of address, and with peers
that know nothing of Evert; then what clients say of failures, and how servers end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import LIMIT, Failed, Process, Server, example, expect, foreign  # noqa: E402

SERVERS = {
    "process_server": example("greeting/process_server"),
    "thread_server": example("greeting/thread_server"),
    "callback_server": example("greeting/callback_server"),
    "coroutine_server": example("greeting/coroutine_server"),
    "mixed_server": example("greeting/mixed_server"),
}
CLIENTS = {
    "blocking_client": example("greeting/blocking_client"),
    "callback_client": example("greeting/callback_client"),
    "inline_client": example("greeting/inline_client"),
    "coroutine_client": example("greeting/coroutine_client"),
    "everted_client": example("greeting/everted_client"),
}
FOREIGN_SERVERS = {name: foreign(f"{name}.py") for name in ("asyncio_server", "twisted_server")}
FOREIGN_CLIENTS = {name: foreign(f"{name}.py") for name in ("asyncio_client", "twisted_client")}

# The servers of plain sockets, which know nothing of Evert.
ON_PLAIN_SOCKETS = ["process_server", "thread_server"]

# The clients that are Evert's own and ask once for each name.
ON_EVERT = ["callback_client", "inline_client", "coroutine_client"]

TRANSPORTS = {
    "ipv4": "tcp://127.0.0.1:0",
    "ipv6": "tcp://[::1]:0",
    "name": "tcp://localhost:0",
    "unix": "unix://{folder}/s",
}

NAMES = [b"World", b"", b"two words", "Zo\u00eb".encode(), b"\xff\xfe", b"lone \r CR",
         b"lone \n LF", b"x" * 1024]

# How long a client may take, a thousand connections included; and a server that is told to end,
# which gives peers that do not close on their side two seconds.
CLIENT_LIMIT = 30
SERVER_END_LIMIT = 5


# ---- All with all ----


def names_for(client):
    return NAMES[:1] if client == "everted_client" else NAMES


def printed_by(client):
    lines = b"".join(b"Hello, " + name + b"!\n" for name in names_for(client))
    return lines + (b"1000 at once: 1000 right\n" if client == "everted_client" else b"")


def greets(client, process):
    process.expect_status(0, CLIENT_LIMIT)
    expect(f"output of {client}", printed_by(client), process.stdout())
    expect(f"stderr of {client}", "", process.stderr())


def address_for_clients(server, transport):
    if transport == "name":
        return "tcp://localhost:" + server.address.rpartition(":")[2]
    return server.address


def all_clients_at_once(cases, server, transport, clients):
    address = address_for_clients(server, transport)
    with contextlib.ExitStack() as stack:
        running = {client: stack.enter_context(Process(command, address, *names_for(client)))
                   for client, command in clients.items()}
        for client, process in running.items():
            cases.run(f"{client} and {server.name} over {transport}", greets, client, process)


def comes_over(transport, client, server):
    """Each client comes over each kind of address to one server. Of two there is less with the
    others: the thousand connections of the everted client leave as many local ports in use for a
    minute, and there are only so many for all tests; and a Python takes a second to begin."""
    if server == "coroutine_server" or transport == "ipv4":
        return True
    if client in FOREIGN_CLIENTS:
        return transport == "unix" and server not in ON_PLAIN_SOCKETS
    return client != "everted_client"


def clients_over(transport, server, clients):
    return {client: command for client, command in clients.items()
            if comes_over(transport, client, server)}


def all_with_all(cases, servers, clients):
    for name, command in servers.items():
        for transport, address in TRANSPORTS.items():
            with tempfile.TemporaryDirectory() as folder, \
                 Server(command, address.format(folder=folder)) as server:
                all_clients_at_once(cases, server, transport,
                                    clients_over(transport, name, clients))
                server.stop()


# ---- Clients that fail ----


def fails(client, address, *words):
    with Process(CLIENTS[client], address, "World") as process:
        expect_failure(process, *words)


def expect_failure(process, *words):
    process.expect_status(1)
    expect("output", b"", process.stdout())
    for word in words:
        if word not in process.stderr():
            raise Failed(f"stderr: expected {word!r} in it, got {process.stderr()!r}")
    expect("lines on stderr", 1, process.stderr().count("\n"))


def on_a_refused_port(client):
    with socket.socket() as bound:  # but it does not listen
        bound.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        fails(client, address, address, "Connection refused")


def on_a_refused_path(client):
    with tempfile.TemporaryDirectory() as folder:
        fails(client, f"unix://{folder}/none", f"{folder}/none", "No such file")


def on_an_unknown_scheme(client):
    fails(client, "ftp://127.0.0.1:1", "ftp://127.0.0.1:1")


def on_an_unknown_host(client):
    fails(client, "tcp://nowhere.invalid:1", "nowhere.invalid")


def without_arguments(client):
    with Process(CLIENTS[client]) as process:
        expect_failure(process, "usage: ")


def serve_once(client, answer, last=socket.socket.close):
    """Runs a client with a server that answers so. Gives the client, still running."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        listener.settimeout(support.LIMIT)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        process = stack.enter_context(Process(CLIENTS[client], address, "World"))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(support.LIMIT)
            expect("request", b"World\r\n", support.receive(connection, 7))
            connection.sendall(answer)
            last(connection)
        stack.pop_all()
        return process


def on_an_answer_that_is_no_greeting(client):
    with serve_once(client, b"error: name too long\r\n") as process:
        expect_failure(process)


def on_the_end_without_an_answer(client):
    with serve_once(client, b"") as process:
        expect_failure(process)


def on_the_end_in_mid_answer(client):
    with serve_once(client, b"Hello, Wor") as process:
        expect_failure(process)


def on_a_reset_without_an_answer(client):
    with serve_once(client, b"", support.reset) as process:
        expect_failure(process, "reset")


def takes_the_greeting_before_a_reset(client):
    with serve_once(client, b"Hello, World!\r\n", support.reset) as process:
        process.expect_status(0)
        expect("output", b"Hello, World!\n", process.stdout())


FAILURES = [on_a_refused_port, on_a_refused_path, on_an_unknown_scheme, on_an_unknown_host,
            without_arguments, on_an_answer_that_is_no_greeting, on_the_end_without_an_answer,
            on_the_end_in_mid_answer, on_a_reset_without_an_answer]


def ends_with_1_with_nobody_to_tell():
    """Standard error is a pipe that nobody reads: no reason to end by a signal."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run([*CLIENTS["coroutine_client"], "tcp://nowhere.invalid:1", "World"],
                               stdout=subprocess.PIPE, stderr=writer, timeout=LIMIT, check=False)
    finally:
        os.close(writer)
    expect("status", 1, ended.returncode)
    expect("output", b"", ended.stdout)


def clients_that_fail(cases):
    for client in CLIENTS:
        for failure in FAILURES:
            cases.run(f"{client} fails {support.words_of(failure)}", failure, client)
    for client in ON_EVERT:
        cases.run(f"{client} takes the greeting before a reset",
                  takes_the_greeting_before_a_reset, client)
    cases.run("coroutine_client ends with 1 with nobody to tell", ends_with_1_with_nobody_to_tell)


# ---- Servers that are told to end ----


class Ending:
    """A server with connections that is to end; many end at the same time."""

    def __init__(self, stack, server, transport, connections, in_mid_name):
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address = TRANSPORTS[transport].format(folder=folder)
        self.server = stack.enter_context(Server(SERVERS[server], address))
        self.peers = stack.enter_context(support.connections(self.server.address, connections))
        for peer in self.peers:
            support.converse(peer, b"World\r\n", b"Hello, World!\r\n")
            peer.sendall(b"Wor" if in_mid_name else b"")

    def check(self):
        self.server.expect_end(0, SERVER_END_LIMIT)
        for peer in self.peers:
            self.expect_end_or_reset(peer)

    @staticmethod
    def expect_end_or_reset(peer):
        """A process that is killed with input unread resets the connection."""
        with contextlib.suppress(ConnectionResetError):
            expect("after the greeting, the end", b"", peer.recv(1))


ENDINGS = {
    "with no connections": (0, False),
    "with idle connections": (20, False),
    "with names half sent": (20, True),
}


def servers_that_end(cases):
    with contextlib.ExitStack() as stack:
        endings = {}
        for server in SERVERS:
            for words, (count, in_mid_name) in ENDINGS.items():
                for transport in ("ipv4", "unix"):
                    name = f"{server} over {transport} ends {words}"
                    endings[name] = Ending(stack, server, transport, count, in_mid_name)
        for ending in endings.values():
            ending.server.tell(signal.SIGTERM)
        for name, ending in endings.items():
            cases.run(name, ending.check)


def ends_with_130_when_interrupted():
    with Server(SERVERS["coroutine_server"]) as server:
        server.stop(signal.SIGINT, 130)


def ends_at_once_at_the_second_signal():
    with Server(SERVERS["coroutine_server"]) as server, support.connect(server.address) as peer:
        support.converse(peer, b"World\r\n", b"Hello, World!\r\n")
        server.tell(signal.SIGTERM)
        support.expect_end(peer)  # our side stays open, so the server waits
        server.stop(signal.SIGTERM, -signal.SIGTERM, 1)


def main():
    cases = support.Cases()
    support.own_network()  # with all of its ports: by name a client may come to another's server
    all_with_all(cases, SERVERS, CLIENTS | FOREIGN_CLIENTS)
    all_with_all(cases, FOREIGN_SERVERS, CLIENTS)
    clients_that_fail(cases)
    servers_that_end(cases)
    for function in ends_with_130_when_interrupted, ends_at_once_at_the_second_signal:
        cases.run(f"coroutine_server {support.words_of(function)}", function)
    cases.exit()


if __name__ == "__main__":
    os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"  # where no name server answers
    main()
