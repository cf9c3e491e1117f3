#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server that runs out of descriptors: it does not spin, does not fall silent, does not talk
without end, and takes up the clients that wait as soon as there are descriptors again."""

import contextlib
import errno
import os
import resource
import selectors
import sys
import time

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import Failed, Server, expect  # noqa: E402

SERVERS = ["callback_server", "coroutine_server"]
DESCRIPTORS = 24  # the server itself has about ten
CLIENTS = 50

LOOK_SECONDS = 10 if os.environ.get("EVERT_LONG") else 1.5
MOST_CPU = 0.05  # of that time
MOST_SECONDS_TO_RESUME, TRIES = 0.1, 10
MOST_LINES = 3

ANSWER = b"Hello, Ann!\r\n"


def limit_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


class Clients:
    """Each asked for a greeting; some have it, some were refused, and the others wait."""

    def __init__(self, stack, server):
        self.server = server
        self.served, self.refused = [], []
        self.waiting = [stack.enter_context(support.connect(server.address))
                        for _ in range(CLIENTS)]
        for sock in self.waiting:
            sock.sendall(b"Ann\r\n")

    def look(self, seconds, enough=CLIENTS):
        """Sorts them by what comes, until the time is over or so many more are served."""
        end = time.monotonic() + seconds
        wanted = len(self.served) + enough
        with selectors.DefaultSelector() as selector:
            for sock in self.waiting:
                selector.register(sock, selectors.EVENT_READ)
            while len(self.served) < wanted and (left := end - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    selector.unregister(key.fileobj)
                    self.sort(key.fileobj)

    def sort(self, sock):
        self.waiting.remove(sock)
        with contextlib.suppress(ConnectionResetError):  # closed with its name unread
            answer = sock.recv(len(ANSWER))
            if answer:
                expect("answer", ANSWER, answer + support.receive(sock, len(ANSWER) - len(answer)))
                self.served.append(sock)
                return
        self.refused.append(sock)

    def close_served(self, count):
        for sock in self.served[:count]:
            sock.close()
        del self.served[:count]

    def counts(self):
        return (f"{len(self.served)} served, {len(self.refused)} refused, "
                f"{len(self.waiting)} waiting")


def serves_as_many_as_it_can(clients):
    clients.look(1)
    if len(clients.served) < 3 or len(clients.waiting) < CLIENTS / 2:
        raise Failed(f"expected a few served and most of them waiting, got {clients.counts()}")


def does_not_spin(clients):
    before, start = clients.server.cpu_seconds(), time.monotonic()
    clients.look(LOOK_SECONDS)
    share = (clients.server.cpu_seconds() - before) / (time.monotonic() - start)
    print(f"# {share:.1%} of a processor in {LOOK_SECONDS} s; {clients.counts()}")
    if share >= MOST_CPU:
        raise Failed(f"expected less than {MOST_CPU:.0%} of a processor, got {share:.1%}")


def refuses_few(clients):
    """The descriptor in reserve is for the first of a shortage; the others had better wait."""
    if len(clients.refused) > 2:
        raise Failed(f"expected one refused, or two, got {clients.counts()}")


def resumes_when_some_close(clients):
    """At once; on a machine that does other things too, in one of some tries."""
    took = []
    while len(took) < TRIES and min(took, default=support.LIMIT) > MOST_SECONDS_TO_RESUME:
        before = len(clients.served) - 1
        start = time.monotonic()
        clients.close_served(1)
        clients.look(support.LIMIT, enough=1)
        took.append(time.monotonic() - start)
        if len(clients.served) <= before:
            raise Failed(f"expected the next one to be served, got {clients.counts()}")
    print(f"# the next one was served after {min(took) * 1000:.0f} ms; {clients.counts()}")
    if min(took) > MOST_SECONDS_TO_RESUME:
        raise Failed(f"expected the next one to be served within {MOST_SECONDS_TO_RESUME} s, "
                     f"got {', '.join(f'{seconds:.3f}' for seconds in took)}")


def serves_all_in_the_end(clients):
    end = time.monotonic() + 20
    while clients.waiting and time.monotonic() < end:
        clients.close_served(len(clients.served))
        clients.look(0.2)
    if clients.waiting or len(clients.refused) > CLIENTS / 5:
        raise Failed(f"expected nearly all to be served, none to wait, got {clients.counts()}")


def still_listens(clients):
    clients.close_served(len(clients.served))
    with support.connect(clients.server.address) as sock:
        support.last_words(sock, b"Ann\r\n", ANSWER)


def speaks_of_it_once(clients):
    text = clients.server.stderr()
    lines = text.splitlines()
    if not 1 <= len(lines) <= MOST_LINES or support.words_of_error(errno.EMFILE) not in lines[0]:
        raise Failed(f"stderr: expected 1 to {MOST_LINES} lines of the shortage, got {text!r}")
    if clients.server.address not in lines[0]:
        raise Failed(f"stderr: expected it to name {clients.server.address}, got {text!r}")


CASES = [
    serves_as_many_as_it_can,
    does_not_spin,
    refuses_few,
    resumes_when_some_close,
    serves_all_in_the_end,
    still_listens,
    speaks_of_it_once,
]


def run_all(cases, name):
    with contextlib.ExitStack() as stack:
        command = support.example(f"greeting/{name}")
        server = stack.enter_context(Server(command, preexec_fn=limit_descriptors))
        clients = Clients(stack, server)
        for function in CASES:
            cases.run(f"{name} {support.words_of(function)}", function, clients)
        cases.run(f"{name} ends after all that", server.stop)


def main():
    cases = support.Cases()
    for name in SERVERS:
        run_all(cases, name)
    cases.exit()


if __name__ == "__main__":
    main()
