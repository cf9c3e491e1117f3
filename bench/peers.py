# SPDX-License-Identifier: MIT
"""The peers: the same servers written with other libraries, as their users write them, and the
smallest things that these have.

bench/peers/build.py builds those whose tools are installed (`tools/bootstrap peers` sees to that);
what is there then, and can be run, is what available() gives.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "peers"
KINDS = ("greeting", "echo", "sink")
SMALL = "small"

# Debian's own Python, where there is one: another one on PATH may lack the modules it serves.
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


@dataclass(frozen=True)
class Peer:
    name: str
    title: str
    version: str
    programs: dict  # {"greeting": command without the address, ...}


# ---- Versions ----


def version_in(text):
    found = re.search(r"\d+( ?[._] ?\d+)+", text)  # with spaces when macros are put together
    return found[0].replace("_", ".").replace(" ", "") if found else ""


def said(*command, text=None):
    """What a command says; nothing where it fails, or is not there."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60,
                              check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def tool(*command):
    """Of what says it itself."""
    return lambda build: version_in(said(*command))


def package(name):
    """Of a library that pkg-config knows."""
    return tool("pkg-config", "--modversion", name)


def header(name, value):
    """Of a library whose header has it, in macros."""
    text = f"#include <{name}>\n{value}\n"
    return lambda build: version_in(
        said("cc", "-E", "-P", "-x", "c", "-", text=text).rstrip().rpartition("\n")[2])


def module(name):
    return tool(PYTHON, "-c", f"import {name}; print({name}.__version__)")


def rust_package(name):
    """Of what cargo has chosen."""
    def version(build):
        lock = build / "bench/peers/cargo/Cargo.lock"
        text = lock.read_text(encoding="utf-8") if lock.exists() else ""
        found = re.search(rf'name = "{name}"\nversion = "([\d.]+)"', text)
        return found[1] if found else ""
    return version


def libc(_):
    return os.confstr("CS_GNU_LIBC_VERSION") or ""


# ---- Programs ----


def built(name):
    """Programs that bench/peers/build.py has made."""
    return {kind: [f"{{build}}/bench/peers/{name}_{kind}"] for kind in (*KINDS, SMALL)}


def scripts(runner, path, *more):
    """Programs that are run as they stand, each from the file that `path` gives for its kind."""
    return {kind: [*runner, f"{{sources}}/{path.format(kind)}"] for kind in (*KINDS, *more)}


def example(name):
    return {"greeting": [f"{{build}}/examples/greeting/{name}"]}


PYTHON_RUNS = [PYTHON, "-B"]
UVLOOP_RUNS = [*PYTHON_RUNS, "{sources}/uvloop/run.py"]


@dataclass(frozen=True)
class Library:
    name: str
    title: str
    version: Callable  # of the build folder
    programs: dict = field(default_factory=dict)

    def command(self, kind, build):
        return [word.format(build=build, sources=SOURCES) for word in self.programs[kind]]

    def peer(self, build):
        """None where it was not built, or cannot be run."""
        programs = {kind: self.command(kind, build) for kind in self.programs}
        version = self.version(build)
        there = all(os.path.exists(command[-1]) for command in programs.values())
        return Peer(self.name, self.title, version, programs) if there and version else None


LIBRARIES = [
    Library("process", "a process each", libc, example("process_server")),
    Library("thread", "a thread each", libc, built("thread") | example("thread_server")),
    Library("libev", "libev", header("ev.h", "EV_VERSION_MAJOR.EV_VERSION_MINOR"),
            built("libev")),
    Library("libuv", "libuv", package("libuv"), built("libuv")),
    Library("libevent", "libevent, bufferevents", package("libevent"), built("libevent")),
    Library("st", "State Threads", package("st"), built("st")),
    Library("asio", "Boost.Asio, coroutines",
            header("boost/version.hpp", "BOOST_LIB_VERSION"), built("asio")),
    Library("tokio", "Tokio", rust_package("tokio"), built("tokio")),
    Library("go", "Go", tool("go", "version"), built("go")),
    Library("node", "Node.js", tool("node", "--version"), scripts(["node"], "node/{}.js")),
    Library("asyncio", "asyncio, streams", tool(PYTHON, "--version"),
            scripts(PYTHON_RUNS, "asyncio/{}.py", "greeting_gathered", SMALL)),
    Library("uvloop", "asyncio, streams, on uvloop", module("uvloop"),
            scripts(UVLOOP_RUNS, "asyncio/{}.py", "greeting_gathered", SMALL)),
    Library("twisted", "Twisted", module("twisted"), scripts(PYTHON_RUNS, "twisted/{}.py")),
]


def available(build):
    """Gives each Peer that is there, in a fixed order."""
    found = (library.peer(Path(build).resolve()) for library in LIBRARIES)
    return [peer for peer in found if peer is not None]


if __name__ == "__main__":
    for each in available(sys.argv[1] if len(sys.argv) > 1 else "build/release"):
        print(f"{each.name:<10}{each.title:<30}{each.version:<14}{', '.join(each.programs)}")
