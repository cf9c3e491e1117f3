#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says which lines and branches of the library the tests reach.

    coverage.py BUILD...

The folders are built with -Db_coverage=true and their tests have run; what one of them reached
counts. It fails where a line of src/ was never reached, where fewer than 95 of 100 branches were,
and where a line of tests/coverage/exceptions is no longer needed. Exceptions are lines of

    FILE | the line's own text | why no test reaches it

The text may stand several times in that file; all of these are meant.
"""

import json
import os
import subprocess
import sys

BRANCHES = 0.95

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXCEPTIONS = os.path.join(SOURCE, "tests", "coverage", "exceptions")


def measure(folder):
    """gcovr's answer for one folder: a list of {file, lines: [{line_number, count, branches}]}."""
    output = subprocess.run(
        ["gcovr", "--root", SOURCE, "--filter", "src/", "--object-directory", folder,
         "--json", "-", folder],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, cwd=SOURCE)
    return json.loads(output.stdout)["files"]


class Line:
    def __init__(self):
        self.count = 0
        self.branches = []

    def add(self, line):
        self.count += line["count"]
        for index, branch in enumerate(line["branches"]):
            if index == len(self.branches):
                self.branches.append(0)
            self.branches[index] += branch["count"]


def merge(measurements):
    """{file: {number: Line}} of all folders together."""
    files = {}
    for measurement in measurements:
        for file in measurement:
            lines = files.setdefault(file["file"], {})
            for line in file["lines"]:
                if not line.get("gcovr/noncode"):
                    lines.setdefault(line["line_number"], Line()).add(line)
    return files


def read_exceptions():
    """The set of (file, text); a line that is not of the three parts is told."""
    found = set()
    with open(EXCEPTIONS, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.startswith("#") or not line.strip():
                continue
            parts = [part.strip() for part in line.split(" | ")]
            if len(parts) != 3 or not all(parts):
                sys.exit(f"{EXCEPTIONS}:{number}: not of the form FILE | TEXT | REASON")
            found.add((parts[0], parts[1]))
    return found


def main():
    folders = sys.argv[1:]
    if not folders:
        sys.exit("usage: coverage.py BUILD...")
    files = merge(measure(os.path.abspath(folder)) for folder in folders)
    exceptions = read_exceptions()
    unused = set(exceptions)
    missed_lines = missed_branches = lines_in_all = branches_in_all = 0

    for name, lines in sorted(files.items()):
        with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
            text = [""] + file.read().split("\n")
        for number, line in sorted(lines.items()):
            key = (name, text[number].strip())
            missed = line.branches.count(0)
            if key in exceptions:
                if line.count == 0 or missed:
                    unused.discard(key)
                continue
            lines_in_all += 1
            branches_in_all += len(line.branches)
            missed_branches += missed
            if line.count == 0:
                missed_lines += 1
                print(f"FAILED  {name}:{number}: never reached: {key[1]}")
            elif missed:
                print(f"        {name}:{number}: {missed} of {len(line.branches)} branches not "
                      f"taken: {key[1]}")

    for name, text in sorted(unused):
        print(f"FAILED  tests/coverage/exceptions: not needed: {name} | {text}")
    reached = 1 - missed_branches / branches_in_all if branches_in_all else 0
    print(f"\n{lines_in_all - missed_lines} of {lines_in_all} lines, "
          f"{branches_in_all - missed_branches} of {branches_in_all} branches "
          f"({100 * reached:.1f} %), {len(exceptions)} exceptions")
    return 1 if not lines_in_all or missed_lines or unused or reached < BRANCHES else 0


if __name__ == "__main__":
    sys.exit(main())
