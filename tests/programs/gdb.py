#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gdb and the library's script in it: the tasks of a process and of core files, listed, each with
its frames and its variables, and steps through a switch of stacks."""

import contextlib
import glob
import os
import re
import resource
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import BUILD, SOURCE, Failed, Server, expect  # noqa: E402

PROGRAMS = {name: os.path.join(BUILD, "tests", name) for name in ("gdb_tasks", "gdb_tasks_static")}

# Is gdb itself at a loss, or does it make something up?
BOGUS = re.compile(r"\?\?|Backtrace stopped|corrupt|Python Exception|Error occurred"
                   r"|Undefined (info )?command|^#\d+ +0x0+ in ", re.M)

GDB = ["gdb", "-q", "-nx", "-batch",
       "-iex", f"add-auto-load-safe-path {BUILD}",
       "-iex", "set breakpoint pending on",
       "-iex", "set width 0", "-iex", "set confirm off", "-iex", "set style enabled off"]
GDB_LIMIT = 90  # seconds; it takes one or two where the machine has nothing else to do

# What gdb_tasks has when all is set: the tasks of its second loop, as they stand below each other.
PARKED_FOR_LONG = r"for (1 h|(60|5\d|5\d\.\d) min) more"
TASKS = [
    # name, state, waits in
    ("parent", "parked", "evert_scope_leave for 11 tasks"),
    ("  sleeper", "parked", rf"evert_sleep(_until)? {PARKED_FOR_LONG}"),
    ("  server", "parked", r"evert_serve on tcp://127\.0\.0\.1:\d+"),
    ("    holds", "parked", rf"evert_sleep(_until)? {PARKED_FOR_LONG}"),
    ("    holds", "parked", rf"evert_sleep(_until)? {PARKED_FOR_LONG}"),
    ("  reader", "parked", r"evert_read_line on descriptor \d+"),
    ("  writer", "parked", r"evert_write on descriptor \d+"),
    ("  joiner", "parked", r"evert_task_join of 2 \(sleeper\)"),
    ("  awaiter", "parked", r"evert_await of gdb_tasks\.c:\d+"),
    ("  leaver", "parked", "evert_scope_leave for 2 tasks"),
    ("    sleeps", "parked", rf"evert_sleep(_until)? {PARKED_FOR_LONG}"),
    ("    sleeps", "parked", rf"evert_sleep(_until)? {PARKED_FOR_LONG}"),
    ("  deep", "parked", rf"evert_sleep(_until)? {PARKED_FOR_LONG}"),
    ("  yielder", "ready", ""),
    ("  starter", "starting", "evert_deferred_from"),
    ("  sleeps", "ready", ""),
    ("looks", "running", ""),
]
NUMBERS = {name.strip(): number for name, number in [
    ("sleeper", 2), ("server", 3), ("reader", 4), ("writer", 5), ("joiner", 6), ("awaiter", 7),
    ("leaver", 8), ("deep", 9), ("yielder", 10), ("starter", 15), ("looks", 16), ("new", 17)]}

# evert_yield() ends in the switch, and has no frame then, but where there is more to check.
YIELD = ["evert_yield"] if "address" in os.environ["EVERT_SANITIZE"] else []

# Functions that must be among a task's frames, the innermost first.
FRAMES = {
    "reader": ["evert__wait_flat", "evert_read_line", "reads", "evert__task_entry"],
    "writer": ["evert__wait", "evert_write", "writes", "evert__task_entry"],
    "awaiter": ["evert__wait", "evert_await", "awaits", "evert__task_entry"],
    "leaver": ["evert__wait", "evert_scope_leave", "leaves", "evert__task_entry"],
    "deep": ["evert__wait", "deep", "deep", "deep", "evert__task_entry"],
    "yielder": [*YIELD, "yields", "evert__task_entry"],
    "starter": ["evert__task_start", "evert_deferred_from", "starts_another", "evert__task_entry"],
    "looks": ["all_is_set", "looks", "evert__task_entry"],
}


# ---- gdb ----


def gdb(target, *commands):
    """Runs gdb on the target with these commands. Gives what it said."""
    words = [*GDB]
    for command in commands:
        words += ["-ex", command]
    environment = os.environ | {"LC_ALL": "C", "DEBUGINFOD_URLS": ""}
    # The leak sanitizer cannot work in a process that is traced, nor is anything of it wanted.
    options = environment.get("ASAN_OPTIONS", "")
    environment["ASAN_OPTIONS"] = f"{options}:detect_leaks=0:handle_segv=0:handle_abort=0"
    done = subprocess.run([*words, *target], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=GDB_LIMIT, env=environment,
                          check=False)
    said = done.stdout.decode(errors="replace")
    match = BOGUS.search(said)
    if match:
        raise Failed(f"gdb: {match[0]!r} in:\n{said[-4000:]}")
    return said


def run_to_the_stop(program, *commands):
    return gdb(["--args", program, "stop"], "break all_is_set", "run", *commands, "kill")


def marked(command, mark):
    """The command with marks around what it says."""
    return [f"echo <{mark}\\n", command, f"echo {mark}>\\n"]


def between(said, mark):
    match = re.search(rf"<{mark}\n(.*?){mark}>\n", said, re.S)
    if match is None:
        raise Failed(f"gdb did not come to {mark}:\n{said}")
    return match[1]


# ---- The list ----


def table(said, loop):
    """The rows of one loop's tasks, each a dictionary by the words of the head."""
    lines = said.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(f"Loop {loop}")), None)
    if start is None:
        raise Failed(f"expected the tasks of loop {loop}, got:\n{said}")
    head = lines[start + 1]
    names = re.split(r"  +", head.strip())
    columns = [head.index(name) for name in names[1:]] + [len(head) + 10]
    rows = []
    for line in lines[start + 2:]:
        if not re.match(r" +\d+ ", line):
            break
        row = {name: line[columns[i]:columns[i + 1]].rstrip() for i, name in enumerate(names[1:])}
        rows.append(row | {"No": int(line[:columns[0]])})
    return rows


def expect_tasks(said):
    rows = table(said, 2)
    expect("tasks", [name for name, _, _ in TASKS], [row["Task"] for row in rows])
    for row, (name, state, waits) in zip(rows, TASKS):
        expect(f"state of {name}", state, row["State"])
        if not re.fullmatch(waits, row["Waits in"]):
            raise Failed(f"{name} waits in: expected {waits!r}, got {row['Waits in']!r}")
        if not re.match(r"gdb_tasks\.c:\d+$", row["Spawned at"]):
            raise Failed(f"{name}: expected where it was spawned, got {row['Spawned at']!r}")
        if not row["At"]:
            raise Failed(f"{name}: expected where it stands, got nothing")
        if (state == "parked") != bool(row["Since"]):
            raise Failed(f"{name}: {state}, since {row['Since']!r}")
    places = {row["Task"].strip(): row["At"] for row in rows}
    expect("where the last one stands", "not begun", rows[-2]["At"])
    for name, call in (("reader", "evert_read_line("), ("writer", "evert_write("),
                       ("deep", "evert_sleep("), ("leaver", "evert_scope_leave("),
                       ("yielder", "evert_yield(")):
        expect_call(name, places[name], call)
    deep = next(row["Stack"] for row in rows if row["Task"] == "  deep")
    if float(deep.split()[0]) < 20:
        raise Failed(f"stack of the deep one: expected more than 20 KiB, got {deep!r}")
    other = table(said, 1)
    expect("the other loop's own task", ("main", "blocking"),
           (other[0]["Task"], other[0]["State"]))
    expect("the other loop's task", ("  sleeps", "parked"), (other[1]["Task"], other[1]["State"]))
    return [(row["No"], row["Task"], row["State"], row["At"]) for row in rows]


def expect_call(name, place, call):
    """The place is that of a call in the source."""
    file, _, line = place.partition(":")
    with open(os.path.join(SOURCE, "tests/programs", file), encoding="utf-8") as source:
        text = source.read().splitlines()[int(line) - 1]
    if call not in text:
        raise Failed(f"{name} is said to stand at {place}, which is {text!r} and not {call!r}")


# ---- Frames ----


def functions(backtrace):
    return re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?([\w.]+) ?\(", backtrace, re.M)


def expect_frames(task, backtrace):
    names = functions(backtrace)
    rest = iter(names)
    for wanted in FRAMES[task]:
        if wanted not in rest:
            raise Failed(f"{task}: expected the frames {FRAMES[task]}, got {names}")
    if names[-1] not in ("evert__context_begin", "evert__task_entry"):
        raise Failed(f"{task}: expected nothing behind the first function, got {names}")
    if "main" in names or "evert__loop_turn" in names:
        raise Failed(f"{task}: expected its own frames, got {names}")


def backtraces():
    return [word for task in FRAMES for word in marked(f"evert-task 2.{NUMBERS[task]} bt", task)]


LOOK = ["info evert-tasks", *backtraces(),
        *marked(f"evert-task 2.{NUMBERS['reader']} print marker", "marker"),
        *marked(f"evert-task 2.{NUMBERS['new']} bt", "new"),
        *marked("evert-task 2.0 bt", "loop"),
        *marked("evert-task all bt 1", "all")]
BLOCKING = marked("evert-task 1.0 bt", "blocking")


def expect_all(said):
    """The answers to LOOK are right. Gives what is the same in each process."""
    rows = expect_tasks(said)
    for task in FRAMES:
        expect_frames(task, between(said, task))
    expect("a variable of the reader's", "$1 = 4242", between(said, "marker").strip())
    if functions(between(said, "new")) not in (["evert__context_begin"], ["begin"]):
        raise Failed(f"expected a task that has not begun, got {between(said, 'new')!r}")
    names = functions(between(said, "loop"))
    if "evert_run_on_at" not in names or "main" not in names:
        raise Failed(f"the loop's own frames: expected main's, got {names}")
    headings = re.findall(r"^Task [12]\.(\d+) \(\w+\), \w+:\n#", between(said, "all"), re.M)
    if len(headings) < len(TASKS) + 1:
        raise Failed(f"expected {len(TASKS) + 1} tasks, each with a frame, got {headings}")
    return rows


def expect_blocking(said):
    names = functions(between(said, "blocking"))
    if "evert_scope_leave" not in names or "blocks" not in names:
        raise Failed(f"the other loop's own frames: expected blocks(), got {names}")


# ---- Cases ----


def lists_the_tasks_of_a_process(program):
    expect_all(run_to_the_stop(program, *LOOK))


def finds_the_thread_that_blocks(program):
    """The other loop's, which runs no task."""
    expect_blocking(run_to_the_stop(program, *BLOCKING))


def changes_nothing(program):
    registers = ["info registers", "bt", "frame"]
    said = run_to_the_stop(
        program, *(word for i, command in enumerate(registers)
                   for word in marked(command, f"before{i}")),
        *LOOK, *(word for i, command in enumerate(registers)
                 for word in marked(command, f"after{i}")),
        "continue")
    for i, command in enumerate(registers):
        expect(command, between(said, f"before{i}"), between(said, f"after{i}"))
    if "exited normally" not in said:
        raise Failed(f"expected the program to go on to its end, got:\n{said}")


def reads_a_core_that_gdb_made(program):
    with tempfile.TemporaryDirectory() as folder:
        core = os.path.join(folder, "core")
        live = run_to_the_stop(program, f"evert-core {core}", *LOOK)
        expect("rows of the core", expect_all(live), expect_all(gdb([program, core], *LOOK)))


def crash(program, how, folder):
    """Gives a core file of the program's death."""
    def leave_cores():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)

    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        pattern = file.read().strip()
    if pattern.startswith(("|", "/")):
        support.comment(f"cores go to {pattern!r} here: gdb makes one where the program dies")
        core = os.path.join(folder, "core")
        gdb(["--args", program, how], "handle SIGSEGV SIGABRT stop nopass", "run",
            f"generate-core-file {core}", "kill")
        return core
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:handle_abort=0:"
                                                "disable_coredump=0"}
    ended = subprocess.run([program, how], cwd=folder, preexec_fn=leave_cores, env=environment,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=support.LIMIT,
                           check=False)
    if ended.returncode >= 0:
        raise Failed(f"{how}: expected the end by a signal, got status {ended.returncode}, "
                     f"{ended.stderr!r}")
    return glob.glob(os.path.join(folder, "core*"))[0]


def reads_the_core_of_a_crash(program):
    with tempfile.TemporaryDirectory() as folder:
        core = crash(program, "crash", folder)
        said = gdb([program, core], *LOOK, *BLOCKING)
        expect_all(said)
        expect_blocking(said)
        expect_frames("looks", between(said, "looks"))
        if not re.search(r"abort \(", between(said, "looks")):
            raise Failed(f"expected abort() among the frames, got {between(said, 'looks')}")


def reads_the_core_of_an_overflow(program):
    with tempfile.TemporaryDirectory() as folder:
        core = crash(program, "overflow", folder)
        said = gdb([program, core], "info evert-tasks",
                   *marked(f"evert-task 2.{NUMBERS['looks']} bt 20", "deep"))
    row = table(said, 2)[-1]
    expect("the last task", ("looks", "running"), (row["Task"], row["State"]))
    if float(row["Stack"].split()[0]) < 120:
        raise Failed(f"expected all of its stack in use, got {row['Stack']!r}")
    expect("frames", {"too_deep"}, set(functions(between(said, "deep"))))


def finds_a_task_in_a_handler_of_signals(program):
    """The handler of the overflow has a stack of its own."""
    said = gdb(["--args", program, "overflow"], "handle SIGSEGV nostop noprint pass",
               "break explain", "run", "info evert-tasks",
               *marked(f"evert-task 2.{NUMBERS['looks']} bt 2", "deep"), "kill")
    row = table(said, 2)[-1]
    expect("the last task", ("looks", "running"), (row["Task"], row["State"]))
    expect("innermost function", "explain", functions(between(said, "deep"))[0])


# In Python, in gdb: through switches, one instruction after the other, and the frames at each.
STEPS = r"""
import gdb
SWITCHES = ("evert__context_switch", "evert__context_switch_alike")
gdb.execute("break all_is_set")
gdb.execute("run")
gdb.execute("delete")
for name in SWITCHES:
    gdb.execute(f"break {name} thread 1")
landed = set()
bad = 0
for _ in range(12):
    gdb.execute("continue", to_string=True)
    while gdb.newest_frame().name() in SWITCHES:
        gdb.execute("stepi", to_string=True)
        frame, names = gdb.newest_frame(), []
        while frame is not None:
            names.append(frame.name() or "??")
            frame = frame.older()
        if names[-1] not in ("evert__context_begin", "main"):
            bad += 1
            print("BAD", names)
    landed.add((names[0], names[-1]))
for names in sorted(landed):
    print("LANDED", *names)
print("DONE", bad)
gdb.execute("kill")
"""


def steps_through_switches(program):
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "steps.py")
        with open(script, "w", encoding="ascii") as file:
            file.write(STEPS)
        said = gdb(["--args", program, "stop"], f"source {script}")
    if "DONE 0" not in said.splitlines():
        raise Failed(f"frames in the middle of a switch:\n{said[-4000:]}")
    landed = {tuple(line.split()[1:]) for line in said.splitlines() if line.startswith("LANDED")}
    if not {("evert__context_begin",) * 2} < landed or "main" not in {last for _, last in landed}:
        raise Failed(f"expected switches to a new task, to others and to the loop, got {landed}")


def stops_at_the_entry_of_a_task(program):
    said = gdb(["--args", program, "stop"], "break sleeps_deep", "run", "bt", "kill")
    names = functions(said)
    expect("frames", ["sleeps_deep", "evert__task_entry"], names[:2])
    if names[2:] not in ([], ["evert__context_begin"]):
        raise Failed(f"expected nothing behind the first function, got {names}")


def tells_which_file_a_task_waits_for(program):
    look = ["info evert-tasks", "continue"]
    said = gdb(["--args", program, "files"], "break evert__tell_file", "run", *look * 3)
    waits = re.findall(r" uses_files +parked +[\d.]+ \w+ +(evert_.*?)  ", said)
    wanted = ["evert_file_open( of|_at of) /dev/null", r"evert_file_write on descriptor \d+",
              r"evert_file_close on descriptor \d+"]
    if len(waits) != 3 or not all(map(re.fullmatch, wanted, waits)):
        raise Failed(f"expected what it waits for, got {waits} in:\n{said[-4000:]}")


def attaches_to_a_server():
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(support.example("greeting/coroutine_server")))
        peers = stack.enter_context(support.connections(server.address, 5))
        for peer in peers:
            support.converse(peer, b"World\r\n", b"Hello, World!\r\n")
        said = gdb(["-p", str(server.pid)], "info evert-tasks", "evert-task 3 bt", "detach")
        rows = table(said, 1)
        expect("tasks", ["serve"] + ["  greet"] * 5, [row["Task"] for row in rows])
        expect("what they wait in", {"evert_read_line"},
               {row["Waits in"].split()[0] for row in rows[1:]})
        support.converse(peers[0], b"World\r\n", b"Hello, World!\r\n")
        for peer in peers:
            peer.close()
        server.stop()


def knows_every_kind_of_wait():
    """The functions that cancel a wait, in the sources, and in the script's table."""
    kinds = set()
    for path in glob.glob(os.path.join(SOURCE, "src/*/*.c")):
        with open(path, encoding="utf-8") as file:
            kinds |= set(re.findall(r"waiter(?:\.|->)cancel = (\w+)", file.read()))
    with open(os.path.join(SOURCE, "tools/gdb/evert.py"), encoding="utf-8") as file:
        known = set(re.findall(r'^    "(stop_\w+)":', file.read(), re.M))
    expect("kinds of waits", sorted(kinds), sorted(known))


def says_what_is_wrong():
    said = gdb([PROGRAMS["gdb_tasks_static"]], "info evert-tasks")
    expect("without a process", "there is no process and no core file", said.splitlines()[-1])
    said = gdb(["--args", PROGRAMS["gdb_tasks"], "stop"], "break wait_for_the_rest", "run",
               *marked("evert-task 2.0 bt", "lost"), "kill")
    expect("of a loop that does not run", "which thread runs loop 2 is not known",
           between(said, "lost").strip())
    answers = {
        "evert-task": "usage: evert-task NUMBER|all COMMAND",
        "evert-task 2.4": "usage: evert-task NUMBER|all COMMAND",
        "evert-task x bt": "x is not the number of a task",
        "evert-task 2.99 bt": "there is no task 2.99",
        "evert-task 1 bt": "there are several: 1.1 (sleeps), 2.1 (parent)",
        "info evert-tasks all": "info evert-tasks takes no argument",
    }
    said = run_to_the_stop(PROGRAMS["gdb_tasks"], *(
        word for i, command in enumerate(answers) for word in marked(command, f"answer{i}")))
    for i, (command, answer) in enumerate(answers.items()):
        expect(f"answer to {command}", answer, between(said, f"answer{i}").strip())


def main():
    cases = support.Cases()
    support.CASE_LIMIT = 2 * GDB_LIMIT
    for name, program in PROGRAMS.items():
        for function in lists_the_tasks_of_a_process, reads_the_core_of_a_crash:
            cases.run(f"{support.words_of(function)} of {name}", function, program)
    program = PROGRAMS["gdb_tasks"]
    functions = [finds_the_thread_that_blocks, changes_nothing, reads_the_core_of_an_overflow,
                 finds_a_task_in_a_handler_of_signals, stops_at_the_entry_of_a_task,
                 tells_which_file_a_task_waits_for]
    if "address" not in os.environ["EVERT_SANITIZE"]:  # whose terabytes gdb would write
        functions.append(reads_a_core_that_gdb_made)
    if os.environ["EVERT_SWITCH"] == "asm":  # the other one is the C library's
        functions.append(steps_through_switches)
    for function in functions:
        cases.run(support.words_of(function), function, program)
    for function in attaches_to_a_server, knows_every_kind_of_wait, says_what_is_wrong:
        cases.run(support.words_of(function), function)
    cases.exit()


if __name__ == "__main__":
    main()
