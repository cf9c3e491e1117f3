#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures Evert beside the same straight on epoll, and writes down what came of it.

    bench/run.py BUILD [ROW...] [--rounds N] [--seconds S] [--no-peers] [--out FOLDER]
    bench/run.py BUILD --self ROW
    bench/run.py --list

All rows, unless some are named. BUILD is, for instance, build/release.

Servers and the load have a core each, and a network of their own. Servers that are compared run at
once, and the load asks them in turn, in slices of S seconds; neighbouring slices give a ratio,
since what the machine does besides falls on all (pairs.py). In each round the processes are new.
Given are the mean of the middle half of all ratios, and its 95 % interval (stats.py). A bound that
lies in the interval is called undecided: then more rounds, or a quieter machine, have to tell. A
round in which others had more than a tenth of the two cores, and disturbed more than half of the
slices, is set aside and measured again; where more than a tenth of them are so after all, nothing
is decided.

Besides what a server can do at the most, each round takes the CPU time of a request at a fixed
rate, which is half of what the slowest can do and the same for all. System calls are counted by
strace, in runs of their own.

With --self the raw server is measured beside itself, as in that row: that tells how finely the
row's ratios tell.

Half of a core may be another guest's, which nothing shows but that programs get less done in each
cycle, while what they wait for takes as long as ever. So before and after each row a loop of
additions is timed (core.h).

The raw results of each row go to FOLDER/ROW.json (build/bench unless named), of which
bench/report.py makes docs/benchmarks.md. The exit status is 1 when a bound is clearly missed, or an
answer was wrong.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import measuring  # noqa: E402  (it must not leave compiled files among the sources)
import servers  # noqa: E402
import stats  # noqa: E402
from context import Context  # noqa: E402
from pairs import Pairs, Self  # noqa: E402
from rows import ROWS  # noqa: E402


def parse_arguments():
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, nargs="?", metavar="BUILD")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(names))
    parser.add_argument("--list", action="store_true", help="the rows")
    parser.add_argument("--self", dest="itself", metavar="ROW", help="raw beside itself")
    parser.add_argument("--rounds", type=int, metavar="N", help="as many as suit the row")
    parser.add_argument("--seconds", type=float, metavar="S", help="as many as suit the row")
    parser.add_argument("--no-peers", action="store_true", help="without other libraries")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="beside BUILD, in bench/")
    options = parser.parse_args()
    if options.list:
        return options
    if options.build is None:
        parser.error("BUILD is needed: the folder that was built, such as build/release")
    for row in [*options.rows, *([options.itself] if options.itself else [])]:
        if row not in names:
            parser.error(f"there is no row {row!r}; there are {', '.join(names)}")
    if options.itself and not isinstance(ROWS[names.index(options.itself)], Pairs):
        parser.error(f"{options.itself} is no row of pairs")
    if not (options.build / "bench/load").exists():
        parser.error(f"{options.build}/bench/load is not built")
    options.out = options.out or options.build.resolve().parent / "bench"
    return options


def chosen(options):
    if options.itself:
        of = next(row for row in ROWS if row.name == options.itself)
        return [Self(of, f"self-{of.name}")]
    return [row for row in ROWS if not options.rows or row.name in options.rows]


def additions(options):
    """How much the servers have of their core: see core.h."""
    return measuring.run_json(options.build / "bench/core")["additions"]


def run(row, options, found, about):
    began, before = time.monotonic(), additions(options)
    results = row.run(Context(options.build, found, options.rounds, options.seconds))
    after = additions(options)
    print(f"    (additions in a cycle of the servers' core, 3 to 4 if it is theirs alone: "
          f"{before:.1f} before, {after:.1f} after)\n", flush=True)
    results = {"row": row.name, "kind": row.kind, "title": row.title, "command": row.command(),
               "round_count": options.rounds or row.rounds, "additions": [before, after],
               "took": round(time.monotonic() - began, 1), "machine": about, **results}
    path = options.out / f"{row.name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_arguments()
    if options.list:
        for row in ROWS:
            print(f"{row.name:<16}{row.title}")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    about = measuring.machine(options.build, measuring.fresh_network())
    pinned = ("nothing is pinned, for want of two cores" if about["server_core"] is None else
              f"servers on core {about['server_core']}, load on core {about['load_core']}")
    print(f"{about['processor']}, {about['kernel']}; {pinned}; load average "
          f"{about['load']:.2f}\n", flush=True)
    bad = False
    try:
        found = [server for server in servers.available(options.build)
                 if not (options.no_peers and server.peer)]
        for row in chosen(options):
            bad |= stats.missed(run(row, options, found, about))
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except (measuring.Failure, OSError, subprocess.SubprocessError) as failure:
        print(f"\nfailed: {failure}")
        return 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
