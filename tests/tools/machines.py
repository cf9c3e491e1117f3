#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds Evert for other machines and another C library, and runs the tests there.

    machines.py [--only PATTERN] [-j N] FOLDER [MACHINE...]

Each machine of the table below is built in FOLDER/<name> by tests/machines/<name>.ini, warnings
being errors, and its tests are run by the parts of run.py, under an emulator where it needs one.
PATTERN is a shell pattern for the names of tests.

A case that cannot hold on a machine is named in the table, with the reason, which must lie outside
of Evert. Nothing else is left out.
"""

import argparse
import dataclasses
import errno
import fnmatch
import os
import re
import subprocess
import sys
import time
import typing

sys.dont_write_bytecode = True
import run  # noqa: E402  (it must not leave compiled files among the sources)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

UNITS = ("base/*", "loop/*", "deferred/*", "net/*", "coro/*", "stream/*")
PROGRAMS = ("programs/*",)
# An emulator takes its time to start, and these start thousands of programs. The unit tests run on
# each back end.
PROGRAMS_ONCE = ("programs/*@epoll",)

# What qemu-user 7.2 does not do: {test: {why: cases that are left out}}.
QEMU_LIMITS = {
    "loop/fork_test": {
        "qemu accepts MADV_WIPEONFORK and does nothing; a bare fork is not to be noticed then":
            ["test_fork_without_handlers_is_noticed"]},
    "loop/signals_test": {
        "qemu keeps two signals for itself, so SIGRTMAX cannot be raised":
            ["test_real_time_signals_can_be_watched"]},
    "loop/worker_test": {
        "qemu keeps two signals for itself, so SIGRTMAX cannot be blocked":
            ["test_a_worker_takes_no_signals_but_those_of_its_own_faults"]},
    "stream/send_file_test": {
        "qemu does not know preadv2(2), which tells what is in memory":
            ["test_what_is_in_memory_is_sent_from_there"]},
    "programs/real_faults_process": {
        "qemu takes memory and mappings of its own, and dies where these end":
            ["no_memory_is_left_for_stacks", "no_mapping_is_left_for_guards",
             "callback_server_serving_goes_on_without_memory",
             "coroutine_server_serving_goes_on_without_memory"],
        "at the limit of mappings it depends on the sizes of stacks who needs the next one first, "
        "and with ours it may be qemu":
            ["a_hundred_thousand_tasks_run"]},
}

# No unit tests run there.
RISCV64_LIMITS = {"programs/real_faults_process": QEMU_LIMITS["programs/real_faults_process"]}

MUSL_LIMITS = {
    "coro/switch_test": {
        "Debian's libgcc unwinds with the help of its own C library only":
            ["test_unwinding_ends_where_the_task_began"]},
    "programs/gdb": {
        "gdb does not read the thread-local variables of a program with musl":
            ["finds_the_thread_that_blocks"],
        "Debian's musl has no symbols, so gdb does not get through abort() and handlers of signals":
            ["reads_the_core_of_a_crash_of_gdb_tasks",
             "reads_the_core_of_a_crash_of_gdb_tasks_static",
             "finds_a_task_in_a_handler_of_signals"]},
}

MUSL_LINKS = {
    "include": ("/usr/include/linux", "/usr/include/asm-generic",
                "/usr/include/x86_64-linux-gnu/asm", "/usr/include/cmocka.h"),
    "lib": ("/usr/lib/x86_64-linux-gnu/libcmocka.so.0",),
}


def prepare_musl(folder):
    """
    Gives musl what Debian has for its other C library only, in a folder of links: the kernel's
    headers, and cmocka with the functions that it misses. Gives options for Meson.
    """
    for kind, targets in MUSL_LINKS.items():
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
        for target in targets:
            link = os.path.join(folder, kind, os.path.basename(target))
            if not os.path.lexists(link):
                os.symlink(target, link)
    # Under the name of a part of the other C library, which cmocka asks for.
    missing = os.path.join(folder, "lib/ld-linux-x86-64.so.2")
    subprocess.run(
        ["musl-gcc", "-O2", "-fPIC", "-shared", "-Wl,-soname," + os.path.basename(missing),
         "-o", missing, os.path.join(ROOT, "tests/machines/musl/missing.c")], check=True)
    with open(os.path.join(folder, "lib/cmocka.pc"), "w", encoding="utf-8") as file:
        file.write(f"""Name: cmocka
Description: the frame of the unit tests
Version: 1.1.5
Cflags: -isystem {folder}/include
Libs: {folder}/lib/libcmocka.so.0 \\
  -Wl,--push-state,--no-as-needed {missing} -Wl,--pop-state \\
  -Wl,-rpath,{folder}/lib -Wl,--allow-shlib-undefined
""")
    return [f"-Dpkg_config_path={folder}/lib"]


@dataclasses.dataclass
class Machine:
    """A row of the table."""

    name: str
    why: str
    compiler: str
    wrapper: tuple = ()  # what runs its programs
    slower: int = 1  # how many times as long a test may take
    tests: tuple = UNITS + PROGRAMS  # shell patterns
    limits: dict = dataclasses.field(default_factory=dict)  # as above
    prepare: typing.Callable = None
    env: dict = dataclasses.field(default_factory=dict)


# Under an emulator.
EMULATED = {"slower": 5, "tests": UNITS + PROGRAMS_ONCE, "limits": QEMU_LIMITS}

MACHINES = [
    Machine("i386", "sizes and pointers of 32 bits; the ucontext switch",
            "i686-linux-gnu-gcc"),
    Machine("musl", "another C library",
            "musl-gcc", limits=MUSL_LIMITS, prepare=prepare_musl, env={"EVERT_C_LIBRARY": "musl"}),
    Machine("aarch64", "the switch in assembly for this machine",
            "aarch64-linux-gnu-gcc", ("qemu-aarch64-static",), **EMULATED),
    Machine("s390x", "the other order of bytes; the ucontext switch",
            "s390x-linux-gnu-gcc", ("qemu-s390x-static",), **EMULATED),
    # Debian has no cmocka for it.
    Machine("riscv64", "one more machine for the ucontext switch",
            "riscv64-linux-gnu-gcc", ("qemu-riscv64-static", "-L", "/usr/riscv64-linux-gnu"),
            slower=5, tests=PROGRAMS_ONCE, limits=RISCV64_LIMITS),
]


def build(machine, folder):
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        options = machine.prepare(folder + "-extra") if machine.prepare else []
        subprocess.run(
            ["meson", "setup", folder, ROOT,
             "--cross-file", os.path.join(ROOT, "tests/machines", machine.name + ".ini"),
             "-Dwerror=true", "-Doptimization=2", "-Ddebug=true", "-Dbench=false",
             "-During=disabled", *options],
            stdin=subprocess.DEVNULL, check=True)
    subprocess.run(["ninja", "-C", folder], stdin=subprocess.DEVNULL, check=True)


def runs_here(machine, folder):
    """Whether its programs run: not every kernel of x86-64 knows those of 32 bits."""
    try:
        subprocess.run([*machine.wrapper, os.path.join(folder, "examples/echo/callback_server"),
                        "none"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return False
    return True


def fits(test, patterns):
    return any(fnmatch.fnmatchcase(name, pattern)
               for name in (test.name, test.title()) for pattern in patterns)


def tests_of(machine, folder):
    """The tests of the machine's row, ready for the runner."""
    built = run.Build(folder)
    for entry in built.introspect("tests"):
        test = run.Test(built, entry, False)
        if not fits(test, machine.tests):
            continue
        test.timeout *= machine.slower
        test.env.update(machine.env)
        if test.name in machine.limits:
            cases = [case for cases in machine.limits[test.name].values() for case in cases]
            test.env["EVERT_LEAVE_OUT"] = " ".join(cases)
        if test.command[0].startswith(built.folder):
            test.command = [*machine.wrapper, *test.command]
        else:
            test.env["EVERT_WRAPPER"] = " ".join(machine.wrapper)
        yield test


def is_there(test, case):
    """Whether the test's source has the function of that case, which may have more in its name."""
    is_program = test.startswith("programs/")
    path = os.path.join(ROOT, "tests", test + (".py" if is_program else ".c"))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if is_program:
        return any(name in case for name in re.findall(r"^def (\w+)\(", text, re.M))
    return f"({case})" in text


def check_limits(machine, results):
    """What is left out must be there, and must have been left out."""
    rows = [(test, why, case) for test, limits in machine.limits.items()
            for why, cases in limits.items() for case in cases]
    for test, why, case in rows:
        print(f"left out  {machine.name} {test}: {case}: {why}")
        if not is_there(test, case):
            yield f"{machine.name} {test}: there is no {case}"
        if any(key[:2] == (machine.name, test) and key[3] == case for key in results):
            yield f"{machine.name} {test}: {case} was not left out"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("machines", nargs="*", metavar="MACHINE")
    parser.add_argument("--only", metavar="PATTERN", help="only tests whose name fits")
    parser.add_argument("-j", type=int, default=2, dest="jobs", metavar="N")
    options = parser.parse_args()
    run.prepare_process()

    started = time.monotonic()
    top = os.path.abspath(options.folder)
    machines = [machine for machine in MACHINES
                if not options.machines or machine.name in options.machines]
    tests, strange = [], []
    for machine in machines:
        folder = os.path.join(top, machine.name)
        print(f"{machine.name} ({machine.compiler}): {machine.why}", flush=True)
        build(machine, folder)
        if runs_here(machine, folder):
            tests += tests_of(machine, folder)
        else:
            strange.append(f"{machine.name}: this kernel does not run its programs")
    if options.only:
        tests = [test for test in tests if fits(test, [options.only])]

    runner = run.Runner(tests, options.jobs, os.path.join(top, "test-output"))
    runner.run()
    results_path = os.path.join(top, "results.txt")
    runner.write_results(results_path)
    for machine in machines:
        strange += check_limits(machine, runner.results)
    for problem in strange:
        print(f"FAILED  {problem}")
        runner.totals["fail"] += 1
    return runner.summarize(results_path, started)


if __name__ == "__main__":
    sys.exit(main())
