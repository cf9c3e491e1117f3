#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The file server and the relay: every byte, in order, and nothing that was not to be had."""

import os
import random
import socket
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import MEBIBYTE, connect, connections, expect, expect_end  # noqa: E402

RANDOM = random.Random(11)

REFUSED = b"error: no such file\r\n"
FILES = {"empty": b"", "small": RANDOM.randbytes(700), "page": RANDOM.randbytes(16385),
         "large": RANDOM.randbytes(20 * MEBIBYTE)}


def fill(folder):
    for name, data in FILES.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    os.mkdir(os.path.join(folder, "folder"))
    os.symlink("/etc/passwd", os.path.join(folder, "link"))
    os.mkfifo(os.path.join(folder, "pipe"))


def answer_of(data):
    return f"{len(data)}\r\n".encode() + data


def sends_each_file(server):
    with connect(server.address) as sock:
        for name, data in FILES.items():
            answer = answer_of(data)
            came = support.exchange(sock, name.encode() + b"\r\n", len(answer))
            expect(name, answer, bytes(came))


def sends_many_at_once(server):
    names = list(FILES) * 5
    with connections(server.address, len(names)) as socks:
        for sock, name in zip(socks, names):
            sock.sendall(name.encode() + b"\r\n")
        for sock, name in reversed(list(zip(socks, names))):
            support.expect_answer(sock, answer_of(FILES[name]))


def sends_what_is_asked_for_in_one_go(server):
    with connect(server.address) as sock:
        sock.sendall(b"small\r\nnone\r\npage\r\n")
        sock.shutdown(socket.SHUT_WR)
        support.expect_answer(sock, answer_of(FILES["small"]) + REFUSED + answer_of(FILES["page"]))
        expect_end(sock)


def sends_nothing_from_elsewhere(server):
    with connect(server.address) as sock:
        for name in (b"", b".", b"..", b"../passwd", b"/etc/passwd", b"folder", b"link", b"pipe",
                     b"small\0", b"folder/../small", b"none"):
            support.converse(sock, name + b"\r\n", REFUSED)


def survives_peers_that_go(server):
    with connections(server.address, 20) as socks:
        for sock in socks:
            sock.sendall(b"large\r\n")
            support.reset(sock)
    sends_what_is_asked_for_in_one_go(server)


FILE_CASES = [
    sends_each_file,
    sends_many_at_once,
    sends_what_is_asked_for_in_one_go,
    sends_nothing_from_elsewhere,
    survives_peers_that_go,
]


def relays_greetings(relay):
    with connect(relay.address) as sock:
        for name in b"World", b"Ada":
            support.converse(sock, name + b"\r\n", b"Hello, " + name + b"!\r\n")


def relays_the_end(relay):
    with connect(relay.address) as sock:
        support.last_words(sock, b"World\r\n", b"Hello, World!\r\n")


def relays_many_at_once(relay):
    with connections(relay.address, 50) as socks:
        for sock in socks:
            sock.sendall(b"World\r\n" * 100)
        for sock in socks:
            support.expect_answer(sock, b"Hello, World!\r\n" * 100)


def relays_20_MiB_while_more_comes(relay):
    data = RANDOM.randbytes(20 * MEBIBYTE)
    with connect(relay.address) as sock:
        expect("bytes", data, bytes(support.exchange(sock, data, len(data))))


def survives_resets(relay):
    with connections(relay.address, 20) as socks:
        for sock in socks:
            sock.sendall(bytes(100000))
            support.reset(sock)


def has_the_descriptors_of_before(server, before):
    support.wait_until("the descriptors of before",
                       lambda: len(server.descriptors()) <= len(before))


def main():
    cases = support.Cases()
    with tempfile.TemporaryDirectory() as folder:
        fill(folder)
        with support.Server([*support.example("share/file_server"), folder]) as server:
            before = server.descriptors()
            for function in FILE_CASES:
                cases.run(f"file_server {support.words_of(function)}", function, server)
            cases.run("file_server has the descriptors of before", has_the_descriptors_of_before,
                      server, before)
            cases.run("file_server ends after all that", server.stop)
    for behind, functions in (("greeting", [relays_greetings, relays_the_end, relays_many_at_once]),
                              ("echo", [relays_20_MiB_while_more_comes, survives_resets,
                                        relays_20_MiB_while_more_comes])):
        with support.Server(support.example(f"{behind}/coroutine_server")) as server, \
                support.Server([*support.example("relay/relay_server"), server.address]) as relay:
            for number, function in enumerate(functions):
                again = " again" if function in functions[:number] else ""
                cases.run(f"relay_server {support.words_of(function)}{again}", function, relay)
            cases.run(f"relay_server before {behind} ends after all that", relay.stop)
    cases.exit()


if __name__ == "__main__":
    main()
