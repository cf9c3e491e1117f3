#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that each rule in tests/ledger is held by tests that ran and passed.

    ledger.py LEDGER RESULTS [BUILD]

RESULTS is what run.py writes; only the lines of BUILD (release unless told) count. A test that was
renamed, left out of the build, skipped or not run on one of the back ends breaks its rule. Those
on a ring count where the build has tests there: not every machine has io_uring.
"""

import sys

ON_A_RING = {"uring", "adverse-uring"}
BACK_ENDS = {"epoll", "poll", "adverse", "-"} | ON_A_RING


def read_ledger(path):
    """Gives (rules, problems); a rule is (line number, name, cases, back ends)."""
    rules = []
    problems = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fields = line.split("#")[0].split()
            if not fields:
                continue
            if len(fields) != 3:
                problems.append(f"line {number}: not RULE TESTS BACKENDS")
                continue
            name, cases, back_ends = fields[0], fields[1].split(","), fields[2].split(",")
            for back_end in back_ends:
                if back_end not in BACK_ENDS:
                    problems.append(f"line {number}: {name}: no back end is called {back_end!r}")
            for case in cases:
                if ":" not in case:
                    problems.append(f"line {number}: {name}: {case!r} is not TEST:CASE")
            rules.append((number, name, cases, back_ends))
    return rules, problems


def read_results(path):
    """Gives {(build, test, back end, case): status}."""
    results = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if len(fields) == 5 and not line.startswith("#"):
                build, test, back_end, case, status = fields
                results[build, test, back_end, case] = status
    return results


def check(ledger_path, results, build):
    """Gives the list of what is wrong, each in words; empty when the ledger holds."""
    rules, problems = read_ledger(ledger_path)
    left_out = ON_A_RING - {key[2] for key in results if key[0] == build}
    for number, name, cases, back_ends in rules:
        for full_case in cases:
            test, _, case = full_case.partition(":")
            for back_end in set(back_ends) - left_out:
                status = results.get((build, test, back_end, case), "not run")
                if status != "pass":
                    where = "" if back_end == "-" else f" on {back_end}"
                    problems.append(f"line {number}: {name}: {full_case}{where}: {status}")
    return problems


def main(arguments):
    if len(arguments) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    build = arguments[2] if len(arguments) == 3 else "release"
    problems = check(arguments[0], read_results(arguments[1]), build)
    for problem in problems:
        print(f"{arguments[0]}: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
