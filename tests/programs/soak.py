#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Greeting servers and thousands of clients of every kind, for a while: slow, silent, late, rude,
and whole processes of them that are killed (soak_client.py). Afterwards a server has as many
descriptors as before, and what the library has allocated is what it had, but for what its pools
keep; it does not use the processor, answers, and ends in order.

    SOAK_SECONDS, SOAK_COUNT    how long, and how many connections at once
"""

import contextlib
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import BUILD, Failed, Server, comment, expect, wait_until  # noqa: E402

LONG = os.environ.get("EVERT_LONG") == "1"
SANITIZED = os.environ.get("EVERT_SANITIZE", "none") != "none"
MANY = LONG and not SANITIZED and os.environ.get("EVERT_BACKEND", "epoll") == "epoll"
SECONDS = float(os.environ.get("SOAK_SECONDS") or (20 if LONG else 4))
COUNT = int(os.environ.get("SOAK_COUNT") or (15_000 if MANY else 600))
SEED = int(os.environ.get("EVERT_SEED") or random.randrange(1 << 31))

PROCESSES = 6  # of clients, each of so many more than their share as come and go at any time:
SHARE = COUNT * 5 // 4 // PROCESSES
SERVERS = ["coroutine_server", "callback_server", "mixed_server"]

# What may be more than before, after all is over: tables that grow with what there is at once,
# chunks and connections that each loop keeps, and memory of the system, in which malloc has holes.
MOST_IN_TABLES = 64 * COUNT
MOST_KEPT = 256  # of each
MOST_MEMORY = 32 << 20
MOST_CPU = 0.05
ARRIVED = 120  # seconds, on a machine that has much else to do
SETTLED = 60  # seconds: closing goes on for two where the peer is silent, unmapping goes in batches

# What servers may log: their handlers' failures that such clients are bound to cause.
LOGGED = re.compile(r".*: (Connection reset by peer|Broken pipe|Longer than the limit"
                    r"|The stream ended too early)$")


def byte_order(program):
    """That of the machine it was built for, as the module struct has it."""
    with open(program, "rb") as file:
        return "<" if file.read(6)[5] == 1 else ">"


class CountedServer(Server):
    """A server whose allocations are counted by counted.c."""

    def __init__(self, stack, name):
        self.counts_file = stack.enter_context(tempfile.NamedTemporaryFile())
        self.counts_file.write(bytes(32))
        self.counts_file.flush()
        environment = os.environ | {
            "LD_PRELOAD": os.path.join(BUILD, "tests/libcounted.so"),
            "EVERT_COUNTED": self.counts_file.name,
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        command = support.example(f"greeting/{name}")
        self.order = byte_order(command[-1])
        super().__init__(command, env=environment)
        self.idle = len(self.descriptors())

    def counts(self):
        """(blocks, their bytes, chunks, connections) that the library holds now."""
        return struct.unpack(self.order + "qqqq", os.pread(self.counts_file.fileno(), 32, 0))

    def memory(self):
        """(mapped, resident) bytes."""
        with open(f"/proc/{self.pid}/statm", "rb") as file:
            pages = file.read().split()[:2]
        return tuple(int(number) * os.sysconf("SC_PAGE_SIZE") for number in pages)

    def state(self):
        blocks, size, chunks, connections = self.counts()
        return (f"{len(self.descriptors())} descriptors, {blocks} blocks of {size} bytes, "
                f"{chunks} chunks, {connections} connections, {self.memory()[0] >> 20} MiB mapped, "
                f"{self.memory()[1] >> 10} KiB resident")


class Clients(support.Process):
    """A process of clients, told by its standard input to start, and by the end of it to end."""

    def __init__(self, seed, addresses):
        command = [support.PYTHON, "-B",
                   os.path.join(support.SOURCE, "tests/programs/soak_client.py")]
        reader, self.writer = os.pipe()
        with open(reader, "rb") as stdin:
            super().__init__(command, str(seed), str(SHARE), *addresses, stdin=stdin)

    def __exit__(self, *arguments):
        self.leave()
        super().__exit__(*arguments)

    def start(self):
        os.write(self.writer, b"start\n")

    def leave(self):
        if self.writer is not None:
            os.close(self.writer)
        self.writer = None

    def expect_all_there(self):
        wait_until(f"all clients of {self} to be connected",
                   lambda: self.stdout() or self.process.poll() is not None, ARRIVED)

    def finish(self):
        self.leave()
        status = self.wait(SETTLED)
        said = self.stdout().decode()
        comment(said)
        if status != 0 or "all are there" not in said:
            raise Failed(f"clients of seed {SEED}: status {status}, {said[:2000]!r}, "
                         f"{self.stderr()[-2000:]!r}")


class Crowd:
    """Processes of clients; some are killed, and others take their place."""

    def __init__(self, stack, servers):
        self.stack, self.addresses = stack, [server.address for server in servers]
        self.running, self.begun = [], 0
        for _ in range(PROCESSES):
            self.begin_one()
        for clients in self.running:
            clients.expect_all_there()

    def begin_one(self):
        self.begun += 1
        self.running.append(self.stack.enter_context(Clients(SEED + self.begun, self.addresses)))
        return self.running[-1]

    def kill_one(self):
        clients = self.running.pop(0)
        if clients.process.poll() is not None:
            clients.finish()  # which says why it has ended
        clients.process.send_signal(signal.SIGKILL)
        clients.wait()

    def finish(self):
        for clients in self.running:
            clients.finish()


def connections(servers):
    return sum(len(server.descriptors()) - server.idle for server in servers)


def run_crowd(servers, seconds, kills):
    with contextlib.ExitStack() as stack:
        crowd = Crowd(stack, servers)
        wait_until(f"{COUNT} connections", lambda: connections(servers) >= COUNT, ARRIVED)
        comment(f"{connections(servers)} connections at once")
        for clients in crowd.running:
            clients.start()
        begun = time.monotonic()
        for i in range(kills + 1):
            if i > 0:
                crowd.kill_one()
                crowd.begin_one().start()
            time.sleep(max(0, begun + seconds * (i + 1) / (kills + 1) - time.monotonic()))
        for clients in crowd.running:
            clients.expect_all_there()
        crowd.finish()


class Soak:
    def __init__(self, stack):
        self.servers = [stack.enter_context(CountedServer(stack, name)) for name in SERVERS]
        self.idle_descriptors = [server.descriptors() for server in self.servers]

    def settle(self):
        """Waits until nobody is connected any more."""
        for server, idle in zip(self.servers, self.idle_descriptors):
            wait_until(f"{server} to have its {len(idle)} descriptors",
                       lambda s=server, i=idle: len(s.descriptors()) == len(i), SETTLED)

    def warm_up(self):
        """What pools and tables grow to, they grow to with the first crowd."""
        run_crowd(self.servers, SECONDS / 4, 1)
        self.settle()
        self.memory = [self.settled_memory(server) for server in self.servers]
        self.before = [server.counts() for server in self.servers]
        for server in self.servers:
            comment(f"{server.name} before: {server.state()}")

    def run(self):
        run_crowd(self.servers, SECONDS, max(2, int(SECONDS / 8)))
        self.settle()
        self.memory_after = [self.settled_memory(server) for server in self.servers]

    @staticmethod
    def settled_memory(server):
        """(mapped, resident) bytes, once they do not shrink any more. Stacks are mapped memory."""
        least, since = server.memory(), time.monotonic()
        end = since + SETTLED
        while time.monotonic() < min(end, since + 1):
            time.sleep(0.1)
            if server.memory() < least:
                least, since = server.memory(), time.monotonic()
        return least

    def descriptors_are_those_before(self):
        for server, idle in zip(self.servers, self.idle_descriptors):
            expect(f"descriptors of {server.name}", idle, server.descriptors())

    def allocations_are_those_before(self):
        for server, before in zip(self.servers, self.before):
            comment(f"{server.name} after: {server.state()}")
            blocks, size, chunks, connections = server.counts()
            expect(f"blocks that {server.name} holds", before[0], blocks)
            if size > before[1] + MOST_IN_TABLES:
                raise Failed(f"{server.name} holds {size} bytes, {before[1]} before")
            if max(chunks, connections) > MOST_KEPT:
                raise Failed(f"{server.name} holds {chunks} chunks, {connections} connections")

    def memory_is_that_before(self):
        for server, before, now in zip(self.servers, self.memory, self.memory_after):
            if SANITIZED:  # freed memory stays resident there for a while, on purpose
                now, before = now[:1], before[:1]
            if any(new > old + MOST_MEMORY for new, old in zip(now, before)):
                raise Failed(f"{server.name}: {now} bytes mapped (and resident), {before} before")

    def servers_are_idle(self):
        before = [server.cpu_seconds() for server in self.servers]
        time.sleep(1)
        for server, seconds in zip(self.servers, before):
            if server.cpu_seconds() - seconds > MOST_CPU:
                raise Failed(f"{server.name}: {server.cpu_seconds() - seconds} s of a processor "
                             "in a second without clients")

    def servers_answer(self):
        for server in self.servers:
            with support.connect(server.address) as sock:
                support.last_words(sock, b"Ann\r\n", b"Hello, Ann!\r\n")

    def servers_say_what_was_to_be_expected(self):
        for server in self.servers:
            said = os.pread(server.err.fileno(), 64 << 20, 0).decode(errors="replace").splitlines()
            comment(f"{server.name}: {len(said)} lines on stderr")
            strange = [line for line in said if not LOGGED.match(line)]
            if strange:
                raise Failed(f"{server.name}: {len(strange)} lines on stderr such as {strange[:5]}")

    def servers_end_in_order(self):
        for server in self.servers:
            server.stop()
            expect(f"what {server.name} holds in the end", (0, 0, 0, 0), server.counts())


def main():
    support.own_network()
    support.CASE_LIMIT = int(2 * SECONDS) + 300
    needed = COUNT + 200  # should all be with one server
    if support.raise_descriptor_limit() < needed:
        comment(f"a process may have fewer than {needed} descriptors: servers may run out of them")
    comment(f"{COUNT} connections for {SECONDS} s, seed {SEED}")
    cases = support.Cases()
    with contextlib.ExitStack() as stack:
        soak = Soak(stack)
        for function in (
                soak.warm_up, soak.run, soak.descriptors_are_those_before,
                soak.allocations_are_those_before, soak.memory_is_that_before,
                soak.servers_are_idle, soak.servers_answer,
                soak.servers_say_what_was_to_be_expected, soak.servers_end_in_order):
            cases.run(support.words_of(function), function)
    cases.exit()


if __name__ == "__main__":
    main()
