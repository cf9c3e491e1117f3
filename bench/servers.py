# SPDX-License-Identifier: MIT
"""Who is measured: Evert's servers on each of its back ends, the same straight on the kernel, which
they are held against, and those in other libraries (peers.py)."""

import socket
from dataclasses import dataclass

import measuring
import peers

RAW, RAW_URING = "raw epoll", "raw io_uring"
PAGE = ", a page for each connection"  # own_page.py
COROUTINES = "coroutines"
EVERT = "Evert"
TOO_MANY = ("process",)  # of processes: what they hold is not in that of the server

PROGRAMS = {
    "coroutines": {"greeting": "examples/greeting/coroutine_server",
                   "echo": "examples/echo/coroutine_server", "sink": "bench/coroutine_sink"},
    "callbacks": {"greeting": "examples/greeting/callback_server",
                  "echo": "examples/echo/callback_server", "sink": "bench/callback_sink"},
    RAW: {"greeting": "bench/raw_epoll_server", "echo": "bench/raw_echo_server",
          "sink": "bench/raw_sink_server"},
    RAW_URING: {"greeting": "bench/raw_uring_server", "echo": "bench/raw_uring_echo_server",
                "sink": "bench/raw_uring_sink_server"},
    RAW + PAGE: {"greeting": "bench/raw_epoll_page_server"},
    RAW_URING + PAGE: {"greeting": "bench/raw_uring_page_server"},
}


@dataclass(frozen=True)
class Server:
    name: str
    programs: dict      # {service: [word, ...]}
    raw: str = ""       # what it is held against; "" for what is straight on the kernel itself
    back_end: str = ""  # of Evert's
    peer: str = ""      # the version of another library; "" for none

    def command(self, service):
        choice = ["env", f"EVERT_BACKEND={self.back_end}"] if self.back_end else []
        return [*choice, *self.programs[service]]


def ours(build, style, back_end, raw):
    name = style if back_end == "epoll" else f"{style} on io_uring"
    return Server(name, commands(build, style), raw, back_end)


def commands(build, name):
    return {service: [build / path] for service, path in PROGRAMS[name].items()}


def greets(address):
    host, port = address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), measuring.PATIENCE) as client:
        client.sendall(b"Ann\r\n")
        return client.recv(100) == b"Hello, Ann!\r\n"


def works(server):
    """Whether a server of this kind can be had here: io_uring may be forbidden."""
    try:
        with measuring.served(server.command("greeting")) as process:
            return greets(process.address)
    except (measuring.Failure, OSError):
        return False


def available(build):
    """All that can be measured here, those that are held against another before the other."""
    on_epoll = [ours(build, style, "epoll", RAW) for style in ("coroutines", "callbacks")]
    on_uring = [ours(build, style, "uring", RAW_URING) for style in ("coroutines", "callbacks")]
    found = [*on_epoll, Server(RAW, commands(build, RAW))]
    ring = [*on_uring, Server(RAW_URING, commands(build, RAW_URING))]
    if all(map(works, ring)):
        found += ring
    for peer in peers.available(build):
        found += forms_of(peer)
    return found


def forms_of(peer):
    """A peer as its users write it, and where there is one, in a form that gathers its answers."""
    version = f"{peer.title} {peer.version}"
    yield Server(peer.name, peer.programs, peer=version)
    if "greeting_gathered" in peer.programs:
        yield Server(f"{peer.name}, gathered", {"greeting": peer.programs["greeting_gathered"]},
                     peer=version)
