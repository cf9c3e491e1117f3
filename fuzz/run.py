#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a fuzz target: first each of its seeds, then new inputs made of them. Prints TAP lines.

    run.py [--seconds N] PROGRAM SEEDS

As a test it makes a fixed number of new inputs, or as many as a minute gives where EVERT_LONG is
set, and keeps none. With --seconds it goes on for that long, and what it learns is kept in `corpus`
beside the program, so that the next time begins where this one ended.

An input that ends the program is kept in `findings` beside the program. It belongs among the seeds,
under a name that says what it showed, in the commit that mends what it found.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

RUNS = 6000  # two or three seconds for the slowest of the targets
LONG_SECONDS = 60

# Longer inputs find no more, and take longer.
MOST_BYTES = 2048

# Where the report of a finding begins.
SAYS_WHY = re.compile(r": not so: |: runtime error: |==\d+== ?ERROR|Error:")

OPTIONS = [f"-max_len={MOST_BYTES}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]


def run(program, arguments):
    """Gives (status, what it printed)."""
    done = subprocess.run([program, *OPTIONS, *arguments], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                          check=False)
    return done.returncode, done.stdout


def report(name, status, output, program):
    """Prints a TAP line, and what there is to say."""
    if status == 0:
        print(f"ok - {name}")
        return True
    print(f"not ok - {name}")
    lines = output.splitlines()
    begins = [number for number, line in enumerate(lines) if SAYS_WHY.search(line)]
    for line in lines[begins[0]:][:40] if begins else lines[-40:]:
        print(f"# {line}")
    for path in re.findall(r"Test unit written to (\S+)", output):
        print(f"# to repeat: {program} {path}")
        print(f"# to make it smaller: {program} -minimize_crash=1 -max_total_time=60 {path}")
    sys.stdout.flush()
    return False


def stats(output):
    """Says how much was tried."""
    for line in output.splitlines():
        if re.match(r"stat::(number_of|average|new_units|peak)|#\d+\s+DONE", line):
            print(f"# {line}")


def run_seeds(program, seeds, findings):
    files = sorted(os.path.join(seeds, name) for name in os.listdir(seeds))
    status, output = run(program, [f"-artifact_prefix={findings}/", *files])
    ran = len(re.findall(r"^Executed ", output, re.M))
    if status == 0 and (not files or ran != len(files)):
        status, output = 1, f"{output}\n{ran} of {len(files)} seeds ran"
    return report("each seed", status, output, program)


def run_new(program, seeds, findings, limits, corpus):
    status, output = run(program, [f"-artifact_prefix={findings}/", *limits, corpus, seeds])
    good = report("new inputs", status, output, program)
    stats(output)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, metavar="N")
    parser.add_argument("program", metavar="PROGRAM")
    parser.add_argument("seeds", metavar="SEEDS")
    options = parser.parse_args()

    program = os.path.abspath(options.program)
    folder, name = os.path.split(program)
    findings = os.path.join(folder, "findings", name)
    os.makedirs(findings, exist_ok=True)

    good = run_seeds(program, options.seeds, findings)
    if options.seconds is not None:
        corpus = os.path.join(folder, "corpus", name)
        os.makedirs(corpus, exist_ok=True)
        limits = [f"-max_total_time={options.seconds}"]
        good = run_new(program, options.seeds, findings, limits, corpus) and good
    else:
        long = os.environ.get("EVERT_LONG")
        limits = [f"-max_total_time={LONG_SECONDS}" if long else f"-runs={RUNS}"]
        with tempfile.TemporaryDirectory(prefix="evert-fuzz-") as corpus:
            good = run_new(program, options.seeds, findings, limits, corpus) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
