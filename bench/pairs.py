# SPDX-License-Identifier: MIT
"""Servers in pairs: the same service by Evert, straight on the kernel, and by other libraries.

A pair, or three that are held against the same one, run at once, each in a new process, and the
load asks one after the other in short slices (load_slices.h). Neighbouring slices give a ratio. A
set of slices in which the load or a server waited for its core, since others had it, does not
count. Given is the mean of the middle half of all ratios, and its interval is made of the rounds,
in each of which all processes are new and are started and asked in the other order (stats.py): what
differs from process to process, such as where things lie in memory, is in it. So many short rounds
tell more than few long ones.
"""

import contextlib
import resource
from dataclasses import dataclass, field

import measuring
import stats
from context import (RATE_SHARE, Context, about, is_busy, is_disturbed, leave_out, show, two_digits,
                     watched)
from measuring import Failure
from servers import COROUTINES, RAW, RAW_URING, TOO_MANY, Server

ROUNDS = 40
PEER_ROUNDS = 10        # as many tell how far another library is away
SETS, PACED_SETS = 8, 8
PEER_SETS, PEER_PACED_SETS = 4, 4
SPARE_DESCRIPTORS = 500
MOST_WAITED = 0.05      # of a slice, by the server or the load, for a core that others had

LEAST_RATIO = 0.97      # of requests a second to raw's, ...
LEAST_LARGE = 0.98      # ... and where they are large
MOST_OVER_RAW = 25.0    # nanoseconds a request, 16 names at a time
MOST_CPU = 1.05         # of CPU time for each request to raw's, at a fixed rate


class Group:
    """Servers that are asked in turn by one load. The last one is that which may fail, if any."""

    def __init__(self, servers, rounds, sets, paced_sets):
        self.servers, self.wanted, self.again = servers, rounds, rounds // 2
        self.sets = {"sets": sets, "paced-sets": paced_sets}
        self.rounds, self.rate = [], None

    def leave_out(self, failure):
        leave_out(self.servers[-1], failure)
        self.rounds, self.wanted = [], 0

    def in_order(self):
        """Back and forth."""
        return self.servers[::-1 if (len(self.rounds) + self.again) % 2 else 1]

    def add(self, measured):
        """A round that was disturbed is set aside and measured again; not for ever, though."""
        if self.again > 0 and is_disturbed([measured]):
            self.again -= 1
        else:
            self.rounds.append(measured)


def ask_in_turn(load, service, servers, options):
    """Starts them all, and gives {name: (slices at full speed, slices at a rate)} and {name: the
    latency of one of a thousand}."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(measuring.served(server.command(service)))
                     for server in servers]
        slices, end = measuring.run_load(load, [process.address for process in processes],
                                         pid=[process.pid for process in processes], **options)
    found = {server.name: ([], []) for server in servers}
    for each in slices:
        found[servers[each["server"]].name][each["rate"] > 0].append(each)
    return found, dict(zip((server.name for server in servers), end["p999_us"]))


def is_clean(each):
    return each["waited_ns"] < MOST_WAITED * each["seconds"] * 1e9


def clean_sets(found, paced):
    """Of each server's slices those of the sets in which nobody waited, and what share these are.
    All of them, where there is none: what comes of it is a round that was disturbed."""
    sets = list(zip(*(slices[paced] for slices in found.values())))
    clean = [each for each in sets if all(map(is_clean, each))]
    chosen = zip(*(clean or sets))
    return dict(zip(found, map(list, chosen))), len(clean) / len(sets) if sets else 1


def for_each(slices, what, floor=0):
    """What of the slices for each of their requests. On a machine that is overloaded a server may
    not run at all in so short a time."""
    return [max(each[what], floor) / max(each["requests"], 1) for each in slices]


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
    seconds: float = 0.01       # of a slice
    sets: int = SETS
    by_cpu: bool = False        # how many one core can serve is told by the CPU time of each
    rounds: int = ROUNDS
    kind: str = field(default="pairs", init=False)

    def command(self):
        return " ".join(map(str, measuring.load_command(self.load, ["ADDRESS..."], self.options)))

    # --- Measuring

    def groups(self, context):
        """Each server straight on the kernel with those that are held against it, as far as the
        load may have so many connections; and each peer with coroutines."""
        rounds, paced = context.rounds or self.rounds, max(self.sets * PACED_SETS // SETS, 1)
        groups = []
        for raw in context.without_peers():
            held = [server for server in context.of_evert() if server.raw == raw.name]
            for servers in [held] if self.fits(len(held) + 1) else [[each] for each in held]:
                if servers:
                    groups.append(Group([*servers, raw], rounds, self.sets, paced))
        return groups + [Group([context.server(COROUTINES), peer], min(PEER_ROUNDS, rounds),
                               *(max(self.sets * sets // SETS, 1)
                                 for sets in (PEER_SETS, PEER_PACED_SETS)))
                         for peer in context.peers_for(self.service)]

    def fits(self, servers):
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return servers * self.options["connections"] <= most - SPARE_DESCRIPTORS

    def measure(self, context, group, sets):
        options = self.options | sets | {"seconds": context.seconds or self.seconds}
        if "paced-sets" in sets:
            options["rate"] = group.rate
        found, _ = ask_in_turn(context.build / self.load, self.service, group.in_order(), options)
        full, clean = clean_sets(found, False)
        paced, clean_paced = clean_sets(found, True)
        return {name: self.figures(full[name], paced.get(name)) | {"clean": min(clean, clean_paced)}
                for name in found}

    def figures(self, full, paced):
        over = "cpu_ns" if self.by_cpu else "seconds"
        unit = 1 if self.by_cpu else 1e9
        ns = [each * unit for each in for_each(full, over, 1e-9)]
        figures = {"ns": ns, "per_second": [1e9 / each for each in ns],
                   "cpu_share": (sum(each["cpu_ns"] for each in full) / 1e9
                                 / sum(each["seconds"] for each in full))}
        if paced:
            figures |= {"cpu_ns": for_each(paced, "cpu_ns", 1),
                        "held": stats.one([each["per_second"] / each["rate"] for each in paced])}
        return figures

    def choose_rates(self, context, groups):
        """The first of everything is not like the rest, and so serves for this; a server can do
        what it did in its best slice. One rate for all that are held against the same on the
        kernel; a peer may have to be asked for less."""
        for group in groups:
            try:
                measured = self.measure(context, group, {"sets": 4})
            except Failure as failure:
                group.leave_out(failure)
                continue
            group.rate = two_digits(RATE_SHARE * min(max(server["per_second"])
                                                     for server in measured.values()))
        rate = min(group.rate for group in groups if not group.servers[-1].peer)
        for group in groups:
            group.rate = min(rate, group.rate or rate)
        return rate

    def measure_rounds(self, context, groups):
        """A round of each of the groups after another, so that all of them have all of the time."""
        while any(len(group.rounds) < group.wanted for group in groups):
            for group in groups:
                if len(group.rounds) >= group.wanted:
                    continue
                try:
                    group.add(watched(lambda group=group: self.measure(context, group, group.sets)))
                except Failure as failure:
                    group.leave_out(failure)
        return [each for group in groups for each in group.rounds]

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

    def run(self, context):
        groups = self.groups(context)
        rate = self.choose_rates(context, groups)
        print(f"{self.title}: {groups[0].wanted} rounds of {self.sets} slices of "
              f"{context.seconds or self.seconds} s each, then at {rate:,} a second\n", flush=True)
        results = self.results(context, self.measure_rounds(context, groups), rate)
        self.show(results)
        return results

    # --- What came of it

    def results(self, context, rounds, rate):
        servers = [server for server in context.servers
                   if any(server.name in each for each in rounds)]
        return {"unit": self.unit, "rate": rate, "rounds": rounds,
                "servers": {server.name: about(server) for server in servers},
                "medians": {server.name: {
                    "per_second": a_second(rounds, server.name),
                    "cpu_share": stats.middle(rounds, server.name, "cpu_share")}
                    for server in servers},
                "cpu_ns": {server.name: stats.middle(without_peers(rounds), server.name, "cpu_ns")
                           for server in servers if not server.peer},
                "beside": {server.name: self.compare(rounds, server)
                           for server in context.of_evert()},
                "ahead": {server.name: self.ahead(rounds, server)
                          for server in servers if server.peer},
                "calls": self.count(context)}

    def compare(self, rounds, server):
        rounds = [each for each in rounds if server.name in each and server.raw in each]
        busy = is_busy(rounds)
        ratio, cpu = (stats.summary(stats.ratios(rounds, server.name, server.raw, what))
                      for what in ("per_second", "cpu_ns"))
        more = stats.summary(stats.differences(rounds, server.name, server.raw, "ns"))
        if self.bound:
            ratio = stats.judged(ratio, self.bound, True, busy)
        else:
            more = stats.judged(more, MOST_OVER_RAW, False, busy)
        return {"throughput": ratio, "cpu": stats.judged(cpu, MOST_CPU, False, busy),
                "more_ns": more}

    @staticmethod
    def ahead(rounds, peer):
        """How many times what a peer serves do coroutines serve, on the back end that is usual; and
        how many times its CPU time do they take for each, at a rate."""
        times = stats.summary(stats.ratios(rounds, COROUTINES, peer.name, "per_second"))
        cpu = {}
        if peer.name not in TOO_MANY:
            cpu = stats.summary(stats.ratios(rounds, COROUTINES, peer.name, "cpu_ns"))
            cpu = {"cpu": cpu | {"level": stats.level(cpu)}}
        return times | {"level": stats.level(times)} | cpu

    def show(self, results):
        calls = results["calls"] or {}
        print(f"    {'':<24}{self.unit + 's/s':>12}  {'ratio':<28}{'CPU ns':>9}  {'ratio':<28}"
              f"calls each, with {' and '.join(calls or ['-'])}")
        for server, middle in results["medians"].items():
            beside = results["beside"].get(server)
            words = [stats.words(beside[what]) if beside else ""
                     for what in ("throughput", "cpu")]
            cpu = f"{results['cpu_ns'][server]:,.0f}" if server in results["cpu_ns"] else ""
            counted = "  ".join(f"{sum(each[server].values()):.3f}"
                                for each in calls.values() if server in each)
            print(f"    {server:<24}{middle['per_second']:>12,.0f}  {words[0]:<28}{cpu:>9}  "
                  f"{words[1]:<28}{counted}")
        print()
        for server, beside in results["beside"].items():
            if self.bound:
                show(f"{server}: at least {self.bound}", beside["throughput"]["verdict"])
            else:
                show(f"{server}: ns more", stats.words(beside["more_ns"], 1))
                show(f"at most {MOST_OVER_RAW:.0f} ns", beside["more_ns"]["verdict"])
            show(f"{server}: CPU at most {MOST_CPU}", beside["cpu"]["verdict"])
        for peer, times in results["ahead"].items():
            cpu = times.get("cpu")
            show(f"times {peer}", f"{stats.words(times)}: {times['level']}"
                 + (f"; CPU {stats.words(cpu)}: {cpu['level']}" if cpu else ""))
        print(flush=True)


def a_second(rounds, name):
    """That of coroutines times the ratio to them, so that servers can be put in order though some
    were measured when the machine was slower; what was measured, where they were not a pair."""
    times = stats.ratios(rounds, name, COROUTINES, "per_second")
    of = stats.middle(rounds, COROUTINES if times else name, "per_second")
    return of * stats.estimate(times) if times else of


def without_peers(rounds):
    return [measured for measured in rounds if RAW in measured or RAW_URING in measured]


class OfPairs:
    """A row that measures other servers as one of the pairs does."""

    of: Pairs

    @property
    def rounds(self):
        return self.of.rounds

    def command(self):
        return self.of.command()

    def measure(self, context, servers):
        """What is written down of it, whatever comes of the rounds."""
        alone = Context(context.build, servers, context.rounds, context.seconds)
        groups = self.of.groups(alone)
        rate = self.of.choose_rates(alone, groups)
        began = measuring.now()
        rounds = self.of.measure_rounds(alone, groups)
        took = measuring.now() - began
        print(f"{self.title}: {len(groups[0].rounds)} rounds of {self.of.sets} slices of "
              f"{context.seconds or self.of.seconds} s each, then at {rate:,} a second, in "
              f"{took:.1f} s\n", flush=True)
        return {"of": self.of.name, "rate": rate, "rounds": rounds, "measured": round(took, 1)}


@dataclass
class Self(OfPairs):
    """A server beside another process of the same program, measured as the pairs are: what comes of
    it should be 1, and how far it is from that is how finely the pairs tell."""

    of: Pairs
    name: str = "self"
    kind: str = field(default="self", init=False)

    @property
    def title(self):
        return f"{RAW} beside itself, in {self.of.name}"

    def run(self, context):
        raw = context.server(RAW)
        again = Server(f"{RAW}, again", raw.programs, raw=RAW)
        results = self.measure(context, [again, raw])
        beside = self.of.compare(results["rounds"], again)
        for what, words in (("throughput", f"{self.of.unit}s a second"), ("cpu", "CPU time")):
            show(words, f"times itself {stats.words(beside[what])}")
        print(flush=True)
        return results | {"throughput": beside["throughput"], "cpu": beside["cpu"]}
