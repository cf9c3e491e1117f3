#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the measurements are made with: the raw servers keep the contract of those that they stand
beside, and the load finds out wrong answers."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import Server, converse, expect, last_words  # noqa: E402

sys.path.insert(0, os.path.join(support.SOURCE, "bench"))
import rows  # noqa: E402
import servers  # noqa: E402
from measuring import load_command  # noqa: E402
from servers import PROGRAMS, RAW, RAW_URING  # noqa: E402

SECONDS = 0.05
LIMIT = 1024
MOST_HELD = 64 * support.MEBIBYTE  # bytes that a server which holds its peer back may take


def built(path):
    return [os.path.join(support.BUILD, path)]


def load(program, *addresses, **options):
    """Gives the status, the slices, and how many errors there were."""
    command = load_command(*built(program), addresses, {"seconds": SECONDS, **options})
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    *slices, end = map(json.loads, done.stdout.splitlines())
    return done.returncode, slices, end["errors"]


# ---- The loads ----


def expect_load(program, server, **options):
    status, slices, errors = load(program, server.address, pid=server.pid, **options)
    expect("status, errors, slices", (0, 0, 1), (status, errors, len(slices)))
    for what in ("requests", "per_second", "cpu_ns"):
        expect(f"{what} of {options}", True, slices[0][what] > 0)


def serves_its_row(row, program):
    with Server(built(program)) as server:
        expect_load(row.load, server, **row.options)
        expect_load(row.load, server, **row.options, rate=200)
        server.stop()


def serves_the_others_beside_a_busy_one(program):
    with Server(built(program)) as server:
        expect_load("bench/load", server, connections=20, busy=True)
        expect_load("bench/load", server, connections=20, busy=True, rate=500)
        status, slices, errors = load("bench/load", server.address, connections=20, busy=True,
                                      rate=500, pid=server.pid, **{"paced-sets": 2})
        server.stop()
    expect("status, errors", (0, 0), (status, errors))
    expect("without, with", [0, 1, 1, 0], [each["server"] for each in slices])
    expect("its work", True, sum(each["cpu_ns"] for each in slices if each["server"])
           > sum(each["cpu_ns"] for each in slices if not each["server"]))


def the_load_finds_wrong_answers(program, wrong):
    with Server(built(wrong)) as server:
        status, _, errors = load(program, server.address, connections=2)
        expect("status", 1, status)
        expect("errors", True, errors > 0)


def servers_are_asked_in_turn(program, server):
    """Back and forth, first as fast as they can and then at the rate, and each of them is."""
    with Server(built(server)) as one, Server(built(server)) as other:
        status, slices, errors = load(program, one.address, other.address,
                                      pid=[one.pid, other.pid], rate=500,
                                      **{"sets": 4, "paced-sets": 2})
        one.stop()
        other.stop()
    expect("status, errors", (0, 0), (status, errors))
    expect("in turn", [0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0], [each["server"] for each in slices])
    expect("rates", [0] * 8 + [500] * 4, [each["rate"] for each in slices])
    for what in ("requests", "cpu_ns"):
        expect(what, True, all(each[what] > 0 for each in slices))
    expect("waited", True, all(each["waited_ns"] >= 0 for each in slices))


def waiting_for_a_core_is_told():
    """A server that shares its core with something busy gets half of it, and waits for the rest."""
    core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    with subprocess.Popen([*core, sys.executable, "-c", "while True: pass"]) as busy:
        try:
            with Server([*core, *built(PROGRAMS[RAW]["greeting"])]) as server:
                _, slices, _ = load("bench/load", server.address, pid=server.pid, sets=8)
        finally:
            busy.kill()
    share = (sum(each["waited_ns"] for each in slices) / 1e9
             / sum(each["seconds"] for each in slices))
    expect("a tenth or more", True, share > 0.1)


def the_load_finds_wrong_answers_of_any_server(right, wrong):
    with Server(built(right)) as one, Server(built(wrong)) as other:
        status, _, errors = load("bench/load", one.address, other.address, sets=1, connections=2)
    expect("status", 1, status)
    expect("errors", True, errors > 0)


STALL = 0.4  # seconds


def greet_and_stall(listener):
    """Greets one connection, and once does nothing for a while."""
    sock, _ = listener.accept()
    with sock, sock.makefile("rb") as lines:
        for number, line in enumerate(lines):
            if number == 100:
                time.sleep(STALL)
            sock.sendall(b"Hello, " + line[:-2] + b"!\r\n")


def latencies_count_from_when_requests_were_due():
    """Of a second one half is stalled: so long, on the average half of that, waits what was due."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet_and_stall, args=[listener], daemon=True)
        thread.start()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        _, slices, errors = load("bench/load", address, connections=1, rate=500, seconds=1)
        thread.join()
    expect("errors", 0, errors)
    expect("p99", True, slices[0]["p99_us"] > STALL * 0.8 * 1e6)


# ---- The raw servers ----


def a_name_too_long_is_told_of(server):
    with support.connect(server.address) as sock:
        converse(sock, b"a" * LIMIT + b"\r\n", b"Hello, " + b"a" * LIMIT + b"!\r\n")
        last_words(sock, b"b" * (LIMIT + 1) + b"\r\nmore\r\n" * 9, b"error: name too long\r\n")


def names_come_byte_by_byte(server):
    with support.connect(server.address) as sock:
        for byte in b"An\rn\n\r":
            sock.send(bytes([byte]))
        converse(sock, b"\nBob\r\n", b"Hello, An\rn\n!\r\nHello, Bob!\r\n")


def answers_what_came_with_the_end(server):
    with support.connect(server.address) as sock:
        last_words(sock, b"Ann\r\nBob\r\n", b"Hello, Ann!\r\nHello, Bob!\r\n")


def a_peer_that_never_reads_is_held_back(server):
    with support.connect(server.address, 4096) as sock:
        support.send_until_blocked(sock, b"Ann\r\n" * 1000, MOST_HELD)
    with support.connect(server.address) as sock:
        converse(sock, b"Ann\r\n", server.answer)


def much_comes_back_as_it_went(server):
    data = os.urandom(3 * support.MEBIBYTE)
    with support.connect(server.address) as sock:
        expect("echo", data, support.exchange(sock, data, len(data)))
        last_words(sock, b"the end", b"the end")


def bytes_are_counted(server):
    with support.connect(server.address) as sock:
        last_words(sock, b"x" * 1234567, b"1234567\r\n")
    with support.connect(server.address) as sock:
        last_words(sock, b"", b"0\r\n")


RAW_CASES = [
    ("raw_epoll_server", b"Hello, Ann!\r\n", [
        a_name_too_long_is_told_of, names_come_byte_by_byte, answers_what_came_with_the_end,
        a_peer_that_never_reads_is_held_back]),
    ("raw_epoll_page_server", b"Hello, Ann!\r\n", [
        a_name_too_long_is_told_of, names_come_byte_by_byte, answers_what_came_with_the_end]),
    ("raw_echo_server", b"Ann\r\n", [
        much_comes_back_as_it_went, a_peer_that_never_reads_is_held_back]),
    ("raw_sink_server", b"", [bytes_are_counted]),
    ("raw_uring_server", b"Hello, Ann!\r\n", [
        a_name_too_long_is_told_of, names_come_byte_by_byte, answers_what_came_with_the_end,
        a_peer_that_never_reads_is_held_back]),
    ("raw_uring_page_server", b"Hello, Ann!\r\n", [
        a_name_too_long_is_told_of, names_come_byte_by_byte, answers_what_came_with_the_end]),
    ("raw_uring_echo_server", b"Ann\r\n", [
        much_comes_back_as_it_went, a_peer_that_never_reads_is_held_back]),
    ("raw_uring_sink_server", b"", [bytes_are_counted]),
    ("callback_sink", b"", [bytes_are_counted]),
    ("coroutine_sink", b"", [bytes_are_counted]),
]


# ---- What is parked ----


def tasks_are_parked_until_standard_input_ends():
    with subprocess.Popen([*built("bench/parked"), "50"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        expect("word", b"ready\n", process.stdout.readline())
        process.stdin.close()
        expect("status", 0, process.wait(support.LIMIT))


def main():
    cases = support.Cases()
    found = [server.name for server in servers.available(Path(support.BUILD))]
    styles = [style for style in PROGRAMS if style in found]
    for row in rows.ROWS:
        if row.kind in ("pairs", "mixed"):
            for style in styles:
                cases.run(f"{row.name} {style} serves its row", serves_its_row, row,
                          PROGRAMS[style][row.service])
    for style in styles:
        cases.run(f"{style} serves the others beside a busy one",
                  serves_the_others_beside_a_busy_one, PROGRAMS[style]["greeting"])
    cases.run("wrong greetings are found", the_load_finds_wrong_answers, "bench/load",
              PROGRAMS[RAW]["echo"])
    cases.run("wrong counts are found", the_load_finds_wrong_answers, "bench/load_bulk",
              PROGRAMS[RAW]["echo"])
    for program, service in (("bench/load", "greeting"), ("bench/load_bulk", "sink")):
        cases.run(f"{program} asks servers in turn", servers_are_asked_in_turn, program,
                  PROGRAMS[RAW][service])
    cases.run("wrong greetings of the second are found",
              the_load_finds_wrong_answers_of_any_server, PROGRAMS[RAW]["greeting"],
              PROGRAMS[RAW]["echo"])
    cases.run("waiting for a core is told", waiting_for_a_core_is_told)
    cases.run("latencies count from when requests were due",
              latencies_count_from_when_requests_were_due)
    for name, answer, functions in RAW_CASES:
        if "uring" in name and RAW_URING not in styles:
            continue
        with Server(built(f"bench/{name}")) as server:
            server.answer = answer
            for function in functions:
                cases.run(f"{name} {support.words_of(function)}", function, server)
            cases.run(f"{name} ends after all that", server.stop)
    cases.run(support.words_of(tasks_are_parked_until_standard_input_ends),
              tasks_are_parked_until_standard_input_ends)
    cases.exit()


if __name__ == "__main__":
    main()
