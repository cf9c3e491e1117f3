#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests of one or more Meson build folders and counts their cases.

    run.py [--long] [--repeat N] [--only PATTERN] [-j N] BUILD...

A folder built with the thread sanitizer runs only the tests in suite `threads`; one with the memory
sanitizer only one back end; one with the ucontext switch beside others only the suites `coro` and
`stream`, and not on io_uring; the rules on the sources (suite `tidy`) and the back end
adverse-uring run once, in the first folder; the suite `long` only with --long. PATTERN is a shell
pattern for the names of tests, such as 'coro/*' or '*@epoll'.

A test is a program. It fails when one of its cases fails, when it ends badly, when it ran no case,
when it takes too long, and when it leaves a process behind. It has a network of its own, where that
is allowed. Cases are read from what it prints: cmocka's output or TAP lines. A case that was
skipped makes the whole run fail: it would otherwise look as if it had held.

The results go to results.txt beside the first build folder, a line `build test backend case status`
each, and the ledger (tests/ledger) is checked against them.
"""

import argparse
import ctypes
import fnmatch
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import ledger  # noqa: E402  (it must not leave compiled files among the sources)
import network  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36

# What makes each sanitizer strict, and end a program at the first report.
SANITIZER_ENV = {
    "address": ("ASAN_OPTIONS", "detect_stack_use_after_return=1:strict_string_checks=1:"
                                "strict_init_order=1:check_initialization_order=1"),
    "undefined": ("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1"),
    "thread": ("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1"),
    "memory": ("MSAN_OPTIONS", "halt_on_error=1"),
}

# How long a program that is about to end may outlive its test.
GRACE_SECONDS = 0.3

TAIL_LINES = 60


class Test:
    """One program, in one build folder, with one back end."""

    def __init__(self, build, entry, long):
        self.build = build
        self.name, _, back_end = entry["name"].partition("@")
        self.back_end = back_end or "-"
        self.command = entry["cmd"]
        self.folder = entry.get("workdir") or os.getcwd()
        self.suites = {suite.rpartition(":")[2] for suite in entry["suite"]}
        self.alone = not entry["is_parallel"]
        self.timeout = entry["timeout"] or 120
        self.timeout *= (3 if build.sanitizers else 1) * (5 if long else 1)
        # What differs from the environment of the runner, also shown to who repeats the test.
        self.env = dict(entry["env"])
        for sanitizer in build.sanitizers:
            name, value = SANITIZER_ENV[sanitizer]
            extra = os.environ.get(name)
            self.env[name] = f"{value}:{extra}" if extra else value
        if long:
            self.env["EVERT_LONG"] = "1"

    def title(self):
        return self.name if self.back_end == "-" else f"{self.name}@{self.back_end}"

    def repeat_command(self):
        env = [f"{name}={shlex.quote(value)}" for name, value in sorted(self.env.items())]
        return " ".join([f"cd {shlex.quote(self.folder)} &&", *env, shlex.join(self.command)])


class Build:
    """A Meson build folder."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.name = os.path.basename(self.folder)
        options = {option["name"]: option["value"] for option in self.introspect("buildoptions")}
        self.sanitizers = [name for name in SANITIZER_ENV if name in options.get("b_sanitize", "")]
        self.threads_only = "thread" in self.sanitizers
        self.one_back_end = "memory" in self.sanitizers
        self.switch_only = options.get("switch") == "ucontext"

    def introspect(self, what):
        output = subprocess.run(
            ["meson", "introspect", f"--{what}", self.folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return json.loads(output.stdout)

    def tests(self, first, only_one, long):
        """The tests that are worth running here, of those that the folder has."""
        for entry in self.introspect("tests"):
            test = Test(self, entry, long)
            if "long" in test.suites and not long:
                wanted = False
            elif "tidy" in test.suites:
                wanted = first
            elif self.threads_only:
                wanted = "threads" in test.suites
            elif self.one_back_end:
                wanted = test.back_end in ("-", "epoll")
            elif self.switch_only and not only_one:
                wanted = bool(test.suites & {"coro", "stream"}) and test.back_end != "uring"
            else:
                wanted = True
            if wanted and (first or test.back_end != "adverse-uring"):
                yield test


# ---- Cases, from what a test printed ----

CMOCKA_COUNT = re.compile(r"\[==========\] Running (\d+) test")
CMOCKA_CASE = re.compile(r"\[ *(RUN|OK|FAILED|SKIPPED|ERROR) *\] (\w+)\s*$")
CMOCKA_END = re.compile(r"\[==========\] \d+ test\(s\) run")
TAP_CASE = re.compile(r"^(not )?ok\b(?: \d+)?(?: -)?(?: (.*?))?(?: # *(skip|todo)\b.*)?$", re.I)
TAP_PLAN = re.compile(r"^1\.\.(\d+)(?: *# *(skip)\b.*)?$", re.I)

WORST = {"pass": 0, "skip": 1, "fail": 2}


def read_cases(text):
    """Gives {case: 'pass' | 'fail' | 'skip'} in the order of the output."""
    cases = {}
    begun = []
    promised = 0
    in_summary = False

    def note(name, status):
        name = re.sub(r"[\s,]+", "_", name.strip()) or "unnamed"
        if WORST[status] >= WORST.get(cases.get(name), 0):
            cases[name] = status

    for line in text.splitlines():
        match = CMOCKA_COUNT.search(line)
        if match:
            promised += int(match[1])
            in_summary = False
            continue
        if CMOCKA_END.search(line):
            # What follows repeats the names of the cases that failed.
            in_summary = True
            continue
        match = CMOCKA_CASE.search(line)
        if match and not in_summary:
            what, name = match.groups()
            if what == "RUN":
                begun.append(name)
            else:
                note(name, {"OK": "pass", "SKIPPED": "skip"}.get(what, "fail"))
            continue
        match = TAP_PLAN.match(line)
        if match:
            promised += int(match[1])
            if match[2]:
                note("(all)", "skip")
            continue
        match = TAP_CASE.match(line)
        if match:
            failed, name, directive = match.groups()
            skipped = (directive or "").lower() == "skip"
            note(name or f"case {len(cases) + 1}",
                 "fail" if failed else "skip" if skipped else "pass")

    for name in begun:
        if name not in cases:
            note(f"{name} (did not end)", "fail")
    if promised > len(cases) and "fail" not in cases.values():
        note(f"({promised - len(cases)} cases did not run)", "fail")
    return cases


# ---- Processes ----


def live_processes():
    """Gives (pid, parent, session) of each process that is not a zombie."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                # The name stands in brackets and may hold anything, so read on from the last one.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        state, parent, session = fields[0], int(fields[1]), int(fields[3])
        if state not in (b"Z", b"X"):
            yield int(entry), parent, session


def belongs_to(pid, session, test_pid, mark):
    if session == test_pid:
        return True
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def describe_process(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return f"{pid} ({file.read().replace(bytes(1), b' ').decode(errors='replace').strip()})"
    except OSError:
        return str(pid)


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def kill_quietly(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Running:
    """A test under way: its process, its mark on whatever it starts, and where its output goes."""

    count = 0

    def __init__(self, test, log_path):
        Running.count += 1
        self.test = test
        self.log_path = log_path
        mark = f"{os.getpid()}-{Running.count}"
        self.mark = f"EVERT_TEST_ID={mark}".encode()
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("EVERT_", "CMOCKA_"))}
        env.update(test.env, EVERT_TEST_ID=mark)
        os.makedirs(os.path.dirname(log_path), exist_ok=True)
        with open(log_path, "wb") as log:
            # A file and not a pipe: a process left behind could hold a pipe open for ever.
            self.process = subprocess.Popen(
                test.command, cwd=test.folder, env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=network.own)  # or no port that was closed would stay so
        self.start = time.monotonic()
        self.status = None
        self.seconds = 0.0
        self.timed_out = False

    @property
    def pid(self):
        return self.process.pid

    def ended(self, status):
        self.status = os.waitstatus_to_exitcode(status)
        self.process.returncode = self.status
        self.seconds = time.monotonic() - self.start

    def left_behind(self):
        return [pid for pid, _, session in live_processes()
                if belongs_to(pid, session, self.pid, self.mark)]

    def kill_left_behind(self):
        """Kills what the test left, again and again while it makes more. Gives it in words."""
        until = time.monotonic() + GRACE_SECONDS
        pids = self.left_behind()
        while pids and not self.timed_out and time.monotonic() < until:
            time.sleep(0.01)
            pids = self.left_behind()
        described = [describe_process(pid) for pid in pids]
        for _ in range(100):
            for pid in pids:
                kill_quietly(pid)
            pids = self.left_behind()
            if not pids:
                break
            time.sleep(0.01)
        return described

    def check_time(self):
        if not self.timed_out and time.monotonic() - self.start > self.test.timeout:
            self.timed_out = True
            os.killpg(self.pid, signal.SIGKILL)

    def result(self):
        """Gives (cases, text of the output, what went wrong besides cases)."""
        left = self.kill_left_behind()
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        cases = read_cases(text)
        problems = []
        if self.timed_out:
            cases["(time)"] = "fail"
            problems.append(f"took longer than {self.test.timeout} s and was killed")
        elif self.status < 0:
            cases["(signal)"] = "fail"
            problems.append(f"ended by signal {signal_name(-self.status)}")
        elif self.status != 0 and "fail" not in cases.values():
            cases["(exit)"] = "fail"
            problems.append(f"ended with status {self.status} though no case failed")
        elif self.status != 0:
            problems.append(f"ended with status {self.status}")
        if not cases:
            cases["(none)"] = "fail"
            problems.append("ran no case")
        if left:
            cases["(processes)"] = "fail"
            problems.append("left processes behind: " + ", ".join(left))
        return cases, text, problems


def told_of_failed(lines):
    """Of TAP lines, those of the cases that failed, with the comments before them."""
    told, comments = [], []
    for line in lines:
        comments.append(line)
        if not line.startswith("#"):
            if line.startswith("not ok"):
                told += comments[-TAIL_LINES:]
            comments = []
    return told


class Runner:
    def __init__(self, tests, jobs, log_folder):
        self.programs = len(tests)
        self.waiting = sorted(tests, key=lambda test: test.alone)
        self.jobs = jobs
        self.log_folder = log_folder
        self.running = []
        self.totals = {"pass": 0, "fail": 0, "skip": 0}
        self.results = {}
        self.failures = []

    def may_start(self):
        if not self.waiting or len(self.running) >= self.jobs:
            return False
        # Those that run alone come last, so none of the others has to wait for them.
        return not self.running or not (self.waiting[0].alone or self.running[0].test.alone)

    def start(self):
        test = self.waiting.pop(0)
        # One of its own for each that runs: with --repeat the same test may run twice at once.
        taken = {running.log_path for running in self.running}
        base = os.path.join(self.log_folder, test.build.name, test.title())
        path = next(path for number in range(len(taken) + 1)
                    if (path := f"{base}{f'.{number}' if number else ''}.txt") not in taken)
        try:
            self.running.append(Running(test, path))
        except OSError as error:
            self.note(test, {"(start)": "fail"}, "", [f"cannot be started: {error}"], 0.0)

    def reap(self):
        """Collects what ended: tests, and orphans of theirs (this process is their reaper)."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for running in self.running:
                if running.pid == pid:
                    running.ended(status)

    def note(self, test, cases, text, problems, seconds):
        for case, status in cases.items():
            self.totals[status] += 1
            key = test.build.name, test.name, test.back_end, case
            if WORST[status] >= WORST.get(self.results.get(key), 0):
                self.results[key] = status
        failed = "fail" in cases.values()
        word = "FAILED" if failed else "skip" if "skip" in cases.values() else "ok"
        number = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
        print(f"{word:6}  {test.build.name:9} {test.title():36} {number:>9} {seconds:8.2f} s",
              flush=True)
        for case, status in cases.items():
            if status == "skip":
                print(f"        skipped: {case}", flush=True)
        if failed:
            self.failures.append(f"{test.build.name} {test.title()}")
            self.explain(test, cases, text, problems)

    def explain(self, test, cases, text, problems):
        lines = text.splitlines()
        if len(lines) > TAIL_LINES:
            for line in told_of_failed(lines[:-TAIL_LINES]):
                print(f"    | {line}")
            print(f"    | ... of {len(lines)} lines, in {self.log_folder}")
        for line in lines[-TAIL_LINES:]:
            print(f"    | {line}")
        for case, status in cases.items():
            if status == "fail":
                print(f"    failed: {case}")
        for problem in problems:
            print(f"    {problem}")
        print(f"    to repeat: {test.repeat_command()}", flush=True)

    def finish(self):
        for running in [running for running in self.running if running.status is not None]:
            self.running.remove(running)
            cases, text, problems = running.result()
            self.note(running.test, cases, text, problems, running.seconds)

    def run(self):
        try:
            while self.waiting or self.running:
                self.step()
        finally:
            self.stop()
        self.check_strays()

    def step(self):
        while self.may_start():
            self.start()
        time.sleep(0.005)
        self.reap()
        for running in self.running:
            if running.status is None:
                running.check_time()
        self.finish()

    def stop(self):
        for running in self.running:
            running.timed_out = True
            running.kill_left_behind()

    def check_strays(self):
        """A process that shed its session and its environment is nobody's, but still a fault."""
        for _ in range(100):
            # The children of one that is killed come up in the next round.
            self.reap()
            strays = [pid for pid, parent, _ in live_processes() if parent == os.getpid()]
            if not strays:
                break
            for pid in strays:
                print(f"FAILED  a test left this process behind: {describe_process(pid)}",
                      flush=True)
                self.totals["fail"] += 1
                kill_quietly(pid)
            time.sleep(0.01)

    def write_results(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("# build test backend case status\n")
            for key, status in sorted(self.results.items()):
                file.write(" ".join(key) + f" {status}\n")

    def summarize(self, results_path, started):
        """Says how it went. Gives the status for the program to end with."""
        if self.failures:
            print("\nFailed:")
            for failure in self.failures:
                print(f"    {failure}")
        print(f"\n{self.programs} programs in {time.monotonic() - started:.0f} s; "
              f"cases in {results_path}")
        totals = self.totals
        print(f"{totals['pass']} passed, {totals['fail']} failed, {totals['skip']} skipped",
              flush=True)
        return 0 if totals["pass"] and not totals["fail"] and not totals["skip"] else 1


def prepare_process():
    """So that nothing that a test starts outlives the runner, nor slips away from it."""
    # Orphans of tests become children of this process.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # So that stopping the runner also kills what it has under way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("builds", nargs="+", metavar="BUILD")
    parser.add_argument("--long", action="store_true",
                        help="run what takes its time too (EVERT_LONG=1 tells the tests)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N")
    parser.add_argument("--only", metavar="PATTERN", help="only tests whose name fits")
    parser.add_argument("-j", type=int, default=2 * (os.cpu_count() or 1), dest="jobs", metavar="N",
                        help="so many at a time: twice the processors, as most of them wait")
    options = parser.parse_args()

    prepare_process()

    builds = [Build(folder) for folder in options.builds]
    top = os.path.dirname(builds[0].folder)
    tests = []
    for index, build in enumerate(builds):
        tests += build.tests(index == 0, len(builds) == 1, options.long)
    if options.only:
        tests = [test for test in tests
                 if fnmatch.fnmatchcase(test.title(), options.only)
                 or fnmatch.fnmatchcase(test.name, options.only)]

    started = time.monotonic()
    runner = Runner(tests * options.repeat, options.jobs, os.path.join(top, "test-output"))
    runner.run()
    results_path = os.path.join(top, "results.txt")
    runner.write_results(results_path)

    if options.only:
        print("The ledger was not checked: only some tests ran.")
    else:
        path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ledger")
        for problem in ledger.check(path, runner.results, builds[0].name):
            print(f"FAILED  ledger: {problem}")
            runner.totals["fail"] += 1

    return runner.summarize(results_path, started)


if __name__ == "__main__":
    sys.exit(main())
