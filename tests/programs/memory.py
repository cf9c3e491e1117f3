#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a task costs that waits: memory as the kernel counts it, all of it, page tables and the
registration with epoll included.

A program waits with none of them, and then with all (parked.c); what it holds is what its memory
control group counts. Of connections the sockets' own memory is set aside: that is what a program
holds which has as many, and nothing else. With EVERT_LONG=1 there are a million tasks and 15,000
connections. In the short run there are fewer, and more is allowed: the kernel counts in batches.
"""

import contextlib
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import BUILD, Failed, comment, expect  # noqa: E402

LONG = os.environ.get("EVERT_LONG") == "1"
TASKS = 1_000_000 if LONG else 20_000
CONNECTIONS = 15_000 if LONG else 1_000
MOST = 5 * 1024  # bytes for each
MOST_OF_A_FEW = MOST if LONG else 6 * 1024  # where there are no more than a thousand
LIMIT = 280 if LONG else 100  # seconds; a tenth of it where the machine has nothing else to do

MOST_MAPPINGS = 1000


# ---- What the kernel counts ----


class Group:
    """A memory control group, of the first or the second version."""

    def __init__(self, folder, usage):
        self.folder, self.usage = folder, usage

    def enter(self):
        """In a new process."""
        with open(os.path.join(self.folder, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    def bytes(self, _):
        with open(os.path.join(self.folder, self.usage), encoding="ascii") as file:
            return int(file.read())


class Rollup:
    """Without control groups: what is resident, and the page tables. The kernel's memory for epoll
    is not in it."""

    def enter(self):
        pass

    def bytes(self, pid):
        total = 0
        for name, words in ("smaps_rollup", ("Private_Clean:", "Private_Dirty:")), (
                "status", ("VmPTE:",)):
            with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(words))
        return total * 1024


@contextlib.contextmanager
def counter():
    for top, usage in (("/sys/fs/cgroup/memory", "memory.usage_in_bytes"),
                       ("/sys/fs/cgroup", "memory.current")):
        try:
            folder = tempfile.mkdtemp(prefix="evert-test-", dir=top)
        except OSError:
            continue
        try:
            if os.path.exists(os.path.join(folder, usage)):
                yield Group(folder, usage)
                return
        finally:
            os.rmdir(folder)
    comment("no memory control group can be made here: smaps_rollup and VmPTE are counted, without "
            "what the kernel holds for epoll, or a ring")
    yield Rollup()


# ---- The program ----


class Parked:
    def __init__(self, counted, *arguments, backend="epoll"):
        self.counted = counted
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "tests/parked"), *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, preexec_fn=counted.enter,
            env=os.environ | {"EVERT_BACKEND": backend})

    def __enter__(self):
        self.address = self.read("begun")
        self.before = self.bytes()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def read(self, word):
        line = self.process.stdout.readline().decode()
        if not line.startswith(word):
            raise Failed(f"expected {word!r}, got {line!r}, status {self.process.poll()}")
        return line[len(word):].strip()

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def bytes(self):
        return self.counted.bytes(self.process.pid)

    def mappings(self):
        with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as file:
            return sum(1 for _ in file)


def expect_at_most(most, bytes_each, count, what):
    comment(f"{bytes_each:.0f} bytes for each of {count} {what}")
    if bytes_each > most:
        raise Failed(f"expected at most {most:.0f} bytes for each of {count} {what}, got "
                     f"{bytes_each:.0f}")


def a_task_that_sleeps():
    count = TASKS
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvail"))
    if free < 1.2 * count * MOST:
        count = int(free / MOST / 1.2)
        comment(f"only {free >> 20} MiB of memory are free")
    with counter() as counted, Parked(counted, "sleep", count) as program:
        program.go_on()
        guarded = program.read("parked")
        expect_at_most(MOST, (program.bytes() - program.before) / count, count, "tasks")
        expect("guards", f"{(count + 99) // 100} of {(count + 99) // 100} guarded", guarded)
        if program.mappings() > MOST_MAPPINGS:
            raise Failed(f"expected at most {MOST_MAPPINGS} mappings of memory for {count} stacks, "
                         f"got {program.mappings()}")


def held(what, count, backend="epoll"):
    """What a program holds for so many connections, each of which was answered once."""
    with counter() as counted, contextlib.ExitStack() as stack:
        program = stack.enter_context(Parked(counted, what, count, backend=backend))
        program.go_on()
        for _ in range(count):
            sock = stack.enter_context(support.connect(program.address))
            support.converse(sock, b"World\r\n", b"Hello, World!\r\n")
        program.read("parked")
        return program.bytes() - program.before


def reading_costs_little(backend):
    count = min(CONNECTIONS, support.raise_descriptor_limit() - 200)
    if count < CONNECTIONS:
        comment(f"only {count} connections: a process may have no more descriptors")
    plain = held("plain", count)
    comment(f"{plain / count:.0f} bytes for each of {count} sockets")
    expect_at_most(MOST_OF_A_FEW, (held("serve", count, backend) - plain) / count, count,
                   "connections")


def a_task_that_reads():
    reading_costs_little("epoll")


def a_task_that_reads_on_a_ring_if_there_is_one():
    reading_costs_little("uring,epoll")


def main():
    support.own_network()
    support.CASE_LIMIT = LIMIT
    cases = support.Cases()
    for function in (a_task_that_sleeps, a_task_that_reads,
                     a_task_that_reads_on_a_ring_if_there_is_one):
        cases.run(f"{support.words_of(function)} costs little", function)
    cases.exit()


if __name__ == "__main__":
    main()
