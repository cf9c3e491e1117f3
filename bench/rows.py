# SPDX-License-Identifier: MIT
"""What is measured: a row for each question, and how its figures are got."""

import contextlib
import statistics
import subprocess
from dataclasses import dataclass, field

import measuring
import stats
from measuring import Failure
from servers import COROUTINES

PEER_ROUNDS = 7         # as many tell how far another library is away
TOO_MANY = ("process",)  # of processes: what they hold is not in that of the server

LEAST_RATIO = 0.97      # of requests a second to raw's, ...
LEAST_LARGE = 0.98      # ... and where they are large
MOST_OVER_RAW = 25.0    # nanoseconds a request, 16 names at a time
MOST_CPU = 1.05         # of CPU time for each request to raw's, at a fixed rate
MOST_SLOWED = 1.5       # of the others' latency, by one that is busy
MOST_CALLBACK = 60.0    # nanoseconds for a callback added and fired
MOST_OVER_BARE = 5.0    # nanoseconds of a yield of two tasks to a bare switch
MOST_CROWD = 10.0       # of one among a thousand
MOST_SPAWN = 50.0
MOST_TIMER = 60.0
MOST_OF_ONE = 1.05      # of CPU time for each request: two loops on two cores to one on one
MOST_IDLE = 400         # bytes allocated for an idle connection in callbacks
MOST_OTHERS = 0.1       # of the two cores, for what else the machine does
LEAST_HELD = 0.98       # of a rate that a server is to keep up with
RATE_SHARE = 0.5        # of what the slowest server can do: the rate at which CPU time is measured


def show(name, text):
    print(f"    {name:<26} {text}", flush=True)


def two_digits(value):
    digits = len(str(int(value))) - 2
    return int(round(value, -digits)) if digits > 0 else max(1, int(value))


class Context:
    """What all rows are given: the build folder, who is measured, how many rounds, of how many
    seconds."""

    def __init__(self, build, servers, rounds, seconds):
        self.build, self.servers, self.rounds, self.seconds = build, servers, rounds, seconds

    def of_evert(self):
        return [server for server in self.servers if server.raw]

    def without_peers(self):
        return [server for server in self.servers if not server.peer]

    def peers_for(self, service):
        return [server for server in self.servers if server.peer and service in server.programs]

    def rounds_of(self, measure, peers=()):
        """Gives the rounds, each {name: measurement}, of servers one right after the other in an
        order that changes; peers are in the first of them. A round in which others had much of the
        machine, or a server did not keep up with a rate, is set aside and measured again; not for
        ever, though."""
        rounds, again = [], self.rounds // 2
        while len(rounds) < self.rounds:
            servers = self.without_peers() + (peers if len(rounds) < PEER_ROUNDS else [])
            turn = (len(rounds) + again) % len(servers)
            measured, failed = measure_each(measure, servers[turn:] + servers[:turn])
            peers = [peer for peer in peers if peer not in failed]
            if again > 0 and is_disturbed([measured]):
                again -= 1
            else:
                rounds.append(measured)
        return rounds


def measure_each(measure, servers):
    """Gives {name: measurement}, and which servers failed, as peers may: they are left out."""
    measured, failed = {}, []
    for server in servers:
        try:
            measured[server.name] = watched(measure, server)
        except Failure as failure:
            if not server.peer:
                raise
            print(f"    {server.name} is left out: {failure}", flush=True)
            failed.append(server)
    return measured, failed


def about(server):
    return {"raw": server.raw, "peer": server.peer}


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
    """Requests a second and CPU time for each, beside the same straight on the kernel, and the
    system calls; and requests a second beside other libraries."""

    name: str
    title: str
    service: str
    options: dict
    load: str = "bench/load"
    unit: str = "request"
    bound: float = LEAST_RATIO  # of the ratio; 0: what is judged is how much more time one takes
    rounds: int = 21
    kind: str = field(default="pairs", init=False)

    def command(self):
        return " ".join(map(str, measuring.load_command(self.load, "ADDRESS", self.options)))

    def measure(self, context, server, rate):
        load = context.build / self.load
        with measuring.served(server.command(self.service)) as process:
            options = self.options | {"seconds": context.seconds, "pid": process.pid}
            full = measuring.run_load(load, process.address, **options)
            paced = (measuring.run_load(load, process.address, **options, rate=rate)
                     if rate and not server.peer else full)
        return {
            "per_second": full["per_second"],
            "ns": 1e9 / full["per_second"],
            "full_cpu_ns": full["cpu_ns"] / full["requests"],
            "cpu_share": full["cpu_ns"] / full["seconds"] / 1e9,
            # On a machine that is overloaded a server may not run at all for so short a time.
            "cpu_ns": max(paced["cpu_ns"], 1) / max(paced["requests"], 1),
            "held": paced["per_second"] / rate if rate and not server.peer else 1,
            "full_p99_us": full.get("p99_us"),
            "p50_us": paced.get("p50_us"),
            "p99_us": paced.get("p99_us"),
        }

    def choose_rate(self, context):
        """The first of everything is not like the rest, and so serves for this."""
        slowest = min(watched(lambda server: self.measure(context, server, None),
                              server)["per_second"] for server in context.without_peers())
        return two_digits(slowest * RATE_SHARE)

    def run(self, context):
        rate = self.choose_rate(context)
        print(f"{self.title}: {context.rounds} rounds of {context.seconds} s, "
              f"then at {rate:,} a second\n", flush=True)
        rounds = context.rounds_of(lambda server: self.measure(context, server, rate),
                                   context.peers_for(self.service))
        servers = [server for server in context.servers
                   if any(server.name in each for each in rounds)]
        results = {"unit": self.unit, "rate": rate, "rounds": rounds,
                   "servers": {server.name: about(server) for server in servers},
                   "medians": {server.name: {what: stats.middle(rounds, server.name, what)
                                             for what in ("per_second", "cpu_ns", "cpu_share")}
                               for server in servers},
                   "beside": {server.name: self.compare(rounds, server)
                              for server in context.of_evert()},
                   "ahead": {server.name: self.ahead(rounds, server)
                             for server in servers if server.peer},
                   "calls": self.count(context)}
        self.show(results)
        return results

    def compare(self, rounds, server):
        busy = is_disturbed(rounds)
        ratio = stats.summary(stats.ratios(rounds, server.name, server.raw, "per_second"))
        cpu = stats.summary(stats.ratios(rounds, server.name, server.raw, "cpu_ns"))
        more = stats.summary(stats.differences(rounds, server.name, server.raw, "ns"))
        if self.bound:
            ratio |= {"bound": self.bound,
                      "verdict": stats.verdict(ratio["values"], self.bound, True, busy)}
        else:
            more |= {"bound": MOST_OVER_RAW,
                     "verdict": stats.verdict(more["values"], MOST_OVER_RAW, False, busy)}
        cpu |= {"bound": MOST_CPU, "verdict": stats.verdict(cpu["values"], MOST_CPU, False, busy)}
        return {"throughput": ratio, "cpu": cpu, "more_ns": more}

    @staticmethod
    def ahead(rounds, peer):
        """How many times what a peer serves do coroutines serve, on the back end that is usual."""
        times = stats.summary(stats.ratios(rounds, COROUTINES, peer.name, "per_second"))
        return times | {"level": stats.level(times["values"])}

    def count(self, context):
        """The calls for each request with one connection, and with as many as the row has."""
        if not measuring.can_trace():
            return None
        counts = {}
        for connections in sorted({1, self.options["connections"]}):
            options = self.options | {"connections": connections}
            for server in context.without_peers():
                measuring.fresh_network()
                counts.setdefault(str(connections), {})[server.name] = measuring.count_calls(
                    server.command(self.service), context.build / self.load, options)
        return counts

    def show(self, results):
        unit = self.unit
        print(f"    {'':<24}{unit + 's/s':>12}  {'ratio':<28}{'CPU ns':>9}  {'ratio':<28}"
              f"calls each, with {' and '.join(results['calls'] or ['-'])}")
        for server, middle in results["medians"].items():
            beside = results["beside"].get(server)
            words = [stats.words(beside[what]["values"]) if beside else ""
                     for what in ("throughput", "cpu")]
            calls = "  ".join(f"{sum(each[server].values()):.3f}"
                              for each in (results["calls"] or {}).values() if server in each)
            print(f"    {server:<24}{middle['per_second']:>12,.0f}  {words[0]:<28}"
                  f"{middle['cpu_ns']:>9,.0f}  {words[1]:<28}{calls}")
        print()
        for server, beside in results["beside"].items():
            if self.bound:
                show(f"{server}: at least {self.bound}", beside["throughput"]["verdict"])
            else:
                show(f"{server}: ns more", stats.words(beside["more_ns"]["values"], 1))
                show(f"at most {MOST_OVER_RAW:.0f} ns", beside["more_ns"]["verdict"])
            show(f"{server}: CPU at most {MOST_CPU}", beside["cpu"]["verdict"])
        for peer, times in results["ahead"].items():
            show(f"times {peer}", f"{stats.words(times['values'])}: {times['level']}")
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
    service = "greeting"
    load = "bench/load"

    def command(self):
        return Pairs.command(self) + " --rate R [--busy]"

    def measure(self, context, server, rate):
        load = context.build / self.load
        with measuring.served(server.command(self.service)) as process:
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
        for server in context.without_peers():
            slowed = stats.summary([each[server.name]["busy_us"] / each[server.name]["alone_us"]
                                    for each in rounds])
            if server.raw:
                slowed |= {"bound": MOST_SLOWED,
                           "verdict": stats.verdict(slowed["values"], MOST_SLOWED, False,
                                                    is_disturbed(rounds))}
            each = results["servers"][server.name] = {
                "alone_us": stats.middle(rounds, server.name, "alone_us"),
                "busy_us": stats.middle(rounds, server.name, "busy_us"), "slowed": slowed}
            show(server.name, f"p99 {each['alone_us']:.0f} us, with the busy one "
                         f"{each['busy_us']:.0f} us; times {stats.words(slowed['values'])}"
                         f"  {slowed.get('verdict', '')}")
        print(flush=True)
        return results


@dataclass
class Cores:
    """CPU time for each request of a loop on each of two cores, beside that of one loop, where each
    has as much to do: two have twice as many requests."""

    name: str
    title: str
    options: dict
    rounds: int = 15
    kind: str = field(default="cores", init=False)
    load = "bench/load"
    programs = {"one": "examples/greeting/coroutine_server",
                "two": "examples/greeting/cores_server"}
    cores = {"one": measuring.SERVER_CORE, "two": None}

    def command(self):
        return Pairs.command(self) + " --rate R"

    def measure(self, context, which, rate):
        measuring.fresh_network()
        load, options = context.build / self.load, self.options | {"seconds": context.seconds}
        with measuring.served([context.build / self.programs[which]], core=self.cores[which],
                              address="tcp://127.0.0.1:9999") as process:
            if rate:
                options["rate"] = rate * (2 if which == "two" else 1)
            results = measuring.run_load(load, process.address, **options, pid=process.pid)
        return {"per_second": results["per_second"],
                "cpu_ns": max(results["cpu_ns"], 1) / max(results["requests"], 1)}

    def run(self, context):
        rate = two_digits(self.measure(context, "one", None)["per_second"] * RATE_SHARE / 2)
        print(f"{self.title}: {context.rounds} rounds of {context.seconds} s, at {rate:,} a "
              "second for each loop\n", flush=True)
        rounds = []
        for number in range(context.rounds):
            order = list(self.programs)[::1 if number % 2 else -1]
            rounds.append({which: self.measure(context, which, rate) for which in order})
        ratio = stats.ratios(rounds, "two", "one", "cpu_ns")
        results = {"rate": rate, "rounds": rounds,
                   "medians": {which: stats.middle(rounds, which, "cpu_ns")
                               for which in self.programs},
                   "ratio": stats.summary(ratio) | {
                       "bound": MOST_OF_ONE,
                       "verdict": stats.verdict(ratio, MOST_OF_ONE, False)}}
        show("CPU time, times that of one", f"{stats.words(ratio)}; at most {MOST_OF_ONE}: "
             f"{results['ratio']['verdict']}")
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
            with measuring.served(server.command("greeting"), group=group) as process:
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
        servers = [server for server in context.servers if "greeting" in server.programs
                   and server.name not in TOO_MANY]
        rounds = []
        for _ in range(context.rounds):
            measured, failed = measure_each(lambda each: self.measure(context, each), servers)
            servers = [server for server in servers if server not in failed]
            rounds.append(measured)
        results = {"rounds": rounds, "servers": {}}
        for server in (server.name for server in servers):
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
    floor: str = ""  # there and back by nothing but what that takes, ...
    over: dict = field(default_factory=dict)  # ... and {name: the most over one way of it}
    core: int | None = measuring.SERVER_CORE
    rounds: int = 31
    kind: str = field(default="small", init=False)

    def command(self):
        return f"{self.program} {self.rounds}"

    def run(self, context):
        print(f"{self.title}: {context.rounds} rounds\n", flush=True)
        measured = measuring.run_json(context.build / self.program, context.rounds,
                                      core=self.core)
        results = {"words": self.words, "ns": {}}
        for name, values in measured.items():
            each = results["ns"][name] = stats.summary(values)
            if name in self.judged:
                each |= {"bound": self.judged[name],
                         "verdict": stats.verdict(values, self.judged[name], False)}
            if self.floor in measured and name in self.over:
                over = [ours - floor / 2 for ours, floor in zip(values, measured[self.floor])]
                each["over"] = stats.summary(over) | {
                    "bound": self.over[name],
                    "verdict": stats.verdict(over, self.over[name], False)}
            show(self.words[name], stats.words(values, 1) + (
                f"; over the bare switch {stats.words(each['over']['values'], 1)}, at most "
                f"{each['over']['bound']:.0f}: {each['over']['verdict']}"
                if "over" in each else "") + (
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
                 f"Greetings, {at_a_time}, {connections:,} connections", "greeting",
                 {"connections": connections, "depth": depth},
                 bound=LEAST_RATIO if depth == 1 else 0)


def echoes(size, words):
    return Pairs(f"echo-{size}", f"Echo of {words}, 64 connections", "echo",
                 {"connections": 64, "echo": size},
                 bound=LEAST_LARGE if size > 4096 else LEAST_RATIO)


ROWS = [
    lines(1, 64),
    lines(16, 64),
    lines(1, 1000),
    lines(16, 1000),
    lines(1, 9000),
    Pairs("connect", "Connect, a greeting, close; 64 at a time", "greeting",
          {"connections": 64, "reconnect": True}, unit="connection"),
    Pairs("storm", "Connect, a greeting, close; 1,000 at a time", "greeting",
          {"connections": 1000, "reconnect": True}, unit="connection"),
    echoes(64, "64 B"),
    echoes(4096, "4 KiB"),
    echoes(65536, "64 KiB"),
    Pairs("bulk", "Bulk data, read and dropped, 8 connections; in pieces of 64 KiB", "sink",
          {"connections": 8}, load="bench/load_bulk", unit="piece", bound=LEAST_LARGE),
    Cores("cores", "Two loops on two cores, beside one", {"connections": 64}),
    Busy("busy", "One busy connection among 1,000", {"connections": 999}),
    Idle("idle-memory", "Idle connections"),
    Allocated("idle-allocated", "An idle connection, in bytes that the library allocates"),
    Small("yield", "The smallest things, in nanoseconds, all of them in each round", "bench/yield",
          {"bare": "to a bare stack and back", "pair": "yield, of two tasks",
           "crowd": "yield, of 1,000 tasks", "spawn": "task spawned and left",
           "timer": "timer set and cancelled among 1,000",
           "timers": "among 1,000,000, at random times"},
          judged={"crowd": MOST_CROWD, "spawn": MOST_SPAWN, "timers": MOST_TIMER},
          floor="bare", over={"pair": MOST_OVER_BARE}, rounds=15),
    Small("messages", "From one core to another, in nanoseconds", "bench/messages",
          {"trip": "call to another loop and one back", "burst": "call, of 1,000 at once"},
          core=None, rounds=15),
    Small("deferred", "Deferreds, in nanoseconds, all in each round", "bench/deferred",
          {"callback": "callback added and fired", "whole": "Deferred made, fired, freed"},
          judged={"callback": MOST_CALLBACK}),
]
