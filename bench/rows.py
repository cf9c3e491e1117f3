# SPDX-License-Identifier: MIT
"""What is measured: a row for each question, and how its figures are got."""

import contextlib
import statistics
import subprocess
from dataclasses import dataclass, field

import measuring
import stats
from measuring import Failure

RAW, OURS = "raw", ("coroutines", "callbacks")
SERVERS = (*OURS, RAW)

GREETING = {
    "coroutines": "examples/greeting/coroutine_server",
    "callbacks": "examples/greeting/callback_server",
    RAW: "bench/raw_epoll_server",
}
ECHO = {
    "coroutines": "examples/echo/coroutine_server",
    "callbacks": "examples/echo/callback_server",
    RAW: "bench/raw_echo_server",
}
SINK = {
    "coroutines": "bench/coroutine_sink",
    "callbacks": "bench/callback_sink",
    RAW: "bench/raw_sink_server",
}

LEAST_RATIO = 0.95      # of requests a second to raw's
MOST_OVER_RAW = 40.0    # nanoseconds a request, 16 names at a time
MOST_SLOWED = 1.5       # of the others' latency, by one that is busy
MOST_CALLBACK = 60.0    # nanoseconds for a callback added and fired
MOST_IDLE = 600         # bytes allocated for an idle connection in callbacks
MOST_OTHERS = 0.1       # of the two cores, for what else the machine does
LEAST_HELD = 0.98       # of a rate that a server is to keep up with
RATE_SHARE = 0.5        # of what the slowest server can do: the rate at which CPU time is measured


def show(name, text):
    print(f"    {name:<26} {text}", flush=True)


def two_digits(value):
    digits = len(str(int(value))) - 2
    return int(round(value, -digits)) if digits > 0 else max(1, int(value))


class Context:
    """What all rows are given: the build folder, how many rounds, of how many seconds."""

    def __init__(self, build, rounds, seconds):
        self.build, self.rounds, self.seconds = build, rounds, seconds

    def rounds_of(self, measure):
        """Gives the rounds, each {server: measurement}, of servers one right after the other in an
        order that changes. A round in which others had much of the machine, or a server did not
        keep up with a rate, is set aside and measured again; not for ever, though."""
        rounds, again = [], self.rounds // 2
        while len(rounds) < self.rounds:
            turn = (len(rounds) + again) % len(SERVERS)
            order = SERVERS[turn:] + SERVERS[:turn]
            measured = {server: watched(measure, server) for server in order}
            if again > 0 and is_disturbed([measured]):
                again -= 1
            else:
                rounds.append(measured)
        return rounds


def watched(measure, server):
    """A measurement, and what others had of the two cores meanwhile."""
    measuring.fresh_network()
    began, busy = measuring.now(), measuring.busy_seconds() - measuring.own_seconds()
    results = measure(server)
    busy = measuring.busy_seconds() - measuring.own_seconds() - busy
    results["others"] = max(0.0, busy / (measuring.now() - began) / 2)
    return results


def is_disturbed(rounds):
    return any(each["others"] > MOST_OTHERS or each.get("held", 1) < LEAST_HELD
               for measured in rounds for each in measured.values())


@dataclass
class Pairs:
    """Requests a second and CPU time for each, beside raw epoll, and the system calls."""

    name: str
    title: str
    programs: dict
    options: dict
    load: str = "bench/load"
    unit: str = "request"
    judged: str = "ratio"  # or "ns": how much more time a request may take
    rounds: int = 31
    kind: str = field(default="pairs", init=False)

    def command(self):
        return " ".join(map(str, measuring.load_command(self.load, "ADDRESS", self.options)))

    def measure(self, context, server, rate):
        load = context.build / self.load
        with measuring.served([context.build / self.programs[server]]) as process:
            options = self.options | {"seconds": context.seconds, "pid": process.pid}
            full = measuring.run_load(load, process.address, **options)
            paced = (measuring.run_load(load, process.address, **options, rate=rate) if rate
                     else full)
        return {
            "per_second": full["per_second"],
            "ns": 1e9 / full["per_second"],
            "full_cpu_ns": full["cpu_ns"] / full["requests"],
            "cpu_share": full["cpu_ns"] / full["seconds"] / 1e9,
            # On a machine that is overloaded a server may not run at all for so short a time.
            "cpu_ns": max(paced["cpu_ns"], 1) / max(paced["requests"], 1),
            "held": paced["per_second"] / rate if rate else 1,
            "full_p99_us": full.get("p99_us"),
            "p50_us": paced.get("p50_us"),
            "p99_us": paced.get("p99_us"),
        }

    def choose_rate(self, context):
        """The first of everything is not like the rest, and so serves for this."""
        slowest = min(watched(lambda server: self.measure(context, server, None),
                              server)["per_second"] for server in SERVERS)
        return two_digits(slowest * RATE_SHARE)

    def run(self, context):
        rate = self.choose_rate(context)
        print(f"{self.title}: {context.rounds} rounds of {context.seconds} s, "
              f"then at {rate:,} a second\n", flush=True)
        rounds = context.rounds_of(lambda server: self.measure(context, server, rate))
        results = {"unit": self.unit, "rate": rate, "rounds": rounds,
                   "medians": {server: {what: stats.middle(rounds, server, what)
                                        for what in ("per_second", "cpu_ns", "cpu_share")}
                               for server in SERVERS},
                   "beside": {server: self.compare(rounds, server) for server in OURS},
                   "calls": self.count(context)}
        self.show(results)
        return results

    def compare(self, rounds, server):
        busy = is_disturbed(rounds)
        ratio = stats.summary(stats.ratios(rounds, server, RAW, "per_second"))
        cpu = stats.summary(stats.ratios(rounds, server, RAW, "cpu_ns"))
        more = stats.summary(stats.differences(rounds, server, RAW, "ns"))
        cpu["level"] = stats.level(cpu["values"], busy)
        if self.judged == "ratio":
            ratio |= {"bound": LEAST_RATIO,
                      "verdict": stats.verdict(ratio["values"], LEAST_RATIO, True, busy)}
        else:
            more |= {"bound": MOST_OVER_RAW,
                     "verdict": stats.verdict(more["values"], MOST_OVER_RAW, False, busy)}
        return {"throughput": ratio, "cpu": cpu, "more_ns": more}

    def count(self, context):
        """The calls for each request with one connection, and with as many as the row has."""
        if not measuring.can_trace():
            return None
        counts = {}
        for connections in sorted({1, self.options["connections"]}):
            options = self.options | {"connections": connections}
            for server in SERVERS:
                measuring.fresh_network()
                counts.setdefault(str(connections), {})[server] = measuring.count_calls(
                    context.build / self.programs[server], context.build / self.load, options)
        return counts

    def show(self, results):
        unit = self.unit
        print(f"    {'':<12}{unit + 's/s':>12}  {'ratio':<28}{'CPU ns':>9}  {'ratio':<28}"
              f"calls each, with {' and '.join(results['calls'] or ['-'])}")
        for server in (RAW, *OURS):
            middle = results["medians"][server]
            beside = results["beside"].get(server)
            words = [stats.words(beside[what]["values"]) if beside else ""
                     for what in ("throughput", "cpu")]
            calls = "  ".join(f"{sum(each[server].values()):.3f}"
                              for each in (results["calls"] or {}).values())
            print(f"    {server:<12}{middle['per_second']:>12,.0f}  {words[0]:<28}"
                  f"{middle['cpu_ns']:>9,.0f}  {words[1]:<28}{calls}")
        print()
        for server in OURS:
            beside = results["beside"][server]
            if self.judged == "ratio":
                show(f"{server}: at least {LEAST_RATIO}", beside["throughput"]["verdict"])
            else:
                show(f"{server}: ns more", stats.words(beside["more_ns"]["values"], 1))
                show(f"at most {MOST_OVER_RAW:.0f} ns", beside["more_ns"]["verdict"])
            show(f"{server}: CPU time", beside["cpu"]["level"])
        print(flush=True)


@dataclass
class Busy:
    """What one busy connection does to the latency of the others, beside without it.

    A round is of short pieces, without and with it in turn, and its figures are their medians: the
    99th percentile of one longer piece says only whether the machine was held up in it.
    """

    name: str
    title: str
    options: dict
    rounds: int = 15
    pieces: int = 7
    kind: str = field(default="busy", init=False)
    programs = GREETING
    load = "bench/load"

    def command(self):
        return Pairs.command(self) + " --rate R [--busy]"

    def measure(self, context, server, rate):
        load = context.build / self.load
        with measuring.served([context.build / self.programs[server]]) as process:
            options = self.options | {"seconds": context.seconds}
            if not rate:
                return measuring.run_load(load, process.address, **options)
            options |= {"seconds": context.seconds / 4, "rate": rate}
            alone, beside = zip(*(
                (measuring.run_load(load, process.address, **options),
                 measuring.run_load(load, process.address, **options, busy=True))
                for _ in range(self.pieces)))
        return {"alone_us": statistics.median(piece["p99_us"] for piece in alone),
                "busy_us": statistics.median(piece["p99_us"] for piece in beside),
                "held": statistics.median(piece["per_second"] for piece in alone) / rate}

    def run(self, context):
        rate = Pairs.choose_rate(self, context)
        print(f"{self.title}: {context.rounds} rounds of {self.pieces} pieces of "
              f"{context.seconds / 4} s without and with, at {rate:,} a second\n", flush=True)
        rounds = context.rounds_of(lambda server: self.measure(context, server, rate))
        results = {"rate": rate, "rounds": rounds, "servers": {}}
        for server in (RAW, *OURS):
            slowed = stats.summary([each[server]["busy_us"] / each[server]["alone_us"]
                                    for each in rounds])
            if server in OURS:
                slowed |= {"bound": MOST_SLOWED,
                           "verdict": stats.verdict(slowed["values"], MOST_SLOWED, False,
                                                    is_disturbed(rounds))}
            results["servers"][server] = {
                "alone_us": stats.middle(rounds, server, "alone_us"),
                "busy_us": stats.middle(rounds, server, "busy_us"), "slowed": slowed}
            each = results["servers"][server]
            show(server, f"p99 {each['alone_us']:.0f} us, with the busy one "
                         f"{each['busy_us']:.0f} us; times {stats.words(slowed['values'])}"
                         f"  {slowed.get('verdict', '')}")
        print(flush=True)
        return results


@dataclass
class Idle:
    """What an idle connection holds in a server's process, and in the kernel."""

    name: str
    title: str
    first: int = 1000  # connections after which nothing is new any more
    more: int = 8000
    rounds: int = 3
    kind: str = field(default="memory", init=False)
    programs = GREETING

    def command(self):
        return f"bench/load ADDRESS --idle-only {self.more}"

    @contextlib.contextmanager
    def held(self, context, address, count):
        with measuring.started([context.build / "bench/load", address, "--idle-only", count],
                               measuring.LOAD_CORE, stdin=subprocess.PIPE) as process:
            if measuring.read_line(process) != "ready":
                raise Failure("idle connections were not greeted")
            yield

    def measure(self, context, server):
        group = measuring.MemoryGroup()
        try:
            with measuring.served([context.build / self.programs[server]],
                                  group=group) as process:
                with self.held(context, process.address, self.first):
                    before = measuring.resident_bytes(process.pid), group.kernel_bytes()
                    with self.held(context, process.address, self.more):
                        after = measuring.resident_bytes(process.pid), group.kernel_bytes()
        finally:
            group.close()
        kernel = (after[1] - before[1]) / self.more if after[1] is not None else None
        return {"resident": (after[0] - before[0]) / self.more, "kernel": kernel}

    def run(self, context):
        print(f"{self.title}: {self.more:,} of them, in bytes for each\n", flush=True)
        rounds = [{server: watched(lambda each: self.measure(context, each), server)
                   for server in SERVERS} for _ in range(context.rounds)]
        results = {"rounds": rounds, "servers": {}}
        for server in (RAW, *OURS):
            kernel = (stats.middle(rounds, server, "kernel")
                      if rounds[0][server]["kernel"] is not None else None)
            resident = stats.middle(rounds, server, "resident")
            results["servers"][server] = {"resident": resident, "kernel": kernel}
            show(server, f"resident {resident:,.0f}; kernel "
                         + (f"{kernel:,.0f}" if kernel is not None else "not counted here"))
        print(flush=True)
        return results


@dataclass
class Small:
    """Small things in one process, which measures them itself, in nanoseconds."""

    name: str
    title: str
    program: str
    words: dict
    judged: dict = field(default_factory=dict)  # {name: the most that it may be}
    floor: str = ""
    rounds: int = 31
    kind: str = field(default="small", init=False)

    def command(self):
        return f"{self.program} {self.rounds}"

    def run(self, context):
        print(f"{self.title}: {context.rounds} rounds\n", flush=True)
        measured = measuring.run_json(context.build / self.program, context.rounds)
        results = {"words": self.words, "ns": {}}
        for name, values in measured.items():
            each = results["ns"][name] = stats.summary(values)
            if name in self.judged:
                each |= {"bound": self.judged[name],
                         "verdict": stats.verdict(values, self.judged[name], False)}
            if self.floor in measured and name in ("pair", "crowd"):
                each["times_floor"] = stats.summary(
                    [ours / floor for ours, floor in zip(values, measured[self.floor])])
            show(self.words[name], stats.words(values, 1) + (
                f"; times the bare one {stats.words(each['times_floor']['values'], 1)}"
                if "times_floor" in each else "") + (
                f"; at most {each['bound']:.0f}: {each['verdict']}" if "bound" in each else ""))
        print(flush=True)
        return results


@dataclass
class Allocated:
    """What the library allocates for an idle connection, by its allocator hook."""

    name: str
    title: str
    rounds: int = 1
    kind: str = field(default="allocated", init=False)

    def command(self):
        return "bench/idle"

    def run(self, context):
        print(f"{self.title}\n", flush=True)
        measured = measuring.run_json(context.build / "bench/idle")
        answer = stats.HOLDS if measured["callbacks"] <= MOST_IDLE else stats.MISSED
        for name, count in measured.items():
            show(name, f"{count:,.1f}; at most {MOST_IDLE}: {answer}")
        print(flush=True)
        return {"bytes": measured, "bound": MOST_IDLE, "verdict": answer}


def lines(depth, connections):
    at_a_time = "a name at a time" if depth == 1 else f"{depth} names at a time"
    return Pairs(f"line-{depth}-{connections}",
                 f"Greetings, {at_a_time}, {connections:,} connections", GREETING,
                 {"connections": connections, "depth": depth},
                 judged="ratio" if depth == 1 else "ns")


def echoes(size, words):
    return Pairs(f"echo-{size}", f"Echo of {words}, 64 connections", ECHO,
                 {"connections": 64, "echo": size})


ROWS = [
    lines(1, 64),
    lines(16, 64),
    lines(1, 1000),
    lines(16, 1000),
    Pairs("connect", "Connect, a greeting, close; 64 at a time", GREETING,
          {"connections": 64, "reconnect": True}, unit="connection"),
    echoes(64, "64 B"),
    echoes(4096, "4 KiB"),
    echoes(65536, "64 KiB"),
    Pairs("bulk", "Bulk data, read and dropped, 8 connections; in pieces of 64 KiB", SINK,
          {"connections": 8}, load="bench/load_bulk", unit="piece"),
    Busy("busy", "One busy connection among 1,000", {"connections": 999}),
    Idle("idle-memory", "Idle connections"),
    Allocated("idle-allocated", "An idle connection, in bytes that the library allocates"),
    Small("yield", "The smallest things, in nanoseconds, all of them in each round", "bench/yield",
          {"bare": "to a bare stack and back", "pair": "yield, of two tasks",
           "crowd": "yield, of 1,000 tasks", "spawn": "task spawned and left",
           "timer": "timer set and cancelled"}, floor="bare"),
    Small("deferred", "Deferreds, in nanoseconds, all in each round", "bench/deferred",
          {"callback": "callback added and fired", "whole": "Deferred made, fired, freed"},
          judged={"callback": MOST_CALLBACK}),
]
