#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs a build into a folder of its own and builds every example against what stands there, by
pkg-config alone, as a stranger would. Prints TAP lines.

The build is $EVERT_BUILD, the compiler $CC (cc unless set).
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(os.environ["EVERT_BUILD"])
SOURCE = Path(os.environ["EVERT_SOURCE"])
COMPILER = os.environ.get("CC", "cc").split()


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def install(root):
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root)
    found = list(root.rglob("evert.pc"))
    if len(found) != 1:
        raise RuntimeError(f"one evert.pc was to be installed, not {len(found)}")
    return {"PKG_CONFIG_PATH": str(found[0].parent), "PKG_CONFIG_SYSROOT_DIR": str(root)}


def programs():
    """{name: its files}: each file with a main is a program, but for a folder with its own."""
    for folder in sorted((SOURCE / "examples").iterdir()):
        files = sorted(folder.glob("*.c"))
        mains = [file for file in files if "int main(" in file.read_text(encoding="utf-8")]
        if len(mains) == 1 and len(files) > 1:
            yield folder.name, files
        else:
            for file in mains:
                yield f"{folder.name}/{file.stem}", [file]


def build(files, flags, output):
    if not any(word in file.read_text(encoding="utf-8") for file in files
               for word in ("evert_main", "evert_run", "evert_loop_new(")):
        flags = ["-D_GNU_SOURCE", "-pthread"]  # one on plain sockets, to compare with
    run(*COMPILER, "-Wall", "-Wextra", "-Werror", *files, "-o", output, *flags)


def main():
    if shutil.which("pkg-config") is None:
        print("not ok - there is no pkg-config")
        return 1
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        environment = os.environ | install(root)
        flags = run("pkg-config", "--cflags", "--libs", "evert", env=environment).split()
        print("ok - it is installed, and pkg-config finds it")
        for name, files in programs():
            try:
                build(files, flags, Path(folder) / "program")
                print(f"ok - {name} builds against it", flush=True)
            except (RuntimeError, subprocess.TimeoutExpired) as failure:
                failed = True
                print(f"# {failure}".replace("\n", "\n# "))
                print(f"not ok - {name} builds against it", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
