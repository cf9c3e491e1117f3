#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The driver of the measurements: a row can be measured alone, and each kind of row is."""

import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import expect  # noqa: E402

sys.path.insert(0, os.path.join(support.SOURCE, "bench"))
import rows  # noqa: E402
from servers import RAW  # noqa: E402

RUN = os.path.join(support.SOURCE, "bench/run.py")
SLICE = 0.002


def run(*arguments):
    done = subprocess.run([sys.executable, "-B", RUN, *arguments], stdin=subprocess.DEVNULL,
                          timeout=100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.returncode, done.stdout


def rows_are_listed():
    status, output = run("--list")
    expect("status", 0, status)
    expect("rows", [row.name for row in rows.ROWS], [line.split()[0] for line in
                                                     output.splitlines()])


def an_unknown_row_is_an_error():
    status, output = run(support.BUILD, "line-1-65")
    expect("status", 2, status)
    expect("words", True, "there is no row 'line-1-65'" in output)


def a_row_is_measured_alone():
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(support.BUILD, "line-1-64", "--rounds", "1", "--seconds",
                             str(SLICE), "--no-peers", "--out", folder)
        support.comment(output)
        expect("status", 0, status)
        expect("files", ["line-1-64.json"], os.listdir(folder))
        with open(os.path.join(folder, "line-1-64.json"), encoding="utf-8") as file:
            results = json.load(file)
    for connections in ("1", "64"):
        for server in ("coroutines", "callbacks", RAW):
            calls = results["calls"][connections][server]
            for name in ("recvfrom", "sendto"):
                expect(f"{name}, {server}, {connections}", 1.0, round(calls[name], 2))
    for server in results["servers"]:
        expect("per_second", True, results["medians"][server]["per_second"] > 0)
        expect("cpu_ns", True, results["cpu_ns"][server] > 0)


def is_measured(row):
    """Whatever comes of it in so short a time."""
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(support.BUILD, row.name, "--rounds", "1", "--seconds",
                             str(10 * SLICE), "--no-peers", "--out", folder)
        support.comment(output)
        expect("status", True, status in (0, 1) and "Traceback" not in output)
        with open(os.path.join(folder, f"{row.name}.json"), encoding="utf-8") as file:
            expect("kind", row.kind, json.load(file)["kind"])


def a_server_is_measured_beside_itself():
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(support.BUILD, "--self", "connect", "--rounds", "1", "--seconds",
                             str(SLICE), "--out", folder)
        support.comment(output)
        expect("status", 0, status)
        with open(os.path.join(folder, "self-connect.json"), encoding="utf-8") as file:
            results = json.load(file)
    expect("servers", [{RAW, f"{RAW}, again"}], [set(each) for each in results["rounds"]])
    for what in ("throughput", "cpu"):  # how far from 1, only a machine without other work tells
        expect(what, True, results[what]["middle"] > 0)


def main():
    cases = support.Cases()
    for case in (rows_are_listed, an_unknown_row_is_an_error, a_row_is_measured_alone,
                 a_server_is_measured_beside_itself):
        cases.run(support.words_of(case), case)
    first_of_each_kind = {row.kind: row for row in reversed(rows.ROWS)}
    for kind, row in first_of_each_kind.items():
        if kind not in ("pairs", "self", "beside"):  # two are, above; the third takes long
            cases.run(f"{row.name} is measured", is_measured, row)
    cases.exit()


if __name__ == "__main__":
    main()
