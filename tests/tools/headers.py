#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles each public header alone, as C11 and as C++17. Prints TAP lines.

The compilers are $CC and $CXX, cc and c++ unless set.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = os.path.join(ROOT, "include")

# No feature macro is given: a header must do with what the plain standard lets the system show.
LANGUAGES = [
    ("C11", os.environ.get("CC", "cc"), ["-x", "c", "-std=c11", "-Wstrict-prototypes"]),
    ("C++17", os.environ.get("CXX", "c++"), ["-x", "c++", "-std=c++17"]),
]


def public_headers():
    for folder, _, names in os.walk(os.path.join(INCLUDE, "evert")):
        for name in names:
            if name.endswith(".h"):
                yield os.path.relpath(os.path.join(folder, name), INCLUDE)


def compile_alone(job):
    """Gives (ok, TAP line, what the compiler said)."""
    header, language, compiler, options = job
    title = f"{header} compiles alone as {language}"
    if shutil.which(compiler) is None:
        return True, f"ok - {title} # SKIP there is no {compiler}", ""
    done = subprocess.run(
        [compiler, *options, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
         "-I", INCLUDE, "-"],
        # The declaration is for a header of macros alone: C wants at least one.
        input=f"#include <{header}>\nextern int something;\n", text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, f"{'not ' if done.returncode else ''}ok - {title}", done.stdout


def main():
    jobs = [(header, *language) for header in sorted(public_headers()) for language in LANGUAGES]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for ok, line, output in pool.map(compile_alone, jobs):
            for text in output.splitlines():
                print(f"# {text}")
            print(line)
            failed = failed or not ok
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
