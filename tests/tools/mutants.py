#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks the library on purpose, in one place at a time, and sees whether the tests notice.

    mutants.py [--only PATTERN] [-j N]

Each file tests/mutants/LAYER/NAME.patch is a mutant. It begins with what it breaks and the case
that has to fail because of it, in words and names as in tests/ledger:

    Breaks: the rule or the point, in a sentence; it may go on in lines that are indented.
    Test: layer/subject_test:test_case back_end

Then comes the patch. The sources are copied to build/mutants and built there once. For each mutant
that copy is patched, the one test is built, and its one case is run. A mutant whose case passes has
survived: the test is missing, or weaker than it looks. That is a failure, and so are a patch that
does not apply any more, a mutant that does not build, and a case that fails without it. A case that
does not end within its limit in time counts as failed: it is said that it hung.
"""

import argparse
import ctypes
import filecmp
import fnmatch
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import run  # noqa: E402  (it must not leave compiled files among the sources)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MUTANTS = os.path.join(ROOT, "tests", "mutants")
SCRATCH = os.path.join(ROOT, "build", "mutants")
SOURCE = os.path.join(SCRATCH, "source")
BUILD = os.path.join(SCRATCH, "build")

COPIED = ("src", "include", "examples", "tests", "tools", "meson.build", "meson_options.txt")
OPTIONS = ("-Doptimization=1", "-Ddebug=false", "-Dtests=true", "-Dbench=false")
SECONDS = 20


class Broken(Exception):
    """A mutant that says nothing about the tests: why, in words."""


class Mutant:
    """A patch, the point that it breaks, and the case that has to fail then."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.relpath(path, MUTANTS)[:-len(".patch")]
        with open(path, encoding="utf-8") as file:
            text = file.read()
        head = re.match(r"Breaks: (.+(?:\n +.+)*)\nTest: (\S+):(\S+) (\S+)\n\n?--- ", text)
        if head is None:
            sys.exit(f"{path}: does not begin with `Breaks:` and `Test:` lines")
        self.breaks = re.sub(r"\s+", " ", head[1])
        self.test, self.case, self.back_end = head[2], head[3], head[4]
        self.files = re.findall(r"^\+\+\+ b/(\S+)", text, re.M)

    def key(self):
        return self.test, self.case, self.back_end

    def apply(self):
        """Patches the copy of the sources; no fuzz, so that it breaks what it says or nothing."""
        done = subprocess.run(
            ["patch", "-p1", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "-r", "-",
             "-i", self.path], cwd=SOURCE, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise Broken("the patch does not apply any more\n" + done.stdout)

    def restore(self):
        for name in self.files:
            shutil.copyfile(os.path.join(ROOT, name), os.path.join(SOURCE, name))


# ---- The copy of the sources, and its build ----


def copy_file(name):
    """Copies a file unless it is there; so nothing is built anew that did not change."""
    source, target = os.path.join(ROOT, name), os.path.join(SOURCE, name)
    if not os.path.exists(target) or not filecmp.cmp(source, target, shallow=False):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)


def copy_sources():
    wanted = set()
    for top in COPIED:
        if os.path.isfile(os.path.join(ROOT, top)):
            wanted.add(top)
        for folder, folders, names in os.walk(os.path.join(ROOT, top)):
            folders[:] = [name for name in folders if name not in ("__pycache__", "mutants")]
            wanted.update(os.path.relpath(os.path.join(folder, name), ROOT) for name in names)
    for name in sorted(wanted):
        copy_file(name)
    for folder, _, names in os.walk(SOURCE):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.relpath(path, SOURCE) not in wanted:
                os.remove(path)


def configure():
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        subprocess.run(["meson", "setup", BUILD, SOURCE, *OPTIONS], check=True,
                       stdout=subprocess.DEVNULL)


def ninja(targets, jobs):
    done = subprocess.run(["ninja", "-C", BUILD, "-j", str(jobs), *targets], check=False, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Broken("does not build\n" + done.stdout)


class Tests:
    """What the build folder knows of tests and programs."""

    def __init__(self):
        self.build = run.Build(BUILD)
        self.entries = {entry["name"]: entry for entry in self.build.introspect("tests")}
        self.examples = [os.path.relpath(target["filename"][0], BUILD)
                         for target in self.build.introspect("targets")
                         if target["type"] == "executable"
                         and target["defined_in"].startswith(os.path.join(SOURCE, "examples"))]

    def entry(self, mutant):
        name = mutant.test if mutant.back_end == "-" else f"{mutant.test}@{mutant.back_end}"
        if name not in self.entries:
            raise Broken(f"there is no test {name}")
        return self.entries[name]

    def targets(self, mutant):
        if mutant.test.startswith("programs/"):
            return self.examples
        return [os.path.relpath(self.entry(mutant)["cmd"][0], BUILD)]


class Trial(run.Test):
    """One case, of programs that are copies: the next mutant is built while it runs."""

    def __init__(self, tests, mutant, patched):
        entry = tests.entry(mutant)
        super().__init__(tests.build, entry, False)
        self.mutant, self.patched = mutant, patched
        self.timeout = SECONDS
        self.copies = os.path.join(SCRATCH, "run", self.title())
        shutil.rmtree(self.copies, ignore_errors=True)
        self.env["EVERT_CASE"] = mutant.case
        if mutant.test.startswith("programs/"):
            self.env["EVERT_BUILD"] = self.copies
            for path in tests.examples + glob.glob("src/*.so*", root_dir=BUILD):
                if os.path.isfile(os.path.join(BUILD, path)):
                    self.copy(path)
        else:
            self.command = [self.copy(tests.targets(mutant)[0])]

    def title(self):
        return self.mutant.name.replace("/", "-") + ("" if self.patched else "-without")

    def copy(self, path):
        target = os.path.join(self.copies, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(os.path.join(BUILD, path), target, follow_symlinks=False)
        return target


# ---- Verdicts ----


def verdict(cases, problems):
    """How the case ended, in a word; None where it passed, or is not to be found."""
    if "(time)" in cases:
        return "hung"
    for problem in problems:
        if problem.startswith("ended by signal"):
            return problem.split()[-1]
    return "failed" if "fail" in cases.values() else None


class Judge(run.Runner):
    """Runs trials, and says what became of each."""

    def __init__(self, jobs):
        super().__init__([], jobs, os.path.join(SCRATCH, "output"))
        self.green = {}  # without a mutant: {(test, case, back end): None, or what is wrong}
        self.counts = {"caught": 0, "SURVIVED": 0, "BROKEN": 0}

    def add(self, trial):
        """Starts a trial, if need be after another one has ended."""
        self.waiting.append(trial)
        while self.waiting:
            self.step()

    def finish_all(self):
        while self.running:
            self.step()

    def note(self, test, cases, text, problems, seconds):
        shutil.rmtree(test.copies, ignore_errors=True)
        mutant = test.mutant
        how = verdict(cases, problems)
        if not test.patched:
            if how is None and cases.get(mutant.case) != "pass":
                how = "did not run"
            self.green[mutant.key()] = how and f"{mutant.case} {how} without it\n{text}"
        elif how is None:
            self.say(mutant, "SURVIVED", f"{seconds:5.1f} s  {mutant.test}:{mutant.case} "
                                         f"{mutant.back_end} passes, though this is broken: "
                                         f"{mutant.breaks}")
        else:
            self.say(mutant, "caught", f"{seconds:5.1f} s  {how:8} {mutant.case}")

    def say(self, mutant, word, words):
        self.counts[word] += 1
        print(f"{word:9} {mutant.name:36} {words}", flush=True)


def look_at_the_unbroken(mutants, tests, judge, build_jobs):
    """Builds all that is needed, and runs each named case as it should be."""
    targets = set()
    for mutant in mutants:
        targets.update(tests.targets(mutant))
    ninja(sorted(targets), build_jobs)
    for mutant in {mutant.key(): mutant for mutant in mutants}.values():
        judge.add(Trial(tests, mutant, False))
    judge.finish_all()


def try_mutant(mutant, tests, judge, build_jobs):
    if judge.green[mutant.key()] is not None:
        raise Broken(judge.green[mutant.key()])
    try:
        mutant.apply()
        ninja(tests.targets(mutant), build_jobs)
    finally:
        mutant.restore()
    judge.add(Trial(tests, mutant, True))


def try_all(mutants, judge, build_jobs):
    copy_sources()
    configure()
    tests = Tests()
    look_at_the_unbroken(mutants, tests, judge, build_jobs)
    for mutant in mutants:
        try:
            try_mutant(mutant, tests, judge, build_jobs)
        except Broken as why:
            judge.say(mutant, "BROKEN", str(why))
    judge.finish_all()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--only", default="*", metavar="PATTERN",
                        help="only mutants whose name fits, such as 'loop/*'")
    parser.add_argument("-j", type=int, default=2, dest="jobs", metavar="N",
                        help="how many compilers run at once, and half as many as tests do")
    options = parser.parse_args()

    ctypes.CDLL(None).prctl(run.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    mutants = [Mutant(path) for path in sorted(glob.glob(os.path.join(MUTANTS, "*/*.patch")))]
    mutants = [mutant for mutant in mutants if fnmatch.fnmatchcase(mutant.name, options.only)]
    started = time.monotonic()
    judge = Judge(2 * options.jobs)  # what hangs takes no processor
    try:
        try_all(mutants, judge, options.jobs)
    except Broken as why:
        sys.exit(f"without a mutant: {why}")
    finally:
        judge.stop()
    judge.check_strays()

    counts = judge.counts
    print(f"\n{len(mutants)} mutants in {time.monotonic() - started:.0f} s: {counts['caught']} "
          f"caught, {counts['SURVIVED']} survived, {counts['BROKEN']} broken", flush=True)
    all_caught = mutants and counts["caught"] == len(mutants)
    return 0 if all_caught and judge.totals["fail"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
