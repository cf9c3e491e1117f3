# SPDX-License-Identifier: MIT
"""What is measured: a row for each question, and how its figures are got."""

import contextlib
import statistics
import subprocess
from dataclasses import dataclass, field

import measuring
import stats
from beside import Beside
from context import RATE_SHARE, is_busy, measure_each, show, two_digits
from measuring import Failure
from mixed import Mixed
from own_page import OwnPage
from pairs import LEAST_LARGE, LEAST_RATIO, Pairs, Self, is_clean
from servers import TOO_MANY

MOST_SLOWED = 1.5       # of the others' latency, by one that is busy
MOST_CALLBACK = 60.0    # nanoseconds for a callback added and fired
MOST_OVER_BARE = 5.0    # nanoseconds of a yield of two tasks to a bare switch
MOST_CROWD = 10.0       # of one among a thousand
MOST_SPAWN = 50.0
MOST_TIMER = 60.0
MOST_OF_ONE = 1.05      # of CPU time for each request: two loops on two cores to one on one
MOST_IDLE = 400         # bytes allocated for an idle connection in callbacks

SECONDS = 0.4
MOST_SECONDS = 4        # of a round of small things
WHOLE_CORE = 0.95       # of what a process has of its core when it has most


def load_words(row):
    return " ".join(map(str, measuring.load_command(row.load, ["ADDRESS"], row.options)))


def latency_of(slices):
    """The 99th percentile in those in which nobody waited for a core, if there are any, and what
    share these are."""
    clean = [each for each in slices if is_clean(each)]
    latency = statistics.median(each["p99_us"] for each in clean or slices)
    return latency, len(clean) / len(slices)


@dataclass
class Busy:
    """What one busy connection does to the latency of the others, beside without it.

    A round is a server that is asked in short slices, in every other one of them with the busy
    connection, and its figures are the medians of theirs: the 99th percentile of one longer slice
    says only whether the machine was held up in it. The connections stay, since what a kernel has
    to do for a thousand that were closed holds it up, too. And at half of what a server can do,
    each request still has it woken up, so it is at its limit: a quarter.
    """

    name: str
    title: str
    options: dict
    rounds: int = 24
    sets: int = 12
    kind: str = field(default="busy", init=False)
    service = "greeting"
    load = "bench/load"

    def command(self):
        return load_words(self) + " --rate R --paced-sets N --busy"

    def measure(self, context, server, rate):
        load = context.build / self.load
        seconds = context.seconds or SECONDS
        with measuring.served(server.command(self.service)) as process:
            options = self.options | {"pid": process.pid}
            if not rate:
                return measuring.run_one(load, process.address, **options, seconds=seconds)
            slices, _ = measuring.run_load(load, [process.address], **options, rate=rate,
                                           busy=True, seconds=seconds / 8,
                                           **{"paced-sets": self.sets})
        alone, beside = ([each for each in slices if each["server"] == which] for which in (0, 1))
        (alone_us, clean), (busy_us, clean_beside) = map(latency_of, (alone, beside))
        return {"alone_us": alone_us, "busy_us": busy_us, "clean": min(clean, clean_beside),
                "held": statistics.median(each["per_second"] for each in alone) / rate}

    def run(self, context):
        count = context.rounds or self.rounds
        measured, _ = measure_each(lambda server: self.measure(context, server, None),
                                   context.without_peers())
        rate = two_digits(min(each["per_second"] for each in measured.values())
                          * RATE_SHARE / 2)
        print(f"{self.title}: {count} rounds of {self.sets} slices of "
              f"{(context.seconds or SECONDS) / 8} s without and with, at {rate:,} a second\n",
              flush=True)
        rounds = context.rounds_of(lambda server: self.measure(context, server, rate), count)
        results = {"rate": rate, "rounds": rounds, "servers": {}}
        for server in context.without_peers():
            slowed = stats.summary([[each[server.name]["busy_us"] / each[server.name]["alone_us"]]
                                    for each in rounds])
            if server.raw:
                slowed = stats.judged(slowed, MOST_SLOWED, False, is_busy(rounds))
            each = results["servers"][server.name] = {
                "alone_us": stats.middle(rounds, server.name, "alone_us"),
                "busy_us": stats.middle(rounds, server.name, "busy_us"), "slowed": slowed}
            show(server.name, f"p99 {each['alone_us']:.0f} us, with the busy one "
                         f"{each['busy_us']:.0f} us; times {stats.words(slowed)}"
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
        return load_words(self) + " --rate R"

    def measure(self, context, which, rate):
        measuring.fresh_network()
        load = context.build / self.load
        options = self.options | {"seconds": context.seconds or SECONDS}
        with measuring.served([context.build / self.programs[which]], core=self.cores[which],
                              address="tcp://127.0.0.1:9999") as process:
            if rate:
                options["rate"] = rate * (2 if which == "two" else 1)
            results = measuring.run_one(load, process.address, **options, pid=process.pid)
        return {"per_second": results["per_second"],
                "cpu_ns": max(results["cpu_ns"], 1) / max(results["requests"], 1)}

    def run(self, context):
        count = context.rounds or self.rounds
        rate = two_digits(self.measure(context, "one", None)["per_second"] * RATE_SHARE / 2)
        print(f"{self.title}: {count} rounds of {context.seconds or SECONDS} s, at {rate:,} a "
              "second for each loop\n", flush=True)
        rounds = []
        for number in range(count):
            order = list(self.programs)[::1 if number % 2 else -1]
            rounds.append({which: self.measure(context, which, rate) for which in order})
        ratio = stats.summary([[each["two"]["cpu_ns"] / each["one"]["cpu_ns"]] for each in rounds])
        results = {"rate": rate, "rounds": rounds,
                   "medians": {which: stats.middle(rounds, which, "cpu_ns")
                               for which in self.programs},
                   "ratio": stats.judged(ratio, MOST_OF_ONE, False)}
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
        for _ in range(context.rounds or self.rounds):
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
    """Small things in one process, which measures them itself, in nanoseconds. Another program on
    the other half of the core doubles what they take; so where the process says what it had of its
    core (core.h), rounds count in which that was as much as in the best."""

    name: str
    title: str
    program: str
    words: dict
    judged: dict = field(default_factory=dict)  # {name: the most that it may be}
    floor: str = ""  # by nothing but what it takes, ...
    over: dict = field(default_factory=dict)  # ... and {name: the most over that}
    core: int | None = measuring.SERVER_CORE
    rounds: int = 31
    kind: str = field(default="small", init=False)

    def command(self):
        return f"{self.program} {self.rounds}"

    @staticmethod
    def undisturbed(measured):
        """{name: {round: nanoseconds}}, of the rounds that count; of all, where there is none."""
        additions = measured.pop("additions", {})
        of_all = sorted(stats.joined(additions.values()))
        least = WHOLE_CORE * of_all[len(of_all) * 9 // 10] if of_all else 0
        rounds = {name: dict(enumerate(values)) for name, values in measured.items()}
        return {name: {number: value for number, value in each.items()
                       if not additions or additions[name][number] >= least} or each
                for name, each in rounds.items()}

    def summarise(self, measured):
        found = {}
        for name, rounds in measured.items():
            each = found[name] = stats.summary([[value] for value in rounds.values()])
            if name in self.judged:
                found[name] = each = stats.judged(each, self.judged[name], False)
            floor = measured.get(self.floor, {})
            common = rounds.keys() & floor.keys()
            if common and name in self.over:
                over = stats.summary([[rounds[number] - floor[number]] for number in common])
                each["over"] = stats.judged(over, self.over[name], False)
        return found

    def run(self, context):
        count = context.rounds or self.rounds
        print(f"{self.title}: {count} rounds\n", flush=True)
        measured = measuring.run_json(context.build / self.program, count, core=self.core,
                                      seconds=count * MOST_SECONDS)
        found = self.summarise(self.undisturbed(measured))
        for name, each in found.items():
            show(self.words[name], f"{stats.words(each, 1)}, in {each['rounds']} rounds" + (
                f"; over the bare switch {stats.words(each['over'], 1)}, at most "
                f"{each['over']['bound']:.0f}: {each['over']['verdict']}"
                if "over" in each else "") + (
                f"; at most {each['bound']:.0f}: {each['verdict']}" if "bound" in each else ""))
        print(flush=True)
        return {"words": self.words, "ns": found}


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


def lines(depth, connections, **more):
    at_a_time = "a name at a time" if depth == 1 else f"{depth} names at a time"
    return Pairs(f"line-{depth}-{connections}",
                 f"Greetings, {at_a_time}, {connections:,} connections", "greeting",
                 {"connections": connections, "depth": depth},
                 bound=LEAST_RATIO if depth == 1 else 0, **more)


def echoes(size, words):
    return Pairs(f"echo-{size}", f"Echo of {words}, 64 connections", "echo",
                 {"connections": 64, "echo": size},
                 bound=LEAST_LARGE if size > 4096 else LEAST_RATIO)


def smallest(name, title, program, how):
    words = {"bare": "a bare switch to another stack", "pair": "yield, of two tasks",
             "crowd": "yield, of 1,000 tasks", "spawn": "task spawned and left",
             "timer": "timer set and cancelled among 1,000",
             "timers": "among 1,000,000, at random times"}
    return Small(name, title, program, {each: words[each] + how for each in words},
                 judged={"crowd": MOST_CROWD, "spawn": MOST_SPAWN, "timers": MOST_TIMER},
                 floor="bare", over={"pair": MOST_OVER_BARE}, rounds=60)


ROWS = [
    Self(lines(1, 64)),
    lines(1, 64),
    lines(16, 64),
    lines(1, 1000),
    lines(16, 1000),
    OwnPage(lines(1, 1000), "page-1"),
    OwnPage(lines(16, 1000), "page-16"),
    lines(1, 9000, seconds=0.15, sets=4, rounds=16),  # in less time not each of them has its turn
    Pairs("connect", "Connect, a greeting, close; 64 at a time", "greeting",
          {"connections": 64, "reconnect": True}, unit="connection"),
    Pairs("storm", "Connect, a greeting, close; 1,000 at a time", "greeting",
          {"connections": 1000, "reconnect": True}, unit="connection", seconds=0.05, sets=4,
          rounds=30),
    echoes(64, "64 B"),
    echoes(4096, "4 KiB"),
    echoes(65536, "64 KiB"),
    Pairs("bulk", "Bulk data, read and dropped, 8 connections; in pieces of 64 KiB", "sink",
          {"connections": 8}, load="bench/load_bulk", unit="piece", bound=LEAST_LARGE,
          by_cpu=True, seconds=0.03),  # the load's core is used up first
    Mixed("mixed", "Requests of all kinds, 400 connections, at a fixed rate",
          {"connections": 400, "mixed": True}),
    Cores("cores", "Two loops on two cores, beside one", {"connections": 64}),
    Busy("busy", "One busy connection among 1,000", {"connections": 999}),
    Idle("idle-memory", "Idle connections"),
    Allocated("idle-allocated", "An idle connection, in bytes that the library allocates"),
    smallest("yield", "The smallest things, in nanoseconds, all of them in each round",
             "bench/yield", ""),
    smallest("yield-static", "The same, linked statically", "bench/yield_static",
             "; linked statically"),
    Beside("beside", "The smallest things, beside other libraries"),
    Small("messages", "From one core to another, in nanoseconds", "bench/messages",
          {"trip": "call to another loop and one back", "burst": "call, of 1,000 at once"},
          core=None, rounds=15),
    Small("deferred", "Deferreds, in nanoseconds, all in each round", "bench/deferred",
          {"callback": "callback added and fired", "whole": "Deferred made, fired, freed"},
          judged={"callback": MOST_CALLBACK}),
]
