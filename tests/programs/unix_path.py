#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Where a server may listen, and which file it removes: only a stale socket's, and its own."""

import errno
import os
import signal
import socket
import stat
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import Failed, Process, Server, expect  # noqa: E402

# What each says before the address that it cannot listen on.
SERVERS = {"callback_server": "", "coroutine_server": "listen on "}

# sun_path has 108 bytes, and ends with a zero.
PATH_LIMIT = 107


def greets(server):
    with support.connect(server.address) as sock:
        support.last_words(sock, b"Ann\r\n", b"Hello, Ann!\r\n")


def fails_to_listen(command, address, reason, named=None):
    before = SERVERS[os.path.basename(command[-1])]
    with Process(command, address) as process:
        process.expect_status(1)
        expect("output", b"", process.stdout())
        for word in before + (named or address), f": {support.words_of_error(reason)}\n":
            if word not in process.stderr():
                raise Failed(f"stderr: expected {word!r} in it, got {process.stderr()!r}")


def path_of_size(folder, size):
    return folder + "/" + "x" * (size - len(folder) - 1)


# ---- Cases, each in a folder of its own ----


def takes_the_longest_path(command, folder):
    path = path_of_size(folder, PATH_LIMIT)
    with Server(command, f"unix://{path}") as server:
        expect("address", f"unix://{path}", server.address)
        greets(server)
        server.stop()


def refuses_a_path_that_is_too_long(command, folder):
    for size in PATH_LIMIT + 1, 500:
        path = path_of_size(folder, size)
        fails_to_listen(command, f"unix://{path}", errno.ENAMETOOLONG, f"unix://{folder}/xxx")
    expect("files", [], os.listdir(folder))


def refuses_a_folder_that_is_not_there(command, folder):
    address = f"unix://{folder}/none/s"
    fails_to_listen(command, address, errno.ENOENT)


def leaves_a_live_socket_alone(command, folder):
    address = f"unix://{folder}/s"
    with Server(command, address) as server:
        fails_to_listen(command, address, errno.EADDRINUSE)
        greets(server)
        server.stop()


def leaves_a_busy_socket_alone(command, folder):
    """One whose backlog is full: to connect would wait, or fail, and yet somebody is there."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(f"{folder}/s")
        busy.listen(0)
        waiting.connect(f"{folder}/s")
        address = f"unix://{folder}/s"
        fails_to_listen(command, address, errno.EADDRINUSE)
        expect("files", ["s"], os.listdir(folder))


def is_refused(path):
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == errno.ECONNREFUSED


def replaces_a_stale_socket(command, folder):
    address = f"unix://{folder}/s"
    with Server(command, address) as killed:
        killed.process.kill()
        expect("status of the killed one", -signal.SIGKILL, killed.wait())
    # What a ring holds open the kernel lets go of some moments after the process.
    support.wait_until("nobody listening", lambda: is_refused(f"{folder}/s"))
    expect("files left by the killed one", ["s"], os.listdir(folder))
    with Server(command, address) as server:
        greets(server)
        server.stop()


def leaves_a_regular_file_alone(command, folder):
    with open(f"{folder}/s", "w", encoding="utf-8") as file:
        file.write("precious")
    address = f"unix://{folder}/s"
    fails_to_listen(command, address, errno.EADDRINUSE)
    with open(f"{folder}/s", encoding="utf-8") as file:
        expect("what is in the file", "precious", file.read())


def leaves_a_link_alone(command, folder):
    os.symlink("nowhere", f"{folder}/s")
    address = f"unix://{folder}/s"
    fails_to_listen(command, address, errno.EADDRINUSE)
    expect("where the link leads", "nowhere", os.readlink(f"{folder}/s"))


def leaves_the_socket_of_a_later_server_alone(command, folder):
    address = f"unix://{folder}/s"
    with Server(command, address) as first:
        os.unlink(f"{folder}/s")
        with Server(command, address) as second:
            first.tell(signal.SIGTERM)
            first.expect_status(0)
            greets(second)
            second.stop()


def leaves_a_file_made_in_its_place_alone(command, folder):
    with Server(command, f"unix://{folder}/s") as server:
        os.rename(f"{folder}/s", f"{folder}/moved")
        with open(f"{folder}/s", "w", encoding="utf-8"):
            pass
        server.tell(signal.SIGTERM)
        server.expect_status(0)
    expect("a regular file is there", True, stat.S_ISREG(os.stat(f"{folder}/s").st_mode))


def ends_well_when_its_file_is_gone(command, folder):
    with Server(command, f"unix://{folder}/s") as server:
        os.unlink(f"{folder}/s")
        server.stop()


def refuses_a_port_in_use(command, _):
    for address in "tcp://127.0.0.1:0", "tcp://[::1]:0":
        with Server(command, address) as server:
            fails_to_listen(command, server.address, errno.EADDRINUSE)
            greets(server)
            server.stop()


def takes_a_port_again_at_once(command, _):
    with Server(command) as server:
        with support.connect(server.address) as sock:
            support.converse(sock, b"Ann\r\n", b"Hello, Ann!\r\n")
            server.tell(signal.SIGTERM)
            support.expect_end(sock)  # the server closes first, so its side stays in TIME_WAIT
        server.expect_end()
    with Server(command, server.address) as again:
        greets(again)
        again.stop()


CASES = [
    takes_the_longest_path,
    refuses_a_path_that_is_too_long,
    refuses_a_folder_that_is_not_there,
    leaves_a_live_socket_alone,
    leaves_a_busy_socket_alone,
    replaces_a_stale_socket,
    leaves_a_regular_file_alone,
    leaves_a_link_alone,
    leaves_the_socket_of_a_later_server_alone,
    leaves_a_file_made_in_its_place_alone,
    ends_well_when_its_file_is_gone,
    refuses_a_port_in_use,
    takes_a_port_again_at_once,
]


def in_a_folder(function, command):
    with tempfile.TemporaryDirectory() as folder:
        function(command, folder)


def main():
    cases = support.Cases()
    for name in SERVERS:
        command = support.example(f"greeting/{name}")
        for function in CASES:
            cases.run(f"{name} {support.words_of(function)}", in_a_folder, function, command)
    cases.exit()


if __name__ == "__main__":
    main()
