#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many greeting clients in one process, each of a kind by chance:

    soak_client.py SEED COUNT ADDRESS...

Some ask and think, some send letter by letter, some say nothing, some ask much at once, some end
their side, some do not read, some are rude: they reset, in the middle of a name or of answers. Each
that ends is followed by another one. Every byte of each answer is checked, and none may take long.
Whoever is connected waits for a line on standard input. Prints "all are there" once COUNT have
connected, goes on until standard input ends, and then prints what there was, by kinds; the status
is 1 when anything was wrong.
"""

import collections
import contextlib
import errno
import heapq
import itertools
import os
import random
import select
import socket
import struct
import sys
import time

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
START = None
IP_BIND_ADDRESS_NO_PORT = 24
LIMIT = 60  # seconds for any answer, on a machine that has much else to do
NAME_LIMIT = 1024
ACTIONS_A_SECOND = 400  # of all clients here, as a goal


class Wrong(Exception):
    pass


class Client:
    """A generator that yields what it waits for: START, READ or WRITE, or so many seconds."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.sock.bind((world.source, 0))
        self.steps = kind(self)
        self.turn = 0  # tells the entry in the world's heap that counts from earlier ones

    # ---- What kinds are made of ----

    def connect(self):
        rc = self.sock.connect_ex(self.world.random.choice(self.world.addresses))
        if rc == errno.EINPROGRESS:
            yield WRITE
            rc = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if rc != 0:
            raise Wrong(f"connect: {errno.errorcode[rc]}")
        self.world.connected += 1
        if not self.world.started:
            yield START

    def think(self, share=1.0):
        yield self.world.random.expovariate(1 / (share * self.world.think))

    def send(self, data):
        while data:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                yield WRITE

    def receive(self, size):
        came = bytearray()
        while len(came) < size:
            try:
                piece = self.sock.recv(size - len(came))
            except BlockingIOError:
                yield READ
                continue
            if not piece:
                break
            came += piece
        return bytes(came)

    def expect(self, wanted):
        came = yield from self.receive(len(wanted))
        if came != wanted:
            raise Wrong(f"expected {wanted[:60]!r} ({len(wanted)} bytes), got {came[:60]!r} "
                        f"({len(came)} bytes)")

    def expect_end(self):
        came = yield from self.receive(1)
        if came:
            raise Wrong(f"expected the end, got {came!r}")

    def batch(self, *counts):
        """So many names, and the answers."""
        chance = self.world.random
        return chance.choice(self.world.batches[chance.choice(counts)])

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


LETTERS = bytes(97 + byte % 26 for byte in range(256))


def make_batch(chance, count):
    names = [chance.randbytes(chance.choice((0, 3, 10, 40))).translate(LETTERS)
             for _ in range(count)]
    return (b"".join(name + b"\r\n" for name in names),
            b"".join(b"Hello, " + name + b"!\r\n" for name in names))


# ---- The kinds ----


def asks_and_thinks(c):
    yield from c.connect()
    for _ in range(c.world.random.randrange(1, 8)):
        data, wanted = c.batch(1)
        yield from c.send(data)
        yield from c.expect(wanted)
        yield from c.think()


def sends_letter_by_letter(c):
    yield from c.connect()
    data, wanted = c.batch(1)
    for at in range(len(data)):
        yield from c.send(data[at:at + 1])
        yield from c.think(0.1)
    yield from c.expect(wanted)


def says_nothing(c):
    yield from c.connect()
    yield from c.think(4)


def asks_much_at_once(c):
    yield from c.connect()
    for _ in range(c.world.random.randrange(1, 4)):
        data, wanted = c.batch(5, 16, 100, 700)
        yield from c.send(data)
        yield from c.expect(wanted)
        yield from c.think()


def ends_its_side(c):
    yield from c.connect()
    data, wanted = c.batch(0, 1, 16)
    yield from c.send(data)
    c.sock.shutdown(socket.SHUT_WR)
    yield from c.think(0.3)
    yield from c.expect(wanted)
    yield from c.expect_end()


def has_too_long_a_name(c):
    yield from c.connect()
    yield from c.send(b"x" * (NAME_LIMIT + c.world.random.randrange(1, 3000)) + b"\r\n")
    yield from c.expect(b"error: name too long\r\n")
    c.sock.shutdown(socket.SHUT_WR)
    yield from c.expect_end()


def reads_late(c):
    yield from c.connect()
    data, wanted = c.batch(3000)
    came = bytearray()
    for turn in itertools.count():
        with contextlib.suppress(BlockingIOError):
            while data:
                data = data[c.sock.send(data):]
        if turn < 4:
            yield from c.think(0.3)
            continue
        with contextlib.suppress(BlockingIOError):
            while piece := c.sock.recv(len(wanted) - len(came)):
                came += piece
        if len(came) >= len(wanted):
            break
        yield READ | (WRITE if data else 0)
    if came != wanted:
        raise Wrong(f"expected {len(wanted)} bytes, got others")


def resets_in_mid_name(c):
    yield from c.connect()
    yield from c.send(c.batch(5)[0] + b"half a na")
    yield from c.think(0.3)
    c.reset()


def resets_without_reading(c):
    yield from c.connect()
    yield from c.send(c.batch(100)[0])
    c.reset()


def goes_in_mid_name(c):
    yield from c.connect()
    yield from c.send(b"half a na")
    yield from c.think(0.3)


KINDS = {asks_and_thinks: 10, sends_letter_by_letter: 2, says_nothing: 4, asks_much_at_once: 3,
         ends_its_side: 2, has_too_long_a_name: 1, reads_late: 1, resets_in_mid_name: 1,
         resets_without_reading: 1, goes_in_mid_name: 1}


# ---- All of them ----


class World:
    def __init__(self, seed, count, addresses):
        self.random = random.Random(seed)
        self.source = f"127.0.1.{seed % 250 + 1}"  # with ports of its own
        self.addresses = addresses
        self.count = count
        self.batches = {size: [make_batch(self.random, size) for _ in range(20)]
                        for size in (0, 1, 5, 16, 100, 700, 3000)}
        self.think = max(0.2, count / ACTIONS_A_SECOND)
        self.poller = select.epoll()
        self.poller.register(0, select.EPOLLIN)
        self.clients = {}
        self.heap, self.order = [], itertools.count()
        self.kinds, self.wrong = collections.Counter(), []
        self.connected = 0  # in all
        self.told = False
        self.started, self.waiting = False, []

    def begin(self):
        kind, = self.random.choices(list(KINDS), KINDS.values())
        client = Client(self, kind)
        self.clients[client.sock.fileno()] = client
        self.poller.register(client.sock, 0)
        self.step(client)

    def step(self, client, late=False):
        number = client.sock.fileno()
        try:
            if late:
                raise Wrong(f"nothing came for {LIMIT} s")
            wanted = next(client.steps)
        except StopIteration:
            self.kinds[client.kind.__name__] += 1
        except (Wrong, OSError) as error:
            self.wrong.append(f"{client.kind.__name__}: {error}")
        else:
            self.wait(client, wanted)
            return
        del self.clients[number]
        client.sock.close()

    def start(self):
        self.started = True
        for client in self.waiting:
            self.step(client)
        self.waiting = []

    def wait(self, client, wanted):
        client.turn += 1
        if wanted is START:
            self.waiting.append(client)
            return
        if isinstance(wanted, int):
            self.poller.modify(client.sock, wanted | select.EPOLLONESHOT)
            when, late = time.monotonic() + LIMIT, True
        else:
            when, late = time.monotonic() + wanted, False
        heapq.heappush(self.heap, (when, next(self.order), client, client.turn, late))

    def run(self):
        is_over = False
        while not is_over and len(self.wrong) < 20:
            now = time.monotonic()
            for _ in range(min(50, self.count - len(self.clients))):
                self.begin()
            if not self.told and self.connected >= self.count:
                self.told = True
                print("all are there", flush=True)
            while self.heap and self.heap[0][0] <= now:
                _, _, client, turn, late = heapq.heappop(self.heap)
                if client.turn == turn and client.sock.fileno() >= 0:
                    self.step(client, late)
            short = len(self.clients) < self.count
            wait = 0 if short else max(0, self.heap[0][0] - now) if self.heap else None
            for number, _ in self.poller.poll(wait, 512):
                if number in self.clients:
                    self.step(self.clients[number])
                elif number == 0:
                    is_over = not os.read(0, 100)
                    self.start()

    def leave(self):
        for client in self.clients.values():
            if self.random.random() < 0.5:
                client.reset()
            client.sock.close()


def main(seed, count, *addresses):
    pairs = [(host, int(port)) for host, _, port in
             (address.removeprefix("tcp://").rpartition(":") for address in addresses)]
    world = World(int(seed), int(count), pairs)
    world.run()
    world.leave()
    for words in world.wrong:
        print(f"wrong: {words}")
    print(" ".join(f"{kind}={number}" for kind, number in sorted(world.kinds.items())))
    return 1 if world.wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
