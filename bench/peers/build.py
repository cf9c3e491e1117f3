#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the peers whose tools are installed, and says which it leaves out.

    bench/peers/build.py BUILD

The programs go to BUILD/bench/peers, each called NAME_KIND; those in JavaScript and Python are run
as they stand. They are optimised as Evert is. A program that is newer than its sources is kept.
The exit status is 1 when one could not be built though its tools are there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
EXAMPLES = SOURCES.parents[1] / "examples/greeting"
KINDS = ("greeting", "echo", "sink", "small")

CRATES = "/usr/share/cargo/registry"  # Debian's, which are all that is used: nothing is downloaded

C = ["cc", "-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-D_GNU_SOURCE"]
CXX = ["c++", "-std=c++20", "-O2", "-g", "-Wall", "-Wextra"]


def run(*command, **options):
    print(" ", *command, flush=True)
    return subprocess.run(command, check=False, timeout=1200, **options).returncode == 0


def has_header(compiler, language, header):
    done = subprocess.run([compiler, "-E", "-x", language, "-o", os.devnull, "-"], check=False,
                          input=f"#include <{header}>\n", text=True, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def is_current(program, sources):
    times = [path.stat().st_mtime for path in sources]
    return program.exists() and program.stat().st_mtime > max(times)


def sources_of(name):
    return [path for folder in (SOURCES / name, SOURCES, EXAMPLES)
            for path in folder.iterdir() if path.is_file()]


def each_kind(name, out, ending, command):
    """Builds each kind that there is of a peer by a command for its source and its program."""
    good = True
    for kind in KINDS:
        source, program = SOURCES / name / f"{kind}{ending}", out / f"{name}_{kind}"
        if source.exists() and not is_current(program, sources_of(name)):
            good &= run(*command(source, program))
    return good


# ---- How each is built; None where it is left out ----


def c_library(header, *libraries):
    def build(name, out):
        if not (shutil.which("cc") and has_header("cc", "c", header)):
            return None
        return each_kind(name, out, ".c", lambda source, program: [
            *C, source, "-o", program, *libraries])
    return build


def asio(name, out):
    if not (shutil.which("c++") and has_header("c++", "c++", "boost/asio.hpp")):
        return None
    return each_kind(name, out, ".cpp", lambda source, program: [
        *CXX, source, "-o", program, "-pthread"])


def go(name, out):
    if not shutil.which("go"):
        return None
    return each_kind(name, out, ".go", lambda source, program: [
        "go", "build", "-o", program, SOURCES / "go/serve.go", source])


def debian_or(name):
    """Debian's own tool, whose age is that of Debian's crates; another one, where there is none."""
    own = f"/usr/bin/{name}"
    return own if os.access(own, os.X_OK) else shutil.which(name)


def tokio(name, out):
    cargo, rustc, folder = debian_or("cargo"), debian_or("rustc"), out / "cargo"
    if not (cargo and rustc and list(Path(CRATES).glob("tokio-1*"))):
        return None
    shutil.copytree(SOURCES / name, folder, dirs_exist_ok=True)  # since cargo writes beside them
    good = run(cargo, "build", "--release", "--offline", "--quiet",
               "--config", 'source.crates-io.replace-with="debian"',
               "--config", f'source.debian.directory="{CRATES}"',
               cwd=folder, env=os.environ | {"RUSTC": rustc})
    for kind in KINDS if good else ():
        shutil.copy2(folder / "target/release" / kind, out / f"{name}_{kind}")
    return good


PEERS = {
    "thread": c_library("pthread.h", "-pthread"),
    "libev": c_library("ev.h", "-lev"),
    "libuv": c_library("uv.h", "-luv"),
    "libevent": c_library("event2/bufferevent.h", "-levent_core"),
    "st": c_library("st.h", "-lst"),
    "asio": asio,
    "go": go,
    "tokio": tokio,
}


def main():
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: bench/peers/build.py BUILD, a folder such as build/release")
    out = Path(sys.argv[1]).resolve() / "bench/peers"
    out.mkdir(parents=True, exist_ok=True)
    words = {None: "left out: its tools are not installed", True: "built", False: "not built"}
    answers = []
    for name, build in PEERS.items():
        answers.append(build(name, out))
        print(f"{name}: {words[answers[-1]]}", flush=True)
    return 1 if False in answers else 0


if __name__ == "__main__":
    sys.exit(main())
