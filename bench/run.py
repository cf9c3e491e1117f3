#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures Evert beside what it is held against, in pairs.

    bench/run.py BUILD [ROW...] [--quick] [--json FILE]     (for instance: build/release)

Rows, all of them unless named:

    depth-1     the greeting in coroutines beside the same straight on epoll, a name at a time
    depth-16    the same, 16 names at a time; and the system calls of both, counted
    callbacks-1, callbacks-16   both for the greeting in callbacks
    yield       a yield between two tasks beside a bare switch of stacks; tasks; timers
    deferred    a Deferred made, fired and freed; another callback in its chain
    idle        the bytes that the library allocates for an idle connection, by its allocator hook

A server and the load have a core each. In each round both servers are measured, one right after the
other, in an order that alternates, and each time in a new process; it is their ratio that counts,
since what the machine does besides falls on both. Given are the median of the rounds and the 95 %
interval of the median, by ranks. A bound that lies in the interval is called undecided: then more
rounds, or a quieter machine, have to tell. A round in which others had more than a tenth of the two
cores is set aside and measured again, a few times at the most; where they had it all the same,
nothing is decided. The exit status is 1 when a bound is clearly missed, a count is not what it
should be, or an answer was wrong.
"""

import argparse
import contextlib
import ctypes
import json
import math
import os
import platform
import re
import resource
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# In a pair: what is measured, and what beside.
OURS, RAW = "ours", "raw"
RAW_PROGRAM = "bench/raw_epoll_server"
PROGRAMS = {
    "coroutines": "examples/greeting/coroutine_server",
    "callbacks": "examples/greeting/callback_server",
}

CONNECTIONS = 64
LEAST_RATIO = {"coroutines": 0.95, "callbacks": 0.97}  # of our requests a second to raw's
MOST_CALLBACK = 60.0    # nanoseconds for a callback added and fired
MOST_IDLE = 600         # bytes allocated for an idle connection in callbacks
MOST_OVER_RAW = 40.0    # nanoseconds a request, 16 names at a time
COUNTED_SECONDS = 0.4   # under strace
MOST_OTHERS = 0.1       # of the two cores, for what else the machine does
PATIENCE = 10           # seconds for what should take none

PR_SET_PDEATHSIG = 1

CALL = re.compile(r"^(?:\d+ +)?(\w+)\((\d+).*= (-?\d+)")
ACCEPTS = {"accept", "accept4"}
RECEIVES = {"recvfrom", "recvmsg", "read", "readv"}
SENDS = {"sendto", "sendmsg", "write", "writev"}
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}


class Failure(Exception):
    pass


# --- Processes ------------------------------------------------------------------------------------


def choose_cores():
    """(server's core, load's core), or None for both where there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


SERVER_CORE, LOAD_CORE = choose_cores()


def die_with_parent(core):
    """In the new process: bound to a core, and ended when this program ends in whatever way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def started(command, core, target=None):
    """A process in a session of its own, so that Ctrl-C reaches it only through here; then ended.

    `target` tells which process to end, if it is not the one that was started.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                               start_new_session=True, preexec_fn=lambda: die_with_parent(core))
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(target(process) if target else process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def address_of(process):
    """Waits for the server to say where it listens."""
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
    line = process.stdout.readline() if ready else ""
    if not line.startswith("listening on "):
        raise Failure(f"{process.args[-2]} does not listen")
    return line.split()[-1]


def run_load(build, address, **options):
    """Gives the load's results; whatever went wrong there is an error of the measurement."""
    command = [build / "bench/load", address]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    with started(command, LOAD_CORE) as process:
        output, _ = process.communicate(timeout=options["seconds"] + 2 * PATIENCE)
    results = json.loads(output) if output else {"errors": 1}
    if process.returncode != 0 or results["errors"]:
        raise Failure(f"the load met {results['errors']} errors")
    return results


def cpu_seconds(pid):
    """What a process has used, to the nanosecond."""
    used = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        used += int(path.read_text(encoding="ascii").split()[0])
    return used / 1e9


def busy_seconds():
    """What the two cores have done, for whomever; 0 where that is not told."""
    ticks = 0
    with contextlib.suppress(OSError):
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields and fields[0] in (f"cpu{SERVER_CORE}", f"cpu{LOAD_CORE}"):
                user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
                ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# --- Statistics -----------------------------------------------------------------------------------


def interval(values):
    """The 95 % interval of the median, from the ranks alone: no round weighs more for being odd."""
    values, count = sorted(values), len(values)
    below, outside = 0, 0.0
    while below < count // 2:
        outside += 2 * math.comb(count, below) / 2 ** count
        if outside > 0.05:
            break
        below += 1
    if below == 0:
        return -math.inf, math.inf
    return values[below - 1], values[count - below]


def verdict(low, high, bound, at_least, busy):
    """What an interval says of a bound; nothing, where the machine was busy with other things."""
    if busy:
        return "undecided: the machine was busy"
    if low >= bound if at_least else high <= bound:
        return "holds"
    return "undecided" if low <= bound <= high else "MISSED"


def spread(values, digits):
    """The median, with the least and the most."""
    return (f"{statistics.median(values):.{digits}f}  "
            f"({min(values):.{digits}f} to {max(values):.{digits}f})")


def show(name, text):
    print(f"    {name:<26} {text}", flush=True)


def show_ratio(name, ratios, digits=3):
    low, high = interval(ratios)
    show(name, f"{spread(ratios, digits)}, 95 % {low:.{digits}f} to {high:.{digits}f}")


# --- Requests a second ----------------------------------------------------------------------------


def measure_server(build, server, depth, seconds):
    """One measurement of one server, in a process of its own."""
    busy, others = busy_seconds(), -children_seconds()
    with started([build / server, "tcp://127.0.0.1:0"], SERVER_CORE) as process:
        address = address_of(process)
        began, used = time.monotonic(), cpu_seconds(process.pid)
        load = run_load(build, address, connections=CONNECTIONS, depth=depth, seconds=seconds)
        elapsed = time.monotonic() - began
        used = cpu_seconds(process.pid) - used
    others += children_seconds()
    # Each connection was answered once more than is counted, while the load came to its end.
    answered = load["requests"] + CONNECTIONS * depth
    return {
        "per_second": load["per_second"],
        "ns": 1e9 / load["per_second"],
        "cpu_ns": used * 1e9 / answered,
        "cpu_share": used / load["seconds"],
        "others": max(0.0, busy_seconds() - busy - others) / elapsed / 2 if busy else 0.0,
        "p50_us": load["p50_us"],
        "p99_us": load["p99_us"],
    }


def measure_pairs(build, style, depth, rounds, seconds):
    """Gives the pairs, each {OURS or RAW: measurement}, and prints each."""
    programs = {OURS: PROGRAMS[style], RAW: RAW_PROGRAM}
    for program in programs.values():
        measure_server(build, program, depth, min(seconds, 0.3))  # the first is not like others
    print(f"    {'round':<8}{style + '/s':>14}{'raw epoll/s':>14}{'ratio':>9}"
          f"{'others':>9}")
    pairs, again = [], rounds // 2
    while len(pairs) < rounds:
        order = (OURS, RAW) if len(pairs) % 2 == 0 else (RAW, OURS)
        pair = {server: measure_server(build, programs[server], depth, seconds)
                for server in order}
        set_aside = others_in(pair) > MOST_OTHERS and again > 0
        print(f"    {'aside' if set_aside else len(pairs) + 1:<8}{pair[OURS]['per_second']:>14,}"
              f"{pair[RAW]['per_second']:>14,}{ratio_of(pair):>9.3f}{others_in(pair):>9.0%}",
              flush=True)
        if set_aside:
            again -= 1
        else:
            pairs.append(pair)
    return pairs


def ratio_of(pair):
    return pair[OURS]["per_second"] / pair[RAW]["per_second"]


def others_in(pair):
    return max(pair[server]["others"] for server in pair)


def is_busy(pairs):
    return any(others_in(pair) > MOST_OTHERS for pair in pairs)


def medians(pairs, what):
    return {server: statistics.median(pair[server][what] for pair in pairs)
            for server in (OURS, RAW)}


def report_ratio(pairs, least):
    """Prints what the pairs come to, and gives whether the bound holds."""
    ratios = [ratio_of(pair) for pair in pairs]
    low, high = interval(ratios)
    middle = medians(pairs, "per_second")
    print(f"    {'median':<8}{middle[OURS]:>14,.0f}{middle[RAW]:>14,.0f}"
          f"{statistics.median(ratios):>9.3f}\n")
    show_ratio("ratio", ratios)
    answer = verdict(low, high, least, True, is_busy(pairs)) if least is not None else None
    if answer:
        show(f"at least {least:.2f}", answer)
    of_cpu = [pair[RAW]["cpu_ns"] / pair[OURS]["cpu_ns"] for pair in pairs]
    show_ratio("the same by CPU time", of_cpu)
    return {"ratios": ratios, "interval": [low, high], "bound": least, "verdict": answer,
            "by CPU time": of_cpu}


def report_nanoseconds(pairs, judged):
    """Prints the time of a request; the difference is held against the bound if `judged`."""
    results = {}
    for name, what in (("ns a request", "ns"), ("of them CPU", "cpu_ns")):
        middle = medians(pairs, what)
        differences = [pair[OURS][what] - pair[RAW][what] for pair in pairs]
        low, high = interval(differences)
        show(name, f"{middle[OURS]:.0f}, raw {middle[RAW]:.0f}; more by {spread(differences, 1)}, "
                   f"95 % {low:.1f} to {high:.1f}")
        results[what] = {"differences": differences, "interval": [low, high]}
    share = medians(pairs, "cpu_share")
    show("CPU of the server", f"{share[OURS]:.0%}, raw {share[RAW]:.0%}")
    if judged:
        answer = verdict(*results["ns"]["interval"], MOST_OVER_RAW, False, is_busy(pairs))
        show(f"at most {MOST_OVER_RAW:.0f} ns more", answer)
        results |= {"bound": MOST_OVER_RAW, "verdict": answer}
    return results


# --- System calls ---------------------------------------------------------------------------------


def traced_child(strace):
    """The server that strace has started, or strace itself while there is none."""
    children = Path(f"/proc/{strace.pid}/task/{strace.pid}/children")
    with contextlib.suppress(OSError):
        pids = children.read_text(encoding="ascii").split()
        if pids:
            return int(pids[0])
    return strace.pid


def read_trace(path):
    """Counts the calls on accepted connections, and the waits from the first connection on."""
    counts = dict.fromkeys(("receives", "empty", "sends", "waits"), 0)
    connections = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = CALL.match(line)
        if not match:
            continue
        name, fd, result = match[1], int(match[2]), int(match[3])
        if name in ACCEPTS and result >= 0:
            connections.add(result)
        elif name in WAITS and connections:
            counts["waits"] += 1
        elif name in RECEIVES and fd in connections:
            counts["receives" if result > 0 else "empty"] += 1
        elif name in SENDS and fd in connections:
            counts["sends"] += 1
    return counts


def count_calls(build, server, depth, connections):
    """Gives the calls for each batch, of one that was served under strace."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "trace"
        trace = ["strace", "-f", "-qq", "-I2", "-s", "0", "-o", log,
                 "-e", "trace=%network,read,readv,write,writev," + ",".join(sorted(WAITS))]
        with started([*trace, build / server, "tcp://127.0.0.1:0"], None, traced_child) as strace:
            load = run_load(build, address_of(strace), connections=connections, depth=depth,
                            seconds=COUNTED_SECONDS)
        counts = read_trace(log)
    batches = load["requests"] // depth + connections
    return {name: count / batches for name, count in counts.items()} | {"batches": batches}


def report_calls(build, style, depth):
    """Prints the counted calls; each batch has to cost one receive and one send."""
    if shutil.which("strace") is None:
        print("\n    The system calls were not counted: there is no strace.")
        return {}
    title = f"calls for each batch of {depth}"
    print(f"\n    {title:<32}{'receive':>9}{'empty':>9}{'send':>9}{'wait':>9}{'batches':>10}")
    results = {}
    for connections in (1, CONNECTIONS):
        for name, program in ((style, PROGRAMS[style]), ("raw epoll", RAW_PROGRAM)):
            calls = count_calls(build, program, depth, connections)
            results[f"{name}, {connections}"] = calls
            what = f"{name}, {connections} connection{'s' if connections > 1 else ''}"
            print(f"    {what:<32}{calls['receives']:>9.3f}{calls['empty']:>9.3f}"
                  f"{calls['sends']:>9.3f}{calls['waits']:>9.3f}{calls['batches']:>10,}")
    fine = all(abs(calls[what] - 1) < 0.0005 for name, calls in results.items()
               if name.startswith(style) for what in ("receives", "sends"))
    show("one and one", "holds" if fine else "MISSED")
    return {"calls": results, "verdict": "holds" if fine else "MISSED"}


# --- Rows -----------------------------------------------------------------------------------------


def line_row(build, style, depth, quick):
    rounds, seconds = (9, 0.3) if quick else (25, 0.8)
    print(f"Greetings, {depth} at a time, {CONNECTIONS} connections: {style} beside raw epoll, "
          f"{rounds} rounds of {seconds} s\n")
    pairs = measure_pairs(build, style, depth, rounds, seconds)
    results = {"pairs": pairs,
               "ratio": report_ratio(pairs, LEAST_RATIO[style] if depth == 1 else None),
               "nanoseconds": report_nanoseconds(pairs, depth > 1),
               "system calls": report_calls(build, style, depth)}
    print()
    return results


WHAT = {
    "bare": "to a bare stack and back",
    "pair": "yield, of two tasks",
    "crowd": "yield, of 1,000 tasks",
    "spawn": "task spawned and left",
    "timer": "timer set and cancelled",
    "callback": "callback added and fired",
    "whole": "Deferred made, fired, freed",
}


def run_small(build, program, *arguments):
    """The JSON that a small program prints, which has the server's core to itself."""
    with started([build / "bench" / program, *map(str, arguments)], SERVER_CORE) as process:
        output, _ = process.communicate(timeout=6 * PATIENCE)
    if process.returncode != 0:
        raise Failure(f"bench/{program} ended with {process.returncode}")
    return json.loads(output)


def show_small(build, program, quick):
    """Runs a program that measures small things, in rounds, and shows each."""
    rounds = 9 if quick else 31
    results = {"ns": run_small(build, program, rounds)}
    for name, values in results["ns"].items():
        low, high = interval(values)
        show(WHAT[name], f"{spread(values, 1)}, 95 % {low:.1f} to {high:.1f}")
    return results


def yield_row(build, quick):
    print("The smallest things, in nanoseconds, all of them in each round\n")
    results = show_small(build, "yield", quick)
    for name in ("pair", "crowd"):
        bare = results["ns"].get("bare")
        if bare:
            ratios = [ours / floor for ours, floor in zip(results["ns"][name], bare)]
            show_ratio(f"{name} / bare", ratios, 1)
            results[f"{name} / bare"] = ratios
    print()
    return results


def deferred_row(build, quick):
    print("Deferreds, in nanoseconds, all in each round\n")
    results = show_small(build, "deferred", quick)
    answer = verdict(*interval(results["ns"]["callback"]), MOST_CALLBACK, False, False)
    show(f"at most {MOST_CALLBACK:.0f} ns", answer)
    print()
    return results | {"bound": MOST_CALLBACK, "verdict": answer}


def idle_row(build, _):
    print("An idle connection, in bytes that the library allocates, by its allocator hook\n")
    results = run_small(build, "idle")
    for name, count in results.items():
        show(name, f"{count:,.1f}")
    answer = "holds" if results["callbacks"] <= MOST_IDLE else "MISSED"
    show(f"at most {MOST_IDLE}", answer)
    print()
    return {"bytes": results, "bound": MOST_IDLE, "verdict": answer}


ROWS = {
    "depth-1": lambda build, quick: line_row(build, "coroutines", 1, quick),
    "depth-16": lambda build, quick: line_row(build, "coroutines", 16, quick),
    "callbacks-1": lambda build, quick: line_row(build, "callbacks", 1, quick),
    "callbacks-16": lambda build, quick: line_row(build, "callbacks", 16, quick),
    "yield": yield_row,
    "deferred": deferred_row,
    "idle": idle_row,
}


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {"processor": model[1] if model else platform.machine(), "kernel": platform.release(),
            "load": os.getloadavg()[0], "server's core": SERVER_CORE, "load's core": LOAD_CORE}


def missed(results):
    """Whether a verdict anywhere in the results is a bad one."""
    if not isinstance(results, dict):
        return False
    return results.get("verdict") == "MISSED" or any(map(missed, results.values()))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, metavar="BUILD")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    options = parser.parse_args()
    for row in options.rows:
        if row not in ROWS:
            parser.error(f"there is no row {row!r}; there are {', '.join(ROWS)}")
    for program in (*PROGRAMS.values(), RAW_PROGRAM, "bench/load", "bench/yield"):
        if not (options.build / program).exists():
            parser.error(f"{options.build / program} is not built")
    return options


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_arguments()
    results = {"machine": machine(), "rows": {}}
    about = results["machine"]
    pinned = ("nothing is pinned, for want of two cores" if SERVER_CORE is None else
              f"servers on core {SERVER_CORE}, load on core {LOAD_CORE}")
    print(f"{about['processor']}, Linux {about['kernel']}; {pinned}; load average "
          f"{about['load']:.2f}\n")
    try:
        for row in options.rows or ROWS:
            results["rows"][row] = ROWS[row](options.build, options.quick)
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        print(f"\nfailed: {failure}")
        return 1
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 1 if missed(results["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
