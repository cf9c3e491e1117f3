# SPDX-License-Identifier: MIT
"""A network, and a tree of mounts, of a test's own: what goes wrong there does so nowhere else.

As root these are made at once; as another user inside a user namespace. Where neither is allowed,
the test fails: what it is about could not be seen.
"""

import contextlib
import os
import subprocess
import sys

import support
from support import Failed, Process, expect

MARK = "EVERT_OWN_NAMESPACE"

SUBJECT = support.built("tests/subject")
STRACE = ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "signal=none"]

# The leak checker cannot do its work in a program that is traced.
TRACED = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def enter():
    """Goes on in namespaces of its own; to be called first of all."""
    if MARK not in os.environ:
        os.environ[MARK] = "yes"
        command = ["unshare", "--net", "--mount"]
        if os.geteuid() != 0:
            command += ["--user", "--map-root-user"]
        os.execvp(command[0], command + [sys.executable, "-B", *sys.argv])
    run("ip link set lo up")


def run(command):
    done = subprocess.run(command.split(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=support.LIMIT)
    if done.returncode != 0:
        raise Failed(f"{command}: status {done.returncode}, said: {done.stdout}")
    return done.stdout


def set_kernel(name, value):
    """Sets what sysctl(8) would."""
    with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
        file.write(value)


@contextlib.contextmanager
def firewall(*rules):
    """For packets that leave a socket here. Such a rule meets both ends: all is on one machine."""
    run("nft add table inet faults")
    try:
        run("nft add chain inet faults out { type filter hook output priority 0 ; }")
        for rule in rules:
            run(f"nft add rule inet faults out {rule}")
        yield
    finally:
        run("nft delete table inet faults")


@contextlib.contextmanager
def route(words):
    run(f"ip route add {words}")
    try:
        yield
    finally:
        run(f"ip route del {words}")


class Subject(Process):
    """The program subject.c, doing one thing in one of its two ways."""

    def __init__(self, way, *words, wrapped_in=(), **options):
        super().__init__([*wrapped_in, *SUBJECT], way, *map(str, words), **options)

    def said(self):
        """Gives (what, code, words) of each line so far."""
        return [(line.split(" ", 2) + ["", ""])[:3]
                for line in self.stdout().decode().splitlines()]

    def said_of(self, what):
        for first, code, words in self.said():
            if first == what:
                return code, words
        return None

    def wait_for(self, what):
        support.wait_until(f"{self} to say {what!r}", lambda: self.said_of(what))
        return self.said_of(what)

    def expect(self, what, *codes):
        """That it says one of the codes of what it does."""
        code, words = self.wait_for(what)
        if code not in codes:
            raise Failed(f"{what}: expected {' or '.join(codes)}, got {code} ({words})")
        return words


def in_both_ways(function):
    """A case that runs in blocking mode and as a task."""
    def both():
        for way in "block", "task":
            function(way)
    both.__name__ = function.__name__
    return both


def expect_connect(way, address, *codes, milliseconds=10000):
    with Subject(way, "connect", address, milliseconds) as subject:
        subject.expect_status(0)
        words = subject.expect("connect", *codes)
        if codes != ("OK",) and address not in words and "ETIMEDOUT" not in codes:
            raise Failed(f"expected the words to name {address}, got {words!r}")
        expect("on standard error", "", subject.stderr())
