#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that docs/rules.md and tests/ledger speak of the same rules. Prints TAP lines.

    rules.py [--update]

A rule is defined where its number stands in bold at the beginning of a line or of a table's row,
before the section of what is not kept yet. Each has a line in the ledger, and each rule in the
ledger is defined; both with the exceptions below. Names of another shape than a letter and a
number are the ledger's own affair. The table of faults names the tests of the ledger: --update
writes them there.
"""

import os
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import ledger  # noqa: E402  (it must not leave compiled files among the sources)

ROOT = Path(os.environ.get("EVERT_SOURCE", Path(__file__).resolve().parent.parent.parent))
RULES = ROOT / "docs" / "rules.md"
LEDGER = ROOT / "tests" / "ledger"

NOT_KEPT = "\n## Not kept yet\n"
NUMBER = re.compile(r"[A-Z][0-9]+")
DEFINED = re.compile(r"^(?:\| )?\*\*([A-Z][0-9]+)\*\* ", re.M)
ROW = re.compile(r"^(\| \*\*([A-Z][0-9]+)\*\* \|.*\|)([^|]*)\|$", re.M)

# Rules that no line of the ledger can hold: {rule: why}.
WITHOUT_TEST = {
}


def rules_in_ledger():
    """Gives {rule: {test}}, a test without its case. Wrong lines are for run.py to report."""
    held = {}
    for _, name, cases, _ in ledger.read_ledger(LEDGER)[0]:
        if NUMBER.fullmatch(name):
            held.setdefault(name, set()).update(case.partition(":")[0] for case in cases)
    return held


def check_defined_once(defined):
    for rule in sorted(set(defined)):
        if defined.count(rule) > 1:
            yield f"{rule} is defined {defined.count(rule)} times"


def check_ledger(defined, later, held):
    for rule in sorted(set(held) - set(defined)):
        if re.search(rf"\b{rule}\b", later):
            yield f"{rule} has tests in the ledger, and is said to be not kept yet"
        else:
            yield f"{rule} has tests in the ledger, and is not in docs/rules.md"


def check_held(defined, held):
    for rule in defined:
        if rule not in held and rule not in WITHOUT_TEST:
            yield f"{rule} has no line in tests/ledger"
    for rule in WITHOUT_TEST:
        if rule in held or rule not in defined:
            yield f"the exception for {rule} is not needed any more"


def with_tests(text, held):
    """The text with the last column of the faults as the ledger has it."""
    def row(match):
        tests = ", ".join(sorted(held.get(match[2], ())))
        return f"{match[1]} {tests} |" if tests else f"{match[1]} |"
    return ROW.sub(row, text)


def check_column(text, held):
    for old, new in zip(text.splitlines(), with_tests(text, held).splitlines()):
        if old != new:
            yield f"{ROW.match(old)[2]}: its tests are others: run tests/tools/rules.py --update"


def main():
    text = RULES.read_text(encoding="utf-8")
    held = rules_in_ledger()
    if sys.argv[1:] == ["--update"]:
        RULES.write_text(with_tests(text, held), encoding="utf-8")
        return 0

    kept, _, later = text.partition(NOT_KEPT)
    defined = DEFINED.findall(kept)
    failed = False

    def report(name, problems):
        nonlocal failed
        problems = list(problems)
        for problem in problems:
            print(f"# {problem}")
        print(f"not ok - {name}" if problems else f"ok - {name}")
        failed = failed or bool(problems)

    report("each rule is defined once", check_defined_once(defined))
    report("each rule in the ledger is defined", check_ledger(defined, later, held))
    report("each rule has a line in the ledger", check_held(defined, held))
    report("the faults name their tests", check_column(text, held))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
