#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Faults of time, memory and disks, each by a real cause."""

import contextlib
import errno
import os
import resource
import signal
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
import namespaces  # noqa: E402
from namespaces import STRACE, Subject, in_both_ways  # noqa: E402
from support import Failed, Server, expect  # noqa: E402

# More than there is memory for. Whoever has no stack is turned away, with a pause for each.
CLIENTS = {"callback_server": 1500, "coroutine_server": 60}

SERVERS = ["callback_server", "coroutine_server"]
ANSWER = b"Hello, Ann!\r\n"


def is_sanitized():
    """Then the programs keep terabytes of addresses, so that no limit of these can be set, and have
    functions of the C library for themselves, so that they cannot be given others."""
    with open(namespaces.SUBJECT[-1], "rb") as file:
        text = file.read()
    return b"__asan_init" in text or b"__tsan_init" in text


# ---- Memory ----


# Bytes of a stack: the usual ones, and small ones, of which the addresses of a machine with 32 bits
# hold as many as there are mappings.
USUAL, SMALL = 0, 16384


def limit_addresses():
    size = 400 * support.MEBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


@in_both_ways
def no_memory_is_left_for_stacks(way):
    """Spawning fails; those that run end well, and then it can be done again."""
    with Subject(way, "spawn", 1000000, USUAL, preexec_fn=limit_addresses) as subject:
        subject.expect_status(0, 30)
        subject.expect("spawn", "ENOMEM")
        subject.expect("leave", "OK")
        subject.expect("again", "OK")
        if int(subject.said_of("started")[0]) < 100:
            raise Failed(f"expected some hundred tasks, got {subject.said()}")


def no_mapping_is_left_for_guards():
    """On a kernel where a guard takes a mapping of its own, of which a process has 65,530."""
    wrapped = [*STRACE, "-e", "trace=madvise", "-e", "inject=madvise:error=EINVAL"]
    with Subject("task", "spawn", 1000000, SMALL, wrapped_in=wrapped) as subject:
        subject.expect_status(0, 40)
        subject.expect("spawn", "ENOMEM")
        subject.expect("leave", "OK")
        subject.expect("again", "OK")
        if "max_map_count" not in subject.stderr():
            raise Failed(f"expected the log to name the limit, got {subject.stderr()!r}")


def a_hundred_thousand_tasks_run():
    """More than there are mappings: guards take none where the kernel has guards of its own."""
    with Subject("task", "spawn", 100000, USUAL) as subject:
        subject.expect_status(0, 40)
        started = int(subject.said_of("started")[0])
        code, words = subject.said_of("spawn")
        if (started, code) != (100000, "OK") and code != "ENOMEM":
            raise Failed(f"expected them all, or want of memory, got {started}, {code} {words}")
        subject.expect("leave", "OK")
        subject.expect("again", "OK")


def serving_goes_on_without_memory(name):
    """Some clients are turned away while there is none; those that are served notice nothing."""
    with Server(support.example(f"greeting/{name}")) as server:
        with support.connect(server.address) as first:
            support.converse(first, b"Ann\r\n", ANSWER)
            with open(f"/proc/{server.pid}/statm", encoding="ascii") as file:
                now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.prlimit(server.pid, resource.RLIMIT_AS, (now, resource.RLIM_INFINITY))
            with contextlib.ExitStack() as stack:
                served = sum(asks(stack, server.address) for _ in range(CLIENTS[name]))
                support.converse(first, b"Ann\r\n", ANSWER)
            support.comment(f"{name}: {served} of {CLIENTS[name]} served")
            if served == CLIENTS[name]:
                raise Failed("expected some to be turned away, but all were served")
            # Builds with checks also tell of writes to those that were cut off.
            lines = [line for line in server.stderr().splitlines() if "was dropped" not in line]
            if not 1 <= len(lines) <= 3 or not all("memory" in line for line in lines):
                raise Failed(f"expected the shortage to be logged once or twice, got {lines}")
        resource.prlimit(server.pid, resource.RLIMIT_AS,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with contextlib.ExitStack() as stack:
            served = sum(asks(stack, server.address) for _ in range(100))
            expect("served when there is memory", 100, served)
        server.stop()


def asks(stack, address):
    """Whether one more client, who then stays, is answered; else it hears the end or a reset."""
    answer = b""
    try:
        sock = stack.enter_context(support.connect(address))
        sock.sendall(b"Ann\r\n")
        while len(answer) < len(ANSWER) and (more := sock.recv(len(ANSWER) - len(answer))):
            answer += more
    except ConnectionError:
        pass
    expect("beginning of an answer", ANSWER[:len(answer)], answer)
    return answer == ANSWER


# ---- Time ----


def ticks_of(subject):
    return [int(code) for what, code, _ in subject.said() if what == "tick"]


def gaps_of(subject):
    ticks = ticks_of(subject)
    return [after - before for before, after in zip(ticks, ticks[1:])]


@in_both_ways
def it_is_stopped_for_a_while(way):
    """The timer goes on as if nothing was; it does not catch up on what it missed."""
    with Subject(way, "ticks", 1000000) as subject:
        support.wait_until("some ticks", lambda: len(ticks_of(subject)) >= 10)
        subject.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, subject.pid, os.WSTOPPED | os.WNOWAIT)
        before = len(ticks_of(subject))
        time.sleep(0.8)
        subject.process.send_signal(signal.SIGCONT)
        support.wait_until("as many ticks again", lambda: len(ticks_of(subject)) >= 2 * before)
        subject.kill()
        gaps = gaps_of(subject)
        if max(gaps) < 500:
            raise Failed(f"expected to see the time that it was stopped, got {gaps}")
        if min(gaps) < 9:  # ten, each cut to whole milliseconds
            raise Failed(f"expected no tick to be early, got {gaps}")


def it_is_stopped_again_and_again(name):
    """Each stop interrupts what waits; nothing of a conversation is lost."""
    with Server(support.example(f"greeting/{name}")) as server:
        with support.connections(server.address, 5) as socks:
            for i in range(40):
                server.process.send_signal(signal.SIGSTOP)
                for sock in socks:
                    sock.sendall(b"Ann\r\n" if i % 2 else b"An")
                server.process.send_signal(signal.SIGCONT)
                for sock in socks:
                    if i % 2:
                        support.expect_answer(sock, b"Hello, AnAnn!\r\n")
        server.stop()


@in_both_ways
def the_wall_clock_jumps(way):
    """Years ahead and back, each time that anybody looks."""
    environment = {**os.environ, "LD_PRELOAD": os.path.join(support.BUILD,
                                                           "tests/leaping_clock.so")}
    with Subject(way, "ticks", 30, env=environment) as subject:
        subject.expect_status(0)
        gaps = gaps_of(subject)
        expect("ticks", 30, len(gaps) + 1)
        if min(gaps) < 9 or max(gaps) > 5000:
            raise Failed(f"expected a tick each 10 ms or a little later, got {gaps}")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as sock:
        address = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
        with socket.create_connection(sock.getsockname()), \
                Subject(way, "connect", address, 300, env=environment) as subject:
            subject.expect_status(0)
            subject.expect("connect", "ETIMEDOUT")
    with Subject(way, "clock", env=environment) as subject:
        subject.expect_status(0)
        expect("the clock of a program that looks", "leaps", subject.said_of("clock")[0])


# ---- The log ----


def the_disk_of_the_log_is_full(name):
    """Lines are lost, and the next that gets through says how many."""
    with tempfile.TemporaryDirectory() as folder:
        namespaces.run(f"mount -t tmpfs -o size=64k faults {folder}")
        try:
            fill_and_serve(name, folder)
        finally:
            namespaces.run(f"umount -l {folder}")


def complain(server, times):
    """Has the server log something: a connection that is reset in the middle of a line."""
    for _ in range(times):
        sock = support.connect(server.address)
        support.converse(sock, b"Ann\r\nhalf a name", ANSWER)
        support.reset(sock)


def fill_and_serve(name, folder):
    log, filler = os.path.join(folder, "log"), os.path.join(folder, "filler")
    redirect = ["sh", "-c", f"exec \"$@\" 2>>{log}", "sh"]
    with Server([*redirect, *support.example(f"greeting/{name}")]) as server:
        complain(server, 1)
        support.wait_until("the first line", lambda: os.path.getsize(log) > 0)
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError as error:
                expect("error of a full disk", errno.ENOSPC, error.errno)
        size = os.path.getsize(log)
        complain(server, 200)  # more than the rest of the log's last page holds
        with support.connect(server.address) as sock:
            support.converse(sock, b"Ann\r\n", ANSWER)
        os.unlink(filler)
        complain(server, 1)
        support.wait_until("word of each reset, here or lost", lambda: sum(told_in(log)) >= 202)
        server.stop()
        here, lost = told_in(log)
        expect("lines of resets, here and lost", 202, here + lost)
        if size == 0 or lost < 10:
            raise Failed(f"expected many lines to be lost, got {lost}")


def told_in(log):
    """How many resets it tells of, and how many lines it says were lost."""
    with open(log, encoding="utf-8") as file:
        lines = file.read().splitlines()
    lost = [line for line in lines if "of the log" in line and line.endswith("lost")]
    return (sum("reset by peer" in line for line in lines),
            sum(int(line.split("warning: ")[1].split()[0]) for line in lost))


CASES = [
    it_is_stopped_for_a_while,
]

PLAIN_CASES = [
    a_hundred_thousand_tasks_run,
    the_wall_clock_jumps,
    no_memory_is_left_for_stacks,
    no_mapping_is_left_for_guards,
]


def main():
    namespaces.enter()
    cases = support.Cases()
    for function in CASES + ([] if is_sanitized() else PLAIN_CASES):
        cases.run(support.words_of(function), function)
    for name in SERVERS:
        cases.run(f"{name} it is stopped again and again", it_is_stopped_again_and_again, name)
        if not is_sanitized():
            cases.run(f"{name} serving goes on without memory", serving_goes_on_without_memory,
                      name)
    cases.run("the disk of the log is full", the_disk_of_the_log_is_full, "coroutine_server")
    cases.exit()


if __name__ == "__main__":
    main()
