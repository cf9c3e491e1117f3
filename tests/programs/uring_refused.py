#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""io_uring refused by the kernel, as a sandbox has it do: the echo server works on epoll."""

import ctypes
import errno
import os
import platform
import struct
import sys

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import Failed, Process, Server, connect, connections, expect  # noqa: E402

SERVER = support.example("echo/coroutine_server")

# The numbers of the calls are the same on all machines; that of the machine is in linux/audit.h.
CALLS = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

CODES = ["EPERM", "ENOSYS", "EOPNOTSUPP", "EINVAL", "ENOMEM", "EACCES"]

# linux/filter.h, linux/seccomp.h, sys/prctl.h
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
OFFSET_OF_NUMBER, OFFSET_OF_MACHINE = 0, 4
ALLOW, ANSWER_ERROR = 0x7FFF0000, 0x00050000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


class Program(ctypes.Structure):
    """struct sock_fprog"""
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def refuses(call, code):
    """Gives a function that has the kernel answer this call of the process with an error."""
    steps = [
        (LOAD, 0, 0, OFFSET_OF_MACHINE),
        (JUMP_IF_EQUAL, 0, 3, MACHINES[platform.machine()]),
        (LOAD, 0, 0, OFFSET_OF_NUMBER),
        (JUMP_IF_EQUAL, 0, 1, CALLS[call]),
        (RETURN, 0, 0, ANSWER_ERROR | code),
        (RETURN, 0, 0, ALLOW),
    ]
    program = Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)

    def install():
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 or \
                libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "no filter of calls")

    return install


def environment(back_end):
    return os.environ | {"EVERT_BACKEND": back_end}


def descriptors_named(server, word):
    found = []
    for number in server.descriptors():
        target = os.readlink(f"/proc/{server.pid}/fd/{number}")
        if word in target:
            found.append(target)
    return found


def serves(server):
    with connections(server.address, 30) as socks:
        for sock in socks:
            support.converse(sock, b"echo" * 5000, b"echo" * 5000)
    with connect(server.address) as sock:
        support.last_words(sock, b"the end", b"the end")


def serves_on_epoll(call, code):
    with Server(SERVER, env=environment("uring,epoll"), preexec_fn=refuses(call, code)) as server:
        serves(server)
        expect("rings", [], descriptors_named(server, "[io_uring]"))
        expect("epoll sets", 1, len(descriptors_named(server, "[eventpoll]")))
        server.stop()
        lines = server.stderr().splitlines()
        if len(lines) != 1 or "uring" not in lines[0] or \
                support.words_of_error(code) not in lines[0]:
            raise Failed(f"expected one line that says why there is no ring, got {lines!r}")


def ends_with_the_error(call, code):
    with Process(SERVER, "tcp://127.0.0.1:0", env=environment("uring"),
                 preexec_fn=refuses(call, code)) as program:
        program.expect_status(1)
        expect("on standard output", b"", program.stdout())
        if support.words_of_error(code) not in program.stderr():
            raise Failed(f"expected the reason, got {program.stderr()!r}")


def is_not_refused():
    """The control: without a filter it is a ring, and nothing is said."""
    with Server(SERVER, env=environment("uring,epoll")) as server:
        serves(server)
        expect("rings", 1, len(descriptors_named(server, "[io_uring]")))
        server.stop()
        expect("on standard error", "", server.stderr())


def main():
    cases = support.Cases()
    cases.run("without a filter it is a ring", is_not_refused)
    for call, codes in [("io_uring_setup", CODES), ("io_uring_register", ["EPERM"]),
                        ("io_uring_enter", ["EPERM", "ENOSYS"])]:
        for word in codes:
            name, code = f"{call} answers {word}", getattr(errno, word)
            cases.run(f"{name} and it serves on epoll", serves_on_epoll, call, code)
            cases.run(f"{name} and a ring alone is an error", ends_with_the_error, call, code)
    cases.exit()


if __name__ == "__main__":
    main()
