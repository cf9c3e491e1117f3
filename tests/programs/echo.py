#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The echo server: every byte comes back, in order, however many they are and however they come."""

import asyncio
import hashlib
import random
import socket
import sys

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import MEBIBYTE, Failed, connect, connections, expect, expect_end  # noqa: E402

SERVERS = ["callback_server", "coroutine_server"]

# What a server may hold of a peer that does not read, in its memory and in all.
MOST_MEMORY = 16 * MEBIBYTE
MOST_TAKEN = 64 * MEBIBYTE

RANDOM = random.Random(7)


def sends_back_one_byte(server):
    with connect(server.address) as sock:
        for byte in b"\0", b"x", b"\xff":
            support.converse(sock, byte, byte)


def sends_back_64_KiB(server):
    data = RANDOM.randbytes(65536)
    with connect(server.address) as sock:
        support.converse(sock, data, data)


def sends_back_20_MiB_while_more_comes(server):
    data = RANDOM.randbytes(20 * MEBIBYTE)
    with connect(server.address) as sock:
        came = support.exchange(sock, data, len(data))
        expect("bytes", len(data), len(came))
        expect("SHA-256", hashlib.sha256(data).hexdigest(), hashlib.sha256(came).hexdigest())


def sends_back_all_before_the_end(server):
    for size in 0, 1, 100000:
        data = RANDOM.randbytes(size)
        with connect(server.address) as sock:
            support.last_words(sock, data, data)


def serves_50_at_once(server):
    with connections(server.address, 50) as socks:
        for number, sock in enumerate(socks):
            sock.sendall(b"%04d" % number * 2500)
        for number, sock in enumerate(socks):
            sock.shutdown(socket.SHUT_WR)
            support.expect_answer(sock, b"%04d" % number * 2500)
            expect_end(sock)


def holds_back_a_peer_that_never_reads(server):
    data = RANDOM.randbytes(65536)
    before = support.resident_bytes(server.pid)
    with connect(server.address, 4096) as reader, connect(server.address, 4096) as never:
        sent = support.send_until_blocked(reader, data, MOST_TAKEN)
        support.send_until_blocked(never, data, MOST_TAKEN)
        sends_back_one_byte(server)
        growth = support.resident_bytes(server.pid) - before
        if growth > MOST_MEMORY:
            raise Failed(f"expected at most {MOST_MEMORY} bytes of memory, got {growth}")
        support.widen(reader)
        whole, part = divmod(sent, len(data))
        reader.shutdown(socket.SHUT_WR)
        expect("after all", data * whole + data[:part], support.receive(reader, sent))
        expect_end(reader)
    sends_back_one_byte(server)


def survives_resets(server):
    with connections(server.address, 20) as socks:
        for sock in socks:
            sock.sendall(bytes(100000))
            support.reset(sock)
    sends_back_one_byte(server)


async def talk_by_asyncio(address, data):
    host, port = address.removeprefix("tcp://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(-1), support.LIMIT)
    finally:
        writer.close()


def serves_asyncio(server):
    data = RANDOM.randbytes(MEBIBYTE)
    expect("answer", data, asyncio.run(talk_by_asyncio(server.address, data)))


CASES = [
    sends_back_one_byte,
    sends_back_64_KiB,
    sends_back_20_MiB_while_more_comes,
    sends_back_all_before_the_end,
    serves_50_at_once,
    holds_back_a_peer_that_never_reads,
    survives_resets,
    serves_asyncio,
]


def has_the_descriptors_of_before(server, before):
    sends_back_one_byte(server)
    try:
        support.wait_until("the descriptors of before", lambda: server.descriptors() == before)
    except Failed:
        expect("descriptors", before, server.descriptors())


def main():
    cases = support.Cases()
    for name in SERVERS:
        with support.Server(support.example(f"echo/{name}")) as server:
            before = server.descriptors()
            for function in CASES:
                cases.run(f"{name} {support.words_of(function)}", function, server)
            cases.run(f"{name} has the descriptors of before", has_the_descriptors_of_before,
                      server, before)
            cases.run(f"{name} ends after all that", server.stop)
    cases.exit()


if __name__ == "__main__":
    main()
