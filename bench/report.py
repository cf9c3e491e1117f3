#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes docs/benchmarks.md and its charts of the raw results that bench/run.py has written.

    bench/report.py [FOLDER [DOCS]]     (build/bench and docs, unless named)
"""

import json
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import chart  # noqa: E402  (it must not leave compiled files among the sources)
from context import LEAST_HELD  # noqa: E402
from rows import ROWS  # noqa: E402
from servers import RAW, RAW_URING, TOO_MANY  # noqa: E402

TOP = Path(__file__).resolve().parent.parent

COLORS = {"coroutines": "#1b6ca8", "callbacks": "#d9772b", RAW: "#8b94a1",
          "coroutines on io_uring": "#6fb1dd", "callbacks on io_uring": "#efb27f",
          RAW_URING: "#c3c9d1"}
PEER_COLOR = "#9a7fb8"


def ours(pairs):
    """The servers of Evert that were measured, and what each is held against."""
    return {name: each["raw"] for row in pairs for name, each in row["servers"].items()
            if each["raw"]}


def colors(names):
    return {name: color for name, color in COLORS.items() if name in names}


# --- Words ----------------------------------------------------------------------------------------


def table(head, rows):
    """Markdown; columns of numbers to the right."""
    def side(column):
        cells = [row[column] for row in rows if row[column]]
        return "---:" if all(re.match(r"[-\d]", cell) for cell in cells) else "---"

    lines = ["| " + " | ".join(head) + " |",
             "|" + "|".join(side(column) for column in range(len(head))) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def in_words(summary, digits=3):
    if summary["interval"] is None:
        return f"{summary['middle']:.{digits}f}"
    low, high = summary["interval"]
    return f"{summary['middle']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def count_in_words(value):
    return f"{value:,.0f}" if value is not None else "-"


# The same call, by its other names.
KINDS = {"recvfrom": "receive", "recvmsg": "receive", "sendto": "send", "sendmsg": "send",
         "epoll_wait": "wait", "epoll_pwait": "wait", "epoll_pwait2": "wait"}


def by_kind(calls):
    kinds = {}
    for name, count in calls.items():
        call, _, failed = name.partition(",")
        kind = KINDS.get(call, call) + (" in vain" if failed else "")
        kinds[kind] = kinds.get(kind, 0) + count
    return kinds


def more_calls(calls, of_raw):
    """{name: calls for each request}: the kinds of which there are clearly more, or fewer."""
    ours, raw = by_kind(calls), by_kind(of_raw)
    more = {kind: ours.get(kind, 0) - raw.get(kind, 0) for kind in {*ours, *raw}}
    return ", ".join(f"{count:+.2f} {kind}" for kind, count in sorted(more.items())
                     if abs(count) >= 0.05)


# --- Rows beside the same straight on the kernel --------------------------------------------------


def throughput_section(pairs):
    rows = []
    for each in pairs:
        middle = each["medians"]
        for server, beside in each["beside"].items():
            raw = each["servers"][server]["raw"]
            judged = next(what for what in (beside["throughput"], beside["more_ns"])
                          if "verdict" in what)
            bound = (f"at least {judged['bound']:.2f}" if judged is beside["throughput"] else
                     f"at most {judged['bound']:.0f} ns more: {in_words(judged, 1)}")
            rows.append([f"`{each['row']}`", server, f"{middle[server]['per_second']:,.0f}",
                         f"{middle[raw]['per_second']:,.0f}",
                         f"{100 * middle[server]['cpu_share']:.0f} %",
                         in_words(beside["throughput"]), bound, judged["verdict"]])
    return table(["row", "style", "a second", "raw", "core used", "ratio", "bound", "verdict"],
                 rows)


def cpu_section(pairs):
    rows = []
    for each in pairs:
        used = each["cpu_ns"]
        for server, beside in each["beside"].items():
            raw, cpu = each["servers"][server]["raw"], beside["cpu"]
            rows.append([f"`{each['row']}`", server, f"{each['rate']:,}",
                         f"{used[server] / 1000:.2f}", f"{used[raw] / 1000:.2f}", in_words(cpu),
                         f"at most {cpu['bound']:.2f}", cpu["verdict"]])
    return table(["row", "style", "requests a second", "µs of CPU each", "raw", "ratio",
                  "bound", "verdict"], rows)


def page_section(rows):
    lines = [[f"`{row['of']}`", style, f"{row['rate']:,}", in_words(cpu["page_to_raw"]),
              in_words(cpu["to_raw"]), in_words(cpu["to_page"]),
              f"at most {cpu['to_page']['bound']:.2f}", cpu["to_page"]["verdict"]]
             for row in rows for style, cpu in row["cpu"].items()]
    return table(["row", "style", "requests a second", "raw with a page, times raw",
                  "coroutines, times raw", "coroutines, times raw with a page", "bound",
                  "verdict"], lines)


def calls_section(pairs):
    rows = []
    for each in pairs:
        for connections, servers in (each["calls"] or {}).items():
            for server, calls in servers.items():
                raw = each["servers"][server]["raw"]
                rows.append([f"`{each['row']}`", connections, server,
                             f"{sum(calls.values()):.3f}",
                             more_calls(calls, servers[raw]) if raw else ""])
    return table(["row", "connections", "server", "calls", "beside raw"], rows)


def ratio_chart(pairs, what, title, subtitle, unit):
    groups = [(each["row"], {server: (beside[what]["middle"], beside[what]["interval"])
                             for server, beside in each["beside"].items()}) for each in pairs]
    return chart.dots(title, subtitle, colors(ours(pairs)), groups, unit)


def calls_chart(pairs):
    groups, names = [], set()
    for each in pairs:
        if each["calls"]:
            servers = each["calls"]["1"]
            names |= set(servers)
            groups.append((each["row"], {server: sum(calls.values())
                                         for server, calls in servers.items()}))
    return chart.bars("System calls for each request",
                      "By strace, with a single connection, so that no call serves two of them",
                      colors(names), groups, "calls", "{:.2f}".format)


# --- Beside other libraries -----------------------------------------------------------------------

LEVELS = {"more": "ahead", "less": "behind"}
CPU_LEVELS = {"less": "ahead", "more": "behind"}


def peers_section(row):
    """All servers of a row, the fastest first."""
    lines = []
    for name, middle in fastest_first(row):
        ahead = row["ahead"].get(name, {})
        lines.append([name, f"{middle['per_second']:,.0f}", *times_and_level(ahead, LEVELS),
                      *times_and_level(ahead.get("cpu"), CPU_LEVELS)])
    return table(["server", f"{row['unit']}s a second", "Evert's coroutines, times this", "",
                  "their CPU time for each, times this", ""], lines)


def times_and_level(times, levels):
    return [in_words(times), levels.get(times["level"], times["level"])] if times else ["", ""]


def peers_chart(row):
    groups = [(name, {name: middle["per_second"]}) for name, middle in fastest_first(row)]
    series = {name: COLORS.get(name, PEER_COLOR) for name in row["medians"]}
    return chart.bars(row["title"], f"{row['unit'].capitalize()}s a second, on one core",
                      series, groups, "a second", legend=False)


def fastest_first(row):
    return sorted(row["medians"].items(), key=lambda item: -item[1]["per_second"])


# --- The other rows -------------------------------------------------------------------------------


def memory_section(row):
    return table(["server", "bytes resident", "bytes in the kernel"],
                 [[server, count_in_words(each["resident"]), count_in_words(each["kernel"])]
                  for server, each in row["servers"].items()])


def memory_chart(row):
    series = {"resident in the process": "#1b6ca8", "in the kernel": "#9cc3e0"}
    groups = [(server, [dict(zip(series, (each["resident"], each["kernel"] or 0)))])
              for server, each in row["servers"].items()]
    return chart.stacks("What an idle connection holds",
                        "In a greeting server, after one greeting", series, groups, "bytes")


def self_section(row):
    return table(["row", "what", "times itself", "seconds that it took"],
                 [[f"`{row['of']}`", words, in_words(row[what]), f"{row['measured']:.0f}"]
                  for what, words in (("throughput", "requests a second"),
                                      ("cpu", "CPU time for each"))])


def quickest_first(row):
    return sorted(row["servers"].items(), key=lambda item: item[1]["p999_us"])


def mixed_section(row):
    lines = [[server, *(f"{each[what]:,.0f}" for what in ("p50_us", "p99_us", "p999_us",
                                                        "all_p999_us")),
              in_words(each["times"], 2) if server != RAW else "",
              f"{each['cpu_ns'] / 1000:.2f}" if server not in TOO_MANY else "",
              "" if each["keeps"] > LEAST_HELD else f"{100 * each['keeps']:.0f} %"]
             for server, each in quickest_first(row)]
    return table(["server", "p50, µs", "p99, µs", "p99.9, µs", "of all, µs",
                  "p99.9, times raw epoll", "µs of CPU a name", "does not keep up"], lines)


def mixed_chart(row):
    groups = [(server, {server: each["p999_us"]}) for server, each in quickest_first(row)
              if each["keeps"] > LEAST_HELD]
    series = {server: COLORS.get(server, PEER_COLOR) for server in row["servers"]}
    return chart.bars(row["title"], "Latency that one in a thousand exceeds, median of slices",
                      series, groups, "µs", legend=False)


def busy_section(row):
    return table(["server", "p99, µs", "with the busy one", "times", "bound", "verdict"],
                 [[server, f"{each['alone_us']:,.0f}", f"{each['busy_us']:,.0f}",
                   in_words(each["slowed"]),
                   f"at most {each['slowed']['bound']}" if "bound" in each["slowed"] else "",
                   each["slowed"].get("verdict", "")]
                  for server, each in row["servers"].items()])


def cores_section(row):
    middle, ratio = row["medians"], row["ratio"]
    return table(["requests a second, each loop", "µs of CPU each, one loop", "two loops", "ratio",
                  "bound", "verdict"],
                 [[f"{row['rate']:,}", f"{middle['one'] / 1000:.2f}", f"{middle['two'] / 1000:.2f}",
                   in_words(ratio), f"at most {ratio['bound']:.2f}", ratio["verdict"]]])


def busy_chart(row):
    series = {"without a busy one": "#9cc3e0", "with a busy one": "#1b6ca8"}
    groups = [(server, dict(zip(series, (each["alone_us"], each["busy_us"]))))
              for server, each in row["servers"].items()]
    return chart.bars("One busy connection among 1,000",
                      f"Latency of the others, 99 of 100; {row['rate']:,} requests a second in all",
                      series, groups, "µs")


def small_section(rows):
    lines = []
    for row in rows:
        for name, each in row["ns"].items():
            over = each.get("over")
            bound = each if "bound" in each else over
            lines.append([row["words"][name], in_words(each, 1), in_words(over, 1) if over else "",
                          f"at most {bound['bound']:.0f}: {bound['verdict']}" if bound else ""])
    return table(["what", "nanoseconds", "over a bare switch", "bound"], lines)


def beside_section(row):
    def cell(each, what):
        return in_words(each[what], 1) if what in each else ""

    def held(each, what):
        return count_in_words(each[what]) if what in each else ""

    return table(["library", "timer, ns", "spawn, ns", "yield, ns", "bytes parked",
                  "in the kernel"],
                 [[name, *(cell(each, what) for what in ("timers", "spawn", "pair")),
                   held(each, "resident"), held(each, "kernel")]
                  for name, each in row["libraries"].items()])


def allocated_section(row):
    return "".join(f"With the greeting in {name} the library itself allocates {count:,.1f} bytes "
                   f"for an idle connection, counted by its allocator hook (at most "
                   f"{row['bound']}: {row['verdict']}).\n" for name, count in row["bytes"].items())


# --- The page -------------------------------------------------------------------------------------

INTRODUCTION = """\
<!-- Written by bench/report.py from what bench/run.py measured; `make bench` makes it anew. -->

# Benchmarks

Evert is held against the same service written straight on epoll and straight on io_uring, in the
best form that was found for it ([bench/raw_epoll_server.c](../bench/raw_epoll_server.c),
[raw_echo_server.c](../bench/raw_echo_server.c), [raw_sink_server.c](../bench/raw_sink_server.c),
and `raw_uring_*` beside them), and against the same in other libraries
([bench/peers](../bench/peers)). All servers keep the whole contract: the greeting servers have a
limit for a line, tell of one that is too long and say farewell without destroying what they sent;
none reads faster than its peer does. Every byte of every answer is checked.

Servers have one core and the load another, in a network of their own. A machine that is shared
gains and loses a fifth of its speed within seconds. So what is compared runs at once, each server
in a process of its own, and one load, with connections to all of them, asks them in turn: a *slice*
of ten milliseconds each (longer where there are many connections), in the order AB BA BA AB. Three
more milliseconds at its beginning do not count, and the next begins when all is answered.
Neighbouring slices give a ratio, unless a server or the load waited for its core meanwhile, since
others had it. After eight of each at full speed and eight at a fixed rate, which are a *round*, the
processes are new, so that what differs from process to process is part of what is seen. Given is
the mean of the middle half of all ratios, and in brackets its 95 % interval. The slices of a round
are not independent; so that is made of what the mean would be without each of the rounds
([stats.py](../bench/stats.py)). A bound that lies within the interval is *undecided*. A round in
which others used more than a tenth of the two cores, and disturbed more than half of the sets of
slices, is set aside; where more than a tenth of them are so after all, nothing is decided.
"""

SELF = """\
How finely this tells is seen when a server is measured beside another process of the same program,
as long as the others are (`bench/run.py build/release --self ROW`): what should come of it is 1.
"""

THROUGHPUT = """\
## Requests a second

As many as one core can serve. In `line-D-N` each of N connections sends D names at a time and waits
for the D greetings; in `connect` and `storm` each greeting has a connection of its own; in `echo-B`
B bytes come back as they went; in `bulk` pieces of 64 KiB are read and dropped. Where a server does
not use its core up, its speed is that of the load; in `bulk`, where that is so for all, counted is
what would be served in a second of the server's own time.
"""

CPU = """\
## CPU time for each request

All servers are given the same number of requests a second, half of what the slowest can do. What
the server's process uses is read by its clock.
"""

PAGE = """\
### A page for each connection

A task has a stack of its own, and so at the least a page of memory, to which the processor has to
find the way through tables that, among a thousand connections, have left its caches. Raw C has none
such. What that way takes is told by the same raw C, made to touch one byte of a page for each
connection ([bench/raw_page.h](../bench/raw_page.h)), and what the library takes by coroutines
beside that.
"""

PEERS = """\
## Beside other libraries

Each is written as its users would write it, on one thread, unless it is one that has a thread or a
process for each connection. Each was measured in a pair with Evert's coroutines; what is given a
second is that of the coroutines times that ratio. As fast as they can be asked, the load and the
server wait for each other, and in `connect` the load has as much to do as the server; what a server
takes of the processor is seen where both are given the same number of requests a second, half of
what the slower of the two can do.
"""

CALLS = """\
## System calls for each request

Counted by `strace -c -f` in runs of their own: of a long load without those of a short one, so that
nothing of the start and the end is in them.
"""

MIXED = """\
## Latency

{rate:,} names a second, whatever the server does, on 400 connections: nine of ten of what is sent
is a short name; the others are sixteen of them at once, sixteen of 1,000 bytes, or a name on a
connection of its own. A latency counts from when the name was due to be sent. All servers are asked
in turn, in slices of a fifth of a second; the percentiles are the medians of those of the slices,
but for *of all*, which is of all slices of a round together, with what the machine does to them.
Who does not keep up falls behind for as long as it is asked.
"""

MEMORY = """\
## Memory of idle connections

Each connection was greeted once. Resident is what the process has in memory more for each; in the
kernel is what its memory control group counts for each (page tables are part of it).
"""

BUSY = """\
## One busy connection

The others ask at a fixed rate, a quarter of what the slowest server can do; one connection more
sends names without an end and without waiting, in every other slice. The figures of a round are the
medians of those of its slices.
"""

CORES = """\
## Many cores

The greeting in coroutines by a loop on one core, and by one on each of two (`evert_run_on`), which
get twice as many requests a second. The load shares one of the two cores.
"""

SMALL = """\
## Small things

Another program on the other half of the core doubles what these take. So what is left of the core
is measured right before and right after each of them (*additions*, below), and a round counts where
that was as much as at the best. The bare switch, which a yield is held against, is called directly;
a call into a shared library costs more, which is seen by the same program linked statically.
"""

BESIDE = """\
### Beside other libraries

The same of the libraries that have it, in their own words ([bench/peers](../bench/peers), the files
called `small`): a timer set and cancelled among 1,000,000 at random times; a task spawned and
joined, of 1,000 at once; a yield, of two tasks; and what a task holds that waits, of {parked:,}.
In a round each is a process of its own. A task of Evert or State Threads has a stack, of which it
may use more at any time and in any function; those of the others but Go's are objects as large as
the function's variables that live across a wait.
"""


def machine_section(rows):
    about = rows[0]["machine"]
    network = "a network of their own" if about["own_network"] else "the machine's network"
    lines = [
        f"{about['processor']}, {about['cores']} cores, {about['memory_bytes'] / 2**30:.0f} GiB",
        f"{about['kernel']}, {about['system']}",
        about["compiler"],
        f"servers on core {about['server_core']}, load on core {about['load_core']}, in {network}",
    ]
    versions = {name: each["peer"] for row in rows if row["kind"] == "pairs"
                for name, each in row["servers"].items() if each["peer"]}
    lines += [f"{name}: {version}" for name, version in versions.items()]
    commands = [[f"`{row['row']}`", f"{row['round_count']}", f"`{row['command']}`",
                 f"{row['took']:.0f}", "{:.1f}, {:.1f}".format(*row["additions"])]
                for row in rows]
    return ("## How it was measured\n\n" + "".join(f"- {line}\n" for line in lines) + "\n"
            "`bench/run.py build/release ROW` measures a row alone, `bench/run.py --list` lists "
            "them, and `make bench` measures all and writes this page. The raw results are in "
            "`build/bench`. By hand, for the row `line-1-64`:\n\n"
            "```sh\n"
            "unshare -n sh -c 'ip link set lo up\n"
            "    taskset -c 0 build/release/examples/greeting/coroutine_server "
            "tcp://127.0.0.1:9999 &\n"
            "    sleep 1\n"
            "    taskset -c 1 build/release/bench/load tcp://127.0.0.1:9999 --pid $!\n"
            "    taskset -c 1 build/release/bench/load tcp://127.0.0.1:9999 --pid $! "
            "--rate 50000\n"
            "    kill $!'\n"
            "```\n\n"
            "The system calls: the same with `strace -c -f -U calls,errors,name` before the "
            "server.\n\n"
            "*Additions* are those in a cycle of the servers' core, before and after the row "
            "([bench/core.h](../bench/core.h)): three to four if the core is theirs alone, and "
            "some two where its other half is somebody else's. Then what a program does itself "
            "takes up to twice as long, and what it has the kernel and the caches do less so.\n\n"
            + table(["row", "rounds", "load", "seconds that it took", "additions"], commands))


def picture(name, words):
    return f"![{words}](benchmarks/{name}.svg)\n"


class Page:
    """The text of the page, and its charts."""

    def __init__(self):
        self.parts, self.charts = [INTRODUCTION], {}

    def add(self, *parts):
        self.parts += parts

    def draw(self, name, words, drawing):
        self.charts[name] = drawing
        self.parts.append(picture(name, words))

    def write(self, docs):
        (docs / "benchmarks").mkdir(parents=True, exist_ok=True)
        (docs / "benchmarks.md").write_text("\n".join(self.parts), encoding="utf-8")
        for name, drawing in self.charts.items():
            (docs / "benchmarks" / f"{name}.svg").write_text(drawing, encoding="utf-8")


def add_pairs(page, pairs, with_page):
    page.add(THROUGHPUT)
    page.draw("throughput", "Requests a second, beside raw C", ratio_chart(
        pairs, "throughput", "Requests a second, beside raw C on the same back end",
        "Ratio, and its 95 % interval; to the right is faster", "times raw"))
    page.add(throughput_section(pairs), CPU)
    page.draw("cpu", "CPU time for each request, beside raw C", ratio_chart(
        pairs, "cpu", "CPU time for each request, beside raw C on the same back end",
        "Ratio at the same number of requests a second; to the left is less", "times raw"))
    page.add(cpu_section(pairs))
    if with_page:
        page.add(PAGE, page_section(with_page))
    if any(each["calls"] for each in pairs):
        page.add(CALLS)
        page.draw("calls", "System calls for each request", calls_chart(pairs))
        page.add(calls_section(pairs))


def add_peers(page, pairs):
    with_peers = [each for each in pairs if each["ahead"]]
    if with_peers:
        page.add(PEERS)
    for each in with_peers:
        page.add(f"### {each['title']}\n")
        page.draw(each["row"], each["title"], peers_chart(each))
        page.add(peers_section(each))


def make_page(rows):
    """The page of what was measured, in the order of the rows; a row that was not is not in it."""
    page = Page()

    def of(kind):
        return [row for row in rows if row["kind"] == kind]

    for row in of("self"):
        page.add(SELF, self_section(row))
    if of("pairs"):
        add_pairs(page, of("pairs"), of("page"))
        add_peers(page, of("pairs"))
    for row in of("mixed"):
        page.add(MIXED.format(rate=row["rate"]))
        page.draw("mixed", row["title"], mixed_chart(row))
        page.add(mixed_section(row))
    for row in of("busy"):
        page.add(BUSY)
        page.draw("busy", row["title"], busy_chart(row))
        page.add(busy_section(row))
    for row in of("cores"):
        page.add(CORES, cores_section(row))
    for row in of("memory"):
        page.add(MEMORY)
        page.draw("memory", row["title"], memory_chart(row))
        page.add(memory_section(row))
    for row in of("allocated"):
        page.add(allocated_section(row))
    if of("small"):
        page.add(SMALL, small_section(of("small")))
    for row in of("beside"):
        page.add(BESIDE.format(parked=row["parked"]), beside_section(row))
    page.add(machine_section(rows))
    return page


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "build/bench"
    docs = Path(sys.argv[2]) if len(sys.argv) > 2 else TOP / "docs"
    paths = [folder / f"{row.name}.json" for row in ROWS]
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    if not rows:
        print(f"{folder} holds no results; bench/run.py writes them", file=sys.stderr)
        return 1
    make_page(rows).write(docs)
    print(f"{docs}/benchmarks.md and its charts are written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
