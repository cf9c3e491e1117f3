#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that each layer includes only itself and the layers before it.

Looks at src/<layer>/ and include/evert/<layer>/. Headers straight in include/evert/ (the umbrella
evert.h and the like) may include every layer, and no layer may include them. Prints TAP lines.
"""

import os
import re
import sys

LAYERS = ["base", "loop", "deferred", "net", "coro", "stream", "dns", "tls", "http", "ws",
          "service", "tool", "sim"]

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

MADE_BY_THE_BUILD = {"gdb_script.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def includes(path):
    """Gives (line number, '<' or '"', name) for each include of a file."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match[1], match[2]


def included_layer(folder, mark, name):
    """Gives (layer, problem): the layer that an include names, None for the system's headers."""
    if name.startswith("evert/"):
        layer, slash, _ = name[len("evert/"):].partition("/")
        if not slash:
            return None, "a layer may not include a header for programs"
        return layer, None
    if mark == "<":
        return None, None
    if ".." in name.split("/"):
        return None, "an include may not climb"
    layer, slash, _ = name.partition("/")
    if slash:
        return layer, None
    if not os.path.exists(os.path.join(folder, name)) and name not in MADE_BY_THE_BUILD:
        return None, "no such file in this layer"
    return os.path.basename(folder), None


def check_layer(layer):
    problems = []
    for top in ("src", "include/evert"):
        folder = os.path.join(ROOT, top, layer)
        for path, _, names in os.walk(folder):
            for name in sorted(names):
                full = os.path.join(path, name)
                if name.endswith((".c", ".h", ".S")):
                    problems += check_file(full, folder, layer)
    return problems


def check_file(full, folder, layer):
    problems = []
    for number, mark, name in includes(full):
        other, problem = included_layer(folder, mark, name)
        if other is not None and other not in LAYERS:
            problem = f"there is no layer {other}"
        elif other is not None and LAYERS.index(other) > LAYERS.index(layer):
            problem = f"{layer} comes before {other}"
        if problem:
            problems.append(f"{os.path.relpath(full, ROOT)}:{number}: {name}: {problem}")
    return problems


def unknown_layers():
    problems = []
    for top in ("src", "include/evert"):
        folder = os.path.join(ROOT, top)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if os.path.isdir(os.path.join(folder, name)) and name not in LAYERS:
                problems.append(f"{top}/{name}: there is no such layer")
    return problems


def main():
    failed = False

    def report(name, problems):
        nonlocal failed
        for problem in problems:
            print(f"# {problem}")
        print(f"not ok - {name}" if problems else f"ok - {name}")
        failed = failed or bool(problems)

    report("folders are layers", unknown_layers())
    for layer in LAYERS:
        if any(os.path.isdir(os.path.join(ROOT, top, layer)) for top in ("src", "include/evert")):
            report(f"{layer} includes only what comes before it", check_layer(layer))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
